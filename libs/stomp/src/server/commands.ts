import { quote, quoteCommand } from '../frame/error.js';
import type { Frame } from '../frame/frame.js';
import { Known } from '../frame/names.js';
import { requiredHeaders } from '../frame/rules.js';
import { Acknowledgements } from './acknowledgements.js';
import { ACKNOWLEDGED } from './pending.js';
import type { Broker, Done, Route } from './broker.js';
import { StompError } from './error.js';
import type { Memory } from './memory.js';
import { Message } from './message.js';
import type { ResolvedOptions } from './options.js';
import type { Farewell, Outcome } from './pending.js';
import { receiptOf, type Receipts } from './receipts.js';
import { type Action, keyOf, Routes } from './routes.js';
import type { Session } from './session.js';
import { Subscriptions } from './subscriptions.js';
import type { Transaction } from './transaction.js';
import { Transactions } from './transactions.js';

/**
 * What a connected client asks for, command by command (STOMP 1.2, Client Frames), and what it has by that: the
 * routes that it was granted, its subscriptions, its open transactions.
 */
export class Commands {
  readonly routes = new Routes();
  readonly subscribed: Subscriptions;
  readonly acknowledgements: Acknowledgements;
  readonly transactions: Transactions;
  private readonly memory: Memory | undefined;

  constructor(
    private readonly session: Session,
    private readonly broker: Broker,
    private readonly receipts: Receipts,
    options: ResolvedOptions,
  ) {
    const { memory, maxSubscriptions, maxUnacknowledged, maxTransactions } = options;
    this.memory = memory;
    this.subscribed = new Subscriptions(session, maxSubscriptions, maxUnacknowledged, memory?.upkeep);
    this.acknowledgements = new Acknowledgements(this.subscribed);
    this.transactions = new Transactions(maxTransactions, options, memory);
  }

  /**
   * The protocol's table of contents.
   *
   * @throws StompError when a frame is refused
   * @throws FrameError when what it asks to be told cannot be said in its version
   */
  handle(frame: Frame): void {
    const { command } = frame;
    if (command !== 'ACK' && command !== 'NACK') this.acknowledgements.wake();
    switch (command) {
      case 'SEND':
        this.send(frame);
        return;
      case 'ACK':
        this.acknowledge(frame, ACKNOWLEDGED);
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
        this.abort(frame);
        return;
      case 'DISCONNECT':
        this.receipts.whenSafe(this.receiptOf(frame));
        this.session.leave();
        return;
      case 'CONNECT':
      case 'STOMP':
        throw new StompError('already connected', `a session has one ${frame.command} frame, its first`);
      default:
        throw new StompError('unknown command', `${quoteCommand(frame.command)} is not a command of a STOMP client`);
    }
  }

  /** The session is over: gives back everything that it holds of others. */
  end(farewell: Farewell): void {
    // What the transactions give back is for other sessions.
    this.subscribed.stopAll();
    this.transactions.abort();
    this.subscribed.end(farewell);
    this.routes.clear();
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
    if (memory?.full === true) memory.check(this.session);
    this.pass(route, frame, destination);
    if (memory?.full === true) memory.hold(this.session);
  }

  private pass(route: Route, frame: Frame, destination: string): void {
    const known = frame.wire?.known ?? -1;
    if ((known & (Known.receipt | Known.transaction | Known.credentials)) === 0) {
      route.send(new Message(destination, frame), this.session, undefined);
      return;
    }
    const receipt = (known & Known.receipt) === 0 ? undefined : this.receiptOf(frame);
    const transaction = (known & Known.transaction) === 0 ? undefined : this.transactions.of(frame);
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
      if (receipt !== undefined) transaction.promise(receipt);
      return;
    }
    const done = this.receipts.promise(receipt);
    try {
      route.send(message, this.session, receipt === undefined ? undefined : done);
    } catch (error) {
      done(error as Error);
    }
  }

  private subscribe(route: Route, frame: Frame): void {
    const receipt = this.receiptOf(frame);
    this.subscribed.supersede(frame.headers.get('destination')!);
    const subscription = this.subscribed.create(frame, route);
    this.subscribed.add(subscription);
    const settled = this.receipts.promise(receipt);
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
    if (this.broker.leave?.(this.session, frame, ended) !== true && ended.length === 0) {
      const name = frame.headers.get('id') ?? frame.headers.get('destination') ?? '';
      throw new StompError('no such subscription', `there is no subscription ${quote(name)} in this session`);
    }
    this.receipts.whenSafe(this.receiptOf(frame));
  }

  private acknowledge(frame: Frame, outcome: Outcome): void {
    this.require(frame);
    const transaction = this.transactions.of(frame);
    this.acknowledgements.take(frame, outcome, transaction);
    const receipt = this.receiptOf(frame);
    if (transaction === undefined) this.receipts.whenSafe(receipt);
    else if (receipt !== undefined) transaction.promise(receipt);
  }

  private begin(frame: Frame): void {
    this.require(frame);
    this.transactions.begin(frame.headers.get('transaction')!);
    this.confirm(frame);
  }

  private commit(frame: Frame): void {
    const receipt = this.receiptOf(frame);
    this.require(frame);
    const id = frame.headers.get('transaction')!;
    const transaction = this.transactions.find(id);
    const perform = (error?: Error) => {
      // Until here it is open, and ends with its session.
      if (this.session.closed) return;
      this.transactions.take(id);
      try {
        this.perform(transaction, receipt, error);
      } catch (thrown) {
        this.session.abort(thrown);
      }
    };
    if (this.broker.prepare === undefined) perform();
    else this.broker.prepare(transaction.operations, this.session, perform);
  }

  /** @param failed why nothing of it can be done */
  private perform(transaction: Transaction, receipt: string | undefined, failed: Error | undefined): void {
    const promised = receipt === undefined ? transaction.receipts : [...transaction.receipts, receipt];
    const { receipts } = this;
    const settles = promised.length === 0 ? [receipts.promise(undefined)] : promised.map((each) => receipts.open(each));
    const done: Done = (error) => {
      for (const settle of settles) settle(error);
    };
    try {
      if (failed !== undefined) throw failed;
      if (this.broker.commit !== undefined) this.broker.commit(transaction.operations, this.session, done);
      else {
        transaction.perform(this.session);
        done();
      }
      transaction.complete();
    } catch (error) {
      transaction.abort();
      done(error as Error);
    }
    for (const { subscription } of transaction.held) subscription.wake();
  }

  private abort(frame: Frame): void {
    this.require(frame);
    this.transactions.take(frame.headers.get('transaction')!).abort();
    this.confirm(frame);
  }

  /** What the frame asked for holds already. */
  private confirm(frame: Frame): void {
    const receipt = this.receiptOf(frame);
    if (receipt !== undefined) this.receipts.settled(receipt);
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
    const answer = this.routes.get(action, key) ?? this.broker.route(this.session, destination, action, frame);
    if (answer instanceof Promise) this.session.whenAnswered(answer, frame, go);
    else go(answer);
  }

  private require(frame: Frame): void {
    for (const name of requiredHeaders(frame.command, this.session.version!)) {
      if (frame.headers.has(name)) continue;
      throw new StompError('missing header', `${frame.command} needs the header ${name}`);
    }
  }

  private receiptOf(frame: Frame): string | undefined {
    return receiptOf(frame, this.session.version);
  }
}

/** A secret that a client put into a message by mistake is neither kept nor shown to who reads the message. */
function withoutCredentials(frame: Frame): void {
  const { headers } = frame;
  headers.delete('login');
  headers.delete('passcode');
  frame.headers = headers;
}
