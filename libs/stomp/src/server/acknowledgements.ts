import { quote } from '../frame/error.js';
import type { Frame } from '../frame/frame.js';
import { StompError } from './error.js';
import type { Outcome } from './pending.js';
import type { Subscription } from './subscription.js';
import type { Subscriptions } from './subscriptions.js';
import type { Transaction } from './transaction.js';

const DASH = 45;
const MAX_DIGITS = 15;

/** A delivery that an ACK or NACK frame names. */
interface Named {
  readonly subscription: Subscription;
  readonly number: number;
}

/** The acknowledgements that come in one session. */
export class Acknowledgements {
  // Those that were acknowledged to since they were last told that they may go on.
  private acknowledged: Subscription[] = [];
  // The number of the delivery that `locate` has read.
  private located = 0;

  constructor(private readonly subscribed: Subscriptions) {}

  /** The short way of an ACK of 1.2 that asks for nothing else; false when it has to go the long way. */
  settle(bytes: Buffer, from: number, to: number): boolean {
    const named = this.locate(bytes, from, to);
    if (named?.ack !== 'client-individual' || !named.acknowledge(this.located)) return false;
    this.note(named);
    return true;
  }

  /**
   * Any ACK or NACK.
   *
   * @param transaction in which it stands, if any
   * @throws StompError when no delivery waits under the name that the frame gives, or a NACK is not understood
   */
  take(frame: Frame, outcome: Outcome, transaction: Transaction | undefined): void {
    const named = this.find(frame);
    const { subscription, number } = named;
    if (subscription.binds(number)) {
      throw new StompError('already acknowledged', `an open transaction holds an acknowledgement of that message`);
    }
    const numbers = subscription.ack === 'client' ? subscription.pending.upTo(number) : [number];
    if (outcome.kind === 'nack') {
      for (const each of numbers) subscription.pending.get(each)!.source?.check?.(outcome);
    }
    transaction?.answer(outcome);
    for (const each of numbers) {
      if (subscription.binds(each)) continue;
      if (transaction === undefined) subscription.settle(each, outcome);
      else {
        const delivery = subscription.pending.get(each)!;
        transaction.hold({ subscription, number: each, operation: { delivery, outcome, subscription } });
      }
    }
    subscription.answered();
    this.note(subscription);
  }

  private note(subscription: Subscription): void {
    const { acknowledged } = this;
    if (acknowledged[acknowledged.length - 1] !== subscription) acknowledged.push(subscription);
  }

  /** Acknowledgements that came together make room for messages together. */
  wake(): void {
    const subscriptions = this.acknowledged;
    if (subscriptions.length === 0) return;
    this.acknowledged = [];
    for (const subscription of subscriptions) subscription.wake();
  }

  /** By the `ack` header of its MESSAGE in 1.2, by its message-id before, there even when `subscription` is wrong. */
  private find({ command, headers }: Frame): Named {
    const name = this.subscribed.session.version === '1.2' ? 'id' : 'message-id';
    const value = headers.get(name)!;
    const named = name === 'id' ? this.byAck(value) : this.byMessage(value, headers.get('subscription'));
    if (named !== undefined) return named;
    throw new StompError(
      'unknown message',
      `${command} of ${quote(value)}: no message of this session waits for an acknowledgement under that ${name}`,
    );
  }

  /**
   * The subscription that the `ack` header of a MESSAGE belongs to, given as bytes; `located` is then the number of the
   * delivery.
   */
  private locate(bytes: Uint8Array, from: number, to: number): Subscription | undefined {
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
    return this.subscribed.bySerial.get(serial);
  }

  private byAck(ack: string): Named | undefined {
    const found = /^(\d{1,15})-(\d{1,15})$/.exec(ack);
    if (found === null) return undefined;
    const subscription = this.subscribed.bySerial.get(Number(found[1]));
    const number = Number(found[2]);
    return subscription?.pending.get(number) === undefined ? undefined : { subscription, number };
  }

  private byMessage(messageId: string, id: string | undefined): Named | undefined {
    const { byId } = this.subscribed;
    const named = id === undefined ? undefined : byId.get(id);
    const found = named && waiting(named, messageId);
    if (found !== undefined && holds(found)) return found;
    let late = found;
    for (const subscription of this.subscribed.holding(messageId)) {
      const other = waiting(subscription, messageId);
      if (other !== undefined && holds(other)) return other;
      late ??= other;
    }
    return late;
  }
}

function waiting(subscription: Subscription, messageId: string): Named | undefined {
  const number = subscription.pending.find(messageId);
  return number < 0 ? undefined : { subscription, number };
}

const holds = ({ subscription, number }: Named) => subscription.pending.get(number)!.holder === subscription;
