/*
 * A queue: messages wait in its backlog until a consumer with credit takes one. The consumers that may have credit
 * stand in a ring and take turns; one that is found without leaves the ring, and comes back when its subscription
 * says that it is ready. So a message costs nothing for consumers that cannot take it.
 */
import type {
  Delivery,
  DeliverySource,
  Done,
  Message,
  Outcome,
  Route,
  Session,
  Subscription,
} from 'nestjs-stomp/server';
import type { Backlog, Entry } from './backlog.js';
import { readPrefetch } from './dialect.js';

/** How often a message is delivered before it goes to the dead letters. */
export const MAX_DELIVERIES = 10;
/** The first wait before a message that was refused is delivered again, in ms; doubled each time. */
const FIRST_BACKOFF = 100;
const LAST_BACKOFF = 30_000;
/** The longest delay that a NACK may ask for, in ms: a day. */
const MAX_DELAY = 86_400_000;

export interface QueueOwner {
  /** Gives a message that asks for a reply the way back to its publisher. */
  addressReply(message: Message, session: Session): void;
  /** The queue of this name that is in use: a session may hold one that was given up. Puts it to use again. */
  adopt(queue: Queue): Queue;
  /** Nobody uses the queue, and it is empty. */
  giveUp(queue: Queue): void;
  /** A message of the queue is not to be delivered any more. */
  deadLetter(queue: Queue, entry: Entry, reason: string): void;
}

export class Queue implements Route, DeliverySource {
  /** Whether it is the one of its name that is in use, and not about to be given up. Its owner's to set. */
  active = true;
  private readonly consumers = new Set<Subscription>();
  private ring: Subscription[] = [];
  private turn = 0;
  private dispatching = false;
  private readonly delayed = new Map<Entry, NodeJS.Timeout>();
  /** Handed out, and neither acknowledged nor back. */
  private unacknowledged = 0;

  constructor(
    readonly name: string,
    private readonly backlog: Backlog,
    private readonly owner: QueueOwner,
  ) {}

  /** Whether it holds no message and has no consumer. */
  get idle(): boolean {
    return (
      this.consumers.size === 0 && this.backlog.length === 0 && this.unacknowledged === 0 && this.delayed.size === 0
    );
  }

  /** Whether it has a consumer. */
  get consumed(): boolean {
    return this.consumers.size > 0;
  }

  /** Messages that wait. */
  get length(): number {
    return this.backlog.length + this.delayed.size;
  }

  send(message: Message, session: Session, done: Done | undefined): void {
    this.owner.addressReply(message, session);
    this.put(message, done);
  }

  /** Takes a message of the broker's own. */
  put(message: Message, done?: Done): void {
    if (!this.active) {
      this.owner.adopt(this).put(message, done);
      return;
    }
    const entry = this.backlog.push(message, this);
    if (this.ring.length > 0) this.dispatch();
    if (entry.holder === undefined) message.detach();
    if (done !== undefined) this.backlog.sync(done);
  }

  subscribe(subscription: Subscription, done: Done): void {
    subscription.prefetch = readPrefetch(subscription);
    const queue = this.owner.adopt(this);
    queue.consumers.add(subscription);
    subscription.onReady = () => queue.ready(subscription);
    done();
  }

  unsubscribe(subscription: Subscription): void {
    const queue = this.owner.adopt(this);
    queue.consumers.delete(subscription);
    const at = queue.ring.indexOf(subscription);
    if (at >= 0) queue.leave(at);
    if (queue.idle) queue.giveUp();
  }

  settle(delivery: Delivery, outcome: Outcome, from: Subscription): void {
    const entry = delivery as Entry;
    if (entry.holder !== from) {
      if (outcome.kind === 'ack' && entry.holder === undefined) this.cancel(entry);
    } else if (outcome.kind === 'ack') this.forget(entry);
    else {
      entry.holder = undefined;
      entry.count++;
      if (outcome.kind === 'return') this.restore(entry);
      else this.refuse(entry, outcome);
    }
    if (this.idle && this.active) this.giveUp();
  }

  /** Nobody uses it: unless somebody does before long, it is removed. */
  giveUp(): void {
    this.owner.giveUp(this);
  }

  /** Hands out nothing more; what waits stays in the store. */
  stop(): void {
    for (const timer of this.delayed.values()) clearTimeout(timer);
    this.delayed.clear();
  }

  /** Drops everything: the queue's owner has gone. */
  clear(): void {
    this.stop();
    for (let entry = this.backlog.shift(); entry !== undefined; entry = this.backlog.shift())
      this.backlog.remove(entry);
  }

  private forget(entry: Entry): void {
    this.unacknowledged--;
    this.backlog.remove(entry);
  }

  /** An acknowledgement came late, but before somebody else was handed the message. */
  private cancel(entry: Entry): void {
    const timer = this.delayed.get(entry);
    if (timer === undefined) this.backlog.cancel(entry);
    else {
      clearTimeout(timer);
      this.delayed.delete(entry);
      this.backlog.remove(entry);
    }
  }

  private refuse(entry: Entry, outcome: Outcome): void {
    const requeue = outcome.headers?.get('requeue');
    if (requeue === 'false' || entry.count >= MAX_DELIVERIES) {
      this.forget(entry);
      this.owner.deadLetter(this, entry, requeue === 'false' ? 'rejected' : 'delivery limit');
      return;
    }
    const asked = Number(outcome.headers?.get('delay') ?? NaN);
    // The first time at once; after that ever later, or a message that nobody can take would spin.
    const backoff = entry.count === 1 ? 0 : Math.min(LAST_BACKOFF, FIRST_BACKOFF * 2 ** (entry.count - 2));
    const delay = asked >= 0 ? Math.min(asked, MAX_DELAY) : backoff;
    if (delay === 0) {
      this.restore(entry);
      return;
    }
    this.unacknowledged--;
    const timer = setTimeout(() => {
      this.delayed.delete(entry);
      this.unacknowledged++;
      this.restore(entry);
    }, delay);
    this.delayed.set(entry, timer);
  }

  private restore(entry: Entry): void {
    this.unacknowledged--;
    this.backlog.restore(entry);
    this.dispatch();
  }

  private ready(subscription: Subscription): void {
    if (!this.ring.includes(subscription)) this.ring.push(subscription);
    this.dispatch();
  }

  /** Hands out what waits, as far as there is credit. */
  private dispatch(): void {
    // A consumer with `auto` settles while it is handed a message: that must not begin another round inside.
    if (this.dispatching) return;
    this.dispatching = true;
    while (this.backlog.length > 0 && this.ring.length > 0) {
      if (this.turn >= this.ring.length) this.turn = 0;
      const consumer = this.ring[this.turn]!;
      if (!consumer.ready) {
        this.leave(this.turn);
        continue;
      }
      const entry = this.backlog.shift();
      if (entry === undefined) break;
      this.turn++;
      this.unacknowledged++;
      consumer.deliver(entry);
    }
    this.dispatching = false;
  }

  private leave(at: number): void {
    this.ring.splice(at, 1);
    if (at < this.turn) this.turn--;
  }
}
