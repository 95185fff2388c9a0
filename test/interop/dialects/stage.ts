import { RawPeer, unique } from '../../support/raw.js';
import { type RunningPeer } from '../../support/peers.js';
import { type Headers, type RawFrame, type Version } from '../../support/wire.js';

export type Dialect = 'rabbitmq' | 'activemq';

/** Something that was seen; undefined is told as null, so that it can be compared and printed. */
export type Fact = string | number | boolean | null | readonly Fact[];
export type Facts = Readonly<Record<string, Fact | undefined>>;

/** What a client does, and what it sees of the broker while it does so. */
export interface Scenario {
  readonly dialects: readonly Dialect[];
  readonly title: string;
  readonly run: (stage: Stage) => Promise<Facts>;
}

/** A scenario for the clients of one broker, or of both. */
export function scenario(dialects: Dialect | readonly Dialect[], title: string, run: Scenario['run']): Scenario {
  return { dialects: [dialects].flat(), title, run };
}

/** One run of a scenario against one broker: its connections, and names that no other run has. */
export class Stage {
  readonly #peers: RawPeer[] = [];
  readonly #names = new Map<string, string>();

  constructor(
    private readonly broker: RunningPeer,
    readonly dialect: Dialect,
  ) {}

  /** A name of this run; in the facts it stands as it was asked for. */
  name(plain: string): string {
    let name = this.#names.get(plain);
    if (name === undefined) this.#names.set(plain, (name = unique(`${plain}-${process.pid}`)));
    return name;
  }

  /** A connection on which nothing was said yet. */
  async open(): Promise<RawPeer> {
    const peer = new RawPeer(await this.broker.dial());
    this.#peers.push(peer);
    return peer;
  }

  /** A session. */
  async connect(headers: Headers = {}, version: Version = '1.2'): Promise<RawPeer> {
    const peer = await this.open();
    await this.login(peer, headers, version);
    return peer;
  }

  /** Says CONNECT; returns CONNECTED. */
  login(peer: RawPeer, headers: Headers = {}, version: Version = '1.2'): Promise<RawFrame> {
    const { login, passcode } = this.broker.reach;
    const negotiation: Headers = version === '1.0' ? {} : { 'accept-version': version, host: '/' };
    peer.send('CONNECT', { ...negotiation, login, passcode, ...headers });
    return peer.take('CONNECTED', ({ command }) => command === 'CONNECTED');
  }

  /** How many connections that credit has to be shared among are of no interest: a session that only sends. */
  async sendAll(peer: RawPeer, destination: string, bodies: readonly string[], headers: Headers = {}): Promise<void> {
    for (const body of bodies) await peer.receipted('SEND', { destination, ...headers }, body);
  }

  /**
   * All that waits in a queue, in its order, taken out of it: what comes before a message of our own that is sent last.
   */
  async drain(destination: string, headers: Headers = {}): Promise<RawFrame[]> {
    const peer = await this.connect();
    await peer.subscribe(destination, headers);
    await peer.receipted('SEND', { destination, ...headers }, 'last');
    const got: RawFrame[] = [];
    for (;;) {
      const message = await peer.message();
      if (message.text === 'last') break;
      got.push(message);
    }
    await this.leave(peer);
    return got;
  }

  /** What a broker answers to a frame that it should not take. */
  async complain(peer: RawPeer, command: string, headers: Headers = {}, body = ''): Promise<Facts> {
    const receipt = unique('refused');
    peer.send(command, { ...headers, receipt }, body);
    const answer = await peer.take('answer', (got) => {
      return got.command === 'ERROR' || (got.command === 'RECEIPT' && got.header('receipt-id') === receipt);
    });
    if (answer.command === 'RECEIPT') return { refused: false };
    const probe = unique('probe');
    peer.send('SEND', { destination: `/topic/${probe}`, receipt: probe });
    const closed = await Promise.race([
      peer.closed().then(
        () => true,
        () => true,
      ),
      peer.receipt(probe).then(
        () => false,
        () => true,
      ),
    ]);
    return { refused: true, 'receipt-id': answer.header('receipt-id') === receipt, closed };
  }

  /** Goes, once the broker has seen all that was sent. */
  async leave(peer: RawPeer): Promise<void> {
    await peer.receipted('DISCONNECT');
    peer.end();
  }

  /** Ends what is open, and tells what was seen without the names of this run. */
  async run(scene: Scenario['run']): Promise<Record<string, Fact>> {
    try {
      const facts = await scene(this);
      return Object.fromEntries(Object.entries(facts).map(([name, fact]) => [name, this.#plain(fact ?? null)]));
    } catch (error) {
      (error as Error).message += `\n${this.#peers.map((peer) => peer.transcript()).join('\n\n')}`;
      throw error;
    } finally {
      for (const peer of this.#peers) peer.destroy();
    }
  }

  #plain(fact: Fact): Fact {
    if (typeof fact === 'string') {
      return [...this.#names].reduce((text, [plain, name]) => text.replaceAll(name, plain), fact);
    }
    return Array.isArray(fact) ? fact.map((each: Fact) => this.#plain(each)) : fact;
  }
}

export const texts = (frames: readonly RawFrame[]): string[] => frames.map(({ text }) => text);

/** The names of the headers of a frame, in order. */
export const names = (frame: RawFrame): string[] => frame.headers.map(([name]) => name).sort();
