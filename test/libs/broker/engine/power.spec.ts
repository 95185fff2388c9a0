import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { DiskStore, LocalEngine } from 'nestjs-stomp-broker';
import { join, joinAll, makeBroker } from '../../../support/broker.js';
import { numbers as drawFrom } from '../../../support/random.js';
import { type RawPeer } from '../../../support/raw.js';
import { PowerDisk } from '../store/power.disk.js';

jest.setTimeout(120_000);

const KEPT = { persistent: 'true' };
const DURABLE = { id: 'd', 'durable-subscription-name': 'd' };
const ONE_BY_ONE = { ack: 'client-individual', 'prefetch-count': '1000' };
/** Small files, so that there are many, and the log is cleaned meanwhile. */
const FILE_SIZE = 4096;
const TURNS = 60;
/** What waits at first in the queues from which messages are refused, or moved by a transaction. */
const WAITING = 40;
const seeds = [1, 2, 3, 4, 5, 6];

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function place(): string {
  const directory = mkdtempSync(joinPath(tmpdir(), 'power-'));
  directories.push(directory);
  return directory;
}

async function start(directory: string, disk: PowerDisk) {
  const reports: string[] = [];
  const store = new DiskStore({ directory, report: (line) => reports.push(line) }, disk, FILE_SIZE);
  return { broker: await makeBroker({ engine: new LocalEngine(store) }), reports };
}

/** What was asked for, and whether there was a receipt for it. */
type Ledger = Map<string, boolean>;

/** Works on a broker, and has the power fail at random moments. */
async function work(seed: number) {
  const draw = drawFrom(seed);
  const random = () => draw(1_000_000) / 1_000_000;
  const directory = place();
  const disk = new PowerDisk(directory);
  const { broker } = await start(directory, disk);
  const reader = await join(broker, '1.2', { 'client-id': 'me' });
  await reader.subscribe('/topic/t', DURABLE);
  await reader.receipted('DISCONNECT');
  const peer = await join(broker);
  const ledger: Ledger = new Map();
  const receipts: Promise<void>[] = [];
  const ask = (what: string, ...frame: Parameters<RawPeer['receipted']>) => {
    ledger.set(what, false);
    receipts.push(peer.receipted(...frame).then(() => void ledger.set(what, true)));
  };
  for (let n = 0; n < WAITING; n++) {
    await peer.receipted('SEND', { destination: '/queue/bad', ...KEPT }, `bad ${n}`);
    await peer.receipted('SEND', { destination: '/queue/from', ...KEPT }, `moved ${n}`);
  }
  const take = async (destination: string, id: string) => {
    await peer.subscribe(destination, { id, ...ONE_BY_ONE });
    return peer.messages(WAITING);
  };
  const bad = await take('/queue/bad', 'bad');
  const from = await take('/queue/from', 'from');
  const does = [
    (n: number) => ask(`queue ${n}`, 'SEND', { destination: '/queue/a', ...KEPT }, `queue ${n}`),
    (n: number) => ask(`durable ${n}`, 'SEND', { destination: '/topic/t', ...KEPT }, `durable ${n}`),
    (n: number) => ask(`retained ${n}`, 'SEND', { destination: '/topic/r', ...KEPT, retain: 'true' }, `retained ${n}`),
    (n: number) =>
      ask(`scheduled ${n}`, 'SEND', { destination: '/queue/late', ...KEPT, 'x-delay': '3600000' }, `scheduled ${n}`),
    () => {
      const one = bad.shift();
      if (one !== undefined) ask(one.text, 'NACK', { ...peer.reference(one), requeue: 'false' });
    },
    (n: number) => {
      const one = from.shift();
      if (one === undefined) return;
      peer.send('BEGIN', { transaction: `t${n}` });
      peer.send('ACK', { ...peer.reference(one), transaction: `t${n}` });
      peer.send('SEND', { destination: '/queue/to', ...KEPT, transaction: `t${n}` }, one.text);
      ask(one.text, 'COMMIT', { transaction: `t${n}` });
    },
  ];
  const losses: { disk: PowerDisk; ledger: Ledger }[] = [];
  for (let turn = 0; turn < TURNS; turn++) {
    for (let i = draw(6); i > 0; i--) does[draw(does.length)]!(turn * 10 + i);
    for (let i = draw(8); i > 0; i--) await setImmediate();
    if (draw(5) === 0) losses.push({ disk: disk.lose(random), ledger: new Map(ledger) });
  }
  await Promise.all(receipts);
  losses.push({ disk: disk.lose(random), ledger: new Map(ledger) });
  await broker.close(0);
  return { directory, losses, files: disk.made };
}

/** The bodies that wait in a queue, or for a durable subscription. */
async function waiting(peer: RawPeer, destination: string, headers = {}): Promise<string[]> {
  await peer.subscribe(destination, { ...ONE_BY_ONE, ...headers });
  return (await peer.rest()).map(({ text }) => text);
}

/** The bodies of what is scheduled on a disk, which is left as it is. */
async function scheduled(directory: string, disk: PowerDisk): Promise<string[]> {
  const store = new DiskStore({ directory }, disk.kill(), FILE_SIZE);
  await store.open();
  const found = [...store.kept()].flatMap(({ kind, message }) => (kind === 'scheduled' ? [message] : []));
  await store.close();
  return found.map((message) => message!.body.toString());
}

/** That all is there of a kind that was receipted, and nothing that was not sent, or twice. */
function expectKept(found: readonly string[], kind: string, ledger: Ledger): void {
  const asked = [...ledger].filter(([what]) => what.startsWith(`${kind} `));
  expect(found.length).toBe(new Set(found).size);
  expect(found.filter((what) => !ledger.has(what))).toEqual([]);
  expect(asked.filter(([what, receipted]) => receipted && !found.includes(what))).toEqual([]);
}

describe('after power loss', () => {
  it.each(seeds)('a broker has all that it had receipted, and nothing twice (seed %i)', async (seed) => {
    const { directory, losses, files } = await work(seed);
    expect(files).toBeGreaterThan(5);
    for (const { disk, ledger } of losses) {
      const late = await scheduled(directory, disk);
      const { broker, reports } = await start(directory, disk);
      const peer = await join(broker, '1.2', { 'client-id': 'me' });
      expectKept(await waiting(peer, '/queue/a', { id: 'a' }), 'queue', ledger);
      expectKept(await waiting(peer, '/topic/t', DURABLE), 'durable', ledger);
      expectKept(late, 'scheduled', ledger);

      // Of what is retained the last one is there, or one that was under way.
      const values = [...ledger].filter(([what]) => what.startsWith('retained '));
      const last = values.findLastIndex(([, receipted]) => receipted);
      const retained = await waiting(peer, '/topic/r', { id: 'r' });
      expect(retained.length).toBeGreaterThanOrEqual(last < 0 ? 0 : 1);
      for (const one of retained) expect(values.slice(Math.max(0, last)).map(([what]) => what)).toContain(one);

      // What was refused, or moved, is in one place and not in the other; with a receipt it is where it was moved to.
      for (const [kind, source, target] of [
        ['bad', '/queue/bad', '/queue/DLQ.bad'],
        ['moved', '/queue/from', '/queue/to'],
      ] as const) {
        const stayed = await waiting(peer, source, { id: source });
        const gone = await waiting(peer, target, { id: target });
        expectKept(gone, kind, ledger);
        expect([...stayed, ...gone].sort()).toEqual(Array.from({ length: WAITING }, (_, n) => `${kind} ${n}`).sort());
      }
      // What was cut off by power loss is no damage.
      const others = reports.filter((line) => !line.includes('ends with a write that was cut off'));
      expect(others.filter((line) => /damage|missing|shorter|lost/.test(line))).toEqual([]);
      await broker.close(0);
    }
  });
});

it('what a hundred publishers send at once shares a few syncs, and each has its receipt', async () => {
  const directory = place();
  const disk = new PowerDisk(directory);
  let syncs = 0;
  const fdatasync = disk.fdatasync.bind(disk);
  disk.fdatasync = (fd, done) => {
    syncs++;
    fdatasync(fd, done);
  };
  const { broker } = await start(directory, disk);
  const peers = await joinAll(broker, 100);
  const before = syncs;
  await Promise.all(peers.map((peer) => peer.receipted('SEND', { destination: '/queue/a', ...KEPT }, 'one')));
  expect(syncs - before).toBeGreaterThan(0);
  expect(syncs - before).toBeLessThan(20);
});
