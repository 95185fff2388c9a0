import type { Duplex } from 'node:stream';
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import { FrameHeaders, type HeadersInit } from '../frame/headers.js';
import { DEFAULT_LIMITS, type FrameLimits } from '../frame/limits.js';
import { type Version, VERSIONS } from '../frame/version.js';
import type { HeartBeatOffer } from '../wire/heartbeat.js';
import { parseStompUrl, type StompAddress } from '../wire/url.js';
import type { RefusedError } from './errors.js';
import type { SessionOptions } from './session.js';

/** How the client goes on when it cannot connect, or its connection is lost. Times are in milliseconds. */
export interface ReconnectOptions {
  /** The wait after the first attempt that failed; 250 by default. Each further one is `factor` times as long. */
  initialDelay?: number;
  /** No wait is longer than this; 30,000 by default. A connection that lived shorter does not start afresh. */
  maxDelay?: number;
  /** 2 by default. */
  factor?: number;
  /** The part of each wait that is left to chance, so that many clients do not return at once; 0.5 by default. */
  jitter?: number;
  /** How often the list of URLs is gone through before the client gives up; without an end by default. */
  maxAttempts?: number;
  /**
   * Says whether to go on after the server answered with ERROR instead of CONNECTED. By default only when that is
   * transient; wrong credentials do not become right.
   */
  onRefused?: (error: RefusedError) => boolean;
}

/** What a dialler is told besides the address. */
export interface Dialling {
  readonly tls: TlsOptions | undefined;
  /** In ms. */
  readonly connectTimeout: number;
  /** The stream is not wanted any more. */
  readonly signal: AbortSignal;
}

/** Opens a stream to a server. */
export type Dial = (address: StompAddress, dialling: Dialling) => Promise<Duplex>;

/** Times are in milliseconds. */
export interface StompClientOptions extends FrameLimits {
  /**
   * Where to connect: `stomp://`, `stomp+tls://` or `stomp+ssl://`, with `login:passcode@` and the virtual host as
   * its path where wanted. Of a list the next one is tried when one fails. `stomp://localhost:61613` by default.
   */
  url?: string | readonly string[];
  /** Counts more than that of the URL. */
  login?: string;
  /** Counts more than that of the URL. A function is asked at each connection: for tokens that expire. */
  passcode?: string | (() => string | Promise<string>);
  /** The virtual host; the path of the URL by default, and without one the host of the URL. */
  host?: string;
  /** How often we can beat, and how often we want to hear something; 10,000 each by default, 0 for not at all. */
  heartbeat?: Partial<HeartBeatOffer>;
  /** The server is lost after its interval times this; 1.5 by default. */
  heartbeatTolerance?: number;
  /** Further headers of the CONNECT frame; those of the protocol cannot be replaced. */
  headers?: HeadersInit;
  /** Options of node:tls. The certificate of the server and its name are verified unless told otherwise. */
  tls?: TlsOptions;
  /** The versions that are offered; all three by default. */
  versions?: readonly Version[];
  /** `false`: `connect` tries once, and a lost connection stays lost. */
  reconnect?: ReconnectOptions | false;
  /** How long opening a connection, with its TLS handshake, may take; 10,000 by default, 0 for no limit. */
  connectTimeout?: number;
  /** How long the server may take to answer CONNECT; 10,000 by default, 0 for no limit. */
  connectedTimeout?: number;
  /** How long the server may take to confirm a frame; 30,000 by default, 0 for no limit. */
  receiptTimeout?: number;
  /** Receipts that may be waited for at a time; 65,536 by default. */
  maxReceipts?: number;
  /** Octets that may wait for the server before `writable` turns false; 1 MiB by default. */
  highWaterMark?: number;
  /** Opens connections instead of TCP and TLS: for other transports, and for tests without any. */
  dial?: Dial;
}

/** The options with their defaults, checked. */
export interface ResolvedOptions {
  readonly addresses: readonly StompAddress[];
  readonly login: string | undefined;
  readonly passcode: StompClientOptions['passcode'];
  readonly host: string | undefined;
  readonly heartbeat: HeartBeatOffer;
  readonly headers: FrameHeaders;
  readonly tls: TlsOptions | undefined;
  readonly versions: readonly Version[];
  readonly reconnect: Required<ReconnectOptions> | false;
  readonly connectTimeout: number;
  readonly dial: Dial | undefined;
  /** What each session is given: nothing that is secret. */
  readonly session: SessionOptions;
}

export const DEFAULTS = {
  url: 'stomp://localhost:61613',
  heartbeat: { outgoing: 10_000, incoming: 10_000 },
  heartbeatTolerance: 1.5,
  connectTimeout: 10_000,
  connectedTimeout: 10_000,
  receiptTimeout: 30_000,
  maxReceipts: 65_536,
  highWaterMark: 1024 * 1024,
  reconnect: {
    initialDelay: 250,
    maxDelay: 30_000,
    factor: 2,
    jitter: 0.5,
    maxAttempts: Number.POSITIVE_INFINITY,
    onRefused: (error: RefusedError) => error.transient,
  },
} as const;

/** The longest time that a timer can wait, in ms. */
const FOREVER = 2 ** 31 - 1;

/**
 * Checks the options and fills in the defaults; what is given as undefined counts as not given.
 *
 * @throws TypeError that names the option, never the value of a secret one
 */
export function resolveOptions(options: StompClientOptions): ResolvedOptions {
  const urls = typeof options.url === 'string' ? [options.url] : (options.url ?? [DEFAULTS.url]);
  if (urls.length === 0) throw new TypeError('url: the list is empty');
  const versions = VERSIONS.filter((version) => (options.versions ?? VERSIONS).includes(version));
  if (versions.length === 0) throw new TypeError(`versions: offer at least one of ${VERSIONS.join(', ')}`);
  const heartbeat = {
    outgoing: options.heartbeat?.outgoing ?? DEFAULTS.heartbeat.outgoing,
    incoming: options.heartbeat?.incoming ?? DEFAULTS.heartbeat.incoming,
  };
  checkWhole('heartbeat.outgoing', heartbeat.outgoing);
  checkWhole('heartbeat.incoming', heartbeat.incoming);
  const limits = { ...DEFAULT_LIMITS };
  for (const name of Object.keys(limits) as (keyof FrameLimits)[]) limits[name] = options[name] ?? limits[name];
  return {
    addresses: urls.map(parseStompUrl),
    login: options.login,
    passcode: options.passcode,
    host: options.host,
    heartbeat,
    headers: new FrameHeaders(options.headers),
    tls: options.tls,
    versions,
    reconnect: options.reconnect === false ? false : resolveReconnect(options.reconnect ?? {}),
    connectTimeout: timeLimit('connectTimeout', options.connectTimeout ?? DEFAULTS.connectTimeout),
    dial: options.dial,
    session: {
      ...limits,
      heartbeatTolerance: atLeast('heartbeatTolerance', options.heartbeatTolerance ?? DEFAULTS.heartbeatTolerance, 1),
      connectedTimeout: timeLimit('connectedTimeout', options.connectedTimeout ?? DEFAULTS.connectedTimeout),
      receiptTimeout: timeLimit('receiptTimeout', options.receiptTimeout ?? DEFAULTS.receiptTimeout),
      maxReceipts: atLeast('maxReceipts', options.maxReceipts ?? DEFAULTS.maxReceipts, 1),
      highWaterMark: atLeast('highWaterMark', options.highWaterMark ?? DEFAULTS.highWaterMark, 1),
    },
  };
}

function resolveReconnect(options: ReconnectOptions): Required<ReconnectOptions> {
  const { reconnect } = DEFAULTS;
  const jitter = atLeast('reconnect.jitter', options.jitter ?? reconnect.jitter, 0);
  if (jitter > 1) throw new TypeError('reconnect.jitter: a part of the wait, from 0 to 1');
  return {
    initialDelay: atLeast('reconnect.initialDelay', options.initialDelay ?? reconnect.initialDelay, 0),
    // A timer that is told to wait longer does not wait at all.
    maxDelay: Math.min(FOREVER, atLeast('reconnect.maxDelay', options.maxDelay ?? reconnect.maxDelay, 0)),
    factor: atLeast('reconnect.factor', options.factor ?? reconnect.factor, 1),
    jitter,
    maxAttempts: atLeast('reconnect.maxAttempts', options.maxAttempts ?? reconnect.maxAttempts, 1),
    onRefused: options.onRefused ?? reconnect.onRefused,
  };
}

function atLeast(name: string, value: number, least: number): number {
  if (typeof value === 'number' && value >= least) return value;
  throw new TypeError(`${name}: a number, ${least} or more`);
}

function checkWhole(name: string, value: number): void {
  if (Number.isInteger(value) && value >= 0 && value <= FOREVER) return;
  throw new TypeError(`${name}: a whole number of milliseconds, 0 for never`);
}

function timeLimit(name: string, value: number): number {
  return atLeast(name, value, 0) === 0 ? FOREVER : Math.min(value, FOREVER);
}
