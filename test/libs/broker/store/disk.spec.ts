import fs, {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, it } from '@jest/globals';
import { FrameDecoder } from 'nestjs-stomp/frame';
import { Frame, Message } from 'nestjs-stomp/server';
import { type Backlog, checkStore, DiskStore, type DiskStoreOptions, Slice } from 'nestjs-stomp-broker';
import { describeStore } from './store.contract.js';

let directories: string[] = [];
const made = new WeakMap<object, string>();

function make(directory = mkdtempSync(join(tmpdir(), 'store-')), options: Partial<DiskStoreOptions> = {}): DiskStore {
  const store = new DiskStore({ directory, ...options });
  directories.push(directory);
  made.set(store, directory);
  return store;
}

function remove(): Promise<void> {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
  directories = [];
  return Promise.resolve();
}

/** What a process leaves that is killed now. */
function killed(store: object): string {
  const directory = mkdtempSync(join(tmpdir(), 'store-'));
  directories.push(directory);
  cpSync(made.get(store)!, directory, { recursive: true, filter: (path) => basename(path) !== 'lock' });
  return directory;
}

const again = (store: object, options: Partial<DiskStoreOptions> = {}) => make(made.get(store), options);

describeStore('disk', { make: () => make(), again, remove });
// Hardly anything stays in memory: what waits is read from the log.
describeStore('disk with little memory', {
  make: () => make(undefined, { memory: 0 }),
  again: (store) => again(store, { memory: 0 }),
  remove,
});

describe('a store on disk', () => {
  let open: DiskStore[] = [];
  afterEach(async () => {
    await Promise.all(open.map((store) => store.close()));
    open = [];
    await remove();
  });

  const opened = async (store: DiskStore) => {
    open.push(store);
    await store.open();
    return store;
  };
  const message = (body: string, headers: Record<string, string> = { persistent: 'true' }) =>
    new Message('/queue/a', new Frame('SEND', { destination: '/queue/a', ...headers }, body));
  const push = (backlog: Backlog, count: number, size = 10) => {
    for (let i = 0; i < count; i++) backlog.push(message(`${i} `.padEnd(size, 'x')), undefined);
  };
  const synced = (store: DiskStore) =>
    new Promise<void>((resolve, reject) => store.sync((error) => (error === undefined ? resolve() : reject(error))));
  /** Each is written by itself. */
  const pushEach = async (store: DiskStore, backlog: Backlog, count: number) => {
    for (let i = 0; i < count; i++) {
      push(backlog, 1);
      await synced(store);
    }
  };
  const drain = (backlog: Backlog) => {
    const bodies: string[] = [];
    for (let entry = backlog.shift(); entry !== undefined; entry = backlog.shift()) {
      bodies.push(entry.message.body.toString());
      backlog.remove(entry);
    }
    return bodies;
  };
  const files = (store: DiskStore) => {
    const directory = made.get(store)!;
    const names = readdirSync(directory).filter((name) => name.endsWith('.log'));
    return names.sort().map((name) => join(directory, name));
  };
  /** Where what was written ends, and what was filled beforehand may follow. */
  const endOf = (bytes: Buffer) => bytes.findLastIndex((octet) => octet !== 0xff) + 1;
  const collect = () => {
    setFlagsFromString('--expose-gc');
    (runInNewContext('gc') as () => void)();
  };
  /** Octets that are in use. */
  const memory = () => {
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  type Read = (error: Error | null, got: number) => void;
  const numbers = (bodies: string[]) => bodies.map((body) => Number(body.split(' ')[0]));

  it('keeps headers, body, message-id, priority and expiry of a message', async () => {
    const store = await opened(make());
    const expires = String(Date.now() + 60_000);
    const sent = message('\0 body \n', { persistent: 'true', priority: '7', expires, 'a:b\n': 'c\\d\r:', '': '' });
    sent.headers.delete('');
    store.backlog('q').push(sent, undefined);
    await store.close();
    const entry = (await opened(again(store))).backlog('q').shift()!;
    expect(entry.message.body.toString()).toBe('\0 body \n');
    expect([...entry.message.headers]).toEqual([...sent.headers]);
    expect(entry.message.id).toBe(sent.id);
    expect(entry.priority).toBe(7);
    expect(entry.expires).toBe(Number(expires));
    const fresh = message('next');
    expect(fresh.id).not.toBe(sent.id);
  });

  it('keeps no message that is not persistent, and writes nothing for it', async () => {
    const store = await opened(make());
    const backlog = store.backlog('q');
    backlog.push(message('one', {}), undefined);
    await synced(store);
    expect(files(store)).toEqual([]);
    backlog.push(message('two'), undefined);
    await store.close();
    const next = await opened(again(store));
    expect(drain(next.backlog('q'))).toEqual(['two']);
  });

  it('belongs to one process at a time', async () => {
    const store = await opened(make());
    await expect(again(store).open()).rejects.toThrow(/is in use by process \d+/);
    await store.close();
    await opened(again(store));
  });

  it('does not open a directory of another format', async () => {
    const store = await opened(make());
    await store.close();
    writeFileSync(join(made.get(store)!, 'format'), 'nestjs-stomp store 99\n');
    const path = join(made.get(store)!, 'format');
    await expect(again(store).open()).rejects.toThrow(
      new RegExp(
        `is of another format, "nestjs-stomp store 99": this version reads .*; .*: delete ${path}, the next start`,
      ),
    );
  });

  it('tells of a file that names the format and is damaged, puts it right, and serves what is there', async () => {
    const store = await opened(make());
    push(store.backlog('q'), 2);
    await store.close();
    const directory = made.get(store)!;
    const path = join(directory, 'format');
    const format = readFileSync(path);
    const damaged = /^format: the file is damaged, it says ".*", and the log shows "nestjs-stomp store 2"/;
    const others: string[] = [];
    for (let bit = 0; bit < 8 * format.length; bit++) {
      const wrong = Buffer.from(format);
      wrong[bit >> 3]! ^= 1 << (bit & 7);
      writeFileSync(path, wrong);
      const lines: string[] = [];
      const next = again(store, { report: (line) => lines.push(line) });
      // A digit that is another one is the format of another version.
      if (/^nestjs-stomp store \d\n$/.test(wrong.toString())) {
        await expect(next.open()).rejects.toThrow('is of another format');
        others.push(wrong.toString());
        continue;
      }
      expect((await checkStore(directory)).damage).toEqual([expect.stringMatching(damaged)]);
      expect((await opened(next)).backlog('q').length).toBe(2);
      await next.close();
      expect(lines).toEqual([expect.stringMatching(damaged)]);
      expect(readFileSync(path)).toEqual(format);
    }
    expect(others.length).toBeGreaterThan(1);
    // Nobody knows what that is.
    rmSync(files(store)[0]!);
    writeFileSync(path, 'nothing');
    await expect(again(store).open()).rejects.toThrow('is of another format');
    rmSync(path);
    await opened(again(store));
  });

  it.each([
    ['is gone', (path: string) => rmSync(path)],
    ['is empty', (path: string) => writeFileSync(path, '')],
  ])('serves what is there where the file that names the format %s', async (_, spoil) => {
    const store = await opened(make());
    push(store.backlog('q'), 2);
    await synced(store);
    await store.close();
    spoil(join(made.get(store)!, 'format'));
    expect(drain((await opened(again(store))).backlog('q'))).toHaveLength(2);
  });

  it.each([
    [{ directory: '' }, 'needs a directory'],
    [
      { directory: 'never-made', sync: 'sometimes' },
      'sync of a store is "sometimes": it is one of always, interval, never',
    ],
    [{ directory: 'never-made', memory: -1 }, 'memory of a store is -1: it is a number of octets, 0 or more'],
    [{ directory: 'never-made', memory: 'x' }, 'memory of a store is x: it is a number of octets, 0 or more'],
  ])('is not made with %j', (options, why) => {
    expect(() => new DiskStore(options as DiskStoreOptions)).toThrow(why);
  });

  it('remembers how often a message that came back was delivered', async () => {
    const store = await opened(make());
    const backlog = store.backlog('q');
    push(backlog, 2);
    await synced(store);
    const entry = backlog.shift()!;
    entry.count = 3;
    backlog.count(entry);
    backlog.restore(entry);
    await store.close();
    const kept = (await opened(again(store))).backlog('q');
    expect([kept.shift()!.count, kept.shift()!.count]).toEqual([3, 0]);
  });

  it('remembers it also when the file is gone in which that stood', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'store-'));
    const store = new DiskStore({ directory }, fs, 16 * 1024);
    directories.push(directory);
    made.set(store, directory);
    await opened(store);
    const [kept, ...others] = ['kept', 'first', 'second', 'third'].map((name) => store.backlog(name));
    // What is to be known of the queues stands in the first file.
    for (const backlog of [kept!, ...others]) push(backlog, 1);
    for (const [index, other] of others.entries()) {
      while (files(store).length < index + 2) {
        push(other, 1, 1_000);
        await synced(store);
      }
      if (index > 0) continue;
      const entry = kept!.shift()!;
      entry.count = 3;
      kept!.count(entry);
      kept!.restore(entry);
    }
    const [first, second] = files(store);
    // First the message moves, then what there is else behind it goes all at once.
    for (const [index, gone] of [first!, second!].entries()) {
      drain(others[index]!);
      await synced(store);
      while (files(store).includes(gone)) await setTimeout(5);
    }
    await store.close();
    expect((await opened(again(store))).backlog('kept').shift()!.count).toBe(3);
  });

  it('has nothing of a group that was cut off, and all of those before', async () => {
    const store = await opened(make());
    const backlog = store.backlog('q');
    push(backlog, 3);
    await synced(store);
    backlog.remove(backlog.shift()!);
    push(backlog, 2);
    await synced(store);
    // With what was filled beforehand behind it, and without.
    for (const filled of [100_000, 0]) {
      const directory = killed(store);
      const path = join(directory, '00000001.log');
      const bytes = readFileSync(path);
      writeFileSync(path, Buffer.concat([bytes.subarray(0, endOf(bytes) - 1), Buffer.alloc(filled, 0xff)]));
      const lines: string[] = [];
      const next = await opened(make(directory, { report: (line) => lines.push(line) }));
      expect(numbers(drain(next.backlog('q')))).toEqual([0, 1, 2]);
      expect(lines.join()).toMatch('cut off');
    }
  });

  it('sets aside what is damaged, by name, and serves the rest', async () => {
    const store = await opened(make());
    const backlog = store.backlog('q');
    await pushEach(store, backlog, 10);
    await store.close();
    const [path] = files(store);
    const bytes = readFileSync(path!);
    // The body of the fourth message.
    let at = -1;
    for (let i = 0; i < 4; i++) at = bytes.indexOf('0 xxxxxxxx', at + 1);
    bytes[at] = 'Z'.charCodeAt(0);
    writeFileSync(path!, bytes);
    const lines: string[] = [];
    const next = await opened(again(store, { report: (line) => lines.push(line) }));
    expect(drain(next.backlog('q'))).toHaveLength(9);
    expect(lines.join()).toMatch(/damaged from .* \/queue\/a/);
    expect(readdirSync(join(made.get(store)!, 'damaged'))).toHaveLength(1);
  });

  it('tells of damage once, though it stays in the log for a time, and of what comes later', async () => {
    const store = await opened(make());
    const backlog = store.backlog('q');
    await pushEach(store, backlog, 10);
    await store.close();
    const directory = made.get(store)!;
    const [path] = files(store);
    const spoil = (from: number) => {
      const bytes = readFileSync(path!);
      const at = bytes.indexOf('0 xxxxxxxx', from);
      bytes[at] = 'Z'.charCodeAt(0);
      writeFileSync(path!, bytes);
      return at + 1;
    };
    const said = async () => {
      const lines: string[] = [];
      const next = await opened(again(store, { report: (line) => lines.push(line) }));
      await next.close();
      return lines;
    };
    const group = expect.stringMatching(/^00000001.log: the group of records at \d+ is damaged/);
    const record = expect.stringMatching(/^00000001.log is damaged from \d+ to \d+: messages of \/queue\/a; set aside/);
    const first = spoil(0);
    expect((await checkStore(directory)).damage.join()).not.toMatch('before');
    expect(await said()).toEqual([group, record]);
    expect(await said()).toEqual([]);
    const known = expect.stringMatching(/; it was set aside before, and stays until the file is cleaned$/);
    expect((await checkStore(directory)).damage).toEqual([known, known]);
    // Not the next one: the two would be one damage.
    spoil(first + 300);
    expect(await said()).toEqual([record]);
    expect(await said()).toEqual([]);
    // What nobody has kept is set aside, and told of, once more.
    rmSync(join(directory, 'damaged'), { recursive: true });
    expect(await said()).toEqual([group, record, record]);
  });

  it('says why damage could not be set aside, and keeps it where it is', async () => {
    const store = await opened(make());
    push(store.backlog('q'), 1);
    await store.close();
    const [path] = files(store);
    const bytes = readFileSync(path!);
    bytes[bytes.indexOf('0 xxxxxxxx')] = 'Z'.charCodeAt(0);
    writeFileSync(path!, bytes);
    writeFileSync(join(made.get(store)!, 'damaged'), 'a file, and no directory');
    const lines: string[] = [];
    const report = (line: string) => lines.push(line);
    await opened(again(store, { report }));
    expect(lines.at(-1)).toMatch(/damaged from .*; it stays where it is, it cannot be set aside \(ENOTDIR.*\)$/);
    expect(files(store)).toContain(path);
  });

  it.each([
    ['the first of the last group', '0 '],
    ['the last of the last group', '2 '],
  ])('takes %s for damaged, not for cut off, where all of it is there, and serves the rest', async (_, which) => {
    const store = await opened(make());
    const backlog = store.backlog('q');
    push(backlog, 3);
    await store.close();
    const [path] = files(store);
    const bytes = readFileSync(path!);
    bytes[bytes.indexOf(`${which}xxxxxxxx`) + 4] = 'Z'.charCodeAt(0);
    writeFileSync(path!, bytes);
    const lines: string[] = [];
    const next = await opened(again(store, { report: (line) => lines.push(line) }));
    const left = [0, 1, 2].filter((i) => i !== Number(which));
    expect(numbers(drain(next.backlog('q')))).toEqual(left);
    expect(lines.join()).toMatch(/damaged from \d+ to \d+: messages of \/queue\/a; set aside in damaged/);
  });

  it.each(['a proper end', 'a kill'])(
    'loses one message at most by one octet that is wrong, wherever that stands behind the queue, and says so, after %s',
    async (how) => {
      const store = await opened(make());
      const backlog = store.backlog('q');
      push(backlog, 1);
      await synced(store);
      const begin = endOf(readFileSync(files(store)[0]!));
      push(backlog, 3);
      // An acknowledgement ends with zeros.
      backlog.remove(backlog.shift()!);
      await synced(store);
      const directory = how === 'a kill' ? killed(store) : made.get(store)!;
      await store.close();
      const path = join(directory, '00000001.log');
      const bytes = readFileSync(path);
      // Only a kill leaves what was written beforehand.
      expect(bytes.length > endOf(bytes)).toBe(how === 'a kill');
      const places = [
        ...Array.from({ length: 12 }, (_, i) => i),
        ...Array.from(bytes.keys()).slice(begin, endOf(bytes)),
      ];
      for (const at of places) {
        const wrong = Buffer.from(bytes);
        wrong[at]! ^= 0x41;
        writeFileSync(path, wrong);
        const { messages, damage } = await checkStore(directory);
        expect([at, messages >= (at < 12 ? 3 : 2), damage.length > 0]).toEqual([at, true, true]);
      }
    },
  );

  it('takes what was written beforehand for nothing, and gives it back at its end', async () => {
    const store = await opened(make());
    push(store.backlog('q'), 3);
    await synced(store);
    const directory = killed(store);
    const [path] = files(store);
    expect(statSync(path!).size).toBeGreaterThan(100_000);
    await store.close();
    const { octets, damage, notes } = await checkStore(directory);
    expect([octets, damage, notes]).toEqual([statSync(path!).size, [], []]);
    const lines: string[] = [];
    const next = await opened(make(directory, { report: (line) => lines.push(line) }));
    expect(statSync(join(directory, '00000001.log')).size).toBe(octets);
    expect(drain(next.backlog('q'))).toHaveLength(3);
    expect(lines).toEqual([]);
  });

  it('puts the head of a file right, which is told of once', async () => {
    const store = await opened(make());
    push(store.backlog('q'), 3);
    await store.close();
    const [path] = files(store);
    const bytes = readFileSync(path!);
    bytes[9]! ^= 1;
    writeFileSync(path!, bytes);
    const lines: string[] = [];
    const next = await opened(again(store, { report: (line) => lines.push(line) }));
    await next.close();
    expect(lines.join()).toMatch('00000001.log: the head of the file is damaged, its records are not; it is put right');
    lines.length = 0;
    const third = await opened(again(store, { report: (line) => lines.push(line) }));
    expect(drain(third.backlog('q'))).toHaveLength(3);
    expect(lines).toEqual([]);
  });

  it('has nothing of a last group that was cut off behind one of its records', async () => {
    const store = await opened(make());
    const backlog = store.backlog('q');
    push(backlog, 1);
    await synced(store);
    push(backlog, 2);
    await synced(store);
    const directory = killed(store);
    const path = join(directory, '00000001.log');
    const bytes = readFileSync(path);
    const begin = bytes.lastIndexOf('0 xxxxxxxx') + 10;
    expect(begin).toBeLessThan(bytes.length);
    truncateSync(path, begin);
    const lines: string[] = [];
    const next = await opened(make(directory, { report: (line) => lines.push(line) }));
    expect(drain(next.backlog('q'))).toHaveLength(1);
    expect(lines.join()).toMatch('cut off');
  });

  it('has nothing of a last group that misses a block in its middle, as after power loss, whatever else is there', async () => {
    const store = await opened(make());
    const backlog = store.backlog('q');
    push(backlog, 1);
    await synced(store);
    push(backlog, 9, 1000);
    await synced(store);
    const directory = killed(store);
    const path = join(directory, '00000001.log');
    const bytes = readFileSync(path);
    bytes.fill(0, 4096, 4608);
    writeFileSync(path, bytes);
    const lines: string[] = [];
    const next = await opened(make(directory, { report: (line) => lines.push(line) }));
    expect(drain(next.backlog('q'))).toHaveLength(1);
    expect(lines.join()).toMatch(/ends with a write that was cut off.*set aside in damaged/);
  });

  it('gives messages back to the queue that they were sent to, where its own record is lost, and keeps them there', async () => {
    const store = await opened(make());
    const backlog = store.backlog('*\0a');
    push(backlog, 3);
    await synced(store);
    backlog.remove(backlog.shift()!);
    await store.close();
    const [path] = files(store);
    const bytes = readFileSync(path!);
    bytes[bytes.indexOf('"kind":"queue"') + 1] = 'K'.charCodeAt(0);
    writeFileSync(path!, bytes);
    const lines: string[] = [];
    const next = await opened(again(store, { report: (line) => lines.push(line) }));
    expect(lines.join()).toMatch(/2 messages to \/queue\/a belong to no queue .*; they are back in it, with the rules/);
    expect(numbers(drain(next.backlog('*\0a')).slice(0, 1))).toEqual([1]);
    push(next.backlog('*\0a'), 5);
    await next.close();
    lines.length = 0;
    const third = await opened(again(store, { report: (line) => lines.push(line) }));
    expect(numbers(drain(third.backlog('*\0a')))).toEqual([0, 1, 2, 3, 4]);
    expect(lines.join()).not.toMatch('belong to no queue');
  });

  it('names and sets aside a record that makes no sense, and messages of a queue whose record is lost', async () => {
    const store = await opened(make());
    for (const destination of ['/topic/a', '/topic/b']) {
      const frame = new Frame('SEND', { destination, persistent: 'true' }, 'x');
      store.backlog('q').push(new Message(destination, frame), undefined);
    }
    push(store.backlog('other'), 1);
    await store.close();
    const [path] = files(store);
    const bytes = readFileSync(path!);
    bytes[bytes.indexOf('"kind":"queue"') + 1] = 'K'.charCodeAt(0);
    writeFileSync(path!, bytes);
    const lines: string[] = [];
    const next = await opened(again(store, { report: (line) => lines.push(line) }));
    expect(drain(next.backlog('other'))).toHaveLength(1);
    expect(lines.join()).toMatch(
      /2 messages to \/topic\/a, \/topic\/b belong to no queue .*; set aside in damaged\/queue-\d+/,
    );
    await next.close();
    // They are told of once.
    lines.length = 0;
    await opened(again(store, { report: (line) => lines.push(line) }));
    expect(lines.join()).not.toMatch('belong to no queue');
  });

  it('keeps little of thousands of queues in memory, and each in its order', async () => {
    const store = await opened(make(undefined, { sync: 'never', memory: 0 }));
    const queues = Array.from({ length: 1_500 }, (_, n) => store.backlog(`*\0${n}`));
    let most = 0;
    for (const queue of queues) {
      push(queue, 16, 6_000);
      await synced(store);
      most = Math.max(most, store.memory);
    }
    // 144 MB of messages.
    expect(most).toBeLessThan(65 * 1024 * 1024);
    const inOrder = Array.from({ length: 16 }, (_, n) => n);
    for (const queue of queues) expect(numbers(drain(queue))).toEqual(inOrder);
    expect(store.memory).toBe(0);
  });

  it.each([
    ['one of 512', 512, 2_000],
    ['one of 64', 64, 8_000],
    ['all', 1, 50_000],
  ])(
    'keeps some tens of octets in memory for each message that waits where of those that come it is %s',
    async (_, of, waiting) => {
      const store = await opened(make(undefined, { memory: 0, sync: 'never' }));
      const [kept, other] = [store.backlog('kept'), store.backlog('other')];
      const passing = message('x');
      const fill = async (count: number) => {
        for (let i = 0; i < count; i++) {
          push(kept, 1);
          for (let k = 1; k < of; k++) {
            other.push(passing, undefined);
            other.remove(other.shift()!);
          }
          if (i % 64 === 0) await synced(store);
        }
        await synced(store);
      };
      await fill(waiting / 10);
      const before = memory();
      await fill(waiting);
      expect((memory() - before) / waiting).toBeLessThan(150);
    },
  );

  it('knows of each of many messages where it stands and when it expires, whichever are left, and moved', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'store-'));
    directories.push(directory);
    const start = () => opened(new DiskStore({ directory, memory: 0, sync: 'never' }, fs, 256 * 1024));
    const later = Date.now() + 3_600_000;
    const expiry = (i: number) => (i % 3 === 0 ? later + i : 0);
    const rounds = [(i: number) => i % 4 !== 1, (i: number) => i % 100 < 30, (i: number) => i % 1_000 < 3];
    let left = Array.from({ length: 30_000 }, (_, i) => i);
    let store = await start();
    for (const i of left) {
      store.backlog('q').push(message(String(i), { persistent: 'true', expires: String(expiry(i)) }), undefined);
    }
    await synced(store);
    const expiries = () => {
      const found: number[] = [];
      const cursor = store.backlog('q').cursor();
      const accepts = (expires: number) => found.push(expires) < 0;
      const slice = new Slice();
      do {
        slice.begin(1024 * 1024);
        store.backlog('q').sweep(cursor, { wanted: false, accepts, missed: () => undefined }, slice);
      } while (slice.over);
      cursor.close();
      return found;
    };
    for (const stays of rounds) {
      const backlog = store.backlog('q');
      const kept = [];
      for (let entry = backlog.shift(); entry !== undefined; entry = backlog.shift()) {
        if (stays(Number(entry.message.body.toString()))) kept.push(entry);
        else backlog.remove(entry);
      }
      left = left.filter(stays);
      expect(kept.map(({ message }) => Number(message.body.toString()))).toEqual(left);
      for (const entry of kept) backlog.restore(entry);
      await synced(store);
      expect(expiries()).toEqual(left.map(expiry));
      await store.close();
      store = await start();
      await synced(store);
      expect(expiries()).toEqual(left.map(expiry));
    }
    expect(numbers(drain(store.backlog('q')))).toEqual(left);
  });

  it('sets a long queue aside a piece at a time, whole or not at all', async () => {
    const store = await opened(make());
    const directory = made.get(store)!;
    const sent = Array.from({ length: 3_000 }, (_, n) => `${n} `.padEnd(2_000, 'x'));
    for (const [n, body] of sent.entries()) {
      const frame = new Frame('SEND', { destination: `/topic/${n % 7}`, persistent: 'true' }, body);
      store.backlog('q').push(new Message(`/topic/${n % 7}`, frame), undefined);
    }
    await store.close();
    const [path] = files(store);
    const bytes = readFileSync(path!);
    bytes[bytes.indexOf('"kind":"queue"') + 1] = 'K'.charCodeAt(0);
    writeFileSync(path!, bytes);
    let room = 3_000_000;
    let most = 0;
    const asides = new Set<number>();
    const openSync: typeof fs.openSync = (...parts) => {
      const fd = fs.openSync(...parts);
      if (/damaged.queue-\d+/.test(String(parts[0]))) asides.add(fd);
      return fd;
    };
    const writeSync = (fd: number, from: Buffer, at: number, length: number, position: number) => {
      if (asides.has(fd)) {
        most = Math.max(most, length);
        if (length > room) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
        room -= length;
      }
      return fs.writeSync(fd, from, at, length, position);
    };
    const start = async () => {
      const lines: string[] = [];
      const report = (line: string) => lines.push(line);
      const next = new DiskStore({ directory, report }, { ...fs, openSync, writeSync });
      await next.open();
      await next.close();
      return lines.join();
    };
    const asideFiles = () => readdirSync(join(directory, 'damaged')).filter((name) => name.startsWith('queue-'));
    expect(await start()).toMatch(/3000 messages to .* belong to no queue .*no room to set it aside/);
    expect(asideFiles()).toEqual([]);
    room = Number.POSITIVE_INFINITY;
    expect(await start()).toMatch(
      /3000 messages to (\/topic\/\d, ){4}\/topic\/\d belong to no queue .*; set aside in damaged\/queue-\d+/,
    );
    const [aside] = asideFiles();
    const kept = readFileSync(join(directory, 'damaged', aside!), 'latin1');
    // Between bodies stand random numbers, which may look like a short one, or begin with an x.
    expect(kept.match(/\d+ x{1900,}/g)?.map((text) => text.slice(0, 2_000))).toEqual(sent);
    expect(most).toBeLessThan(2_000_000);
    expect(await start()).not.toMatch('belong to no queue');
  });

  it('passes over a message that is damaged while the store is open', async () => {
    const lines: string[] = [];
    const store = await opened(make(undefined, { memory: 0, report: (line) => lines.push(line) }));
    const backlog = store.backlog('q');
    push(backlog, 200, 1000);
    await synced(store);
    const [path] = files(store);
    const bytes = readFileSync(path!);
    const at = bytes.lastIndexOf('199 ');
    bytes[at] = 'Z'.charCodeAt(0);
    writeFileSync(path!, bytes);
    expect(numbers(drain(backlog))).toEqual(Array.from({ length: 199 }, (_, i) => i));
    expect(backlog.length).toBe(0);
    expect(lines.join()).toMatch('a message of queue q is damaged');
  });

  it('does not count a damaged message as waiting once a consumer that chooses has met it', async () => {
    const store = await opened(make(undefined, { memory: 0 }));
    const backlog = store.backlog('q');
    push(backlog, 200, 1000);
    await synced(store);
    const [path] = files(store);
    const bytes = readFileSync(path!);
    for (const damaged of ['150 ', '199 ']) bytes[bytes.lastIndexOf(damaged)] = 'Z'.charCodeAt(0);
    writeFileSync(path!, bytes);
    const cursor = backlog.cursor();
    const slice = new Slice();
    // How far a slice gets in one turn depends on the time it takes.
    do {
      slice.begin(1_000_000);
      expect(backlog.take(cursor, () => false, slice)).toBeUndefined();
    } while (slice.over);
    expect(backlog.length).toBe(198);
    const left = Array.from({ length: 200 }, (_, i) => i).filter((i) => i !== 150 && i !== 199);
    expect(numbers(drain(backlog))).toEqual(left);
    expect(backlog.length).toBe(0);
  });

  it('knows after a restart how many octets of bodies wait', async () => {
    const store = await opened(make());
    const wire = new FrameDecoder({
      onFrame: (frame) => store.backlog('q').push(new Message('/queue/a', frame), undefined),
    });
    for (let i = 0; i < 10; i++) {
      wire.push(
        Buffer.from(`SEND\ndestination:/queue/a\npersistent:true\nn:${'x'.repeat(i)}\n\n${'y'.repeat(2 * i)}\0`),
      );
    }
    const octets = [...store.backlog('q').values()].reduce((sum, entry) => sum + (entry?.message.length ?? 0), 0);
    await store.close();
    expect((await opened(again(store))).backlog('q').recovered!.octets).toBe(octets);
  });

  it('does not serve again what was removed from a copy, while the file that it was copied from has to stay', async () => {
    const SMALL = 16 * 1024;
    const directory = mkdtempSync(join(tmpdir(), 'store-'));
    directories.push(directory);
    const said: string[] = [];
    const start = () => opened(new DiskStore({ directory, memory: 0, report: (line) => said.push(line) }, fs, SMALL));
    let store = await start();
    let backlog = store.backlog('q');
    const add = async (body: string, size = 1_000) => {
      backlog.push(message(body.padEnd(size, '.')), undefined);
      await synced(store);
    };
    const removeOne = async () => {
      const entry = backlog.shift();
      if (entry !== undefined) backlog.remove(entry);
      await synced(store);
      return entry?.message.body.toString().split(' ')[0];
    };
    const files = () => readdirSync(directory).filter((name) => name.endsWith('.log'));
    for (let i = 0; i < 18; i++) await add(`m${i} `);
    const path = join(directory, '00000001.log');
    const bytes = readFileSync(path);
    bytes[bytes.indexOf('m9 ') + 500]! ^= 1;
    writeFileSync(path, bytes);
    for (let i = 0; i < 9; i++) await removeOne();
    // Its file is cleaned, and stays.
    for (let i = 0; !said.some((line) => line.startsWith('00000001.log stays')); i++) await add(`tick${i} `, 10);
    const removed = new Set<string | undefined>();
    for (let name = await removeOne(); name !== undefined; name = await removeOne()) removed.add(name);
    expect(removed).toContain('m11');
    // Until what says that they are gone was moved on, time and again.
    for (let generation = 0; generation < 4; generation++) {
      const before = new Set(files().filter((name) => name !== '00000001.log'));
      for (let i = 0; files().some((name) => before.has(name)); i++) {
        await add(`x${i} `, 3_000);
        await removeOne();
      }
    }
    await store.close();
    store = await start();
    backlog = store.backlog('q');
    expect(drain(backlog)).toEqual([]);
  });

  it('keeps the body that a frame was given after it had come', async () => {
    const store = await opened(make());
    const wire = new FrameDecoder({
      onFrame: (frame) => {
        frame.body = 'another one';
        store.backlog('q').push(new Message('/queue/a', frame), undefined);
      },
    });
    for (let i = 0; i < 3; i++) wire.push(Buffer.from(`SEND\ndestination:/queue/a\npersistent:true\n\nbody ${i}\0`));
    await store.close();
    expect(drain((await opened(again(store))).backlog('q'))).toEqual(new Array(3).fill('another one'));
  });

  it('gives the space back that messages took which are gone, and keeps those that are not', async () => {
    const store = await opened(make(undefined, { sync: 'never' }));
    const backlog = store.backlog('q');
    const kept = store.backlog('kept');
    push(kept, 5);
    for (let round = 0; round < 12; round++) {
      push(backlog, 200, 20_000);
      push(kept, 1);
      await synced(store);
      drain(backlog);
      await synced(store);
    }
    // 48 MB went through.
    await store.close();
    const next = await opened(again(store));
    await synced(next);
    expect(next.backlog('q').length).toBe(0);
    expect(numbers(drain(next.backlog('kept')))).toEqual([0, 1, 2, 3, 4, ...Array.from({ length: 12 }, () => 0)]);
    const size = () => files(next).reduce((sum, path) => sum + statSync(path).size, 0);
    while (size() > 24 * 1024 * 1024) await setTimeout(10);
  });

  it('does not move what is drained anyway', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'store-'));
    directories.push(directory);
    let octets = 0;
    const disk = {
      ...fs,
      writeSync(fd: number, bytes: Buffer, at: number, length: number, position: number) {
        octets += length;
        return fs.writeSync(fd, bytes, at, length, position);
      },
    };
    const store = new DiskStore({ directory, memory: 0 }, disk);
    made.set(store, directory);
    await opened(store);
    const backlog = store.backlog('q');
    for (let i = 0; i < 22; i++) {
      push(backlog, 100, 32_000);
      await synced(store);
    }
    octets = 0;
    while (backlog.length > 0) {
      backlog.remove(backlog.shift()!);
      await synced(store);
    }
    // 70 MB were there, and not much of them was written again; 256 KiB are filled ahead.
    expect(octets).toBeLessThan(1_000_000);
    const size = () => files(store).reduce((sum, path) => sum + statSync(path).size, 0);
    while (size() > 40 * 1024 * 1024) await setTimeout(10);
  });

  it('moves what is left of a file once nobody consumes it any more, and nothing else is done', async () => {
    const store = await opened(make(undefined, { memory: 0, sync: 'never' }));
    const backlog = store.backlog('q');
    for (let i = 0; i < 11; i++) {
      push(backlog, 100, 32_000);
      await synced(store);
    }
    const [first] = files(store);
    // More than half of the first file.
    for (let i = 0; i < 700; i++) backlog.remove(backlog.shift()!);
    await synced(store);
    while (fs.existsSync(first!)) await setTimeout(10);
    expect(numbers(drain(backlog))).toHaveLength(400);
  });

  it('does not take what was handed out of a queue that is gone for damage, after a kill', async () => {
    const SMALL = 16 * 1024;
    const directory = mkdtempSync(join(tmpdir(), 'store-'));
    directories.push(directory);
    const store = new DiskStore({ directory, memory: 0 }, fs, SMALL);
    made.set(store, directory);
    await opened(store);
    const [gone, other] = [store.backlog('gone'), store.backlog('other')];
    push(gone, 3, 100);
    push(other, 1, 100);
    await synced(store);
    for (let i = 0; i < 3; i++) gone.shift();
    store.drop('gone');
    await synced(store);
    // Until the files are cleaned in which they stood, and in which it stands that their queue is gone.
    const names = () => new Set(files(store));
    for (let generation = 0; generation < 3; generation++) {
      const before = names();
      while ([...names()].some((name) => before.has(name))) {
        push(other, 1, 3_000);
        await synced(store);
        other.remove(other.shift()!);
        await synced(store);
      }
    }
    const said: string[] = [];
    const next = await opened(make(killed(store), { report: (line) => said.push(line) }));
    expect(said).toEqual([]);
    expect(drain(next.backlog('gone'))).toEqual([]);
  });

  describe('of small files, of which one queue is gone and the other is not', () => {
    const SMALL = 64 * 1024;
    /** Two queues that were filled in turns, the first of which was then drained. */
    const halfDrained = async () => {
      const directory = mkdtempSync(join(tmpdir(), 'store-'));
      directories.push(directory);
      const moved = { octets: 0, at: 0 };
      const move = (octets: number) => {
        moved.octets += octets;
        moved.at = performance.now();
      };
      const disk = {
        ...fs,
        read(fd: number, into: Buffer, at: number, length: number, position: number, done: Read) {
          move(length);
          fs.read(fd, into, at, length, position, done);
        },
        writeSync(fd: number, bytes: Buffer, at: number, length: number, position: number) {
          move(length);
          return fs.writeSync(fd, bytes, at, length, position);
        },
      };
      const store = new DiskStore({ directory, sync: 'never' }, disk, SMALL);
      made.set(store, directory);
      await opened(store);
      const [gone, kept] = [store.backlog('gone'), store.backlog('kept')];
      for (let i = 0; i < 5_000; i++) {
        push(gone, 1, 20);
        push(kept, 1, 120);
        if (i % 100 === 0) await synced(store);
      }
      await synced(store);
      const size = () =>
        files(store).reduce((sum, path) => sum + (statSync(path, { throwIfNoEntry: false })?.size ?? 0), 0);
      const filled = size();
      for (let left = 5_000; left > 0; left -= 100) {
        for (let i = 0; i < 100; i++) gone.remove(gone.shift()!);
        await synced(store);
      }
      moved.octets = 0;
      return { store, kept, moved, size, filled };
    };

    it('comes to rest: what says that messages are gone is not moved again and again', async () => {
      const { moved, filled } = await halfDrained();
      while (moved.octets < 4 * filled && performance.now() - moved.at < 500) await setTimeout(10);
      expect(moved.octets).toBeLessThan(4 * filled);
    });

    it('gives all of the space back once the other is gone too', async () => {
      const { store, kept, size } = await halfDrained();
      expect(drain(kept)).toHaveLength(5_000);
      await synced(store);
      while (size() > 2 * SMALL) await setTimeout(10);
      await store.close();
      expect(drain((await opened(again(store))).backlog('gone'))).toEqual([]);
    });
  });

  it('looks for what is needed of a file in many turns of the event loop', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'store-'));
    directories.push(directory);
    let turns = 0;
    let turning = true;
    const turn = () => {
      turns++;
      if (turning) setImmediate(turn);
    };
    let readAt = 0;
    let took: number | undefined;
    const disk = {
      ...fs,
      read(fd: number, into: Buffer, at: number, length: number, position: number, done: Read) {
        fs.read(fd, into, at, length, position, (error, got) => {
          readAt = turns;
          done(error, got);
        });
      },
      // No turn passes in it.
      fdatasync(fd: number, done: (error: Error | null) => void) {
        fs.fdatasyncSync(fd);
        queueMicrotask(() => done(null));
      },
      rmSync(path: string, options: { force: true }) {
        if (basename(path) === '00000001.log') took = turns - readAt;
        fs.rmSync(path, options);
      },
    };
    const store = new DiskStore({ directory }, disk, 8 * 1024 * 1024);
    made.set(store, directory);
    await opened(store);
    const [gone, kept] = [store.backlog('gone'), store.backlog('kept')];
    push(kept, 1);
    while (files(store).length < 2) {
      push(gone, 1_000);
      await synced(store);
    }
    const messages = gone.length;
    setImmediate(turn);
    drain(gone);
    while (took === undefined) await setTimeout(5);
    turning = false;
    expect(took).toBeGreaterThan(messages / 2_500);
  });

  it.each(['never', 'interval'] as const)(
    'deletes no file with --sync %s before what took the place of its messages is synced',
    async (sync) => {
      const directory = mkdtempSync(join(tmpdir(), 'store-'));
      directories.push(directory);
      const paths = new Map<number, string>();
      /** Files with writes that no sync has covered. */
      const unsafe = new Set<string>();
      const atDeletion: string[][] = [];
      const disk = {
        ...fs,
        openSync(path: string, flags: string) {
          const fd = fs.openSync(path, flags);
          paths.set(fd, path);
          return fd;
        },
        writeSync(fd: number, bytes: Buffer, at: number, length: number, position: number) {
          unsafe.add(paths.get(fd)!);
          return fs.writeSync(fd, bytes, at, length, position);
        },
        fdatasyncSync(fd: number) {
          unsafe.delete(paths.get(fd)!);
          fs.fdatasyncSync(fd);
        },
        fdatasync(fd: number, done: (error: Error | null) => void) {
          const path = paths.get(fd)!;
          fs.fdatasync(fd, (error) => {
            unsafe.delete(path);
            done(error);
          });
        },
        rmSync(path: string, options: { force: true }) {
          if (path.endsWith('.log'))
            atDeletion.push([...unsafe].filter((name) => name.endsWith('.log') && name !== path));
          fs.rmSync(path, options);
        },
      };
      const store = new DiskStore({ directory, sync }, disk, 64 * 1024);
      open.push(store);
      await store.open();
      const [from, to] = [store.backlog('from'), store.backlog('to')];
      push(from, 100, 1000);
      await synced(store);
      // They move, as dead letters do.
      for (let entry = from.shift(); entry !== undefined; entry = from.shift()) {
        to.push(message(entry.message.body.toString()), undefined);
        from.remove(entry);
      }
      await synced(store);
      while (atDeletion.length === 0) await setTimeout(5);
      expect(atDeletion.flat()).toEqual([]);
      expect(drain(to)).toHaveLength(100);
    },
  );

  it('keeps order when most of a queue is on disk, and messages come back', async () => {
    const store = await opened(make(undefined, { memory: 10_000 }));
    const backlog = store.backlog('q');
    push(backlog, 2_000, 200);
    await synced(store);
    const taken = Array.from({ length: 500 }, () => backlog.shift()!);
    for (const entry of taken.reverse()) backlog.restore(entry);
    expect(backlog.length).toBe(2_000);
    expect(numbers(drain(backlog))).toEqual(Array.from({ length: 2_000 }, (_, i) => i));
  });

  it('keeps things besides messages, the last of each key', async () => {
    const store = await opened(make());
    const last = message('last');
    store.keep({ kind: 'retained', key: 'v\0t', about: { expires: 1 }, message: message('first') });
    store.keep({ kind: 'retained', key: 'v\0t', about: { expires: 2 }, message: last });
    store.keep({ kind: 'durable', key: 'v\0d', about: { topic: 't' } });
    store.forget('durable', 'v\0d');
    await store.close();
    const kept = [...(await opened(again(store))).kept()];
    expect(kept.map(({ kind, key, about }) => ({ kind, key, about }))).toEqual([
      { kind: 'retained', key: 'v\0t', about: { expires: 2 } },
    ]);
    expect(kept[0]!.message!.body.toString()).toBe('last');
  });
});
