import type { Duplex } from 'node:stream';
import {
  type ConnectionLimits,
  type Done,
  Frame,
  type Listener,
  type ListenOptions,
  type Operation,
  type Route,
  type Session,
  type SessionOptions,
  StompError,
  StompServer,
  type Subscription,
} from 'nestjs-stomp/server';
import { Composite } from './destination/composite.js';
import { makesQueue, readDeadLetter, readDurableName, readQueueName } from './destination/dialect.js';
import { type Address, checkLimits, isAdvisory, type NameLimits, readDestination } from './destination/name.js';
import { nameOf } from './destination/owner.js';
import { isPattern } from './destination/pattern.js';
import { later, spend } from './destination/slice.js';
import { destinationsOf } from './destination/spelling.js';
import type { Policy } from './destination/policy.js';
import { virtualTopics } from './destination/virtual.js';
import type { Engine } from './engine/engine.js';
import { Expiries } from './expiry.js';
import { Refresh } from './refresh.js';

type Action = 'send' | 'subscribe';

/** Where a session sends new credentials to; see {@link Refresh}. */
const REFRESH = '/session/refresh';
/** The most destinations that a list may name. */
const MAX_PARTS = 100;

/** Who decides about clients: who comes in, and what each may use. */
export interface Admission {
  /** @throws StompError to refuse the client */
  connect(session: Session, frame: Frame): Promise<void>;
  /** @throws StompError to refuse the destination */
  use(session: Session, destination: string, action: Action, frame: Frame): Promise<void>;
  /** A destination is refused that nobody may use so, whatever `use` says of it. */
  denied?(session: Session, destination: string, action: Action, error: StompError): void;
  /**
   * Asked when a client has come in, and when users have changed.
   *
   * @throws StompError when whoever it is may not stay
   */
  check?(session: Session): void;
  /** The client is in. */
  admitted?(session: Session): void;
  /** The client has shown the credentials of another user, and stays. */
  changed?(session: Session): void;
  /** A client was refused before it was asked about, maybe before it had a session. */
  turnedAway?(address: string | undefined, error: StompError, session?: Session): void;
  /** A client that `connect` let in is refused all the same, for that reason. */
  refused?(session: Session, error: unknown): void;
  /** When the session of that user ends unless new credentials come, in ms since 1970; undefined for never. */
  expiry?(session: Session): number | undefined;
  /** A session that was let in is ended, for that reason. */
  ended?(session: Session, error: Error): void;
}

export interface StompBrokerOptions extends SessionOptions, NameLimits, ConnectionLimits {
  engine: Engine;
  /** Everybody may do everything without one. */
  admission?: Admission;
  /** Connections of one user at a time; no limit by default. */
  maxPerUser?: number;
  admits?: (address: string) => boolean;
}

/**
 * The broker: sessions on one side, an engine that owns the messages on the other.
 *
 * Inject it to know where it listens (`urls`), to run a session over a stream of your own (`accept`), or to make
 * changed rules felt (`dropGrants`).
 */
export class StompBroker {
  private readonly server: StompServer;
  private readonly engine: Engine;
  private readonly admission: Admission | undefined;
  private readonly expiries = new Expiries();
  private readonly names: NameLimits;
  private readonly maxPerUser: number;
  /** How many sessions each user has, and under which name each is counted: new credentials may bring another one. */
  private readonly users = new Map<string, number>();
  private readonly counted = new Map<Session, string>();
  private started: Promise<void> | undefined;

  constructor(options: StompBrokerOptions) {
    const { engine, admission, maxPerUser, maxDestination, maxDestinationDepth, ...server } = options;
    this.engine = engine;
    this.admission = admission;
    this.names = { maxDestination, maxDestinationDepth };
    this.maxPerUser = maxPerUser ?? Number.POSITIVE_INFINITY;
    this.server = new StompServer({ ...server, broker: this });
  }

  /** Where it listens, for example `stomp://127.0.0.1:61613`. */
  get urls(): readonly string[] {
    return this.server.urls;
  }

  /** What it listens with, to renew certificates. */
  get listeners(): readonly Listener[] {
    return this.server.listening;
  }

  /** The sessions of the moment. */
  get sessions(): ReadonlySet<Session> {
    return this.server.sessions;
  }

  /** Makes the engine ready; `listen` does so too. */
  start(): Promise<void> {
    this.started ??= this.engine.start();
    return this.started;
  }

  /**
   * Listens, on a further address each time it is called.
   *
   * @throws Error when the port is in use or the certificate does not load
   */
  async listen(options: ListenOptions): Promise<Listener> {
    await this.start();
    return this.server.listen(options);
  }

  /** Runs a session over a stream that is open already. */
  accept(stream: Duplex): Session {
    return this.server.accept(stream);
  }

  /** Asks the admission again for each destination that a session uses: rules, or rights of users, have changed. */
  dropGrants(): void {
    for (const session of this.sessions) session.dropGrants();
  }

  /** Treats destinations so that are made from now on; queues that there are stay as they were made. */
  setPolicies(policies: readonly Policy[]): void {
    this.engine.setPolicies?.(policies);
  }

  /**
   * Makes changed rules and users felt at once: every session whose user may not stay, or may not have what it is
   * subscribed to or has sent inside an open transaction, ends with an ERROR. Later frames ask again, as after
   * `dropGrants`.
   *
   * @returns when all sessions of the moment have been looked at
   */
  async review(): Promise<void> {
    await Promise.all([...this.sessions].map((session) => this.reviewSession(session)));
  }

  /**
   * Tells the sessions, ends them, then the engine.
   *
   * @param deadline how long sessions may take, in ms; 5,000 by default
   */
  async close(deadline?: number): Promise<void> {
    await this.server.close(deadline);
    if (this.started !== undefined) await this.engine.stop();
  }

  /** @internal */
  connect(session: Session, frame: Frame): Promise<void> | undefined {
    const { admission } = this;
    if (admission === undefined) this.engine.enter(session);
    return admission?.connect(session, frame).then(() => {
      if (session.closed) {
        admission.refused?.(session, new StompError('connection closed', 'it was over before the login was decided'));
        return;
      }
      try {
        // Users may have changed meanwhile.
        admission.check?.(session);
        this.count(session);
      } catch (error) {
        admission.refused?.(session, error);
        throw error;
      }
      this.watchExpiry(session);
      this.engine.enter(session);
      admission.admitted?.(session);
    });
  }

  /** @internal */
  turnedAway(address: string | undefined, error: StompError, session?: Session): void {
    this.admission?.turnedAway?.(address, error, session);
  }

  /** @internal */
  route(session: Session, destination: string, action: Action, frame: Frame): Route | Promise<Route> {
    if (destination === REFRESH) {
      const refresh = new Refresh(this.admission, (who) => this.refreshed(who));
      if (action === 'subscribe') this.watchDenial(session, destination, action, () => refresh.subscribe());
      return refresh;
    }
    const parts = destinationsOf(destination, action, frame.headers);
    if (parts.length === 1) return this.part(session, parts[0]!, action, frame);
    if (parts.length > MAX_PARTS) {
      throw new StompError(
        'invalid destination',
        `the list names ${parts.length} destinations: ${MAX_PARTS} is the limit`,
      );
    }
    const routes = Promise.all(parts.map(async (part) => this.part(session, part, action, frame)));
    return routes.then(
      (all) =>
        new Composite(
          all.map((route, at) => ({ destination: parts[at]!, route })),
          this,
        ),
    );
  }

  /** @internal */
  leave(session: Session, frame: Frame, ended: readonly Subscription[]): boolean {
    return this.engine.leave(session, frame, ended);
  }

  /** @internal */
  prepare(operations: readonly Operation[], session: Session, go: Done): void {
    if (this.engine.prepare === undefined) go();
    else this.engine.prepare(operations, session, go);
  }

  /** @internal */
  commit(operations: readonly Operation[], session: Session, done: Done | undefined): void {
    this.engine.commit(operations, session, done);
  }

  /** @internal */
  sync(done: Done): void {
    this.engine.sync(done);
  }

  private part(session: Session, destination: string, action: Action, frame: Frame): Route | Promise<Route> {
    const watch = <T>(step: () => T) => this.watchDenial(session, destination, action, step);
    const address = watch(() => checkName(destination, action, this.names));
    const uses = watch(() => usesOf(destination, address, action, frame, this.names));
    const route = () => watch(() => this.engine.route(session, address, action, frame));
    return this.admission === undefined ? route() : this.admit(session, frame, uses).then(route);
  }

  /** Tells of a destination that nobody may use so, whatever the rules are. */
  private watchDenial<T>(session: Session, destination: string, action: Action, step: () => T): T {
    try {
      return step();
    } catch (error) {
      if (error instanceof StompError && error.message === 'access refused') {
        this.admission?.denied?.(session, destination, action, error);
      }
      throw error;
    }
  }

  private async admit(session: Session, frame: Frame, uses: readonly Use[]): Promise<void> {
    for (const [destination, action] of uses) await this.admission!.use(session, destination, action, frame);
  }

  private async reviewSession(session: Session): Promise<void> {
    session.dropGrants();
    const { admission } = this;
    if (admission === undefined || !session.connected) return;
    try {
      admission.check?.(session);
      const used = [...session.subscriptions.values()].map(({ destination, headers }) => {
        return [destination, 'subscribe', new Frame('SUBSCRIBE', headers)] as const;
      });
      const sent = [...session.uncommitted].map(({ destination, headers }) => {
        return [destination, 'send', new Frame('SEND', headers)] as const;
      });
      let since = performance.now();
      for (const [destination, action, frame] of [...used, ...sent]) {
        if (spend(since)) await new Promise<void>((goOn) => later(goOn));
        if (!session.connected) return;
        since = performance.now();
        for (const part of destinationsOf(destination, action, frame.headers)) {
          await this.admit(session, frame, usesOf(part, readDestination(part), action, frame, this.names));
        }
      }
    } catch (error) {
      this.end(session, error as Error);
    }
  }

  /** New credentials have come: what they do not allow ends. */
  private async refreshed(session: Session): Promise<void> {
    if (session.closed) return;
    if (nameOf(session.user) !== this.counted.get(session)) {
      this.uncount(session);
      try {
        this.count(session);
      } catch (error) {
        this.admission?.refused?.(session, error);
        throw error;
      }
    }
    this.watchExpiry(session);
    await this.reviewSession(session);
  }

  /** @throws StompError when it is one connection of its user too many */
  private count(session: Session): void {
    const name = nameOf(session.user);
    if (name === undefined) return;
    const count = this.users.get(name) ?? 0;
    if (count >= this.maxPerUser) {
      const detail = `this user has ${this.maxPerUser} connections, the limit: try again later`;
      throw new StompError('too many connections', detail);
    }
    this.users.set(name, count + 1);
    this.counted.set(session, name);
  }

  private uncount(session: Session): void {
    const name = this.counted.get(session);
    if (name === undefined) return;
    this.counted.delete(session);
    const left = this.users.get(name)! - 1;
    if (left > 0) this.users.set(name, left);
    else this.users.delete(name);
  }

  private watchExpiry(session: Session): void {
    this.expiries.watch(session, this.admission?.expiry?.(session), () => {
      const how = `connect again, and send new ones to ${REFRESH} before they expire`;
      this.end(session, new StompError('session expired', `the credentials have expired: ${how}`));
    });
  }

  private end(session: Session, error: Error): void {
    this.admission?.ended?.(session, error);
    session.refuse(error);
  }

  /** @internal */
  disconnect(session: Session): void {
    this.expiries.forget(session);
    this.uncount(session);
    this.engine.release(session);
  }
}

type Use = readonly [destination: string, action: Action];

/** All that a frame uses: its destination, and what its headers name besides. */
function usesOf(destination: string, address: Address, action: Action, frame: Frame, limits: NameLimits): Use[] {
  const uses: Use[] = [[destination, action]];
  const queue = action === 'subscribe' && isTopic(address) ? readQueueName(frame) : undefined;
  if (queue !== undefined) uses.push([`/queue/${queue}`, 'subscribe']);
  const dead = address.kind === 'queue' || queue !== undefined ? readDeadLetter(frame.headers) : undefined;
  if (dead !== undefined) uses.push([dead, 'send']);
  // Whoever reads such a queue reads a topic, and so does who says where its messages end up.
  const fed = queue ?? (address.kind === 'queue' ? address.name : '');
  const topics = virtualTopics(fed);
  if (topics !== undefined && (action === 'subscribe' || makesQueue(frame.headers))) uses.push([topics, 'subscribe']);
  const durable = action === 'subscribe' && isTopic(address) ? readDurableName(frame.headers) : undefined;
  if (durable !== undefined) checkLimits(`/queue/DLQ.${durable}`, { name: `DLQ.${durable}` }, limits);
  // A queue that is named there is made: it has to be one that messages can be sent to.
  for (const [name] of uses.slice(1)) if (name !== topics) checkName(name, 'send', limits);
  return uses;
}

const isTopic = ({ kind }: Address): boolean => kind === 'topic' || kind === 'temp-topic';

/** @throws StompError when that is no destination, or one that nobody, or only the broker, may send to */
function checkName(destination: string, action: Action, limits: NameLimits): Address {
  const address = readDestination(destination);
  checkLimits(destination, address, limits);
  if (action === 'send' && isAdvisory(address.name)) {
    throw new StompError('access refused', 'what is below /topic/$SYS comes from the broker: subscribe to it');
  }
  if (action === 'send' && address.kind === 'queue' && isPattern(address.name)) {
    throw new StompError(
      'invalid destination',
      'a message goes to one queue: its name may not have an asterisk, a hash or a greater-than sign between its dots and slashes',
    );
  }
  return address;
}
