import type { Done, Message, Route, Session, Subscription } from 'nestjs-stomp/server';
import { Reader } from './reader.js';
import { addressReply } from './reply.js';

/** A destination whose every subscription gets each message. */
export class Topic implements Route {
  // Replaced, never changed, so that a message that is under way reaches those that were there when it came.
  private readers: readonly Reader[] = [];

  /**
   * @param current finds the topic of this name that is in use: a session may hold one that was given up
   * @param adopt the same, and puts this one to use where there is none
   * @param giveUp the last reader has gone
   */
  constructor(
    readonly name: string,
    private readonly current: (topic: Topic) => Topic | undefined,
    private readonly adopt: (topic: Topic) => Topic,
    private readonly giveUp: (topic: Topic) => void,
  ) {}

  send(message: Message, session: Session, done: Done | undefined): void {
    const readers = this.readers.length > 0 ? this.readers : this.current(this)?.readers;
    if (readers !== undefined && readers.length > 0) {
      addressReply(message, session);
      for (let i = 0; i < readers.length; i++) readers[i]!.take(message, session);
    }
    done?.();
  }

  subscribe(subscription: Subscription, done: Done): void {
    const topic = this.adopt(this);
    topic.readers = [...topic.readers, new Reader(subscription)];
    done();
  }

  unsubscribe(subscription: Subscription): void {
    const topic = this.current(this);
    if (topic === undefined) return;
    topic.readers = topic.readers.filter((reader) => reader.subscription !== subscription);
    if (topic.readers.length === 0) this.giveUp(topic);
  }
}
