import {
  type Done,
  type Frame,
  Memory,
  type Message,
  type Operation,
  type Route,
  type Session,
  StompError,
  type Subscription,
} from 'nestjs-stomp/server';
import { Composite, deliver, partsOf, queueOf } from '../destination/composite.js';
import { isPersistent, readTerms } from '../destination/dialect.js';
import { type Address, DURABLE } from '../destination/name.js';
import { checkPolicies, type Policy } from '../destination/policy.js';
import type { Queue } from '../destination/queue.js';
import { inTurns } from '../destination/slice.js';
import { onceAll } from '../destination/tally.js';
import { questionsOf, type Sending, Topic } from '../destination/topic.js';
import type { Store } from '../store/store.js';
import type { Engine } from './engine.js';
import { Lasting } from './lasting.js';
import { type EngineLimits, type KnownLimits, World } from './world.js';

/** A message of a transaction, and its way. */
type Sent = { readonly route: Route; readonly message: Message };

/** The engine that owns its messages: they live in this process, above a store. */
export class LocalEngine implements Engine {
  private readonly worlds = new Map<string, World>();
  private readonly limits: KnownLimits;
  private readonly lasting: Lasting;

  /**
   * @param policies how destinations are treated; see {@link Policy}
   * @param limits what it may hold
   * @throws Error that names the policy and what is wrong with it
   */
  constructor(
    private readonly store: Store,
    private policies: readonly Policy[] = [],
    limits: EngineLimits = {},
  ) {
    checkPolicies(policies);
    const { memory = new Memory(), maxQueues = 100_000, ...names } = limits;
    this.limits = { ...names, memory, maxQueues };
    this.lasting = new Lasting(memory.most);
  }

  async start(): Promise<void> {
    const queues = await this.store.open(this.limits.memory);
    const kept = [...this.store.kept()];
    const durables = new Set(kept.filter(({ kind }) => kind === 'durable').map(({ key }) => key));
    // What a queue is made of comes before what it feeds on.
    for (const first of [true, false]) {
      for (const one of kept.filter(({ kind }) => (kind === 'queue') === first)) {
        const at = one.key.indexOf('\0');
        try {
          this.world(one.key.slice(0, at)).recover(one.kind, one.key.slice(at + 1), one);
        } catch (error) {
          this.store.refuse(one, lineOf(error as Error));
        }
      }
    }
    for (const key of queues) {
      const at = key.indexOf('\0');
      const name = key.slice(at + 1);
      const queue = this.world(key.slice(0, at)).queue(name);
      if (!name.startsWith(DURABLE) || durables.has(key.slice(0, at + 1) + name.slice(DURABLE.length))) continue;
      this.store.report(
        `the record of the durable subscription ${name.slice(name.lastIndexOf('\0') + 1)} is lost: ` +
          `${queue.length} messages wait until it is subscribed to again`,
      );
    }
    await this.store.redo(async () => {
      for (const world of this.worlds.values()) await world.catchUp();
    });
  }

  setPolicies(policies: readonly Policy[]): void {
    checkPolicies(policies);
    this.policies = policies;
  }

  async stop(): Promise<void> {
    for (const world of this.worlds.values()) world.stop();
    await this.store.close();
  }

  enter(session: Session): void {
    this.world(session.vhost).enter(session);
  }

  route(session: Session, address: Address, action: 'send' | 'subscribe', frame: Frame): Route {
    return this.world(session.vhost).route(session, address, action, frame.headers);
  }

  leave(session: Session, frame: Frame, ended: readonly Subscription[]): boolean {
    return this.world(session.vhost).leave(session, frame, ended);
  }

  prepare(operations: readonly Operation[], session: Session, go: Done): void {
    const sent = operations.filter((operation) => 'message' in operation);
    const slow = sent.some(({ route, message }) => {
      return partsOf(route, message).some((part) => part.route instanceof Topic && part.route.slow);
    });
    if (!slow) {
      go();
      return;
    }
    // What is in a transaction counts already.
    const { memory } = this.limits;
    let held = 0;
    let over = false;
    inTurns(
      session,
      questions(sent, session, this.world(session.vhost)),
      (ask) => ask(),
      (error) => {
        over = true;
        memory.add(-held);
        go(error);
      },
    );
    if (over || operations.length > 1 || !(sent[0]!.route instanceof Composite)) return;
    held = sent[0]!.message.size;
    memory.add(held);
  }

  commit(operations: readonly Operation[], session: Session, done: Done | undefined): void {
    // What could refuse a part is asked first; the rest happens in this turn of the event loop: so it is atomic.
    const world = this.world(session.vhost);
    const sent = operations.filter((operation) => 'message' in operation);
    for (const { message } of sent) world.checkStore(message);
    world.checkSchedule(checkMessages(sent, session));
    this.checkSize(operations);
    for (const { message } of sent) if (message.replyTo !== undefined) world.addressReply(message, session);
    const one = done && onceAll(sent.length + 1, done);
    this.store.join(() => {
      for (const operation of operations) {
        if ('message' in operation) deliver(operation.route, operation.message, session, one);
        else operation.delivery.source?.settle(operation.delivery, operation.outcome, operation.subscription);
      }
    });
    // Each message tells for itself.
    if (sent.length < operations.length && one !== undefined)
      this.store.sync(one, sent.length === 0, sent[0]?.message.destination);
    else one?.();
  }

  sync(done: Done): void {
    this.store.sync(done, true);
  }

  release(session: Session): void {
    const world = this.world(session.vhost);
    world.release(session);
    if (session.version !== undefined) world.advisory.connection('disconnected', session);
  }

  /** @throws StompError when it is more than can be kept as a whole */
  private checkSize(operations: readonly Operation[]): void {
    const { together } = this.store;
    let octets = 0;
    for (const operation of operations) {
      const sent = 'message' in operation;
      // What is refused may be written anew, as a dead letter.
      if (!sent && operation.outcome.kind !== 'nack') continue;
      const { message } = sent ? operation : operation.delivery;
      if (isPersistent(message)) octets += (sent ? partsOf(operation.route, message).length : 1) * message.size;
    }
    if (octets <= together) return;
    throw new StompError(
      'too large',
      `messages that are kept together, for every queue that they go to, may take ${together} octets, and these take ` +
        `${octets}: send them in parts`,
    );
  }

  private world(vhost: string): World {
    let world = this.worlds.get(vhost);
    if (world === undefined) {
      world = new World(vhost, this.store, () => this.policies, this.limits, this.lasting);
      this.worlds.set(vhost, world);
    }
    return world;
  }
}

/** What those who write messages of topics are to be asked about those of a transaction. */
function* questions(sent: readonly Sent[], session: Session, world: World): Generator<() => void> {
  const topics = new Map<Topic, Sending[]>();
  for (const { route, message } of sent) {
    // Selectors may ask where replies go.
    if (message.replyTo !== undefined) yield () => world.addressReply(message, session);
    for (const { destination, route: way } of partsOf(route, message)) {
      if (!(way instanceof Topic)) continue;
      const sending = topics.get(way);
      if (sending === undefined) topics.set(way, [{ message, destination }]);
      else sending.push({ message, destination });
    }
  }
  for (const [topic, sending] of topics) yield () => topic.expect(sending, session);
  yield* questionsOf(topics.keys(), () => session.closed);
}

/**
 * Whether everything can be done that the messages of a transaction ask for: their headers can be read, and the queues
 * have room for them.
 *
 * @returns how many of them are to be delivered later
 */
function checkMessages(sent: readonly Sent[], session: Session): number {
  let scheduled = 0;
  const arriving = new Map<Queue, Message[]>();
  for (const { route, message } of sent) {
    const parts = partsOf(route, message);
    if (message.special && readTerms(message).timing !== undefined) {
      scheduled += parts.length;
      continue;
    }
    for (const part of parts) {
      const queue = queueOf(part.route);
      if (queue === undefined) continue;
      const messages = arriving.get(queue);
      if (messages === undefined) arriving.set(queue, [message]);
      else messages.push(message);
    }
  }
  for (const [queue, messages] of arriving) {
    queue.checkPlace(session);
    queue.checkRoom(messages);
  }
  return scheduled;
}

/** What is wrong, in a line: the text of a selector, with the place in it, comes in more of them. */
const lineOf = (error: Error): string =>
  (error instanceof StompError ? error.detail : error.message).replace(/:?\n.*/s, '');
