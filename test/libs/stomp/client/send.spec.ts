import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import {
  ConnectionLostError,
  FrameError,
  FrameHeaders,
  NotConnectedError,
  ReceiptTimeoutError,
  type SendOptions,
  ServerError,
  TooManyReceiptsError,
} from 'nestjs-stomp/client';
import {
  answerDisconnect,
  connectPair,
  failure,
  makeClient,
  makeServer,
  settle,
  stateOf,
  within,
} from '../../../support/client.js';
import { type RawPeer } from '../../../support/raw.js';
import { type Version } from '../../../support/wire.js';

const ALL: readonly Version[] = ['1.0', '1.1', '1.2'];
const take = (peer: RawPeer, command: string) => peer.take(command, (got) => got.command === command);
const nextSend = (peer: RawPeer) => take(peer, 'SEND');
const octets = (text: Buffer) => text.toString().replace(/\n$/, '');
const receiptOf = async (peer: RawPeer) => (await nextSend(peer)).header('receipt')!;

describe('send', () => {
  it('writes text as text/plain with its length in octets', async () => {
    const { client, peer } = await connectPair();
    expect(client.send('/queue/a', 'hällo')).toBe(true);
    expect(octets((await nextSend(peer)).raw)).toBe(
      'SEND\ndestination:/queue/a\ncontent-type:text/plain\ncontent-length:6\n\nhällo\0',
    );
  });

  it('writes bytes as they are, NULs included', async () => {
    const { client, peer } = await connectPair();
    const body = new Uint8Array([0, 1, 2, 255, 0]).subarray(1);
    client.send('/queue/a', body);
    const sent = await nextSend(peer);
    expect(sent.body).toEqual(Buffer.from([1, 2, 255, 0]));
    expect(sent.header('content-type')).toBe('application/octet-stream');
    expect(sent.header('content-length')).toBe('4');
  });

  it.each([1, 8 * 1024 - 1, 8 * 1024, 8 * 1024 + 1, 64 * 1024, 300_000])(
    'carries a body of %i octets, as text and as bytes',
    async (length) => {
      const { client, peer } = await connectPair();
      const text = 'é'.repeat(Math.floor(length / 2)) + 'x'.repeat(length % 2);
      client.send('/queue/a', text);
      client.send('/queue/a', Buffer.from(text));
      client.send('/queue/a', 'end');
      for (let i = 0; i < 2; i++) expect((await nextSend(peer)).body.equals(Buffer.from(text))).toBe(true);
      expect((await nextSend(peer)).text).toBe('end');
    },
  );

  it.each([undefined, '', Buffer.alloc(0)])('needs no body (%j)', async (body) => {
    const { client, peer } = await connectPair();
    client.send('/queue/a', body);
    const sent = await nextSend(peer);
    expect(sent.body).toHaveLength(0);
    expect(sent.header('content-length')).toBeUndefined();
  });

  it('takes headers as an object, pairs or FrameHeaders, and leaves out its own', async () => {
    const { client, peer } = await connectPair();
    const own = { destination: '/queue/evil', receipt: 'r', transaction: 't', 'content-length': '1' };
    client.send('/queue/a', 'one', { headers: { ...own, priority: 4, persistent: true, nothing: undefined } });
    client.send('/queue/a', 'two', {
      headers: [
        ['a', '1'],
        ['a', '2'],
      ],
    });
    client.send('/queue/a', 'six', { headers: new FrameHeaders({ b: '3' }) });
    const fixed = [
      ['content-type', 'text/plain'],
      ['content-length', '3'],
    ];
    expect((await nextSend(peer)).headers).toEqual([
      ['destination', '/queue/a'],
      ['priority', '4'],
      ['persistent', 'true'],
      ...fixed,
    ]);
    expect((await nextSend(peer)).headers).toEqual([['destination', '/queue/a'], ['a', '1'], ['a', '2'], ...fixed]);
    expect((await nextSend(peer)).headers).toEqual([['destination', '/queue/a'], ['b', '3'], ...fixed]);
  });

  it.each<[string, SendOptions, string]>([
    ['contentType', { contentType: 'application/json' }, 'application/json'],
    ['its header', { headers: { 'content-type': 'text/csv' } }, 'text/csv'],
    ['contentType rather than its header', { contentType: 'a/b', headers: { 'content-type': 'text/csv' } }, 'a/b'],
  ])('takes the media type from %s', async (_from, options, type) => {
    const { client, peer } = await connectPair();
    client.send('/queue/a', 'x', options);
    expect((await nextSend(peer)).headers.filter(([name]) => name === 'content-type')).toEqual([
      ['content-type', type],
    ]);
  });

  it('writes text in the charset of its media type', async () => {
    const { client, peer } = await connectPair();
    client.send('/queue/a', 'é', { contentType: 'text/plain;charset=iso-8859-1' });
    client.send('/queue/a', 'é', { contentType: 'text/plain; charset="UTF-8"' });
    expect((await nextSend(peer)).body).toEqual(Buffer.from([0xe9]));
    expect((await nextSend(peer)).text).toBe('é');
    expect(() => client.send('/queue/a', '€', { contentType: 'text/plain;charset=iso-8859-1' })).toThrow(FrameError);
  });

  it('leaves content-length out where that is asked for, unless the body holds a NUL', async () => {
    const { client, peer } = await connectPair();
    for (const body of ['text', Buffer.from('bytes')]) {
      client.send('/queue/a', body, { contentLength: false });
      const sent = await nextSend(peer);
      expect(sent.header('content-length')).toBeUndefined();
      expect(sent.text).toBe(body.toString());
    }
    for (const body of ['a\0b', Buffer.from('a\0b')]) {
      expect(() => client.send('/queue/a', body, { contentLength: false })).toThrow('a NUL');
    }
    client.send('/queue/a', 'next');
    expect((await nextSend(peer)).text).toBe('next');
  });

  it('refuses what is no body', async () => {
    const { client } = await connectPair();
    for (const body of [null, 5, { a: 1 }]) {
      expect(() => client.send('/queue/a', body as unknown as string)).toThrow('a body is a string or bytes');
    }
  });

  it('is refused before there is a connection, and while there is none', async () => {
    expect(() => makeClient().send('/queue/a', 'x')).toThrow(NotConnectedError);
    const { client, peer } = await connectPair();
    const lost = stateOf(client, 'connecting');
    peer.destroy();
    await lost;
    expect(() => client.send('/queue/a', 'x')).toThrow('the client is not connected (connecting): ');
    await expect(client.publish('/queue/a', 'x')).rejects.toMatchObject({ code: 'not-connected' });
  });
});

describe('a header', () => {
  it.each(['1.1', '1.2'] as const)('is escaped by the rules of %s', async (version) => {
    const { client, peer } = await connectPair(version);
    client.send('/queue/a:b', 'x', { headers: { 'k:e\ny': 'v:a\\l\nue' } });
    const sent = await nextSend(peer);
    expect(sent.lines).toContain('k\\ce\\ny:v\\ca\\\\l\\nue');
    expect(sent.header('destination')).toBe('/queue/a:b');
  });

  it.each(ALL)('that a %s connection cannot carry is refused, and nothing is half-written', async (version) => {
    const { client, peer } = await connectPair(version);
    const lines = version === '1.0' ? ['a\nb:c', 'a\n\nbody\0SEND\ndestination:/queue/evil\n\n'] : [];
    const unfit = version === '1.2' ? [] : [...lines, 'a\r'];
    const headers = [...unfit.flatMap((text) => [{ note: text }, { [text]: 'x' }]), { '': 'nameless' }];
    const before = peer.received.length;
    for (const each of headers) {
      expect(() => client.send('/queue/a', 'x', { headers: each })).toThrow(FrameError);
      await expect(client.publish('/queue/a', 'x', { headers: each })).rejects.toThrow(FrameError);
      expect(() => client.subscribe('/queue/a', () => undefined, { headers: each })).toThrow(FrameError);
      expect(() => client.begin({ headers: each })).toThrow(FrameError);
    }
    for (const each of unfit) {
      expect(() => client.send(`/queue/${each}`, 'x')).toThrow(FrameError);
      expect(() => client.send('/queue/a', 'x', { contentType: each })).toThrow(FrameError);
      expect(() => client.subscribe(`/queue/${each}`, () => undefined)).toThrow(FrameError);
    }
    expect(client.subscriptions.size).toBe(0);
    client.send('/queue/a', 'clean');
    const sent = await nextSend(peer);
    expect(octets(peer.received.subarray(before))).toBe(octets(sent.raw));
  });

  it.each(ALL)('of any text comes through %s as it is, or is refused', async (version) => {
    const { client, peer } = await connectPair(version);
    const text = fc.string({ unit: fc.constantFrom('a', ':', '\n', '\r', '\\', '\0', ' ', 'é', '😀'), maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(text, text, text, async (name, value, body) => {
        try {
          client.send('/queue/a', body, { headers: [[`x${name}`, value]] });
        } catch (error) {
          expect(error).toBeInstanceOf(FrameError);
          return;
        }
        const sent = await nextSend(peer);
        expect(sent.headers[1]).toEqual([`x${name}`, value]);
        expect(sent.headers).toHaveLength(body === '' ? 3 : 4);
        expect(sent.text).toBe(body);
      }),
      { numRuns: 200 },
    );
  });
});

describe('publish', () => {
  it('resolves when the receipt has come, and not before', async () => {
    const { client, peer } = await connectPair();
    let confirmed = false;
    const published = client.publish('/queue/a', 'x').then(() => (confirmed = true));
    const receipt = await receiptOf(peer);
    peer.send('RECEIPT', { 'receipt-id': 'another' });
    await settle(client, peer);
    expect(confirmed).toBe(false);
    peer.send('RECEIPT', { 'receipt-id': receipt });
    await published;
  });

  it('can be called many times before the first receipt comes; each has its own', async () => {
    const { client, peer } = await connectPair();
    const order: number[] = [];
    const published = Array.from({ length: 100 }, (_, i) =>
      client.publish('/queue/a', `${i}`).then(() => order.push(i)),
    );
    const receipts: string[] = [];
    for (let i = 0; i < 100; i++) receipts.push(await receiptOf(peer));
    expect(new Set(receipts).size).toBe(100);
    for (const receipt of [...receipts].reverse()) peer.send('RECEIPT', { 'receipt-id': receipt });
    await Promise.all(published);
    expect(order).toEqual(Array.from({ length: 100 }, (_, i) => 99 - i));
  });

  it('fails when the connection is lost before the receipt', async () => {
    const { client, peer } = await connectPair();
    const failures = [failure(client.publish('/queue/a', '1')), failure(client.publish('/queue/a', '2'))];
    await nextSend(peer);
    peer.destroy();
    for (const error of await Promise.all(failures)) {
      expect(error).toBeInstanceOf(ConnectionLostError);
      expect(error.message).toContain('whether the frame was processed is unknown');
    }
  });

  it('fails when the client disconnects before the receipt', async () => {
    const { client, peer } = await connectPair();
    const failed = failure(client.publish('/queue/a', '1'));
    await nextSend(peer);
    const left = client.disconnect();
    await answerDisconnect(peer);
    await left;
    expect(await failed).toBeInstanceOf(ConnectionLostError);
  });

  it('fails after receiptTimeout; a receipt that comes later does no harm', async () => {
    const { client, peer } = await connectPair('1.2', { receiptTimeout: 30 });
    const error = await failure(client.publish('/queue/a', 'x'));
    expect(error).toBeInstanceOf(ReceiptTimeoutError);
    expect(error.message).toContain('within 30 ms');
    peer.send('RECEIPT', { 'receipt-id': await receiptOf(peer) });
    peer.send('RECEIPT', {});
    await settle(client, peer);
    expect(client.state).toBe('connected');
  });

  it('times out each by itself', async () => {
    const { client, peer } = await connectPair('1.2', { receiptTimeout: 60 });
    const first = failure(client.publish('/queue/a', '1'));
    const receipt = await receiptOf(peer);
    await failure(
      makeClient({ dial: () => new Promise(() => undefined), connectTimeout: 30, reconnect: false }).connect(),
    );
    const started = performance.now();
    const second = failure(client.publish('/queue/a', '2'));
    const third = client.publish('/queue/a', '3');
    await receiptOf(peer);
    peer.send('RECEIPT', { 'receipt-id': await receiptOf(peer) });
    await third;
    expect(await first).toBeInstanceOf(ReceiptTimeoutError);
    expect(await second).toBeInstanceOf(ReceiptTimeoutError);
    expect(performance.now() - started).toBeGreaterThan(58);
    expect(receipt).toBeDefined();
  });

  it('fails with what the server says of it; others on the way are in doubt', async () => {
    const { client, peer } = await connectPair('1.2', { reconnect: false });
    client.on('error', () => undefined);
    const [refused, doubtful] = [failure(client.publish('/queue/no', '1')), failure(client.publish('/queue/a', '2'))];
    peer.send('ERROR', { message: 'no such queue', 'receipt-id': await receiptOf(peer) }, 'no such queue: /queue/no');
    const error = await refused;
    expect(error).toBeInstanceOf(ServerError);
    expect((error as ServerError).frame.body.toString()).toBe('no such queue: /queue/no');
    expect(error.message).toContain('no such queue');
    expect(await doubtful).toBeInstanceOf(ConnectionLostError);
  });

  it('is refused beyond maxReceipts, without sending, until a receipt has come', async () => {
    const { client, peer } = await connectPair('1.2', { maxReceipts: 2 });
    const first = client.publish('/queue/a', '1');
    client.publish('/queue/a', '2').catch(() => undefined);
    const error = await failure(client.publish('/queue/a', '3'));
    expect(error).toBeInstanceOf(TooManyReceiptsError);
    expect(error.message).toContain('2 receipts are waited for already');
    peer.send('RECEIPT', { 'receipt-id': await receiptOf(peer) });
    await first;
    client.publish('/queue/a', '4').catch(() => undefined);
    expect((await nextSend(peer)).text).toBe('2');
    expect((await nextSend(peer)).text).toBe('4');
  });

  it('does not mix with a transaction', async () => {
    const { client } = await connectPair();
    const transaction = client.begin();
    await expect(client.publish('/queue/a', 'x', { transaction })).rejects.toThrow('confirmed by its commit');
  });
});

describe('back-pressure', () => {
  const body = Buffer.alloc(32 * 1024, 'x');

  /** A connection of which the server reads nothing, so full that the kernel takes no more. */
  async function connectStalled() {
    const { client, peer } = await connectPair('1.2', { highWaterMark: 64 * 1024 });
    peer.pause();
    let sent = 0;
    do {
      do sent++;
      while (client.send('/queue/a', body));
      for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
    } while (client.writable);
    return { client, peer, sent };
  }

  it('is told by send, writable and drained', async () => {
    const { client, peer, sent } = await connectStalled();
    let drains = 0;
    client.on('drain', () => drains++);
    expect(client.send('/queue/a', 'last')).toBe(false);
    const drained = Promise.all([client.drained(), client.drained()]);
    expect([client.writable, drains]).toEqual([false, 0]);
    peer.resume();
    await within('drain', drained);
    expect([client.writable, drains]).toEqual([true, 1]);
    for (let i = 0; i < sent; i++) expect((await nextSend(peer)).body).toHaveLength(body.length);
    expect((await nextSend(peer)).text).toBe('last');
  });

  it('drained resolves at once where nothing waits, and fails without a connection', async () => {
    const { client } = await connectPair();
    await client.drained();
    await expect(makeClient().drained()).rejects.toThrow(NotConnectedError);
  });

  it('drained fails when the connection is lost', async () => {
    const { client, peer } = await connectStalled();
    const drained = failure(client.drained());
    peer.destroy();
    expect(await drained).toBeInstanceOf(ConnectionLostError);
  });
});

it('frames of one turn of the event loop leave in one segment', async () => {
  const server = await makeServer();
  const writes: number[] = [];
  const client = makeClient({
    dial: async () => {
      const socket = connectTcp(server.port, '127.0.0.1');
      await once(socket, 'connect');
      const write = socket._writev!.bind(socket);
      socket._writev = (chunks, done) => {
        writes.push(chunks.length);
        write(chunks, done);
      };
      const single = socket._write.bind(socket);
      socket._write = (chunk, encoding, done) => {
        writes.push(1);
        single(chunk, encoding, done);
      };
      return socket;
    },
  });
  const opened = client.connect();
  const { peer } = await server.handshake('1.2');
  await opened;
  writes.length = 0;
  for (let i = 0; i < 50; i++) client.send('/queue/a', `${i}`);
  for (let i = 0; i < 50; i++) expect((await nextSend(peer)).text).toBe(`${i}`);
  expect(writes).toEqual([1]);
});
