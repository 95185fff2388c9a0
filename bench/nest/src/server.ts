// The serving side of a subject: node server.js NAME PORTS. Says when the expected number of events were handled.
import 'reflect-metadata';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  Ctx,
  EventPattern,
  MessagePattern,
  type MicroserviceOptions,
  Payload,
  RmqContext,
} from '@nestjs/microservices';
import type { Ports } from './brokers.js';
import { EVENT, REQUEST, subjectsOf, WORK } from './subjects.js';

const [name = '', ports = ''] = process.argv.slice(2);
let expected = 0;
let handled = 0;
let cpu = process.cpuUsage();

function count(): void {
  if (++handled === expected) process.send?.({ at: performance.timeOrigin + performance.now(), cpu: used() });
}

/** µs of CPU time since the last call. */
function used(): number {
  const { user, system } = process.cpuUsage(cpu);
  cpu = process.cpuUsage();
  return user + system;
}

@Controller()
class BenchController {
  @EventPattern(EVENT)
  onEvent(@Payload() _data: unknown): void {
    count();
  }

  @EventPattern<string>(WORK)
  onWork(@Payload() _data: unknown, @Ctx() context: object): void {
    if (context instanceof RmqContext) {
      (context.getChannelRef() as { ack(message: object): void }).ack(context.getMessage());
    }
    count();
  }

  @MessagePattern(REQUEST)
  onRequest(@Payload() data: unknown): unknown {
    return data;
  }
}

@Module({ controllers: [BenchController] })
class BenchModule {}

const { server } = subjectsOf(JSON.parse(ports) as Ports)[name]!;
const app = await NestFactory.createMicroservice<MicroserviceOptions>(BenchModule, { ...server(), logger: ['error'] });
await app.listen();
process.on('message', (message: { expect: number }) => {
  [expected, handled] = [message.expect, 0];
  used();
  process.send?.({ cpu: 0 });
});
// Not by a signal, so that profiles are written.
process.once('disconnect', () => process.exit());
process.send?.('ready');
