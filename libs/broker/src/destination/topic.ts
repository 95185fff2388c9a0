import { type Done, type Message, type Route, type Session, type Subscription } from 'nestjs-stomp/server';
import { type Answered, Answers } from './answers.js';
import { type ConsumerTerms, readConsumer, readTerms, type Timing } from './dialect.js';
import { weighPattern } from './pattern.js';
import { offer, Reader, type TopicReader } from './reader.js';
import type { Rules } from './policy.js';
import { Rounds } from './rounds.js';
import type { Retained } from './retained.js';
import { giveWay, spend } from './slice.js';
import { stamp } from './stamp.js';
import { onceAll } from './tally.js';
import type { Topics } from './topics.js';

export interface TopicOwner {
  readonly topics: Topics;
  readonly retained: Retained;
  rulesOf(destination: string): Rules;
  /** A message is to be published later. */
  schedule(message: Message, timing: Timing, to: string, publisher: Session): void;
  /**
   * Whether a message that has to survive can be kept.
   *
   * @throws StompError when not
   */
  checkStore(message: Message): void;
  /** Keeps the last message of a topic. */
  retain(topic: string, message: Message, expires: number): void;
  /**
   * Calls back when all that was done so far is as safe as was promised.
   *
   * @param destination of what the caller asks for
   */
  sync(done: Done, destination: string): void;
  addressReply(message: Message, session: Session): void;
  /**
   * The queue that a subscription wants the topic's messages to wait in; undefined when it wants none.
   *
   * @param topics what is retained for them comes first
   */
  durable(name: string, subscription: Subscription, terms: ConsumerTerms, topics: Iterable<string>): Route | undefined;
  /** So many more octets of messages are on their way in turns; fewer, if negative. */
  occupy(octets: number): void;
  /** A reader lags behind. */
  slow(subscription: Subscription): void;
  subscribed(subscription: Subscription): void;
  unsubscribed(subscription: Subscription): void;
}

/** A message, and the name by which it comes to a topic. */
export interface Sending {
  readonly message: Message;
  readonly destination: string;
}

/** With so many readers it is looked at how long it takes to ask them all. */
const MANY = 1_000;

/**
 * A destination whose every subscription gets each message: the way of one session to one name. It remembers who
 * reads that name for as long as nobody comes or goes.
 */
export class Topic implements Route {
  private readers: readonly TopicReader[] = [];
  /** Those of them that write and have selectors: the same list for as long as they are the same. */
  private selective: readonly TopicReader[] = [];
  private version = -1;
  /** Where selectors are asked. */
  private rounds: Rounds | undefined;
  /** About messages that are to be accepted. */
  private answers: Answers | undefined;
  // Made when there is something in it: most sessions either send or subscribe.
  private subscribed: Map<Subscription, Reader> | undefined;
  private durable: Map<Subscription, Route> | undefined;
  // Those for which it is still looked for what is retained.
  private opening: Set<Subscription> | undefined;
  private readonly retains: boolean;
  private readonly stamps: boolean;

  /** @param onOver told when what took turns is done; see `busy` */
  constructor(
    private readonly name: string,
    private readonly owner: TopicOwner,
    private readonly onOver?: () => void,
  ) {
    const { retain, stamp } = owner.rulesOf(name);
    this.retains = retain;
    this.stamps = stamp;
  }

  /** Whether a message is on its way to readers that take turns. */
  get busy(): boolean {
    return this.rounds?.busy === true;
  }

  send(message: Message, session: Session, done: Done | undefined): void {
    this.admit(message, session, false, done);
  }

  /** Whether it may take long to find out who writes a message. */
  get slow(): boolean {
    return this.keepers().length > 0;
  }

  /**
   * Messages are to be accepted, when all that is to be asked about them has been: see `questions`.
   *
   * @param parts each with the name that it comes to the topic by
   */
  expect(parts: readonly Sending[], session: Session): void {
    const answers = new Answers(session);
    this.answers = answers;
    for (const { message, destination } of parts) {
      if (message.special && readTerms(message).timing !== undefined) continue;
      answers.expect(message, () => {
        const own = readdress(message, destination);
        if (this.stamps) stamp(own, session);
        return own;
      });
    }
  }

  /** A message that was delayed, or is a dead letter, is `due` when all that is to be asked about it has been. */
  expectDue(message: Message, publisher: Session | undefined): void {
    this.answers = new Answers(publisher);
    this.answers.expect(message, () => message);
  }

  /** Whether a message that was to come has not come yet. */
  get expects(): boolean {
    return this.answers?.open === true;
  }

  /** What those who write are to be asked about such messages, and were not yet. */
  questions(): Iterable<() => void> {
    return this.answers?.questions(this.keepers()) ?? [];
  }

  /**
   * Takes a message that stands or falls with what else this turn does: it is written in it.
   *
   * @param destination the name that it comes by
   */
  accept(message: Message, session: Session, done: Done | undefined, destination = message.destination): void {
    const answered = this.answers?.take(message, this.keepers());
    if (answered === undefined) this.admit(readdress(message, destination), session, true, done);
    else this.admit(answered.own, session, answered, done);
  }

  /**
   * The time of a message has come.
   *
   * @param dead of a dead letter, which is not kept, and does not expire
   */
  due(message: Message, publisher: Session | undefined, dead = false): void {
    const answered = this.answers?.take(message, this.keepers()) ?? true;
    if (dead) this.publish(message, publisher, answered, undefined);
    else this.release(message, publisher, answered, undefined);
  }

  private keepers(): readonly TopicReader[] {
    if (this.version !== this.owner.topics.version) this.find();
    return this.selective;
  }

  private admit(message: Message, session: Session, together: boolean | Answered, done: Done | undefined): void {
    if (this.stamps) stamp(message, session);
    if (message.replyTo !== undefined) this.owner.addressReply(message, session);
    if (message.persistent !== undefined) this.owner.checkStore(message);
    if (message.special) {
      const { timing } = readTerms(message);
      if (timing !== undefined) {
        this.owner.schedule(message, timing, this.name, session);
        if (done !== undefined) this.owner.sync(done, message.destination);
        return;
      }
    }
    this.release(message, session, together, done);
  }

  /**
   * Its time has come: it is kept where it asks for that, and published if it lives still.
   *
   * @param together it is written in this turn, as in `accept`
   */
  release(
    message: Message,
    publisher: Session | undefined,
    together: boolean | Answered,
    done: Done | undefined,
  ): void {
    if (message.special) {
      const { retain, expires } = readTerms(message);
      if (expires !== 0 && expires <= Date.now()) {
        done?.();
        return;
      }
      if (retain && this.retains) {
        this.owner.retain(this.name, message, expires);
        // Persistent or not, it takes the place of one that may have been.
        const kept: Done | undefined =
          done && ((error) => (error === undefined ? this.owner.sync(done, message.destination) : done(error)));
        this.publish(message, publisher, together, kept);
        return;
      }
    }
    this.publish(message, publisher, together, done);
  }

  /**
   * Hands a message to everybody who reads the name.
   *
   * @param together it is written in this turn, as in `accept`
   */
  publish(
    message: Message,
    publisher: Session | undefined,
    together: boolean | Answered,
    done: Done | undefined,
  ): void {
    const { topics } = this.owner;
    const known = this.version === topics.version;
    const since = known && this.readers.length < MANY ? 0 : performance.now();
    if (!known) this.find();
    this.distribute(message, publisher, together, done);
    if (since > 0 && spend(since) && publisher !== undefined) giveWay(publisher);
  }

  private distribute(
    message: Message,
    publisher: Session | undefined,
    together: boolean | Answered,
    done: Done | undefined,
  ): void {
    const { readers, rounds } = this;
    if (rounds !== undefined) {
      rounds.begin(message, publisher, readers, together, done);
      return;
    }
    const one = done && onceAll(readers.length + 1, done);
    for (let i = 0; i < readers.length; i++) offer(readers[i]!, message, publisher, one);
    one?.();
  }

  private find(): void {
    const { topics } = this.owner;
    this.readers = topics.match(this.name);
    this.version = topics.version;
    if (this.rounds === undefined) {
      if (!this.readers.some(({ selects }) => selects)) return;
      this.rounds = new Rounds(topics, this.name, (octets) => this.owner.occupy(octets), this.onOver);
    }
    // Those that write come first, and of them those that have selectors.
    const keepers = this.readers.filter(({ keeps }) => keeps);
    const selective = keepers.filter(({ selects }) => selects);
    this.readers = [
      ...selective,
      ...keepers.filter(({ selects }) => !selects),
      ...this.readers.filter(({ keeps }) => !keeps),
    ];
    if (!isSame(selective, this.selective)) this.selective = selective;
  }

  subscribe(subscription: Subscription, done: Done): void {
    const terms = readConsumer(subscription);
    const opening = (this.opening ??= new Set());
    opening.add(subscription);
    this.owner.retained.search(this.name, subscription.session, (topics) => {
      if (!opening.delete(subscription)) {
        done();
        return;
      }
      try {
        this.open(subscription, terms, topics, done);
      } catch (error) {
        done(error as Error);
      }
    });
  }

  /** @param topics those of its name that something is retained for */
  private open(subscription: Subscription, terms: ConsumerTerms, topics: Iterable<string>, done: Done): void {
    const { owner, name } = this;
    const durable = owner.durable(name, subscription, terms, topics);
    if (durable !== undefined) {
      (this.durable ??= new Map()).set(subscription, durable);
      durable.subscribe(subscription, (error) => {
        if (error === undefined) owner.sync(done, name);
        else done(error);
      });
      return;
    }
    subscription.session.occupy(subscription, weighPattern(name));
    subscription.prefetch = terms.prefetch;
    const reader = new Reader(subscription, terms, owner.rulesOf(name), (slow) => owner.slow(slow));
    (this.subscribed ??= new Map()).set(subscription, reader);
    owner.topics.add(name, reader);
    const kept = owner.retained.of(topics);
    owner.subscribed(subscription);
    done();
    for (const message of kept) offer(reader, message, undefined, undefined);
  }

  unsubscribe(subscription: Subscription): void {
    this.opening?.delete(subscription);
    const durable = this.durable?.get(subscription);
    this.durable?.delete(subscription);
    durable?.unsubscribe(subscription);
    const reader = this.subscribed?.get(subscription);
    if (reader === undefined) return;
    this.subscribed?.delete(subscription);
    this.owner.topics.remove(this.name, reader);
    reader.close();
    this.owner.unsubscribed(subscription);
  }
}

/**
 * All that is to be asked about messages that are expected, until nobody is left who was not: some may come meanwhile.
 *
 * @param over whether nobody wants to know any more
 */
export function* questionsOf(topics: Iterable<Topic>, over = () => false): Generator<() => void> {
  const all = [...topics];
  for (let open = true; open;) {
    open = false;
    for (const topic of all) {
      for (const question of topic.questions()) {
        if (over()) return;
        open = true;
        yield question;
      }
    }
  }
}

const readdress = (message: Message, destination: string): Message =>
  message.destination === destination ? message : message.readdress(destination);

const isSame = (one: readonly TopicReader[], other: readonly TopicReader[]): boolean =>
  one.length === other.length && one.every((reader, at) => reader === other[at]);
