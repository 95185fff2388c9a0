import fs, { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { type Backlog, DiskStore, LocalEngine, type Policy } from 'nestjs-stomp-broker';
import { join, joinAll, makeBroker, sendAll, standstill } from '../../../support/broker.js';
import { type RawPeer } from '../../../support/raw.js';
import { frame } from '../../../support/wire.js';

const QUEUE = '/queue/a';
const SIZE = 2_000;
const COUNT = 5_000;
const MB = 1024 * 1024;
const directories: string[] = [];

afterEach(() => {
  jest.restoreAllMocks();
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function makeDirectory(): string {
  const directory = mkdtempSync(joinPath(tmpdir(), 'slices-'));
  directories.push(directory);
  return directory;
}

/** A broker that keeps hardly any message in memory, and counts what it reads from the disk. */
async function littleMemory(policies: readonly Policy[] = [], directory = makeDirectory()) {
  const disk = { read: 0, fails: false, failures: 0 };
  const readSync: typeof fs.readSync = (...parts: unknown[]) => {
    if (disk.fails) {
      disk.failures++;
      throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' });
    }
    const octets = Reflect.apply(fs.readSync, fs, parts) as number;
    disk.read += octets;
    return octets;
  };
  const store = new DiskStore({ directory, memory: 0 }, { ...fs, readSync });
  const backlogs = new Map<string, Backlog>();
  const backlog = store.backlog.bind(store);
  store.backlog = (...about) => {
    const made = backlog(...about);
    backlogs.set(about[0], made);
    return made;
  };
  const broker = await makeBroker({ engine: new LocalEngine(store, policies) });
  const lengthOf = (queue: string) =>
    [...backlogs].find(([name]) => name.slice(name.indexOf('\0') + 1) === queue)?.[1].length ?? 0;
  return { store, broker, disk, lengthOf };
}

/** Lets turns of the event loop pass until something is so; the most by which a figure changed in one of them. */
async function mostInATurn(figure: () => number, until: () => boolean): Promise<number> {
  let most = 0;
  for (let last = figure(); !until(); last = figure()) {
    await setImmediate();
    most = Math.max(most, Math.abs(figure() - last));
  }
  return most;
}

const bodies = Array.from({ length: COUNT }, (_, n) => String(n).padEnd(SIZE, '.'));

describe('messages that expire on disk', () => {
  it('go a thousand a turn, and are not read where nobody wants them', async () => {
    const { broker, disk, lengthOf } = await littleMemory();
    const peer = await join(broker);
    await sendAll(peer, QUEUE, bodies, { persistent: 'true', expires: String(Date.now() + 2_000) });
    expect(lengthOf('a')).toBe(COUNT);
    const before = disk.read;
    const most = await mostInATurn(
      () => lengthOf('a'),
      () => lengthOf('a') === 0,
    );
    expect(most).toBeLessThan(1_100);
    expect(disk.read).toBe(before);
  });

  it('are read a few at a time where they go to the dead letters, all of them', async () => {
    const { broker, disk, lengthOf } = await littleMemory([{ destination: QUEUE, deadLetterExpired: true }]);
    const peer = await join(broker);
    await sendAll(peer, QUEUE, bodies, { persistent: 'true', expires: String(Date.now() + 2_000) });
    const most = await mostInATurn(
      () => disk.read,
      () => lengthOf('a') === 0,
    );
    expect(most).toBeLessThan(MB);
    expect(lengthOf('DLQ.a')).toBe(COUNT);
  });
});

describe('a consumer of a queue in which nearly all has expired', () => {
  it.each<[string, Policy]>([
    ['dropped', { destination: QUEUE }],
    ['buried', { destination: QUEUE, deadLetterExpired: true }],
  ])(
    'has it %s a few messages at a time, while others exchange messages, and gets what lives',
    async (what, policy) => {
      const directory = makeDirectory();
      const before = await littleMemory([policy], directory);
      const sender = await join(before.broker);
      const end = Date.now() + 60_000;
      await sendAll(sender, QUEUE, bodies, { persistent: 'true', expires: String(end) });
      await sendAll(sender, QUEUE, ['first', 'second'], { persistent: 'true' });
      await before.broker.close(100);
      // All has expired while it was away: nothing goes sooner.
      const begun = Date.now();
      const { now } = Date;
      jest.spyOn(Date, 'now').mockImplementation(() => now() + end - begun);

      const { broker, disk, lengthOf } = await littleMemory([policy], directory);
      const [consumer, client, service] = await joinAll(broker, 3);
      await service!.subscribe('/queue/requests');
      await client!.subscribe('/queue/replies');
      let exchanged = 0;
      let got: string[] | undefined;
      const exchange = async () => {
        while (got === undefined) {
          client!.send('SEND', { destination: '/queue/requests' }, 'request');
          await service!.texts(1);
          service!.send('SEND', { destination: '/queue/replies' }, 'reply');
          await client!.texts(1);
          exchanged++;
        }
      };
      const most = mostInATurn(
        () => disk.read,
        () => got !== undefined,
      );
      const exchanging = exchange();
      consumer!.send('SUBSCRIBE', { destination: QUEUE, id: 's' });
      void consumer!.texts(2).then((texts) => (got = texts));
      expect(await most).toBeLessThan(MB);
      await exchanging;
      expect(got).toEqual(['first', 'second']);
      expect(exchanged).toBeGreaterThan(1);
      expect(lengthOf('DLQ.a')).toBe(what === 'buried' ? COUNT : 0);
    },
  );
});

describe('a consumer that wants what is rare in a long queue', () => {
  it('has it read for it a few messages at a time, and gets all of it in its order', async () => {
    const { broker, disk } = await littleMemory();
    const [sender, consumer] = [await join(broker), await join(broker)];
    const rare = [0, 2_000, COUNT - 1];
    for (const [n, body] of bodies.entries()) {
      sender.send('SEND', { destination: QUEUE, persistent: 'true', wanted: String(rare.includes(n)) }, body);
    }
    await sendAll(sender, QUEUE, ['another'], { persistent: 'true' });
    let got: string[] | undefined;
    const most = mostInATurn(
      () => disk.read,
      () => got !== undefined,
    );
    consumer.send('SUBSCRIBE', { destination: QUEUE, id: 's', selector: "wanted = 'true'" });
    void consumer.texts(3).then((texts) => (got = texts));
    expect(await most).toBeLessThan(MB);
    expect(got?.map((text) => Number.parseInt(text, 10))).toEqual(rare);
    await sendAll(sender, QUEUE, ['at last'], { persistent: 'true', wanted: 'true' });
    expect(await consumer.texts(1)).toEqual(['at last']);
  });
});

describe('a queue that drops its oldest messages', () => {
  it('drops a few a turn where a lower limit makes many of them too much', async () => {
    const directory = makeDirectory();
    const before = await littleMemory([], directory);
    await sendAll(await join(before.broker), QUEUE, bodies, { persistent: 'true' });
    await before.broker.close(100);

    const limit: Policy = { destination: QUEUE, maxLength: 10, overflow: 'drop-oldest' };
    const { broker, disk, lengthOf } = await littleMemory([limit], directory);
    const [sender, consumer] = [await join(broker), await join(broker)];
    const most = mostInATurn(
      () => disk.read,
      () => lengthOf('a') === 10 && lengthOf('DLQ.a') > 0,
    );
    for (const body of ['last but one', 'last']) sender.send('SEND', { destination: QUEUE, persistent: 'true' }, body);
    expect(await most).toBeLessThan(MB);
    expect(lengthOf('DLQ.a')).toBe(COUNT + 2 - 10);
    await consumer.subscribe(QUEUE);
    expect(await consumer.texts(10)).toEqual([...bodies.slice(-8), 'last but one', 'last']);
    await consumer.subscribe('/queue/DLQ.a');
    expect(await consumer.texts(COUNT - 8)).toEqual(bodies.slice(0, -8));
  });
});

describe('a queue with a limit whose consumer has its turn later', () => {
  it('drops nothing that this consumer is about to take', async () => {
    const { broker } = await littleMemory([{ destination: QUEUE, maxLength: 1, overflow: 'drop-oldest' }]);
    const [sender, consumer, slow] = (await joinAll(broker, 3)) as [RawPeer, RawPeer, RawPeer];
    await consumer.subscribe(QUEUE, { selector: 'wanted IS NOT NULL' });
    // It takes more than a turn has for selectors to find out that it is not wanted.
    const selector = Array.from({ length: 350 }, (_, n) => `a LIKE '%${n}%b%a%'`).join(' OR ');
    await slow.subscribe('/queue/slow', { selector });
    const frames = [
      frame('1.2', 'SEND', { destination: '/queue/slow', a: 'ab'.repeat(4_000) }),
      ...['first', 'second'].map((body) => frame('1.2', 'SEND', { destination: QUEUE, wanted: 'true' }, body)),
    ];
    // All of it is there in one turn.
    sender.write(Buffer.concat(frames));
    expect(await consumer.texts(2)).toEqual(['first', 'second']);
  });
});

describe('a queue of which the disk gives nothing', () => {
  it('is tried a few messages at a time, while others exchange messages, and goes on with what comes', async () => {
    const { broker, disk, lengthOf } = await littleMemory();
    const [sender, consumer, witness] = (await joinAll(broker, 3)) as [RawPeer, RawPeer, RawPeer];
    await sendAll(sender, QUEUE, bodies, { persistent: 'true' });
    await witness.subscribe('/queue/b');
    disk.fails = true;
    const most = mostInATurn(
      () => disk.failures,
      () => lengthOf('a') === 0,
    );
    await consumer.subscribe(QUEUE);
    expect(lengthOf('a')).toBeGreaterThan(0);
    await sendAll(sender, '/queue/b', ['meanwhile']);
    expect(await witness.texts(1)).toEqual(['meanwhile']);
    expect(await most).toBeLessThan(1_000);
    expect(disk.failures).toBeGreaterThan(COUNT);
    disk.fails = false;
    await sendAll(sender, QUEUE, ['at last'], { persistent: 'true' });
    await consumer.take('what came then', ({ text }) => text === 'at last');
  });
});

it('what the disk does not give takes no room in its queue for ever', async () => {
  const many = 100;
  const { broker, disk, lengthOf } = await littleMemory([{ destination: QUEUE, maxBytes: many * SIZE }]);
  const [sender, consumer] = (await joinAll(broker, 2)) as [RawPeer, RawPeer];
  await sendAll(sender, QUEUE, bodies.slice(0, many), { persistent: 'true' });
  disk.fails = true;
  await consumer.subscribe(QUEUE, { id: 's' });
  // After a while they are passed over.
  await mostInATurn(
    () => lengthOf('a'),
    () => lengthOf('a') === 0,
  );
  expect(disk.failures).toBeGreaterThan(many / 2);
  disk.fails = false;
  await consumer.receipted('UNSUBSCRIBE', { id: 's' });
  await sendAll(sender, QUEUE, bodies.slice(many, 2 * many), { persistent: 'true' });
  expect(lengthOf('a')).toBe(many);
});

describe('a browser of a long queue', () => {
  it('has it read a few messages at a time: all that waited when it came, and nothing that came later', async () => {
    const { broker, disk } = await littleMemory();
    const [sender, browser] = [await join(broker), await join(broker)];
    await sendAll(sender, QUEUE, bodies, { persistent: 'true' });
    let got: string[] | undefined;
    const most = mostInATurn(
      () => disk.read,
      () => got !== undefined,
    );
    browser.send('SUBSCRIBE', { destination: QUEUE, id: 'b', browser: 'true' });
    void browser.texts(COUNT + 1).then((texts) => (got = texts));
    sender.send('SEND', { destination: QUEUE, persistent: 'true' }, 'too late');
    expect(await most).toBeLessThan(MB);
    expect(got).toEqual([...bodies, '']);
  });

  it('that does not read has no more read for it than fits its socket', async () => {
    const { broker, disk } = await littleMemory();
    const [sender, browser] = [await join(broker), await join(broker)];
    await sendAll(sender, QUEUE, bodies, { persistent: 'true' });
    const before = disk.read;
    browser.pause();
    browser.send('SUBSCRIBE', { destination: QUEUE, id: 'b', browser: 'true' });
    await standstill(() => disk.read);
    expect(disk.read - before).toBeGreaterThan(0);
    expect(disk.read - before).toBeLessThan(3 * MB);
    browser.resume();
    const got = await browser.messages(COUNT + 1);
    expect(got.map(({ text }) => text)).toEqual([...bodies, '']);
  });
});
