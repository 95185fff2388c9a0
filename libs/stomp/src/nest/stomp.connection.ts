import { StompClient, type StompClientEvents, type StompClientOptions } from '../client/index.js';
import { findPeer, type Peer } from './peer.js';
import type { StompTransportOptions } from './stomp.options.js';
import { StompStatus } from './stomp.status.js';

/** The events of `on()`, with the listeners that they take. */
export type StompEvents = { [Name in keyof StompClientEvents]: (...args: StompClientEvents[Name]) => void };

export type StompConnectionOptions = Pick<
  StompTransportOptions,
  Exclude<keyof StompTransportOptions, 'headers' | 'connection' | 'serializer' | 'deserializer'>
>;

/**
 * A connection that a strategy and client proxies share: give the same one to each as `connection`. It opens when the
 * first of them needs it, and closes when the last has closed.
 */
export class StompConnection {
  /** The client, for whatever goes beyond the transport. */
  readonly client: StompClient;
  /** What the broker knows the client by. */
  readonly clientId: string | undefined;
  private readonly maxAttempts: number;
  private readonly users = new Set<object>();
  private found: Peer | undefined;

  /** @throws TypeError for options that make no sense */
  constructor(options: StompConnectionOptions = {}) {
    const { connectHeaders, clientId, maxConnectionAttempts, ...rest } = options;
    const headers = { ...connectHeaders, ...(clientId === undefined ? {} : { 'client-id': clientId }) };
    this.clientId = clientId;
    this.maxAttempts = maxConnectionAttempts ?? Number.POSITIVE_INFINITY;
    this.client = new StompClient({ maxReceipts: 1_000_000, ...(rest as StompClientOptions), headers });
  }

  /** The broker at the other end, as its CONNECTED frame says. */
  get peer(): Peer {
    if (this.client.server !== undefined || this.found === undefined) this.found = findPeer(this.client.server);
    return this.found;
  }

  /**
   * Connects for a user of the connection, unless it is connected already.
   *
   * @throws RefusedError, ConnectFailedError
   */
  async open(user: object): Promise<void> {
    this.users.add(user);
    await this.client.connect({ maxAttempts: this.maxAttempts });
  }

  /** A user of the connection needs it no more. */
  async release(user: object, deadline: number): Promise<void> {
    this.users.delete(user);
    if (this.users.size === 0) await this.client.disconnect({ deadline });
  }

  /** Tells whenever the status changes. */
  onStatus(listener: (status: StompStatus, reason: Error | undefined) => void): void {
    let was = false;
    this.client.on('state', (state, reason) => {
      if (state === 'connected') listener(StompStatus.CONNECTED, undefined);
      else if (state === 'connecting' && was) listener(StompStatus.RECONNECTING, reason);
      else if (state === 'disconnected') listener(StompStatus.DISCONNECTED, reason);
      was = state === 'connected' || (was && state !== 'disconnected');
    });
  }
}
