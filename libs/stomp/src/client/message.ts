import { inspect } from 'node:util';
import type { Frame } from '../frame/frame.js';
import type { FrameHeaders, HeadersInit } from '../frame/headers.js';
import { writeAcknowledgement } from './outgoing.js';
import { MESSAGE_ID, peek } from './peek.js';
import type { Session } from './session.js';
import type { Subscription } from './subscription.js';
import type { Transaction } from './transaction.js';

export interface AcknowledgeOptions {
  /** Further headers, for servers that know some: RabbitMQ and ours take `requeue` on a NACK. */
  headers?: HeadersInit;
  /** The acknowledgement counts when that is committed. */
  transaction?: Transaction;
}

/** A message that has come in (STOMP 1.2, MESSAGE). Headers and body stay bytes until they are asked for. */
export class StompMessage {
  /** @internal Acknowledged, or in a transaction that will be. */
  settled = false;
  /** @internal What became of its handler, where messages are acknowledged in their order. */
  outcome: 'new' | 'running' | 'succeeded' | 'failed' = 'new';

  /**
   * @internal
   * @param session the connection that it came by: the only one that its acknowledgement can go by
   * @param serial counts the messages of the subscription
   */
  constructor(
    /** The MESSAGE frame. */
    readonly frame: Frame,
    /** What it came by; undefined when the server sent it without a subscription of this client's. */
    readonly subscription: Subscription | undefined,
    /** @internal */
    readonly session: Session,
    /** @internal */
    readonly serial: number,
  ) {}

  get headers(): FrameHeaders {
    return this.frame.headers;
  }

  get destination(): string {
    return this.frame.headers.get('destination') ?? '';
  }

  /** The `message-id` header. */
  get id(): string {
    return peek(this.frame, MESSAGE_ID) ?? '';
  }

  get body(): Buffer {
    return this.frame.body;
  }

  /**
   * The body as text, by the charset of `content-type`, UTF-8 when it names none.
   *
   * @throws FrameError `body-unencodable` when the bytes are not of that charset
   */
  get text(): string {
    return this.frame.text;
  }

  /**
   * The body as JSON.
   *
   * @throws SyntaxError when it is none
   */
  json<T = unknown>(): T {
    return JSON.parse(this.frame.text) as T;
  }

  /**
   * Tells the server that the message was processed (STOMP 1.2, ACK); in `client` mode it and all before it.
   *
   * @returns false when there was nothing to tell: the subscription is `auto` or over, the message was acknowledged
   *   before, or its connection is gone, in which case it will come again
   * @throws TransactionEndedError
   */
  ack(options?: AcknowledgeOptions): boolean {
    return this.settle('ACK', options);
  }

  /**
   * Tells the server that the message was not processed (STOMP 1.2, NACK); what comes of it is the server's affair.
   * STOMP 1.0 has no NACK: there nothing is sent, and the message stays unacknowledged.
   *
   * @returns false when there was nothing to tell, as for `ack`, or no way to
   * @throws TransactionEndedError
   */
  nack(options?: AcknowledgeOptions): boolean {
    return this.session.version === '1.0' ? false : this.settle('NACK', options);
  }

  /** @internal Whether an acknowledgement of it means something to the server. */
  get unsettled(): boolean {
    const { subscription } = this;
    if (this.settled || subscription === undefined || subscription.ack === 'auto') return false;
    return this.session.open && subscription.active && this.serial > subscription.settledUpTo;
  }

  private settle(command: 'ACK' | 'NACK', options?: AcknowledgeOptions): boolean {
    const transaction = options?.transaction;
    transaction?.check(this.session);
    if (!this.unsettled) return false;
    writeAcknowledgement(this.session, command, this, options);
    this.settled = true;
    if (transaction !== undefined) transaction.hold(this);
    else if (this.subscription!.ack === 'client') this.subscription!.settledUpTo = this.serial;
    return true;
  }

  /** @internal */
  [inspect.custom](): object {
    return { ...this.toJSON(), body: this.body };
  }

  /** @internal */
  toJSON(): object {
    return { destination: this.destination, headers: this.headers.toObject() };
  }
}
