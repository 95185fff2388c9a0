import { afterEach, expect, it, jest } from '@jest/globals';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { type Engine, LocalEngine, MemoryStore, type Policy, StompBroker } from 'nestjs-stomp-broker';
import { type Session } from 'nestjs-stomp/server';
import { handshake, openPair } from '../../../support/server.js';
import { DEADLINE, type RawPeer, unique } from '../../../support/raw.js';
import { type Headers, type Version } from '../../../support/wire.js';
import { MAX_DELIVERIES, Model, type Reader, type Sent } from './model.js';

/** How long commands are run, and from which seed: `FUZZ_MS=60000 FUZZ_SEED=1 npm test -- engine/model`. */
const MILLISECONDS = Number(process.env.FUZZ_MS ?? 4_000);
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);
const COMMANDS = 150;
/** A step of the clock, in ms: acknowledgements that come later than that come too late. */
const TICK = 1_500;
const POLICIES: Policy[] = [{ destination: '/queue/*', maxDeliveries: MAX_DELIVERIES, redeliveryDelay: 0 }];
const QUEUES = ['/queue/a', '/queue/b'];
const VERSIONS: Version[] = ['1.0', '1.1', '1.2'];

const brokers: StompBroker[] = [];
afterEach(() => {
  jest.useRealTimers();
  return Promise.all(brokers.splice(0).map((broker) => broker.close(100)));
});

interface Command {
  readonly kind: string;
  /** Numbers from which a command takes whom and what it is about. */
  readonly n: readonly number[];
}

const command: fc.Arbitrary<Command> = fc.record({
  kind: fc.oneof(
    { weight: 24, arbitrary: fc.constant('send') },
    { weight: 16, arbitrary: fc.constantFrom('ack', 'nack') },
    { weight: 12, arbitrary: fc.constantFrom('begin', 'commit', 'abort') },
    { weight: 12, arbitrary: fc.constantFrom('subscribe', 'unsubscribe') },
    { weight: 8, arbitrary: fc.constantFrom('topic', 'reject', 'tick', 'listen') },
    { weight: 1, arbitrary: fc.constantFrom('disconnect', 'break') },
  ),
  n: fc.array(fc.nat(9_999), { minLength: 6, maxLength: 6 }),
});

interface Transaction {
  readonly id: string;
  readonly parts: (() => void)[];
  readonly bound: Sent[];
}

/** A subscription to the topic, with what it has still to get. */
interface Listening {
  readonly id: string;
  due: string[];
}

class Client {
  readers: Reader[] = [];
  /** Ended, with messages that may be acknowledged late. */
  departed: Reader[] = [];
  listening: Listening[] = [];
  transaction: Transaction | undefined;

  constructor(
    readonly peer: RawPeer,
    /** Its end at the broker, which breaks as a network would break it. */
    readonly session: Session,
    readonly version: Version,
  ) {}
}

class Run {
  readonly model = new Model();
  private readonly clients: Client[] = [];

  constructor(private readonly broker: StompBroker) {}

  async connect(version: Version): Promise<Client> {
    const { peer, session } = openPair(this.broker);
    await handshake(peer, version);
    const client = new Client(peer, session, version);
    this.clients.push(client);
    return client;
  }

  async do({ kind, n }: Command): Promise<void> {
    const client = this.clients[n[0]! % this.clients.length]!;
    const { model } = this;
    const { transaction } = client;
    const inside = transaction !== undefined && n[1]! % 4 > 0 ? transaction : undefined;
    const also: Headers = inside === undefined ? {} : { transaction: inside.id };
    const part = (done: () => void) => (inside === undefined ? done() : void inside.parts.push(done));
    switch (kind) {
      case 'send': {
        const [queue, body, priority, x] = [QUEUES[n[2]! % 2]!, unique('m'), n[3]! % 3, n[4]! % 4];
        const headers = { destination: queue, priority: String(priority), x: String(x), ...also };
        // In the past, soon, later and never.
        const expires = [Date.now() - 1, Date.now() + 2 * TICK, Date.now() + 9 * TICK][n[5]! % 8] ?? Infinity;
        client.peer.send('SEND', expires === Infinity ? headers : { ...headers, expires: String(expires) }, body);
        part(() => model.send(queue, body, priority, x, expires));
        break;
      }
      case 'tick':
        jest.advanceTimersByTime(TICK);
        for (const one of this.clients)
          for (const reader of one.departed) if (!reader.abandoned) model.giveBack(reader);
        break;
      case 'topic': {
        const body = unique('t');
        client.peer.send('SEND', { destination: '/topic/t', ...also }, body);
        part(() => {
          for (const one of this.clients) for (const listening of one.listening) listening.due.push(body);
        });
        break;
      }
      case 'listen': {
        if (client.listening.length > 1) break;
        const id = unique('l');
        await client.peer.subscribe('/topic/t', { id });
        client.listening.push({ id, due: [] });
        break;
      }
      case 'subscribe': {
        if (client.readers.length > 2) break;
        const reader: Reader = {
          id: unique('s'),
          destination: QUEUES[n[2]! % 2]!,
          ack: client.version === '1.0' ? (n[3]! % 4 === 0 ? 'auto' : 'client') : ack(n[3]!),
          prefetch: 1 + (n[4]! % 4),
          above: n[5]! % 2 === 0 ? undefined : n[5]! % 4,
          held: [],
          abandoned: false,
        };
        const selector: Headers = reader.above === undefined ? {} : { selector: `x > ${reader.above}` };
        const { id, destination } = reader;
        client.peer.send('SUBSCRIBE', {
          id,
          destination,
          ack: reader.ack,
          'prefetch-count': String(reader.prefetch),
          ...selector,
        });
        client.readers.push(reader);
        model.readers.add(reader);
        break;
      }
      case 'ack':
      case 'nack':
      case 'reject': {
        // STOMP 1.0 has no NACK.
        if (kind !== 'ack' && client.version === '1.0') break;
        const owing = [...client.readers, ...client.departed].filter(({ held }) => held.length > 0);
        const reader = owing[n[2]! % owing.length];
        if (reader === undefined) break;
        const at = n[3]! % reader.held.length;
        const { sent, frame } = reader.held[at]!;
        if (sent.bound !== undefined && sent.holder === reader) break;
        // By its message-id an older delivery of the same message in this session would be named as well.
        const same = owing.flatMap(({ held }) => held).filter((one) => one.sent === sent);
        if (client.version !== '1.2' && same.length > 1) break;
        const name: Headers =
          client.version === '1.2'
            ? { id: frame.header('ack')! }
            : { 'message-id': frame.header('message-id')!, subscription: reader.id };
        const requeue: Headers = kind === 'reject' ? { requeue: 'false' } : kind === 'nack' ? { delay: '0' } : {};
        const answered = model.answered(reader, at);
        client.peer.send(kind === 'ack' ? 'ACK' : 'NACK', { ...name, ...requeue, ...also });
        if (inside !== undefined) {
          for (const one of answered) if (one.holder === reader) one.bound = inside;
          inside.bound.push(...answered);
        }
        part(() => {
          for (const one of answered) model.settle(reader, one, kind);
        });
        break;
      }
      case 'begin':
        if (transaction !== undefined) break;
        client.transaction = { id: unique('tx'), parts: [], bound: [] };
        client.peer.send('BEGIN', { transaction: client.transaction.id });
        break;
      case 'commit':
      case 'abort':
        if (transaction === undefined) break;
        client.transaction = undefined;
        client.peer.send(kind.toUpperCase(), { transaction: transaction.id });
        if (kind === 'commit') for (const each of transaction.parts) each();
        else for (const sent of transaction.bound) if (sent.bound === transaction) model.release(sent);
        break;
      case 'unsubscribe': {
        const reader = client.readers[n[2]! % client.readers.length];
        if (reader === undefined) break;
        client.readers = client.readers.filter((one) => one !== reader);
        client.departed.push(reader);
        client.peer.send('UNSUBSCRIBE', { id: reader.id });
        model.readers.delete(reader);
        break;
      }
      case 'disconnect':
      case 'break':
        await this.leave(client, kind);
        await this.connect(VERSIONS[n[2]! % 3]!);
        break;
    }
    await this.settle();
  }

  /** Accounts for every message: what waits comes to a fresh consumer, and what is dead to the dead letters. */
  async drain(): Promise<void> {
    for (const client of [...this.clients]) {
      await this.leave(client, 'disconnect');
      // What it gave back goes to those who are left.
      await this.settle();
    }
    const last = await this.connect('1.2');
    for (const destination of QUEUES) {
      const common = { ack: 'auto', prefetch: 1, above: undefined } as const;
      const reader: Reader = { id: unique('last'), destination, held: [], abandoned: false, ...common };
      last.readers.push(reader);
      this.model.readers.add(reader);
      last.peer.send('SUBSCRIBE', { id: reader.id, destination });
    }
    await this.settle();
    const all = [...this.model.sent.values()];
    expect(all.filter(({ state }) => state !== 'gone' && state !== 'dead')).toEqual([]);
    for (const queue of QUEUES) {
      const dead = all.filter((sent) => sent.queue === queue && sent.state === 'dead').map(({ body }) => body);
      await last.peer.subscribe(queue.replace('/queue/', '/queue/DLQ.'), { id: unique('dead') });
      await last.peer.receipted('SEND', { destination: '/topic/barrier' });
      expect((await received(last.peer)).map(({ text }) => text).sort()).toEqual(dead.sort());
    }
  }

  private async leave(client: Client, how: 'disconnect' | 'break'): Promise<void> {
    this.clients.splice(this.clients.indexOf(client), 1);
    if (how === 'disconnect') {
      await client.peer.receipted('DISCONNECT');
      client.peer.end();
    } else client.session.destroy();
    const until = performance.now() + DEADLINE;
    while (this.broker.sessions.size > this.clients.length) {
      if (performance.now() > until) throw new Error('a session does not end');
      await setImmediate();
    }
    for (const sent of client.transaction?.bound ?? []) if (sent.bound === client.transaction) this.model.release(sent);
    for (const reader of [...client.readers, ...client.departed]) {
      this.model.readers.delete(reader);
      if (!reader.abandoned) this.model.giveBack(reader);
    }
  }

  /** All that was sent is done, and all that came of it has been seen. */
  private async settle(): Promise<void> {
    for (const { peer } of this.clients) await peer.receipted('SEND', { destination: '/topic/barrier' });
    // What the later ones did may have brought something to the earlier ones.
    for (const { peer } of this.clients) await peer.receipted('SEND', { destination: '/topic/barrier' });
    for (const client of this.clients) {
      for (const frame of await received(client.peer)) {
        const id = frame.header('subscription')!;
        const listening = client.listening.find((one) => one.id === id);
        if (listening !== undefined) {
          expect(frame.text).toBe(listening.due.shift());
          continue;
        }
        const reader = client.readers.find((one) => one.id === id);
        if (reader === undefined) throw new Error(`${frame.text} to ${id}, which is no subscription`);
        this.model.deliver(reader, frame);
      }
      for (const { due } of client.listening) expect(due).toEqual([]);
    }
    this.model.expire(Date.now());
    this.model.check();
  }
}

const ack = (n: number) => (['auto', 'client', 'client-individual', 'client-individual'] as const)[n % 4]!;

/** The messages that have come. */
async function received(peer: RawPeer) {
  const marker = unique('end');
  const frames = [];
  peer.send('SEND', { destination: '/topic/barrier', receipt: marker });
  for (;;) {
    const frame = await peer.take('anything', () => true);
    if (frame.command === 'RECEIPT' && frame.header('receipt-id') === marker) return frames;
    if (frame.command !== 'MESSAGE') throw new Error(`${frame.command} ${frame.header('message')} ${frame.text}`);
    frames.push(frame);
  }
}

/** @param make the engine, on a store of its own */
function holds(name: string, make: (policies: readonly Policy[]) => Engine): void {
  it(
    `${name}: nothing is lost, doubled or out of order, whatever clients do`,
    async () => {
      const until = performance.now() + MILLISECONDS;
      let run = 0;
      jest.useFakeTimers({
        doNotFake: ['performance', 'setImmediate', 'clearImmediate', 'nextTick', 'queueMicrotask'],
      });
      try {
        for (; run === 0 || performance.now() < until; run++) {
          const [commands] = fc.sample(fc.array(command, { minLength: COMMANDS, maxLength: COMMANDS }), {
            seed: SEED + run,
            numRuns: 1,
          });
          const broker = new StompBroker({ engine: make(POLICIES) });
          brokers.push(broker);
          await broker.start();
          const one = new Run(broker);
          for (const version of [...VERSIONS, '1.2'] as const) await one.connect(version);
          for (const each of commands!) await one.do(each);
          await one.drain();
        }
      } catch (error) {
        throw new Error(`FUZZ_SEED=${SEED + run}: ${(error as Error).message}`, { cause: error });
      }
    },
    MILLISECONDS + 60_000,
  );
}

holds('LocalEngine on a MemoryStore', (policies) => new LocalEngine(new MemoryStore(), policies));
