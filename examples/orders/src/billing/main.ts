import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { StompStrategy } from 'nestjs-stomp';
import { announce, connectionOf, loggerOf } from '../service.js';
import { BillingModule } from './billing.module.js';

const app = await NestFactory.createMicroservice<MicroserviceOptions>(BillingModule, {
  strategy: new StompStrategy(connectionOf('billing')),
  logger: loggerOf('billing'),
});
await app.listen();
announce(app);
