import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { StompBroker } from 'nestjs-stomp-broker';
import { announce, loggerOf } from '../service.js';
import { OrdersBrokerModule } from './broker.module.js';

const app = await NestFactory.createApplicationContext(OrdersBrokerModule, { logger: loggerOf('broker') });
announce(app, app.get(StompBroker).urls[0]);
