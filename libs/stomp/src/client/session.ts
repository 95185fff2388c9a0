import type { Duplex } from 'node:stream';
import { inspect } from 'node:util';
import { encodeHeader } from '../frame/encoder.js';
import { quote } from '../frame/error.js';
import { escapingOf } from '../frame/escape.js';
import { Frame } from '../frame/frame.js';
import type { FrameLimits } from '../frame/limits.js';
import type { Version } from '../frame/version.js';
import { Connection } from '../wire/connection.js';
import { explain } from '../wire/dial.js';
import { ConnectionLostError, ProtocolError, RefusedError, ServerError } from './errors.js';
import { connectFrame, type Greeting, readConnected, type Welcome } from './handshake.js';
import { type Confirmed, Receipts } from './receipts.js';
import { Throttle } from './throttle.js';

/** What a session tells the client. */
export interface SessionHandler {
  /** Any frame, before it is dealt with. */
  onFrame(frame: Frame): void;
  onMessage(frame: Frame, session: Session): void;
  onServerError(error: ServerError): void;
  /** The server takes bytes again. */
  onDrain(): void;
  /** The session, once connected, is over; without a reason when it was closed on purpose. Called once, last. */
  onOver(session: Session, reason: Error | undefined): void;
}

export interface SessionOptions extends FrameLimits {
  readonly heartbeatTolerance: number;
  readonly connectedTimeout: number;
  readonly receiptTimeout: number;
  readonly maxReceipts: number;
  readonly highWaterMark: number;
}

/**
 * ActiveMQ keeps the connection after an ERROR about a single frame, for example a reply to somebody who has left. To
 * break it off would send back all messages in the works for the fault of one. After other errors it closes by itself.
 */
const GOES_ON = /^ActiveMQ\//i;
/** What is read before CONNECTED, in octets a frame. */
const MAX_GREETING = 64 * 1024;

interface Opening {
  readonly greeting: Greeting;
  resolve(session: Session): void;
  reject(reason: Error): void;
}

/** One connection to a server, from its CONNECT to its end: the client's half of the protocol. */
export class Session {
  /** @internal */
  readonly connection: Connection;
  /** @internal */
  readonly throttle: Throttle;
  /** Why it is over; undefined while it is not, and when it was closed on purpose. */
  reason: Error | undefined;
  private readonly receipts: Receipts;
  private state: 'opening' | 'connected' | 'leaving' | 'over' = 'opening';
  private opening: Opening | undefined;
  private welcome: Welcome | undefined;
  private timer: NodeJS.Timeout | undefined;
  private left: (() => void) | undefined;
  private serials = 0;
  private lastDestination: string | undefined;
  private lastPrefix = '';
  private drains: { resolve: () => void; reject: (reason: Error) => void }[] = [];

  private constructor(
    stream: Duplex,
    private readonly options: SessionOptions,
    private readonly handler: SessionHandler,
  ) {
    this.connection = new Connection(
      stream,
      {
        onFrame: (frame) => this.receive(frame),
        onFault: (error) => this.fail(new ProtocolError(`the server sent a malformed frame: ${error.message}`, error)),
        onEnd: (error) => this.fail(new ConnectionLostError(`the server closed the connection${whyOf(error)}`, error)),
        onClose: (error) => this.closed(error),
        onDrain: () => this.drained(),
        onSilence: (ms) => this.cut(new ConnectionLostError(`heart-beat missed: nothing was heard for ${ms} ms`)),
      },
      { ...options, maxFrame: MAX_GREETING },
    );
    this.throttle = new Throttle(this.connection, () => this.receipts.size > 0);
    this.receipts = new Receipts(options.receiptTimeout, options.maxReceipts, () => this.throttle.update());
  }

  /**
   * Opens a session over a stream.
   *
   * @returns a promise that fails with RefusedError for an ERROR, else with what became of the connection
   */
  static open(
    stream: Duplex,
    greeting: Greeting,
    options: SessionOptions,
    handler: SessionHandler,
    signal: AbortSignal,
  ): Promise<Session> {
    const session = new Session(stream, options, handler);
    return new Promise<Session>((resolve, reject) => {
      const onAbort = () => session.cut(new ConnectionLostError('the connection was given up'));
      signal.addEventListener('abort', onAbort);
      const settle = () => signal.removeEventListener('abort', onAbort);
      session.greet({
        greeting,
        resolve: (opened) => {
          settle();
          resolve(opened);
        },
        reject: (reason) => {
          settle();
          reject(reason);
        },
      });
      if (signal.aborted) onAbort();
    });
  }

  /** The version agreed on. */
  get version(): Version | undefined {
    return this.connection.version;
  }

  /** The `session` header of CONNECTED. */
  get id(): string | undefined {
    return this.welcome?.session;
  }

  /** The `server` header of CONNECTED. */
  get server(): string | undefined {
    return this.welcome?.server;
  }

  /** Whether frames can be sent: it is connected, and DISCONNECT has not gone out. */
  get open(): boolean {
    return this.state === 'connected';
  }

  /** The beginning of a SEND frame to that destination; the last one is kept, as most clients have one. */
  sendPrefix(destination: string): string {
    if (destination === this.lastDestination) return this.lastPrefix;
    const line = encodeHeader('destination', destination, escapingOf(this.version));
    this.lastDestination = destination;
    this.lastPrefix = `SEND\n${line}`;
    return this.lastPrefix;
  }

  send(frame: Frame): void {
    this.connection.send(frame);
  }

  /**
   * Whether one more receipt may be waited for.
   *
   * @throws TooManyReceiptsError
   */
  checkReceipts(): void {
    this.receipts.makeRoom();
  }

  /** Waits for a receipt: `write` sends a frame with that id. What it throws, is thrown, and nothing waited for. */
  request(write: (receipt: string) => void, confirmed: Confirmed): void {
    const receipt = `r${++this.serials}`;
    write(receipt);
    this.receipts.add(receipt, confirmed);
  }

  /** Sends a frame with a receipt. */
  sendReceipted(frame: Frame, confirmed: Confirmed): void {
    this.request((receipt) => {
      frame.headers.set('receipt', receipt);
      this.connection.send(frame);
    }, confirmed);
  }

  /** Resolves once the server keeps up; fails when the connection is lost before. */
  whenDrained(): Promise<void> {
    if (this.connection.writable) return Promise.resolve();
    return new Promise((resolve, reject) => this.drains.push({ resolve, reject }));
  }

  /**
   * Ends the session as the specification asks for (STOMP 1.2, DISCONNECT): DISCONNECT, its receipt, then the close.
   *
   * @param deadline after this, in ms, the connection is cut
   */
  close(deadline: number): Promise<void> {
    if (this.state !== 'connected') return Promise.resolve();
    return new Promise((resolve) => {
      this.left = resolve;
      this.request(
        (receipt) => this.connection.send(new Frame('DISCONNECT', [['receipt', receipt]])),
        (error) => {
          if (error === undefined) this.connection.end();
        },
      );
      this.state = 'leaving';
      this.timer = setTimeout(() => {
        this.connection.flush();
        this.cut(new ConnectionLostError(`the server did not confirm DISCONNECT within ${deadline} ms`));
      }, deadline);
    });
  }

  private greet(opening: Opening): void {
    this.opening = opening;
    const { connectedTimeout } = this.options;
    this.timer = setTimeout(
      () => this.cut(new ConnectionLostError(`the server did not answer CONNECT within ${connectedTimeout} ms`)),
      connectedTimeout,
    );
    try {
      this.connection.send(connectFrame(opening.greeting));
      this.connection.flush();
    } catch (error) {
      this.cut(error as Error);
    }
  }

  /** STOMP 1.2, Server Frames. */
  private receive(frame: Frame): void {
    if (this.state === 'over') return;
    this.handler.onFrame(frame);
    if (this.state === 'opening') {
      this.enter(frame);
      return;
    }
    switch (frame.command) {
      case 'MESSAGE':
        this.handler.onMessage(frame, this);
        return;
      case 'RECEIPT':
        this.receipts.settle(frame.headers.get('receipt-id') ?? '');
        return;
      case 'ERROR':
        this.broken(new ServerError(frame));
        return;
      default:
        this.fail(new ProtocolError(`the server sent a ${quote(frame.command)} frame: it may not`));
    }
  }

  private enter(frame: Frame): void {
    if (frame.command === 'ERROR') {
      this.fail(new RefusedError(frame));
      return;
    }
    if (frame.command !== 'CONNECTED') {
      this.fail(new ProtocolError(`the server answered CONNECT with ${quote(frame.command)} instead of CONNECTED`));
      return;
    }
    const { connection, options } = this;
    const opening = this.opening!;
    try {
      this.welcome = readConnected(frame, opening.greeting);
    } catch (error) {
      this.fail(error as Error);
      return;
    }
    clearTimeout(this.timer);
    const { version, heartbeat } = this.welcome;
    connection.version = version;
    connection.limits.maxFrame = options.maxFrame ?? Number.POSITIVE_INFINITY;
    connection.startHeartBeat(heartbeat.outgoing, heartbeat.incoming, options.heartbeatTolerance);
    this.state = 'connected';
    this.opening = undefined;
    opening.resolve(this);
  }

  /** STOMP 1.2, ERROR: whatever it is about, the connection ends with it, but for servers that go on. */
  private broken(error: ServerError): void {
    if (error.receipt !== undefined) this.receipts.settle(error.receipt, error);
    this.handler.onServerError(error);
    if (!GOES_ON.test(this.server ?? '')) this.fail(error);
  }

  private drained(): void {
    const drains = this.drains;
    this.drains = [];
    for (const { resolve } of drains) resolve();
    this.handler.onDrain();
  }

  private closed(error: Error | undefined): void {
    const lost = new ConnectionLostError(`the connection was lost${whyOf(error)}`, error);
    this.over(this.state === 'leaving' ? undefined : lost);
  }

  /** Ends it at once, and the connection without waiting for what was not written. */
  private cut(reason: Error): void {
    this.connection.destroy();
    this.over(reason);
  }

  /** Ends it at once, and the connection once the server has had its chance to do so. */
  private fail(reason: Error): void {
    this.connection.end();
    this.over(this.state === 'leaving' && reason instanceof ConnectionLostError ? undefined : reason);
  }

  private over(reason: Error | undefined): void {
    if (this.state === 'over') return;
    const { opening } = this;
    this.state = 'over';
    this.reason = reason;
    this.opening = undefined;
    clearTimeout(this.timer);
    const lost = reason ?? new ConnectionLostError('the client disconnected');
    this.receipts.fail(lost);
    for (const { reject } of this.drains)
      reject(new ConnectionLostError(`the connection was lost: ${lost.message}`, lost));
    this.drains = [];
    if (opening !== undefined) opening.reject(lost);
    else this.handler.onOver(this, reason);
    this.left?.();
  }

  /** @internal */
  [inspect.custom](): object {
    return { id: this.id, server: this.server, version: this.version, state: this.state };
  }
}

const whyOf = (error: Error | undefined) => (error === undefined ? '' : `: ${explain(error)}`);
