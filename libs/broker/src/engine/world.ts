import {
  type Done,
  type Frame,
  type FrameHeaders,
  type Memory,
  type Message,
  type Route,
  type Session,
  StompError,
  type Subscription,
} from 'nestjs-stomp/server';
import { deadLetter, type DeadReason, ORIGIN } from '../destination/dead.letter.js';
import {
  type ConsumerTerms,
  isPersistent,
  readDurable,
  readQueueName,
  readQueueRules,
  readTerms,
  type Timing,
} from '../destination/dialect.js';
import { Feed, type FeedTerms, weighFeed } from '../destination/feed.js';
import { type Address, checkLimits, DURABLE, type NameLimits, readDestination } from '../destination/name.js';
import { nameOf } from '../destination/owner.js';
import { isPattern } from '../destination/pattern.js';
import { IDLE_TIME, type Policy, type Rules, rulesOf } from '../destination/policy.js';
import { Queue, type QueueOwner } from '../destination/queue.js';
import { offer } from '../destination/reader.js';
import { REPLY_QUEUE, REPLY_TOPIC, ReplyRoute, TEMP_QUEUE, TEMP_TOPIC } from '../destination/reply.js';
import { Retained } from '../destination/retained.js';
import { giveWay, inTurns, spend } from '../destination/slice.js';
import { questionsOf, Topic, type TopicOwner } from '../destination/topic.js';
import { Topics } from '../destination/topics.js';
import { virtualTopic } from '../destination/virtual.js';
import { Wildcards } from '../destination/wildcard.js';
import { MemoryStore } from '../store/memory.js';
import type { Kept, Store } from '../store/store.js';
import { Advisory } from './advisory.js';
import { type DurableAbout, type DurableOwner, Durables } from './durables.js';
import { type Lasting, type Owner, ownerOf } from './lasting.js';
import { type Job, Schedule, type Target } from './schedule.js';
import { TEMPORARY, Temporary } from './temporary.js';

/** The most topics that a queue collects from. */
const MOST_FEEDS = 1_000;

/** What a local engine may hold. */
export interface EngineLimits extends NameLimits {
  /** What messages may take; no limit by default. To be given to the store, too. */
  memory?: Memory;
  /** Queues of a virtual host, durable subscriptions and temporary queues among them; 100,000 by default. */
  maxQueues?: number;
}

/** The same, and what there is where nothing was said. */
export type KnownLimits = EngineLimits & Required<Pick<EngineLimits, 'memory' | 'maxQueues'>>;

/** What a queue that clients made with rules is made again of. */
interface QueueAbout {
  readonly destination: string;
  readonly asked: Partial<Rules>;
  readonly autoDelete: boolean;
}

/** What it is made again of that a queue collects from a topic. */
interface FeedAbout {
  readonly queue: string;
  readonly topic: string;
  readonly noLocal?: boolean;
  /** Whose it is. */
  readonly user?: string;
}

/** One virtual host: its destinations, and what stands between them. */
export class World implements QueueOwner, TopicOwner, DurableOwner {
  readonly topics = new Topics();
  readonly retained = new Retained((topic) => this.store.forget('retained', this.key(topic)));
  readonly advisory = new Advisory(this);
  /** By their ids. */
  private readonly sessions = new Map<string, Session>();
  private readonly queues = new Map<string, Queue>();
  /** What feeds a queue, by topic. */
  private readonly feeds = new Map<Queue, Map<string, Feed>>();
  /** Who queues count for that are fed by their name: also when they are made again. */
  private readonly owners = new WeakMap<Queue, Owner>();
  private readonly durables: Durables;
  /** By name: those that messages of the broker's own are on their way to. */
  private readonly reached = new Map<string, Topic>();
  private readonly temporary = new Temporary();
  private readonly idle = new Map<Queue, NodeJS.Timeout>();
  private readonly wildcards = new Wildcards(this);
  private readonly scheduled: Schedule;
  /** What dies with a connection need not survive anything else. */
  private readonly transient: Store;

  constructor(
    private readonly vhost: string,
    private readonly store: Store,
    private readonly policies: () => readonly Policy[],
    private readonly limits: KnownLimits,
    private readonly lasting: Lasting,
  ) {
    this.transient = new MemoryStore(limits.memory);
    this.durables = new Durables(
      this,
      {
        keep: (key, about) => this.store.keep({ kind: 'durable', key: this.key(key), about }),
        forget: (key) => this.store.forget('durable', this.key(key)),
      },
      lasting,
    );
    this.scheduled = new Schedule(
      {
        prepare: (message, to, go) => this.prepareScheduled(message, to, go),
        release: (message, to) => this.releaseScheduled(message, to),
        keep: ({ id, message, ...about }) => {
          if (isPersistent(message) && !about.to.name.startsWith(TEMPORARY)) {
            this.store.keep({ kind: 'scheduled', key: this.key(id), about, message });
          }
        },
        forget: ({ id }) => this.store.forget('scheduled', this.key(id)),
        join: (work) => this.join(work),
      },
      limits.memory,
    );
  }

  /** @param headers of the frame that asks: they may say how a queue is to be made */
  route(session: Session, { kind, name }: Address, action: 'send' | 'subscribe', headers: FrameHeaders): Route {
    switch (kind) {
      case 'topic':
        return new Topic(name, this);
      case 'queue':
        if (action === 'subscribe' && isPattern(name)) return this.wildcards.route(name, () => this.visible());
        return this.makeInTime(session, name, headers);
      case 'temp-queue':
        return this.temporaryQueue(session, name);
      case 'temp-topic':
        return new Topic(TEMPORARY + this.temporary.name(session, name), this);
      case 'reply-queue':
      case 'reply-topic':
        if (action === 'subscribe') {
          throw new StompError(
            'access refused',
            'a reply destination is for sending to: only its owner may subscribe to it',
          );
        }
        return kind === 'reply-topic'
          ? new Topic(TEMPORARY + name, this)
          : new ReplyRoute(() => this.queues.get(TEMPORARY + name));
    }
  }

  /** It may be that many who subscribe by patterns have to be told of a new one. */
  private makeInTime(session: Session, name: string, headers: FrameHeaders): Queue {
    const since = performance.now();
    const queue = this.queueFor(session, name, headers);
    if (spend(since)) giveWay(session);
    return queue;
  }

  /**
   * The queue of that name, made if need be.
   *
   * @param headers may say how it is to be made
   * @throws StompError when there may be none, or none for that session
   */
  private queueFor(session: Session, name: string, headers: FrameHeaders): Queue {
    const known = this.queues.get(name);
    if (known !== undefined) return known;
    this.checkPlace(name, session);
    const { autoDelete, ...asked } = readQueueRules(headers);
    return this.openQueue(name, `/queue/${name}`, asked, autoDelete, ownerOf(session));
  }

  /** The queue of that name, made if need be. */
  queue(name: string): Queue {
    return this.queues.get(name) ?? this.openQueue(name, `/queue/${name}`, {}, false);
  }

  private openQueue(
    name: string,
    destination: string,
    asked: Partial<Rules>,
    autoDelete: boolean,
    owner?: Owner,
  ): Queue {
    const rules = { ...this.rulesOf(destination), ...asked };
    // What is fed by a virtual topic is there for what comes, whether or not it holds anything.
    const lasts = Object.keys(asked).length > 0 || autoDelete || virtualTopic(name) !== undefined;
    const about = lasts ? { destination, asked, autoDelete } : {};
    const queue = this.open(this.make(name, destination, rules, autoDelete, about), owner);
    // It may be that nothing comes of the frame that it is made for.
    if (queue.idle) this.giveUp(queue);
    return queue;
  }

  private reopen(name: string, about: object = {}, owner?: Owner): Queue {
    const { destination = `/queue/${name}`, asked = {}, autoDelete = false } = about as Partial<QueueAbout>;
    return this.openQueue(name, destination, asked, autoDelete, owner);
  }

  /** Makes again what was kept. */
  recover(kind: Kept['kind'], key: string, { about, message }: Kept): void {
    switch (kind) {
      case 'queue': {
        // The queue of a durable subscription is made with that.
        if (!key.startsWith(DURABLE)) this.reopen(key, about, '');
        return;
      }
      case 'feed': {
        const { queue, topic, noLocal = false, user } = about as unknown as FeedAbout;
        const fed = this.queue(queue);
        this.collect(fed, topic, noLocal, ownerOf({ user, address: undefined }));
        if (fed.idle) this.giveUp(fed);
        return;
      }
      case 'durable':
        this.durables.recover(key, about as unknown as DurableAbout);
        return;
      case 'retained':
        this.retained.keep(key, message!, Number(about['expires']));
        return;
      case 'scheduled':
        // One that makes no sense is set aside now, and does not fail when its time comes.
        readTerms(message!);
        this.scheduled.recover({ ...(about as unknown as Omit<Job, 'id' | 'message'>), id: key, message: message! });
    }
  }

  /** All is made again that was kept: what became due meanwhile is delivered. */
  catchUp(): Promise<void> {
    return this.scheduled.catchUp();
  }

  checkStore(message: Message): void {
    if (isPersistent(message)) this.store.checkRoom(message.destination);
  }

  retain(topic: string, message: Message, expires: number): void {
    this.retained.keep(topic, message, expires);
    if (message.length > 0 && isPersistent(message)) {
      this.store.keep({ kind: 'retained', key: this.key(topic), about: { expires }, message });
    }
  }

  sync(done: Done, destination: string): void {
    this.store.sync(done, false, destination);
  }

  rulesOf(destination: string): Rules {
    if (!destination.startsWith(TEMPORARY)) return rulesOf(destination, this.policies());
    // Nothing stays of a temporary topic.
    return { ...rulesOf(TEMP_TOPIC + destination.slice(TEMPORARY.length), this.policies()), retain: false };
  }

  /** @throws StompError when not that many more messages can wait for their time */
  checkSchedule(messages: number): void {
    this.scheduled.checkRoom(messages);
  }

  schedule(message: Message, timing: Timing, to: Queue | string, publisher?: Session): void {
    const target: Target =
      typeof to === 'string'
        ? { kind: 'topic', name: to, publisher: publisher?.id }
        : { kind: 'queue', name: to.name, about: to.about };
    this.scheduled.add(message, timing, target);
  }

  /** Those who write a message of a topic are asked before, in turns. */
  private prepareScheduled(message: Message, { kind, name, publisher }: Target, go: () => void): void {
    const topic = kind === 'topic' ? this.reaching(name) : undefined;
    if (topic?.slow !== true) {
      go();
      return;
    }
    this.reached.set(name, topic);
    topic.expectDue(message, this.sessions.get(publisher ?? ''));
    inTurns(undefined, questionsOf([topic]), (ask) => ask(), go);
  }

  private releaseScheduled(message: Message, { kind, name, about, publisher, dead }: Target): void {
    if (kind === 'topic') {
      const session = this.sessions.get(publisher ?? '');
      this.reach(name, (topic) => topic.due(message, session, dead));
      return;
    }
    // A temporary queue may have gone with its session.
    if (name.startsWith(TEMPORARY) && !this.queues.has(name)) return;
    this.adopt(this.queues.get(name) ?? this.reopen(name, about)).offer(message);
  }

  /**
   * A publisher names its own temporary destination; whoever answers reads there one that leads to it from every
   * session. As with RabbitMQ, the publisher need not subscribe to its queue.
   *
   * @throws StompError when its name is too long or too deep, or there can be no such queue, or no subscription to it
   */
  addressReply(message: Message, session: Session): void {
    const replyTo = message.replyTo!;
    if (replyTo.startsWith(TEMP_QUEUE)) {
      const local = replyTo.slice(TEMP_QUEUE.length);
      if (local === '') return;
      this.checkReply(replyTo, local);
      const queue = this.temporaryQueue(session, local);
      if (!queue.used) session.attach(replyTo, queue);
      message.setHeader('reply-to', REPLY_QUEUE + this.temporary.name(session, local));
    } else if (replyTo.startsWith(TEMP_TOPIC)) {
      const local = replyTo.slice(TEMP_TOPIC.length);
      this.checkReply(replyTo, local);
      message.setHeader('reply-to', REPLY_TOPIC + this.temporary.name(session, local));
    }
  }

  private checkReply(replyTo: string, name: string): void {
    checkLimits(replyTo, { name }, this.limits, 'the reply-to');
  }

  durable(
    name: string,
    subscription: Subscription,
    { noLocal }: ConsumerTerms,
    topics: Iterable<string>,
  ): Route | undefined {
    const own = readQueueName(subscription);
    const durable = own === undefined ? readDurable(subscription) : undefined;
    if (name.startsWith(TEMPORARY) && (own ?? durable) !== undefined) {
      throw new StompError(
        'invalid header',
        'a temporary topic ends with its session: no durable subscription, and no queue of a name, can collect from it',
      );
    }
    if (own !== undefined) {
      const { session, headers } = subscription;
      const queue = this.queueFor(session, own, headers);
      const feeds = this.feeds.get(queue);
      if (feeds?.has(name) !== true) {
        if (feeds !== undefined && feeds.size >= MOST_FEEDS) {
          throw new StompError(
            'too many topics',
            `a queue collects from at most ${MOST_FEEDS} topics: subscribe to a pattern of them, or name another queue`,
          );
        }
        const owner = ownerOf(session);
        this.lasting.check(owner, weighFeed(name));
        const feed = this.collect(queue, name, noLocal, owner);
        const about = { queue: own, topic: name, noLocal, user: nameOf(session.user) };
        this.store.keep({ kind: 'feed', key: this.key(`${own}\0${name}`), about });
        this.begin(feed, topics);
      }
      return queue;
    }
    return durable === undefined ? undefined : this.durables.open(durable, name, subscription, noLocal, topics);
  }

  begin(feed: Feed, topics: Iterable<string>): void {
    for (const message of this.retained.of(topics)) offer(feed, message, undefined, undefined);
  }

  /** Deletes the durable subscription that an UNSUBSCRIBE names; tells whether there was one. */
  leave(session: Session, frame: Frame, ended: readonly Subscription[]): boolean {
    return this.durables.leave(session, frame, ended);
  }

  current(queue: Queue): Queue {
    return this.queues.get(queue.name) ?? queue;
  }

  adopt(queue: Queue): Queue {
    clearTimeout(this.idle.get(queue));
    this.idle.delete(queue);
    const current = this.queues.get(queue.name) ?? this.renew(queue);
    clearTimeout(this.idle.get(current));
    this.idle.delete(current);
    current.active = true;
    return current;
  }

  giveUp(queue: Queue): void {
    if (this.idle.has(queue) || this.queues.get(queue.name) !== queue) return;
    if (queue.name.startsWith(DURABLE)) return;
    // A topic's messages are collected while nobody is there to take them, unless somebody has said for how long.
    const idleTime = queue.rules.idleTime ?? (this.feeds.has(queue) ? undefined : IDLE_TIME);
    if (idleTime === undefined) return;
    queue.active = false;
    const timer = setTimeout(() => {
      this.idle.delete(queue);
      if (queue.idle) this.remove(queue);
    }, idleTime);
    timer.unref();
    this.idle.set(queue, timer);
  }

  discard(queue: Queue): void {
    this.remove(queue);
  }

  subscribed(subscription: Subscription): void {
    this.advisory.subscription('subscribed', subscription);
  }

  unsubscribed(subscription: Subscription): void {
    this.advisory.subscription('unsubscribed', subscription);
  }

  join(work: () => void): void {
    this.store.join(work);
  }

  deadLetter(queue: Queue, message: Message, deliveries: number, reason: DeadReason): void {
    this.advisory.deadLetter(reason, queue.destination, message.id);
    const letter = deadLetter(queue, message, deliveries, reason);
    if (letter === undefined) return;
    const address = readDestination(letter.destination);
    if (address.kind === 'queue') this.adopt(this.queue(address.name)).offer(letter);
    else if (this.reaching(address.name).slow && this.scheduled.free) {
      this.scheduled.addNow(letter, { kind: 'topic', name: address.name, dead: true });
    } else this.reach(address.name, (topic) => topic.publish(letter, undefined, true, undefined));
  }

  /** Sends a message of the broker's own: those that are still on their way to the topic come before it. */
  private reach(name: string, send: (topic: Topic) => void): void {
    const topic = this.reaching(name);
    this.reached.set(name, topic);
    send(topic);
    this.leaveBe(name, topic);
  }

  private reaching(name: string): Topic {
    const topic: Topic = this.reached.get(name) ?? new Topic(name, this, () => this.leaveBe(name, topic));
    return topic;
  }

  private leaveBe(name: string, topic: Topic): void {
    if (!topic.busy && !topic.expects) this.reached.delete(name);
  }

  occupy(octets: number): void {
    this.limits.memory.add(octets);
  }

  slow(subscription: Subscription): void {
    this.advisory.slow(subscription);
  }

  /** A session has come in. */
  enter(session: Session): void {
    this.sessions.set(session.id, session);
    this.advisory.connection('connected', session);
  }

  /** A session is over: its temporary queues go. */
  release(session: Session): void {
    this.sessions.delete(session.id);
    for (const name of this.temporary.release(session)) {
      const queue = this.queues.get(TEMPORARY + name);
      if (queue !== undefined) this.remove(queue);
    }
  }

  stop(): void {
    for (const timer of this.idle.values()) clearTimeout(timer);
    this.idle.clear();
    this.scheduled.clear();
    for (const each of this.topics.underWay) each.finish();
    for (const queue of this.queues.values()) queue.stop();
  }

  /** A queue in place of one that was removed, and its backlog with it. */
  private renew(queue: Queue): Queue {
    const { name, destination, rules, autoDelete, about } = queue;
    return this.open(this.make(name, destination, rules, autoDelete, about), this.owners.get(queue));
  }

  /** Tells of a queue that clients know by name. */
  private open(queue: Queue, owner: Owner | undefined): Queue {
    if (isHidden(queue)) return queue;
    this.wildcards.added(queue);
    const topic = virtualTopic(queue.name);
    if (topic !== undefined) {
      const readdress = (message: Message) => message.readdress(queue.destination, { [ORIGIN]: message.destination });
      if (owner !== undefined) this.owners.set(queue, owner);
      this.feed(queue, topic, { readdress }, owner);
    }
    return queue;
  }

  make(name: string, destination: string, rules: Rules, autoDelete = false, about: object = {}): Queue {
    const backlog = this.storeOf(name).backlog(this.key(name), about as Kept['about']);
    const queue = new Queue(name, destination, rules, autoDelete, about, backlog, this);
    this.queues.set(name, queue);
    return queue;
  }

  /** @throws StompError when that session may not make a queue of that name, or make it again */
  checkPlace(name: string, session: Session): void {
    this.checkCount(name);
    const topic = this.queues.has(name) ? undefined : virtualTopic(name);
    if (topic !== undefined) this.lasting.check(ownerOf(session), weighFeed(topic));
  }

  /** @throws StompError when that would be one queue too many */
  checkCount(name: string): void {
    if (this.queues.size < this.limits.maxQueues || this.queues.has(name)) return;
    throw new StompError(
      'too many queues',
      `there are ${this.limits.maxQueues} queues, the limit: those that are empty and not used go by themselves`,
    );
  }

  private storeOf(name: string): Store {
    return name.startsWith(TEMPORARY) ? this.transient : this.store;
  }

  private key(name: string): string {
    return `${this.vhost}\0${name}`;
  }

  /** Queues that clients know by name. */
  private *visible(): IterableIterator<Queue> {
    for (const queue of this.queues.values()) if (!isHidden(queue)) yield queue;
  }

  remove(queue: Queue): void {
    clearTimeout(this.idle.get(queue));
    this.idle.delete(queue);
    if (this.queues.get(queue.name) !== queue) return;
    for (const [topic, feed] of this.feeds.get(queue) ?? []) {
      this.topics.remove(topic, feed);
      this.lasting.add(feed.owner, -weighFeed(topic));
      this.store.forget('feed', this.key(`${queue.name}\0${topic}`));
    }
    this.feeds.delete(queue);
    queue.active = false;
    queue.clear();
    this.queues.delete(queue.name);
    this.wildcards.removed(queue);
    this.storeOf(queue.name).drop(this.key(queue.name));
  }

  private temporaryQueue(session: Session, local: string): Queue {
    const name = TEMPORARY + this.temporary.name(session, local);
    const known = this.queues.get(name);
    if (known !== undefined) return known;
    this.checkCount(name);
    const rules = { ...this.rulesOf(TEMP_QUEUE + local), deadLetter: false as const };
    const queue = this.make(name, TEMP_QUEUE + local, rules);
    this.giveUp(queue);
    return queue;
  }

  /** A topic's messages are to wait in a queue. That stays as it was made, like the queue. */
  private collect(queue: Queue, topic: string, noLocal: boolean, owner: Owner): Feed {
    const skips = noLocal ? (publisher: Session) => queue.serves(publisher) : undefined;
    return this.feed(queue, topic, { skips }, owner);
  }

  private feed(queue: Queue, topic: string, terms: FeedTerms, owner: Owner | undefined): Feed {
    const feed = new Feed(() => this.adopt(queue), terms, owner);
    this.lasting.add(owner, weighFeed(topic));
    this.adopt(queue);
    this.topics.add(topic, feed);
    const feeds = this.feeds.get(queue) ?? new Map<string, Feed>();
    this.feeds.set(queue, feeds.set(topic, feed));
    return feed;
  }
}

/** Whether clients know a queue by another name than its own, or by none. */
const isHidden = ({ name }: Queue): boolean => name.startsWith('\0');
