import { EventEmitter, once } from 'node:events';
import fs, { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { DiskStore, LocalEngine, type Policy } from 'nestjs-stomp-broker';
import { join, joinAll, makeBroker, sendAll } from '../../../support/broker.js';
import { type RawPeer } from '../../../support/raw.js';

const QUEUE = '/queue/a';
const KEPT = { persistent: 'true' };
const bodies = Array.from({ length: 30 }, (_, n) => `message ${String(n).padStart(2, '0')}`.padEnd(2_000, '.'));
const short = (texts: readonly string[]) => texts.map((text) => text.slice(0, 10));
const directories: string[] = [];

afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function makeDirectory(): string {
  const directory = mkdtempSync(joinPath(tmpdir(), 'unread-'));
  directories.push(directory);
  return directory;
}

/** A disk that does not give some of what it holds. */
function poorDisk() {
  const disk = {
    /** What it says when a file of the log is opened for reading. */
    opening: undefined as string | undefined,
    /** Whether it does not give some octets. */
    lacks: (_from: number, _to: number) => false,
    /** Tells of each time that it did not give something. */
    failures: new EventEmitter(),
    fail(code: string): never {
      setImmediate(() => disk.failures.emit('failure'));
      throw Object.assign(new Error(`${code}: as the test wants it`), { code });
    },
    fs: {
      ...fs,
      openSync(path: string, flags: string, mode?: number) {
        if (disk.opening !== undefined && flags === 'r' && path.endsWith('.log')) disk.fail(disk.opening);
        return fs.openSync(path, flags, mode);
      },
      readSync(fd: number, into: Buffer, at: number, length: number, position: number) {
        if (disk.lacks(position, position + length)) disk.fail('EIO');
        return fs.readSync(fd, into, at, length, position);
      },
    },
  };
  return disk;
}

/** A broker that keeps no message in memory; what it says is in `lines`. */
async function start(directory: string, disk = poorDisk(), policies: readonly Policy[] = [], fileSize?: number) {
  const lines: string[] = [];
  const told = new EventEmitter();
  const report = (line: string) => {
    lines.push(line);
    told.emit('line');
  };
  const store = new DiskStore({ directory, memory: 0, report }, disk.fs, fileSize);
  const broker = await makeBroker({ engine: new LocalEngine(store, policies) });
  const said = async (pattern: RegExp) => {
    while (!lines.some((line) => pattern.test(line))) await once(told, 'line');
  };
  return { broker, disk, lines, said, store };
}

/** A store with all messages in its log. @param urgent another one that goes first */
async function filled(fileSize?: number, urgent?: string): Promise<string> {
  const directory = makeDirectory();
  const { broker } = await start(directory, poorDisk(), [], fileSize);
  const peer = await join(broker);
  for (const body of bodies) await peer.receipted('SEND', { destination: QUEUE, ...KEPT, wanted: 'true' }, body);
  if (urgent !== undefined) await sendAll(peer, QUEUE, [urgent], { ...KEPT, wanted: 'true', priority: '9' });
  await broker.close(100);
  return directory;
}

/** Where a message stands in the log. */
function placeOf(directory: string, body: string): number {
  return readFileSync(joinPath(directory, '00000001.log')).indexOf(body);
}

const KINDS = [
  ['takes all', {}],
  ['chooses', { selector: "wanted = 'true'" }],
] as const;

describe.each(KINDS)('a consumer that %s, of a queue whose messages cannot be read', (_kind, terms) => {
  it('has none taken from it for want of descriptors: they come in their order once there are some, told of once', async () => {
    const { broker, disk, lines } = await start(await filled(10_000), undefined, [], 10_000);
    disk.opening = 'EMFILE';
    const [consumer, sender] = (await joinAll(broker, 2)) as [RawPeer, RawPeer];
    await consumer.subscribe(QUEUE, terms);
    for (let tries = 0; tries < 8; tries++) await once(disk.failures, 'failure');
    await sendAll(sender, '/queue/b', ['meanwhile']);
    expect(short((await consumer.rest()).map(({ text }) => text))).toEqual([]);
    expect(lines).toEqual([expect.stringMatching(/^messages cannot be read, those of queue a first: .*\(EMFILE: /)]);
    disk.opening = undefined;
    const found = await consumer.messages(bodies.length);
    expect(short(found.map(({ text }) => text))).toEqual(short(bodies));
    expect(new Set(found.map((message) => message.header('redelivered')))).toEqual(new Set(['false']));
    expect(lines).toHaveLength(1);
  });

  it('gets all of them in their order when a fault of the disk is over, and that is told', async () => {
    const { broker, disk, lines } = await start(await filled());
    disk.lacks = () => true;
    const consumer = await join(broker);
    await consumer.subscribe(QUEUE, terms);
    for (let tries = 0; tries < 6; tries++) await once(disk.failures, 'failure');
    disk.lacks = () => false;
    expect(short(await consumer.texts(bodies.length))).toEqual(short(bodies));
    expect(lines).toEqual([
      expect.stringMatching(/^a message of queue a cannot be read: it keeps its place, and is tried again \(EIO: /),
      'messages of queue a can be read again',
    ]);
  });

  it('gets those behind a place that is lost after some tries, and what stands there after a restart', async () => {
    const directory = await filled();
    const first = await start(directory, undefined, [
      { destination: QUEUE, idleTime: 1 },
      { destination: '/queue/b', idleTime: 50 },
    ]);
    const lost = [placeOf(directory, bodies[10]!), placeOf(directory, bodies[11]!)];
    first.disk.lacks = (from, to) => lost.some((place) => from <= place && place < to);
    const [consumer, sender] = (await joinAll(first.broker, 2)) as [RawPeer, RawPeer];
    await consumer.subscribe(QUEUE, { id: 'a', ...terms });
    const others = bodies.filter((_, n) => n !== 10 && n !== 11);
    expect(short(await consumer.texts(others.length))).toEqual(short(others));
    expect(first.lines).toEqual([
      expect.stringMatching(/^a message of queue a cannot be read: it keeps its place/),
      expect.stringMatching(/^messages of queue a cannot be read: they are passed over until the next start \(EIO: /),
    ]);
    // It goes on, and is not given up though nothing waits in it any more.
    await sendAll(sender, QUEUE, ['new'], { ...KEPT, wanted: 'true' });
    expect(await consumer.texts(1)).toEqual(['new']);
    await consumer.receipted('UNSUBSCRIBE', { id: 'a' });
    const given = new EventEmitter();
    const drop = first.store.drop.bind(first.store);
    first.store.drop = (queue) => {
      drop(queue);
      given.emit('drop');
    };
    const gone = once(given, 'drop');
    await sender.subscribe('/queue/b', { id: 'b' });
    await sender.receipted('UNSUBSCRIBE', { id: 'b' });
    await gone;
    await first.broker.close(100);

    const second = await start(directory);
    const found = await join(second.broker);
    await found.subscribe(QUEUE, terms);
    expect(short(await found.texts(2))).toEqual(short(bodies.slice(10, 12)));
    expect(short((await found.rest()).map(({ text }) => text))).toEqual([]);
  }, 40_000);
});

it.each(KINDS)('a consumer that %s gets none of a lower priority before one that cannot be read', async (_, terms) => {
  const directory = await filled(undefined, 'the first');
  const { broker, disk } = await start(directory);
  const consumer = await join(broker);
  const place = placeOf(directory, 'the first');
  disk.lacks = (from, to) => from <= place && place < to;
  await consumer.subscribe(QUEUE, terms);
  for (let tries = 0; tries < 4; tries++) await once(disk.failures, 'failure');
  disk.lacks = () => false;
  expect(short(await consumer.texts(bodies.length + 1))).toEqual(short(['the first', ...bodies]));
});

it('a process without descriptors reads all files through the one that it holds', async () => {
  const { broker, disk, lines } = await start(await filled(10_000), undefined, [], 10_000);
  let open = 0;
  const before = { ...disk.fs };
  Object.assign(disk.fs, {
    openSync(path: string, flags: string, mode?: number) {
      if (open >= 0) disk.fail('EMFILE');
      open++;
      return before.openSync(path, flags, mode);
    },
    closeSync(fd: number) {
      open--;
      before.closeSync(fd);
    },
  });
  const consumer = await join(broker);
  await consumer.subscribe(QUEUE);
  expect(short(await consumer.texts(bodies.length))).toEqual(short(bodies));
  expect(lines).toEqual([]);
});

it('a browser is shown all once it can be read', async () => {
  const { broker, disk } = await start(await filled());
  disk.lacks = () => true;
  const browser = await join(broker);
  await browser.subscribe(QUEUE, { browser: 'true' });
  for (let tries = 0; tries < 4; tries++) await once(disk.failures, 'failure');
  disk.lacks = () => false;
  expect(short(await browser.texts(bodies.length + 1))).toEqual([...short(bodies), '']);
});

it('a queue that drops its oldest messages loses none of those that cannot be read', async () => {
  const limit: Policy = { destination: QUEUE, maxLength: 10, overflow: 'drop-oldest' };
  const { broker, disk } = await start(await filled(), undefined, [limit]);
  disk.lacks = () => true;
  const peer = await join(broker);
  const more = Array.from({ length: 100 }, (_, n) => `more ${n}`);
  let failures = 0;
  disk.failures.on('failure', () => failures++);
  await sendAll(peer, QUEUE, more, KEPT);
  // Not once for each message.
  expect(failures).toBeLessThan(50);
  for (let tries = 0; tries < 4; tries++) await once(disk.failures, 'failure');
  disk.lacks = () => false;
  await peer.subscribe('/queue/DLQ.a');
  expect(short(await peer.texts(120))).toEqual([...short(bodies), ...more.slice(0, 90)]);
  await peer.subscribe(QUEUE);
  expect(await peer.texts(10)).toEqual(more.slice(90));
});

it('messages that have expired and cannot be read go to the dead letters when they can', async () => {
  const { broker, disk, said } = await start(makeDirectory(), undefined, [
    { destination: QUEUE, deadLetterExpired: true },
  ]);
  const peer = await join(broker);
  await sendAll(peer, QUEUE, bodies, { ...KEPT, expires: String(Date.now() + 1_000) });
  disk.lacks = () => true;
  await said(/^a message of queue a cannot be read/);
  disk.lacks = () => false;
  await peer.subscribe('/queue/DLQ.a');
  expect(short(await peer.texts(bodies.length))).toEqual(short(bodies));
});
