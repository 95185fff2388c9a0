/*
 * Who gets the next message of a queue. The consumers that may have credit stand in rings, one for each consumer
 * priority, and take turns; one that is found without credit leaves its ring, and comes back when its subscription
 * says that it is ready. So a message costs nothing for consumers that cannot take it.
 *
 * A consumer that takes only some messages, and has found none, rests until another message comes.
 */
import type { Session, Subscription } from 'nestjs-stomp/server';
import type { Cursor, Entry } from './backlog.js';
import type { ConsumerTerms } from './dialect.js';

/** A subscription that takes messages from a queue. */
export class Consumer {
  /** @internal Whether it stands in its ring. */
  inRing = false;
  /** @internal Whether it has credit and found nothing, so far or at all. */
  rests = false;

  constructor(
    readonly subscription: Subscription,
    readonly terms: ConsumerTerms,
    readonly cursor: Cursor,
  ) {}
}

interface Tier {
  readonly priority: number;
  readonly ring: Consumer[];
  turn: number;
}

export class Consumers {
  private readonly all = new Map<Subscription, Consumer>();
  /** How many of them each session has. */
  private readonly sessions = new Map<Session, number>();
  /** The highest priority first. */
  private readonly tiers: Tier[] = [];
  private resting: Consumer[] = [];
  /** They have looked at some of what waits, and go on in another turn, the first of them first. */
  private readonly searching = new Set<Consumer>();
  /** The one that has the queue for itself. */
  private sole: Consumer | undefined;
  /** Those that want it for themselves. */
  private readonly exclusive = new Set<Consumer>();
  /**
   * By group and priority the order of the first message that somebody would have taken, had the group been its own. The
   * message itself may be long gone. Who that was is not kept: it would be all of them, for each group.
   */
  private readonly missed = new Map<string, Map<number, number>>();

  get size(): number {
    return this.all.size;
  }

  /** Whether one of them may be able to take a message. */
  get waiting(): boolean {
    if (this.sole !== undefined) return this.sole.inRing;
    for (const { ring } of this.tiers) if (ring.length > 0) return true;
    return false;
  }

  /** Those that may be able to take a message, if not any message. */
  get able(): Consumer[] {
    const able = [...this.tiers.flatMap(({ ring }) => ring), ...this.resting, ...this.searching];
    return this.sole === undefined ? able : able.filter((consumer) => consumer === this.sole);
  }

  /** Whether some go on looking in another turn. */
  get searches(): boolean {
    return this.searching.size > 0;
  }

  /** Whether one of them is a subscription of that session. */
  includes(session: Session): boolean {
    return this.sessions.has(session);
  }

  add(consumer: Consumer): void {
    const { session } = consumer.subscription;
    this.all.set(consumer.subscription, consumer);
    this.sessions.set(session, (this.sessions.get(session) ?? 0) + 1);
    if (!consumer.terms.exclusive) return;
    this.exclusive.add(consumer);
    this.elect();
  }

  /** Takes one out; undefined when it is none of them. */
  remove(subscription: Subscription): Consumer | undefined {
    const consumer = this.all.get(subscription);
    if (consumer === undefined) return undefined;
    this.all.delete(subscription);
    const left = this.sessions.get(subscription.session)! - 1;
    if (left > 0) this.sessions.set(subscription.session, left);
    else this.sessions.delete(subscription.session);
    consumer.cursor.close();
    this.leave(consumer);
    this.searching.delete(consumer);
    if (consumer.rests) this.resting = this.resting.filter((other) => other !== consumer);
    if (this.all.size === 0) this.tiers.length = 0;
    if (this.exclusive.delete(consumer)) this.elect();
    return consumer;
  }

  /** A subscription says that it can take messages. */
  enter(subscription: Subscription): void {
    const consumer = this.all.get(subscription);
    if (consumer === undefined || consumer.inRing || consumer.rests) return;
    this.join(consumer);
  }

  /** The one whose turn it is; undefined when nobody can take a message. */
  next(): Consumer | undefined {
    const { tiers, sole } = this;
    if (sole !== undefined) return sole.inRing && this.isReady(sole) ? sole : undefined;
    for (let i = 0; i < tiers.length; i++) {
      const tier = tiers[i]!;
      const { ring } = tier;
      while (ring.length > 0) {
        if (tier.turn >= ring.length) tier.turn = 0;
        const consumer = ring[tier.turn]!;
        if (!this.isReady(consumer)) continue;
        tier.turn++;
        return consumer;
      }
    }
    return undefined;
  }

  /** It could take a message, but none that there is. */
  rest(consumer: Consumer): void {
    this.leave(consumer);
    consumer.rests = true;
    this.resting.push(consumer);
  }

  /** It has looked at enough for one turn; tells whether it is the only one. */
  search(consumer: Consumer): boolean {
    this.leave(consumer);
    consumer.rests = true;
    return this.searching.add(consumer).size === 1;
  }

  /** One goes on that has looked at enough for one turn; tells whether there are others. */
  goOn(): boolean {
    const [consumer] = this.searching;
    if (consumer === undefined) return false;
    this.searching.delete(consumer);
    consumer.rests = false;
    this.join(consumer);
    return this.searching.size > 0;
  }

  /** There is something new to be looked at. */
  wakeAll(): void {
    if (this.resting.length === 0) return;
    const { resting } = this;
    this.resting = [];
    for (const consumer of resting) {
      consumer.rests = false;
      this.join(consumer);
    }
  }

  /** A consumer cannot have a message of a group: it is somebody else's. */
  miss(group: string, { priority, order }: Entry): void {
    let orders = this.missed.get(group);
    if (orders === undefined) this.missed.set(group, (orders = new Map<number, number>()));
    const first = orders.get(priority);
    if (first === undefined || order < first) orders.set(priority, order);
  }

  /** Those groups are nobody's any more: all look again from the first of their messages on that one could not have. */
  free(groups: Iterable<string>): void {
    const first = new Map<number, number>();
    for (const group of groups) {
      for (const [priority, order] of this.missed.get(group) ?? []) {
        first.set(priority, Math.min(order, first.get(priority) ?? order));
      }
      this.missed.delete(group);
    }
    if (first.size === 0) return;
    for (const { cursor } of this.all.values()) {
      for (const [priority, order] of first) cursor.reset({ priority, order });
    }
    this.wakeAll();
  }

  private isReady(consumer: Consumer): boolean {
    if (consumer.subscription.ready) return true;
    this.leave(consumer);
    return false;
  }

  private join(consumer: Consumer): void {
    const { priority } = consumer.terms;
    let at = 0;
    while (at < this.tiers.length && this.tiers[at]!.priority > priority) at++;
    if (this.tiers[at]?.priority !== priority) this.tiers.splice(at, 0, { priority, ring: [], turn: 0 });
    this.tiers[at]!.ring.push(consumer);
    consumer.inRing = true;
  }

  private leave(consumer: Consumer): void {
    if (!consumer.inRing) return;
    consumer.inRing = false;
    const tier = this.tiers.find(({ priority }) => priority === consumer.terms.priority)!;
    const place = tier.ring.indexOf(consumer);
    tier.ring.splice(place, 1);
    if (place < tier.turn) tier.turn--;
  }

  /** Of those that want the queue for themselves the one of the highest priority has it, and of these the first. */
  private elect(): void {
    let sole: Consumer | undefined;
    for (const consumer of this.exclusive) {
      if (sole === undefined || consumer.terms.priority > sole.terms.priority) sole = consumer;
    }
    this.sole = sole;
  }
}
