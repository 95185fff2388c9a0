import { type Route, StompError } from 'nestjs-stomp/server';
import type { Queue } from './queue.js';

export const TEMP_QUEUE = '/temp-queue/';
export const TEMP_TOPIC = '/temp-topic/';
export const REPLY_QUEUE = '/reply-queue/';
export const REPLY_TOPIC = '/reply-topic/';

/** Whether a destination is one that belongs to a session, by its owner's name for it or by the others'. */
export const isTemporary = (destination: string): boolean =>
  [TEMP_QUEUE, TEMP_TOPIC, REPLY_QUEUE, REPLY_TOPIC].some((prefix) => destination.startsWith(prefix));

/** The way to somebody's temporary queue. When its owner has gone, nobody waits for the reply any more. */
export class ReplyRoute implements Route {
  constructor(private readonly find: () => Queue | undefined) {}

  /** The queue, while its owner is there. */
  get queue(): Queue | undefined {
    return this.find();
  }

  send(...[message, session, done]: Parameters<Route['send']>): void {
    const { queue } = this;
    if (queue !== undefined) queue.send(message, session, done);
    else done?.();
  }

  /** Takes a message that there is room for. */
  accept(...[message, session, done]: Parameters<Route['send']>): void {
    const { queue } = this;
    if (queue !== undefined) queue.accept(message, session, done);
    else done?.();
  }

  subscribe(): void {
    throw new StompError('access refused', 'a reply queue is for sending to');
  }

  unsubscribe(): void {
    // Nobody can be subscribed.
  }
}
