import type { Done, Message, Route, Session, Subscription } from 'nestjs-stomp/server';
import { readPrefetch } from './dialect.js';
import { Reader } from './reader.js';
import type { Topics } from './topics.js';

/**
 * A destination whose every subscription gets each message: the way of one session to one name. It remembers who
 * reads that name for as long as nobody comes or goes.
 */
export class Topic implements Route {
  private readers: readonly Reader[] = [];
  private version = -1;
  private readonly subscribed = new Map<Subscription, Reader>();

  constructor(
    private readonly name: string,
    private readonly topics: Topics,
    private readonly addressReply: (message: Message, session: Session) => void,
  ) {}

  send(message: Message, session: Session, done: Done | undefined): void {
    if (this.version !== this.topics.version) {
      this.readers = this.topics.match(this.name);
      this.version = this.topics.version;
    }
    const { readers } = this;
    if (readers.length > 0) {
      this.addressReply(message, session);
      for (let i = 0; i < readers.length; i++) readers[i]!.take(message, session);
    }
    done?.();
  }

  subscribe(subscription: Subscription, done: Done): void {
    subscription.prefetch = readPrefetch(subscription);
    const reader = new Reader(subscription);
    this.subscribed.set(subscription, reader);
    this.topics.add(this.name, reader);
    done();
  }

  unsubscribe(subscription: Subscription): void {
    const reader = this.subscribed.get(subscription);
    if (reader === undefined) return;
    this.subscribed.delete(subscription);
    this.topics.remove(this.name, reader);
  }
}
