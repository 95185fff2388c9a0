import { asError } from './errors.js';
import { Inbox } from './inbox.js';
import type { StompMessage } from './message.js';
import type { Outcome } from './outcome.js';
import type { Consumer } from './subscription.js';

/** Takes the messages of a subscription. Its outcome may be told to the server: see `SubscribeOptions.manual`. */
export type MessageHandler = (message: StompMessage) => unknown;

/** Calls a handler for each message, and tells what became of it. */
export class Handling implements Consumer {
  private readonly inbox: Inbox;
  private running = 0;
  private idle: (() => void)[] = [];

  /**
   * @param concurrency how many messages may be in the handler at a time
   * @param limit how many more may wait before the connection is not read
   * @param outcome what is done about the end of a handler; undefined for nothing
   * @param report told of every failure
   */
  constructor(
    private readonly handler: MessageHandler,
    private readonly concurrency: number,
    limit: number,
    private readonly outcome: Outcome | undefined,
    private readonly report: (error: Error, message: StompMessage) => void,
  ) {
    this.inbox = new Inbox(limit);
  }

  take(message: StompMessage): void {
    if (this.running < this.concurrency) this.run(message);
    else this.inbox.push(message);
  }

  discard(): void {
    this.inbox.clear();
    this.tellIdle();
  }

  /** Resolves once no handler runs and none waits to. */
  settled(): Promise<void> {
    if (this.running === 0 && this.inbox.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.idle.push(resolve));
  }

  end(): void {
    // Handlers that run go on, and so does what an auto subscription has taken already.
    this.inbox.release();
  }

  private run(message: StompMessage): void {
    let result: unknown;
    try {
      result = this.handler(message);
    } catch (error) {
      this.failed(message, error);
      return;
    }
    if (isThenable(result)) this.await(message, result);
    else this.succeeded(message);
  }

  private await(message: StompMessage, result: PromiseLike<unknown>): void {
    this.running++;
    this.outcome?.started(message);
    Promise.resolve(result).then(
      () => {
        this.succeeded(message);
        this.next();
      },
      (error: unknown) => {
        this.failed(message, error);
        this.next();
      },
    );
  }

  private succeeded(message: StompMessage): void {
    if (this.outcome === undefined) return;
    try {
      this.outcome.succeeded(message);
    } catch (error) {
      this.report(asError(error), message);
    }
  }

  private failed(message: StompMessage, thrown: unknown): void {
    let error = asError(thrown);
    try {
      if (this.outcome !== undefined) error = this.outcome.failed(message, error);
    } catch (another) {
      this.report(asError(another), message);
    }
    this.report(error, message);
  }

  private next(): void {
    this.running--;
    while (this.running < this.concurrency) {
      const message = this.inbox.shift();
      if (message === undefined) break;
      this.run(message);
    }
    this.tellIdle();
  }

  private tellIdle(): void {
    if (this.running > 0 || this.inbox.size > 0 || this.idle.length === 0) return;
    const idle = this.idle;
    this.idle = [];
    for (const resolve of idle) resolve();
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}
