import { type Done, Frame, Message, type Operation, type Route, type Session, StompError } from 'nestjs-stomp/server';
import type { Entry } from '../destination/backlog.js';
import type { Address } from '../destination/name.js';
import { Queue, type QueueOwner } from '../destination/queue.js';
import { replyName } from '../destination/reply.js';
import { Topic } from '../destination/topic.js';
import { Topics } from '../destination/topics.js';
import type { Store } from '../store/store.js';
import type { Engine } from './engine.js';

/** How long a queue may stand empty and unused before it is removed, in ms. */
const IDLE_TIME = 60_000;
/** Headers of a dead letter that tell how it became one. */
const DEAD_REASON = 'dead-letter-reason';
const DEAD_ORIGIN = 'dead-letter-origin';
const DEAD_COUNT = 'dead-letter-deliveries';

/** One virtual host. */
interface World {
  readonly queues: Map<string, Queue>;
  readonly topics: Topics;
}

/** The engine that owns its messages: they live in this process, above a store. */
export class LocalEngine implements Engine {
  private readonly worlds = new Map<string, World>();
  private readonly temporary = new Map<Session, Set<string>>();
  private readonly idle = new Map<Queue, NodeJS.Timeout>();

  constructor(private readonly store: Store) {}

  async start(): Promise<void> {
    for (const key of await this.store.open()) {
      const at = key.indexOf('\0');
      this.queue(key.slice(0, at), key.slice(at + 1));
    }
  }

  async stop(): Promise<void> {
    for (const timer of this.idle.values()) clearTimeout(timer);
    this.idle.clear();
    await this.store.close();
  }

  route(session: Session, address: Address, action: 'send' | 'subscribe'): Route {
    const { vhost } = session;
    switch (address.kind) {
      case 'topic':
        return new Topic(address.name, this.world(vhost).topics);
      case 'queue':
        return this.queue(vhost, address.name);
      case 'temp-queue':
        return this.temporaryQueue(session, address.name);
      case 'reply-queue': {
        if (action === 'subscribe') {
          throw new StompError('access refused', 'a reply queue is for sending to: only its owner may subscribe to it');
        }
        return new ReplyRoute(() => this.worlds.get(vhost)?.queues.get(address.name));
      }
    }
  }

  commit(operations: readonly Operation[], session: Session, done: Done): void {
    // All of it happens in this turn of the event loop, and nothing in it can fail: so it is atomic.
    let pending = 1;
    let failed: Error | undefined;
    const one: Done = (error) => {
      failed ??= error;
      if (--pending === 0) done(failed);
    };
    for (const operation of operations) {
      if ('message' in operation) {
        pending++;
        operation.route.send(operation.message, session, one);
      } else operation.delivery.source?.settle(operation.delivery, operation.outcome, operation.subscription);
    }
    one();
  }

  release(session: Session): void {
    for (const name of this.temporary.get(session) ?? []) {
      this.worlds.get(session.vhost)?.queues.get(name)?.clear();
      this.worlds.get(session.vhost)?.queues.delete(name);
      this.store.drop(`${session.vhost}\0${name}`);
    }
    this.temporary.delete(session);
  }

  private world(vhost: string): World {
    let world = this.worlds.get(vhost);
    if (world === undefined) this.worlds.set(vhost, (world = { queues: new Map(), topics: new Topics() }));
    return world;
  }

  private queue(vhost: string, name: string): Queue {
    const { queues } = this.world(vhost);
    const known = queues.get(name);
    if (known !== undefined) return known;
    const key = `${vhost}\0${name}`;
    const owner: QueueOwner = {
      adopt: (queue) => {
        const timer = this.idle.get(queue);
        if (timer !== undefined) {
          clearTimeout(timer);
          this.idle.delete(queue);
        }
        const current = queues.get(name) ?? queue;
        queues.set(name, current);
        current.active = true;
        return current;
      },
      giveUp: (queue) => {
        if (this.idle.has(queue) || queues.get(name) !== queue) return;
        const timer = setTimeout(() => {
          this.idle.delete(queue);
          queues.delete(name);
          this.store.drop(key);
        }, IDLE_TIME);
        timer.unref();
        queue.active = false;
        this.idle.set(queue, timer);
      },
      deadLetter: (queue, entry, reason) => this.deadLetter(vhost, queue, entry, reason),
    };
    const queue = new Queue(name, this.store.backlog(key), owner);
    queues.set(name, queue);
    return queue;
  }

  private temporaryQueue(session: Session, local: string): Queue {
    const name = replyName(session, local);
    let names = this.temporary.get(session);
    if (names === undefined) this.temporary.set(session, (names = new Set()));
    names.add(name);
    return this.queue(session.vhost, name);
  }

  private deadLetter(vhost: string, queue: Queue, entry: Entry, reason: string): void {
    const { message } = entry;
    const frame = new Frame('SEND', message.headers, message.body);
    frame.headers.set(DEAD_REASON, reason).set(DEAD_ORIGIN, message.destination).set(DEAD_COUNT, String(entry.count));
    const name = `DLQ.${queue.name}`;
    frame.headers.set('destination', `/queue/${name}`);
    this.queue(vhost, name).put(new Message(`/queue/${name}`, frame));
  }
}

/** The way to somebody's temporary queue. When its owner has gone, nobody waits for the reply any more. */
class ReplyRoute implements Route {
  constructor(private readonly find: () => Queue | undefined) {}

  send(message: Message, session: Session, done: Done | undefined): void {
    const queue = this.find();
    if (queue !== undefined) queue.send(message, session, done);
    else done?.();
  }

  subscribe(): void {
    throw new StompError('access refused', 'a reply queue is for sending to');
  }

  unsubscribe(): void {
    // Nobody can be subscribed.
  }
}
