import { setTimeout as sleep } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import {
  BaseRpcExceptionFilter,
  type CustomTransportStrategy,
  type MessageHandler,
  type RpcException,
  Server,
  type WritePacket,
} from '@nestjs/microservices';
import {
  catchError,
  concatMap,
  from,
  isObservable,
  lastValueFrom,
  type Observable,
  of,
  Subject,
  takeUntil,
  throwError,
} from 'rxjs';
import type { StompClient, StompMessage, Subscription } from '../client/index.js';
import { Warnings } from '../client/warnings.js';
import { CORRELATION_ID, REPLY_STATE, REPLY_TO, type ReplyState, writeMetadata } from './headers.js';
import { toMessage } from './outgoing.js';
import { readBody } from './payload.js';
import { isQueue, Registry, type Registration } from './registry.js';
import { delayUntilDrained } from './signals.js';
import { StompConnection, type StompEvents } from './stomp.connection.js';
import { type NackOptions, StompContext } from './stomp.context.js';
import type { StompHandlerExtras, StompStrategyOptions } from './stomp.options.js';
import type { StompStatus } from './stomp.status.js';

/** The transport's id: handlers that name it run on this transport alone. */
export const STOMP_TRANSPORT = Symbol.for('STOMP');

/** Handlers that run at a time unless something else is said, so that no broker floods an application. */
const DEFAULT_PREFETCH = 100;
const DEFAULT_DRAIN = 10_000;
/** How long a broker may take to confirm that subscriptions have ended, in ms. */
const GRACE = 5_000;
/** How long a NACK is held back for a message that was refused before, where the broker would send it back at once. */
const HOLD_BACK = 1_000;

/**
 * Nest's microservice transport for STOMP, server side.
 *
 * ```ts
 * const app = await NestFactory.createMicroservice(AppModule, {
 *   strategy: new StompStrategy({ url: 'stomp://localhost:61613' }),
 * });
 * await app.listen();
 * ```
 */
export class StompStrategy extends Server<StompEvents, StompStatus> implements CustomTransportStrategy {
  override transportId = STOMP_TRANSPORT;
  /** Failures of event handlers come to this class, which logs and NACKs them. */
  override readonly propagatesEventHandlerErrors = true;
  protected override readonly logger = new Logger(StompStrategy.name);

  private readonly connection: StompConnection;
  private readonly registry = new Registry();
  private readonly subscriptions = new Map<Subscription, Registration>();
  private listening = false;
  /** Tells the streams of handlers that their time is up. */
  private readonly timeUp = new Subject<void>();
  private over = false;
  private closing: Promise<void> | undefined;
  private unwatch: (() => void) | undefined;
  /** Ends the wait for handlers that run. */
  private cut: () => void = () => undefined;

  /** @throws TypeError for options that make no sense */
  constructor(private readonly options: StompStrategyOptions = {}) {
    super();
    const { connection, headers: _headers, serializer: _serializer, deserializer: _deserializer, ...rest } = options;
    const { prefetch: _prefetch, drainTimeout: _timeout, drainSignals: _signals, ...own } = rest;
    this.connection = connection ?? new StompConnection(own);
    this.connection.onStatus((status) => this._status$.next(status));
    const errors = new Warnings((message) => this.logger.error(message));
    this.connection.client.on('error', (error) => errors.give(error));
    this.connection.client.on('retry', ({ delay, reason }) => {
      if (reason !== undefined) this.logger.warn(`${reason.message}; the next attempt comes in ${delay} ms`);
    });
  }

  /**
   * @throws Error that names the pattern, when the handler cannot stand beside another one of the same pattern
   */
  override addHandler(pattern: unknown, callback: MessageHandler, isEventHandler = false, extras = {}): void {
    const route = this.normalizePattern(pattern as string);
    callback.isEventHandler = isEventHandler;
    callback.extras = extras;
    this.registry.add(route, callback, isEventHandler ? 'event' : 'message', extras);
    if (!this.messageHandlers.has(route)) this.messageHandlers.set(route, callback);
  }

  /** Connects and subscribes; calls back once, with the error if there is one. */
  listen(callback: (error?: unknown) => void): void {
    this.start().then(
      () => callback(),
      (error: unknown) => callback(error),
    );
  }

  /**
   * Takes no further messages, lets the handlers that run finish, with their replies and acknowledgements, and
   * disconnects. What has not finished by `drainTimeout` stays unacknowledged, so the broker delivers it again; streams
   * are unsubscribed from.
   */
  close(): Promise<void> {
    this.closing ??= this.stop().finally(() => (this.closing = undefined));
    return this.closing;
  }

  override on<Name extends keyof StompEvents>(event: Name, callback: StompEvents[Name]): void {
    this.connection.client.on(event, callback as never);
  }

  /** @throws Error before `listen` */
  unwrap<T = StompClient>(): T {
    if (!this.listening) {
      throw new Error(
        'Not initialized. Please call the "listen"/"startAllMicroservices" method before accessing the server.',
      );
    }
    return this.connection.client as T;
  }

  private async start(): Promise<void> {
    this.listening = true;
    this.over = false;
    try {
      await this.connection.open(this);
      await Promise.all(this.registry.registrations.map((registration) => this.subscribe(registration)));
    } catch (error) {
      await this.close();
      throw error;
    }
    const signals = this.options.drainSignals ?? ['SIGTERM', 'SIGINT'];
    this.unwatch = delayUntilDrained(signals, { start: () => this.close(), cut: () => this.cut() });
  }

  private async stop(): Promise<void> {
    const timeout = this.options.drainTimeout ?? DEFAULT_DRAIN;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeout);
      this.cut = resolve;
    });
    const drained = [...this.subscriptions.keys()].map((subscription) => drain(subscription));
    await Promise.race([Promise.allSettled(drained), late]);
    clearTimeout(timer);
    // Only now: after UNSUBSCRIBE no acknowledgement counts with most brokers.
    const ended = Promise.allSettled([...this.subscriptions.keys()].map((subscription) => subscription.unsubscribe()));
    await Promise.race([ended, sleep(GRACE, undefined, { ref: false })]);
    this.subscriptions.clear();
    this.over = true;
    this.timeUp.next();
    await this.connection.release(this, timeout);
    // The last thing, as whoever waits for a signal is let go by it.
    this.unwatch?.();
    this.unwatch = undefined;
  }

  private async subscribe(registration: Registration): Promise<void> {
    const { destination, extras } = registration;
    const { client, peer } = this.connection;
    const mode = ackMode(registration);
    const durable = extras.durable === true ? registration.pattern : extras.durable;
    const { id, ...headers } = durable === undefined ? {} : peer.durable(durable);
    if (durable !== undefined && id === undefined && this.connection.clientId === undefined) {
      throw new Error(`the durable subscription to "${destination}" needs the option clientId on ${peer.name}`);
    }
    if (extras.selector !== undefined && !peer.selectors) {
      throw new Error(
        `the handler of "${destination}" has a selector, and ${peer.name} knows none: it would be ignored`,
      );
    }
    const prefetch = extras.prefetch ?? extras.concurrency ?? this.options.prefetch ?? DEFAULT_PREFETCH;
    if (!(Number.isSafeInteger(prefetch) && prefetch >= 1)) {
      throw new TypeError(`the prefetch of the handler of "${destination}" has to be a whole number, 1 or more`);
    }
    const subscription = client.subscribe(destination, (message) => this.receive(message, registration), {
      ack: mode === 'manual' ? 'client-individual' : mode,
      // What is acknowledged cumulatively is acknowledged in order by the client; the rest is our own business.
      manual: mode !== 'client',
      ...(id === undefined ? {} : { id }),
      // Here too: where nothing is acknowledged the broker keeps nothing back, and not every broker heeds a prefetch.
      concurrency: extras.concurrency ?? prefetch,
      // What a broker may send ahead of acknowledgements never keeps the connection from being read.
      ...(mode === 'auto' ? {} : { buffer: Math.max(prefetch, DEFAULT_PREFETCH) }),
      headers: {
        ...(mode === 'auto' || peer.prefetch === undefined ? {} : { [peer.prefetch]: String(prefetch) }),
        ...extras.headers,
        ...headers,
        ...(extras.selector === undefined ? {} : { selector: extras.selector }),
      },
    });
    this.subscriptions.set(subscription, registration);
    await subscription.ready;
  }

  private async receive(message: StompMessage, registration: Registration): Promise<void> {
    const mode = ackMode(registration);
    const context = new StompContext(message, registration.pattern, (refused, options) =>
      this.refuse(refused, options),
    );
    const replyTo = registration.kind === 'message' ? message.headers.get(REPLY_TO) : undefined;
    let failure: unknown;
    let data: unknown;
    try {
      data = readBody(message, this.connection.peer, this.options);
    } catch (error) {
      this.unreadable(message, error, mode, context, replyTo);
      return;
    }
    if (replyTo !== undefined) await this.answer(registration.handlers[0]!, data, context, replyTo);
    else failure = await this.run(registration, data, context);
    if (mode === 'client' && failure !== undefined) throw asError(failure);
    if (mode !== 'client-individual') return;
    if (failure === undefined) message.ack();
    else if (!message.settled) this.refuse(message, {});
  }

  /** The body cannot be read, so no handler ever can: the message is not to come again. */
  private unreadable(
    message: StompMessage,
    error: unknown,
    mode: ReturnType<typeof ackMode>,
    context: StompContext,
    replyTo: string | undefined,
  ): void {
    const why = `a message to ${message.destination} cannot be read: ${describe(error)}`;
    this.logger.error(why);
    if (replyTo !== undefined) {
      this.reply({ err: { status: 'error', message: why }, isDisposed: true }, context, replyTo);
      if (mode !== 'client') message.ack();
    } else if (mode === 'client') throw asError(error);
    else this.refuse(message, { requeue: false });
  }

  /** Runs the handlers of an event, or of a request that wants no reply; returns the first failure. */
  private async run(
    { handlers, destination }: Registration,
    data: unknown,
    context: StompContext,
  ): Promise<Error | undefined> {
    const running = handlers.map((handler) => this.execute(handler, data, context));
    let failure: Error | undefined;
    for (const run of running) {
      const reason = await run;
      if (reason === undefined) continue;
      failure ??= reason;
      this.logger.error(`a handler of ${destination} failed: ${reason.message}`);
    }
    return failure;
  }

  /** Runs one handler to its end; resolves to its failure if there is one. */
  private execute(handler: MessageHandler, data: unknown, context: StompContext): Promise<Error | undefined> {
    return new Promise((resolve) => {
      // Settled in here, because a start hook need not hand on what the function that it calls returns.
      void this.runWithProcessingHooks(context, async (runEndHook) => {
        try {
          const result: unknown = await handler(data, context);
          if (isObservable(result) || isAsyncIterable(result)) {
            await lastValueFrom(this.values(result), { defaultValue: undefined });
          }
          runEndHook();
          resolve(undefined);
        } catch (error) {
          runEndHook();
          resolve(asError(error));
        }
      });
    });
  }

  /** Runs the handler of a request; resolves once the last reply is sent. */
  private answer(handler: MessageHandler, data: unknown, context: StompContext, replyTo: string): Promise<void> {
    return new Promise((resolve) => {
      const produce = async (): Promise<Observable<unknown>> => {
        try {
          return this.values(await handler(data, context));
        } catch (error) {
          return throwError(() => error);
        }
      };
      let settled = false;
      const settle = () => {
        if (!settled) resolve();
        settled = true;
      };
      this.handleRequest(context, produce, (packet: WritePacket) => {
        try {
          this.reply(packet, context, replyTo);
        } finally {
          if (packet.isDisposed === true) settle();
        }
      });
    });
  }

  /** The values of what a handler returned, until its time is up. */
  private values(result: unknown): Observable<unknown> {
    return this.transformToObservable(result as Observable<unknown>).pipe(
      concatMap((value) => (isAsyncIterable(value) ? from(this.paced(value)).pipe(catchError(shaped)) : of(value))),
      takeUntil(this.timeUp),
    );
  }

  /** Asks for no further value while the broker does not keep up with the replies. */
  private async *paced(values: AsyncIterable<unknown>): AsyncGenerator<unknown> {
    const { client } = this.connection;
    for await (const value of values) {
      yield value;
      if (client.state === 'connected' && !client.writable) await client.drained();
    }
  }

  private reply(packet: WritePacket, context: StompContext, replyTo: string): void {
    if (this.over) return; // Its message was not acknowledged: somebody else will answer.
    const { headers } = context.getMessage();
    const state: ReplyState = packet.err
      ? 'error'
      : packet.isDisposed !== true
        ? 'next'
        : packet.response === undefined
          ? 'end'
          : 'last';
    const own = {
      ...writeMetadata(context.getMetadata()),
      ...context.getReplyHeaders(),
      // As JMS has it: a requester that sets no correlation id gets the id of its message.
      [CORRELATION_ID]: headers.get(CORRELATION_ID) ?? context.getMessage().id,
      [REPLY_STATE]: state,
    };
    const { client, peer } = this.connection;
    const send = (value: unknown, said: Record<string, string>) => {
      const { body, ...options } = toMessage(value, said, this.options, peer);
      client.send(replyTo, body, options);
    };
    try {
      send(packet.err ?? packet.response, own);
    } catch (error) {
      this.logger.error(`the reply to ${replyTo} cannot be sent: ${describe(error)}`);
      if (client.state === 'connected')
        send({ status: 'error', message: 'Internal server error' }, { ...own, [REPLY_STATE]: 'error' });
    }
  }

  /** Says that a message was not processed, as its broker understands it. */
  private refuse(message: StompMessage, { requeue = true, delay }: NackOptions): void {
    const { peer } = this.connection;
    const headers: Record<string, string> = { requeue: String(requeue) };
    if (peer.delaysNack) {
      if (delay !== undefined) headers.delay = String(delay);
      message.nack({ headers });
      return;
    }
    const again = message.headers.get('redelivered') === 'true';
    const wait = delay ?? (requeue && again ? HOLD_BACK : 0);
    if (wait === 0) message.nack({ headers });
    else setTimeout(() => message.nack({ headers }), wait);
  }
}

/** Nest's filters see what a handler throws and what its observables fail with, but not into an async iterable. */
const filter = new BaseRpcExceptionFilter();
const shaped = (error: RpcException): Observable<unknown> => filter.catch(error, undefined as never);

/** How messages of that registration are acknowledged. */
function ackMode({ destination, extras }: Registration): NonNullable<StompHandlerExtras['ack']> {
  return extras.ack ?? (isQueue(destination) || extras.durable !== undefined ? 'client-individual' : 'auto');
}

/** Takes no more messages, and waits for the handlers that run. */
async function drain(subscription: Subscription): Promise<void> {
  // With `auto` a message that comes is gone from the broker, so it has to be handled until no more come.
  if (subscription.ack === 'auto') await subscription.unsubscribe().catch(() => undefined);
  await subscription.drain();
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

function describe(error: unknown): string {
  if (error instanceof Error) return error.message;
  if (typeof error === 'object' && error !== null && 'message' in error) return String(error.message);
  return String(error);
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(describe(thrown), { cause: thrown });
}
