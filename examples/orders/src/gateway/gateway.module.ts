import { Module } from '@nestjs/common';
import { StompModule } from 'nestjs-stomp';
import { connectionOf } from '../service.js';
import { GatewayController } from './gateway.controller.js';

@Module({
  imports: [StompModule.register({ ...connectionOf('gateway'), requestTimeout: 5_000 })],
  controllers: [GatewayController],
})
export class GatewayModule {}
