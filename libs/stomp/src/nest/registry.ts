import type { MessageHandler } from '@nestjs/microservices';
import { toDestination } from './outgoing.js';
import type { StompHandlerExtras } from './stomp.options.js';

/** The handlers that share one subscription. */
export interface Registration {
  /** The pattern, as Nest normalizes it. */
  readonly pattern: string;
  readonly destination: string;
  readonly kind: 'message' | 'event';
  readonly extras: StompHandlerExtras;
  /** One for requests; of events each gets every message. */
  readonly handlers: MessageHandler[];
}

const QUEUE = /^\/(?:amq\/|temp-|reply-)?queue\//;

/** Whether messages of that destination go to one consumer each. */
export const isQueue = (destination: string): boolean => QUEUE.test(destination);

/** The handlers of an application, by what they subscribe to. */
export class Registry {
  readonly registrations: Registration[] = [];

  /**
   * Adds a handler.
   *
   * @throws Error that names the pattern when it cannot stand beside another one
   */
  add(pattern: string, handler: MessageHandler, kind: Registration['kind'], extras: StompHandlerExtras): void {
    const destination = toDestination(pattern, kind);
    const others = this.registrations.filter((other) => other.destination === destination);
    for (const other of others) {
      if (kind === 'message' && other.kind === 'message') {
        throw new Error(`two message handlers have the pattern "${pattern}": only one of them could answer`);
      }
      if (kind !== other.kind) {
        throw new Error(
          `a message handler and an event handler have the pattern "${pattern}": give one another pattern`,
        );
      }
    }
    const same = others.find((other) => JSON.stringify(other.extras) === JSON.stringify(extras));
    if (same !== undefined) {
      same.handlers.push(handler);
      return;
    }
    if (others.length > 0 && isQueue(destination)) {
      throw new Error(
        `event handlers of the pattern "${pattern}" have different extras: they would take the queue's messages from each other`,
      );
    }
    this.registrations.push({ pattern, destination, kind, extras, handlers: [handler] });
  }
}
