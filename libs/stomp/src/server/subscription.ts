import { encodeHeader } from '../frame/encoder.js';
import { escapingOf } from '../frame/escape.js';
import type { FrameHeaders } from '../frame/headers.js';
import { ACKNOWLEDGED, Delivery, type Farewell, type Outcome, Pending } from './pending.js';
import { type Message, messagePrefix } from './message.js';
import type { Route } from './broker.js';
import type { Session } from './session.js';
import type { Lag } from './unread.js';

/** How the messages of a subscription are acknowledged (STOMP 1.2, SUBSCRIBE ack Header). */
export type AckMode = 'auto' | 'client' | 'client-individual';

/** How many messages a subscription may have unacknowledged, unless its broker says otherwise. */
export const DEFAULT_PREFETCH = 100;

/** A subscription of a session: messages go out through it, acknowledgements come back to it. */
export class Subscription {
  /** Called when it can take messages again: after acknowledgements, and when its socket has drained. */
  onReady: (() => void) | undefined = undefined;
  /** @internal */
  readonly pending = new Pending(this);
  /** @internal Octets of memory that it takes. */
  weight = 0;
  private credit: number;
  private readonly prefix: Buffer;
  // The `ack` header without its number; before 1.2 there is none.
  private readonly ackLine: Buffer | undefined;
  private readonly write: Session['connection'];
  private active = false;
  private stopped = false;
  // Nobody is expected to answer for its messages any more.
  private abandoned = false;
  private lingers = false;
  private waiting: Set<Session> | undefined;
  // What waits for its acknowledgements; made when there is something.
  private owed: Lag | undefined;

  /**
   * @param session the session that it belongs to
   * @param serial a number that no other subscription of the session has
   * @param id the `id` header; undefined for a 1.0 SUBSCRIBE without one
   * @param maxUnacknowledged the most that its prefetch can be
   */
  constructor(
    readonly session: Session,
    readonly serial: number,
    readonly id: string | undefined,
    readonly destination: string,
    readonly ack: AckMode,
    readonly headers: FrameHeaders,
    readonly route: Route,
    private readonly maxUnacknowledged: number,
  ) {
    this.credit = Math.min(DEFAULT_PREFETCH, maxUnacknowledged);
    this.write = session.connection;
    const line = id === undefined ? '' : encodeHeader('subscription', id, escapingOf(session.version));
    this.prefix = messagePrefix(line);
    this.ackLine = ack === 'auto' || session.version !== '1.2' ? undefined : Buffer.from(`ack:${serial}-`);
  }

  /** How many messages may wait for their acknowledgement; not used for `auto`, where the socket is the credit. */
  get prefetch(): number {
    return this.credit;
  }

  set prefetch(count: number) {
    this.credit = Math.min(count, this.maxUnacknowledged);
  }

  /** Whether it can take a message: it has credit, and its socket keeps up. */
  get ready(): boolean {
    return this.active && (this.ack === 'auto' || this.pending.size < this.credit) && this.write.writable;
  }

  /** How many more messages it can take at the moment; with `auto` there is no limit while its socket keeps up. */
  get room(): number {
    if (!this.ready) return 0;
    return this.ack === 'auto' ? Number.POSITIVE_INFINITY : this.credit - this.pending.size;
  }

  /** What waits for the client to take messages of this subscription; undefined where nobody counts memory. */
  get lag(): Lag | undefined {
    return this.ack === 'auto' ? this.session.lag : (this.owed ??= this.session.lag?.part());
  }

  /** Hands out a message that nobody has to answer for. */
  send(message: Message): void {
    if (!this.active) return;
    if (this.ack === 'auto') {
      this.transmit(message, -1, 0);
      return;
    }
    if (message.readers === 0) message.detach();
    this.lag?.keep(message);
    this.deliver(new Delivery(message));
  }

  /**
   * Hands out a delivery. With `auto` it is settled at once: the message counts as received as soon as it is sent.
   */
  deliver(delivery: Delivery): void {
    if (!this.active) {
      delivery.source?.settle(delivery, { kind: 'return' }, this);
      return;
    }
    delivery.holder = this;
    const number = this.ack === 'auto' ? -1 : this.pending.add(delivery);
    this.transmit(delivery.message, number, delivery.count);
    if (this.ack === 'auto') delivery.source?.settle(delivery, { kind: 'ack' }, this);
  }

  /** Reads no further from a publisher until this subscription is ready again, or over. */
  slow(publisher: Session): void {
    if (!this.active || this.waiting?.has(publisher) === true) return;
    (this.waiting ??= new Set()).add(publisher);
    publisher.waitFor(this);
  }

  /** @internal A publisher is gone. */
  forget(publisher: Session): void {
    this.waiting?.delete(publisher);
  }

  /** @internal Its receipt is on its way: messages may follow. */
  start(): void {
    if (this.stopped) return;
    this.active = true;
    this.wake();
  }

  /** @internal Something that it waited for has happened. */
  wake(): void {
    try {
      this.onReady?.();
    } catch (error) {
      this.session.abort(error);
    }
    if (this.waiting !== undefined && this.ready) this.releasePublishers();
  }

  /** @internal One delivery was acknowledged; false where there is none, or an open transaction holds the answer to it. */
  acknowledge(number: number): boolean {
    const delivery = this.pending.get(number);
    if (delivery === undefined || (delivery.transaction !== undefined && delivery.holder === this)) return false;
    this.take(number, delivery);
    delivery.source?.settle(delivery, ACKNOWLEDGED, this);
    return true;
  }

  /** @internal One delivery was answered for. */
  settle(number: number, outcome: Outcome): void {
    const delivery = this.pending.get(number);
    if (delivery === undefined) return;
    this.remove(number);
    delivery.source?.settle(delivery, outcome, this);
  }

  /** @internal One delivery waits no longer. */
  remove(number: number): void {
    const delivery = this.pending.get(number);
    if (delivery === undefined) return;
    this.take(number, delivery);
  }

  private take(number: number, delivery: Delivery): void {
    this.pending.remove(number, delivery);
    const { owed } = this;
    if (owed === undefined) return;
    owed.moved = true;
    if (this.keeps(delivery)) owed.drop(delivery.message);
  }

  /** Whether the message waits here: a queue has its messages itself, until they are given back. */
  private keeps({ source }: Delivery): boolean {
    return source === undefined || this.lingers;
  }

  /** @internal Whether an open transaction holds the answer to a delivery; not that of somebody who has it by now. */
  binds(number: number): boolean {
    const delivery = this.pending.get(number);
    return delivery?.transaction !== undefined && delivery.holder === this;
  }

  /** @internal Nothing goes out any more; what is unacknowledged stays until it is settled or returned. */
  stop(): void {
    this.active = false;
    this.stopped = true;
    this.onReady = undefined;
    this.releasePublishers();
  }

  /**
   * @internal Gives back what was not acknowledged, oldest first; a late acknowledgement still finds it here. What an
   * open transaction holds stays until that is over.
   */
  giveBack(farewell: Farewell): void {
    this.abandoned = true;
    for (const delivery of this.pending.all()) this.putBack(delivery, farewell);
  }

  /**
   * @internal After `giveBack`: what was given back is kept, too, for acknowledgements that come late.
   *
   * @param letGo called where that takes too much memory
   */
  linger(letGo: () => void): void {
    for (const { source, message } of this.pending.all()) if (source !== undefined) this.lag?.keep(message);
    this.lingers = true;
    if (this.owed !== undefined) this.owed.letGo = letGo;
  }

  /** @internal An answer has come, be it in a transaction that is open still. */
  answered(): void {
    if (this.owed !== undefined) this.owed.moved = true;
  }

  /** @internal Acknowledgements are not waited for any more. */
  close(): void {
    const { owed } = this;
    if (owed === undefined) return;
    // What an open transaction holds is taken out at its COMMIT, and counts no more by then.
    this.owed = undefined;
    for (const delivery of this.pending.all()) if (this.keeps(delivery)) owed.drop(delivery.message);
    owed.close();
  }

  /** @internal A transaction that held an acknowledgement was aborted. */
  release(delivery: Delivery): void {
    delivery.transaction = undefined;
    if (this.abandoned) this.putBack(delivery, 'return');
  }

  private putBack(delivery: Delivery, kind: Farewell): void {
    if (delivery.transaction !== undefined) return;
    this.session.guard(() => delivery.source?.settle(delivery, { kind }, this));
  }

  private transmit(message: Message, number: number, count: number): void {
    message.write(this.write.outbox, this.session.version!, this.prefix, this.ackLine, number, count);
    this.write.touch();
    this.session.traceMessage(this, message);
  }

  private releasePublishers(): void {
    const waiting = this.waiting;
    this.waiting = undefined;
    if (waiting !== undefined) for (const publisher of waiting) publisher.goOn(this);
  }
}
