import type { StompClientOptions } from '../client/index.js';
import type { StompConnection } from './stomp.connection.js';

/** Turns data into the body of a message. */
export interface StompSerializer {
  /**
   * @param data what a handler returned, or what is emitted or sent
   * @returns the body, and the `content-type` that says how to read it
   */
  serialize(
    data: unknown,
    options: { contentType: string | undefined },
  ): { body: string | Uint8Array; contentType: string };
}

/** Turns the body of a message into data. */
export interface StompDeserializer {
  /** @throws when the body cannot be read: the message is refused */
  deserialize(
    body: Buffer,
    options: { contentType: string | undefined; headers: Readonly<Record<string, string>> },
  ): unknown;
}

/** What the strategy and the client proxy have in common. Times are in milliseconds. */
export interface StompTransportOptions extends Omit<StompClientOptions, 'headers'> {
  /** Headers of every message that is sent; those of the message itself win. */
  headers?: Readonly<Record<string, string>>;
  /** Further headers of the CONNECT frame. */
  connectHeaders?: Readonly<Record<string, string>>;
  /** What the broker knows this client by; ActiveMQ and Artemis need it for durable subscriptions. */
  clientId?: string;
  /** A connection to be shared with others; everything that is about connecting is then its business. */
  connection?: StompConnection;
  /** Attempts to make the first connection before giving up; endless by default, as later ones always are. */
  maxConnectionAttempts?: number;
  /** JSON, text and bytes by content type when left out. */
  serializer?: StompSerializer;
  /** JSON, text and bytes by content type when left out. */
  deserializer?: StompDeserializer;
}

export interface StompStrategyOptions extends StompTransportOptions {
  /** Messages of a handler that may be unacknowledged at a time, so handlers that run; the broker's own by default. */
  prefetch?: number;
  /** How long `close` waits for handlers that run; 10,000 by default. */
  drainTimeout?: number;
  /**
   * Signals at which the strategy stops taking messages and lets handlers finish, before the application's own
   * shutdown hooks take away what they need; SIGTERM and SIGINT by default, an empty list for none.
   */
  drainSignals?: readonly NodeJS.Signals[];
}

export interface StompClientProxyOptions extends StompTransportOptions {
  /** How long the next reply to a request may take; 60,000 by default, 0 for ever. */
  requestTimeout?: number;
  /** Whether `emit` waits for the broker's receipt; true by default, so that a failed publish is an error. */
  receipts?: boolean;
  /**
   * What waits while there is no connection; false to fail at once. Otherwise bounded in messages (1,000 by default),
   * octets (16 MiB) and age (30,000 ms).
   */
  offline?: false | { maxMessages?: number; maxBytes?: number; maxAge?: number };
}

/** The third argument of `@MessagePattern` and `@EventPattern`, or the second, for handlers of this transport. */
export interface StompHandlerExtras {
  /**
   * Queues and durable subscriptions: `client-individual` by default, a message is ACKed when its handler completes
   * and NACKed when it fails. Other topics: `auto`. `manual` leaves it to `ctx.ack()` and `ctx.nack()`.
   */
  ack?: 'auto' | 'client' | 'client-individual' | 'manual';
  /** Messages that may be unacknowledged at a time; the strategy's own by default. */
  prefetch?: number;
  /** Handlers that run at a time; by default as many as messages may be unacknowledged, for topics too. */
  concurrency?: number;
  /** An SQL-92 condition on the headers, where the broker knows selectors. */
  selector?: string;
  /** The name of a durable subscription: messages are kept while the handler is away. `true`: named by the pattern. */
  durable?: string | true;
  /** Further headers of the SUBSCRIBE frame. */
  headers?: Readonly<Record<string, string>>;
}
