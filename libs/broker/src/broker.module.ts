import { totalmem } from 'node:os';
import { getHeapStatistics } from 'node:v8';
import {
  type DynamicModule,
  type FactoryProvider,
  Inject,
  Module,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type Provider,
  type Type,
} from '@nestjs/common';
import { ExternalContextCreator } from '@nestjs/core';
import { type ConnectionLimits, type ListenOptions, Memory, type SessionOptions } from 'nestjs-stomp/server';
import { AdmissionController } from './admission/admission.controller.js';
import { AccessGuard, AccessRules } from './admission/access.guard.js';
import type { Audit } from './admission/audit.js';
import { AuthGuard } from './admission/auth.guard.js';
import { Lockout, type LockoutOptions } from './admission/lockout.js';
import { AdmissionPipeline } from './admission/pipeline.js';
import type { Rules } from './admission/rules.js';
import { InlineUsers, type UserDirectory, USERS } from './admission/users.js';
import { StompBroker } from './broker.js';
import type { NameLimits } from './destination/name.js';
import type { Policy } from './destination/policy.js';
import { LocalEngine } from './engine/local.js';
import { DiskStore, type DiskStoreOptions } from './store/disk.js';
import { MemoryStore } from './store/memory.js';
import type { Store } from './store/store.js';

/** How an embedded broker listens and behaves; see also the options of its sessions. Times are in milliseconds. */
export interface BrokerOptions extends Omit<SessionOptions, 'memory'>, ListenOptions, ConnectionLimits, NameLimits {
  /**
   * Who may connect: a passcode for each login, or a directory of your own. Without users everybody may, so keep
   * the broker on loopback then, as it is by default.
   */
  users?: Readonly<Record<string, string>> | UserDirectory;
  /** What users may do with which destinations. Without rules everything, with rules what one of them allows. */
  rules?: Rules;
  /** Slows down, then shuts out, who fails to log in too often. Nobody by default. */
  lockout?: LockoutOptions;
  /** Takes a record of who came in, and of each refusal; to be written to a log. */
  audit?: Audit;
  /** Where messages are kept: in memory by default, or in a directory, or in a store of your own. */
  store?: 'memory' | DiskStoreOptions | Store;
  /** How destinations are treated, by pattern: limits, dead letters, redelivery, time to live and more. */
  policies?: readonly Policy[];
  /** Connections of one user at a time; no limit by default. */
  maxPerUser?: number;
  /**
   * Octets of the messages that wait or are on their way, from which on publishers are not read until consumers have
   * brought them down to three quarters; by default two fifths of the machine's memory, or of what Node takes for its heap if that is less.
   */
  maxMemory?: number;
  /** Queues of a virtual host, durable subscriptions and temporary queues among them; 100,000 by default. */
  maxQueues?: number;
  /** Says whether that address may connect at all. */
  admits?: (address: string) => boolean;
  /** How long sessions may take to end when the application shuts down; 5,000 by default. */
  shutdownTimeout?: number;
}

/** What is decided when the module is declared, not when its options are there. */
export interface BrokerModuleExtras {
  /** The controller that admits clients: a class that extends AdmissionController; that one by default. */
  admission?: Type<AdmissionController>;
  /** Makes the broker available in all modules. */
  isGlobal?: boolean;
}

export type BrokerModuleAsyncOptions = BrokerModuleExtras &
  Pick<FactoryProvider<BrokerOptions>, 'inject' | 'useFactory'> &
  Pick<DynamicModule, 'imports'>;

const OPTIONS = Symbol('nestjs-stomp-broker options');

/**
 * A STOMP broker inside a Nest application: it listens once the application has started, and ends its sessions when
 * the application shuts down.
 *
 * ```ts
 * @Module({ imports: [BrokerModule.forRoot({ port: 61613, users: { orders: 'secret' } })] })
 * export class AppModule {}
 * ```
 */
@Module({})
export class BrokerModule implements OnApplicationBootstrap, OnApplicationShutdown {
  constructor(
    @Inject(StompBroker) private readonly broker: StompBroker,
    @Inject(OPTIONS) private readonly options: BrokerOptions,
  ) {}

  /** @param options how the broker listens and behaves */
  static forRoot(options: BrokerOptions & BrokerModuleExtras = {}): DynamicModule {
    return declare(options, { provide: OPTIONS, useValue: options });
  }

  /** @param options a factory for the options, with what it needs injected */
  static forRootAsync(options: BrokerModuleAsyncOptions): DynamicModule {
    const { inject = [], useFactory, imports = [] } = options;
    return { ...declare(options, { provide: OPTIONS, inject, useFactory }), imports };
  }

  async onApplicationBootstrap(): Promise<void> {
    const { port, host, tls, proxy } = this.options;
    try {
      await this.broker.listen({ port, host, tls, proxy });
    } catch (error) {
      // Nest shuts nothing down that has not started: what its store was left with would be taken for a kill.
      await this.broker.close(this.options.shutdownTimeout);
      throw error;
    }
  }

  async onApplicationShutdown(): Promise<void> {
    await this.broker.close(this.options.shutdownTimeout);
  }
}

function declare(extras: BrokerModuleExtras, options: Provider): DynamicModule {
  const { admission = AdmissionController, isGlobal: global = false } = extras;
  return {
    module: BrokerModule,
    global,
    providers: [
      options,
      // A controller of the broker's alone: as a provider no other transport of the application takes its patterns.
      admission,
      AuthGuard,
      AccessGuard,
      { provide: AccessRules, inject: [OPTIONS], useFactory: (given: BrokerOptions) => readRules(given, admission) },
      { provide: Lockout, inject: [OPTIONS], useFactory: ({ lockout }: BrokerOptions) => new Lockout(lockout) },
      { provide: USERS, inject: [OPTIONS], useFactory: readUsers },
      {
        provide: AdmissionPipeline,
        inject: [ExternalContextCreator, admission, USERS, OPTIONS],
        useFactory: (
          creator: ExternalContextCreator,
          controller: object,
          users: UserDirectory,
          { audit, loginTimeout = 10_000 }: BrokerOptions,
        ) => new AdmissionPipeline(creator, controller, users, audit, loginTimeout),
      },
      { provide: StompBroker, inject: [OPTIONS, AdmissionPipeline], useFactory: createBroker },
    ],
    exports: [StompBroker, AccessRules],
  };
}

function readUsers({ users = {} }: BrokerOptions): UserDirectory {
  return typeof users.verify === 'function'
    ? (users as UserDirectory)
    : new InlineUsers(users as Record<string, string>);
}

/** @throws Error where rules would rest on names that nobody has checked */
function readRules(options: BrokerOptions, admission: Type<AdmissionController>): AccessRules {
  if (options.rules !== undefined && admission === AdmissionController && readUsers(options).size === 0) {
    throw new Error('rules need users: give users, or an admission with a guard of your own');
  }
  return new AccessRules(options.rules);
}

function createBroker(options: BrokerOptions, admission: AdmissionPipeline): StompBroker {
  const {
    users: _users,
    rules: _rules,
    lockout: _lockout,
    audit: _audit,
    proxy: _proxy,
    port: _port,
    host: _host,
    tls: _tls,
    shutdownTimeout: _timeout,
    store,
    policies,
    maxMemory = defaultMemory(),
    maxQueues,
    ...rest
  } = options;
  const memory = new Memory(maxMemory, options.log);
  const { maxDestination, maxDestinationDepth } = rest;
  const limits = { memory, maxQueues, maxDestination, maxDestinationDepth };
  const engine = new LocalEngine(makeStore(store, memory), policies, limits);
  return new StompBroker({ ...rest, memory, engine, admission });
}

/** What messages may take unless somebody says otherwise, in octets. */
export function defaultMemory(): number {
  const machine = Math.min(totalmem(), process.constrainedMemory() || Infinity);
  return Math.floor(Math.min(0.4 * machine, 0.4 * getHeapStatistics().heap_size_limit));
}

function makeStore(store: BrokerOptions['store'] = 'memory', memory: Memory): Store {
  if (store === 'memory') return new MemoryStore(memory);
  if (typeof store !== 'object' || store === null) {
    throw new Error(`store is ${JSON.stringify(store)}: it is "memory", { directory } for a store on disk, or a Store`);
  }
  return 'open' in store ? store : new DiskStore(store);
}
