import type { Frame } from '../frame/frame.js';
import type { StompMessage } from './message.js';

/** `connecting` covers reconnecting; `disconnecting` lasts from `disconnect` to the end of the connection. */
export type StompState = 'disconnected' | 'connecting' | 'connected' | 'disconnecting';

export interface ConnectAttempt {
  /** Without credentials. */
  readonly url: string;
  /** Counts how often the list of URLs is gone through, from 1. */
  readonly attempt: number;
}

export interface ConnectRetry {
  /** How long the client waits now, in ms. */
  readonly delay: number;
  /** The attempt that comes then. */
  readonly attempt: number;
  /** Why the last attempt failed; undefined when a connection was lost. */
  readonly reason: Error | undefined;
}

/** What a client emits. A listener that throws does no harm: that is reported as an `error`. */
export interface StompClientEvents {
  /** The state has changed; the reason says why a connection is gone, or could not be had. */
  state: [state: StompState, reason: Error | undefined];
  /** Any frame that the server sent, before it is dealt with. */
  frame: [frame: Frame];
  /**
   * An ERROR frame, a failed handler (with its message), or the reason why the client gave up. Without a listener it
   * becomes a process warning; it is never thrown.
   */
  error: [error: Error, message: StompMessage | undefined];
  /** A server is about to be tried. */
  attempt: [attempt: ConnectAttempt];
  /** The client waits before the next attempt. */
  retry: [retry: ConnectRetry];
  /** The server takes bytes again, after `writable` was false. */
  drain: [];
  /** A MESSAGE that belongs to no subscription of this client: RabbitMQ answers to `/temp-queue/` without one. */
  unhandled: [message: StompMessage];
}
