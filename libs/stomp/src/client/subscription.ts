import { inspect } from 'node:util';
import { Frame } from '../frame/frame.js';
import { FrameHeaders, type HeadersInit } from '../frame/headers.js';
import { ConnectionLostError, NotConnectedError, ReceiptTimeoutError, ServerError } from './errors.js';
import { Feed } from './feed.js';
import { Handling, type MessageHandler } from './handling.js';
import { StompMessage } from './message.js';
import { individual, InOrder } from './outcome.js';
import type { Session } from './session.js';

/** How messages are acknowledged (STOMP 1.2, SUBSCRIBE ack Header). */
export type AckMode = 'auto' | 'client' | 'client-individual';

export interface SubscribeOptions {
  /**
   * `auto` (the default): a message counts as received once it is sent. `client`: an acknowledgement speaks for all
   * messages before it too. `client-individual`: for that message alone.
   */
  ack?: AckMode;
  /**
   * With a handler and an `ack` mode other than `auto`, a message is ACKed when the handler completes, or the promise
   * that it returns, and NACKed when that fails. `true` leaves it to `message.ack()` and `message.nack()`, as it
   * always is without a handler.
   */
  manual?: boolean;
  /** Unique among the subscriptions of the client; made up by default. It stays the same over reconnections. */
  id?: string;
  /** Further headers, such as `selector`; those of the protocol cannot be replaced. */
  headers?: HeadersInit;
  /**
   * How many messages the server may send ahead of their acknowledgements: sets `prefetch-count` (RabbitMQ, our own
   * broker) and `activemq.prefetchSize`. The server's default when left out.
   */
  prefetch?: number;
  /**
   * How many messages may be in the handler at a time; by default as many as `prefetch` says, where that is given and
   * messages are acknowledged, else 10,000.
   */
  concurrency?: number;
  /**
   * How many messages may wait for the loop, or for the handler where `concurrency` is limited, before the connection
   * is not read; 100 by default. While receipts are waited for, 16 times as many.
   */
  buffer?: number;
  /** Whether the server is asked to confirm, so that `ready` can tell; true by default. */
  receipt?: boolean;
}

export interface UnsubscribeOptions {
  /** Further headers, which some servers need to delete a durable subscription. */
  headers?: HeadersInit;
}

/** What messages of a subscription are given to. */
export interface Consumer {
  take(message: StompMessage): void;
  /** What waits to be taken is dropped: it will come again. */
  discard(): void;
  /** Resolves once nothing is in the works. */
  settled(): Promise<void>;
  /** No further messages come. */
  end(error?: Error): void;
}

/** What a subscription needs of the client. */
export interface SubscriptionHost {
  /** The connection of the moment. */
  session(): Session | undefined;
  /** No further messages are for it. */
  remove(subscription: Subscription): void;
  report(error: Error, message: StompMessage): void;
}

const OWN = ['id', 'destination', 'ack', 'receipt', 'transaction', 'content-length'];
const OWN_LEAVING = ['id', 'receipt', 'transaction', 'content-length'];
const DEFAULT_BUFFER = 100;
const DEFAULT_CONCURRENCY = 10_000;

/**
 * A subscription of a client, over all its connections. Without a handler it is an async iterable of messages, whose
 * loop ends when the subscription does:
 *
 * ```ts
 * for await (const message of client.subscribe('/queue/orders', { ack: 'client-individual' })) {
 *   await handle(message.json());
 *   message.ack();
 * }
 * ```
 */
export class Subscription implements AsyncIterable<StompMessage> {
  readonly id: string;
  readonly ack: AckMode;
  /** Resolves once the server has confirmed it, and fails when it is over before. */
  readonly ready: Promise<void>;

  /** @internal The id as it stands on the wire. */
  readonly idBytes: Buffer;
  /** @internal In `client` mode: the last message that an acknowledgement has spoken for. */
  settledUpTo = 0;
  private readonly headers: FrameHeaders;
  private readonly receipted: boolean;
  private readonly consumer: Consumer;
  private readonly feed: Feed | undefined;
  private serials = 0;
  private state: 'active' | 'draining' | 'over' = 'active';
  private left: Promise<void> | undefined;
  private settle!: { resolve: () => void; reject: (reason: Error) => void };

  /** @internal */
  constructor(
    private readonly host: SubscriptionHost,
    readonly destination: string,
    handler: MessageHandler | undefined,
    options: SubscribeOptions & { id: string },
  ) {
    const { ack = 'auto', buffer = DEFAULT_BUFFER, prefetch } = options;
    // Not every server heeds it.
    const { concurrency = (ack === 'auto' ? undefined : prefetch) ?? DEFAULT_CONCURRENCY } = options;
    if (typeof destination !== 'string' || destination === '') throw new TypeError('destination: a name');
    if (!['auto', 'client', 'client-individual'].includes(ack)) {
      throw new TypeError('ack: one of auto, client and client-individual');
    }
    for (const [name, value] of Object.entries({ buffer, concurrency, prefetch: prefetch ?? 1 })) {
      if (!(value >= 1)) throw new TypeError(`${name}: a number, 1 or more`);
    }
    this.id = options.id;
    this.idBytes = Buffer.from(options.id);
    this.ack = ack;
    this.headers = new FrameHeaders(options.headers);
    this.receipted = options.receipt ?? true;
    if (prefetch !== undefined) {
      this.headers.set('prefetch-count', String(prefetch));
      this.headers.set('activemq.prefetchSize', String(prefetch));
    }
    this.ready = new Promise((resolve, reject) => (this.settle = { resolve, reject }));
    this.ready.catch(() => undefined); // Whoever does not ask does not want to know.
    if (handler === undefined) {
      this.consumer = this.feed = new Feed(buffer, () => void this.unsubscribe());
    } else {
      const outcome =
        ack === 'auto' || options.manual === true ? undefined : ack === 'client' ? new InOrder() : individual;
      this.consumer = new Handling(handler, concurrency, buffer, outcome, (error, message) =>
        host.report(error, message),
      );
    }
  }

  /** Whether it stands: neither unsubscribed nor ended with the client. */
  get active(): boolean {
    return this.state !== 'over';
  }

  /**
   * Lets go of no further messages, and waits for the handlers that run; their acknowledgements still count. With
   * `auto` messages go on coming, as they would be lost otherwise.
   *
   * ```ts
   * await subscription.drain();
   * await subscription.unsubscribe();
   * ```
   */
  drain(): Promise<void> {
    if (this.state === 'active') this.state = 'draining';
    if (this.ack !== 'auto') this.consumer.discard();
    return this.consumer.settled();
  }

  /**
   * Ends the subscription (STOMP 1.2, UNSUBSCRIBE) and resolves once the server has confirmed it: no message comes
   * after that. Messages not yet acknowledged cannot be any more and go back to the server; `drain` first to let
   * handlers finish. A connection that is lost meanwhile ends the subscription just as well.
   *
   * @returns a promise that fails with ServerError or ReceiptTimeoutError; and, where there are headers, with
   *   ConnectionLostError or NotConnectedError, as what they asked for may not have been done
   */
  unsubscribe(options: UnsubscribeOptions = {}): Promise<void> {
    if (this.left === undefined) {
      const headers = options.headers === undefined ? undefined : new FrameHeaders(options.headers);
      this.left = this.active ? this.leave(headers) : Promise.resolve();
      this.left.catch(() => undefined); // Whoever does not await it does not want to know.
      this.drop();
    }
    return this.left;
  }

  /**
   * The messages, in their order.
   *
   * @throws TypeError when there is a handler, which gets them
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<StompMessage, undefined> {
    if (this.feed === undefined) throw new TypeError('the messages of this subscription go to its handler');
    return this.feed;
  }

  /** Unsubscribes. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.unsubscribe();
  }

  /** @internal A MESSAGE has come for it. */
  deliver(frame: Frame, session: Session): void {
    if (this.state === 'draining' && this.ack !== 'auto') return;
    this.consumer.take(new StompMessage(frame, this, session, ++this.serials));
  }

  /** @internal Sends SUBSCRIBE on a new connection. Throws when it cannot be written. */
  establish(session: Session): void {
    const { id, destination, ack } = this;
    const frame = new Frame('SUBSCRIBE', { id, destination, ack });
    for (const [name, value] of this.headers) if (!OWN.includes(name)) frame.headers.add(name, value);
    if (this.receipted) session.sendReceipted(frame, (error) => this.confirmed(error));
    else {
      session.send(frame);
      this.settle.resolve();
    }
  }

  /** @internal The connection is lost; the client looks for another. */
  lost(): void {
    if (this.ack !== 'auto') this.consumer.discard();
  }

  /** @internal */
  end(error?: Error): void {
    if (this.state === 'over') return;
    this.state = 'over';
    if (this.ack !== 'auto') this.consumer.discard();
    this.consumer.end(error);
    this.settle.reject(error ?? new NotConnectedError('the subscription has ended'));
  }

  /** @internal It is over, for that reason. */
  drop(reason?: Error): void {
    this.host.remove(this);
    this.end(reason);
  }

  private leave(headers: FrameHeaders | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const session = this.host.session();
      if (session?.open !== true) {
        // What does not stand on a connection is gone, but for what the headers ask for.
        if (headers === undefined) resolve();
        else reject(new NotConnectedError('cannot unsubscribe: the client is not connected'));
        return;
      }
      const frame = new Frame('UNSUBSCRIBE', { id: this.id });
      for (const [name, value] of headers ?? []) if (!OWN_LEAVING.includes(name)) frame.headers.add(name, value);
      session.sendReceipted(frame, (error) => {
        if (error === undefined || (error instanceof ConnectionLostError && headers === undefined)) resolve();
        else reject(error);
      });
    });
  }

  private confirmed(error: Error | undefined): void {
    if (error === undefined) this.settle.resolve();
    else if (error instanceof ReceiptTimeoutError) this.settle.reject(error);
    // The server will not have it, so there is no point in asking for it again after the next connection.
    else if (error instanceof ServerError) this.drop(error);
  }

  /** @internal */
  [inspect.custom](): object {
    return this.toJSON();
  }

  /** @internal */
  toJSON(): object {
    return { id: this.id, destination: this.destination, ack: this.ack, active: this.active };
  }
}
