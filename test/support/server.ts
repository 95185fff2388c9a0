import { afterEach } from '@jest/globals';
import { EventEmitter } from 'node:events';
import { duplexPair } from 'node:stream';
import {
  type Broker,
  Delivery,
  type DeliverySource,
  type Done,
  Frame,
  type ListenOptions,
  Message,
  type Outcome,
  type Route,
  type Session,
  StompServer,
  type StompServerOptions,
  type Subscription,
} from 'nestjs-stomp/server';
import { DEADLINE, RawPeer } from './raw.js';
import { type Headers, type RawFrame, type Version } from './wire.js';

const servers: TestServer[] = [];
const peers: RawPeer[] = [];

afterEach(async () => {
  for (const peer of peers.splice(0)) peer.end();
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

/** Makes this end of a connection end after the running test. */
export function watch(peer: RawPeer): RawPeer {
  peers.push(peer);
  return peer;
}

/** What accepts streams: a StompServer, or a broker made of one. */
interface Accepting {
  accept(stream: ReturnType<typeof duplexPair>[0]): Session;
}

/** A client inside this process, and the session that serves it. */
export interface Pair {
  readonly peer: RawPeer;
  readonly session: Session;
}

/** A connection in memory on which nothing was said yet. */
export function openPair(server: Accepting): Pair {
  const [near, far] = duplexPair();
  return { peer: watch(new RawPeer(near)), session: server.accept(far) };
}

/** Says CONNECT in that version and waits for CONNECTED, which it returns. */
export async function handshake(peer: RawPeer, version: Version = '1.2', headers: Headers = {}): Promise<RawFrame> {
  const all: Headers = { ...(version === '1.0' ? {} : { 'accept-version': version, host: 'localhost' }), ...headers };
  peer.send('CONNECT', all);
  return peer.take('CONNECTED', ({ command }) => command === 'CONNECTED');
}

/** A StompServer of one test, closed after it. */
export class TestServer<B extends Broker = Broker> {
  readonly server: StompServer;

  constructor(
    readonly broker: B,
    options: Omit<StompServerOptions, 'broker'> = {},
  ) {
    this.server = new StompServer({ ...options, broker });
    servers.push(this);
  }

  open(): Pair {
    return openPair(this.server);
  }

  async connect(version: Version = '1.2', headers: Headers = {}): Promise<Pair> {
    const pair = this.open();
    await handshake(pair.peer, version, headers);
    return pair;
  }

  /** Listens on a free port of loopback; tells the port. */
  async listen(options: ListenOptions = {}): Promise<number> {
    const { port } = await this.server.listen({ port: 0, ...options });
    return port;
  }

  /** A session over a TCP connection. */
  async dial(version: Version = '1.2', headers: Headers = {}): Promise<RawPeer> {
    const peer = watch(await RawPeer.connect(await this.listen()));
    await handshake(peer, version, headers);
    return peer;
  }

  close(): Promise<void> {
    return this.server.close(100);
  }
}

/** A message that has reached the broker, with the promise that its sender was given. */
export interface Sent {
  readonly destination: string;
  readonly body: string;
  readonly message: Message;
  readonly session: Session;
  readonly done: Done | undefined;
}

/**
 * A broker of one route that notes down what it is asked for. It promises at once, unless it is made not to: then
 * the test calls each `done`.
 */
export class TestBroker implements Broker, Route, DeliverySource {
  /** For example `send /queue/a`. */
  readonly asked: string[] = [];
  readonly sent: Sent[] = [];
  readonly subscribed: { readonly subscription: Subscription; readonly done: Done }[] = [];
  /** Destinations of subscriptions that have ended. */
  readonly unsubscribed: string[] = [];
  /** For example `nack body`. */
  readonly settled: string[] = [];
  readonly outcomes: Outcome[] = [];
  /** What came back without a word of its consumer's. */
  readonly returned: Delivery[] = [];
  readonly gone: Session[] = [];
  readonly #changed = new EventEmitter().setMaxListeners(0);

  constructor(protected readonly prompt = true) {}

  route(_session: Session, destination: string, action: 'send' | 'subscribe', _frame: Frame): Route | Promise<Route> {
    this.asked.push(`${action} ${destination}`);
    this.changed();
    return this;
  }

  send(message: Message, session: Session, done: Done | undefined): void {
    this.sent.push({ destination: message.destination, body: message.body.toString(), message, session, done });
    if (this.prompt) done?.();
    this.changed();
  }

  subscribe(subscription: Subscription, done: Done): void {
    this.subscribed.push({ subscription, done });
    if (this.prompt) done();
    this.changed();
  }

  unsubscribe(subscription: Subscription): void {
    this.unsubscribed.push(subscription.destination);
    this.changed();
  }

  settle(delivery: Delivery, outcome: Outcome): void {
    this.settled.push(`${outcome.kind} ${delivery.message.body.toString()}`);
    this.outcomes.push(outcome);
    if (outcome.kind === 'return') this.returned.push(delivery);
    this.changed();
  }

  disconnect(session: Session): void {
    this.gone.push(session);
    this.changed();
  }

  /** Something happened that a test may wait for. */
  protected changed(): void {
    this.#changed.emit('change');
  }

  /** The bodies of what was sent. */
  get bodies(): string[] {
    return this.sent.map(({ body }) => body);
  }

  /** Hands messages with these bodies to the newest subscription, to be settled here. */
  deliver(...bodies: string[]): void {
    const { subscription } = this.subscribed.at(-1)!;
    for (const body of bodies) {
      const frame = new Frame('SEND', { destination: subscription.destination }, body);
      subscription.deliver(new Delivery(new Message(subscription.destination, frame), this));
    }
  }

  /** Waits until this holds; it is looked at whenever the broker is asked for something. */
  until(what: string, holds: () => boolean): Promise<void> {
    const late = new Error(`not within ${DEADLINE} ms: ${what}`);
    return new Promise((resolve, reject) => {
      const check = () => {
        if (!holds()) return;
        clearTimeout(timer);
        this.#changed.off('change', check);
        resolve();
      };
      const timer = setTimeout(() => reject(late), DEADLINE);
      this.#changed.on('change', check);
      check();
    });
  }

  untilSent(count: number): Promise<void> {
    return this.until(`${count} messages sent`, () => this.sent.length >= count);
  }
}
