import type { Message } from 'nestjs-stomp/server';
import type { SelectorHeaders } from './header.js';

/** The headers of a message as its receivers see them: the server's own in place of the publisher's. */
class Seen implements SelectorHeaders {
  message: Message | undefined;
  deliveries = 0;

  get(name: string): string | undefined {
    switch (name) {
      case 'message-id':
        return this.message!.id;
      case 'redelivered':
        return String(this.deliveries > 0);
      case 'delivery-count':
        return this.deliveries > 0 ? String(this.deliveries) : undefined;
      case 'subscription':
      case 'ack':
      case 'receipt':
      case 'transaction':
        return undefined;
      default:
        return this.message!.headers.get(name);
    }
  }
}

// One for all: selectors are asked once per message and subscription, one after the other.
const seen = new Seen();

/**
 * Whether a selector takes a message.
 *
 * @param deliveries how often the message was delivered before
 */
export function takes(selector: (headers: SelectorHeaders) => boolean, message: Message, deliveries: number): boolean {
  seen.message = message;
  seen.deliveries = deliveries;
  const taken = selector(seen);
  seen.message = undefined;
  return taken;
}
