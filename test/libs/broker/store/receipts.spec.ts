import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { EventEmitter, once } from 'node:events';
import fs, { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join as joinPath } from 'node:path';
import { DiskStore, LocalEngine, readStore } from 'nestjs-stomp-broker';
import { join, makeBroker } from '../../../support/broker.js';
import { type RawPeer } from '../../../support/raw.js';

const KEPT = { persistent: 'true' };
/** What a queue says of itself that takes one message and refuses the next. */
const FULL = {
  'x-queue-name': 'fed',
  durable: 'true',
  ack: 'client',
  'x-max-length': '1',
  'x-overflow': 'reject-publish',
};

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(joinPath(tmpdir(), 'receipts-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/**
 * A broker on a disk whose syncs wait, or fail, once they are told to.
 *
 * @param together octets that are written together at most
 */
async function start(together?: number) {
  const syncs = new EventEmitter();
  let held: (() => void)[] | undefined;
  let failing = false;
  const written: number[] = [];
  let copies: string[] | undefined;
  const copy = () => {
    if (copies === undefined) return;
    copies.push(mkdtempSync(joinPath(directory, 'copy-')));
    const filter = (path: string) => !/^(lock|copy-.*)$/.test(basename(path));
    for (const name of fs.readdirSync(directory).filter(filter)) {
      cpSync(joinPath(directory, name), joinPath(copies.at(-1)!, name), { recursive: true });
    }
  };
  const disk = {
    ...fs,
    writeSync: (fd: number, bytes: Buffer, at: number, length: number, position: number) => {
      written.push(length);
      return fs.writeSync(fd, bytes, at, length, position);
    },
    fdatasync: (fd: number, done: (error: Error | null) => void) => {
      syncs.emit('begun');
      const synced = (error: Error | null) => {
        copy();
        done(error);
      };
      if (failing) setImmediate(done, Object.assign(new Error('EIO: i/o error'), { code: 'EIO' }));
      else if (held === undefined) fs.fdatasync(fd, synced);
      else held.push(() => fs.fdatasync(fd, synced));
    },
  };
  const store = new DiskStore({ directory }, disk, undefined, together);
  const broker = await makeBroker({ engine: new LocalEngine(store) });
  return {
    broker,
    written,
    /** What a kill after each sync from now on would leave: how many messages there are, by where they are. */
    watch: () => {
      copies = [];
      return async () => {
        const found: Record<string, number>[] = [];
        for (const each of copies ?? []) {
          const counts: Record<string, number> = {};
          for await (const { name, kind } of readStore(each)) {
            const where = kind === 'queue' ? name : kind;
            counts[where] = (counts[where] ?? 0) + 1;
          }
          found.push(counts);
        }
        return found;
      };
    },
    peer: await join(broker),
    fail: (whether: boolean) => {
      failing = whether;
    },
    hold: () => {
      held = [];
      return once(syncs, 'begun');
    },
    /** So many more syncs have been begun. */
    tries: async (count: number) => {
      for (let n = 0; n < count; n++) await once(syncs, 'begun');
    },
    release: () => {
      const waiting = held ?? [];
      held = undefined;
      for (const sync of waiting) sync();
    },
  };
}

it.each([
  [
    'a message that a queue of the topic refuses, for its dead letter',
    async (peer: RawPeer) => {
      await peer.subscribe('/topic/t', { id: 's', ...FULL });
      await peer.receipted('UNSUBSCRIBE', { id: 's' });
      await peer.receipted('SEND', { destination: '/topic/t', ...KEPT }, 'first');
    },
    [{ destination: '/topic/t', ...KEPT }, 'second'],
  ],
  [
    'the end of what was retained, by a message that need not survive itself',
    (peer: RawPeer) => peer.receipted('SEND', { destination: '/topic/t', retain: 'true', ...KEPT }, 'old'),
    [{ destination: '/topic/t', retain: 'true' }, ''],
  ],
  [
    'what takes the place of what was retained, and need not survive itself',
    (peer: RawPeer) => peer.receipted('SEND', { destination: '/topic/t', retain: 'true', ...KEPT }, 'old'),
    [{ destination: '/topic/t', retain: 'true' }, 'new'],
  ],
  [
    'a message of a queue whose time comes later',
    () => Promise.resolve(),
    [{ destination: '/queue/a', 'x-delay': '3600000', ...KEPT }, 'later'],
  ],
  [
    'a message of durable subscriptions that are asked in turns',
    async (peer: RawPeer) => {
      const selector = Array.from({ length: 50 }, (_, n) => `a LIKE '%${n}%b%a%'`).join(' OR ');
      for (let n = 0; n < 10; n++) {
        const durable = { 'durable-subscription-name': `d${n}`, selector: `${selector} OR n IS NOT NULL` };
        await peer.subscribe('/topic/t', { id: `${n}`, ...durable });
      }
    },
    [{ destination: '/topic/t', n: '1', a: 'ab'.repeat(4_000), ...KEPT }, 'x'],
  ],
  [
    'a message of a topic whose time comes later',
    () => Promise.resolve(),
    [{ destination: '/topic/t', 'x-delay': '3600000', ...KEPT }, 'later'],
  ],
] as const)('the receipt waits until the disk has it: %s', async (_, prepare, [headers, body]) => {
  const { peer, hold, release } = await start();
  await prepare(peer);
  await peer.subscribe('/topic/witness');
  const begun = hold();
  peer.send('SEND', { ...headers, receipt: 'promise' }, body);
  await begun;
  peer.send('SEND', { destination: '/topic/witness' }, 'later');
  await peer.take('witness', ({ text }) => text === 'later');
  expect(peer.received.toString()).not.toContain('receipt-id:promise');
  release();
  await peer.receipt('promise');
});

it.each([
  [
    'an acknowledgement',
    (peer: RawPeer, reference: Record<string, string>) => peer.send('ACK', { ...reference, receipt: 'promise' }),
  ],
  [
    'a transaction of acknowledgements',
    (peer: RawPeer, reference: Record<string, string>) => {
      peer.send('BEGIN', { transaction: 't' });
      peer.send('ACK', { ...reference, transaction: 't' });
      peer.send('COMMIT', { transaction: 't', receipt: 'promise' });
    },
  ],
])('the receipt of %s waits while the disk fails, and its consumer goes on; publishers are told', async (_, answer) => {
  const { peer, broker, fail } = await start();
  await peer.receipted('SEND', { destination: '/queue/a', ...KEPT }, 'one');
  await peer.subscribe('/queue/a', { ack: 'client-individual' });
  const message = await peer.message();
  fail(true);
  const other = await join(broker);
  other.send('SEND', { destination: '/queue/b', ...KEPT, receipt: 'refused' }, 'two');
  answer(peer, peer.reference(message));
  expect((await other.refused()).header('message')).toBe('store failed');
  peer.send('SUBSCRIBE', { destination: '/topic/witness', id: 'witness' });
  peer.send('SEND', { destination: '/topic/witness' }, 'later');
  await peer.take('witness', ({ text }) => text === 'later');
  expect(peer.received.toString()).not.toMatch(/receipt-id:promise|ERROR/);
  fail(false);
  await peer.receipt('promise');
});

it('a broker ends while its disk fails, and what it tries meanwhile leaves no files behind', async () => {
  const { peer, broker, fail, tries } = await start();
  await peer.receipted('SEND', { destination: '/queue/a', ...KEPT }, 'one');
  await peer.subscribe('/queue/a', { ack: 'client-individual' });
  const message = await peer.message();
  fail(true);
  peer.send('ACK', { ...peer.reference(message), receipt: 'promise' });
  await tries(6);
  expect(fs.readdirSync(directory).filter((name) => name.endsWith('.log')).length).toBeLessThanOrEqual(3);
  // Behind what cannot be written.
  peer.send('SUBSCRIBE', { destination: '/topic/t', id: 'd', 'durable-subscription-name': 'd' });
  await tries(1);
  await broker.close(100);
  fail(false);
  // Whether the acknowledgement counts nobody has promised.
  const next = await join(await makeBroker({ engine: new LocalEngine(new DiskStore({ directory })) }));
  await next.receipted('SEND', { destination: '/queue/b', ...KEPT }, 'two');
  // It was handed out, and nothing could be written of that: such an end is none.
  await next.subscribe('/queue/a');
  expect((await next.message()).header('redelivered')).toBe('true');
});

it('the receipt of a DISCONNECT comes after what was sent before it is safe', async () => {
  const { peer, broker, hold, release } = await start();
  await peer.receipted('SEND', { destination: '/queue/a', ...KEPT }, 'one');
  const witness = await join(broker);
  await witness.subscribe('/topic/witness');
  const begun = hold();
  peer.send('SEND', { destination: '/queue/a', ...KEPT }, 'two');
  await begun;
  peer.send('DISCONNECT', { receipt: 'bye' });
  for (let n = 0; n < 10; n++) {
    witness.send('SEND', { destination: '/topic/witness' }, 'later');
    await witness.message();
  }
  expect(peer.received.toString()).not.toContain('receipt-id:bye');
  release();
  await peer.receipt('bye');
});

describe('more than is written together', () => {
  const TOGETHER = 64 * 1024;
  const body = 'x'.repeat(16 * 1024);
  const names = Array.from({ length: 10 }, (_, i) => `q${i}`);

  it('is written in parts where a topic has many durable subscriptions, and the receipt comes after the last', async () => {
    const { peer, written } = await start(TOGETHER);
    for (const name of names) {
      await peer.subscribe('/topic/t', { id: name, 'x-queue-name': name, durable: 'true', ack: 'client' });
    }
    written.length = 0;
    await peer.receipted('SEND', { destination: '/topic/t', ...KEPT }, body);
    await peer.messages(names.length);
    expect(Math.max(...written)).toBeLessThan(TOGETHER + 1024);

    const copy = mkdtempSync(joinPath(tmpdir(), 'receipts-'));
    cpSync(directory, copy, { recursive: true, filter: (path) => basename(path) !== 'lock' });
    const after = await makeBroker({ engine: new LocalEngine(new DiskStore({ directory: copy })) });
    const consumer = await join(after);
    for (const name of names) {
      await consumer.subscribe(`/queue/${name}`);
      expect((await consumer.message()).text).toBe(body);
    }
    rmSync(copy, { recursive: true, force: true });
  });

  it('keeps a transaction whole, whatever else is done in that turn', async () => {
    const { peer, watch } = await start(TOGETHER);
    const frame = (command: string, head: string, text = '') => `${command}\n${head}\n\n${text}\0`;
    const send = (name: string, more = '') => frame('SEND', `destination:/queue/${name}\npersistent:true${more}`, body);
    await peer.receipted('SEND', { destination: '/queue/t', ...KEPT }, 'the queue is there');
    const look = watch();
    const before = Array.from({ length: 2 }, () => send('other'));
    const transaction = Array.from({ length: 3 }, () => send('t', '\ntransaction:t'));
    peer.write([...before, frame('BEGIN', 'transaction:t'), ...transaction, frame('COMMIT', 'transaction:t')].join(''));
    await peer.receipted('SEND', { destination: '/queue/last', ...KEPT }, 'x');
    const counts = (await look()).map(({ t }) => t);
    expect(counts.length).toBeGreaterThan(1);
    expect(counts.filter((count) => count !== 1 && count !== 4)).toEqual([]);
    expect(counts.at(-1)).toBe(4);
  });

  it('has each message in one place: its queue, or the dead letters', async () => {
    const { peer, watch } = await start(TOGETHER);
    for (let n = 0; n < 20; n++)
      await peer.receipted('SEND', { destination: '/queue/a', ...KEPT }, body.slice(0, 8_000));
    await peer.subscribe('/queue/a', { id: 's', ack: 'client-individual', 'prefetch-count': '20' });
    const messages = await peer.messages(20);
    const look = watch();
    peer.write(messages.map((one) => `NACK\nid:${one.header('ack')}\nrequeue:false\n\n\0`).join(''));
    await peer.receipted('SEND', { destination: '/queue/last', ...KEPT }, 'x');
    const counts = await look();
    expect(counts.length).toBeGreaterThan(1);
    for (const { a = 0, 'DLQ.a': dead = 0 } of counts) expect(a + dead).toBe(20);
  });

  it('has each message in one place: among those that wait for their time, or in its queue', async () => {
    const { peer, watch } = await start(TOGETHER);
    const COUNT = 1_000;
    const headers = 'destination:/queue/a\npersistent:true\nx-delay:1500\n';
    // Of many sizes, so that what is written together ends anywhere.
    const texts = Array.from({ length: COUNT }, (_, n) => body.slice(0, (37 * n) % 400));
    peer.write(texts.map((text, n) => `SEND\n${headers}receipt:r${n}\n\n${text}\0`).join(''));
    await peer.receipt(`r${COUNT - 1}`);
    const sent = performance.now();
    const look = watch();
    await peer.subscribe('/queue/a', { id: 's', ack: 'client-individual', 'prefetch-count': `${COUNT}` });
    // The broker is busy, so that all of them are due in one turn.
    while (performance.now() - sent < 1_600);
    await peer.messages(COUNT);
    await peer.receipted('SEND', { destination: '/queue/last', ...KEPT }, 'x');
    const counts = await look();
    expect(counts.length).toBeGreaterThan(10);
    for (const { a = 0, scheduled = 0 } of counts) expect(a + scheduled).toBe(COUNT);
  });

  it('counts what a transaction refuses, which is written once more', async () => {
    const { peer } = await start(TOGETHER);
    for (let n = 0; n < 10; n++) await peer.receipted('SEND', { destination: '/queue/a', ...KEPT }, body);
    await peer.subscribe('/queue/a', { id: 's', ack: 'client-individual', 'prefetch-count': '20' });
    const messages = await peer.messages(10);
    peer.send('BEGIN', { transaction: 't' });
    for (const one of messages) peer.send('NACK', { ...peer.reference(one), requeue: 'false', transaction: 't' });
    peer.send('COMMIT', { transaction: 't', receipt: 'r' });
    expect((await peer.refused()).header('message')).toBe('too large');
  });

  it('is refused as a whole where it was to be there as a whole or not at all', async () => {
    const { peer, broker } = await start(TOGETHER);
    const list = names.map((name) => `/queue/${name}`).join(',');
    peer.send('SEND', { destination: list, ...KEPT, receipt: 'list' }, body);
    const error = await peer.refused();
    expect([error.header('message'), error.header('receipt-id')]).toEqual(['too large', 'list']);
    expect(error.text).toContain(`may take ${TOGETHER} octets`);
    const other = await join(broker);
    await other.receipted('SEND', { destination: list }, 'not kept, so of any size'.padEnd(16 * 1024));
    await other.subscribe('/queue/q0');
    expect((await other.message()).text).toMatch(/^not kept/);
  });
});
