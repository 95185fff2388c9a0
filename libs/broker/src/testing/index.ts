import type { Dial } from 'nestjs-stomp/client';
import { StompBroker, type StompBrokerOptions } from '../broker.js';
import { LocalEngine } from '../engine/local.js';
import { MemoryStore } from '../store/memory.js';
import { makePair } from './pair.js';

/**
 * A real broker inside the process of a test, without ports: clients and transports reach it by its `dial`.
 *
 * ```ts
 * const broker = new StompTestBroker();
 * const strategy = new StompStrategy({ dial: broker.dial });
 * const client = new StompClientProxy({ dial: broker.dial });
 * // ...
 * await broker.close();
 * ```
 */
export class StompTestBroker {
  /** The broker itself: its sessions, and ways to end them. */
  readonly broker: StompBroker;

  /** @param options how its sessions behave, and who may come in: everybody without `admission` */
  constructor(options: Omit<StompBrokerOptions, 'engine'> = {}) {
    this.broker = new StompBroker({ ...options, engine: new LocalEngine(new MemoryStore()) });
  }

  /** The option `dial` of a client: every URL leads here. */
  readonly dial: Dial = async () => {
    await this.broker.start();
    const [ours, theirs] = makePair();
    this.broker.accept(ours);
    return theirs;
  };

  /** Breaks all connections, as a network would; clients come back by themselves. */
  disconnectAll(): void {
    for (const session of this.broker.sessions) session.destroy();
  }

  /** Ends it; nothing is kept. */
  async close(): Promise<void> {
    await this.broker.close(1_000);
  }
}
