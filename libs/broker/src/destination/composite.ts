import {
  type Done,
  type Message,
  type Operation,
  type Route,
  type Session,
  StompError,
  type Subscription,
} from 'nestjs-stomp/server';
import { readDurable, readQueueName } from './dialect.js';
import { Queue } from './queue.js';
import { ReplyRoute } from './reply.js';
import { onceAll } from './tally.js';
import { Topic } from './topic.js';

/** A destination of a list, and the way to it. */
export interface Part {
  readonly destination: string;
  readonly route: Route;
}

/** Does all of it, or nothing. */
export interface Committing {
  /** Asks ahead what would take long; `go` is told in this turn or a later one, and nothing is read until then. */
  prepare(operations: readonly Operation[], session: Session, go: Done): void;
  /** @throws StompError when nothing was done */
  commit(operations: readonly Operation[], session: Session, done: Done | undefined): void;
}

/** Where a message goes that is sent to this way: each destination, and the way to it. */
export function partsOf(route: Route, { destination }: Message): readonly Part[] {
  return route instanceof Composite ? route.parts : [{ destination, route }];
}

/** The queue that such a way leads to; undefined where it leads to none. */
export function queueOf(way: Route): Queue | undefined {
  if (way instanceof ReplyRoute) return way.queue;
  return way instanceof Queue ? way.current : undefined;
}

/** Sends a message that nothing refuses any more: its headers were read, and its queues have room. */
export function deliver(route: Route, message: Message, session: Session, done: Done | undefined): void {
  if (route instanceof Composite || route instanceof Queue || route instanceof ReplyRoute || route instanceof Topic) {
    route.accept(message, session, done);
  } else route.send(message, session, done);
}

/** Several destinations under one name: each gets every message, under its own. */
export class Composite implements Route {
  constructor(
    readonly parts: readonly Part[],
    private readonly engine: Committing,
  ) {}

  /** All of them get it or none: it is a transaction of one message. */
  send(message: Message, session: Session, done: Done | undefined): void {
    const operations = [{ route: this, message }];
    this.engine.prepare(operations, session, (failed) => {
      if (session.closed) return;
      try {
        if (failed !== undefined) throw failed;
        this.engine.commit(operations, session, done);
      } catch (error) {
        if (done === undefined) session.refuse(error as Error);
        else done(error as Error);
      }
    });
  }

  /** Takes a message that all of them have room for. */
  accept(message: Message, session: Session, done: Done | undefined): void {
    const one = done && onceAll(this.parts.length, done);
    for (const { destination, route } of this.parts) {
      if (route instanceof Topic) route.accept(message, session, one, destination);
      else deliver(route, message.readdress(destination), session, one);
    }
  }

  /** @throws StompError when it is to be durable, and a topic is among them */
  subscribe(subscription: Subscription, done: Done): void {
    this.checkDurable(subscription);
    const wakes: (() => void)[] = [];
    const wakeAll = () => {
      for (const wake of wakes) wake();
    };
    // Each of them wants to be told; the subscription knows only the last.
    const gather = () => {
      const { onReady } = subscription;
      if (onReady === undefined || onReady === wakeAll) return;
      wakes.push(onReady);
      subscription.onReady = wakeAll;
    };
    // One more, so that messages begin only when all of them can be told that they may.
    const one = onceAll(this.parts.length + 1, done);
    for (const { route } of this.parts) {
      route.subscribe(subscription, (error) => {
        gather();
        one(error);
      });
      gather();
    }
    one();
  }

  /** A durable subscription has one name: under it each topic of a list would take the place of the one before. */
  private checkDurable(subscription: Subscription): void {
    const topic = this.parts.find(({ route }) => route instanceof Topic);
    if (topic === undefined || readQueueName(subscription) !== undefined) return;
    if (readDurable(subscription) === undefined) return;
    throw new StompError(
      'invalid destination',
      `a durable subscription is of one topic, not of a list with ${topic.destination} in it: send a SUBSCRIBE for each, or name a pattern`,
    );
  }

  unsubscribe(subscription: Subscription): void {
    for (const { route } of this.parts) route.unsubscribe(subscription);
  }
}
