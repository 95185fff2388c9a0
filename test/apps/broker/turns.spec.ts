import { describe, expect, it, jest } from '@jest/globals';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RawPeer, unique } from '../../support/raw.js';
import { serve, type Served } from '../../support/serve.js';
import { handshake } from '../../support/server.js';
import { frame, type Headers } from '../../support/wire.js';

// Each test runs whole processes, maybe beside others that do.
jest.setTimeout(120_000);

/** Less than what it took at once, and more than a turn does on a busy machine; in ms. */
const SOON = 1_500;
const CREDENTIALS = { login: 'ann', passcode: 'secret' };

/** Nobody waits longer than that for a receipt until something is over, which it tells the outcome of. */
async function meanwhile<T>(witness: RawPeer, over: Promise<T>): Promise<T> {
  let [longest, on] = [0, true];
  const end = over.finally(() => (on = false));
  while (on) {
    const start = performance.now();
    await witness.receipted('SEND', { destination: '/queue/witness', expires: '1' }, 'x');
    longest = Math.max(longest, performance.now() - start);
  }
  expect(longest).toBeLessThan(SOON);
  return end;
}

/** Many frames at once, and what tells that they were taken. */
async function flood(peer: RawPeer, command: string, count: number, headersOf: (n: number) => Headers): Promise<void> {
  peer.write(Buffer.concat(Array.from({ length: count }, (_, n) => frame('1.2', command, headersOf(n), ''))));
  await peer.receipted('SEND', { destination: '/queue/flood', expires: '1' }, 'x');
}

const connectAll = (server: Served, headers: Headers = {}) =>
  Promise.all([server.connect(headers), server.connect(headers), server.connect(headers)]);

/** A name of many levels, and patterns that have as many ways to stand for it. */
const deep = (last: string) => `${'a.'.repeat(100)}${last}`;
const loose = (last: string) => `${'#.a.'.repeat(60)}${last}`;

describe('nobody else is held up by', () => {
  it('messages that repeat every millisecond', async () => {
    const server = await serve();
    const [publisher, reader, witness] = await connectAll(server);
    const often = { AMQ_SCHEDULED_DELAY: '3000', AMQ_SCHEDULED_PERIOD: '1', AMQ_SCHEDULED_REPEAT: '-1' };
    await flood(publisher, 'SEND', 60_000, () => ({ destination: '/topic/often', ...often }));
    await publisher.receipted('SEND', { destination: '/queue/turns', 'x-delay': '5000' }, 'behind them');
    publisher.end();
    await reader.subscribe('/queue/turns');
    expect(await meanwhile(witness, reader.texts(1))).toEqual(['behind them']);
  });

  it('acknowledgements of 1.1 by message-id, the newest first', async () => {
    const server = await serve();
    const [publisher, witness, reader] = [await server.connect(), await server.connect(), await server.open()];
    await handshake(reader, '1.1');
    const destination = unique('/queue/turns');
    await flood(publisher, 'SEND', 10_000, () => ({ destination }));
    await reader.subscribe(destination, { ack: 'client-individual', 'prefetch-count': '10000' });
    const got = await reader.messages(10_000);
    for (const message of got.toReversed()) reader.send('ACK', reader.reference(message));
    await meanwhile(witness, reader.receipted('SEND', { destination: '/queue/flood', expires: '1' }, 'x'));
    reader.end();
    await reader.closed();
    const next = await server.connect();
    await next.subscribe(destination);
    expect(await next.rest()).toEqual([]);
  });

  it('a message to a topic that patterns of many wildcards may stand for', async () => {
    const server = await serve('--max-memory', '2GiB');
    const [reader, publisher, witness] = await connectAll(server);
    const bits = (n: number) =>
      Array.from({ length: 13 }, (_, bit) => ((n >> bit) % 2 === 1 ? '#.a.' : '#.*.')).join('');
    await flood(reader, 'SUBSCRIBE', 2_000, (n) => ({
      id: `${n}`,
      destination: `/topic/${bits(n)}${'#.a.'.repeat(40)}z${n}`,
    }));
    await reader.subscribe(`/topic/${loose('b')}`);
    publisher.send('SEND', { destination: `/topic/${deep('b')}` }, 'found');
    expect(await meanwhile(witness, reader.texts(1))).toEqual(['found']);
  });

  it('a subscription to a pattern that many retained messages may be of', async () => {
    const server = await serve();
    const [reader, publisher, witness] = await connectAll(server);
    for (let n = 0; n < 10_000; n++)
      publisher.send('SEND', { destination: `/topic/${deep(`${n}`)}`, retain: 'true' }, `${n}`);
    await publisher.receipted('SEND', { destination: '/queue/flood', expires: '1' }, 'x');
    await meanwhile(witness, reader.subscribe(`/topic/${loose('9999')}`));
    expect(await reader.texts(1)).toEqual(['9999']);
  });

  it('a subscription to a pattern that many queues may be of', async () => {
    const server = await serve();
    const [reader, publisher, witness] = await connectAll(server);
    for (let n = 0; n < 8_000; n++) publisher.send('SEND', { destination: `/queue/${deep(`${n}`)}` }, `${n}`);
    await publisher.receipted('SEND', { destination: '/queue/flood', expires: '1' }, 'x');
    await meanwhile(witness, reader.subscribe(`/queue/${loose('7999')}`));
    expect(await reader.texts(1)).toEqual(['7999']);
  });

  it('a new queue that many patterns may stand for', async () => {
    const server = await serve();
    const [reader, publisher, witness] = await connectAll(server);
    await flood(reader, 'SUBSCRIBE', 3_000, (n) => ({ id: `${n}`, destination: `/queue/${loose(`z${n}`)}` }));
    for (let n = 0; n < 3; n++) publisher.send('SEND', { destination: `/queue/${deep(`b${n}`)}` }, 'x');
    publisher.send('SEND', { destination: `/queue/${deep('z2999')}` }, 'found');
    expect(await meanwhile(witness, reader.texts(1))).toEqual(['found']);
  });

  it('the end of one subscription after the other beside thousands', async () => {
    const server = await serve();
    const [reader, , witness] = await connectAll(server);
    await flood(reader, 'SUBSCRIBE', 9_990, (n) => ({ id: `${n}`, destination: '/topic/turns' }));
    const pair = [
      frame('1.2', 'SUBSCRIBE', { id: 'one', destination: '/topic/turns' }),
      frame('1.2', 'UNSUBSCRIBE', { id: 'one' }),
    ];
    for (let n = 0; n < 5_000; n++) reader.write(Buffer.concat(pair));
    await meanwhile(witness, reader.receipted('SEND', { destination: '/queue/flood', expires: '1' }, 'x'));
  });

  it('a message to a full queue that many consumers with long selectors might take', async () => {
    const server = await serve('--max-memory', '4GiB');
    const [reader, publisher, witness] = await connectAll(server);
    const rules = { 'x-max-length': '0', 'x-overflow': 'reject-publish' };
    const selector = `a LIKE '${'%a'.repeat(500)}b'`;
    await flood(reader, 'SUBSCRIBE', 2_200, (n) => ({ id: `${n}`, destination: '/queue/full', selector, ...rules }));
    publisher.send('SEND', { destination: '/queue/full', a: 'a'.repeat(10_000) }, 'x');
    expect((await meanwhile(witness, publisher.refused())).header('message')).toBe('queue is full');
  });

  describe('rules', () => {
    const serveRules = (count: number) => {
      const rules = Array.from(
        { length: count },
        (_, n) => `  - { destination: '/topic/app${n}.#', user: ann, allow: read }\n`,
      );
      const path = join(mkdtempSync(join(tmpdir(), 'turns-')), 'c.yaml');
      const all = ['/topic/#.a', '/queue/>'].map(
        (each) => `  - { destination: '${each}', user: ann, allow: read write }\n`,
      );
      writeFileSync(path, `users: [ann:secret]\nrules:\n${rules.join('')}${all.join('')}`);
      return serve('--config', path, '--max-memory', '2GiB');
    };

    it('when lists of deep patterns are subscribed to', async () => {
      const server = await serveRules(300);
      const [reader, , witness] = await connectAll(server, CREDENTIALS);
      const list = (n: number) =>
        Array.from({ length: 35 }, (_, part) => `/topic/${'*.'.repeat(120)}${n}_${part}.a`).join(',');
      await meanwhile(
        witness,
        flood(reader, 'SUBSCRIBE', 40, (n) => ({ id: `${n}`, destination: list(n) })),
      );
    });

    it('when new credentials come to thousands of subscriptions', async () => {
      const server = await serveRules(990);
      const [reader, , witness] = await connectAll(server, CREDENTIALS);
      await flood(reader, 'SUBSCRIBE', 9_990, (n) => ({ id: `${n}`, destination: `/topic/b${n}.a` }));
      const refresh = reader.receipted('SEND', { destination: '/session/refresh', ...CREDENTIALS });
      await meanwhile(witness, refresh);
    });
  });
});
