import type { FrameHeaders } from '../frame/headers.js';
import { type Message, serialOf } from './message.js';
import type { Subscription } from './subscription.js';

/**
 * How a consumer left what it has not acknowledged: `return` with a word, or because the server wanted it so; `loss`
 * without one, or with a frame that could not be understood: for all that is known the message was why.
 */
export type Farewell = 'return' | 'loss';

/** What became of a delivered message. */
export interface Outcome {
  /**
   * `ack`: consumed. `nack`: refused. `return`: given back, by an UNSUBSCRIBE, a DISCONNECT or the end of the server.
   * `loss`: its consumer broke with it.
   */
  readonly kind: 'ack' | 'nack' | Farewell;
  /** The headers of the NACK frame, where there was one. */
  readonly headers?: FrameHeaders;
}

/** What becomes of an acknowledged message. */
export const ACKNOWLEDGED: Outcome = { kind: 'ack' };

/** Who wants to know what became of a message, for example the queue that it came from. */
export interface DeliverySource {
  /**
   * Whether the source understands a NACK, asked before anything of it is done.
   *
   * @throws StompError when it does not: the message stays unacknowledged
   */
  check?(outcome: Outcome): void;
  /**
   * @param from the subscription that answers. It may answer late: after the delivery was returned in its name
   */
  settle(delivery: Delivery, outcome: Outcome, from: Subscription): void;
}

/** A message handed out for which somebody has to answer. */
export class Delivery {
  /** How often the message was delivered before this time. */
  count = 0;
  /** Who has it now; undefined while it waits. */
  holder: Subscription | undefined = undefined;
  /** The open transaction in which it was acknowledged, if any. */
  transaction: object | undefined = undefined;

  constructor(
    readonly message: Message,
    readonly source?: DeliverySource,
  ) {}
}

/** So many places stay when none waits any more: to make them anew for each hundred messages costs more than they take. */
const KEPT = 128;

/** The subscriptions of a session in which a message waits, by its serial number. */
export type Whereabouts = Map<number, Set<Subscription>>;

/**
 * The deliveries of one subscription that wait for their acknowledgement, in the order of delivery, each with a
 * number. A list with an offset: the oldest is mostly the first to go.
 */
export class Pending {
  private list: (Delivery | undefined)[] = [];
  private head = 0;
  private end = 0;
  private offset = 0;
  // By the serial number of the message; where it waits more than once, oldest first. Made when it is asked for: from
  // 1.2 on deliveries are acknowledged by their numbers.
  private places: Map<number, number | number[]> | undefined;
  // Told of the serial numbers in `places`, where somebody wants to know.
  private whereabouts: Whereabouts | undefined;
  // All before that number were answered, be it in a transaction that is open still.
  private answered = 0;
  /** How many wait. */
  size = 0;

  constructor(private readonly subscription: Subscription) {}

  /** The number that the delivery got. */
  add(delivery: Delivery): number {
    this.size++;
    const number = this.offset + this.end;
    this.list[this.end++] = delivery;
    if (this.places !== undefined) this.place(this.places, delivery.message.serial, number);
    return number;
  }

  get(number: number): Delivery | undefined {
    return this.list[number - this.offset];
  }

  /** The number of the oldest delivery of the message with that id; -1 when there is none. */
  find(messageId: string): number {
    if (this.size === 0) return -1;
    const found = (this.places ??= this.index()).get(serialOf(messageId)) ?? [];
    const numbers = typeof found === 'number' ? [found] : found;
    return numbers.find((number) => this.get(number)!.message.id === messageId) ?? -1;
  }

  /**
   * The deliveries up to that number which wait, oldest first: all of them are answered now, and those that were before
   * are not among them.
   */
  upTo(number: number): number[] {
    if (number < this.answered) return [number];
    const numbers: number[] = [];
    for (let i = Math.max(this.head, this.answered - this.offset); i <= number - this.offset; i++) {
      if (this.list[i] !== undefined) numbers.push(this.offset + i);
    }
    this.answered = number + 1;
    return numbers;
  }

  /** The answer to one does not count. */
  reopen(number: number): void {
    this.answered = Math.min(this.answered, number);
  }

  /** Takes one out. */
  remove(number: number, delivery: Delivery): void {
    const { list } = this;
    if (this.places !== undefined) this.displace(this.places, delivery.message.serial, number);
    list[number - this.offset] = undefined;
    this.size--;
    while (this.head < this.end && list[this.head] === undefined) this.head++;
    if (this.head === this.end) {
      this.offset += this.end;
      if (this.end > KEPT) list.length = KEPT;
      this.head = this.end = 0;
    } else if (this.head >= 1024 && this.head * 2 >= this.end) {
      list.splice(0, this.head);
      this.end -= this.head;
      this.offset += this.head;
      this.head = 0;
    }
  }

  /** All that wait, oldest first. */
  all(): Delivery[] {
    return this.list.filter((delivery) => delivery !== undefined);
  }

  /** Tells, from now on, where its messages are. */
  tell(whereabouts: Whereabouts): void {
    this.whereabouts = whereabouts;
    this.places = this.index();
  }

  /** Tells no more, and takes back what it has told. */
  hush(): void {
    for (const serial of this.places?.keys() ?? []) this.depart(serial);
    this.whereabouts = undefined;
  }

  private index(): Map<number, number | number[]> {
    const places = new Map<number, number | number[]>();
    this.list.forEach((delivery, at) => {
      if (delivery !== undefined) this.place(places, delivery.message.serial, this.offset + at);
    });
    return places;
  }

  private place(places: Map<number, number | number[]>, serial: number, number: number): void {
    const known = places.get(serial);
    if (typeof known === 'object') known.push(number);
    else if (known !== undefined) places.set(serial, [known, number]);
    else {
      places.set(serial, number);
      this.arrive(serial);
    }
  }

  private displace(places: Map<number, number | number[]>, serial: number, number: number): void {
    const known = places.get(serial);
    if (typeof known === 'object' && known.length > 1) known.splice(known.indexOf(number), 1);
    else {
      places.delete(serial);
      this.depart(serial);
    }
  }

  private arrive(serial: number): void {
    const { whereabouts } = this;
    if (whereabouts === undefined) return;
    const there = whereabouts.get(serial);
    if (there === undefined) whereabouts.set(serial, new Set([this.subscription]));
    else there.add(this.subscription);
  }

  private depart(serial: number): void {
    const there = this.whereabouts?.get(serial);
    if (there?.delete(this.subscription) === true && there.size === 0) this.whereabouts!.delete(serial);
  }
}
