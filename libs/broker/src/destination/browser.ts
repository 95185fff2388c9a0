import { Frame, Message, type Subscription } from 'nestjs-stomp/server';
import type { Entry } from './backlog.js';
import { type Selector, takes } from './selector.js';
import { later, LONG, SHORT, Slice } from './slice.js';

/**
 * Shows a subscription what waits in a queue at this moment, and takes nothing. After the last message comes one
 * without a body and with the header `browser:end`, as ActiveMQ has it.
 *
 * @param waiting what waits; each is read when it is its turn, as fast as the subscription takes it
 */
export function browse(waiting: Iterator<Entry>, subscription: Subscription, selector: Selector | undefined): void {
  const slice = new Slice();
  let goesOn = false;
  const show = (octets: number): void => {
    slice.begin(octets);
    while (subscription.ready) {
      if (slice.over) {
        goesOn = true;
        later(goOn);
        return;
      }
      const next = waiting.next();
      if (next.done === true) {
        end();
        return;
      }
      const { message, count, expires } = next.value;
      slice.look(message.size);
      if (expires !== 0 && expires <= Date.now()) continue;
      if (selector === undefined || takes(selector, message, count)) subscription.send(message);
    }
  };
  const goOn = (): void => {
    goesOn = false;
    show(LONG);
  };
  const end = (): void => {
    const { destination } = subscription;
    subscription.onReady = undefined;
    subscription.send(new Message(destination, new Frame('SEND', { destination, browser: 'end' })));
  };
  subscription.onReady = () => {
    if (!goesOn) show(SHORT);
  };
}
