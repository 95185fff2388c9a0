/*
 * A queue: messages wait in its backlog until a consumer with credit takes one.
 *
 *   send -> limits -> backlog -> dispatch -> consumer            settle: acknowledged, it is forgotten
 *                        ^                                               refused, it comes back, at once or later,
 *                        +----------- back to its place -----------------+        or goes to the dead letters
 */
import {
  type Delivery,
  type DeliverySource,
  type Done,
  type Message,
  type Outcome,
  type Route,
  type Session,
  StompError,
  type Subscription,
} from 'nestjs-stomp/server';
import type { Backlog, Entry } from './backlog.js';
import { browse } from './browser.js';
import { detachLater } from './chunk.js';
import { Consumer, Consumers } from './consumers.js';
import type { DeadReason } from './dead.letter.js';
import { Delays } from './delays.js';
import { type ConsumerTerms, readConsumer, readRedelivery, readTerms, type Timing } from './dialect.js';
import { Groups } from './groups.js';
import { HIGH, Pace } from './pace.js';
import { backOff, type Rules } from './policy.js';
import { takes } from './selector.js';
import { giveWay, isOver, later, LONG, SHORT, Slice, spend } from './slice.js';
import { stamp } from './stamp.js';
import { Sweeper } from './sweeper.js';

/** Octets of a slice of which a message is more. */
const ONE = 1;
/** How long consumers are asked whether they take a message at once, in ms: those that were not asked by then do not. */
const ASKING = 100;

export interface QueueOwner {
  /** The queue of this name that is there: a session may hold one that is gone. That one, when there is none. */
  current(queue: Queue): Queue;
  /** The same, put to use again, made anew if need be. */
  adopt(queue: Queue): Queue;
  /** Nobody uses the queue, and it is empty. */
  giveUp(queue: Queue): void;
  /** The last consumer has left, and the queue was to go with it. */
  discard(queue: Queue): void;
  /** A subscription was made, or has ended. */
  subscribed(subscription: Subscription): void;
  unsubscribed(subscription: Subscription): void;
  /**
   * A message is not to be delivered from the queue, any more or at all.
   *
   * @param deliveries how often it was
   */
  deadLetter(queue: Queue, message: Message, deliveries: number, reason: DeadReason): void;
  /** Does what has to be there as a whole or not at all after a crash. */
  join(work: () => void): void;
  /** A message is to be delivered later. */
  schedule(message: Message, timing: Timing, to: Queue): void;
  /**
   * Whether a message that has to survive can be kept.
   *
   * @throws StompError when not
   */
  checkStore(message: Message): void;
  /** A message names in `reply-to` where its sender waits for an answer. */
  addressReply(message: Message, session: Session): void;
  /** @throws StompError when that session may not make a queue of that name */
  checkPlace(name: string, session: Session): void;
}

export class Queue implements Route, DeliverySource {
  /** Whether it is the one of its name that is in use, and not about to be given up. Its owner's to set. */
  active = true;
  private readonly consumers = new Consumers();
  private readonly groups = new Groups<Consumer>();
  private readonly pace = new Pace();
  private dispatching = false;
  /** So much had expired, or could not be read, that what comes behind it waits for another turn. */
  private pausing = false;
  /** What is too much goes in another turn. */
  private dropping = false;
  private stopped = false;
  private readonly slice = new Slice();
  /** It has been dropped: what comes back to it comes too late. */
  private cleared = false;
  /** Whether a message of a group was ever here: from then on consumers do not take just any message. */
  private grouped = false;
  private readonly waiting = () => this.backlog.length;
  private readonly delays = new Delays();
  /** Handed out, and neither acknowledged nor back. */
  private unacknowledged = 0;
  /** Octets of the bodies that wait; counted where there is a limit to them. */
  private octets = 0;
  /** Once there is something that expires. */
  private sweeper: Sweeper | undefined;
  /** Whether it may refuse a message. */
  private readonly refuses: boolean;

  /**
   * @param destination by which its dead letters know it
   * @param autoDelete whether it goes with its last consumer
   */
  constructor(
    readonly name: string,
    readonly destination: string,
    readonly rules: Rules,
    readonly autoDelete: boolean,
    /** What it is made again of after a restart. */
    readonly about: object,
    private readonly backlog: Backlog,
    private readonly owner: QueueOwner,
  ) {
    backlog.source = this;
    const { overflow, maxLength, maxBytes } = rules;
    this.refuses = overflow === 'reject' && Math.min(maxLength, maxBytes) < Number.POSITIVE_INFINITY;
    const { recovered } = backlog;
    if (recovered === undefined) return;
    this.grouped = recovered.grouped;
    this.octets = recovered.octets;
    if (recovered.expiring || rules.timeToLive > 0) this.watch();
  }

  /** Whether somebody takes messages from it. */
  get used(): boolean {
    return this.consumers.size > 0;
  }

  /** Whether a subscription of that session takes messages from it. */
  serves(session: Session): boolean {
    return this.consumers.includes(session);
  }

  /** Whether it holds no message and has no consumer. */
  get idle(): boolean {
    const { backlog } = this;
    const holds = backlog.length + backlog.withheld + this.unacknowledged + this.delays.size > 0;
    return !holds && this.consumers.size === 0;
  }

  /** Messages that wait. */
  get length(): number {
    return this.backlog.length + this.delays.size;
  }

  /** The queue of its name that is there: this one, unless it is gone and there is another. */
  get current(): Queue {
    return this.active ? this : this.owner.current(this);
  }

  send(message: Message, session: Session, done: Done | undefined): void {
    const { current } = this;
    current.checkPlace(session);
    if (current.refuses && (!message.special || readTerms(message).timing === undefined)) {
      const since = performance.now();
      current.checkRoom([message]);
      if (spend(since)) giveWay(session);
    }
    if (message.persistent !== undefined) this.owner.checkStore(message);
    if (message.replyTo !== undefined) this.owner.addressReply(message, session);
    this.accept(message, session, done);
  }

  /** @throws StompError when it is gone, and the session may not make it again */
  checkPlace(session: Session): void {
    if (!this.active) this.owner.checkPlace(this.name, session);
  }

  /** Takes a message that there is room for, as `checkRoom` has told, and whose replies have an address. */
  accept(message: Message, session: Session, done: Done | undefined): void {
    if (this.rules.stamp) stamp(message, session);
    const queue = this.active ? this : this.owner.adopt(this);
    if (message.special) {
      const { timing } = readTerms(message);
      if (timing !== undefined) {
        this.owner.schedule(message, timing, this);
        if (done !== undefined) this.backlog.sync(done, message.destination);
        return;
      }
    }
    queue.put(message, done);
    if (queue.backlog.length >= HIGH && queue.used) queue.pace.hold(session, queue.backlog.length);
    queue.backlog.hold(session);
  }

  /**
   * Whether there is room for messages that come together; those that go straight to a consumer need none.
   *
   * @throws StompError when not, and the queue refuses what is too much
   */
  checkRoom(messages: readonly Message[]): void {
    if (!this.refuses || this.holds(messages)) return;
    // Who takes them is asked only now: mostly there is room.
    const waiting = this.leftOf(messages);
    if (waiting.length === 0 || this.holds(waiting)) return;
    const { maxLength, maxBytes } = this.rules;
    const limit = this.length + waiting.length > maxLength ? `${maxLength} messages` : `${maxBytes} octets`;
    throw new StompError('queue is full', `${this.destination} holds ${limit}, its limit: try again later`);
  }

  /** Whether that much more may wait. */
  private holds(messages: readonly Message[]): boolean {
    const { maxLength, maxBytes } = this.rules;
    let octets = this.octets + this.delays.octets;
    for (const { length } of messages) octets += length;
    return this.length + messages.length <= maxLength && octets <= maxBytes;
  }

  /** What of new messages consumers do not take at once. */
  private leftOf(messages: readonly Message[]): Message[] {
    const able = (this.pausing ? [] : this.consumers.able).map((consumer) => ({
      consumer,
      room: consumer.subscription.room,
    }));
    const begun = performance.now();
    return messages.filter((message) => {
      const group = message.special ? readTerms(message).group : undefined;
      const taker = able.find(({ consumer, room }) => {
        if (room <= 0 || performance.now() - begun > ASKING) return false;
        const { selector } = consumer.terms;
        return (selector === undefined || takes(selector, message, 0)) && this.groups.admits({ group }, consumer);
      });
      if (taker === undefined) return true;
      taker.room--;
      return false;
    });
  }

  /** Takes a message that nobody can be refused for: what is too much goes to the dead letters. */
  offer(message: Message, done?: Done, publisher?: Session): void {
    try {
      this.checkRoom([message]);
    } catch {
      this.owner.deadLetter(this, message, 0, 'queue length');
      if (done !== undefined) this.backlog.sync(done, message.destination);
      if (publisher !== undefined) this.backlog.hold(publisher);
      return;
    }
    this.put(message, done);
    if (publisher !== undefined) this.backlog.hold(publisher);
  }

  /** Takes a message, whoever it comes from. */
  put(message: Message, done?: Done): void {
    const { backlog, rules } = this;
    const entry = backlog.push(message, this);
    if (rules.timeToLive > 0) {
      const end = Date.now() + rules.timeToLive;
      if (entry.expires === 0 || end < entry.expires) entry.expires = end;
    }
    if (entry.expires !== 0) this.watch();
    if (entry.group !== undefined) this.grouped = true;
    if (rules.maxBytes !== Number.POSITIVE_INFINITY) this.octets += message.length;
    this.consumers.wakeAll();
    if (this.consumers.waiting) this.dispatch();
    if (entry.holder === undefined) {
      detachLater(entry, backlog);
      // Those who go on looking in another turn come first.
      if (this.consumers.searches || backlog.stalled > 0) this.dropLater();
      else this.dropOldest(this.dropping ? ONE : SHORT);
    }
    if (done !== undefined) backlog.sync(done, message.destination, entry);
  }

  private dropLater(): void {
    if (this.dropping) return;
    this.dropping = true;
    this.goOnWith(() => {
      this.dropping = false;
      if (!this.stopped) this.dropOldest(LONG);
    });
  }

  subscribe(subscription: Subscription, done: Done): void {
    const terms = readConsumer(subscription);
    this.current.checkPlace(subscription.session);
    const queue = this.owner.adopt(this);
    if (terms.browser) browse(queue.backlog, subscription, terms.selector);
    else {
      queue.attach(subscription, terms);
      subscription.onReady = () => queue.ready(subscription);
    }
    this.owner.subscribed(subscription);
    queue.backlog.syncName(done);
  }

  /** Makes a subscription one of its consumers; `ready` tells it when messages can be taken. */
  attach(subscription: Subscription, terms: ConsumerTerms): void {
    subscription.prefetch = terms.prefetch;
    const queue = this.owner.adopt(this);
    queue.consumers.add(new Consumer(subscription, terms, queue.backlog.cursor()));
  }

  unsubscribe(subscription: Subscription): void {
    const queue = this.owner.adopt(this);
    queue.detach(subscription);
    this.owner.unsubscribed(subscription);
  }

  /** A subscription is none of its consumers any more. */
  detach(subscription: Subscription): void {
    const consumer = this.consumers.remove(subscription);
    if (consumer !== undefined) this.consumers.free(this.groups.leave(consumer));
    if (this.consumers.size === 0) this.pace.stop();
    if (consumer !== undefined && this.autoDelete && this.consumers.size === 0) this.owner.discard(this);
    else if (this.idle) this.owner.giveUp(this);
    // What one consumer had for itself is for the others now.
    else this.dispatch();
  }

  /** A subscription can take messages. */
  ready(subscription: Subscription): void {
    this.consumers.enter(subscription);
    this.dispatch();
  }

  check({ headers }: Outcome): void {
    readRedelivery(headers);
  }

  settle(delivery: Delivery, outcome: Outcome, from: Subscription): void {
    const entry = delivery as Entry;
    if (entry.holder !== from) {
      if (outcome.kind === 'ack' && entry.holder === undefined) this.cancel(entry);
    } else if (outcome.kind === 'ack') this.forget(entry);
    else {
      entry.holder = undefined;
      entry.count++;
      if (outcome.kind !== 'return') entry.failures++;
      this.backlog.count(entry);
      if (outcome.kind === 'return') this.restore(entry);
      else this.refuse(entry, outcome);
    }
    if (this.idle) this.owner.giveUp(this);
  }

  /** Does nothing more of itself. */
  stop(): void {
    this.stopped = true;
    this.delays.stop();
    this.sweeper?.stop();
    this.pace.stop();
  }

  /** Drops everything: the queue is not wanted any more. */
  clear(): void {
    this.cleared = true;
    for (const entry of this.delays.entries) this.backlog.remove(entry);
    this.stop();
    this.backlog.clear();
    this.octets = 0;
  }

  private forget(entry: Entry): void {
    this.unacknowledged--;
    this.backlog.remove(entry);
  }

  /** An acknowledgement came late, but before somebody else was handed the message. */
  private cancel(entry: Entry): void {
    if (this.delays.cancel(entry)) this.backlog.remove(entry);
    else if (this.backlog.cancel(entry)) this.count(entry, -1);
  }

  private refuse(entry: Entry, outcome: Outcome): void {
    const { maxDeliveries } = this.rules;
    const requeue = outcome.headers?.get('requeue')?.toLowerCase();
    if (requeue === 'false' || (maxDeliveries > 0 && entry.failures >= maxDeliveries)) {
      this.owner.join(() => {
        this.forget(entry);
        this.owner.deadLetter(this, entry.message, entry.count, requeue === 'false' ? 'rejected' : 'delivery limit');
      });
      return;
    }
    const delay = readRedelivery(outcome.headers) ?? backOff(this.rules, entry.failures);
    // What a broken connection held does not wait: its consumer took its time to come back already.
    if (delay === 0 || this.cleared || outcome.kind === 'loss') {
      this.restore(entry);
      return;
    }
    this.unacknowledged--;
    this.delays.add(entry, delay, () => {
      this.unacknowledged++;
      this.restore(entry);
    });
  }

  private restore(entry: Entry): void {
    if (this.cleared) {
      this.forget(entry);
      return;
    }
    this.unacknowledged--;
    entry.message.detach();
    if (entry.expires !== 0) this.watch();
    this.backlog.restore(entry);
    this.count(entry, 1);
    this.consumers.wakeAll();
    this.dispatch();
  }

  /** A consumer looks for what suits it where it stopped. */
  private readonly goOn = () => {
    if (this.consumers.goOn()) later(this.goOn);
    this.dispatch(LONG);
  };

  /** What waits behind so much that had expired, or could not be read, is handed out. */
  private readonly resume = () => {
    this.pausing = false;
    if (!this.stopped) this.dispatch(LONG);
  };

  /** Goes on in another turn, or when the disk is to be asked once more. */
  private goOnWith(work: () => void): void {
    const { stalled } = this.backlog;
    if (stalled === 0) later(work);
    else setTimeout(work, stalled).unref();
  }

  /**
   * Hands out what waits, as far as there is credit.
   *
   * @param octets how far a consumer looks for what suits it, and how much that has expired goes, before others have
   * their turn
   */
  private dispatch(octets = SHORT): void {
    // A consumer with `auto` settles while it is handed a message: that must not begin another round inside.
    if (this.dispatching || this.pausing) return;
    this.dispatching = true;
    const { backlog, consumers, slice } = this;
    let expired: Slice | undefined;
    let unreadable = false;
    try {
      while (backlog.length > 0 && expired?.over !== true && !unreadable) {
        const consumer = consumers.next();
        if (consumer === undefined) break;
        const picky = this.grouped || consumer.terms.selector !== undefined;
        if (picky) {
          if (isOver()) {
            if (consumers.search(consumer)) later(this.goOn);
            continue;
          }
          slice.begin(octets);
        }
        const entry = picky
          ? backlog.take(consumer.cursor, (one) => this.suits(one, consumer), slice)
          : backlog.shift();
        if (entry === undefined) {
          if (backlog.stalled > 0 || (!picky && backlog.length > 0)) unreadable = true;
          else if (!picky || !slice.over) consumers.rest(consumer);
          else if (consumers.search(consumer)) later(this.goOn);
          continue;
        }
        this.count(entry, -1);
        if (entry.expires !== 0 && entry.expires <= Date.now()) {
          this.expire(entry);
          expired ??= new Slice(octets);
          expired.look(entry.size);
          continue;
        }
        if (entry.group !== undefined) this.claim(entry, consumer);
        this.unacknowledged++;
        consumer.subscription.deliver(entry);
      }
    } finally {
      this.dispatching = false;
    }
    this.forgetUnread();
    if (expired?.over === true || unreadable) {
      this.pausing = true;
      this.goOnWith(this.resume);
    }
    if (this.pace.engaged) this.pace.relax(this.waiting);
  }

  private suits(entry: Entry, consumer: Consumer): boolean {
    const { selector } = consumer.terms;
    if (selector !== undefined && !takes(selector, entry.message, entry.count)) return false;
    if (this.groups.admits(entry, consumer)) return true;
    this.consumers.miss(entry.group!, entry);
    return false;
  }

  private claim(entry: Entry, consumer: Consumer): void {
    const { group, message } = entry;
    let over: string | undefined = group;
    if (readTerms(message).closesGroup) this.groups.close(group!);
    else over = this.groups.claim(group!, consumer);
    if (over !== undefined) this.consumers.free([over]);
  }

  private expire(entry: Entry): void {
    this.owner.join(() => {
      this.backlog.remove(entry);
      if (this.rules.deadLetterExpired) this.owner.deadLetter(this, entry.message, entry.count, 'expired');
    });
  }

  private watch(): void {
    this.sweeper ??= new Sweeper(this.backlog, {
      buries: this.rules.deadLetterExpired || this.rules.maxBytes !== Number.POSITIVE_INFINITY,
      expired: (entry) => {
        this.count(entry, -1);
        this.expire(entry);
      },
      swept: (left) => {
        if (left || this.delays.size > 0) this.watch();
        if (this.idle) this.owner.giveUp(this);
      },
    });
    this.sweeper.watch();
  }

  /** @param octets that go before others have their turn: a limit may be new, and much too much be there */
  private dropOldest(octets: number): void {
    const { backlog, rules } = this;
    const { maxLength, maxBytes, overflow } = rules;
    if (overflow !== 'drop-oldest') return;
    let slice: Slice | undefined;
    while (backlog.length > 0 && (backlog.length > maxLength || this.octets > maxBytes)) {
      const entry = slice?.over === true ? undefined : backlog.shift();
      if (entry === undefined) {
        this.dropLater();
        return;
      }
      slice ??= new Slice(octets);
      this.count(entry, -1);
      this.owner.join(() => {
        backlog.remove(entry);
        this.owner.deadLetter(this, entry.message, entry.count, 'queue length');
      });
      slice.look(entry.size);
    }
    this.forgetUnread();
  }

  /** What could not be read, and was passed over, takes no room for ever. */
  private forgetUnread(): void {
    if (this.backlog.length === 0) this.octets = 0;
  }

  private count({ message }: Entry, sign: 1 | -1): void {
    if (this.rules.maxBytes !== Number.POSITIVE_INFINITY) this.octets += sign * message.length;
  }
}
