// The calling side of a subject: node client.js NAME PORTS. Emits or sends as it is told to.
import 'reflect-metadata';
import { setImmediate } from 'node:timers/promises';
import { ClientProxyFactory } from '@nestjs/microservices';
import { lastValueFrom, type Observable } from 'rxjs';
import type { Ports } from './brokers.js';
import { PAYLOAD, REQUEST, subjectsOf } from './subjects.js';

export interface Job {
  readonly what: 'emit' | 'send';
  readonly pattern: string;
  /** How many may be under way at a time. */
  readonly window: number;
  /** How many to emit, or to send at least. */
  readonly count?: number;
  /** How long to send at least, in ms. */
  readonly time?: number;
}

const [name = '', ports = ''] = process.argv.slice(2);
const client = ClientProxyFactory.create(subjectsOf(JSON.parse(ports) as Ports)[name]!.client);
const now = () => performance.timeOrigin + performance.now();
const settled = (observable: Observable<unknown>) => lastValueFrom(observable, { defaultValue: undefined });

/** Does as much as it may in each lane, one after the other. */
function inLanes(window: number, lane: (number: number) => Promise<void>): Promise<unknown> {
  return Promise.all(Array.from({ length: window }, (_, number) => lane(number)));
}

async function emit({ pattern, window, count = 0 }: Job): Promise<number> {
  await inLanes(window, async (number) => {
    for (let n = number; n < count; n += window) {
      await settled(client.emit(pattern, PAYLOAD));
      // Those whose emit completes at once would otherwise never let their socket have a turn.
      await setImmediate();
    }
  });
  return count;
}

async function send({ window, time = 0, count: least = 0 }: Job): Promise<number> {
  const end = now() + time;
  let count = 0;
  await inLanes(window, async () => {
    for (; now() < end || count < least; count++) await settled(client.send(REQUEST, PAYLOAD));
  });
  return count;
}

await client.connect();
process.on('message', (job: Job) => {
  const from = now();
  const cpu = process.cpuUsage();
  void (job.what === 'emit' ? emit(job) : send(job)).then((count) => {
    const { user, system } = process.cpuUsage(cpu);
    process.send?.({ from, at: now(), count, cpu: user + system });
  });
});
// Not by a signal, so that profiles are written.
process.once('disconnect', () => process.exit());
process.send?.('ready');
