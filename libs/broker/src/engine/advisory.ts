import { Frame, Message, type Session, type Subscription } from 'nestjs-stomp/server';
import { nameOf } from '../destination/owner.js';
import { Topic, type TopicOwner } from '../destination/topic.js';

const ROOT = '/topic/$SYS/';

/**
 * What a broker tells of itself, as JSON, on topics that wildcards of other topics do not reach:
 *
 *   /topic/$SYS/connections     connected, disconnected
 *   /topic/$SYS/subscriptions   subscribed, unsubscribed
 *   /topic/$SYS/dead-letters    a message that became one
 *   /topic/$SYS/slow-consumers  a subscription that lags behind
 */
export class Advisory {
  private readonly topics = new Map<string, Topic>();
  private readonly subscriptions = new Set<Subscription>();

  constructor(private readonly owner: TopicOwner) {}

  connection(event: 'connected' | 'disconnected', session: Session): void {
    this.tell('connections', event, () => ({ ...describe(session), version: session.version }));
  }

  subscription(event: 'subscribed' | 'unsubscribed', subscription: Subscription): void {
    const { session, destination, id, ack } = subscription;
    if (event === 'subscribed') {
      // A list is one subscription at many destinations.
      if (this.subscriptions.has(subscription)) return;
      this.subscriptions.add(subscription);
    }
    // One that was refused ends too, but never began.
    else if (!this.subscriptions.delete(subscription)) return;
    this.tell('subscriptions', event, () => ({ ...describe(session), destination, id, ack }));
  }

  deadLetter(reason: string, queue: string, messageId: string): void {
    this.tell('dead-letters', 'dead-letter', () => ({ destination: queue, reason, messageId }));
  }

  slow({ session, destination, id }: Subscription): void {
    this.tell('slow-consumers', 'slow', () => ({ ...describe(session), destination, id }));
  }

  private tell(name: string, event: string, details: () => object): void {
    const destination = ROOT + name;
    let topic = this.topics.get(name);
    if (topic === undefined) this.topics.set(name, (topic = new Topic(destination, this.owner)));
    if (this.owner.topics.match(destination).length === 0) return;
    const body = JSON.stringify({ event, time: Date.now(), ...details() });
    const frame = new Frame('SEND', { destination, 'content-type': 'application/json' }, body);
    topic.publish(new Message(destination, frame), undefined, false, undefined);
  }
}

/** The id of a session opens its reply queues, so only the beginning of it is told. */
function describe(session: Session): object {
  return { connection: session.id.slice(0, 8), address: session.address, user: nameOf(session.user) };
}
