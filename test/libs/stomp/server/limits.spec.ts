import { describe, expect, it } from '@jest/globals';
import { setTimeout } from 'node:timers/promises';
import { RawPeer } from '../../../support/raw.js';
import { handshake, TestBroker, TestServer, watch } from '../../../support/server.js';

const KIB = 1024;

describe('the login timeout', () => {
  it('ends a connection that says nothing', async () => {
    const server = new TestServer(new TestBroker(), { loginTimeout: 30 });
    const peer = watch(await RawPeer.connect(await server.listen()));
    expect((await peer.refused()).header('message')).toBe('login timeout');
  });

  it('ends one that only sends beats, or half a frame', async () => {
    const server = new TestServer(new TestBroker(), { loginTimeout: 30 });
    for (const octets of ['\n\n\n', 'CONNECT\naccept-version:1.2\nhost:h\n']) {
      const { peer } = server.open();
      peer.write(octets);
      expect((await peer.refused()).header('message')).toBe('login timeout');
    }
  });

  it('ends one whose admission takes too long; what the broker then says is not heard', async () => {
    let admit = () => {};
    const broker = Object.assign(new TestBroker(), {
      connect: () => new Promise<void>((resolve) => (admit = resolve)),
    });
    const { peer, session } = new TestServer(broker, { loginTimeout: 30 }).open();
    peer.send('CONNECT', { 'accept-version': '1.2', host: 'h' });
    expect((await peer.refused()).header('message')).toBe('login timeout');
    admit();
    await Promise.resolve();
    expect(session.connected).toBe(false);
    expect(peer.received.toString()).not.toContain('CONNECTED');
  });

  it('does not end a session once it is connected', async () => {
    const server = new TestServer(new TestBroker(), { loginTimeout: 30 });
    const quick = await server.connect();
    const { peer: slow } = server.open();
    await slow.refused();
    await quick.peer.receipted('BEGIN', { transaction: 't' });
  });

  it('can be switched off', async () => {
    const server = new TestServer(new TestBroker(), { loginTimeout: 0 });
    const { peer } = server.open();
    await new TestServer(new TestBroker(), { loginTimeout: 30 }).open().peer.refused();
    await handshake(peer);
  });
});

describe('before a client is connected', () => {
  const connectOf = (size: number) => {
    // Header lines of 1 KiB each, so that no other limit is met first.
    let head = 'CONNECT\naccept-version:1.2\nhost:h\n';
    while (head.length + KIB < size) head += `x${head.length}`.padEnd(100, 'x') + `:${'y'.repeat(KIB - 102)}\n`;
    return `${head}pad:${'z'.repeat(size - head.length - 6)}\n\n\0`;
  };

  it('64 KiB are read of its frame and no more, whether they come as headers or body', async () => {
    const server = new TestServer(new TestBroker());
    const { peer } = server.open();
    peer.write(connectOf(64 * KIB));
    expect((await peer.frame()).command).toBe('CONNECTED');

    for (const octets of [
      connectOf(64 * KIB + 1),
      `SEND\ndestination:/a\ncontent-length:${64 * KIB}\n\n`,
      `SEND\ndestination:/a\n\n${'b'.repeat(64 * KIB)}`,
    ]) {
      const refused = server.open().peer;
      refused.write(octets);
      expect((await refused.refused()).text).toContain('65536 octets');
    }
  });

  it('the limit is an option', async () => {
    const { peer } = new TestServer(new TestBroker(), { maxUnauthenticated: 40 }).open();
    peer.write(connectOf(100));
    expect((await peer.refused()).text).toContain('40 octets');
  });

  it('the limit is no longer in force for what it sends behind its CONNECT', async () => {
    const broker = Object.assign(new TestBroker(), { connect: () => Promise.resolve() });
    const { peer } = new TestServer(broker).open();
    const body = 'b'.repeat(100 * KIB);
    peer.write(`CONNECT\naccept-version:1.2\nhost:h\n\n\0SEND\ndestination:/a\nreceipt:r\n\n${body}\0`);
    await peer.receipt('r');
    expect(broker.bodies).toEqual([body]);
  });
});

describe('a connected client', () => {
  it.each([
    ['maxBody', { maxBody: 10 }, 'SEND\ndestination:/a\nreceipt:r\ncontent-length:11\n\n'],
    ['maxHeader', { maxHeader: 30 }, `SEND\nreceipt:r\ndestination:/${'a'.repeat(40)}\n`],
    ['maxHeaders', { maxHeaders: 5 }, 'SEND\nreceipt:r\na:1\nb:1\nc:1\nd:1\ne:1\n'],
  ])('is refused over %s before the frame has come whole', async (_name, options, octets) => {
    const broker = new TestBroker();
    const { peer } = await new TestServer(broker, options).connect();
    peer.write(octets);
    const error = await peer.refused();
    expect(error.header('message')).toBe('malformed frame');
    expect(error.header('receipt-id')).toBe('r');
    expect(broker.asked).toEqual([]);
  });

  it('has at most maxSubscriptions subscriptions; those that have ended do not count', async () => {
    const { peer } = await new TestServer(new TestBroker(), { maxSubscriptions: 2 }).connect();
    for (const id of ['1', '2', '3', '4']) {
      await peer.subscribe('/topic/a', { id });
      if (id < '3') await peer.receipted('UNSUBSCRIBE', { id });
    }
    peer.send('SUBSCRIBE', { id: '5', destination: '/topic/a' });
    expect((await peer.refused()).header('message')).toBe('too many subscriptions');
  });

  it('has at most maxTransactions open', async () => {
    const { peer } = await new TestServer(new TestBroker(), { maxTransactions: 2 }).connect();
    for (const transaction of ['1', '2', '3', '4']) {
      await peer.receipted('BEGIN', { transaction });
      if (transaction < '3') await peer.receipted('ABORT', { transaction });
    }
    peer.send('BEGIN', { transaction: '5' });
    expect((await peer.refused()).header('message')).toBe('too many transactions');
  });

  it.each(['1.0', '1.1'] as const)(
    'of %s that asks for a receipt which no RECEIPT can name is refused, and the server goes on',
    async (version) => {
      const broker = new TestBroker();
      const server = new TestServer(broker);
      const { peer } = await server.connect(version);
      peer.write('SEND\ndestination:/a\nreceipt:a\r\n\nbody\0');
      const error = await peer.refused();
      expect(error.header('message')).toBe('malformed frame');
      expect(error.header('receipt-id')).toBeUndefined();
      expect(broker.sent).toEqual([]);
      await server.connect(version);
    },
  );

  it('may break the grammar in the very line of its receipt: the ERROR names none', async () => {
    const server = new TestServer(new TestBroker());
    const { peer } = server.open();
    peer.write('CONNECT\nreceipt:a\rb\naccept-version:1.2\n\n\0');
    expect((await peer.refused()).header('receipt-id')).toBeUndefined();
    await server.connect();
  });
});

it('a client that does not read its receipts is not read either; once it does, each of them comes', async () => {
  const server = new TestServer(new TestBroker());
  const { sent } = server.broker;
  const peer = await server.dial();
  // More than the buffers of the two sockets hold.
  const count = 12_000;
  peer.pause();
  for (let i = 0; i < count; i++) {
    peer.send('SEND', { destination: '/queue/a', receipt: `${i}-${'x'.repeat(1_500)}` });
  }
  for (let before = -1; before !== sent.length || before === 0;) {
    before = sent.length;
    await setTimeout(200);
  }
  expect(sent.length).toBeLessThan(count);
  peer.resume();
  await peer.receipt(`${count - 1}-${'x'.repeat(1_500)}`);
  expect(sent).toHaveLength(count);
}, 60_000);
