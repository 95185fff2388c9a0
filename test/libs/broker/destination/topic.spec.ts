import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { join, joinAll, leave, makeBroker, sendAll, standstill, textsOf } from '../../../support/broker.js';
import { type RawPeer } from '../../../support/raw.js';

const KIB = 1024;
const MIB = 1024 * KIB;

describe('a topic', () => {
  it('brings each message to every subscription, once for each', async () => {
    const [publisher, one, two] = (await joinAll(await makeBroker(), 3)) as [RawPeer, RawPeer, RawPeer];
    await one.subscribe('/topic/a');
    await two.subscribe('/topic/a', { id: 'x' });
    await two.subscribe('/topic/a', { id: 'y' });
    await two.subscribe('/topic/*', { id: 'z' });
    await sendAll(publisher, '/topic/a', ['1', '2']);
    expect(await one.texts(2)).toEqual(['1', '2']);
    const got = await two.messages(6);
    for (const id of ['x', 'y', 'z']) {
      expect(textsOf(got.filter((message) => message.header('subscription') === id))).toEqual(['1', '2']);
    }
    expect(new Set(got.map((message) => message.header('message-id'))).size).toBe(2);
  });

  it('brings a publisher its own messages', async () => {
    const peer = await join(await makeBroker());
    await peer.subscribe('/topic/a');
    await sendAll(peer, '/topic/a', ['one']);
    expect(await peer.texts(1)).toEqual(['one']);
  });

  it('takes messages that nobody reads, and keeps none of them', async () => {
    const [publisher, reader] = await joinAll(await makeBroker(), 2);
    await sendAll(publisher!, '/topic/a', ['before']);
    await reader!.subscribe('/topic/a', { id: 'x' });
    await sendAll(publisher!, '/topic/a', ['between']);
    await reader!.receipted('UNSUBSCRIBE', { id: 'x' });
    await sendAll(publisher!, '/topic/a', ['after']);
    expect(textsOf(await reader!.rest())).toEqual(['between']);
  });

  it('waits with further messages until a reader has acknowledged, and forgets what it did not', async () => {
    const broker = await makeBroker();
    const [publisher, reader] = (await joinAll(broker, 2)) as [RawPeer, RawPeer];
    await reader.subscribe('/topic/a', { ack: 'client', 'prefetch-count': '2' });
    await sendAll(publisher, '/topic/a', ['1', '2', '3', '4']);
    const [, two] = await reader.messages(2);
    expect(textsOf(await reader.rest())).toEqual([]);
    await reader.receipted('ACK', reader.reference(two!));
    expect(await reader.texts(2)).toEqual(['3', '4']);
    await leave(reader);
    const next = await join(broker);
    await next.subscribe('/topic/a');
    expect(textsOf(await next.rest())).toEqual([]);
  });
});

describe('wildcards', () => {
  /** Whether a pattern stands for a name, level by level, in the plainest way there is. */
  const matches = (pattern: readonly string[], name: readonly string[]): boolean => {
    const [first, ...rest] = pattern;
    if (first === undefined) return name.length === 0;
    if (first === '#' || first === '>') return name.some((_, at) => matches(rest, name.slice(at))) || matches(rest, []);
    return name.length > 0 && (first === '*' || first === name[0]) && matches(rest, name.slice(1));
  };
  const levels = (destination: string) => destination.replace(/^\/topic\//, '').split(/[./]/);
  const wild = (destination: string) => /[*#>]/.test(destination);
  const prefixed = (destination: string) => destination.startsWith('/topic/');

  const destination = (level: fc.Arbitrary<string>) =>
    fc
      .tuple(
        fc.constantFrom('/topic/', '/topic/', ''),
        fc.array(fc.tuple(level, fc.constantFrom('.', '/')), { minLength: 1, maxLength: 5 }),
      )
      .map(([prefix, parts]) => prefix + parts.map(([text, mark], at) => (at === 0 ? '' : mark) + text).join(''));
  const names = fc.array(destination(fc.constantFrom('a', 'b', 'aa')), { minLength: 1, maxLength: 6 });
  const patterns = fc.uniqueArray(destination(fc.constantFrom('a', 'b', 'aa', '*', '*', '#', '>')), {
    minLength: 1,
    maxLength: 8,
  });

  it('of both families, in levels parted by dots and slashes, mean what they say', async () => {
    const broker = await makeBroker();
    const publisher = await join(broker);
    await fc.assert(
      fc.asyncProperty(patterns, names, fc.nat(7), async (subscribed, sent, ended) => {
        const reader = await join(broker);
        for (const pattern of subscribed) await reader.subscribe(pattern, { id: pattern });
        // One that has ended must not take others with it.
        const gone = subscribed[ended];
        if (gone !== undefined) await reader.receipted('UNSUBSCRIBE', { id: gone });
        for (const name of sent) publisher.send('SEND', { destination: name }, name);
        await sendAll(publisher, '/queue/last', ['last']);
        const got = (await reader.rest()).filter(({ text }) => text !== 'barrier');
        await leave(reader);
        const expected = sent.flatMap((name) =>
          subscribed
            .filter((pattern) => pattern !== gone && prefixed(pattern) === prefixed(name))
            .filter((pattern) => (wild(pattern) ? matches(levels(pattern), levels(name)) : pattern === name))
            .map((pattern) => `${pattern} <- ${name}`),
        );
        expect(got.map((message) => `${message.header('subscription')} <- ${message.text}`).sort()).toEqual(
          expected.sort(),
        );
      }),
    );
  });
});

describe('a reader that does not read', () => {
  const BODY = 'x'.repeat(64 * KIB);

  /** A reader that has stopped reading, and a publisher to its topic. */
  const stuck = async (count: number) => {
    const broker = await makeBroker({ heartbeat: { outgoing: 10, incoming: 10 }, highWaterMark: 64 * KIB });
    const reader = await join(broker, '1.2', { 'heart-beat': '0,0' });
    await reader.subscribe('/topic/a', { id: 'x' });
    reader.pause();
    const peers = await Promise.all(
      Array.from({ length: count }, () => join(broker, '1.2', { 'heart-beat': '1000000,10' })),
    );
    return { broker, reader, peers };
  };
  const flood = (peer: RawPeer, count: number) => {
    for (let index = 0; index < count; index++) {
      peer.send('SEND', { destination: '/topic/a', receipt: `r${index}` }, `${index} ${BODY}`);
    }
  };
  const receipts = (peer: RawPeer) => peer.received.toString('latin1').split('RECEIPT\n').length - 1;

  it('holds its publishers back, and misses nothing when it reads on', async () => {
    const { reader, peers } = await stuck(1);
    const [publisher] = peers as [RawPeer];
    flood(publisher, 30);
    await standstill(() => receipts(publisher));
    expect(receipts(publisher)).toBeGreaterThan(0);
    expect(receipts(publisher)).toBeLessThan(25);
    reader.resume();
    await publisher.receipt('r29');
    const texts = await reader.texts(30);
    expect(texts.map((text) => text.split(' ')[0])).toEqual(Array.from({ length: 30 }, (_, index) => String(index)));
  });

  it('holds nobody back any more once it is gone', async () => {
    for (const way of ['end', 'destroyed']) {
      const { broker, reader, peers } = await stuck(1);
      const [publisher] = peers as [RawPeer];
      flood(publisher, 30);
      await standstill(() => receipts(publisher));
      expect(receipts(publisher)).toBeLessThan(25);
      if (way === 'end') reader.end();
      else [...broker.sessions][0]!.destroy();
      await publisher.receipt('r29');
    }
  });

  it('lets those that are held back, and everybody else, have their heart-beats and other messages', async () => {
    const { peers } = await stuck(3);
    const [publisher, other, third] = peers as [RawPeer, RawPeer, RawPeer];
    await publisher.subscribe('/topic/b');
    flood(publisher, 30);
    await standstill(() => receipts(publisher));
    expect(receipts(publisher)).toBeLessThan(25);
    await publisher.beats(3);
    await other.beats(3);
    await third.subscribe('/queue/a');
    await sendAll(other, '/queue/a', ['one']);
    await sendAll(other, '/topic/b', ['two']);
    expect(await third.texts(1)).toEqual(['one']);
    expect(await publisher.texts(1)).toEqual(['two']);
  });

  it('does not hold back who has messages to acknowledge: somebody may wait for that', async () => {
    const { reader, peers } = await stuck(1);
    const [publisher] = peers as [RawPeer];
    await publisher.subscribe('/queue/a', { ack: 'client' });
    await sendAll(publisher, '/queue/a', ['owed']);
    await publisher.message();
    flood(publisher, 30);
    await publisher.receipt('r29');
    reader.resume();
    expect(await reader.texts(30)).toHaveLength(30);
  });

  it('is cut off with an ERROR when 64 MiB wait for it', async () => {
    const { reader, peers } = await stuck(2);
    const [publisher, quick] = peers as [RawPeer, RawPeer];
    await publisher.subscribe('/queue/a', { ack: 'client' });
    await sendAll(publisher, '/queue/a', ['owed']);
    await publisher.message();
    await quick.subscribe('/topic/b');
    flood(publisher, 3);
    const body = Buffer.alloc(8 * MIB, 'x');
    for (let index = 0; index < 8; index++) publisher.send('SEND', { destination: '/topic/a' }, body);
    await publisher.receipted('SEND', { destination: '/topic/b' }, 'still here');
    expect(await quick.texts(1)).toEqual(['still here']);
    reader.resume();
    const error = await reader.refused();
    expect(error.header('message')).toBe('slow consumer');
    expect(error.text).toContain('/topic/a');
    expect(error.text).toContain('67108864 octets');
  });
});
