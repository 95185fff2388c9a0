/*
 * A Nest service as a process of its own: `service.mjs OPTIONS QUEUE`, the options of its strategy as JSON. It writes a
 * line about whatever happens; its handler finishes when a line comes on standard input.
 */
import 'reflect-metadata';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { MessagePattern, Payload } from '@nestjs/microservices';
import { StompStrategy } from 'nestjs-stomp';
import { once } from 'node:events';

const [options, queue] = process.argv.slice(2);
let destroyed = false;

class Handlers {
  async handle(data) {
    console.log(`started ${data}`);
    await once(process.stdin, 'data');
    console.log(`finished ${data} ${destroyed ? 'without' : 'with'} what it needs`);
    return data;
  }

  onModuleDestroy() {
    destroyed = true;
    console.log('destroyed');
  }
}
MessagePattern(queue)(Handlers.prototype, 'handle', Object.getOwnPropertyDescriptor(Handlers.prototype, 'handle'));
Payload()(Handlers.prototype, 'handle', 0);
Controller()(Handlers);

class Root {}
Module({ controllers: [Handlers] })(Root);

const strategy = new StompStrategy(JSON.parse(options));
const app = await NestFactory.createMicroservice(Root, { strategy, logger: ['error', 'warn'] });
app.enableShutdownHooks();
await app.listen();
process.prependOnceListener('SIGTERM', () => console.log('signalled'));
console.log('listening');
