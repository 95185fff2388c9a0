/*
 * From a list of URLs to a session: the list is gone through once, then a wait, then again, each wait longer than the
 * one before. After a loss the search begins at the server after the lost one, and with a wait, so that the clients
 * of a server that went down do not all fall upon the next.
 */
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { dial } from '../wire/dial.js';
import { formatStompUrl, type StompAddress } from '../wire/url.js';
import { asError, ConnectFailedError, RefusedError, StompClientError } from './errors.js';
import type { ConnectAttempt, ConnectRetry } from './events.js';
import type { ReconnectOptions, ResolvedOptions } from './options.js';
import { Session, type SessionHandler } from './session.js';

/** What is told of the search. */
export interface ConnectorHandler extends SessionHandler {
  onAttempt(attempt: ConnectAttempt): void;
  onRetry(retry: ConnectRetry): void;
}

/** A session, and where it leads to. */
export interface Connected {
  readonly session: Session;
  /** Without credentials. */
  readonly url: string;
}

/** Finds a server that takes the client. */
export class Connector {
  private next = 0;
  /** Waits since the last connection that lasted. */
  private waits = 0;

  constructor(
    private readonly options: ResolvedOptions,
    private readonly handler: ConnectorHandler,
  ) {}

  /**
   * @param signal ends the search
   * @param maxAttempts how often to go through the list
   * @param lifetime how long the connection lasted that was just lost, in ms; undefined for a first connection
   * @throws RefusedError, ConnectFailedError, or whatever the signal's reason is
   */
  async connect(signal: AbortSignal, maxAttempts: number, lifetime?: number): Promise<Connected> {
    const { reconnect, addresses } = this.options;
    if (lifetime !== undefined && reconnect !== false) {
      if (lifetime >= reconnect.maxDelay) this.waits = 0;
      await this.wait(reconnect, 0, undefined, signal);
    } else this.waits = this.next = 0;
    for (let attempt = 1; ; attempt++) {
      const errors: Error[] = [];
      for (let i = 0; i < addresses.length; i++) {
        signal.throwIfAborted(); // A listener may have disconnected.
        const address = addresses[this.next]!;
        this.next = (this.next + 1) % addresses.length;
        const url = formatStompUrl(address);
        this.handler.onAttempt({ url, attempt });
        try {
          return { session: await this.open(address, signal), url };
        } catch (thrown) {
          const error = asError(thrown);
          if (signal.aborted || error instanceof TypeError) throw error;
          if (error instanceof RefusedError && !(reconnect !== false && reconnect.onRefused(error))) throw error;
          errors.push(error);
        }
      }
      if (reconnect === false || attempt >= maxAttempts) throw exhausted(attempt, errors);
      await this.wait(reconnect, attempt, errors.at(-1), signal);
    }
  }

  private async wait(
    reconnect: Required<ReconnectOptions>,
    attempt: number,
    reason: Error | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const delay = backOff(reconnect, this.waits++);
    this.handler.onRetry({ delay, attempt: attempt + 1, reason });
    await sleep(delay, undefined, { signal });
  }

  private async open(address: StompAddress, signal: AbortSignal): Promise<Session> {
    const { options } = this;
    const own = options.login !== undefined;
    const passcode = options.passcode ?? (own ? undefined : address.passcode);
    const greeting = {
      host: options.host ?? address.vhost ?? address.host,
      login: options.login ?? address.login,
      passcode: typeof passcode === 'function' ? await ask(passcode, signal) : passcode,
      versions: options.versions,
      heartbeat: options.heartbeat,
      headers: options.headers,
    };
    const { tls, connectTimeout } = options;
    const stream =
      options.dial === undefined
        ? await dial(address, { ...(tls === undefined ? {} : { tls }), connectTimeout, signal })
        : await within(options.dial(address, { tls, connectTimeout, signal }), connectTimeout, signal);
    return Session.open(stream, greeting, options.session, this.handler, signal);
  }
}

/**
 * How long to wait before attempt `waits` + 2.
 *
 * @internal
 * @returns ms: `initialDelay` times `factor` for each wait before, at most `maxDelay`, less a random part of up to
 *   `jitter`
 */
export function backOff(options: Required<ReconnectOptions>, waits: number, random = Math.random()): number {
  const growth = Math.min(options.factor ** waits, Number.MAX_VALUE); // 0 times infinity would be no number.
  const delay = Math.min(options.maxDelay, options.initialDelay * growth);
  return Math.round(delay * (1 - options.jitter * random));
}

async function ask(passcode: () => string | Promise<string>, signal: AbortSignal): Promise<string> {
  try {
    return await aborted(Promise.resolve(passcode()), signal);
  } catch (cause) {
    throw new StompClientError('connect-failed', `the passcode could not be had: ${asError(cause).message}`, { cause });
  }
}

/** A stream of the user's making, which need not heed the signal. One that comes too late is closed. */
async function within(dialling: Promise<Duplex>, timeout: number, signal: AbortSignal): Promise<Duplex> {
  const late = AbortSignal.timeout(timeout);
  try {
    return await aborted(dialling, AbortSignal.any([signal, late]));
  } catch (error) {
    dialling.then(
      (stream) => stream.destroy(),
      () => undefined,
    );
    if (late.aborted && !signal.aborted)
      throw new Error(`cannot connect: no answer in ${timeout} ms`, { cause: error });
    throw error;
  }
}

function aborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(asError(signal.reason));
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

function exhausted(attempts: number, errors: Error[]): Error {
  const times = attempts === 1 ? '' : ` in ${attempts} attempts`;
  const why = errors.map(({ message }) => message).join('; ');
  return new ConnectFailedError(`no connection could be made${times}: ${why}`, errors);
}
