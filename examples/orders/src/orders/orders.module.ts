import { Module } from '@nestjs/common';
import { StompConnection, StompModule } from 'nestjs-stomp';
import { connectionOf } from '../service.js';
import { OrdersController } from './orders.controller.js';

/** What is served here and what is sent from here share one connection. */
const connection = new StompConnection(connectionOf('orders'));

@Module({
  imports: [StompModule.register({ connection })],
  providers: [{ provide: StompConnection, useValue: connection }],
  controllers: [OrdersController],
})
export class OrdersModule {}
