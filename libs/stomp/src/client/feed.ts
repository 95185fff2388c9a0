import { Inbox } from './inbox.js';
import type { StompMessage } from './message.js';
import type { Consumer } from './subscription.js';

type Result = IteratorResult<StompMessage, undefined>;

interface Waiter {
  resolve(result: Result): void;
  reject(reason: Error): void;
}

/** Gives the messages of a subscription to an async iterator, in their order, as fast as it asks for them. */
export class Feed implements Consumer, AsyncIterableIterator<StompMessage, undefined> {
  private readonly inbox: Inbox;
  private waiters: Waiter[] = [];
  private ended = false;
  private error: Error | undefined;

  /**
   * @param limit how many messages may wait before the connection is not read
   * @param onReturn told when the loop was left
   */
  constructor(
    limit: number,
    private readonly onReturn: () => void,
  ) {
    this.inbox = new Inbox(limit);
  }

  take(message: StompMessage): void {
    const waiter = this.waiters.shift();
    if (waiter === undefined) this.inbox.push(message);
    else waiter.resolve({ done: false, value: message });
  }

  discard(): void {
    this.inbox.clear();
  }

  /** A loop is left alone: only it knows how far it is. */
  settled(): Promise<void> {
    return Promise.resolve();
  }

  end(error?: Error): void {
    if (this.ended) return;
    this.ended = true;
    this.error = error;
    this.inbox.release();
    const waiters = this.waiters;
    this.waiters = [];
    for (const waiter of waiters) {
      if (this.error === undefined) waiter.resolve({ done: true, value: undefined });
      else waiter.reject(this.takeError());
    }
  }

  next(): Promise<Result> {
    const message = this.inbox.shift();
    if (message !== undefined) return Promise.resolve({ done: false, value: message });
    if (this.error !== undefined) return Promise.reject(this.takeError());
    if (this.ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => this.waiters.push({ resolve, reject }));
  }

  return(): Promise<Result> {
    this.inbox.clear();
    this.error = undefined;
    this.onReturn();
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The error is thrown once; after it the iterator is at its end. */
  private takeError(): Error {
    const error = this.error!;
    this.error = undefined;
    return error;
  }
}
