import { quote } from '../frame/error.js';
import { Frame } from '../frame/frame.js';
import type { Route } from './broker.js';
import { StompError } from './error.js';
import type { Outcome } from './pending.js';
import type { Session } from './session.js';
import { type AckMode, Subscription } from './subscription.js';

/** How long what a subscription left unacknowledged waits for a late ACK after its UNSUBSCRIBE, in ms. */
const LATE_ACK = 1_000;

/** How many ended subscriptions are remembered for acknowledgements that come later still. */
const MAX_LATE = 100;

const DASH = 45;
const MAX_DIGITS = 15;

/** A delivery that an ACK or NACK frame names. */
export interface Named {
  readonly subscription: Subscription;
  readonly number: number;
}

/** The subscriptions of one session. */
export class Subscriptions {
  /** By id; those without one (1.0) have a key that no id can be. */
  readonly byId = new Map<string, Subscription>();
  private readonly bySerial = new Map<number, Subscription>();
  private readonly departed = new Map<Subscription, NodeJS.Timeout>();
  private readonly late: Subscription[] = [];
  // Made in the client's name, by destination.
  private readonly implicit = new Map<string, Subscription>();
  private serials = 0;
  /** The number of the delivery that `locate` has read. */
  located = 0;

  constructor(
    private readonly session: Session,
    private readonly most: number,
    private readonly maxUnacknowledged: number,
  ) {}

  /**
   * The subscription that a SUBSCRIBE frame asks for; `add` puts it in place.
   *
   * @throws StompError for an id that is in use, an acknowledgement mode that is none, or one too many
   */
  create(frame: Frame, route: Route): Subscription {
    const { session } = this;
    const { headers } = frame;
    const id = headers.get('id');
    if (id !== undefined && this.byId.has(id)) {
      throw new StompError('subscription exists', `the subscription id ${quote(id)} is in use in this session`);
    }
    if (this.byId.size >= this.most) {
      throw new StompError('too many subscriptions', `a session has at most ${this.most} subscriptions here`);
    }
    const ack = readAckMode(headers.get('ack'));
    const serial = this.serials++;
    const destination = headers.get('destination')!;
    return new Subscription(session, serial, id, destination, ack, headers, route, this.maxUnacknowledged);
  }

  add(subscription: Subscription): void {
    this.byId.set(subscription.id ?? `\0${subscription.serial}`, subscription);
    this.bySerial.set(subscription.serial, subscription);
  }

  /**
   * Subscribes in the client's name to a destination that it has not subscribed to: its id is the destination, and it
   * ends when the client subscribes for itself.
   *
   * @throws StompError as `create` does
   */
  attach(destination: string, route: Route): void {
    if (this.implicit.has(destination)) return;
    const subscription = this.create(new Frame('SUBSCRIBE', { id: destination, destination }), route);
    this.implicit.set(destination, subscription);
    this.add(subscription);
    route.subscribe(subscription, () => subscription.start());
  }

  /** The client subscribes to that destination for itself. */
  supersede(destination: string): void {
    const subscription = this.implicit.get(destination);
    if (subscription !== undefined) this.leave(destination, subscription);
  }

  /**
   * Ends what an UNSUBSCRIBE frame names, and tells what that was.
   *
   * @throws StompError when it names nothing at all
   */
  remove(frame: Frame): Subscription[] {
    const id = frame.headers.get('id');
    const destination = frame.headers.get('destination');
    if (id === undefined && this.session.version !== '1.0') {
      throw new StompError('missing header', 'an UNSUBSCRIBE frame needs the header id');
    }
    const keys = [...this.byId].filter(([key, { destination: own }]) => {
      return id === undefined ? own === destination : key === id;
    });
    for (const [key, subscription] of keys) this.leave(key, subscription);
    return keys.map(([, subscription]) => subscription);
  }

  /**
   * The delivery that an ACK or NACK frame names: by the `ack` header of its MESSAGE in 1.2, by its message-id
   * before, there even when the `subscription` header is wrong.
   *
   * @throws StompError when no delivery waits under that name
   */
  find(frame: Frame): Named {
    const name = this.session.version === '1.2' ? 'id' : 'message-id';
    const value = frame.headers.get(name)!;
    const named = name === 'id' ? this.byAck(value) : this.byMessage(value, frame.headers.get('subscription'));
    if (named === undefined) {
      throw new StompError(
        'unknown message',
        `${frame.command} of ${quote(value)}: no message of this session waits for an acknowledgement under that ${name}`,
      );
    }
    return named;
  }

  /** Whether a message waits for its acknowledgement. */
  get owes(): boolean {
    for (const { pending } of this.bySerial.values()) if (pending.size > 0) return true;
    return false;
  }

  /** The session is over: nothing goes out any more. */
  stopAll(): void {
    for (const subscription of this.byId.values()) subscription.stop();
  }

  /** After `stopAll`: everything ends, and what was not acknowledged goes back. */
  end(): void {
    const all = [...this.bySerial.values()];
    for (const timer of this.departed.values()) clearTimeout(timer);
    const current = [...this.byId.values()];
    this.byId.clear();
    this.bySerial.clear();
    this.departed.clear();
    // Before others take over what was theirs: so that it goes first.
    for (const subscription of all) subscription.returnAll();
    for (const subscription of current) subscription.route.unsubscribe(subscription);
  }

  private leave(key: string, subscription: Subscription): void {
    this.byId.delete(key);
    this.implicit.delete(key);
    this.stop(subscription);
    if (subscription.pending.size === 0) this.bySerial.delete(subscription.serial);
    else
      this.departed.set(
        subscription,
        setTimeout(() => this.returnLate(subscription), LATE_ACK),
      );
  }

  private stop(subscription: Subscription): void {
    subscription.stop();
    subscription.route.unsubscribe(subscription);
  }

  /** Nobody came back to it in time. An acknowledgement may still come, and counts if nobody else has it by then. */
  private returnLate(subscription: Subscription): void {
    this.departed.delete(subscription);
    subscription.returnAll();
    this.late.push(subscription);
    if (this.late.length > MAX_LATE) this.bySerial.delete(this.late.shift()!.serial);
  }

  /**
   * The subscription that the `ack` header of a MESSAGE belongs to, given as bytes; `located` is then the number of the
   * delivery.
   */
  locate(bytes: Uint8Array, from: number, to: number): Subscription | undefined {
    let serial = 0;
    let number = 0;
    let at = from;
    for (; at < to && bytes[at] !== DASH; at++) {
      const digit = bytes[at]! - 48;
      if (digit < 0 || digit > 9) return undefined;
      serial = serial * 10 + digit;
    }
    if (at === from || at - from > MAX_DIGITS || to - at - 1 > MAX_DIGITS || at >= to - 1) return undefined;
    for (at++; at < to; at++) {
      const digit = bytes[at]! - 48;
      if (digit < 0 || digit > 9) return undefined;
      number = number * 10 + digit;
    }
    this.located = number;
    return this.bySerial.get(serial);
  }

  private byAck(ack: string): Named | undefined {
    const found = /^(\d{1,15})-(\d{1,15})$/.exec(ack);
    if (found === null) return undefined;
    const subscription = this.bySerial.get(Number(found[1]));
    const number = Number(found[2]);
    return subscription?.pending.get(number) === undefined ? undefined : { subscription, number };
  }

  private byMessage(messageId: string, id: string | undefined): Named | undefined {
    const named = id === undefined ? undefined : this.byId.get(id);
    let late: Named | undefined;
    for (const subscription of named === undefined ? this.bySerial.values() : [named, ...this.bySerial.values()]) {
      const number = subscription.pending.find(messageId);
      if (number < 0) continue;
      if (subscription.pending.get(number)!.holder === subscription) return { subscription, number };
      late ??= { subscription, number };
    }
    return late;
  }
}

/** 1.0 has no client-individual, but clients of ActiveMQ and RabbitMQ ask for it there, too. */
function readAckMode(value = 'auto'): AckMode {
  if (value === 'auto' || value === 'client' || value === 'client-individual') return value;
  throw new StompError(
    'unknown ack mode',
    `the ack mode ${quote(value)} is none of auto, client and client-individual`,
  );
}

/** What becomes of an acknowledged message. */
export const ACKNOWLEDGED: Outcome = { kind: 'ack' };
