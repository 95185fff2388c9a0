import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import type { AsyncMicroserviceOptions } from '@nestjs/microservices';
import { StompConnection, StompStrategy } from 'nestjs-stomp';
import { announce, loggerOf } from '../service.js';
import { OrdersModule } from './orders.module.js';

const app = await NestFactory.createMicroservice<AsyncMicroserviceOptions>(OrdersModule, {
  inject: [StompConnection],
  useFactory: (connection: StompConnection) => ({ strategy: new StompStrategy({ connection }) }),
  logger: loggerOf('orders'),
});
await app.listen();
announce(app);
