import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { announce, loggerOf } from '../service.js';
import { GatewayModule } from './gateway.module.js';

const app = await NestFactory.create(GatewayModule, { logger: loggerOf('gateway') });
await app.listen(process.env.HTTP_PORT ?? 3000, '127.0.0.1');
announce(app, await app.getUrl());
