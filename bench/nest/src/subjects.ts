import {
  type ClientProvider,
  type CustomClientOptions,
  type MicroserviceOptions,
  Transport,
} from '@nestjs/microservices';
import { StompClientProxy, StompStrategy } from 'nestjs-stomp';
import type { Ports } from './brokers.js';

export type Scenario = 'emit' | 'emit, acknowledged by outcome' | 'send, 1 in flight' | 'send, 64 in flight';
const SENDS: readonly Scenario[] = ['send, 1 in flight', 'send, 64 in flight'];
const PLAIN: readonly Scenario[] = ['emit', ...SENDS];
const ACKNOWLEDGED: readonly Scenario[] = ['emit, acknowledged by outcome'];

/** A transport over a broker: how the two sides of an application are set up, with the transport's own defaults. */
export interface Subject {
  readonly server: () => MicroserviceOptions;
  readonly client: ClientProvider | CustomClientOptions;
  /** The scenarios that it takes part in. */
  readonly only: readonly Scenario[];
}

const HOST = '127.0.0.1';

export function subjectsOf(ports: Ports): Record<string, Subject> {
  const stomp = (address: string, more: object = {}): Omit<Subject, 'only'> => {
    const options = { url: `stomp://${HOST}:${address}`, login: 'guest', passcode: 'guest' };
    return {
      server: () => ({ strategy: new StompStrategy(options) }),
      client: { customClass: StompClientProxy, options: { ...options, ...more } },
    };
  };
  const rmq = (queue: string, noAck: boolean): Subject => {
    const options = { urls: [`amqp://guest:guest@${HOST}:${ports.amqp}`], queue, queueOptions: { durable: false } };
    return {
      server: () => ({
        transport: Transport.RMQ,
        options: { ...options, noAck, ...(noAck ? {} : { prefetchCount: 100 }) },
      }),
      client: { transport: Transport.RMQ, options },
      only: noAck ? PLAIN : ACKNOWLEDGED,
    };
  };
  const mqtt = { transport: Transport.MQTT, options: { url: `mqtt://${HOST}:${ports.mqtt}` } } as const;
  const nats = { transport: Transport.NATS, options: { servers: `nats://${HOST}:${ports.nats}` } } as const;
  const tcp = { transport: Transport.TCP, options: { host: HOST, port: ports.tcp } } as const;
  return {
    'STOMP, stompserver': { ...stomp(`${ports.stompserver}/bench`), only: [...PLAIN, ...ACKNOWLEDGED] },
    'STOMP without receipts, stompserver': {
      ...stomp(`${ports.stompserver}/unreceipted`, { receipts: false }),
      only: ['emit'],
    },
    'STOMP, RabbitMQ': { ...stomp(`${ports.rabbitStomp}/%2F`), only: [...PLAIN, ...ACKNOWLEDGED] },
    'RMQ, RabbitMQ': rmq('bench', true),
    'RMQ with noAck: false, RabbitMQ': rmq('bench-acknowledged', false),
    'MQTT, mosquitto': { server: () => mqtt, client: mqtt, only: PLAIN },
    'NATS, nats-server': { server: () => nats, client: nats, only: PLAIN },
    'TCP, no broker': { server: () => tcp, client: tcp, only: PLAIN },
  };
}

/** What is measured; a pattern means the same to all transports. */
export const EVENT = 'bench.event';
export const REQUEST = 'bench.request';
/** An event that goes to a queue and is acknowledged by whoever handles it. */
export const WORK = '/queue/bench.work';

export const PAYLOAD = { id: 4711, customer: 'ada', items: ['tea', 'ink', 'paper'], total: 12.5, paid: false };
