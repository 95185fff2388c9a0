import type { Done, Message, Session } from 'nestjs-stomp/server';
import { weighPattern } from './pattern.js';
import type { Queue } from './queue.js';
import type { TopicReader } from './reader.js';
import { type Selector, takes } from './selector.js';

/** Octets that it takes to collect from a topic, besides its name. */
const FEED = 1_024;

/** The octets that it takes to collect from a topic, whether anybody is there or not. */
export const weighFeed = (topic: string): number => FEED + 4 * topic.length + weighPattern(topic);

/** What of a topic's messages a queue gets, and how they look to its consumers. */
export interface FeedTerms {
  readonly selector?: Selector | undefined;
  /** Whether it does not want what that session sends. */
  readonly skips?: ((publisher: Session) => boolean) | undefined;
  /** Makes the message what consumers of the queue see. */
  readonly readdress?: ((message: Message) => Message) | undefined;
}

/** A queue that gets the messages of a topic: a durable subscription, or a consumer of a virtual topic. */
export class Feed implements TopicReader {
  readonly keeps = true;
  readonly selects: boolean;

  /**
   * @param queue the queue as it is now: one that was given up is made anew
   * @param owner who it counts for
   */
  constructor(
    private readonly queue: () => Queue,
    private readonly terms: FeedTerms,
    readonly owner?: string,
  ) {
    this.selects = terms.selector !== undefined;
  }

  wants(message: Message, publisher: Session | undefined): boolean {
    const { selector, skips } = this.terms;
    if (selector !== undefined && !takes(selector, message, 0)) return false;
    return publisher === undefined || skips?.(publisher) !== true;
  }

  take(message: Message, publisher: Session | undefined, done: Done | undefined): void {
    const { readdress } = this.terms;
    this.queue().offer(readdress === undefined ? message : readdress(message), done, publisher);
  }
}
