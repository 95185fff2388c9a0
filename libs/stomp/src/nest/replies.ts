import { randomUUID } from 'node:crypto';
import type { WritePacket } from '@nestjs/microservices';
import type { StompMessage, Subscription } from '../client/index.js';
import { CORRELATION_ID, REPLY_STATE, type ReplyState } from './headers.js';
import type { StompConnection } from './stomp.connection.js';

type Callback = (packet: WritePacket) => void;

interface Pending {
  readonly callback: Callback;
  timer: NodeJS.Timeout | undefined;
}

/**
 * The requests of a client that wait for replies: one reply queue for all of them, and a correlation id for each.
 * Every request is settled: by its replies, by its time-out, by the loss of the connection, or by its teardown.
 */
export class Replies {
  private readonly name = randomUUID();
  private readonly pending = new Map<string, Pending>();
  private subscription: Subscription | undefined;
  private serials = 0;
  private listening = false;

  /**
   * @param timeout how long the next reply may take, in ms; 0 for ever
   * @param read reads the data of a message
   */
  constructor(
    private readonly connection: StompConnection,
    readonly timeout: number,
    private readonly read: (message: StompMessage) => unknown,
  ) {}

  /** How many requests wait. */
  get size(): number {
    return this.pending.size;
  }

  /** Where replies are to be sent; sees to it that they come here. To be called while connected. */
  address(): string {
    const { client, peer } = this.connection;
    const destination = peer.replies === 'own' ? `/queue/reply.${this.name}` : `/temp-queue/reply.${this.name}`;
    if (peer.replies === 'implicit') {
      // RabbitMQ subscribes us by itself, and names that subscription as the queue.
      if (!this.listening) client.on('unhandled', this.onMessage);
      this.listening = true;
    } else if (this.subscription?.active !== true) {
      const headers =
        peer.replies === 'own' ? { 'auto-delete': 'true', exclusive: 'true', 'subscription-type': 'ANYCAST' } : {};
      this.subscription = client.subscribe(destination, this.onMessage, { headers });
    }
    return destination;
  }

  /** Waits for the replies to a request; returns its correlation id. */
  open(callback: Callback): string {
    const id = `${this.name}.${++this.serials}`;
    this.pending.set(id, { callback, timer: this.arm(id) });
    return id;
  }

  /** Forgets a request: nobody waits for it any more. */
  close(id: string): void {
    clearTimeout(this.pending.get(id)?.timer);
    this.pending.delete(id);
  }

  /** Ends one request with an error. */
  fail(id: string, err: unknown): void {
    const callback = this.pending.get(id)?.callback;
    this.close(id);
    callback?.({ err, isDisposed: true });
  }

  /** Ends all requests with an error. */
  failAll(err: Error): void {
    for (const id of [...this.pending.keys()]) this.fail(id, err);
  }

  /** Takes no further replies. */
  stop(): void {
    this.connection.client.off('unhandled', this.onMessage);
    this.listening = false;
    this.subscription?.unsubscribe().catch(() => undefined);
    this.subscription = undefined;
  }

  private readonly onMessage = (message: StompMessage): void => {
    const id = message.headers.get(CORRELATION_ID);
    const pending = id === undefined ? undefined : this.pending.get(id);
    if (id === undefined || pending === undefined) return;
    const state = (message.headers.get(REPLY_STATE) ?? 'last') as ReplyState;
    let response: unknown;
    try {
      response = state === 'end' ? undefined : this.read(message);
    } catch (error) {
      this.fail(id, error);
      return;
    }
    // Nest takes what is nothing for no error.
    if (state === 'error')
      this.fail(id, response || new Error(`the request has failed, with ${JSON.stringify(response ?? null)}`));
    else if (state === 'next') {
      clearTimeout(pending.timer);
      pending.timer = this.arm(id);
      pending.callback({ response });
    } else {
      this.close(id);
      pending.callback(state === 'end' ? { isDisposed: true } : { response, isDisposed: true });
    }
  };

  private arm(id: string): NodeJS.Timeout | undefined {
    if (this.timeout === 0) return undefined;
    return setTimeout(() => this.fail(id, new Error(`no reply came within ${this.timeout} ms`)), this.timeout);
  }
}
