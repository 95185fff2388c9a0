import { Frame, Message, type Subscription } from 'nestjs-stomp/server';
import type { Backlog } from './backlog.js';
import { type Selector, takes } from './selector.js';
import { later, LONG, SHORT, Slice } from './slice.js';

/**
 * Shows a subscription what waits in a queue at this moment, and takes nothing. After the last message comes one
 * without a body and with the header `browser:end`, as ActiveMQ has it.
 *
 * Each is read when it is its turn, as fast as the subscription takes it.
 */
export function browse(backlog: Backlog, subscription: Subscription, selector: Selector | undefined): void {
  const waiting = backlog.values();
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
      if (next.value === undefined) {
        slice.look();
        if (backlog.stalled === 0) continue;
        goesOn = true;
        setTimeout(goOn, backlog.stalled).unref();
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
