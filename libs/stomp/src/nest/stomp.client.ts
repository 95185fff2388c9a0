import { ClientProxy, type ReadPacket, type WritePacket } from '@nestjs/microservices';
import { InvalidMessageException } from '@nestjs/microservices/errors/invalid-message.exception.js';
import { from, Observable, throwError } from 'rxjs';
import { NotConnectedError, type StompClient } from '../client/index.js';
import { CORRELATION_ID, REPLY_TO, writeMetadata } from './headers.js';
import { type Outgoing, toDestination, toMessage } from './outgoing.js';
import { readBody } from './payload.js';
import { Replies } from './replies.js';
import { StompConnection, type StompEvents } from './stomp.connection.js';
import type { StompClientProxyOptions } from './stomp.options.js';
import type { StompStatus } from './stomp.status.js';
import { Waiting } from './waiting.js';

const isNil = (value: unknown): value is undefined | null => value === undefined || value === null;

const DEFAULT_TIMEOUT = 60_000;
const DEADLINE = 5_000;

/**
 * Nest's client proxy for STOMP: `emit` publishes an event, `send` sends a request and streams its replies.
 *
 * ```ts
 * ClientsModule.register([{ name: 'STOMP', customClass: StompClientProxy, options: { url: 'stomp://localhost:61613' } }]);
 * ```
 *
 * It connects when it is first needed. While there is no connection, messages wait within the bounds of `offline`;
 * requests under way fail at once when the connection is lost.
 */
export class StompClientProxy extends ClientProxy<StompEvents> {
  private readonly connection: StompConnection;
  private readonly replies: Replies;
  private readonly waiting: Waiting;
  private opening: Promise<void> | undefined;

  /** @throws TypeError for options that make no sense */
  constructor(private readonly options: StompClientProxyOptions = {}) {
    super();
    const { connection, headers: _headers, serializer: _serializer, deserializer: _deserializer, ...rest } = options;
    const { requestTimeout = DEFAULT_TIMEOUT, receipts: _receipts, offline, ...own } = rest;
    this.connection = connection ?? new StompConnection(own);
    this.replies = new Replies(this.connection, requestTimeout, (message) => {
      return readBody(message, this.connection.peer, this.options);
    });
    this.waiting = new Waiting(offline);
    this.connection.onStatus((status, reason) => {
      this._status$.next(status);
      if (status === 'connected') this.waiting.release();
      else
        this.replies.failAll(
          new Error(`the connection to the broker was lost${reason === undefined ? '' : `: ${reason.message}`}`, {
            cause: reason,
          }),
        );
      if (status !== 'disconnected') return;
      // The next message tries anew.
      this.opening = undefined;
      this.waiting.failAll(reason ?? new NotConnectedError('the client was closed'));
    });
    // Failures reach whoever emits or sends; nobody else need hear of them.
    this.connection.client.on('error', () => undefined);
  }

  override get status(): Observable<StompStatus> {
    return super.status as Observable<StompStatus>;
  }

  /** How many requests wait for a reply. */
  get pendingRequests(): number {
    return this.replies.size;
  }

  /** How many messages wait for a connection. */
  get waitingMessages(): number {
    return this.waiting.size;
  }

  override on<Name extends keyof StompEvents>(event: Name, callback: StompEvents[Name]): void {
    this.connection.client.on(event, callback as never);
  }

  /** @throws Error before the first connection */
  unwrap<T = StompClient>(): T {
    if (this.opening === undefined) throw new Error('Not initialized. Please call the "connect" method first.');
    return this.connection.client as T;
  }

  /**
   * Connects, unless that has happened.
   *
   * @throws RefusedError when the broker refuses us, ConnectFailedError when all attempts failed; the next call tries
   *   anew
   */
  connect(): Promise<void> {
    this.opening ??= this.connection.open(this).catch((error: unknown) => {
      this.opening = undefined;
      throw error;
    });
    return this.opening;
  }

  /** Fails what waits for a reply or a connection, and disconnects. */
  async close(): Promise<void> {
    this.replies.failAll(new Error('Connection closed'));
    this.waiting.failAll(new NotConnectedError('the client was closed'));
    this.replies.stop();
    this.opening = undefined;
    await this.connection.release(this, DEADLINE);
  }

  /** Sends a request each time it is subscribed to; the observable gives its replies and ends with the last. */
  override send<R = unknown, I = unknown>(pattern: unknown, data: I): Observable<R> {
    if (isNil(pattern) || isNil(data)) return throwError(() => new InvalidMessageException());
    return new Observable<R>((observer) => {
      return this.publish(this.createPacket(pattern, data), this.createObserver(observer));
    });
  }

  /** Publishes an event at once; the observable completes when the broker has confirmed it, and fails if it has not. */
  override emit<R = unknown, I = unknown>(pattern: unknown, data: I): Observable<R> {
    if (isNil(pattern) || isNil(data)) return throwError(() => new InvalidMessageException());
    let sent: Promise<R>;
    try {
      sent = this.dispatchEvent<R>(this.createPacket(pattern, data));
    } catch (error) {
      return throwError(() => error);
    }
    // It is sent whether or not anybody looks: a failure that nobody looks at is no unhandled rejection.
    sent.catch(() => undefined);
    return from(sent);
  }

  protected publish(packet: ReadPacket, callback: (packet: WritePacket) => void): () => void {
    const destination = toDestination(this.normalizePattern(packet.pattern as string), 'message');
    let id: string | undefined;
    const fail = (err: unknown) => callback({ err, isDisposed: true });
    const giveUp = this.whenConnected(packet, fail, this.replies.timeout || Infinity, (write) => {
      const replyTo = this.replies.address();
      const request = (id = this.replies.open(callback));
      try {
        const { client, peer } = this.connection;
        const { body, ...options } = write({ [REPLY_TO]: replyTo, [CORRELATION_ID]: request });
        // The reply confirms it, and whoever refuses it ends the connection: a receipt would wake this process once more.
        if (!peer.survivesErrors) client.send(destination, body, options);
        else client.publish(destination, body, options).catch((error: unknown) => this.replies.fail(request, error));
      } catch (error) {
        this.replies.fail(request, error);
      }
    });
    return () => {
      giveUp();
      if (id !== undefined) this.replies.close(id);
    };
  }

  protected dispatchEvent<T = unknown>(packet: ReadPacket): Promise<T> {
    const destination = toDestination(this.normalizePattern(packet.pattern as string), 'event');
    const { client } = this.connection;
    return new Promise((resolve, reject) => {
      this.whenConnected(packet, reject, Infinity, (write) => {
        const { body, ...options } = write({});
        const done = () => resolve(undefined as T);
        if (this.options.receipts === false) {
          client.send(destination, body, options);
          done();
        } else client.publish(destination, body, options).then(done, reject);
      });
    });
  }

  /**
   * Does something with the message of a packet, as soon as there is a connection.
   *
   * @param patience how long it may wait for the connection at most, in ms
   * @param use gets a function that makes the message, given the transport's own headers
   * @returns gives it up, while it waits
   */
  private whenConnected(
    packet: ReadPacket,
    fail: (error: Error) => void,
    patience: number,
    use: (write: (own: Record<string, string>) => Outgoing) => void,
  ): () => void {
    const write = (own: Record<string, string>): Outgoing => {
      return toMessage(packet.data, { ...writeMetadata(packet.metadata), ...own }, this.options, this.connection.peer);
    };
    const go = () => {
      try {
        use(write);
      } catch (error) {
        fail(error as Error);
      }
    };
    if (this.connection.client.state === 'connected') {
      go();
      return () => undefined;
    }
    let size: number;
    try {
      size = Buffer.byteLength(write({}).body);
    } catch (error) {
      fail(error as Error);
      return () => undefined;
    }
    const giveUp = this.waiting.add(size, go, fail, patience);
    // Why it failed reaches what waits through the status.
    this.connect().catch(() => undefined);
    return giveUp;
  }
}
