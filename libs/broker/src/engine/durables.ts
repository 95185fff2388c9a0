import { type Frame, type Session, StompError, type Subscription, weighSelector } from 'nestjs-stomp/server';
import { type DurableName, readDeletion } from '../destination/dialect.js';
import { Feed } from '../destination/feed.js';
import { DURABLE } from '../destination/name.js';
import { nameOf } from '../destination/owner.js';
import type { Rules } from '../destination/policy.js';
import type { Queue } from '../destination/queue.js';
import { weighPattern } from '../destination/pattern.js';
import { compileSelector } from '../destination/selector.js';
import type { Topics } from '../destination/topics.js';
import { type Lasting, type Owner, ownerOf } from './lasting.js';

/** What a durable subscription is made again of. */
export type DurableAbout = {
  readonly topic: string;
  readonly name: string;
  readonly selector?: string | undefined;
  readonly noLocal: boolean;
  /** Who made it. */
  readonly clientId?: string | undefined;
  readonly user?: string | undefined;
};

interface Durable {
  readonly topic: string;
  readonly selector: string | undefined;
  readonly noLocal: boolean;
  readonly queue: Queue;
  readonly feed: Feed;
}

/** Where durable subscriptions have their queues. */
export interface DurableOwner {
  readonly topics: Topics;
  rulesOf(destination: string): Rules;
  /** @throws StompError when that would be one queue too many */
  checkCount(queue: string): void;
  make(name: string, destination: string, rules: Rules): Queue;
  remove(queue: Queue): void;
  /** What is retained of topics comes before all that is still to be sent to them. */
  begin(feed: Feed, topics: Iterable<string>): void;
}

/** Where they are kept. */
export interface DurableRecords {
  keep(key: string, about: DurableAbout): void;
  forget(key: string): void;
}

/** The durable subscriptions of a virtual host: each a queue that is fed by a topic until it is deleted. */
export class Durables {
  private readonly all = new Map<string, Durable>();

  constructor(
    private readonly owner: DurableOwner,
    private readonly records: DurableRecords,
    private readonly lasting: Lasting,
  ) {}

  /**
   * The queue of one that a subscription asks for, made if need be.
   *
   * @param topics that it stands for, of those that something is retained of
   * @throws StompError when it would be one too many, or would be another than the one somebody uses
   */
  open(
    { key, name }: DurableName,
    topic: string,
    { headers, session }: Subscription,
    noLocal: boolean,
    topics: Iterable<string>,
  ): Queue {
    const selector = headers.get('selector');
    const known = this.all.get(key);
    // Another topic, selector or no-local under the same name is another subscription, as in JMS.
    const same = known?.topic === topic && known.selector === selector && known.noLocal === noLocal;
    if (known !== undefined && same) return known.queue;
    const { clientId, user } = session;
    const about = { topic, name, selector, noLocal, clientId, user: nameOf(user) };
    // What is refused leaves the one before as it was.
    this.lasting.check(ownerOf(session), weigh(about));
    if (known !== undefined) this.delete(key, known);
    this.owner.checkCount(DURABLE + key);
    this.records.keep(key, about);
    const { queue, feed } = this.make(key, about, ownerOf(session));
    this.owner.begin(feed, topics);
    return queue;
  }

  /** Makes one again that was kept. */
  recover(key: string, about: DurableAbout): void {
    this.make(key, about, ownerOf({ user: about.user, address: undefined }));
  }

  /**
   * Deletes the one that an UNSUBSCRIBE names; tells whether there was one.
   *
   * @throws StompError while somebody else uses it
   */
  leave(session: Session, frame: Frame, ended: readonly Subscription[]): boolean {
    const durable = readDeletion(frame, session, ended[0]?.destination);
    const known = durable === undefined ? undefined : this.all.get(durable.key);
    if (durable === undefined || known === undefined) return false;
    this.delete(durable.key, known);
    return true;
  }

  private make(key: string, about: DurableAbout, whose: Owner): Durable {
    const { topic, name, selector: text, noLocal, clientId, user } = about;
    const { owner } = this;
    // It has the rules of its topic, but for what is too much: a topic's publisher is not refused for one of many.
    const rules = { ...owner.rulesOf(topic), overflow: 'drop-oldest' as const };
    const queue = owner.make(DURABLE + key, `/queue/${name}`, rules);
    // Also while it is away, and comes back under another connection.
    const isOwn = (publisher: Session) =>
      queue.serves(publisher) ||
      (clientId !== undefined && publisher.clientId === clientId && nameOf(publisher.user) === user);
    const selector = text === undefined || text.trim() === '' ? undefined : compileSelector(text);
    const feed = new Feed(() => queue, { selector, skips: noLocal ? isOwn : undefined }, whose);
    this.lasting.add(whose, weigh(about));
    owner.topics.add(topic, feed);
    const durable = { topic, selector: text, noLocal, queue, feed };
    this.all.set(key, durable);
    return durable;
  }

  private delete(key: string, durable: Durable): void {
    const { topic, queue, feed } = durable;
    if (queue.used) {
      throw new StompError(
        'durable subscription in use',
        'another subscription takes its messages: it can be changed and deleted once that has ended',
      );
    }
    this.all.delete(key);
    this.lasting.add(feed.owner, -weigh(durable));
    this.records.forget(key);
    this.owner.topics.remove(topic, feed);
    this.owner.remove(queue);
  }
}

/** What of one stays when its session has gone, in octets. */
const weigh = ({ topic, selector }: Pick<DurableAbout, 'topic' | 'selector'>): number =>
  weighSelector(selector) + weighPattern(topic);
