// What it costs when there is much of everything: subscriptions, waiting messages, destinations. In process, over
// in-memory connections, so that the broker's own work is what is seen. Ratios within one run count.
//   npm run build && node --expose-gc bench/cost.mjs
import { duplexPair } from 'node:stream';
import { LocalEngine, MemoryStore, StompBroker } from 'nestjs-stomp-broker';
import { given, keep } from './keep.mjs';
import { table } from './report.mjs';
import { say } from './turns.mjs';

given({});
const MESSAGES = 20_000;
const BODY = 'x'.repeat(128);
/** A session holds at most 10,000 subscriptions. */
const PER_SESSION = 10_000;

/** A client that writes frames and counts what comes: receipts and messages. */
class Peer {
  constructor(broker) {
    const [near, far] = duplexPair();
    broker.accept(far);
    this.stream = near;
    this.messages = 0;
    this.tail = '';
    this.wanted = undefined;
    near.on('data', (chunk) => this.read(chunk.toString('latin1')));
  }

  read(text) {
    const all = this.tail + text;
    const end = all.lastIndexOf('\0');
    this.tail = all.slice(end + 1);
    for (const frame of all.slice(0, end + 1).split('\0')) {
      if (frame.includes('MESSAGE\n')) this.messages++;
      if (frame.includes('ERROR\n') && !frame.includes('shutting down')) throw new Error(frame);
      if (this.wanted !== undefined && this.wanted(frame)) {
        this.wanted = undefined;
        this.found();
      }
    }
  }

  until(wanted) {
    this.wanted = wanted;
    return new Promise((resolve) => (this.found = resolve));
  }

  write(command, headers, body = '') {
    const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`);
    return this.stream.write(`${command}\n${lines.join('')}\n${body}\0`);
  }

  async connect() {
    const connected = this.until((frame) => frame.includes('CONNECTED\n'));
    this.write('CONNECT', { 'accept-version': '1.2', host: 'bench' });
    await connected;
    return this;
  }

  /** Writes that many frames; resolves once the last is receipted. */
  async all(count, frame) {
    for (let i = 0; i < count - 1; i++) {
      if (!this.write(...frame(i)) && i % 1_000 === 0) await new Promise((go) => this.stream.once('drain', go));
    }
    const done = this.until((got) => got.includes('receipt-id:all'));
    const [command, headers, body] = frame(count - 1);
    this.write(command, { ...headers, receipt: 'all' }, body);
    await done;
  }
}

/** Microseconds of CPU for each of `count`, and what it leaves in memory, in octets for each. */
async function cost(count, work) {
  globalThis.gc?.();
  const memory = process.memoryUsage();
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  globalThis.gc?.();
  const after = process.memoryUsage();
  const octets = after.heapUsed + after.external - memory.heapUsed - memory.external;
  return { each: (user + system) / count, octets: octets / count };
}

const tables = [];
let rows = [];
const row = (...cells) => {
  rows.push(cells);
  say(cells.join(', '));
};
const tabulate = (...heads) => {
  tables.push(table(heads, rows));
  rows = [];
};

const makeBroker = async () => {
  const broker = new StompBroker({
    engine: new LocalEngine(new MemoryStore()),
    heartbeat: { outgoing: 0, incoming: 0 },
  });
  await broker.start();
  return broker;
};

const kinds = {
  'exact, of other topics': (i) => ({ destination: `/topic/s.${i}` }),
  'wildcards, of other topics': (i) => ({ destination: `/topic/s.${i}.*` }),
  'selectors, of other topics': (i) => ({ destination: `/topic/s.${i}`, selector: `n = ${i}` }),
  'selectors of this topic that take nothing': (i) => ({ destination: '/topic/m.x', selector: `n = ${i}` }),
};

for (const [kind, subscription] of Object.entries(kinds)) {
  for (const size of [10, 1_000, 100_000]) {
    const broker = await makeBroker();
    const peers = [];
    const subscribed = await cost(size, async () => {
      for (let from = 0; from < size; from += PER_SESSION) {
        const peer = await new Peer(broker).connect();
        peers.push(peer);
        const count = Math.min(PER_SESSION, size - from);
        await peer.all(count, (i) => ['SUBSCRIBE', { id: i, ...subscription(from + i) }]);
      }
    });
    const [reader, sender] = [await new Peer(broker).connect(), await new Peer(broker).connect()];
    await reader.all(1, () => ['SUBSCRIBE', { id: 'r', destination: '/topic/m.*' }]);
    const messages = kind.startsWith('selectors of this') && size > 1_000 ? 50 : MESSAGES;
    const frame = () => ['SEND', { destination: '/topic/m.x', n: -1 }, BODY];
    await sender.all(Math.min(messages, 1_000), frame);
    const published = await cost(messages, () => sender.all(messages, frame));
    row(`${size} ${kind}`, subscribed.each, Math.round(subscribed.octets), published.each);
    await broker.close(10);
  }
}
tabulate('subscriptions in place', 'µs to subscribe', 'octets each', 'µs to publish and deliver one');

for (const size of [10_000, 1_000_000]) {
  const broker = await makeBroker();
  const sender = await new Peer(broker).connect();
  const sent = await cost(size, () => sender.all(size, () => ['SEND', { destination: '/queue/deep' }, BODY]));
  const reader = await new Peer(broker).connect();
  const taken = await cost(size, async () => {
    const last = reader.until(() => reader.messages === size);
    reader.write('SUBSCRIBE', { id: 'r', destination: '/queue/deep' });
    await last;
  });
  row(String(size), sent.each, Math.round(sent.octets), taken.each);
  await broker.close(10);
}
tabulate('messages waiting in one queue', 'µs to send one', 'octets each', 'µs to deliver one');

for (const size of [100, 10_000]) {
  const broker = await makeBroker();
  const sender = await new Peer(broker).connect();
  const made = await cost(size, () => sender.all(size, (i) => ['SEND', { destination: `/queue/q.${i}` }, BODY]));
  const again = await cost(size, () => sender.all(size, (i) => ['SEND', { destination: `/queue/q.${i}` }, BODY]));
  row(String(size), made.each, Math.round(made.octets), again.each);
  await broker.close(10);
}
tabulate('queues', 'µs to make one by its first message', 'octets each', 'µs for one more message');
keep(
  'cost',
  'What much of everything costs',
  'In process, over in-memory connections: CPU time holds the share of the clients too, and the first row of each kind the ' +
    `warm-up. Octets are what the heap has grown by.\n\n${tables.join('\n')}`,
);
