import { Module } from '@nestjs/common';
import { StompModule } from 'nestjs-stomp';
import { connectionOf } from '../service.js';
import { BillingController } from './billing.controller.js';

@Module({
  imports: [StompModule.register(connectionOf('billing'))],
  controllers: [BillingController],
})
export class BillingModule {}
