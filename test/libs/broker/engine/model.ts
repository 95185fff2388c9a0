/*
 * What a queue may do, as simply as it can be said: a message waits, is held by a subscription, or is gone. The model
 * does not choose who gets a message; it says of each delivery whether it was allowed.
 */
import { type RawFrame } from '../../../support/wire.js';

export interface Sent {
  readonly body: string;
  readonly queue: string;
  readonly priority: number;
  readonly x: number;
  /** Its place among all that were sent. */
  readonly order: number;
  state: 'waiting' | 'held' | 'gone' | 'dead';
  /** The moment at which it expires. */
  readonly expires: number;
  holder: Reader | undefined;
  /** How often it was handed out and came back. */
  count: number;
  /** Held in an open transaction. */
  bound: object | undefined;
}

export interface Reader {
  readonly id: string;
  readonly destination: string;
  readonly ack: 'auto' | 'client' | 'client-individual';
  readonly prefetch: number;
  /** It takes messages whose header `x` is greater. */
  readonly above: number | undefined;
  /** Unanswered, in the order of delivery, with the frames by which they are named. */
  held: { readonly sent: Sent; readonly frame: RawFrame }[];
  /** Its subscription ended so long ago that nobody is expected to answer any more. */
  abandoned: boolean;
}

/** Deliveries before which a message that is refused becomes a dead letter. */
export const MAX_DELIVERIES = 3;

export class Model {
  readonly sent = new Map<string, Sent>();
  readonly readers = new Set<Reader>();
  /** How many messages became available in the running step: with one at most, the order of deliveries is known. */
  private arrivals = 0;
  private deliveries: { readonly reader: Reader; readonly sent: Sent }[] = [];

  send(queue: string, body: string, priority: number, x: number, expires: number): void {
    const order = this.sent.size;
    this.sent.set(body, {
      body,
      queue,
      priority,
      x,
      order,
      state: 'waiting',
      expires,
      holder: undefined,
      count: 0,
      bound: undefined,
    });
    this.arrivals++;
  }

  deliver(reader: Reader, frame: RawFrame): void {
    const sent = this.sent.get(frame.text);
    if (sent === undefined) throw new Error(`${frame.text} was delivered and never sent`);
    const name = `${sent.body} (${sent.state}) to ${reader.id}`;
    if (sent.queue !== reader.destination) throw new Error(`${name}: is of ${sent.queue}`);
    if (sent.state !== 'waiting') throw new Error(`${name}: was delivered and does not wait`);
    if (!suits(sent, reader)) throw new Error(`${name}: its selector does not take it`);
    if (reader.ack !== 'auto' && reader.held.length >= reader.prefetch) throw new Error(`${name}: has no credit`);
    if ((frame.header('redelivered') === 'true') !== sent.count > 0) throw new Error(`${name}: redelivered is wrong`);
    this.deliveries.push({ reader, sent });
    if (reader.ack === 'auto') sent.state = 'gone';
    else {
      sent.state = 'held';
      sent.holder = reader;
      reader.held.push({ sent, frame });
    }
  }

  /** What an acknowledgement of that one answers for. */
  answered(reader: Reader, at: number): Sent[] {
    const named = reader.ack === 'client' ? reader.held.slice(0, at + 1) : [reader.held[at]!];
    return named.map(({ sent }) => sent).filter((sent) => sent.bound === undefined || sent.holder !== reader);
  }

  settle(reader: Reader, sent: Sent, kind: 'ack' | 'nack' | 'reject'): void {
    reader.held = reader.held.filter((one) => one.sent !== sent);
    if (sent.holder !== reader) {
      // It came late: unless somebody else has it by now, it counts all the same.
      if (kind === 'ack' && sent.state === 'waiting') sent.state = 'gone';
      return;
    }
    sent.holder = undefined;
    sent.bound = undefined;
    if (kind === 'ack') sent.state = 'gone';
    else if (kind === 'reject' || sent.count + 1 >= MAX_DELIVERIES) sent.state = 'dead';
    else this.putBack(sent);
  }

  /** A subscription gives back what it holds; what a transaction binds stays until that is over. */
  giveBack(reader: Reader): void {
    reader.abandoned = true;
    for (const { sent } of reader.held) {
      if (sent.holder === reader && sent.bound === undefined) this.putBack(sent);
    }
  }

  /** The transaction in which it was answered was aborted. */
  release(sent: Sent): void {
    sent.bound = undefined;
    if (sent.holder?.abandoned === true) this.putBack(sent);
  }

  /** What waited too long is not delivered any more. */
  expire(now: number): void {
    for (const sent of this.sent.values()) {
      if (sent.state === 'waiting' && sent.expires <= now) sent.state = 'gone';
    }
  }

  /** A step is over, and all its deliveries have been seen. */
  check(): void {
    for (const sent of this.sent.values()) {
      if (sent.state !== 'waiting') continue;
      for (const reader of this.readers) {
        if (!suits(sent, reader)) continue;
        if (reader.ack === 'auto' || reader.held.length < reader.prefetch)
          throw new Error(`${sent.body} waits, and ${reader.id} could take it`);
        // Whoever was handed one was handed the first.
        const later = this.deliveries.find((one) => one.reader === reader && before(sent, one.sent));
        if (later !== undefined && this.arrivals <= 1)
          throw new Error(`${reader.id} got ${later.sent.body} before ${sent.body}`);
      }
    }
    if (this.arrivals <= 1) {
      for (const reader of this.readers) {
        const got = this.deliveries.filter((one) => one.reader === reader).map((one) => one.sent);
        const wrong = got.findIndex((sent, at) => at > 0 && before(sent, got[at - 1]!));
        if (wrong > 0) throw new Error(`${reader.id} got ${got[wrong - 1]!.body} before ${got[wrong]!.body}`);
      }
    }
    this.arrivals = 0;
    this.deliveries = [];
  }

  private putBack(sent: Sent): void {
    sent.state = 'waiting';
    sent.holder = undefined;
    sent.count++;
    this.arrivals++;
  }
}

const suits = (sent: Sent, { destination, above }: Reader) =>
  sent.queue === destination && (above === undefined || sent.x > above);

const before = (one: Sent, other: Sent) =>
  one.priority === other.priority ? one.order < other.order : one.priority > other.priority;
