import { Frame, Message, type Subscription } from 'nestjs-stomp/server';
import type { Entry } from './backlog.js';
import { type Selector, takes } from './selector.js';

/**
 * Shows a subscription what waits in a queue at this moment, and takes nothing. After the last message comes one
 * without a body and with the header `browser:end`, as ActiveMQ has it.
 */
export function browse(waiting: Iterable<Entry>, subscription: Subscription, selector: Selector | undefined): void {
  const messages: Message[] = [];
  const now = Date.now();
  for (const { message, count, expires } of waiting) {
    if (expires !== 0 && expires <= now) continue;
    if (selector === undefined || takes(selector, message, count)) messages.push(message);
  }
  const { destination } = subscription;
  messages.push(new Message(destination, new Frame('SEND', { destination, browser: 'end' })));
  let shown = 0;
  subscription.onReady = () => {
    while (shown < messages.length && subscription.ready) subscription.send(messages[shown++]!);
  };
}
