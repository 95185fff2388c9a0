import { inspect } from 'node:util';
import { Frame } from '../frame/frame.js';
import { FrameHeaders, type HeadersInit } from '../frame/headers.js';
import { TransactionEndedError } from './errors.js';
import type { AcknowledgeOptions, StompMessage } from './message.js';
import { type Body, type SendOptions, writeSend } from './outgoing.js';
import type { Session } from './session.js';

export interface TransactionOptions {
  /** Further headers of the BEGIN frame. */
  headers?: HeadersInit;
}

/**
 * Messages and acknowledgements that count together or not at all (STOMP 1.2, BEGIN). It lives on one connection:
 * when that is lost the server drops it, and everything but `abort` fails with TransactionEndedError.
 *
 * ```ts
 * const transaction = client.begin();
 * transaction.send('/queue/b', message.body);
 * transaction.ack(message);
 * await transaction.commit();
 * ```
 */
export class Transaction {
  private state: 'open' | 'committed' | 'aborted' = 'open';
  private held: { message: StompMessage; before: number }[] = [];

  /** @internal */
  constructor(
    readonly id: string,
    private readonly session: Session,
    options: TransactionOptions = {},
  ) {
    const frame = new Frame('BEGIN', { transaction: id });
    for (const [name, value] of new FrameHeaders(options.headers)) {
      if (name !== 'transaction' && name !== 'receipt') frame.headers.add(name, value);
    }
    session.send(frame);
  }

  /** Whether it can still be used. */
  get open(): boolean {
    return this.state === 'open' && this.session.open;
  }

  /**
   * Sends a message that is delivered once this is committed.
   *
   * @returns whether the server keeps up, as `StompClient.send`
   */
  send(destination: string, body?: Body, options?: SendOptions): boolean {
    this.check(this.session);
    writeSend(this.session, destination, body, { ...options, transaction: this }, undefined);
    return this.session.connection.writable;
  }

  /** Acknowledges a message once this is committed; see `StompMessage.ack`. */
  ack(message: StompMessage, options?: AcknowledgeOptions): boolean {
    return message.ack({ ...options, transaction: this });
  }

  /** See `StompMessage.nack`. */
  nack(message: StompMessage, options?: AcknowledgeOptions): boolean {
    return message.nack({ ...options, transaction: this });
  }

  /**
   * Makes it all count. Resolves once the server has confirmed that.
   *
   * @returns a promise that fails with TransactionEndedError when there is nothing to commit any more, and with
   *   ConnectionLostError, ReceiptTimeoutError or ServerError when it is unknown or known not to be committed
   */
  commit(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.check(this.session);
      this.session.sendReceipted(new Frame('COMMIT', { transaction: this.id }), (error) => {
        if (error === undefined) resolve();
        else reject(error);
      });
      this.state = 'committed';
      this.held = [];
    });
  }

  /** Drops it all; messages that were acknowledged in it are unacknowledged again. Does nothing once it has ended. */
  abort(): void {
    if (!this.open) return;
    this.session.send(new Frame('ABORT', { transaction: this.id }));
    this.state = 'aborted';
    for (const { message, before } of this.held.reverse()) {
      message.settled = false;
      const subscription = message.subscription!;
      // An acknowledgement outside of the transaction may have spoken for it since then.
      if (subscription.settledUpTo === message.serial) subscription.settledUpTo = before;
    }
    this.held = [];
  }

  /** @internal */
  [inspect.custom](): object {
    return this.toJSON();
  }

  /** @internal */
  toJSON(): object {
    return { id: this.id, open: this.open };
  }

  /** Aborts it, unless it was committed. */
  [Symbol.dispose](): void {
    this.abort();
  }

  /**
   * @internal
   * @throws TransactionEndedError when it cannot be used, or not for that connection
   */
  check(session: Session): void {
    if (this.state !== 'open') {
      throw new TransactionEndedError(`the transaction ${this.id} was ${this.state} before: begin another`);
    }
    if (!this.session.open) {
      throw new TransactionEndedError(
        `the transaction ${this.id} went with its connection, so nothing of it counts: begin another`,
      );
    }
    if (session !== this.session && session.open) {
      throw new TransactionEndedError(`the transaction ${this.id} belongs to another client`);
    }
  }

  /** @internal A message was acknowledged in it. */
  hold(message: StompMessage): void {
    const subscription = message.subscription!;
    this.held.push({ message, before: subscription.settledUpTo });
    if (subscription.ack === 'client') subscription.settledUpTo = message.serial;
  }
}
