import type { Done, Message, Session } from 'nestjs-stomp/server';
import type { Queue } from './queue.js';
import type { TopicReader } from './reader.js';
import { type Selector, takes } from './selector.js';

/** A queue that gets the messages of a topic: a durable subscription, or a consumer of a virtual topic. */
export class Feed implements TopicReader {
  /**
   * @param queue the queue as it is now: one that was given up is made anew
   * @param readdress makes the message what consumers of the queue see
   */
  constructor(
    private readonly queue: () => Queue,
    private readonly selector: Selector | undefined,
    private readonly readdress: (message: Message) => Message = (message) => message,
  ) {}

  take(message: Message, _publisher: Session | undefined, done: Done | undefined): void {
    if (this.selector !== undefined && !takes(this.selector, message, 0)) done?.();
    else this.queue().offer(this.readdress(message), done);
  }
}
