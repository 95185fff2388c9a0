import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import type { Frame } from '../frame/frame.js';
import type { Version } from '../frame/version.js';
import { type Connected, Connector } from './connector.js';
import { type Deferred, defer } from './deferred.js';
import { asError, NotConnectedError } from './errors.js';
import type { StompClientEvents, StompState } from './events.js';
import type { MessageHandler } from './handling.js';
import { StompMessage } from './message.js';
import { type ResolvedOptions, resolveOptions, type StompClientOptions } from './options.js';
import { type Body, type SendOptions, writeSend } from './outgoing.js';
import type { Session } from './session.js';
import { type SubscribeOptions, Subscription, type SubscriptionHost } from './subscription.js';
import { Subscriptions } from './subscriptions.js';
import { Transaction, type TransactionOptions } from './transaction.js';
import { Warnings } from './warnings.js';

export interface ConnectOptions {
  /** How often the list of URLs is gone through before this fails; `reconnect.maxAttempts` by default. */
  maxAttempts?: number;
}

export interface DisconnectOptions {
  /** How long handlers may take to finish and the server to confirm, in ms; 5,000 by default. */
  deadline?: number;
}

const DEADLINE = 5_000;
/** The longest time that a timer can wait, in ms. */
const LONGEST = 2 ** 31 - 1;

/**
 * A STOMP client for 1.0, 1.1 and 1.2 that stays connected: a lost connection is made again, on the next server of
 * the list, and subscriptions are restored.
 *
 * ```ts
 * const client = new StompClient({ url: 'stomp://localhost:61613', login: 'orders', passcode: 'secret' });
 * await client.connect();
 * client.subscribe('/queue/orders', (message) => console.log(message.json()));
 * await client.publish('/queue/orders', JSON.stringify({ id: 1 }));
 * await client.disconnect();
 * ```
 */
export class StompClient extends EventEmitter<StompClientEvents> implements AsyncDisposable {
  // Private to the language too: it holds credentials, which nothing that prints objects shall reach.
  readonly #options: ResolvedOptions;
  readonly #connector: Connector;
  readonly #host: SubscriptionHost = {
    session: () => this.session,
    remove: (subscription) => this.registry.remove(subscription),
    report: (error, message) => this.report(error, message),
  };
  private readonly registry = new Subscriptions();
  private readonly warnings = new Warnings((message, { stack = message }) => {
    process.emitWarning(message, { type: 'StompWarning', detail: stack });
  });
  private session: Session | undefined;
  private connectedUrl: string | undefined;
  private connectedAt = 0;
  private current: StompState = 'disconnected';
  private why: Error | undefined;
  private opening: Deferred | undefined;
  private search = new AbortController();
  private running: Promise<void> | undefined;
  private leaving: Promise<void> | undefined;
  private transactions = 0;

  /** @throws TypeError for an option that makes no sense */
  constructor(options: StompClientOptions = {}) {
    super();
    this.#options = resolveOptions(options);
    this.#connector = new Connector(this.#options, {
      onFrame: (frame) => {
        if (this.listenerCount('frame') > 0) this.tell('frame', frame);
      },
      onMessage: (frame, session) => this.receive(frame, session),
      onServerError: (error) => this.report(error),
      onDrain: () => this.tell('drain'),
      onOver: (session, reason) => this.over(session, reason),
      onAttempt: (attempt) => this.tell('attempt', attempt),
      onRetry: (retry) => this.tell('retry', retry),
    });
  }

  get state(): StompState {
    return this.current;
  }

  /** Why the state is what it is: what the last connection was lost by, or why none could be had. */
  get reason(): Error | undefined {
    return this.why;
  }

  /** The server that the client is connected to, or was last; without credentials. */
  get url(): string | undefined {
    return this.connectedUrl;
  }

  /** The version agreed on; undefined while not connected. */
  get version(): Version | undefined {
    return this.session?.version;
  }

  /** The `server` header of CONNECTED, such as `RabbitMQ/3.10.8`; undefined while not connected. */
  get server(): string | undefined {
    return this.session?.server;
  }

  /** The `session` header of CONNECTED; undefined while not connected. */
  get sessionId(): string | undefined {
    return this.session?.id;
  }

  /** The subscriptions that stand, by id. */
  get subscriptions(): ReadonlyMap<string, Subscription> {
    return this.registry.byId;
  }

  /** Whether the client is connected, and the server keeps up with what is sent. */
  get writable(): boolean {
    return this.session?.open === true && this.session.connection.writable;
  }

  /**
   * Connects, and from then on stays connected. Subscriptions made before are made then.
   *
   * @returns a promise that resolves at the first CONNECTED; it fails with RefusedError when the server refuses the
   *   client, with ConnectFailedError when all attempts are used up, and with NotConnectedError when `disconnect` is
   *   called first
   */
  connect(options: ConnectOptions = {}): Promise<void> {
    if (this.leaving !== undefined) return this.leaving.then(() => this.connect(options));
    if (this.current === 'disconnected') {
      const { reconnect } = this.#options;
      this.search = new AbortController();
      this.opening = defer();
      const { promise } = this.opening;
      this.turn('connecting', undefined);
      this.running = this.open(options.maxAttempts ?? (reconnect === false ? 1 : reconnect.maxAttempts));
      return promise;
    }
    return this.opening?.promise ?? Promise.resolve();
  }

  /**
   * Sends a message and does not look back (STOMP 1.2, SEND). See `publish` for one that is confirmed.
   *
   * @returns false when the server does not keep up: await `drained` before sending more
   * @throws NotConnectedError; FrameError for headers that the version cannot carry; TransactionEndedError
   */
  send(destination: string, body?: Body, options?: SendOptions): boolean {
    const session = this.connected();
    options?.transaction?.check(session);
    writeSend(session, destination, body, options, undefined);
    return session.connection.writable;
  }

  /**
   * Sends a message and resolves once the server has confirmed it (STOMP 1.2, RECEIPT). Any number may be under way
   * at a time, up to `maxReceipts`.
   *
   * @returns a promise that fails, besides what `send` throws, with ServerError when the server refuses the message,
   *   and with ConnectionLostError or ReceiptTimeoutError when it is unknown whether it was processed
   */
  publish(destination: string, body?: Body, options?: SendOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      const session = this.connected();
      if (options?.transaction !== undefined) {
        throw new TypeError('what is sent in a transaction is confirmed by its commit: use send');
      }
      session.checkReceipts();
      session.request(
        (receipt) => writeSend(session, destination, body, options, receipt),
        (error) => {
          if (error === undefined) resolve();
          else reject(error);
        },
      );
    });
  }

  /** Resolves once the server keeps up. Fails with NotConnectedError, or ConnectionLostError when that comes first. */
  async drained(): Promise<void> {
    await this.connected().whenDrained();
  }

  /**
   * Subscribes (STOMP 1.2, SUBSCRIBE), now or as soon as the client is connected, and again after each reconnection.
   * It ends with `unsubscribe`, or when the client disconnects or gives up. Without a handler, iterate over the
   * subscription.
   *
   * @throws TypeError for options that make no sense, an id that is in use among them; NotConnectedError while the
   *   client disconnects; FrameError for headers that the version cannot carry
   */
  subscribe(destination: string, handler: MessageHandler, options?: SubscribeOptions): Subscription;
  subscribe(destination: string, options?: SubscribeOptions): Subscription;
  subscribe(
    destination: string,
    handlerOrOptions?: MessageHandler | SubscribeOptions,
    options: SubscribeOptions = {},
  ): Subscription {
    if (this.current === 'disconnecting') throw new NotConnectedError('cannot subscribe: the client is disconnecting');
    const handler = typeof handlerOrOptions === 'function' ? handlerOrOptions : undefined;
    const given = typeof handlerOrOptions === 'object' ? handlerOrOptions : options;
    const id = given.id ?? this.registry.nextId();
    if (this.registry.byId.has(id)) throw new TypeError(`id: the subscription id "${id}" is in use`);
    const subscription = new Subscription(this.#host, destination, handler, { ...given, id });
    if (this.session?.open === true) subscription.establish(this.session);
    this.registry.add(subscription);
    return subscription;
  }

  /**
   * Begins a transaction (STOMP 1.2, BEGIN).
   *
   * @throws NotConnectedError
   */
  begin(options?: TransactionOptions): Transaction {
    return new Transaction(`t${++this.transactions}`, this.connected(), options);
  }

  /**
   * Disconnects: handlers that run may finish, then DISCONNECT is sent and its receipt waited for (STOMP 1.2,
   * DISCONNECT); what has not happened by the deadline is cut off. Ends all subscriptions. A client that is not
   * connected stops trying to be. It can be connected again afterwards. A handler that awaits this waits for itself,
   * until the deadline: call it there without `await`.
   *
   * @returns a promise that never fails
   */
  disconnect(options: DisconnectOptions = {}): Promise<void> {
    if (this.leaving === undefined) {
      const left = defer();
      this.leaving = left.promise;
      void this.leave(Math.min(options.deadline ?? DEADLINE, LONGEST)).finally(() => {
        this.leaving = undefined;
        left.resolve();
      });
    }
    return this.leaving;
  }

  /** Disconnects. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.disconnect();
  }

  private connected(): Session {
    const { session } = this;
    if (session?.open === true) return session;
    const why = this.why === undefined ? '' : `: ${this.why.message}`;
    throw new NotConnectedError(`the client is not connected (${this.current})${why}`, this.why);
  }

  private async open(maxAttempts: number, lifetime?: number): Promise<void> {
    const { signal } = this.search;
    try {
      const connected = await this.#connector.connect(signal, maxAttempts, lifetime);
      if (signal.aborted) await connected.session.close(DEADLINE);
      else this.enter(connected);
    } catch (error) {
      if (!signal.aborted) this.finish(asError(error));
    }
  }

  private enter({ session, url }: Connected): void {
    this.session = session;
    this.connectedUrl = url;
    this.connectedAt = performance.now();
    if (!session.open) return this.over(session, session.reason);
    this.registry.restore(session, (subscription, error) => {
      subscription.drop(error);
      this.report(error);
    });
    const { opening } = this;
    this.opening = undefined;
    this.turn('connected', undefined);
    opening?.resolve();
  }

  private over(session: Session, reason: Error | undefined): void {
    if (session !== this.session) return;
    this.session = undefined;
    if (this.current === 'disconnecting') return;
    this.registry.lost();
    const { reconnect } = this.#options;
    if (reconnect === false) {
      this.finish(reason);
      return;
    }
    if (this.opening === undefined) {
      this.opening = defer();
      this.opening.promise.catch(() => undefined); // Nobody may have asked.
    }
    this.turn('connecting', reason);
    // A listener may have disconnected.
    if (this.current !== 'connecting' || this.search.signal.aborted) return;
    this.running = this.open(reconnect.maxAttempts, performance.now() - this.connectedAt);
  }

  private async leave(deadline: number): Promise<void> {
    if (this.current === 'disconnected') return;
    const due = performance.now() + deadline;
    this.turn('disconnecting', undefined);
    this.search.abort();
    if (this.session !== undefined) {
      const late = new AbortController();
      await Promise.race([
        this.registry.drain(),
        sleep(deadline, undefined, { signal: late.signal }).catch(() => undefined),
      ]);
      late.abort();
      await this.session?.close(Math.max(0, due - performance.now()));
    }
    await this.running;
    this.finish(undefined);
  }

  /** The end, by wish or because there is no going on. */
  private finish(reason: Error | undefined): void {
    const { opening } = this;
    this.session = undefined;
    this.opening = undefined;
    this.registry.end(reason);
    const wasOpen = this.connectedAt > 0;
    this.connectedAt = 0;
    this.turn('disconnected', reason);
    if (reason !== undefined && wasOpen) this.report(reason);
    if (reason === undefined) opening?.promise.catch(() => undefined); // Whoever disconnects knows.
    opening?.reject(reason ?? new NotConnectedError('the client was disconnected before it was connected'));
  }

  private receive(frame: Frame, session: Session): void {
    const subscription = this.registry.find(frame);
    if (subscription !== undefined) subscription.deliver(frame, session);
    else if (this.listenerCount('unhandled') > 0) {
      this.tell('unhandled', new StompMessage(frame, undefined, session, 0));
    }
  }

  private turn(state: StompState, reason: Error | undefined): void {
    this.current = state;
    this.why = reason;
    this.tell('state', state, reason);
  }

  private report(error: Error, message?: StompMessage): void {
    if (this.listenerCount('error') > 0) this.tell('error', error, message);
    else this.warnings.give(error);
  }

  /** Emits an event. A listener that throws must not take the client's own work down with it. */
  private tell<Name extends keyof StompClientEvents>(name: Name, ...args: StompClientEvents[Name]): void {
    try {
      (this as EventEmitter).emit(name, ...args);
    } catch (thrown) {
      if (name === 'error') this.warnings.give(asError(thrown));
      else this.report(asError(thrown));
    }
  }

  /** @internal */
  [inspect.custom](): object {
    return { state: this.current, url: this.connectedUrl, version: this.version, reason: this.why };
  }

  /** @internal */
  toJSON(): object {
    return { state: this.current, url: this.connectedUrl, version: this.version };
  }
}
