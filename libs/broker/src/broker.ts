import type { Duplex } from 'node:stream';
import {
  type Done,
  type Frame,
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
import { Composite, splitDestination } from './destination/composite.js';
import { readDeadLetter, readQueueName } from './destination/dialect.js';
import { type Address, readDestination } from './destination/name.js';
import { isAdvisory } from './engine/advisory.js';
import type { Engine } from './engine/engine.js';
import { Refresh } from './refresh.js';

/** Where a session sends new credentials to; see {@link Refresh}. */
const REFRESH = '/session/refresh';
/** The most destinations that a list may name. */
const MAX_PARTS = 100;

/** Who decides about clients: who comes in, and what each may use. */
export interface Admission {
  /** @throws StompError to refuse the client */
  connect(session: Session, frame: Frame): Promise<void>;
  /** @throws StompError to refuse the destination */
  use(session: Session, destination: string, action: 'send' | 'subscribe', frame: Frame): Promise<void>;
}

export interface StompBrokerOptions extends SessionOptions {
  engine: Engine;
  /** Everybody may do everything without one. */
  admission?: Admission;
  maxConnections?: number;
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
  private started: Promise<void> | undefined;

  constructor(options: StompBrokerOptions) {
    const { engine, admission, ...server } = options;
    this.engine = engine;
    this.admission = admission;
    this.server = new StompServer({ ...server, broker: this });
  }

  /** Where it listens, for example `stomp://127.0.0.1:61613`. */
  get urls(): readonly string[] {
    return this.server.urls;
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
    if (this.admission === undefined) this.engine.enter(session);
    return this.admission?.connect(session, frame).then(() => this.engine.enter(session));
  }

  /** @internal */
  route(session: Session, destination: string, action: 'send' | 'subscribe', frame: Frame): Route | Promise<Route> {
    if (destination === REFRESH) return new Refresh(this.admission);
    const parts = splitDestination(destination);
    if (parts.length === 1) return this.part(session, destination, action, frame);
    if (parts.length > MAX_PARTS) {
      throw new StompError(
        'invalid destination',
        `the list names ${parts.length} destinations: ${MAX_PARTS} is the limit`,
      );
    }
    const routes = Promise.all(parts.map(async (part) => this.part(session, part, action, frame)));
    return routes.then((all) => new Composite(all.map((route, at) => ({ destination: parts[at]!, route }))));
  }

  /** @internal */
  leave(session: Session, frame: Frame, ended: readonly Subscription[]): boolean {
    return this.engine.leave(session, frame, ended);
  }

  /** @internal */
  commit(operations: readonly Operation[], session: Session, done: Done): void {
    this.engine.commit(operations, session, done);
  }

  /** @internal */
  sync(done: Done): void {
    this.engine.sync(done);
  }

  private part(
    session: Session,
    destination: string,
    action: 'send' | 'subscribe',
    frame: Frame,
  ): Route | Promise<Route> {
    const address = checkName(destination, action);
    // What headers name besides is used as well.
    const also: [string, 'send' | 'subscribe'][] = [];
    const queue = action === 'subscribe' && address.kind === 'topic' ? readQueueName(frame) : undefined;
    if (queue !== undefined) also.push([`/queue/${queue}`, 'subscribe']);
    const dead = address.kind === 'queue' || queue !== undefined ? readDeadLetter(frame.headers) : undefined;
    if (dead !== undefined) also.push([dead, 'send']);
    for (const [name, use] of also) checkName(name, use);
    const route = () => this.engine.route(session, address, action, frame);
    return this.admission === undefined ? route() : this.admit(session, frame, [[destination, action], ...also], route);
  }

  private async admit(
    session: Session,
    frame: Frame,
    uses: readonly (readonly [string, 'send' | 'subscribe'])[],
    route: () => Route,
  ): Promise<Route> {
    for (const [destination, action] of uses) await this.admission!.use(session, destination, action, frame);
    return route();
  }

  /** @internal */
  disconnect(session: Session): void {
    this.engine.release(session);
  }
}

/** @throws StompError when that is no destination, or one that only the broker may send to */
function checkName(destination: string, action: 'send' | 'subscribe'): Address {
  const address = readDestination(destination);
  if (action === 'send' && isAdvisory(address.name)) {
    throw new StompError('access refused', 'what is below /topic/$SYS comes from the broker: subscribe to it');
  }
  return address;
}
