import fs, {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { type Backlog, checkStore, compactStore, DiskStore, type Sync } from 'nestjs-stomp-broker';
import { Frame, Message } from 'nestjs-stomp/server';
import { numbers as drawFrom } from '../../../support/random.js';
import { PowerDisk } from './power.disk.js';

jest.setTimeout(120_000);

type FileSystem = NonNullable<ConstructorParameters<typeof DiskStore>[1]>;

/** Small files, so that there are many. */
const FILE_SIZE = 4096;
/** So many messages of a file are in one group each. */
const MESSAGES = 100;

/** One in so many moments is looked at. */
const MOMENTS = 8;

const directories: string[] = [];
let open: DiskStore[] = [];
afterEach(async () => {
  await Promise.all(open.map((store) => store.close()));
  open = [];
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function folder(): string {
  const directory = mkdtempSync(join(tmpdir(), 'missing-'));
  directories.push(directory);
  return directory;
}

async function start(directory: string, disk: FileSystem = fs, sync: Sync = 'always', fileSize = FILE_SIZE) {
  const said: string[] = [];
  const store = new DiskStore({ directory, sync, memory: 0, report: (line) => said.push(line) }, disk, fileSize);
  open.push(store);
  await store.open();
  return { store, said, backlog: store.backlog('*\0a') };
}

const synced = (store: DiskStore) => new Promise<void>((resolve) => store.sync(() => resolve()));

async function push(store: DiskStore, backlog: Backlog, from: number, to: number): Promise<void> {
  for (let number = from; number < to; number++) {
    const body = `${number} `.padEnd(60, 'x');
    backlog.push(
      new Message('/queue/a', new Frame('SEND', { destination: '/queue/a', persistent: 'true' }, body)),
      undefined,
    );
    await synced(store);
  }
}

function* handOut(backlog: Backlog) {
  for (let entry = backlog.shift(); entry !== undefined; entry = backlog.shift()) {
    yield { entry, number: Number(entry.message.body.toString().split(' ')[0]) };
  }
}
const waiting = (backlog: Backlog) => [...handOut(backlog)].map(({ number }) => number);

const logs = (directory: string) =>
  fs
    .readdirSync(directory)
    .filter((name) => name.endsWith('.log'))
    .sort();

/** What a process leaves that is killed now. */
function killed(directory: string): string {
  const copy = folder();
  cpSync(directory, copy, { recursive: true, filter: (path) => basename(path) !== 'lock' });
  return copy;
}

/** A store with messages in several files, as it is left at a proper end or by a kill. */
async function filled(end: 'a proper end' | 'a kill'): Promise<string> {
  const directory = folder();
  const { store, backlog } = await start(directory);
  await push(store, backlog, 0, MESSAGES);
  const copy = killed(directory);
  await store.close();
  return end === 'a kill' ? copy : directory;
}

/** The numbers of the messages in a file. */
const numbersIn = (path: string) =>
  [...readFileSync(path, 'latin1').matchAll(/(\d+) +x{40}/g)].map(([, number]) => Number(number));
const all = Array.from({ length: MESSAGES }, (_, i) => i);

/** Where the groups of a file end: a message each. */
function ends(path: string): number[] {
  const bytes = readFileSync(path);
  const found: number[] = [];
  for (let at = 12; at < bytes.length; found.push(at)) at += 13 + bytes.readUInt32LE(at + 8);
  return found;
}

describe.each(['a proper end', 'a kill'] as const)('after %s', (end) => {
  it.each([
    ['oldest', 0],
    ['one in the middle', 3],
    ['newest', -1],
  ])('a file that was deleted is named, the %s, once; the rest is served', async (_, index) => {
    const directory = await filled(end);
    const name = logs(directory).at(index)!;
    const lost = new Set(numbersIn(join(directory, name)));
    expect(lost.size).toBeGreaterThan(0);
    rmSync(join(directory, name));
    const line = expect.stringMatching(`^${name} is missing, \\d+ octets at least: what stood only there is lost$`);
    expect((await checkStore(directory)).damage).toContainEqual(line);
    const { store, said, backlog } = await start(directory);
    expect(said).toContainEqual(line);
    expect(waiting(backlog)).toEqual(all.filter((number) => !lost.has(number)));
    await store.close();
    expect(logs(directory)).not.toContain(name);
    expect((await checkStore(directory)).damage).toEqual([]);
    expect((await start(directory)).said).toEqual([]);
  });

  it('a file that was cut off where a group ends is named, once; the rest is served', async () => {
    const directory = await filled(end);
    const name = logs(directory)[2]!;
    const path = join(directory, name);
    const before = numbersIn(path);
    const size = ends(path).at(-3)!;
    const line = `${name} is shorter than it was, ${size} octets and not ${statSync(path).size}: what stood behind them is lost`;
    truncateSync(path, size);
    expect((await checkStore(directory)).damage).toEqual([line]);
    const { store, said, backlog } = await start(directory);
    expect(said).toEqual([line]);
    const lost = before.slice(-2);
    expect(waiting(backlog)).toEqual(all.filter((number) => !lost.includes(number)));
    await store.close();
    expect((await checkStore(directory)).damage).toEqual([]);
    expect((await start(directory)).said).toEqual([]);
  });
});

it('files whose names are like those of the log change nothing of it, and are named by a check', async () => {
  const directory = folder();
  const others = ['20261127233000.log', '4294967296.log', '0000000000003.log', '3.log'];
  const first = await start(directory);
  for (const name of [...others, '4294967295.log']) writeFileSync(join(directory, name), 'of somebody else');
  await push(first.store, first.backlog, 0, 100);
  await first.store.close();
  for (const restart of [1, 2]) {
    const { store, said, backlog } = await start(directory);
    expect(said).toEqual(
      restart === 1 ? [expect.stringMatching(/^4294967295.log is no file of a store, 16 octets; set/)] : [],
    );
    expect([...backlog.values()].map((entry) => Number(entry?.message.body.toString().split(' ')[0]))).toEqual(
      Array.from({ length: 100 * restart }, (_, number) => number),
    );
    await push(store, backlog, 100 * restart, 100 * restart + 100);
    await store.close();
  }
  const names = fs.readdirSync(directory).filter((name) => name.endsWith('.log'));
  expect(names).toEqual(expect.arrayContaining(others));
  for (const name of names) if (!others.includes(name)) expect(name).toMatch(/^000000\d\d\.log$/);
  const { notes, damage } = await checkStore(directory);
  expect(damage).toEqual([]);
  expect(notes).toContainEqual(`none of the store's, and left alone: ${[...others].sort().join(', ')}`);
});

it('a newest file that was cut off is named after a proper end, wherever that was', async () => {
  const directory = await filled('a proper end');
  const name = logs(directory).at(-1)!;
  const path = join(directory, name);
  const bytes = readFileSync(path);
  for (const size of [...ends(path).slice(0, -1), ...Array.from({ length: 40 }, (_, i) => i)]) {
    writeFileSync(path, bytes.subarray(0, size));
    expect((await checkStore(directory)).damage[0]).toMatch(`${name} is shorter than it was, ${size} octets and not`);
  }
});

/** A store of whose messages every fourth was acknowledged; its newest file has acknowledgements and messages in it. */
async function used(): Promise<string> {
  const directory = folder();
  const { store, backlog } = await start(directory);
  await push(store, backlog, 0, MESSAGES);
  for (const { entry, number } of handOut(backlog)) {
    if (number % 4 > 0) continue;
    backlog.remove(entry);
    await synced(store);
  }
  await push(store, backlog, MESSAGES, MESSAGES + LAST);
  const copy = killed(directory);
  await store.close();
  return copy;
}
const LAST = 8;
const left = [...all.filter((number) => number % 4 > 0), ...Array.from({ length: LAST }, (_, i) => MESSAGES + i)];

describe.each([
  ['is a directory', (path: string) => mkdirSync(path)],
  ['is a link to a file that is not there', (path: string) => symlinkSync(`${path}.gone`, path)],
  ['cannot be opened (EIO)', undefined],
])('a file of the log that %s', (why, replace) => {
  it.each([
    ['oldest', 0],
    ['one in the middle', 2],
    ['newest', -1],
  ])('is named and left there, the %s; the rest is served, and when it is back all of it', async (_, index) => {
    const directory = await used();
    const name = logs(directory).at(index)!;
    const path = join(directory, name);
    const hidden = numbersIn(path);
    expect(hidden.length).toBeGreaterThan(0);
    const line = `${name} ${why}: it is left there, and the rest goes on without it until it can be read`;
    const disk = {
      ...fs,
      openSync(...[file, flags, mode]: Parameters<typeof fs.openSync>) {
        // Not for writing: to cut it off would do harm.
        if (replace !== undefined || file !== path || flags !== 'r') return fs.openSync(file, flags, mode);
        throw Object.assign(new Error('EIO: as the test wants it'), { code: 'EIO', syscall: 'open' });
      },
    };
    const back = join(folder(), name);
    if (replace !== undefined) {
      renameSync(path, back);
      replace(path);
      expect((await checkStore(directory)).damage).toContainEqual(line);
    }
    const handed = new Set<number>();
    const gone = new Set<number>();
    // Twice, with so much work in between that the files are cleaned that may be.
    for (const round of [1, 2]) {
      const { store, said, backlog } = await start(directory, disk);
      expect(said).toContainEqual(line);
      for (const { entry, number } of handOut(backlog)) {
        handed.add(number);
        if (number >= MESSAGES || number % 4 === 0) continue;
        gone.add(number);
        backlog.remove(entry);
      }
      await push(store, backlog, round * 1_000, round * 1_000 + MESSAGES);
      for (const { entry, number } of handOut(backlog)) if (number % 10 > 0) backlog.remove(entry);
      await synced(store);
      await store.close();
      expect(logs(directory)).toContain(name);
    }
    expect([...handed]).toEqual(expect.arrayContaining(left.filter((number) => !hidden.includes(number))));

    if (replace !== undefined) {
      rmSync(path, { recursive: true });
      renameSync(back, path);
    }
    expect((await checkStore(directory)).damage).toEqual([]);
    const { said, backlog } = await start(directory);
    expect(said).toEqual([]);
    const tens = [1_000, 2_000].flatMap((from) => all.filter((n) => n % 10 === 0).map((n) => from + n));
    expect(waiting(backlog)).toEqual([...left.filter((number) => !gone.has(number)), ...tens]);
  });
});

it.each([1, -1])(
  'compact leaves a file there of which nothing can be read, and what belongs to it (%i)',
  async (index) => {
    const directory = await used();
    const name = logs(directory).at(index)!;
    const path = join(directory, name);
    const back = join(folder(), name);
    renameSync(path, back);
    mkdirSync(path);
    const said: string[] = [];
    await compactStore(directory, (line) => said.push(line));
    expect(said).toContainEqual(`${name} stays, and so does what is older: nothing of it can be read`);
    rmSync(path, { recursive: true });
    renameSync(back, path);
    expect((await checkStore(directory)).damage).toEqual([]);
    const next = await start(directory);
    expect([next.said, waiting(next.backlog)]).toEqual([[], left]);
  },
);

it('compact names what is missing, and is done with the rest', async () => {
  const directory = await filled('a kill');
  const name = logs(directory)[1]!;
  const lost = new Set(numbersIn(join(directory, name)));
  rmSync(join(directory, name));
  const said: string[] = [];
  await compactStore(directory, (line) => said.push(line));
  expect(said.join('\n')).toMatch(`${name} is missing`);
  expect((await checkStore(directory)).damage).toEqual([]);
  const { said: more, backlog } = await start(directory);
  expect(more).toEqual([]);
  expect(waiting(backlog)).toEqual(all.filter((number) => !lost.has(number)));
});

it('a list of the files that is damaged is named, and made again', async () => {
  const directory = await filled('a kill');
  const path = join(directory, 'files');
  const bytes = readFileSync(path);
  for (const wrong of [
    bytes.subarray(1),
    bytes.subarray(0, -1),
    Buffer.alloc(0),
    Buffer.from(`99 12\n${bytes.toString()}`),
  ]) {
    writeFileSync(path, wrong);
    const line = 'files: the list of the files of the log is damaged: one that is missing is not noticed';
    expect((await checkStore(directory)).damage).toEqual([line]);
    const { store, said } = await start(directory);
    expect(said).toEqual([`${line}; set aside in damaged/files`]);
    await store.close();
    expect((await checkStore(directory)).damage).toEqual([]);
  }
});

it('a store of the format before is read without a word, and has its list from then on', async () => {
  const directory = await filled('a kill');
  writeFileSync(join(directory, 'format'), 'nestjs-stomp store 1\n');
  rmSync(join(directory, 'files'));
  const { damage, notes } = await checkStore(directory);
  expect([damage, notes.join()]).toEqual([[], expect.stringContaining('there is no list of the files')]);
  const { store, said, backlog } = await start(directory);
  expect([said, waiting(backlog)]).toEqual([[], all]);
  await store.close();
  // A version that knows nothing of the list would not keep it.
  expect(readFileSync(join(directory, 'format'), 'utf8')).toBe('nestjs-stomp store 2\n');
  rmSync(join(directory, logs(directory)[1]!));
  expect((await checkStore(directory)).damage).toHaveLength(1);
});

it('a store of the format before becomes one of this on a full disk, with the room that is kept for such cases', async () => {
  const directory = await filled('a kill');
  writeFileSync(join(directory, 'format'), 'nestjs-stomp store 1\n');
  const reserve = join(directory, 'reserve');
  expect(fs.existsSync(reserve)).toBe(true);
  const disk = {
    ...fs,
    openSync(...[path, ...more]: Parameters<typeof fs.openSync>) {
      if (String(path).endsWith('format.new') && fs.existsSync(reserve))
        throw Object.assign(new Error('ENOSPC: as the test wants it'), { code: 'ENOSPC' });
      return fs.openSync(path, ...more);
    },
  };
  const { backlog } = await start(directory, disk);
  expect(readFileSync(join(directory, 'format'), 'utf8')).toBe('nestjs-stomp store 2\n');
  expect(waiting(backlog)).toEqual(all);
});

describe('nothing is said to be missing', () => {
  it('of a newest file a part of which could not be read once, though more stood there than was written', async () => {
    const directory = folder();
    const large = 1024 * 1024;
    const first = await start(directory, fs, 'always', large);
    await push(first.store, first.backlog, 0, MESSAGES);
    const left = killed(directory);
    const [name = ''] = logs(left);
    // It was filled beforehand.
    expect(readFileSync(join(left, name)).at(-1)).toBe(0xff);
    const block = { from: 4096, to: 8192 };
    const disk = {
      ...fs,
      read(...[fd, into, at, length, position, done]: Parameters<FileSystem['read']>) {
        if (position >= block.to || position + length <= block.from || fs.fstatSync(fd).size < block.to)
          return fs.read(fd, into, at, length, position, done);
        globalThis.setImmediate(() => done(Object.assign(new Error('EIO'), { code: 'EIO' }), 0));
      },
    };
    const second = await start(left, disk, 'always', large);
    expect(second.said).toContain(`${name}: 4096 octets from 4096 to 8192 cannot be read, and are left there`);
    expect(waiting(second.backlog).length).toBeLessThan(MESSAGES);
    await second.store.close();
    expect((await checkStore(left)).damage).toEqual([]);
    const third = await start(left, fs, 'always', large);
    expect([third.said, waiting(third.backlog)]).toEqual([[], all]);
  });

  it.each(['always', 'interval', 'never'] as const)(
    'with --sync %s, wherever a kill or power loss comes while files are made and deleted',
    async (sync) => {
      const directory = folder();
      const disk = new PowerDisk(directory);
      const random = drawFrom(1);
      const chance = () => random(1_000_000) / 1_000_000;
      const moments: PowerDisk[] = [];
      // Each change of names, and each sync of them, may be the last.
      const watch = (disk: PowerDisk, moment: () => void) => {
        for (const what of ['openSync', 'renameSync', 'rmSync', 'fsyncSync'] as const) {
          const does = disk[what].bind(disk) as (...given: never[]) => number;
          Object.assign(disk, {
            [what]: (...given: never[]) => {
              moment();
              return does(...given);
            },
          });
        }
      };
      watch(disk, () => {
        if (random(MOMENTS) === 0) moments.push(disk.kill(), disk.lose(chance));
      });
      const { store, backlog } = await start(directory, disk, sync);
      for (let round = 0; round < 6; round++) {
        await push(store, backlog, round * 60, round * 60 + 60);
        for (const { entry, number } of handOut(backlog)) if (number % 9 > 0) backlog.remove(entry);
        await synced(store);
        await setImmediate();
      }
      await store.close();
      expect(disk.made).toBeGreaterThan(20);
      const wrong = new Set<string>();
      expect(moments.length).toBeGreaterThan(20);
      for (const moment of moments) {
        const losses: PowerDisk[] = [];
        watch(moment, () => {
          if (random(MOMENTS) === 0) losses.push(moment.lose(chance));
        });
        const { store, said, backlog } = await start(directory, moment, sync);
        await push(store, backlog, 1_000, 1_001);
        await store.close();
        for (const loss of losses) {
          const next = await start(directory, loss, sync);
          said.push(...next.said);
          await next.store.close();
        }
        open = [];
        for (const line of said) if (/missing|shorter|list/.test(line)) wrong.add(line);
      }
      expect([...wrong]).toEqual([]);
    },
  );

  it('where the disk is so full that the list cannot be written', async () => {
    const directory = folder();
    const full = { now: false };
    const disk = {
      ...fs,
      openSync(path: string, flags: string, mode?: number) {
        if (full.now && path.endsWith('files.new'))
          throw Object.assign(new Error('ENOSPC: as the test wants it'), { code: 'ENOSPC' });
        return fs.openSync(path, flags, mode);
      },
    };
    const { store, backlog } = await start(directory, disk);
    await push(store, backlog, 0, MESSAGES);
    const made = logs(directory).slice(0, -1);
    full.now = true;
    for (const { entry } of handOut(backlog)) backlog.remove(entry);
    await synced(store);
    while (logs(directory).some((name) => made.includes(name))) await setTimeout(5);
    const left = killed(directory);
    expect(await checkStore(left)).toMatchObject({ damage: [], messages: 0 });
    full.now = false;
    await push(store, backlog, 0, MESSAGES);
    const { damage, notes } = await checkStore(killed(directory));
    expect([damage, notes]).toEqual([[], []]);
  });
});

it('goes on with another file where the one that failed had nothing left, and was deleted', async () => {
  const directory = folder();
  const failing = { times: 0 };
  const disk = {
    ...fs,
    fdatasync(fd: number, done: (error: Error | null) => void) {
      if (failing.times === 0) return fs.fdatasync(fd, done);
      failing.times--;
      globalThis.setImmediate(() => done(Object.assign(new Error('EIO: as the test wants it'), { code: 'EIO' })));
    },
  };
  const { store, said, backlog } = await start(directory, disk);
  await push(store, backlog, 0, 1);
  store.drop('*\0a');
  await synced(store);
  // The first time it is tried again at once.
  failing.times = 2;
  const again = store.backlog('*\0a');
  await push(store, again, 1, 2);
  // That was refused; it is tried again until it is written.
  await new Promise<void>((resolve) => store.sync(() => resolve(), true));
  expect(said.join()).toMatch('EIO');
  expect(logs(directory)).toEqual(['00000003.log']);
  expect(waiting(again)).toEqual([1]);
});

it('keeps a file until the next start whose messages were moved, where the sync of that has failed', async () => {
  const directory = folder();
  const failing = { times: 0 };
  const disk = {
    ...fs,
    fdatasync(fd: number, done: (error: Error | null) => void) {
      if (failing.times === 0) return fs.fdatasync(fd, done);
      failing.times--;
      globalThis.setImmediate(() => done(Object.assign(new Error('EIO: as the test wants it'), { code: 'EIO' })));
    },
  };
  // So that nothing else is synced.
  const { store, said, backlog } = await start(directory, disk, 'never');
  await push(store, backlog, 0, MESSAGES);
  const before = logs(directory).slice(0, -1);
  failing.times = 1;
  for (const { entry, number } of handOut(backlog)) if (number % 10 > 0) backlog.remove(entry);
  let kept: string | undefined;
  const work = async () => {
    await push(store, backlog, 1_000, 1_001);
    for (const { entry } of handOut(backlog)) backlog.remove(entry);
    await setTimeout(5);
  };
  while (kept === undefined) {
    await work();
    kept = /^cannot give back the space of (\S+) yet: EIO/m.exec(said.join('\n'))?.[1];
  }
  // Others go meanwhile.
  while (logs(directory).filter((name) => before.includes(name)).length > 1) await work();
  expect(logs(directory)).toContain(kept);
  await store.close();
  const next = await start(directory);
  expect(waiting(next.backlog)).toEqual(all.filter((number) => number % 10 === 0));
  while (logs(directory).includes(kept)) await setTimeout(5);
});
