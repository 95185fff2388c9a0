import type { Done, Message, Route, Session, Subscription } from 'nestjs-stomp/server';

/** A destination of a list, and the way to it. */
export interface Part {
  readonly destination: string;
  readonly route: Route;
}

/**
 * The destinations that a list names, `/queue/a,/topic/b` as ActiveMQ has it; one that is no list is the only one. A
 * comma that is not followed by a slash belongs to a name.
 */
export function splitDestination(destination: string): string[] {
  return destination.startsWith('/') ? destination.split(/,(?=\/)/) : [destination];
}

/** Several destinations under one name: each gets every message, under its own. */
export class Composite implements Route {
  constructor(readonly parts: readonly Part[]) {}

  send(message: Message, session: Session, done: Done | undefined): void {
    let pending = this.parts.length;
    let failed: Error | undefined;
    const one: Done | undefined =
      done &&
      ((error) => {
        failed ??= error;
        if (--pending === 0) done(failed);
      });
    for (const { destination, route } of this.parts) route.send(message.readdress(destination), session, one);
  }

  subscribe(subscription: Subscription, done: Done): void {
    const wakes: (() => void)[] = [];
    // One more, so that messages begin only when all of them can be told that they may.
    let pending = this.parts.length + 1;
    let failed: Error | undefined;
    const one: Done = (error) => {
      failed ??= error;
      if (--pending === 0) done(failed);
    };
    for (const { route } of this.parts) {
      route.subscribe(subscription, one);
      // Each of them wants to be told; the subscription knows only the last.
      if (subscription.onReady !== undefined) wakes.push(subscription.onReady);
    }
    subscription.onReady = () => {
      for (const wake of wakes) wake();
    };
    one();
  }

  unsubscribe(subscription: Subscription): void {
    for (const { route } of this.parts) route.unsubscribe(subscription);
  }
}
