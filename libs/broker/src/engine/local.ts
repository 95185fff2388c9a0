import { type Done, Frame, Message, type Operation, type Route, type Session, StompError } from 'nestjs-stomp/server';
import type { Entry } from '../destination/backlog.js';
import type { Address } from '../destination/name.js';
import { Queue } from '../destination/queue.js';
import { readReplyTo, replyName, ReplyQueue } from '../destination/reply.js';
import { Topic } from '../destination/topic.js';
import { Topics } from '../destination/topics.js';
import { MemoryStore } from '../store/memory.js';
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
  /** The temporary queues of all sessions, apart: nobody reaches one by the name of an ordinary queue. */
  readonly replies: Map<string, ReplyQueue>;
  readonly topics: Topics;
}

/** The engine that owns its messages: they live in this process, above a store. */
export class LocalEngine implements Engine {
  private readonly worlds = new Map<string, World>();
  /** The names of the temporary queues that a session has. */
  private readonly temporary = new Map<Session, Set<string>>();
  private readonly idle = new Map<Queue, NodeJS.Timeout>();
  /** What dies with its session needs no store that outlives the process. */
  private readonly memory = new MemoryStore();

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
    for (const { queues, replies } of this.worlds.values()) {
      for (const queue of [...queues.values(), ...replies.values()]) queue.stop();
    }
    await this.store.close();
  }

  route(session: Session, address: Address, action: 'send' | 'subscribe'): Route {
    const { vhost } = session;
    switch (address.kind) {
      case 'topic':
        return new Topic(address.name, this.world(vhost).topics, this.addressReply);
      case 'queue':
        return this.queue(vhost, address.name);
      case 'temp-queue':
        return this.replyQueue(session, address.name);
      case 'reply-queue': {
        if (action === 'subscribe') {
          throw new StompError('access refused', 'a reply queue is for sending to: only its owner may subscribe to it');
        }
        return new ReplyRoute(() => this.worlds.get(vhost)?.replies.get(address.name));
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
    const { replies } = this.world(session.vhost);
    for (const name of this.temporary.get(session) ?? []) {
      const queue = replies.get(name)!;
      this.keep(queue);
      queue.clear();
      replies.delete(name);
      this.memory.drop(name);
    }
    this.temporary.delete(session);
  }

  private world(vhost: string): World {
    let world = this.worlds.get(vhost);
    if (world === undefined) {
      this.worlds.set(vhost, (world = { queues: new Map(), replies: new Map(), topics: new Topics() }));
    }
    return world;
  }

  private queue(vhost: string, name: string): Queue {
    const { queues } = this.world(vhost);
    const known = queues.get(name);
    if (known !== undefined) return known;
    const key = `${vhost}\0${name}`;
    const queue = new Queue(name, this.store.backlog(key), {
      addressReply: this.addressReply,
      adopt: (old) => this.adopt(old, () => this.queue(vhost, name)),
      giveUp: (idle) =>
        this.giveUp(idle, () => {
          queues.delete(name);
          this.store.drop(key);
        }),
      deadLetter: (_queue, entry, reason) => this.deadLetter(vhost, name, entry, reason),
    });
    queues.set(name, queue);
    // It may be that nothing comes of the frame that it is made for.
    if (queue.idle) queue.giveUp();
    return queue;
  }

  private replyQueue(session: Session, local: string): ReplyQueue {
    const { replies } = this.world(session.vhost);
    const name = replyName(session, local);
    const known = replies.get(name);
    if (known !== undefined) return known;
    let names = this.temporary.get(session);
    if (names === undefined) this.temporary.set(session, (names = new Set()));
    names.add(name);
    const queue = new ReplyQueue(name, this.memory.backlog(name), {
      addressReply: this.addressReply,
      adopt: (old) => this.adopt(old, () => this.replyQueue(session, local)),
      giveUp: (idle) =>
        this.giveUp(idle, () => {
          replies.delete(name);
          names.delete(name);
          this.memory.drop(name);
        }),
      // What nobody but its owner may see is not kept after it.
      deadLetter: () => undefined,
    });
    replies.set(name, queue);
    queue.giveUp();
    return queue;
  }

  /** The queue in use in place of one that a session still holds. */
  private adopt<Q extends Queue>(queue: Q, current: () => Q): Q {
    this.keep(queue);
    const used = current();
    this.keep(used);
    used.active = true;
    return used;
  }

  private keep(queue: Queue): void {
    clearTimeout(this.idle.get(queue));
    this.idle.delete(queue);
  }

  private giveUp(queue: Queue, remove: () => void): void {
    if (this.idle.has(queue)) return;
    const timer = setTimeout(() => {
      this.idle.delete(queue);
      remove();
    }, IDLE_TIME);
    timer.unref();
    queue.active = false;
    this.idle.set(queue, timer);
  }

  /**
   * A publisher names its own temporary queue in `reply-to`; whoever answers reads there a destination that leads to
   * it from every session. Never throws: the message may be a part of a transaction.
   */
  private readonly addressReply = (message: Message, session: Session): void => {
    const local = readReplyTo(message);
    if (local === undefined) return;
    message.setHeader('reply-to', `/reply-queue/${replyName(session, local)}`);
    try {
      this.replyQueue(session, local).open(session, `/temp-queue/${local}`);
    } catch (error) {
      session.refuse(error as Error);
    }
  };

  private deadLetter(vhost: string, origin: string, { message, count }: Entry, reason: string): void {
    const frame = new Frame('SEND', message.headers, message.body);
    const name = `DLQ.${origin}`;
    frame.headers.set(DEAD_REASON, reason).set(DEAD_ORIGIN, message.destination).set(DEAD_COUNT, String(count));
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
