import { type Done, type Message, type Route, type Session, StompError, type Subscription } from 'nestjs-stomp/server';
import { type ConsumerTerms, readConsumer } from './dialect.js';
import { matcher } from './pattern.js';
import type { Queue, QueueOwner } from './queue.js';
import { inTurns } from './slice.js';

/** Octets that it takes to have a consumer at one queue more. */
const AT_QUEUE = 1_024;

/** One subscription to all queues of a pattern, those that come later among them, as ActiveMQ has it. */
class Consumption {
  private readonly queues = new Set<Queue>();

  constructor(
    private readonly subscription: Subscription,
    private readonly terms: ConsumerTerms,
    private readonly fits: (name: string) => boolean,
    private readonly at: Map<Queue, Set<Consumption>>,
  ) {
    subscription.onReady = () => {
      // Another one comes first each time, so that none waits for ever behind the others.
      const [first] = this.queues;
      if (first !== undefined) {
        this.queues.delete(first);
        this.queues.add(first);
      }
      for (const queue of this.queues) queue.ready(subscription);
    };
  }

  /**
   * A queue is there, which may be one of the pattern.
   *
   * @throws StompError when that takes too much memory
   */
  add(queue: Queue): void {
    if (!this.fits(queue.name) || this.queues.has(queue)) return;
    this.subscription.session.occupy(this.subscription, AT_QUEUE);
    this.queues.add(queue);
    const those = this.at.get(queue);
    if (those === undefined) this.at.set(queue, new Set([this]));
    else those.add(this);
    queue.attach(this.subscription, this.terms);
    if (this.subscription.ready) queue.ready(this.subscription);
  }

  drop(queue: Queue): void {
    if (this.queues.delete(queue)) this.subscription.session.occupy(this.subscription, -AT_QUEUE);
  }

  end(): void {
    for (const queue of this.queues) {
      const those = this.at.get(queue);
      if (those?.delete(this) === true && those.size === 0) this.at.delete(queue);
      queue.detach(this.subscription);
    }
  }
}

/** Who subscribes to queues by patterns, in one virtual host. */
export class Wildcards {
  private readonly consumptions = new Map<Subscription, Consumption>();
  /** Those that take from a queue: when many queues go, not all of those who stand for any are asked. */
  private readonly at = new Map<Queue, Set<Consumption>>();

  constructor(private readonly owner: Pick<QueueOwner, 'subscribed' | 'unsubscribed'>) {}

  /** A queue was made. */
  added(queue: Queue): void {
    for (const [{ session }, consumption] of this.consumptions) {
      try {
        consumption.add(queue);
      } catch (error) {
        // It is too much for who subscribes, not for whoever has made the queue.
        session.refuse(error as Error);
      }
    }
  }

  /** A queue is gone. */
  removed(queue: Queue): void {
    for (const consumption of this.at.get(queue) ?? []) consumption.drop(queue);
    this.at.delete(queue);
  }

  /** The way to all queues of a pattern. */
  route(pattern: string, queues: () => Iterator<Queue>): Route {
    return {
      send: (_message: Message, _session: Session, _done: Done | undefined) => {
        throw new StompError('invalid destination', 'a message goes to one queue: its name may hold no wildcards');
      },
      subscribe: (subscription, done) => {
        const terms = readConsumer(subscription);
        if (terms.browser) {
          throw new StompError('invalid header', 'a browser looks at one queue: its name may hold no wildcards');
        }
        const consumption = new Consumption(subscription, terms, matcher(pattern), this.at);
        this.consumptions.set(subscription, consumption);
        const add = (queue: Queue) => {
          if (this.consumptions.has(subscription)) consumption.add(queue);
        };
        inTurns(subscription.session, queues(), add, (error) => {
          if (error === undefined && this.consumptions.has(subscription)) this.owner.subscribed(subscription);
          done(error);
        });
      },
      unsubscribe: (subscription) => {
        this.consumptions.get(subscription)?.end();
        if (this.consumptions.delete(subscription)) this.owner.unsubscribed(subscription);
      },
    };
  }
}
