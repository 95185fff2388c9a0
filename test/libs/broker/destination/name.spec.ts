import { describe, expect, it } from '@jest/globals';
import { join, joinAll, makeBroker, sendAll, textsOf } from '../../../support/broker.js';
import { type Headers } from '../../../support/wire.js';
import { openPair } from '../../../support/server.js';

/** What a subscription to one name gets of a message sent to another, before it and after it was made. */
async function pass(to: string, from: string): Promise<{ kept: boolean; passed: boolean }> {
  const [publisher, reader] = await joinAll(await makeBroker(), 2);
  await sendAll(publisher!, to, ['before']);
  await reader!.subscribe(from);
  await sendAll(publisher!, to, ['after']);
  const texts = textsOf(await reader!.rest());
  return { kept: texts.includes('before'), passed: texts.includes('after') };
}

const QUEUE = { kept: true, passed: true };
const TOPIC = { kept: false, passed: true };
const OTHERS = { kept: false, passed: false };

describe('a destination', () => {
  it.each([
    ['/queue/a', '/queue/a', QUEUE],
    ['/queue/a/b.c', '/queue/a/b.c', QUEUE],
    ['/queue/a', '/amq/queue/a', QUEUE],
    ['/amq/queue/a', '/queue/a', QUEUE],
    ['/topic/a', '/topic/a', TOPIC],
    ['/exchange/amq.topic/a.b', '/topic/a.b', TOPIC],
    ['/topic/a.b', '/exchange/amq.topic/a.b', TOPIC],
    ['/exchange/amq.fanout', '/exchange/amq.fanout', TOPIC],
    ['/exchange/amq.direct/k', '/exchange/amq.direct/k', TOPIC],
    ['opaque name', 'opaque name', TOPIC],
    ['/chat', '/chat', TOPIC],
    ['/queueing', '/queueing', TOPIC],
    ['ünïcode/€', 'ünïcode/€', TOPIC],
    ['/queue/a', '/queue/b', OTHERS],
    ['/queue/a', '/queue/A', OTHERS],
    ['/queue/a', '/topic/a', OTHERS],
    ['/queue/a', 'a', OTHERS],
    ['/topic/a', 'a', OTHERS],
    ['/topic/a', '/a', OTHERS],
    ['/exchange/amq.direct/k', '/exchange/amq.direct/l', OTHERS],
  ])('sent to as %s is what is subscribed to as %s: %o', async (to, from, expected) => {
    expect(await pass(to, from)).toEqual(expected);
  });

  it.each(['SEND', 'SUBSCRIBE'])('of %s has to be a name, of up to 1024 characters', async (command) => {
    const broker = await makeBroker();
    for (const destination of [
      '',
      '/queue/',
      '/topic/',
      '/temp-queue/',
      '/amq/queue/',
      '/exchange/amq.topic/',
      `/queue/${'a'.repeat(1018)}`,
    ]) {
      const peer = await join(broker);
      peer.send(command, { id: 'x', destination, receipt: 'r' });
      const error = await peer.refused();
      expect(error.header('message')).toBe('invalid destination');
      expect(error.header('receipt-id')).toBe('r');
    }
    await (await join(broker)).receipted(command, { id: 'x', destination: `/queue/${'a'.repeat(1017)}` });
  });

  it('that is sent to goes out as the publisher wrote it', async () => {
    const [publisher, reader] = await joinAll(await makeBroker(), 2);
    await reader!.subscribe('/queue/a');
    await sendAll(publisher!, '/amq/queue/a', ['one']);
    expect((await reader!.message()).header('destination')).toBe('/amq/queue/a');
  });
});

describe('virtual hosts', () => {
  const meet = async (vhosts: string[] | undefined, one: string | undefined, two: string | undefined) => {
    const broker = await makeBroker(vhosts === undefined ? {} : { vhosts });
    const enter = (host: string | undefined) =>
      host === undefined ? join(broker, '1.0') : join(broker, '1.2', { host });
    const [first, second] = [await enter(one), await enter(two)];
    await second.subscribe('/topic/a');
    await sendAll(first, '/topic/a', ['one']);
    return textsOf(await second.rest()).length === 1;
  };

  it('are one world by default, whatever the host header says, and if it says nothing', async () => {
    expect(await meet(undefined, 'a', 'b')).toBe(true);
    expect(await meet(undefined, 'a', undefined)).toBe(true);
  });

  it('that are listed are a world each; globs too', async () => {
    const vhosts = ['a', 'b', '*.test'];
    expect(await meet(vhosts, 'a', 'b')).toBe(false);
    expect(await meet(vhosts, 'a', 'A')).toBe(true);
    expect(await meet(vhosts, 'x.test', 'y.test')).toBe(true);
    expect(await meet(vhosts, 'a', 'x.test')).toBe(false);
    expect(await meet(['*', 'a'], 'a', 'other')).toBe(false);
  });

  it('that nobody named are the first of the list', async () => {
    expect(await meet(['a', 'b'], 'a', undefined)).toBe(true);
    expect(await meet(['a', 'b'], 'b', undefined)).toBe(false);
  });

  it('that are not listed are refused', async () => {
    const broker = await makeBroker({ vhosts: ['a', '*.test'] });
    for (const host of ['c', 'test', 'a.b', '']) {
      const { peer } = openPair(broker);
      peer.send('CONNECT', { 'accept-version': '1.2', host });
      const error = await peer.refused();
      expect(error.header('message')).toBe('unknown virtual host');
    }
  });
});

describe('a name of queues with wildcards', () => {
  const plain = { destination: '/queue/a' };

  it.each<[string, string, Headers]>([
    ['SEND', '', { destination: '/queue/a.*' }],
    ['SEND', 'of a list', { destination: '/queue/b,/queue/#' }],
    ['SEND', 'of a transaction', { destination: '/queue/a/>', transaction: 't' }],
    ['SEND', 'for dead letters', { ...plain, 'x-dead-letter-routing-key': 'dead.*' }],
    ['SUBSCRIBE', 'for its messages', { id: '1', destination: '/topic/a', 'x-queue-name': 'a.*' }],
  ])('is refused in a %s %s, and nothing is made of it', async (command, _what, headers) => {
    const broker = await makeBroker();
    const peer = await join(broker);
    await peer.receipted('BEGIN', { transaction: 't' });
    peer.send(command, { ...headers, receipt: 'r' }, command === 'SEND' ? 'x' : '');
    const error = await peer.refused();
    expect([error.header('message'), error.header('receipt-id')]).toEqual(['invalid destination', 'r']);
    const other = await join(broker);
    for (const queue of ['/queue/#', '/queue/b']) await other.subscribe(queue);
    expect(textsOf(await other.rest())).toEqual([]);
  });

  it('may hold the same letters inside a word', async () => {
    const peer = await join(await makeBroker());
    await peer.subscribe('/queue/c#.>=', { id: '1' });
    await sendAll(peer, '/queue/c#.>=', ['one']);
    expect(await peer.texts(1)).toEqual(['one']);
  });
});
