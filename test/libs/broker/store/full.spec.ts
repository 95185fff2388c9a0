import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { EventEmitter, once } from 'node:events';
import fs, { cpSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join as joinPath } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { DiskStore, LocalEngine, type StompBroker, type Sync } from 'nestjs-stomp-broker';
import { Memory } from 'nestjs-stomp/server';
import { join, joinAll, makeBroker } from '../../../support/broker.js';
import { mounting } from '../../../support/mounts.js';
import { Program } from '../../../support/program.js';
import { RawPeer } from '../../../support/raw.js';
import { handshake, watch } from '../../../support/server.js';

jest.setTimeout(120_000);

const MB = 1024 * 1024;
const KEPT = { persistent: 'true' };
const directories: string[] = [];
const programs: Program[] = [];

afterEach(async () => {
  for (const program of programs) program.signal('SIGKILL');
  await Promise.all(programs.splice(0).map(({ exited }) => exited));
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function folder(): string {
  const directory = mkdtempSync(joinPath(tmpdir(), 'full-'));
  directories.push(directory);
  return directory;
}

const failure = (code: string) => Object.assign(new Error(`${code}: as the test wants it`), { code });

/** A disk of so many octets, on which syncs may fail. */
function smallDisk(directory: string, octets: number) {
  const disk = {
    octets,
    written: 0,
    syncFails: false,
    /** Tells of each sync that is begun, or fails. */
    syncs: new EventEmitter(),
    /** What it says when a file is to be made. */
    locked: undefined as string | undefined,
    /** What it says when one is to be deleted. */
    stuck: undefined as string | undefined,
    /** Tells of each time that it says so, or that something is written for which there is no room. */
    tries: new EventEmitter(),
    get used() {
      return readdirSync(directory).reduce((sum, name) => sum + statSync(joinPath(directory, name)).size, 0);
    },
    fs: {
      ...fs,
      writeSync(fd: number, bytes: Buffer, at: number, length: number, position: number) {
        const more = Math.max(0, position + length - fs.fstatSync(fd).size);
        if (disk.used + more > disk.octets) {
          disk.tries.emit('written');
          throw failure('ENOSPC');
        }
        disk.written += length;
        return fs.writeSync(fd, bytes, at, length, position);
      },
      openSync(path: string, flags: string, mode?: number) {
        if (disk.locked !== undefined && flags.startsWith('w')) {
          disk.tries.emit('made');
          throw failure(disk.locked);
        }
        return fs.openSync(path, flags, mode);
      },
      rmSync(path: string, options: { force: true }) {
        if (disk.stuck !== undefined) throw failure(disk.stuck);
        fs.rmSync(path, options);
      },
      fdatasync(fd: number, done: (error: Error | null) => void) {
        disk.syncs.emit(disk.syncFails ? 'failed' : 'begun');
        if (disk.syncFails) setImmediate(() => done(failure('EIO')));
        else fs.fdatasync(fd, done);
      },
      fdatasyncSync(fd: number) {
        if (!disk.syncFails) return fs.fdatasyncSync(fd);
        disk.syncs.emit('failed');
        throw failure('EIO');
      },
      statfsSync: () => ({
        bsize: 1024,
        blocks: Math.floor(disk.octets / 1024),
        bavail: Math.max(0, Math.floor((disk.octets - disk.used) / 1024)),
      }),
    },
  };
  return disk;
}

/** A broker on such a disk; what it says is in `lines`, and `said` waits for it. */
async function startOn(
  disk: ReturnType<typeof smallDisk>,
  directory: string,
  fileSize?: number,
  sync?: Sync,
  limit?: Memory,
) {
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const report = (line: string) => {
    lines.push(line);
    for (const look of waiting) look();
  };
  const said = (pattern: RegExp) =>
    new Promise<void>((resolve) => {
      const look = () => {
        if (!lines.some((line) => pattern.test(line))) return;
        waiting.delete(look);
        resolve();
      };
      waiting.add(look);
      look();
    });
  // Where memory is limited the store leaves all to the disk that it can.
  const memory = limit === undefined ? undefined : 0;
  const store = new DiskStore({ directory, report, sync, memory }, disk.fs, fileSize);
  const broker = await makeBroker({ engine: new LocalEngine(store, [], { memory: limit }), memory: limit });
  return { broker, lines, said };
}

/** Sends until there is an ERROR; tells what was receipted by then, and what the ERROR says. */
async function fill(connect: () => Promise<RawPeer>, destination: string, size: number) {
  const receipted: string[] = [];
  const peer = await connect();
  for (;;) {
    const body = `${receipted.length} `.padEnd(size, 'x');
    peer.send('SEND', { destination, ...KEPT, receipt: 'r' }, body);
    const frame = await peer.frame();
    if (frame.command !== 'RECEIPT') return { receipted, error: `${frame.header('message')}: ${frame.text}` };
    receipted.push(body);
  }
}

/** Takes so many messages, each acknowledged with a receipt. */
async function drain(peer: RawPeer, destination: string, count: number): Promise<string[]> {
  const texts: string[] = [];
  await peer.subscribe(destination, { id: 'drain', ack: 'client-individual', 'prefetch-count': '1' });
  while (texts.length < count) {
    const message = await peer.message();
    texts.push(message.text);
    await peer.receipted('ACK', peer.reference(message));
  }
  await peer.receipted('UNSUBSCRIBE', { id: 'drain' });
  return texts;
}

/** What a killed broker would leave behind. */
function killed(directory: string): string {
  const copy = folder();
  cpSync(directory, copy, { recursive: true, filter: (path) => basename(path) !== 'lock' });
  return copy;
}

async function texts(broker: StompBroker, destination: string, count: number): Promise<string[]> {
  const peer = await join(broker);
  await peer.subscribe(destination);
  const found = await peer.texts(count);
  expect((await peer.rest()).map(({ text }) => text)).toEqual([]);
  return found;
}

describe('a disk that is full', () => {
  it('has publishers told so, consumers go on, and publishers taken again when there is room', async () => {
    const directory = folder();
    const disk = smallDisk(directory, 2 * MB);
    const { broker, said } = await startOn(disk, directory);
    const connect = () => join(broker);
    const { receipted, error } = await fill(connect, '/queue/a', 10_000);
    expect(receipted.length).toBeGreaterThan(150);
    expect(error).toMatch(
      /^disk full: .*the disk of the store is full: make room there, 128 KiB at least, or try again/,
    );
    // Nobody is told otherwise afterwards; what is not persistent needs no disk.
    expect((await fill(connect, '/queue/b', 10)).error).toMatch(/^disk full: \/queue\/b takes no persistent messages/);
    expect((await fill(connect, '/topic/b', 10)).error).toMatch(/^disk full: \/topic\/b takes no persistent messages/);
    await (await connect()).receipted('SEND', { destination: '/queue/c' }, 'not persistent');

    const again = killed(directory);
    const after = await drain(await connect(), '/queue/a', receipted.length);
    expect(after).toEqual(receipted);
    await said(/there is room again/);
    await (await connect()).receipted('SEND', { destination: '/queue/a', ...KEPT }, 'fresh');
    expect(disk.used).toBeLessThan(MB / 2);

    const { broker: then } = await startOn(smallDisk(again, 8 * MB), again);
    expect((await texts(then, '/queue/a', receipted.length)).slice(0, receipted.length)).toEqual(receipted);
  });

  it('has room for acknowledgements that survive, which nothing else takes', async () => {
    const directory = folder();
    const disk = smallDisk(directory, 2 * MB);
    const { broker } = await startOn(disk, directory, 128 * 1024);
    const { receipted } = await fill(() => join(broker), '/queue/a', 1_000);
    // Of each two files' worth more than half is gone, and the rest is too much to be copied into what room there is.
    const peer = await join(broker);
    await peer.subscribe('/queue/a', { id: 's', ack: 'client-individual', 'prefetch-count': '5000' });
    const messages = await peer.messages(receipted.length);
    const before = disk.written;
    const gone = messages.filter((_, i) => i % 20 < 11);
    for (const message of gone.slice(0, 900)) await peer.receipted('ACK', peer.reference(message));
    const copied = disk.written - before;
    expect(copied).toBeLessThan(receipted.length * 1_000);

    const again = killed(directory);
    const acknowledged = new Set(gone.slice(0, 900).map(({ text }) => text));
    const left = receipted.filter((text) => !acknowledged.has(text));
    const { broker: then } = await startOn(smallDisk(again, 8 * MB), again);
    expect(await texts(then, '/queue/a', left.length)).toEqual(left);
  });

  it('has the limit of memory hold up publishers of what is not persistent, and would be put on it', async () => {
    const directory = folder();
    const disk = smallDisk(directory, 2 * MB);
    const memory = new Memory(8 * MB);
    const { broker } = await startOn(disk, directory, undefined, undefined, memory);
    await fill(() => join(broker), '/queue/a', 100_000);
    const publishers = await joinAll(broker, 20);
    const body = 'x'.repeat(100_000);
    let taken = 0;
    for (const peer of publishers) {
      const send = async () => {
        await peer.receipted('SEND', { destination: '/queue/b' }, body);
        taken++;
        await send();
      };
      // It is held up until the end of the test, or so long that it has no patience any more.
      send().catch(() => undefined);
    }
    while (!memory.full && taken * body.length < 40 * MB) await nextTurn();
    expect(memory.full).toBe(true);
    const before = taken;
    for (let tries = 0; tries < 6; tries++) await once(disk.tries, 'written');
    // One of each was taken already, another may have come with it.
    const most = before + 2 * publishers.length;
    expect(taken).toBeLessThanOrEqual(most);
    // What consumers take makes room.
    const consumer = await join(broker);
    await consumer.subscribe('/queue/b', { id: 's', ack: 'client-individual', 'prefetch-count': '5' });
    for (let n = 0; n < before; n++) consumer.send('ACK', consumer.reference(await consumer.message()));
    while (taken <= most) await nextTurn();
  });
});

describe('a disk that fails', () => {
  it('has a publisher told so whose message is not safe, and goes on by itself when it is mended', async () => {
    const directory = folder();
    const disk = smallDisk(directory, 64 * MB);
    const { broker, said } = await startOn(disk, directory);
    const peer = await join(broker);
    await peer.receipted('SEND', { destination: '/queue/a', ...KEPT }, 'safe');
    disk.syncFails = true;
    const { receipted, error } = await fill(() => join(broker), '/queue/a', 10);
    expect(receipted).toEqual([]);
    expect(error).toMatch(/^store failed: .*the disk of the store fails \(EIO\): try again later, or mend the disk/);
    const consumer = await join(broker);
    await consumer.subscribe('/queue/a', { ack: 'client-individual' });
    expect((await consumer.message()).text).toBe('safe');

    disk.syncFails = false;
    await said(/there is room again/);
    await (await join(broker)).receipted('SEND', { destination: '/queue/b', ...KEPT }, 'after');
    const again = killed(directory);
    const { broker: then } = await startOn(smallDisk(again, 64 * MB), again);
    expect(await texts(then, '/queue/b', 1)).toEqual(['after']);
    const found = await join(then);
    await found.subscribe('/queue/a');
    expect((await found.message()).text).toBe('safe');
  });

  it.each([
    ['a message of a queue', 'SEND', { destination: '/queue/a' }, '/queue/a'],
    ['a delayed one', 'SEND', { destination: '/queue/a', 'x-delay': '60000' }, '/queue/a'],
    ['a delayed one of a topic', 'SEND', { destination: '/topic/a', 'x-delay': '60000' }, '/topic/a'],
    ['one that is retained', 'SEND', { destination: '/topic/a', retain: 'true' }, '/topic/a'],
    ['one for a durable subscription', 'SEND', { destination: '/topic/durable' }, '/topic/durable'],
    ['a transaction', 'COMMIT', { transaction: 't' }, '/queue/b'],
    ['a durable subscription', 'SUBSCRIBE', { id: 'n', 'activemq.subscriptionName': 'n' }, '/topic/a'],
  ])('has the ERROR name where that was going what was under way: %s', async (_, command, headers, destination) => {
    const directory = folder();
    const disk = smallDisk(directory, 64 * MB);
    const { broker } = await startOn(disk, directory);
    const peer = await join(broker, '1.2', { 'client-id': 'me' });
    await peer.subscribe('/topic/durable', { id: 'd', 'activemq.subscriptionName': 'd' });
    await peer.receipted('BEGIN', { transaction: 't' });
    peer.send('SEND', { destination: '/queue/b', ...KEPT, transaction: 't' }, 'one');
    disk.syncFails = true;
    peer.send(command, { destination, ...KEPT, ...headers, receipt: 'r' }, command === 'SEND' ? 'lost' : undefined);
    let frame = await peer.frame();
    while (frame.command === 'MESSAGE') frame = await peer.frame();
    expect([frame.command, frame.text]).toEqual([
      'ERROR',
      expect.stringMatching(`^${destination} takes no persistent messages at the moment, the disk of the store fails`),
    ]);
    disk.syncFails = false;
  });

  it('is told of once where what it fails to sync is confirmed already, takes nothing until it syncs, and says that once', async () => {
    const directory = folder();
    const disk = smallDisk(directory, 64 * MB);
    const { broker, lines, said } = await startOn(disk, directory, undefined, 'interval');
    const peer = await join(broker);
    await peer.receipted('SEND', { destination: '/queue/a', ...KEPT }, 'safe');
    await once(disk.syncs, 'begun');
    disk.syncFails = true;
    await peer.receipted('SEND', { destination: '/queue/a', ...KEPT }, 'confirmed');
    await said(/fails \(EIO\)/);
    const refused = await fill(() => join(broker), '/queue/b', 10);
    expect(refused).toEqual({ receipted: [], error: expect.stringMatching(/^store failed: .*fails \(EIO\)/) });
    await peer.receipted('SEND', { destination: '/queue/c' }, 'not persistent');
    for (let failures = 0; failures < 4; failures++) await once(disk.syncs, 'failed');
    expect(lines).toEqual([
      'a sync has failed: power loss may take what was confirmed since the last one',
      expect.stringMatching(/^store failed: the store takes no persistent messages .* fails \(EIO\)/),
    ]);

    disk.syncFails = false;
    await said(/there is room again/);
    await peer.receipted('SEND', { destination: '/queue/a', ...KEPT }, 'after');
    expect(lines).toHaveLength(3);
    const again = killed(directory);
    const { broker: then } = await startOn(smallDisk(again, 64 * MB), again);
    expect(await texts(then, '/queue/a', 3)).toEqual(['safe', 'confirmed', 'after']);
  });
});

describe.each(['EACCES', 'EROFS', 'EIO'])('a disk on which nothing can be made or deleted (%s)', (code) => {
  it('has publishers told so, consumers go on, and is got over without help', async () => {
    const directory = folder();
    const disk = smallDisk(directory, 64 * MB);
    const { broker, lines, said } = await startOn(disk, directory, 10_000);
    const connect = () => join(broker);
    await (await connect()).receipted('SEND', { destination: '/queue/a', ...KEPT }, 'before');
    disk.locked = disk.stuck = code;
    const { receipted, error } = await fill(connect, '/queue/a', 2_000);
    expect(error).toMatch(new RegExp(`^store failed: .*the disk of the store fails \\(${code}\\): try again later`));
    const consumer = await connect();
    await consumer.subscribe('/queue/a', { ack: 'client-individual' });
    expect(await consumer.texts(1 + receipted.length)).toEqual(['before', ...receipted]);
    // It is tried more than once, and told of once.
    await once(disk.tries, 'made');
    await once(disk.tries, 'made');
    disk.locked = disk.stuck = undefined;
    await said(/there is room again/);
    expect(lines.filter((line) => line.startsWith('store failed'))).toHaveLength(1);
    await (await connect()).receipted('SEND', { destination: '/queue/a', ...KEPT }, 'after');
    const { broker: then } = await startOn(smallDisk(killed(directory), 64 * MB), directories.at(-1)!);
    const found = await join(then);
    await found.subscribe('/queue/a');
    expect(await found.texts(receipted.length + 1)).toEqual(['before', ...receipted]);
    expect((await found.rest()).map(({ text }) => text)).toContain('after');
  });

  it('does not come to a standstill over files that are not needed any more, and tells of each once', async () => {
    const directory = folder();
    const disk = smallDisk(directory, 64 * MB);
    const { broker, lines, said } = await startOn(disk, directory, 10_000);
    const peer = await join(broker);
    for (let n = 0; n < 20; n++) await peer.receipted('SEND', { destination: '/queue/a', ...KEPT }, 'x'.repeat(2_000));
    const isThere = () => readdirSync(directory).includes('00000001.log');
    disk.stuck = code;
    await drain(peer, '/queue/a', 4);
    await said(/^cannot give back the space of 00000001.log yet/);
    await drain(peer, '/queue/a', 3);
    const told = lines.filter((line) => line.startsWith('cannot give back'));
    expect(told).toEqual([...new Set(told)]);
    expect(isThere()).toBe(true);
    disk.stuck = undefined;
    await drain(peer, '/queue/a', 13);
    while (isThere()) await peer.receipted('SEND', { destination: '/queue/b', ...KEPT }, 'more');
  });
});

it('a store that keeps its room where a directory is does not open, and says so', async () => {
  const directory = folder();
  mkdirSync(joinPath(directory, 'reserve'));
  const store = new DiskStore({ directory });
  await expect(store.open()).rejects.toThrow(/reserve is no file: .*take it away/);
  rmdirSync(joinPath(directory, 'reserve'));
  await store.open();
  await store.close();
});

it('a broker on a file system of 8 MB is filled, drained and filled again, and loses nothing', async () => {
  const directory = folder();
  const program = Program.startBy(
    mounting('mount -t tmpfs -o size=8m tmpfs "$0"', directory),
    'stompserver',
    '--port',
    '0',
    '--data-dir',
    `${directory}/data`,
  );
  programs.push(program);
  const [, url = ''] = await program.line(/^listening (\S+)$/);
  const connect = async () => {
    const peer = watch(await RawPeer.connect(Number(new URL(url).port)));
    await handshake(peer);
    return peer;
  };
  for (let round = 1; round <= 3; round++) {
    const { receipted, error } = await fill(connect, '/queue/a', 20_000);
    expect(receipted.length).toBeGreaterThan(300);
    expect(error).toMatch(/^disk full: /);
    // The one that was refused may be there all the same: it was not confirmed, and is sent again.
    expect((await drain(await connect(), '/queue/a', receipted.length)).slice(0, receipted.length)).toEqual(receipted);
    const rest = await connect();
    await rest.subscribe('/queue/a', { id: 'rest' });
    await rest.receipted('UNSUBSCRIBE', { id: 'rest' });
    await program.until(`round ${round}`, () => (program.stderr.match(/there is room again/g) ?? []).length >= round);
  }
});
