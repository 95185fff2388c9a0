import type { Done, Message, Route, Session, Subscription } from 'nestjs-stomp/server';
import { readTerms } from './dialect.js';
import { Queue } from './queue.js';

/** A destination of a list, and the way to it. */
export interface Part {
  readonly destination: string;
  readonly route: Route;
}

/** The queues that a message goes to by this way. */
export function queuesOf(route: Route): Queue[] {
  if (route instanceof Queue) return [route];
  return route instanceof Composite ? route.parts.flatMap((part) => queuesOf(part.route)) : [];
}

/** Sends a message that nothing refuses any more: its headers were read, and its queues have room. */
export function deliver(route: Route, message: Message, session: Session, done: Done | undefined): void {
  if (route instanceof Composite) route.accept(message, session, done);
  else if (route instanceof Queue) route.accept(message, session, done);
  else route.send(message, session, done);
}

/** Several destinations under one name: each gets every message, under its own. */
export class Composite implements Route {
  constructor(readonly parts: readonly Part[]) {}

  send(message: Message, session: Session, done: Done | undefined): void {
    // All of them or none.
    if (message.special) for (const queue of queuesOf(this)) queue.checkStore(message);
    if (!message.special || readTerms(message).timing === undefined) {
      for (const queue of queuesOf(this)) queue.checkRoom(1, message.size);
    }
    this.accept(message, session, done);
  }

  /** Takes a message that all of them have room for. */
  accept(message: Message, session: Session, done: Done | undefined): void {
    let pending = this.parts.length;
    let failed: Error | undefined;
    const one: Done | undefined =
      done &&
      ((error) => {
        failed ??= error;
        if (--pending === 0) done(failed);
      });
    for (const { destination, route } of this.parts) deliver(route, message.readdress(destination), session, one);
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
