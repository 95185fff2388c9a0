import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { type Backlog, DiskStore, type DiskStoreOptions } from 'nestjs-stomp-broker';
import { Frame, Message } from 'nestjs-stomp/server';
import { numbers as drawFrom } from '../../../support/random.js';
import { PowerDisk } from './power.disk.js';

jest.setTimeout(120_000);

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

/** Small files, so that there are many, and the log is cleaned all the time. */
const FILE_SIZE = 4096;
const TURNS = 250;
const LOSSES = 12;
const KILLS = 3;
/** One in so many messages is never removed. */
const STAYS = 9;

/** What was done, and what of it was confirmed, up to some moment. */
class Ledger {
  /** Numbers of messages by the turn in which they were pushed: all of a turn is kept, or nothing. */
  turns: number[][] = [];
  readonly confirmed = new Set<number>();
  readonly removing = new Set<number>();
  readonly removed = new Set<number>();
  /** What is retained: the last value, and the last one that was confirmed. */
  value = 0;
  safeValue = 0;
  /** The number of the next message. */
  next = 0;

  copy(): Ledger {
    const copy = new Ledger();
    copy.turns = this.turns.map((turn) => [...turn]);
    for (const set of ['confirmed', 'removing', 'removed'] as const) {
      for (const number of this[set]) copy[set].add(number);
    }
    copy.value = this.value;
    copy.safeValue = this.safeValue;
    copy.next = this.next;
    return copy;
  }

  /** What is promised from then on when the power was lost, and that is what is there: it stays, and the rest is gone. */
  after({ numbers, value }: Served): Ledger {
    const after = new Ledger();
    const there = new Set(numbers);
    for (const number of numbers) after.confirmed.add(number);
    for (let number = 0; number < this.next; number++) if (!there.has(number)) after.removed.add(number);
    after.value = after.safeValue = value;
    after.next = this.next;
    return after;
  }
}

const message = (number: number) =>
  new Message(
    '/queue/a',
    new Frame('SEND', { destination: '/queue/a', persistent: 'true' }, `${number} `.padEnd(60, 'x')),
  );

/** What a disk may hold at some moment, and what was promised then. */
interface Moment {
  readonly disk: PowerDisk;
  readonly ledger: Ledger;
}

/** What is served by a store. */
interface Served {
  readonly numbers: number[];
  readonly value: number;
  readonly reports: string[];
}

/** Numbers from 0 to 1 by chance. */
function drawing(seed: number): () => number {
  const draw = drawFrom(seed);
  return () => draw(1_000_000) / 1_000_000;
}

function place(): string {
  const directory = mkdtempSync(join(tmpdir(), 'power-'));
  directories.push(directory);
  return directory;
}

/** Works on a store, and has the power fail, or the process killed, at random moments. */
async function work(
  seed: number,
  sync: DiskStoreOptions['sync'],
  directory = place(),
  { disk, ledger }: Moment = { disk: new PowerDisk(directory), ledger: new Ledger() },
) {
  const random = drawing(seed);
  const reports: string[] = [];
  const report = (line: string) => reports.push(line);
  const store = new DiskStore({ directory, sync, memory: 0, report }, disk, FILE_SIZE);
  await store.open();
  const backlog: Backlog = store.backlog('q', {});
  const waiting: { entry: NonNullable<ReturnType<Backlog['shift']>>; number: number }[] = [];
  const losses: Moment[] = [];
  const kills: Moment[] = [];
  const confirm = (then: () => void) => store.sync((error) => error === undefined && then());
  for (let turn = 0; turn < TURNS; turn++) {
    const pushed: number[] = [];
    for (let i = Math.floor(random() * 4); i > 0; i--) {
      backlog.push(message(ledger.next), undefined);
      pushed.push(ledger.next++);
    }
    if (pushed.length > 0) ledger.turns.push(pushed);
    confirm(() => {
      for (const number of pushed) ledger.confirmed.add(number);
    });
    if (random() < 0.2) {
      const value = ++ledger.value;
      store.keep({ kind: 'retained', key: 'k', about: { value } });
      confirm(() => (ledger.safeValue = value));
    }
    for (let entry = backlog.shift(); entry !== undefined; entry = backlog.shift()) {
      const number = Number(entry.message.body.toString().split(' ')[0]);
      // Some stay, and are moved again and again.
      if (number % STAYS > 0) waiting.push({ entry, number });
    }
    const gone: number[] = [];
    while (waiting.length > 0 && random() < 0.7) {
      const [{ entry, number }] = waiting.splice(Math.floor(random() * waiting.length), 1) as [(typeof waiting)[0]];
      backlog.remove(entry);
      ledger.removing.add(number);
      gone.push(number);
    }
    confirm(() => {
      for (const number of gone) ledger.removed.add(number);
    });
    for (let i = Math.floor(random() * 4); i > 0; i--) await setImmediate();
    if (random() < LOSSES / TURNS) losses.push({ disk: disk.lose(random), ledger: ledger.copy() });
    if (random() < KILLS / TURNS) kills.push({ disk: disk.kill(), ledger: ledger.copy() });
  }
  await store.close();
  losses.push({ disk: disk.lose(random), ledger: ledger.copy() });
  return { directory, losses, kills, files: disk.made, reports };
}

/** What is served by a store on what the disk holds after the power has come back. */
async function restart(directory: string, disk: PowerDisk): Promise<Served> {
  const reports: string[] = [];
  const store = new DiskStore({ directory, report: (line) => reports.push(line) }, disk, FILE_SIZE);
  await store.open();
  const numbers: number[] = [];
  const backlog = store.backlog('q', {});
  for (let entry = backlog.shift(); entry !== undefined; entry = backlog.shift()) {
    const text = entry.message.body.toString();
    expect(text).toBe(`${Number(text.split(' ')[0])} `.padEnd(60, 'x'));
    numbers.push(Number(text.split(' ')[0]));
  }
  const retained = [...store.kept()].find(({ kind }) => kind === 'retained');
  await store.close();
  return { numbers, value: (retained?.about.value as number | undefined) ?? 0, reports };
}

/** That all is there which was confirmed, and nothing that was taken away. */
function expectKept({ numbers, value, reports }: Served, ledger: Ledger): void {
  const there = new Set(numbers);
  expect(numbers).toEqual([...there].sort((a, b) => a - b));
  expect([...ledger.confirmed].filter((number) => !there.has(number) && !ledger.removing.has(number))).toEqual([]);
  expect(numbers.filter((number) => ledger.removed.has(number))).toEqual([]);
  for (const turn of ledger.turns) {
    const left = turn.filter((number) => !ledger.removing.has(number));
    expect([0, left.length]).toContain(left.filter((number) => there.has(number)).length);
  }
  expect(value).toBeGreaterThanOrEqual(ledger.safeValue);
  expect(value).toBeLessThanOrEqual(ledger.value);
  // What was cut off by power loss is no damage.
  const others = reports.filter((line) => !line.includes('ends with a write that was cut off'));
  expect(others.filter((line) => line.search(/damage|missing|shorter/) >= 0)).toEqual([]);
}

const seeds = Array.from({ length: 12 }, (_, i) => i + 1);

describe('after power loss', () => {
  it.each(seeds)('--sync always keeps all that was confirmed, and nothing comes back (seed %i)', async (seed) => {
    const { directory, losses, files } = await work(seed, 'always');
    expect(files).toBeGreaterThan(5);
    for (const { disk, ledger } of losses) expectKept(await restart(directory, disk), ledger);
  });

  it.each(seeds)('--sync always keeps it over a second loss, after more work (seed %i)', async (seed) => {
    const first = await work(seed, 'always');
    for (const { disk, ledger } of first.losses.slice(0, 2)) {
      const served = await restart(first.directory, disk.kill());
      const second = await work(seed, 'always', first.directory, { disk, ledger: ledger.after(served) });
      for (const loss of second.losses) expectKept(await restart(first.directory, loss.disk), loss.ledger);
    }
  });

  it.each(seeds)('--sync always keeps it when the process was killed before (seed %i)', async (seed) => {
    const first = await work(seed, 'always');
    for (const kill of first.kills) {
      const second = await work(seed, 'always', first.directory, kill);
      for (const loss of second.losses) expectKept(await restart(first.directory, loss.disk), loss.ledger);
    }
  });

  describe.each(['interval', 'never'] as const)('--sync %s', (sync) => {
    it.each(seeds)('serves nothing that was not sent, and nothing twice (seed %i)', async (seed) => {
      const { directory, losses } = await work(seed, sync);
      for (const { disk, ledger } of losses) {
        const { numbers } = await restart(directory, disk);
        expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
        const sent = new Set(ledger.turns.flat());
        expect(numbers.filter((number) => !sent.has(number))).toEqual([]);
      }
    });

    it.each(seeds)(
      'keeps all that was there at a proper end, wherever it is moved after that (seed %i)',
      async (seed) => {
        const { directory, losses } = await work(seed, sync);
        const { disk, ledger } = losses.at(-1)!;
        const served = await restart(directory, disk.kill());
        expectKept(served, ledger);
        const second = await work(seed, sync, directory, { disk, ledger: ledger.after(served) });
        for (const loss of second.losses) {
          const there = new Set((await restart(directory, loss.disk)).numbers);
          expect(served.numbers.filter((number) => !there.has(number) && !loss.ledger.removing.has(number))).toEqual(
            [],
          );
        }
      },
    );
  });

  it('--sync interval keeps what is older than its interval', async () => {
    const directory = place();
    const disk = new PowerDisk(directory);
    const store = new DiskStore({ directory, sync: 'interval' }, disk, FILE_SIZE);
    await store.open();
    const random = drawing(1);
    const losses: { lost: PowerDisk; number: number }[] = [];
    // Its timers go by this clock; what goes on inside the process does not.
    jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'clearImmediate', 'queueMicrotask', 'performance'] });
    try {
      for (let number = 0; number < 3; number++) {
        store.backlog('q', {}).push(message(number), undefined);
        await new Promise<void>((resolve) => store.sync(() => resolve()));
        jest.advanceTimersByTime(100);
        for (let turns = 0; turns < 5; turns++) await setImmediate();
        losses.push(...Array.from({ length: 10 }, () => ({ lost: disk.lose(random), number })));
      }
    } finally {
      jest.useRealTimers();
      await store.close();
    }
    for (const { lost, number } of losses) {
      expect((await restart(directory, lost)).numbers).toEqual([0, 1, 2].slice(0, number + 1));
    }
  });

  it('nothing comes back of files that were deleted one after the other', async () => {
    const directory = place();
    const disk = new PowerDisk(directory);
    const store = new DiskStore({ directory, memory: 0 }, disk, FILE_SIZE);
    await store.open();
    const backlog = store.backlog('q', {});
    const written = () => new Promise<void>((resolve) => store.sync(() => resolve()));
    const logs = () => disk.readdirSync(directory).filter((name) => name.endsWith('.log'));
    let number = 0;
    const fill = async (files: number) => {
      while (logs().length < files) {
        backlog.push(message(number++), undefined);
        await written();
      }
    };
    await fill(2);
    const first = number - 1;
    // What says that these are gone stands in the second file.
    for (let n = 0; n < first / 3; n++) backlog.remove(backlog.shift()!);
    await fill(3);
    for (let entry = backlog.shift(); entry !== undefined; entry = backlog.shift()) backlog.remove(entry);
    await written();
    while (logs().length > 1) await setImmediate();
    const random = drawing(1);
    const losses = Array.from({ length: 20 }, () => disk.lose(random));
    await store.close();
    for (const lost of losses) expect((await restart(directory, lost)).numbers).toEqual([]);
  });

  it('what was cut off does not come back', async () => {
    const directory = place();
    const disk = new PowerDisk(directory);
    const first = new DiskStore({ directory }, disk, FILE_SIZE);
    await first.open();
    const confirmed = () => new Promise<void>((resolve) => first.sync(() => resolve()));
    first.backlog('q', {}).push(message(0), undefined);
    await confirmed();
    for (const number of [1, 2, 3]) first.backlog('q', {}).push(message(number), undefined);
    const random = drawing(1);
    const torn: PowerDisk[] = [];
    first.sync(() => undefined);
    await setImmediate();
    for (let n = 0; n < 30; n++) torn.push(disk.lose(random));
    await first.close();
    let cut = 0;
    for (const lost of torn) {
      const reports: string[] = [];
      const second = new DiskStore({ directory, report: (line) => reports.push(line) }, lost, FILE_SIZE);
      await second.open();
      second.backlog('q', {}).push(message(4), undefined);
      await new Promise<void>((resolve) => second.sync(() => resolve()));
      const again = Array.from({ length: 5 }, () => lost.lose(random));
      await second.close();
      if (reports.every((line) => !line.includes('cut off'))) continue;
      cut++;
      for (const one of again) {
        const served = await restart(directory, one);
        expect(served.numbers).toEqual([0, 4]);
        expect(served.reports).toEqual([]);
      }
    }
    expect(cut).toBeGreaterThan(0);
  });

  it('a directory that was made for it is there, and those above it', async () => {
    const root = place();
    const directory = join(root, 'made', 'for', 'it');
    mkdirSync(directory, { recursive: true });
    const disk = new PowerDisk(root);
    const store = new DiskStore({ directory }, disk, FILE_SIZE);
    await store.open();
    store.backlog('q', {}).push(message(1), undefined);
    await new Promise<void>((resolve) => store.sync(() => resolve()));
    const random = drawing(1);
    const losses = Array.from({ length: 10 }, () => disk.lose(random));
    await store.close();
    for (const lost of losses) expect((await restart(directory, lost)).numbers).toEqual([1]);
  });

  it('what may have been handed out before says so, though the end before that was a proper one', async () => {
    const random = drawing(1);
    const directory = place();
    const disk = new PowerDisk(directory);
    const first = new DiskStore({ directory }, disk, FILE_SIZE);
    await first.open();
    first.backlog('q', {}).push(message(1), undefined);
    await first.close();
    const second = new DiskStore({ directory }, disk, FILE_SIZE);
    await second.open();
    expect(second.backlog('q', {}).shift()?.count).toBe(0);
    const losses = Array.from({ length: 10 }, () => disk.lose(random));
    await second.close();
    for (const lost of losses) {
      const third = new DiskStore({ directory }, lost, FILE_SIZE);
      await third.open();
      expect(third.backlog('q', {}).shift()?.count).toBe(1);
      await third.close();
    }
  });
});
