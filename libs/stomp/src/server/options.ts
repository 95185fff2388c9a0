import { DEFAULT_LIMITS, type FrameLimits } from '../frame/limits.js';
import type { HeartBeatOffer } from '../wire/heartbeat.js';
import type { Memory } from './memory.js';
import type { TransactionLimits } from './transaction.js';

/** Takes what a server has to say: 1 start and stop, 2 connections and errors, 3 heart-beats, 4 frames, 5 headers. */
export interface ServerLog {
  /** Lines above this level are not made at all. */
  readonly level: number;
  log(level: number, line: string): void;
}

/** How sessions behave. Times are in milliseconds. */
export interface SessionOptions extends FrameLimits, Partial<TransactionLimits> {
  /** The `server` header of CONNECTED; an empty text leaves it out. */
  server?: string;
  /**
   * Names or globs of virtual hosts, each a world of its own. The default, `*`, takes every `host`, and none at all,
   * into one world; with names, an unknown one is refused, and a client that names none gets the first.
   */
  vhosts?: readonly string[];
  /** What the server offers: how often it can beat, how often it wants to hear something; 10,000 each by default. */
  heartbeat?: Partial<HeartBeatOffer>;
  /** A client is lost after its interval times this; 1.5 by default. */
  heartbeatTolerance?: number;
  /**
   * How long a client with which no heart-beats were agreed on may be silent; 0, the default, for ever: STOMP 1.0 has
   * no heart-beats, and a subscriber need not say anything.
   */
  idleTimeout?: number;
  /**
   * How long a client may take to be connected, and a guard to decide on a destination, in ms; 10,000 by default, 0 for
   * no limit.
   */
  loginTimeout?: number;
  /** What may be read from a client before it is connected, in octets a frame; 64 KiB by default. */
  maxUnauthenticated?: number;
  /**
   * How long a frame of a connected client may take, from its first octet to its last, not counting what the server
   * itself holds up; 300,000 by default, 0 for no limit.
   */
  frameTimeout?: number;
  /** Subscriptions of one session; 10,000 by default. */
  maxSubscriptions?: number;
  /** Open transactions of one session; 100 by default. */
  maxTransactions?: number;
  /** Messages that one subscription may have unacknowledged, whatever it asks for; 65,535 by default. */
  maxUnacknowledged?: number;
  /** Octets that may wait for a client before its sources are paused; 1 MiB by default. */
  highWaterMark?: number;
  /** What messages may take in all; without one nobody counts. */
  memory?: Memory;
  log?: ServerLog;
}

export type ResolvedOptions = Required<Omit<SessionOptions, 'log' | 'heartbeat' | 'memory'>> & {
  readonly memory: Memory | undefined;
  readonly heartbeat: HeartBeatOffer;
  readonly log: ServerLog | undefined;
};

/** The version of this package, as it tells its peers. */
export const PRODUCT = 'nestjs-stomp/0.1.0';

export const DEFAULTS: ResolvedOptions = {
  ...DEFAULT_LIMITS,
  server: PRODUCT,
  vhosts: ['*'],
  heartbeat: { outgoing: 10_000, incoming: 10_000 },
  heartbeatTolerance: 1.5,
  idleTimeout: 0,
  loginTimeout: 10_000,
  maxUnauthenticated: 64 * 1024,
  frameTimeout: 300_000,
  maxSubscriptions: 10_000,
  maxTransactions: 100,
  maxTransactionFrames: 10_000,
  maxTransactionBytes: 64 * 1024 * 1024,
  maxUnacknowledged: 65_535,
  highWaterMark: 1024 * 1024,
  memory: undefined,
  log: undefined,
};

/** Fills in the defaults; what is given as undefined counts as not given. */
export function resolveOptions(options: SessionOptions): ResolvedOptions {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const resolved = { ...DEFAULTS, ...(Object.fromEntries(given) as Partial<ResolvedOptions>) };
  return { ...resolved, heartbeat: { ...DEFAULTS.heartbeat, ...options.heartbeat } };
}
