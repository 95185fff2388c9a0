import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { connect } from 'node:net';
import { once } from 'node:events';
import { gate, makeClient, stateOf, within } from '../support/client.js';
import { FaultProxy } from '../support/faults.js';
import { numbers } from '../support/random.js';
import { unique } from '../support/raw.js';
import { serve, type Served } from '../support/serve.js';

const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);

jest.setTimeout(120_000);

const proxies: FaultProxy[] = [];
afterEach(async () => {
  await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
});

/** A way to the server that can be cut, stalled and delayed. */
async function proxyTo({ port }: Served): Promise<FaultProxy> {
  const proxy = await FaultProxy.listen(async () => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    await once(socket, 'connect');
    return socket;
  });
  proxies.push(proxy);
  return proxy;
}

it(`connections that are cut at random moments lose no message that was receipted, and change no order (seed ${SEED})`, async () => {
  const server = await serve();
  const random = numbers(SEED);
  const proxy = await proxyTo(server);
  const destination = unique('/queue/cut');
  const [publisher, consumer] = [makeClient({ url: proxy.url }), makeClient({ url: proxy.url })];
  await Promise.all([publisher.connect(), consumer.connect()]);
  const got: { n: number; redelivered: boolean }[] = [];
  const all = gate();
  const receipted = new Set<number>();
  /** On which connection each was sent. */
  const connections: number[] = [];
  const count = 2_000;
  let end = Infinity;
  const check = () => {
    const seen = new Set(got.map(({ n }) => n));
    if (receipted.has(end) && [...receipted].every((n) => seen.has(n))) all.open();
  };
  consumer.subscribe(
    destination,
    (message) => {
      got.push({ n: Number(message.text), redelivered: message.headers.get('redelivered') === 'true' });
      check();
    },
    { ack: 'client-individual', headers: { 'prefetch-count': '20' } },
  );
  let cuts = 0;
  let n = 0;
  while (n < count) {
    const batch = Array.from({ length: 1 + random(40) }, () => {
      const number = n++;
      connections[number] = cuts;
      return publisher.publish(destination, String(number)).then(
        () => receipted.add(number),
        // Nobody knows whether the broker has it.
        () => undefined,
      );
    });
    if (cuts < 25 && random(3) === 0) {
      cuts++;
      await new Promise((resolve) => setTimeout(resolve, random(5)));
      proxy.cut();
    }
    await Promise.all(batch);
    await stateOf(publisher, 'connected');
  }
  // The last cut may not have been felt yet.
  for (let last = false; !last;) {
    await stateOf(publisher, 'connected');
    connections[n] = cuts;
    last = await publisher.publish(destination, String(n)).then(
      () => true,
      () => false,
    );
    if (!last) n++;
  }
  end = n;
  receipted.add(end);
  check();
  await within('all that was receipted', all.promise);
  expect(cuts).toBeGreaterThan(5);
  expect(receipted.size).toBeGreaterThan(count / 4);
  // The first time that each one comes, it comes in the order of its connection; who comes again says so.
  const seen = new Set<number>();
  const last: number[] = [];
  for (const { n, redelivered } of got) {
    if (seen.has(n)) expect({ n, redelivered }).toEqual({ n, redelivered: true });
    else if (!redelivered) {
      const connection = connections[n]!;
      expect(n).toBeGreaterThan(last[connection] ?? -1);
      last[connection] = n;
    }
    seen.add(n);
  }
});

describe('a connection', () => {
  it('that stalls is given up by both sides within the agreed time, and its messages go to others', async () => {
    const server = await serve('--heartbeat-in', '1000', '--heartbeat-out', '1000');
    const proxy = await proxyTo(server);
    const destination = unique('/queue/stalled');
    const options = { heartbeat: { outgoing: 1_000, incoming: 1_000 }, reconnect: false as const };
    const stalled = makeClient({ url: proxy.url, ...options });
    await stalled.connect();
    const first = gate();
    stalled.subscribe(destination, () => first.open(), { ack: 'client-individual', manual: true });
    const peer = await server.connect();
    await peer.receipted('SEND', { destination }, 'x');
    await within('the message', first.promise);
    proxy.stall();
    expect((await stateOf(stalled, 'disconnected'))?.message).toMatch(/heart-beat|nothing was heard/i);
    await peer.subscribe(destination);
    const again = await peer.message();
    expect([again.text, again.header('redelivered')]).toEqual(['x', 'true']);
  });

  it('that is slow in both directions stays, keeps the order, and its heart-beats come in time', async () => {
    const server = await serve('--heartbeat-in', '1000', '--heartbeat-out', '1000', '--heartbeat-tolerance', '4');
    const proxy = await proxyTo(server);
    proxy.delay(100);
    const destination = unique('/queue/slow');
    const client = makeClient({
      url: proxy.url,
      heartbeat: { outgoing: 1_000, incoming: 1_000 },
      heartbeatTolerance: 4,
    });
    await client.connect();
    const got: number[] = [];
    const all = gate();
    client.subscribe(destination, (message) => {
      if (got.push(Number(message.text)) === 100) all.open();
    });
    for (let n = 0; n < 10; n++) {
      await Promise.all(Array.from({ length: 10 }, (_, i) => client.publish(destination, String(n * 10 + i))));
    }
    await within('the messages', all.promise);
    expect(got).toEqual(Array.from({ length: 100 }, (_, n) => n));
    expect(client.reason).toBeUndefined();
  });

  it('that is half closed gets all that it has asked for, and then the end', async () => {
    const server = await serve();
    const destination = unique('/queue/half');
    const peer = await server.connect();
    for (let n = 0; n < 50; n++) peer.send('SEND', { destination, receipt: `r${n}` }, `m${n}`);
    peer.send('SUBSCRIBE', { destination, id: '1', receipt: 'subscribed' });
    peer.end();
    await peer.closed();
    const text = peer.received.toString();
    for (let n = 0; n < 50; n++) expect(text).toContain(`receipt-id:r${n}\n`);
    expect(text).toContain('receipt-id:subscribed');
    await (await server.connect()).receipted('SEND', { destination }, 'x');
  });

  it('whose client never reads holds up nobody else: neither messages, nor receipts, nor heart-beats', async () => {
    const server = await serve('--max-outbound', '64KiB', '--heartbeat-out', '100');
    const deaf = await server.connect();
    for (const destination of ['/topic/flood', '/queue/flood']) await deaf.subscribe(destination);
    deaf.pause();
    const flooder = await server.connect();
    for (let n = 0; n < 600; n++) {
      for (const kind of ['queue', 'topic'])
        flooder.send('SEND', { destination: `/${kind}/flood` }, 'x'.repeat(32_768));
    }
    const [publisher, consumer] = [makeClient({ url: server.url }), makeClient({ url: server.url })];
    await Promise.all([publisher.connect(), consumer.connect()]);
    const got: string[] = [];
    const last = gate();
    consumer.subscribe('/queue/calm', ({ text }) => {
      if (got.push(text) === 500) last.open();
    });
    const beating = await server.open();
    beating.send('CONNECT', { 'accept-version': '1.2', host: 'h', 'heart-beat': '0,100' });
    for (let n = 0; n < 50; n++) {
      await Promise.all(Array.from({ length: 10 }, (_, i) => publisher.publish('/queue/calm', String(n * 10 + i))));
    }
    await within('the messages', last.promise);
    await beating.beats(5);
    expect(got).toEqual(Array.from({ length: 500 }, (_, n) => String(n)));
    expect(server.program.memory).toBeLessThan(400);
  });
});
