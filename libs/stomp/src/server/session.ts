import { randomUUID, type X509Certificate } from 'node:crypto';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { FrameError } from '../frame/error.js';
import { Frame } from '../frame/frame.js';
import type { Version } from '../frame/version.js';
import { Connection } from '../wire/connection.js';
import { agreeHeartBeat } from '../wire/heartbeat.js';
import { plainAddress } from './address.js';
import type { Broker, Route } from './broker.js';
import { Commands } from './commands.js';
import { errorFrame, httpAnswer, StompError, toStompError, withoutLine } from './error.js';
import { connectedFrame, type Handshake, offerIn, readHandshake } from './handshake.js';
import type { Memory } from './memory.js';
import type { Message } from './message.js';
import type { ResolvedOptions } from './options.js';
import type { Farewell } from './pending.js';
import { Receipts } from './receipts.js';
import type { Subscription } from './subscription.js';
import { Trace } from './trace.js';
import { Lag } from './unread.js';

// leaving: the client has said its last; ending: it gets an ERROR, our last.
type State = 'opening' | 'connecting' | 'connected' | 'leaving' | 'ending' | 'closed';

/** Who wants to know how far a session is. */
export interface SessionWatcher {
  /** The client has come in. */
  connected(session: Session): void;
  ended(session: Session): void;
}

/** Somebody who cannot keep up with a client. */
export interface Waited {
  /** The client has gone. */
  forget(publisher: Session): void;
}

/** One client's connection, from its CONNECT to its end. What it asks for in between is up to its commands. */
export class Session {
  /** Unique; the `session` header of CONNECTED. */
  readonly id = randomUUID();
  /** @internal */
  readonly connection: Connection;
  /** The client's address, without its port; undefined where the stream is no socket. */
  readonly address: string | undefined;
  /** The certificate that the client showed, if its listener asked for one and could verify it. */
  readonly certificate: X509Certificate | undefined;
  /** The virtual host: an entry of the list in the options. */
  vhost = '*';
  /** The `client-id` of CONNECT, by which ActiveMQ and Artemis name the owner of durable subscriptions. */
  clientId: string | undefined = undefined;
  /** Whoever the broker says that the client is; for its own use. */
  user: unknown = undefined;
  /** What waits for the client to read; undefined where nobody counts memory. */
  readonly lag: Lag | undefined;

  private state: State = 'opening';
  private readonly receipts: Receipts;
  private readonly commands: Commands;
  private readonly memory: Memory | undefined;
  private readonly trace: Trace | undefined;
  private loginTimer: NodeJS.Timeout | undefined;
  // How often the broker thinks about a client or a destination; meanwhile nothing is read.
  private asking = 0;
  private refusal: Error | undefined;
  // What is said of its messages when it ends: that they are lost, unless it ends in good order.
  private farewell: Farewell = 'loss';
  // The client promised no heart-beats, so its silence is measured by the idle limit.
  private idleOnly = false;
  // The client does not read the answers that it asked for; meanwhile it is not read either.
  private flooded = false;
  // Octets that are there of a frame that is not complete.
  private gathered = 0;
  // Those for whose sake this session is not read.
  private waitsFor: Set<Waited> | undefined;

  /**
   * @param stream open already; owned by the session from now on
   * @param watcher told when the client is connected, and once when everything is over
   * @param address the client's, where it is not the other end of the socket
   * @param since when its connection was taken, by `performance.now()`
   */
  constructor(
    stream: Duplex,
    private readonly broker: Broker,
    private readonly options: ResolvedOptions,
    private readonly watcher: SessionWatcher,
    address?: string,
    readonly since = performance.now(),
  ) {
    this.address = address ?? (stream instanceof Socket ? plainAddress(stream.remoteAddress) : undefined);
    this.certificate = stream instanceof TLSSocket && stream.authorized ? stream.getPeerX509Certificate() : undefined;
    this.trace = options.log === undefined ? undefined : new Trace(options.log, this);
    this.receipts = new Receipts(this, broker);
    this.commands = new Commands(this, broker, this.receipts, options);
    this.memory = options.memory;
    this.lag = this.memory === undefined ? undefined : new Lag(this, this.memory.unread);
    this.connection = new Connection(
      stream,
      // Itself, not an object of closures: an idle session is to be small.
      this,
      { ...options, maxFrame: options.maxUnauthenticated },
    );
    if (options.loginTimeout > 0) {
      const late = () => {
        this.fail(new StompError('login timeout', `no session was opened within ${options.loginTimeout} ms`));
      };
      this.loginTimer = setTimeout(late, options.loginTimeout);
    }
    this.trace?.life('connection opened');
  }

  /** The version agreed on; undefined before CONNECTED. */
  get version(): Version | undefined {
    return this.connection.version;
  }

  /** Whether the client is connected, so that it can be sent messages. */
  get connected(): boolean {
    return this.state === 'connected';
  }

  /** Whether it is over: nothing comes of it any more. */
  get closed(): boolean {
    return this.state === 'closed';
  }

  /** What is subscribed to, by id; a subscription without one (1.0) has a key that no id can be. */
  get subscriptions(): ReadonlyMap<string, Subscription> {
    return this.commands.subscribed.byId;
  }

  /** The messages in open transactions: the last one to each destination. */
  get uncommitted(): Iterable<Message> {
    return this.commands.transactions.messages;
  }

  /** Forgets which destinations were granted: the next SEND and SUBSCRIBE ask the broker again. */
  dropGrants(): void {
    this.commands.routes.clear();
  }

  /**
   * Subscribes in the client's name, for a destination that it only named in `reply-to`, as RabbitMQ does it: messages
   * come with the destination as their subscription, until the client subscribes for itself.
   *
   * @throws StompError when that id is in use, or it is one subscription too many
   */
  attach(destination: string, route: Route): void {
    this.commands.subscribed.attach(destination, route);
  }

  /** @internal The client has said its last, in good order. */
  leave(): void {
    this.farewell = 'return';
    this.finish();
  }

  /** Ends the session with an ERROR frame, after what was read from the client before. */
  refuse(error: Error): void {
    if (this.asking > 0 && this.state === 'connected') {
      this.refusal ??= error;
      return;
    }
    // Whatever the reason is, it is none of the messages.
    if (!this.over) this.farewell = 'return';
    this.fail(error);
  }

  /** Cuts the connection, without a word. */
  destroy(): void {
    this.connection.destroy();
  }

  /** Reads no further from the client until `goOn` is called by the same. */
  waitFor(slow: Waited): void {
    if (this.state === 'closed' || this.waitsFor?.has(slow) === true) return;
    (this.waitsFor ??= new Set()).add(slow);
    this.connection.pause();
  }

  /** Reads on, unless there is somebody else to wait for. */
  goOn(slow: Waited): void {
    if (this.waitsFor?.delete(slow) === true) this.connection.resume();
  }

  /** Whether the client has messages that it has not acknowledged. */
  get owes(): boolean {
    return this.commands.subscribed.owes;
  }

  /** Whether a transaction is open. */
  get inTransaction(): boolean {
    return this.commands.transactions.open;
  }

  /**
   * So many more octets are needed for one of its subscriptions than for the headers of that; fewer, if negative.
   *
   * @throws StompError when subscriptions would take too much
   */
  occupy(subscription: Subscription, octets: number): void {
    this.commands.subscribed.occupy(subscription, octets);
  }

  /** @internal Whether nothing was said yet that could be looked at. */
  get silent(): boolean {
    return this.state === 'opening';
  }

  /** @internal Whether it is not read for somebody else's sake: its acknowledgements may stand unread. */
  get deaf(): boolean {
    if (this.asking > 0) return true;
    for (const slow of this.waitsFor ?? []) if (slow !== this.memory) return true;
    return false;
  }

  /** @internal Ends the session when a frame takes too long to come. */
  checkFrame(): void {
    const { frameTimeout } = this.options;
    if (this.state !== 'connected' || this.connection.frameAge <= frameTimeout) return;
    this.fail(new StompError('frame timeout', `a frame was not complete within ${frameTimeout} ms of its first octet`));
  }

  /** @internal What was begun for it has failed. */
  abort(error: unknown): void {
    this.fail(error);
  }

  /** @internal A message went out. */
  traceMessage(subscription: Subscription, message: Message): void {
    this.trace?.delivered(message, subscription.id);
  }

  /** @internal A frame came in. */
  onFrame(frame: Frame): void {
    this.trace?.received(frame);
    try {
      if (this.state === 'connected') this.commands.handle(frame);
      else if (this.state === 'opening') this.connect(frame);
    } catch (error) {
      this.fail(error, frame.headers.get('receipt'));
    }
  }

  /** @internal An ACK came in that asks for nothing besides; tells whether no frame is wanted of it. */
  onAck(bytes: Buffer, from: number, to: number): boolean {
    if (this.state !== 'connected' || this.version !== '1.2' || this.trace?.tellsFrames === true) return false;
    try {
      return this.commands.acknowledgements.settle(bytes, from, to);
    } catch (error) {
      this.fail(error);
      return true;
    }
  }

  private connect(frame: Frame): void {
    const handshake = readHandshake(frame, this.options.vhosts);
    this.vhost = handshake.vhost;
    this.clientId = frame.headers.get('client-id');
    this.state = 'connecting';
    const answer = this.broker.connect?.(this, frame);
    if (answer instanceof Promise) {
      this.whenAnswered(answer, undefined, () => this.accept(handshake));
    } else this.accept(handshake);
  }

  private accept(handshake: Handshake): void {
    if (this.state !== 'connecting') return;
    const { version, heartbeat } = handshake;
    const { options, connection } = this;
    this.stopLoginTimer();
    this.state = 'connected';
    this.watcher.connected(this);
    connection.limits.maxFrame = options.maxFrame;
    connection.version = version;
    const offer = offerIn(version, options.heartbeat);
    this.reply(connectedFrame(handshake, this.id, options.server, offer));
    const agreed = agreeHeartBeat(offer, heartbeat);
    this.idleOnly = agreed.incoming === 0;
    if (this.idleOnly) connection.startHeartBeat(agreed.outgoing, options.idleTimeout, 1);
    else connection.startHeartBeat(agreed.outgoing, agreed.incoming, options.heartbeatTolerance);
    this.trace?.life(`connected with STOMP ${version}`);
    this.trace?.detail(`heart-beats every ${agreed.outgoing} ms out, ${agreed.incoming} ms in`);
  }

  /** @internal Goes on with the broker's answer; while it thinks, nothing is read. */
  whenAnswered<T>(answer: Promise<T>, frame: Frame | undefined, go: (value: T) => void): void {
    this.asking++;
    this.connection.pause();
    answer
      .then((value) => {
        if (this.state !== 'closed') go(value);
      })
      .catch((error: unknown) => this.fail(error, frame?.headers.get('receipt')))
      .finally(() => {
        this.asking--;
        this.connection.resume();
        if (this.refusal !== undefined) this.refuse(this.refusal);
      });
  }

  /** @internal */
  issueReceipt(receipt: string): void {
    this.reply(new Frame('RECEIPT', [['receipt-id', receipt]]));
  }

  /** @internal A promise cannot be kept: the client is told even when it is leaving. */
  breakPromise(error: Error, receipt?: string): void {
    if (this.state === 'leaving') this.state = 'connected';
    this.fail(error, receipt);
  }

  private reply(frame: Frame): void {
    this.trace?.sent(frame);
    this.connection.send(frame);
    if (this.flooded || this.connection.writable) return;
    this.flooded = true;
    this.connection.pause();
  }

  /** @internal What came together has been handled. */
  onRead(): void {
    this.commands.acknowledgements.wake();
    const { gathered } = this.connection;
    if (gathered !== this.gathered) this.gather(gathered);
  }

  private gather(octets: number): void {
    const before = this.gathered;
    this.gathered = octets;
    this.memory?.turns.read(this, octets, before);
  }

  /** @internal */
  onBuffered(octets: number): void {
    this.lag?.buffer(octets);
  }

  /** @internal */
  onFault(error: FrameError): void {
    if (error.code === 'not-stomp') this.answerHttp(error);
    else this.fail(error, error.receipt);
  }

  /** @internal */
  onEnd(): void {
    this.finish();
  }

  /** @internal */
  onSilence(milliseconds: number): void {
    const what = this.idleOnly ? 'idle for too long' : 'heart-beat missed';
    this.fail(new StompError(what, `nothing was heard for ${milliseconds} ms`));
  }

  /** The client sends nothing more: once every promise made to it holds, the session is over. */
  private finish(): void {
    if (this.over) return;
    this.state = 'leaving';
    this.receipts.whenEmpty(() => this.end());
  }

  private stopLoginTimer(): void {
    clearTimeout(this.loginTimer);
    this.loginTimer = undefined;
  }

  private get over(): boolean {
    return this.state === 'leaving' || this.state === 'ending' || this.state === 'closed';
  }

  private fail(error: unknown, receipt?: string): void {
    if (this.over) return;
    this.turnAway(error);
    this.state = 'ending';
    const told = toStompError(error);
    if (told !== error && !(error instanceof FrameError)) this.trace?.failure(error);
    const { message, detail } = this.version === undefined ? withoutLine(error) : told;
    this.trace?.life(`ERROR ${message}: ${detail}`);
    this.receipts.whenEmpty(() => {
      this.reply(errorFrame(told, receipt, this.version));
      this.end();
    });
  }

  /** Somebody speaks HTTP, and is told so in it. */
  private answerHttp(error: FrameError): void {
    if (this.over) return;
    this.turnAway(error);
    this.state = 'ending';
    this.trace?.life(`refused: ${error.message}`);
    this.connection.outbox.text(httpAnswer(error));
    this.connection.touch();
    this.end();
  }

  /** Tells the broker of a client that it was not asked about. */
  private turnAway(error: unknown): void {
    if (this.state !== 'opening') return;
    this.broker.turnedAway?.(this.address, withoutLine(error), this);
  }

  private end(): void {
    this.release();
    this.connection.end();
  }

  /** @internal The connection is gone. */
  onClose(error: Error | undefined): void {
    this.trace?.life(`connection closed${error === undefined ? '' : `: ${error.message}`}`);
    this.release();
    this.gather(0);
    this.lag?.close();
    this.watcher.ended(this);
  }

  /** Gives back everything that the session holds of others. */
  private release(): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    this.stopLoginTimer();
    this.commands.end(this.farewell);
    for (const slow of this.waitsFor ?? []) slow.forget(this);
    this.waitsFor = undefined;
    this.guard(() => this.broker.disconnect?.(this));
  }

  /** @internal Does a part of the end: where it fails the rest is done all the same. */
  guard(part: () => void): void {
    try {
      part();
    } catch (error) {
      this.trace?.failure(error);
    }
  }

  /** @internal The client has read what waited for it. */
  onDrain(): void {
    if (this.flooded) {
      this.flooded = false;
      this.connection.resume();
    }
    for (const subscription of this.commands.subscribed.byId.values()) subscription.wake();
  }
}
