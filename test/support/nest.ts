import 'reflect-metadata';
import { afterEach } from '@jest/globals';
import {
  type DynamicModule,
  type INestMicroservice,
  type LoggerService,
  type Provider,
  type Type,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventPattern as NestEventPattern } from '@nestjs/microservices';
import { EventEmitter } from 'node:events';
import { firstValueFrom, lastValueFrom, type Observable, toArray } from 'rxjs';
import {
  StompClientProxy,
  type StompClientProxyOptions,
  type StompHandlerExtras,
  StompStrategy,
  type StompStrategyOptions,
} from 'nestjs-stomp';
import { PROMPT } from './client.js';
import { DEADLINE } from './raw.js';
import { type Reach } from './peers.js';

const closing: { close(): unknown }[] = [];

/** Closed after the running test, the last one first. */
export function closeLater<T extends { close(): unknown }>(what: T): T {
  closing.push(what);
  return what;
}

afterEach(async () => {
  for (const what of closing.splice(0).reverse()) await what.close();
});

/** What an application logs, by level. */
export class Log implements LoggerService {
  readonly #errors = new Seen<string>();
  readonly warnings: string[] = [];

  get errors(): readonly string[] {
    return this.#errors.items;
  }

  /** Resolves once that many errors are logged of which this is a part. */
  async until(text: string, count = 1): Promise<void> {
    await this.#errors.until(text, (lines) => lines.filter((line) => line.includes(text)).length >= count);
  }

  log(): void {}

  error(message: unknown): void {
    this.#errors.add(message instanceof Error ? message.message : String(message));
  }

  warn(message: unknown): void {
    this.warnings.push(String(message));
  }
}

export interface ServeOptions extends StompStrategyOptions {
  readonly providers?: Provider[];
  readonly imports?: DynamicModule[];
  /** Called before it listens. */
  readonly prepare?: (app: INestMicroservice, strategy: StompStrategy) => void;
}

export interface Service {
  readonly app: INestMicroservice;
  readonly strategy: StompStrategy;
  readonly log: Log;
}

/** A module that is made of these. */
export function moduleOf(parts: Omit<DynamicModule, 'module'>): DynamicModule {
  return { module: class Root {}, ...parts };
}

/** A microservice with these controllers that does not listen yet; closed after the test. */
export async function prepare(controllers: Type[], options: ServeOptions = {}): Promise<Service> {
  const { providers = [], imports = [], prepare: configure, ...rest } = options;
  const strategy = new StompStrategy({ reconnect: PROMPT, drainSignals: [], ...rest });
  const log = new Log();
  const app = await NestFactory.createMicroservice(moduleOf({ controllers, providers, imports }), {
    strategy,
    logger: log,
    abortOnError: false,
  });
  configure?.(app, strategy);
  closeLater(app);
  return { app, strategy, log };
}

/** A microservice with these controllers that listens to that broker. */
export async function serve(reach: Partial<Reach>, controllers: Type[], options: ServeOptions = {}): Promise<Service> {
  const service = await prepare(controllers, { ...reach, ...options });
  await service.app.listen();
  return service;
}

/** A client proxy of one test. */
export function proxy(reach: Partial<Reach>, options: StompClientProxyOptions = {}): StompClientProxy {
  return closeLater(new StompClientProxy({ reconnect: PROMPT, ...reach, ...options }));
}

/** The only or last value. */
export const last = <T>(values: Observable<T>): Promise<T> => lastValueFrom(values, { defaultValue: undefined as T });

/** All values, once there are no more. */
export const all = <T>(values: Observable<T>): Promise<T[]> => firstValueFrom(values.pipe(toArray()));

/** What an observable fails with. */
export async function rejection(values: Observable<unknown> | Promise<unknown>): Promise<unknown> {
  try {
    await ('subscribe' in values ? last(values) : values);
  } catch (error) {
    return error;
  }
  throw new Error('it did not fail');
}

/** Collects what happens, so that tests can wait for it. */
export class Seen<T> {
  readonly items: T[] = [];
  readonly #changed = new EventEmitter().setMaxListeners(0);

  readonly add = (item: T): void => {
    this.items.push(item);
    this.#changed.emit('change');
  };

  /** The items, once there are that many. */
  count(count: number): Promise<T[]> {
    return this.until(`${count} items`, (items) => items.length >= count);
  }

  until(what: string, holds: (items: T[]) => boolean, deadline = 2 * DEADLINE): Promise<T[]> {
    return new Promise((resolve, reject) => {
      const check = () => {
        if (!holds(this.items)) return;
        clearTimeout(timer);
        this.#changed.off('change', check);
        resolve(this.items);
      };
      const fail = () => reject(new Error(`not within ${deadline} ms: ${what}; seen ${JSON.stringify(this.items)}`));
      const timer = setTimeout(fail, deadline);
      this.#changed.on('change', check);
      check();
    });
  }
}

/** A destination that no other test uses, nor an earlier run against the same broker. */
let serial = 0;
export const named = (kind: 'queue' | 'topic', name = 'test'): string => {
  return `/${kind}/${name}-${process.pid}-${Date.now().toString(36)}-${++serial}`;
};

/** Nest's decorator without the types of its first overloads, which take data to be an object; extras are ours. */
export const EventPattern = NestEventPattern as (
  pattern: string | string[],
  extras?: StompHandlerExtras,
) => MethodDecorator;
