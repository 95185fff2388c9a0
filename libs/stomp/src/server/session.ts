import { randomUUID, type X509Certificate } from 'node:crypto';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { FrameError, quote } from '../frame/error.js';
import { escapeHeader, escapingOf } from '../frame/escape.js';
import { Frame } from '../frame/frame.js';
import { Known } from '../frame/names.js';
import { requiredHeaders } from '../frame/rules.js';
import type { Version } from '../frame/version.js';
import { Connection } from '../wire/connection.js';
import { agreeHeartBeat } from '../wire/heartbeat.js';
import { Acknowledgements, ACKNOWLEDGED } from './acknowledgements.js';
import { plainAddress } from './address.js';
import type { Broker, Done, Route } from './broker.js';
import { errorFrame, StompError, toStompError } from './error.js';
import { type Handshake, readHandshake } from './handshake.js';
import type { Memory } from './memory.js';
import { Message } from './message.js';
import type { ResolvedOptions } from './options.js';
import type { Farewell, Outcome } from './pending.js';
import { Receipts } from './receipts.js';
import { type Action, keyOf, Routes } from './routes.js';
import type { Subscription } from './subscription.js';
import { Subscriptions } from './subscriptions.js';
import { Budget, Transaction } from './transaction.js';
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

/** Headers whose values are not logged. */
const SECRET = /passcode|password|secret|token|authorization/i;

/** Whether a text looks like a JSON Web Token (RFC 7519), which is a secret wherever it stands. */
export const isToken = (text: string): boolean => /^ey[\w-]{8,}\.[\w-]+\.[\w-]*$/.test(text);

/** One client's connection, from its CONNECT to its end: the server's half of the protocol. */
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
  private readonly receipts = new Receipts(this);
  private readonly routes = new Routes();
  private readonly subscribed: Subscriptions;
  private readonly acknowledgements: Acknowledgements;
  private transactions: Map<string, Transaction> | undefined;
  private readonly budget: Budget;
  private readonly memory: Memory | undefined;
  private readonly verbose: number;
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
    this.verbose = options.log?.level ?? 0;
    this.address = address ?? (stream instanceof Socket ? plainAddress(stream.remoteAddress) : undefined);
    this.certificate = stream instanceof TLSSocket && stream.authorized ? stream.getPeerX509Certificate() : undefined;
    this.subscribed = new Subscriptions(
      this,
      options.maxSubscriptions,
      options.maxUnacknowledged,
      options.memory?.upkeep,
    );
    this.acknowledgements = new Acknowledgements(this.subscribed);
    this.memory = options.memory;
    this.lag = this.memory === undefined ? undefined : new Lag(this, this.memory.unread);
    this.budget = new Budget(options, this.memory);
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
    if (this.verbose >= 2) this.log(2, 'connection opened');
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
    return this.subscribed.byId;
  }

  /** The messages in open transactions: the last one to each destination. */
  get uncommitted(): Iterable<Message> {
    const messages = new Map<string, Message>();
    for (const { operations } of this.transactions?.values() ?? []) {
      for (const each of operations) if ('message' in each) messages.set(keyOf('send', each.message), each.message);
    }
    return messages.values();
  }

  /** Forgets which destinations were granted: the next SEND and SUBSCRIBE ask the broker again. */
  dropGrants(): void {
    this.routes.clear();
  }

  /**
   * Subscribes in the client's name, for a destination that it only named in `reply-to`, as RabbitMQ does it: messages
   * come with the destination as their subscription, until the client subscribes for itself.
   *
   * @throws StompError when that id is in use, or it is one subscription too many
   */
  attach(destination: string, route: Route): void {
    this.subscribed.attach(destination, route);
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
    return this.subscribed.owes;
  }

  /** Whether a transaction is open. */
  get inTransaction(): boolean {
    return this.transactions !== undefined && this.transactions.size > 0;
  }

  /**
   * So many more octets are needed for one of its subscriptions than for the headers of that; fewer, if negative.
   *
   * @throws StompError when subscriptions would take too much
   */
  occupy(subscription: Subscription, octets: number): void {
    this.subscribed.occupy(subscription, octets);
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
    if (this.verbose >= 4) this.log(4, `sent MESSAGE ${message.id} to subscription ${quote(subscription.id ?? '')}`);
  }

  /** @internal A frame came in. */
  onFrame(frame: Frame): void {
    if (this.verbose >= 4) this.trace('received', frame);
    try {
      if (this.state === 'connected') this.handle(frame);
      else if (this.state === 'opening') this.connect(frame);
    } catch (error) {
      this.fail(error, frame.headers.get('receipt'));
    }
  }

  private connect(frame: Frame): void {
    const handshake = readHandshake(frame, this.options.vhosts);
    this.vhost = handshake.vhost;
    this.clientId = frame.headers.get('client-id');
    this.state = 'connecting';
    const answer = this.broker.connect?.(this, frame);
    if (answer instanceof Promise) {
      this.wait(answer, undefined, () => this.accept(handshake));
    } else this.accept(handshake);
  }

  private accept({ version, heartbeat, requestId }: Handshake): void {
    if (this.state !== 'connecting') return;
    const { options, connection } = this;
    this.stopLoginTimer();
    this.state = 'connected';
    this.watcher.connected(this);
    connection.limits.maxFrame = options.maxFrame;
    connection.version = version;
    const ours = version === '1.0' ? { outgoing: 0, incoming: 0 } : options.heartbeat;
    this.reply(
      new Frame('CONNECTED', [
        ['version', version],
        ['session', this.id],
        ...(options.server === '' ? [] : [['server', options.server] as const]),
        ['heart-beat', `${ours.outgoing},${ours.incoming}`],
        ...(requestId === undefined ? [] : [['response-id', requestId] as const]),
      ]),
    );
    const agreed = agreeHeartBeat(ours, heartbeat);
    this.idleOnly = agreed.incoming === 0;
    if (this.idleOnly) connection.startHeartBeat(agreed.outgoing, options.idleTimeout, 1);
    else connection.startHeartBeat(agreed.outgoing, agreed.incoming, options.heartbeatTolerance);
    if (this.verbose >= 2) this.log(2, `connected with STOMP ${version}`);
    if (this.verbose >= 3) this.log(3, `heart-beats every ${agreed.outgoing} ms out, ${agreed.incoming} ms in`);
  }

  /** The protocol's table of contents (STOMP 1.2, Client Frames). */
  private handle(frame: Frame): void {
    const { command } = frame;
    if (command !== 'ACK' && command !== 'NACK') this.acknowledgements.wake();
    switch (command) {
      case 'SEND':
        this.send(frame);
        return;
      case 'ACK':
        if (this.version !== '1.2' || !this.acknowledgements.settle(frame)) this.acknowledge(frame, ACKNOWLEDGED);
        return;
      case 'NACK':
        this.acknowledge(frame, { kind: 'nack', headers: frame.headers });
        return;
      case 'SUBSCRIBE':
        this.require(frame);
        this.withRoute('subscribe', frame);
        return;
      case 'UNSUBSCRIBE':
        this.unsubscribe(frame);
        return;
      case 'BEGIN':
        this.begin(frame);
        return;
      case 'COMMIT':
        this.commit(frame);
        return;
      case 'ABORT':
        this.takeTransaction(frame).abort();
        this.receipt(frame);
        return;
      case 'DISCONNECT':
        this.receiptWhenSafe(frame);
        this.farewell = 'return';
        this.finish();
        return;
      case 'CONNECT':
      case 'STOMP':
        throw new StompError('already connected', `a session has one ${frame.command} frame, its first`);
      default:
        throw new StompError('unknown command', `${quote(frame.command)} is not a command of a STOMP client`);
    }
  }

  private send(frame: Frame): void {
    const route = this.routes.ofSend(frame);
    if (route !== undefined) this.publish(route, frame, this.routes.last);
    else {
      this.require(frame);
      this.withRoute('send', frame);
    }
  }

  private publish(route: Route, frame: Frame, destination: string): void {
    const { memory } = this;
    if (memory?.full === true) memory.check(this);
    this.pass(route, frame, destination);
    if (memory?.full === true) memory.hold(this);
  }

  private pass(route: Route, frame: Frame, destination: string): void {
    const known = frame.wire?.known ?? -1;
    if ((known & (Known.receipt | Known.transaction | Known.credentials)) === 0) {
      route.send(new Message(destination, frame), this, undefined);
      return;
    }
    const receipt = (known & Known.receipt) === 0 ? undefined : this.receiptOf(frame);
    const transaction = (known & Known.transaction) === 0 ? undefined : this.transactionOf(frame);
    if (route.takesCredentials !== true) {
      if ((known & Known.credentials) !== 0) withoutCredentials(frame);
    } else if (transaction !== undefined) {
      throw new StompError(
        'not in a transaction',
        `a SEND to ${destination} takes effect at once: leave out transaction`,
      );
    }
    const message = new Message(destination, frame);
    if (transaction !== undefined) {
      message.detach();
      transaction.add({ route, message }, message.size);
      if (receipt !== undefined) transaction.receipts.push(receipt);
      return;
    }
    const done = this.promise(receipt);
    try {
      route.send(message, this, receipt === undefined ? undefined : done);
    } catch (error) {
      done(error as Error);
    }
  }

  private subscribe(route: Route, frame: Frame): void {
    const receipt = this.receiptOf(frame);
    this.subscribed.supersede(frame.headers.get('destination')!);
    const subscription = this.subscribed.create(frame, route);
    this.subscribed.add(subscription);
    const settled = this.promise(receipt);
    try {
      route.subscribe(subscription, (error) => {
        settled(error);
        if (error === undefined) subscription.start();
      });
    } catch (error) {
      settled(error as Error);
    }
  }

  private unsubscribe(frame: Frame): void {
    const ended = this.subscribed.remove(frame);
    if (this.broker.leave?.(this, frame, ended) !== true && ended.length === 0) {
      const name = frame.headers.get('id') ?? frame.headers.get('destination') ?? '';
      throw new StompError('no such subscription', `there is no subscription ${quote(name)} in this session`);
    }
    this.receiptWhenSafe(frame);
  }

  private acknowledge(frame: Frame, outcome: Outcome): void {
    this.require(frame);
    const transaction = this.transactionOf(frame);
    this.acknowledgements.take(frame, outcome, transaction);
    if (transaction === undefined) this.receiptWhenSafe(frame);
    else {
      const receipt = this.receiptOf(frame);
      if (receipt !== undefined) transaction.receipts.push(receipt);
    }
  }

  private begin(frame: Frame): void {
    this.require(frame);
    const id = frame.headers.get('transaction')!;
    if (this.transactions?.has(id) === true) {
      throw new StompError('transaction exists', `the transaction ${quote(id)} is open already in this session`);
    }
    this.transactions ??= new Map();
    if (this.transactions.size >= this.options.maxTransactions) {
      throw new StompError('too many transactions', `a session has at most ${this.options.maxTransactions} open`);
    }
    this.transactions.set(id, new Transaction(id, this.budget));
    this.receipt(frame);
  }

  private commit(frame: Frame): void {
    const receipt = this.receiptOf(frame);
    const transaction = this.takeTransaction(frame);
    const promised = receipt === undefined ? transaction.receipts : [...transaction.receipts, receipt];
    const settles = promised.length === 0 ? [this.promise(undefined)] : promised.map((each) => this.promise(each));
    const done: Done = (error) => {
      for (const settle of settles) settle(error);
    };
    try {
      if (this.broker.commit !== undefined) this.broker.commit(transaction.operations, this, done);
      else {
        transaction.perform(this);
        done();
      }
      transaction.complete();
    } catch (error) {
      transaction.abort();
      done(error as Error);
    }
    for (const { subscription } of transaction.held) subscription.wake();
  }

  private transactionOf(frame: Frame): Transaction | undefined {
    const id = frame.headers.get('transaction');
    return id === undefined ? undefined : this.findTransaction(id);
  }

  private takeTransaction(frame: Frame): Transaction {
    this.require(frame);
    const transaction = this.findTransaction(frame.headers.get('transaction')!);
    this.transactions?.delete(transaction.id);
    return transaction;
  }

  private findTransaction(id: string): Transaction {
    const transaction = this.transactions?.get(id);
    if (transaction !== undefined) return transaction;
    throw new StompError('unknown transaction', `no transaction ${quote(id)} is open in this session: BEGIN it first`);
  }

  /** Goes on with the route to the frame's destination; while the broker has to think about it, nothing is read. */
  private withRoute(action: Action, frame: Frame): void {
    const destination = frame.headers.get('destination')!;
    const key = keyOf(action, frame);
    const { epoch } = this.routes;
    const go = (route: Route) => {
      // What was decided before the grants were dropped holds for one message, but not for a subscription.
      if (epoch === this.routes.epoch) this.routes.keep(action, key, route);
      else if (action === 'subscribe') {
        this.withRoute(action, frame);
        return;
      }
      if (action === 'send') this.publish(route, frame, destination);
      else this.subscribe(route, frame);
    };
    const answer = this.routes.get(action, key) ?? this.broker.route(this, destination, action, frame);
    if (answer instanceof Promise) this.wait(answer, frame, go);
    else go(answer);
  }

  private wait<T>(answer: Promise<T>, frame: Frame | undefined, go: (value: T) => void): void {
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

  private require(frame: Frame): void {
    for (const name of requiredHeaders(frame.command, this.version!)) {
      if (frame.headers.has(name)) continue;
      throw new StompError('missing header', `${frame.command} needs the header ${name}`);
    }
  }

  private receipt(frame: Frame): void {
    const receipt = this.receiptOf(frame);
    if (receipt !== undefined) this.receipts.settled(receipt);
  }

  /** A receipt for what has to be safe first. */
  private receiptWhenSafe(frame: Frame): void {
    const receipt = this.receiptOf(frame);
    if (receipt === undefined) return;
    if (this.broker.sync === undefined) {
      this.receipts.settled(receipt);
      return;
    }
    const done = this.receipts.open(receipt);
    try {
      this.broker.sync(done);
    } catch (error) {
      // Or the session would wait for this promise, and never end.
      done(error as Error);
    }
  }

  /**
   * The receipt that a frame asks for.
   *
   * @throws FrameError when no RECEIPT of this version can name it
   */
  private receiptOf(frame: Frame): string | undefined {
    const { wire } = frame;
    // What the decoder has found without reading the other headers is what every version can name.
    if (wire !== undefined && wire.plain && wire.keyStart > 0 && frame.command === 'SEND') {
      return wire.bytes.toString('latin1', wire.keyStart, wire.keyEnd);
    }
    const receipt = frame.headers.get('receipt');
    if (receipt !== undefined) escapeHeader(receipt, escapingOf(this.version), false);
    return receipt;
  }

  /** Told when something holds, or cannot be kept; with a receipt the client is told, too. */
  private promise(receipt: string | undefined): Done {
    if (receipt !== undefined) return this.receipts.open(receipt);
    return (error) => {
      if (error !== undefined) this.breakPromise(error);
    };
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
    if (this.verbose >= 4) this.trace('sent', frame);
    this.connection.send(frame);
    if (this.flooded || this.connection.writable) return;
    this.flooded = true;
    this.connection.pause();
  }

  /** @internal What came together has been handled. */
  onRead(): void {
    this.acknowledgements.wake();
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
    if (told !== error && !(error instanceof FrameError)) this.report(error);
    if (this.verbose >= 2) {
      // The line at fault may be the one with the passcode.
      const detail = this.version === undefined && error instanceof FrameError ? error.code : told.detail;
      this.log(2, `ERROR ${told.message}: ${detail}`);
    }
    this.receipts.whenEmpty(() => {
      this.reply(errorFrame(told, receipt, this.version));
      this.end();
    });
  }

  /** Somebody speaks HTTP, and is told so in it. */
  private answerHttp(error: FrameError): void {
    if (this.over) return;
    const { message } = error;
    this.turnAway(error);
    this.state = 'ending';
    if (this.verbose >= 2) this.log(2, `refused: ${message}`);
    const { outbox } = this.connection;
    outbox.text(`HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n${message}\n`);
    this.connection.touch();
    this.end();
  }

  /** Tells the broker of a client that it was not asked about. */
  private turnAway(error: unknown): void {
    if (this.state !== 'opening') return;
    // The line at fault may be the one with the passcode.
    const told = error instanceof FrameError ? new StompError('malformed frame', error.code) : toStompError(error);
    this.broker.turnedAway?.(this.address, told, this);
  }

  private end(): void {
    this.release();
    this.connection.end();
  }

  /** @internal The connection is gone. */
  onClose(error: Error | undefined): void {
    if (this.verbose >= 2) this.log(2, `connection closed${error === undefined ? '' : `: ${error.message}`}`);
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
    // What the transactions give back is for other sessions.
    this.subscribed.stopAll();
    for (const transaction of this.transactions?.values() ?? []) transaction.abort();
    this.transactions = undefined;
    this.subscribed.end(this.farewell);
    this.routes.clear();
    for (const slow of this.waitsFor ?? []) slow.forget(this);
    this.waitsFor = undefined;
    this.guard(() => this.broker.disconnect?.(this));
  }

  /** @internal Does a part of the end: where it fails the rest is done all the same. */
  guard(part: () => void): void {
    try {
      part();
    } catch (error) {
      this.report(error);
    }
  }

  private report(error: unknown): void {
    this.log(0, `internal error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  }

  /** @internal The client has read what waited for it. */
  onDrain(): void {
    if (this.flooded) {
      this.flooded = false;
      this.connection.resume();
    }
    for (const subscription of this.subscribed.byId.values()) subscription.wake();
  }

  private trace(what: string, frame: Frame): void {
    this.log(4, `${what} ${quote(frame.command)}, ${frame.body.length} octets`);
    if (this.verbose < 5) return;
    for (const [name, value] of frame.headers)
      this.log(5, `  ${quote(name)}: ${SECRET.test(name) || isToken(value) ? '***' : quote(value)}`);
  }

  private log(level: number, line: string): void {
    this.options.log?.log(level, `${this.address ?? 'local'} ${this.id.slice(0, 8)} ${line}`);
  }
}

/** A secret that a client put into a message by mistake is neither kept nor shown to who reads the message. */
function withoutCredentials(frame: Frame): void {
  const { headers } = frame;
  headers.delete('login');
  headers.delete('passcode');
  frame.headers = headers;
}
