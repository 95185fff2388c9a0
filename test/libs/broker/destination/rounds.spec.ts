import { describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { DiskStore, LocalEngine, MemoryStore, type StompBroker } from 'nestjs-stomp-broker';
import { Memory } from 'nestjs-stomp/server';
import { join, joinAll, leave, makeBroker, sendAll, textsOf } from '../../../support/broker.js';
import { RawPeer, unique } from '../../../support/raw.js';
import { handshake, watch } from '../../../support/server.js';
import { frame, type Headers } from '../../../support/wire.js';

const TOPIC = '/topic/a';
/** Takes what has a number, and ms to find out where the other header is a long one. */
const SLOW = `${Array.from({ length: 50 }, (_, n) => `a LIKE '%${n}%b%a%'`).join(' OR ')} OR n IS NOT NULL`;
const LONG = { a: 'ab'.repeat(4_000) };
const COUNT = 40;

const durable = (name: string, selector = SLOW) => ({ 'durable-subscription-name': name, selector });

/** Subscriptions to the topic, durable or not, that are all slow to tell whether they want a message. */
async function crowd(broker: StompBroker, headersOf: (n: number) => Headers): Promise<RawPeer> {
  const peer = await join(broker);
  for (let n = 0; n < COUNT; n++) await peer.subscribe(TOPIC, { id: `s${n}`, ...headersOf(n) });
  return peer;
}

/** CPU time of this process, in ms: what others do on the machine is not in it. */
function busy(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

/** The longest turn of the event loop while something is done, as a part of all of it, in CPU time. */
async function longestTurn(work: Promise<unknown>): Promise<number> {
  let over = false;
  void work.finally(() => (over = true));
  const start = busy();
  let longest = 0;
  for (let last = start; !over;) {
    await setImmediate();
    const now = busy();
    longest = Math.max(longest, now - last);
    last = now;
  }
  await work;
  return longest / (busy() - start);
}

/** The same at best: one that has the garbage of other tests collected in it says nothing. */
async function bestOf(tries: number, work: () => Promise<unknown>): Promise<number> {
  let best = 1;
  for (let n = 0; n < tries; n++) best = Math.min(best, await longestTurn(work()));
  return best;
}

describe('durable subscriptions whose selectors take long', () => {
  it('are asked in turns, and each keeps every message, in order, before its receipt', async () => {
    const broker = await makeBroker();
    const reader = await crowd(broker, (n) => durable(`d${n}`));
    await leave(reader);
    const publisher = await join(broker);
    await sendAll(publisher, TOPIC, ['0'], { n: '0' });
    const send = () => publisher.receipted('SEND', { destination: TOPIC, n: '1', ...LONG }, '1');
    expect(await bestOf(3, send)).toBeLessThan(1 / 3);
    await sendAll(publisher, TOPIC, ['2', '3', '4'], { n: '2', ...LONG });
    const again = await join(broker);
    for (const name of ['d0', `d${COUNT - 1}`]) {
      await again.subscribe(TOPIC, { id: name, ...durable(name) });
      expect(await again.texts(7)).toEqual(['0', '1', '1', '1', '2', '3', '4']);
    }
  });

  it('keep a message whose publisher has gone before all of them were asked', async () => {
    const broker = await makeBroker();
    await leave(await crowd(broker, (n) => durable(`d${n}`)));
    const publisher = await join(broker);
    publisher.send('SEND', { destination: TOPIC, n: '1', ...LONG }, 'of one that has gone');
    await leave(publisher);
    const again = await join(broker);
    await again.subscribe(TOPIC, durable(`d${COUNT - 1}`));
    expect((await again.message()).text).toBe('of one that has gone');
  });

  it('keep a message that was read before the broker ends', async () => {
    const directory = mkdtempSync(joinPath(tmpdir(), 'rounds-'));
    const begin = () => makeBroker({ engine: new LocalEngine(new DiskStore({ directory })) });
    const broker = await begin();
    await leave(await crowd(broker, (n) => durable(`d${n}`)));
    const publisher = await join(broker);
    const slow = frame('1.2', 'SEND', { destination: TOPIC, persistent: 'true', n: '1', ...LONG }, 'read');
    publisher.write(Buffer.concat([frame('1.2', 'SEND', { destination: '/queue/a', receipt: 'r' }), slow]));
    await publisher.receipt('r');
    await broker.close(0);
    const again = await join(await begin());
    await again.subscribe(TOPIC, durable(`d${COUNT - 1}`));
    expect((await again.message()).text).toBe('read');
    rmSync(directory, { recursive: true });
  });

  it.each([
    ['are asked first', true],
    ['are asked last', false],
  ])('that end meanwhile keep nothing, nor does a queue, and the others do, whether they %s', async (_when, first) => {
    const broker = await makeBroker();
    const ended = first ? [0, 1] : [COUNT - 2, COUNT - 1];
    const headersOf = (n: number): Headers =>
      n === ended[0] ? { 'x-queue-name': 'fed', 'auto-delete': 'true' } : durable(`d${n}`);
    const reader = await crowd(broker, headersOf);
    const [publisher, again] = (await joinAll(broker, 2)) as [RawPeer, RawPeer];
    publisher.send('SEND', { destination: TOPIC, n: '1', receipt: 'r', ...LONG }, 'slow');
    for (const n of ended) await reader.receipted('UNSUBSCRIBE', { id: `s${n}`, ...headersOf(n) });
    expect(publisher.received.toString()).not.toContain('receipt-id:r');
    await publisher.receipt('r');
    await again.subscribe('/queue/fed');
    await again.subscribe(TOPIC, headersOf(ended[1]!));
    await sendAll(publisher, '/queue/fed', ['to the queue']);
    await sendAll(publisher, TOPIC, ['quick'], { n: '2' });
    expect((await again.texts(2)).sort()).toEqual(['quick', 'to the queue']);
    const got = await reader.messages(2 * (COUNT - 2));
    for (let n = 0; n < COUNT; n++) {
      const own = got.filter((message) => message.header('subscription') === `s${n}`);
      expect(textsOf(own)).toEqual(ended.includes(n) ? [] : ['slow', 'quick']);
    }
  });
});

describe('messages that selectors are asked about for long', () => {
  const MOST = 8 * 1024 * 1024;

  /** A client over a socket, which takes a large frame in pieces. */
  async function dial(port: number): Promise<RawPeer> {
    const peer = watch(await RawPeer.connect(port));
    await handshake(peer, '1.2');
    return peer;
  }

  it.each([
    ['to a topic', TOPIC],
    ['to a list', `${TOPIC},/queue/b`],
  ])(
    'count as messages that wait, no more are read than memory has room for, and it is free again after that (%s)',
    async (_to, to) => {
      const memory = new Memory(MOST);
      const broker = await makeBroker({ memory, engine: new LocalEngine(new MemoryStore(), [], { memory }) });
      await leave(await crowd(broker, (n) => durable(`d${n}`, `(${SLOW}) AND n IS NULL`)));
      const consumer = await join(broker);
      await consumer.subscribe('/queue/b');
      const { port } = await broker.listen({ port: 0, host: '127.0.0.1' });
      const publishers = await Promise.all(Array.from({ length: 20 }, async () => dial(port)));
      const body = Buffer.alloc(1024 * 1024, 'x');
      let highest = 0;
      let left = publishers.length;
      for (const publisher of publishers) {
        publisher.send('SEND', { destination: to, receipt: 'taken', n: '1', ...LONG }, body);
        void publisher.receipt('taken').then(() => left--);
      }
      while (left > 0) {
        await setImmediate();
        highest = Math.max(highest, memory.used);
      }
      expect(highest).toBeGreaterThan(0);
      expect(highest).toBeLessThan(1.5 * MOST);
      expect(memory.used).toBe(0);
    },
  );
});

describe('durable subscriptions whose selectors take long, and what is written as a whole', () => {
  /** Sends the bodies in a transaction, and a list of the topic and a queue the first of them. */
  function transact(peer: RawPeer, bodies: readonly string[]): void {
    peer.send('BEGIN', { transaction: 't' });
    for (const [at, body] of bodies.entries()) {
      const destination = at === 0 ? `${TOPIC},/queue/b` : TOPIC;
      peer.send('SEND', { destination, transaction: 't', n: '1', ...LONG }, body);
    }
  }
  const commit = (peer: RawPeer) => peer.receipted('COMMIT', { transaction: 't' });

  it.each([
    [
      'a transaction',
      async (peer: RawPeer) => {
        transact(peer, ['1', '2', '3']);
        await commit(peer);
      },
    ],
    [
      'a message for a list of destinations',
      (peer: RawPeer) => peer.receipted('SEND', { destination: `/queue/b,${TOPIC}`, n: '1', ...LONG }, '1'),
    ],
  ])('are asked in turns about %s', async (_what, send) => {
    const broker = await makeBroker();
    await leave(await crowd(broker, (n) => durable(`d${n}`)));
    const publisher = await join(broker);
    expect(await bestOf(3, () => send(publisher))).toBeLessThan(1 / 3);
  });

  it('have all of it at once, and before what is sent after it', async () => {
    const broker = await makeBroker();
    const reader = await crowd(broker, (n) => durable(`d${n}`));
    const [publisher, other] = (await joinAll(broker, 2)) as [RawPeer, RawPeer];
    await other.subscribe('/queue/b');
    transact(publisher, ['1', '2', '3', '4']);
    publisher.send('COMMIT', { transaction: 't', receipt: 'committed' });
    publisher.send('SEND', { destination: TOPIC, n: '1' }, '5');
    // While they are asked nothing of it is anywhere, and everybody else goes on.
    await sendAll(other, '/queue/b', ['meanwhile']);
    expect(await other.texts(1)).toEqual(['meanwhile']);
    expect(reader.received.toString()).not.toContain('MESSAGE');
    await publisher.receipt('committed');
    const got = await reader.messages(5 * COUNT);
    for (let n = 0; n < COUNT; n++) {
      const own = got.filter((message) => message.header('subscription') === `s${n}`);
      expect(textsOf(own)).toEqual(['1', '2', '3', '4', '5']);
    }
    expect(await other.texts(1)).toEqual(['1']);
  });

  it('have the messages that they want, with the destination by which these came, and no others', async () => {
    const broker = await makeBroker();
    await leave(await crowd(broker, (n) => durable(`d${n}`)));
    const reader = await join(broker);
    const wanted = `destination = '${TOPIC}' AND m = 2 AND (${SLOW})`;
    await reader.subscribe(TOPIC, durable('some', wanted));
    const publisher = await join(broker);
    publisher.send('BEGIN', { transaction: 't' });
    for (const m of ['1', '2']) {
      publisher.send('SEND', { destination: `/queue/b,${TOPIC}`, transaction: 't', n: '1', m, ...LONG }, m);
    }
    await commit(publisher);
    const [message] = await reader.messages(1);
    expect([message!.text, message!.header('destination')]).toEqual(['2', TOPIC]);
    await sendAll(publisher, TOPIC, ['last'], { n: '1', m: '2' });
    expect(await reader.texts(1)).toEqual(['last']);
  });

  it('that come or go meanwhile keep all of it or nothing', async () => {
    const broker = await makeBroker();
    const reader = await crowd(broker, (n) => durable(`d${n}`));
    const [publisher, late] = (await joinAll(broker, 2)) as [RawPeer, RawPeer];
    transact(publisher, ['1', '2', '3', '4']);
    publisher.send('COMMIT', { transaction: 't', receipt: 'committed' });
    reader.send('UNSUBSCRIBE', { id: 's0', receipt: 'gone', ...durable('d0') });
    late.send('SUBSCRIBE', { id: 'late', destination: TOPIC, receipt: 'here', ...durable('late') });
    await Promise.all([reader.receipt('gone'), late.receipt('here')]);
    expect(publisher.received.toString()).not.toContain('receipt-id:committed');
    await publisher.receipt('committed');
    expect(await late.texts(4)).toEqual(['1', '2', '3', '4']);
    await late.subscribe(TOPIC, { id: 'again', ...durable('d0') });
    await sendAll(publisher, TOPIC, ['5'], { n: '1' });
    const got = (await late.messages(2)).map((message) => `${message.header('subscription')} ${message.text}`);
    expect(got.sort()).toEqual(['again 5', 'late 5']);
    const kept = (await reader.messages(5 * (COUNT - 1))).map((message) => message.header('subscription'));
    expect(kept).not.toContain('s0');
  });

  it('keep nothing of a transaction whose client is gone before all of them were asked, nor is a part of it done', async () => {
    const broker = await makeBroker();
    const reader = await crowd(broker, (n) => durable(`d${n}`));
    const [publisher, other] = (await joinAll(broker, 2)) as [RawPeer, RawPeer];
    await sendAll(other, '/queue/a', ['to acknowledge']);
    await publisher.subscribe('/queue/a', { ack: 'client-individual' });
    const message = await publisher.message();
    transact(publisher, ['1', '2', '3', '4']);
    publisher.send('ACK', { ...publisher.reference(message), transaction: 't' });
    publisher.send('COMMIT', { transaction: 't', receipt: 'committed' });
    await sendAll(other, '/queue/c', ['the broker has read the COMMIT']);
    expect(publisher.received.toString()).not.toContain('receipt-id:committed');
    [...broker.sessions].find(({ inTransaction }) => inTransaction)!.destroy();
    await other.subscribe('/queue/a', { id: 'a' });
    expect(await other.texts(1)).toEqual(['to acknowledge']);
    await other.subscribe('/queue/b', { id: 'b' });
    await sendAll(other, TOPIC, ['next'], { n: '1' });
    expect(new Set(textsOf(await reader.messages(COUNT)))).toEqual(new Set(['next']));
    expect(textsOf(await other.rest())).toEqual([]);
  });

  it('keep what a client sends that leaves in good order right after it', async () => {
    const broker = await makeBroker();
    await leave(await crowd(broker, (n) => durable(`d${n}`)));
    const publisher = await join(broker);
    transact(publisher, ['1']);
    publisher.send('COMMIT', { transaction: 't' });
    publisher.send('SEND', { destination: `${TOPIC},/queue/b`, n: '1', ...LONG }, '2');
    await leave(publisher);
    const again = await join(broker);
    await again.subscribe(TOPIC, durable(`d${COUNT - 1}`));
    expect(await again.texts(2)).toEqual(['1', '2']);
  });
});

describe("messages of the broker's own to a topic whose selectors take long", () => {
  it('come in the order in which their time has come', async () => {
    const broker = await makeBroker();
    const reader = await crowd(broker, () => ({ selector: SLOW }));
    const publisher = await join(broker);
    publisher.send('SEND', { destination: TOPIC, n: '1', 'x-delay': '100', ...LONG }, 'slow');
    publisher.send('SEND', { destination: TOPIC, n: '2', 'x-delay': '110' }, 'quick');
    const got = await reader.messages(2 * COUNT);
    expect(textsOf(got.filter((message) => message.header('subscription') === `s${COUNT - 1}`))).toEqual([
      'slow',
      'quick',
    ]);
  });

  it('come in the order in which they became dead letters', async () => {
    const policies = [{ destination: '/queue/a', deadLetter: TOPIC }];
    const broker = await makeBroker({ engine: new LocalEngine(new MemoryStore(), policies) });
    const reader = await crowd(broker, () => ({ selector: SLOW }));
    const peer = await join(broker);
    await peer.subscribe('/queue/a', { ack: 'client-individual' });
    peer.send('SEND', { destination: '/queue/a', n: '1', ...LONG }, 'slow');
    peer.send('SEND', { destination: '/queue/a', n: '2' }, 'quick');
    for (const message of await peer.messages(2)) {
      await peer.receipted('NACK', { ...peer.reference(message), requeue: 'false' });
    }
    const got = await reader.messages(2 * COUNT);
    expect(textsOf(got.filter((message) => message.header('subscription') === `s${COUNT - 1}`))).toEqual([
      'slow',
      'quick',
    ]);
  });

  it('ask those who keep them in turns, too, and these have each once, in order', async () => {
    const broker = await makeBroker();
    const headersOf = (n: number) => durable(`d${n}`, `AMQ_SCHEDULED_DELAY IS NULL AND (${SLOW})`);
    await leave(await crowd(broker, headersOf));
    const [publisher, reader] = (await joinAll(broker, 2)) as [RawPeer, RawPeer];
    await reader.subscribe(TOPIC, headersOf(COUNT - 1));
    let sent = 0;
    const send = async () => {
      const headers = { destination: TOPIC, n: '1', AMQ_SCHEDULED_DELAY: '50' };
      publisher.send('SEND', { ...headers, ...LONG }, `${sent++}`);
      publisher.send('SEND', headers, `${sent++}`);
      expect(await reader.texts(2)).toEqual([`${sent - 2}`, `${sent - 1}`]);
    };
    expect(await bestOf(3, send)).toBeLessThan(1 / 3);
    const other = await join(broker);
    await other.subscribe(TOPIC, headersOf(0));
    expect(await other.texts(sent)).toEqual(Array.from({ length: sent }, (_, n) => `${n}`));
  });

  const LETTERS = [{ destination: '/queue/a', deadLetter: TOPIC }];

  /** Has messages, sent with these headers, refused for good. */
  async function refuse(peer: RawPeer, bodies: readonly string[], headers: Headers = {}): Promise<void> {
    const id = unique('refusing');
    for (const body of bodies) peer.send('SEND', { destination: '/queue/a', n: '1', ...LONG, ...headers }, body);
    await peer.subscribe('/queue/a', { id, ack: 'client-individual' });
    for (let left = bodies.length; left > 0; left--) {
      const message = await peer.take('message', (got) => got.header('subscription') === id);
      peer.send('NACK', { ...peer.reference(message), requeue: 'false' });
    }
    await peer.receipted('UNSUBSCRIBE', { id });
  }

  it('ask those who keep them in turns as dead letters, too, in order, and retain none of them', async () => {
    const broker = await makeBroker({ engine: new LocalEngine(new MemoryStore(), LETTERS) });
    await leave(await crowd(broker, (n) => durable(`d${n}`)));
    const [peer, reader] = (await joinAll(broker, 2)) as [RawPeer, RawPeer];
    await reader.subscribe(TOPIC, durable(`d${COUNT - 1}`));
    const letters = async () => {
      await refuse(peer, ['1', '2', '3'], { retain: 'true' });
      expect(await reader.texts(3)).toEqual(['1', '2', '3']);
    };
    expect(await bestOf(3, letters)).toBeLessThan(1 / 4);
    const late = await join(broker);
    await late.subscribe(TOPIC, { id: 'now' });
    expect(textsOf(await late.rest())).toEqual([]);
  });

  it('as dead letters are neither lost nor doubled where the broker ends before those who keep them were asked', async () => {
    const directory = mkdtempSync(joinPath(tmpdir(), 'rounds-'));
    const begin = () => makeBroker({ engine: new LocalEngine(new DiskStore({ directory }), LETTERS) });
    const broker = await begin();
    await leave(await crowd(broker, (n) => durable(`d${n}`)));
    const bodies = Array.from({ length: 6 }, (_, n) => `${n}`);
    await refuse(await join(broker), bodies, { persistent: 'true' });
    await broker.close(0);
    const again = await join(await begin());
    for (const name of ['d0', `d${COUNT - 1}`]) await again.subscribe(TOPIC, { id: name, ...durable(name) });
    await again.subscribe('/queue/a', { id: 'a' });
    const got = await again.messages(2 * bodies.length);
    for (const name of ['d0', `d${COUNT - 1}`]) {
      expect(textsOf(got.filter((message) => message.header('subscription') === name))).toEqual(bodies);
    }
    expect(textsOf(await again.rest())).toEqual([]);
    rmSync(directory, { recursive: true });
  });

  it('are delivered in turns when many are due at once', async () => {
    const broker = await makeBroker();
    await leave(await crowd(broker, (n) => durable(`d${n}`)));
    const publisher = await join(broker);
    const again = await join(broker);
    await again.subscribe(TOPIC, durable(`d${COUNT - 1}`));
    const send = () => sendAll(publisher, TOPIC, ['1', '2', '3', '4', '5', '6'], { n: '1', 'x-delay': '50', ...LONG });
    const turns = bestOf(3, async () => {
      await send();
      await again.messages(6);
    });
    expect(await turns).toBeLessThan(1 / 4);
  });
});
