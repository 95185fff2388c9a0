import { NotConnectedError } from '../client/index.js';
import type { StompClientProxyOptions } from './stomp.options.js';

interface Waiter {
  readonly size: number;
  readonly go: () => void;
  readonly fail: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

const DEFAULTS = { maxMessages: 1_000, maxBytes: 16 * 1024 * 1024, maxAge: 30_000 };

/** What is to be sent once there is a connection again: bounded in number, octets and age. */
export class Waiting {
  private readonly bounds: typeof DEFAULTS | false;
  private readonly waiters = new Set<Waiter>();
  private octets = 0;

  constructor(offline: StompClientProxyOptions['offline']) {
    this.bounds = offline !== false && { ...DEFAULTS, ...offline };
  }

  get size(): number {
    return this.waiters.size;
  }

  /**
   * Waits.
   *
   * @param size octets of the message
   * @param go sends it
   * @param fail called instead when it cannot wait, or has waited too long
   * @param patience how long it would wait at most, in ms, if that is less than everything may
   * @returns gives it up
   */
  add(size: number, go: () => void, fail: (error: Error) => void, patience: number): () => void {
    const { bounds } = this;
    if (bounds === false) {
      fail(new NotConnectedError('there is no connection to the broker'));
      return () => undefined;
    }
    if (this.waiters.size >= bounds.maxMessages || this.octets + size > bounds.maxBytes) {
      fail(
        new NotConnectedError(
          `there is no connection to the broker, and ${this.waiters.size} messages of ${this.octets} octets wait for one already: see the option offline`,
        ),
      );
      return () => undefined;
    }
    const wait = Math.min(bounds.maxAge, patience);
    const timer = setTimeout(() => {
      this.remove(waiter);
      fail(new NotConnectedError(`there was no connection to the broker for ${wait} ms`));
    }, wait);
    const waiter: Waiter = { size, go, fail, timer };
    this.waiters.add(waiter);
    this.octets += size;
    return () => this.remove(waiter);
  }

  /** There is a connection: everything goes, in its order. */
  release(): void {
    for (const waiter of [...this.waiters]) {
      this.remove(waiter);
      waiter.go();
    }
  }

  /** There will be none. */
  failAll(error: Error): void {
    for (const waiter of [...this.waiters]) {
      this.remove(waiter);
      waiter.fail(error);
    }
  }

  private remove(waiter: Waiter): void {
    clearTimeout(waiter.timer);
    if (this.waiters.delete(waiter)) this.octets -= waiter.size;
  }
}
