/* The client against our own broker: what matters from end to end. */
import { afterEach, describe, expect, it } from '@jest/globals';
import { type Admission, LocalEngine, MemoryStore, StompBroker, type StompBrokerOptions } from 'nestjs-stomp-broker';
import { StompTestBroker } from 'nestjs-stomp-broker/testing';
import { type StompClientOptions, type StompMessage } from 'nestjs-stomp/client';
import { StompError } from 'nestjs-stomp/server';
import { failure, gate, makeClient, stateOf, within } from '../../../support/client.js';

const brokers: { close(): Promise<void> }[] = [];

afterEach(async () => {
  await Promise.all(brokers.splice(0).map((broker) => broker.close()));
});

function makeBroker(): StompTestBroker {
  const broker = new StompTestBroker();
  brokers.push(broker);
  return broker;
}

/** A broker on a TCP port; the same one again, where it is given. */
async function listen(port = 0, options: Omit<StompBrokerOptions, 'engine'> = {}) {
  const broker = new StompBroker({ ...options, engine: new LocalEngine(new MemoryStore()) });
  brokers.push({ close: () => broker.close(500) });
  await broker.listen({ host: '127.0.0.1', port });
  const [url] = broker.urls;
  return { broker, url: url! };
}

async function connect(broker: StompTestBroker, options: StompClientOptions = {}) {
  const client = makeClient({ dial: broker.dial, ...options });
  await client.connect();
  return client;
}

/** A handler that keeps the bodies, and a promise for when there are that many. */
function collect(count: number) {
  const texts: string[] = [];
  const { promise, open } = gate();
  const handler = ({ text }: StompMessage) => {
    if (texts.push(text) === count) open();
  };
  return { texts, handler, all: () => within(`${count} messages`, promise) };
}

describe.each(['1.0', '1.1', '1.2'] as const)('over %s', (version) => {
  it('messages with any headers and bodies come through, in their order', async () => {
    const client = await connect(makeBroker(), { versions: [version] });
    expect(client.version).toBe(version);
    const got: StompMessage[] = [];
    const { promise, open } = gate();
    const subscription = client.subscribe('/topic/a', (message) => {
      if (got.push(message) === 3) open();
    });
    await subscription.ready;
    const binary = Buffer.from([0, 255, 10, 13, 0]);
    client.send('/topic/a', 'ä€😀\n\n', { headers: { note: version === '1.0' ? 'a b' : 'a:b\n\\' } });
    client.send('/topic/a', binary);
    await client.publish('/topic/a', 'x'.repeat(1_000_000), { contentType: 'text/csv' });
    await within('messages', promise);
    expect(got[0]!.text).toBe('ä€😀\n\n');
    expect(got[0]!.headers.get('note')).toBe(version === '1.0' ? 'a b' : 'a:b\n\\');
    expect(got[1]!.body).toEqual(binary);
    expect([got[2]!.body.length, got[2]!.headers.get('content-type')]).toEqual([1_000_000, 'text/csv']);
  });

  it('what a handler has processed is consumed, and what it has not comes again', async () => {
    const broker = makeBroker();
    const client = await connect(broker, { versions: [version] });
    for (const text of ['one', 'two', 'three']) await client.publish('/queue/a', text);
    const first = collect(2);
    const done = client.subscribe(
      '/queue/a',
      (message) => {
        if (first.texts.length === 2) return new Promise(() => undefined);
        return first.handler(message);
      },
      { ack: version === '1.0' ? 'client' : 'client-individual', concurrency: 1 },
    );
    await first.all();
    await done.unsubscribe();
    const second = collect(1);
    client.subscribe('/queue/a', second.handler);
    await second.all();
    expect([first.texts, second.texts]).toEqual([['one', 'two'], ['three']]);
  });
});

it('a failed message is NACKed and comes again', async () => {
  const client = await connect(makeBroker());
  client.on('error', () => undefined);
  const { promise, open } = gate();
  let times = 0;
  const handler = () => {
    if (++times === 1) throw new Error('not yet');
    open();
  };
  client.subscribe('/queue/a', handler, { ack: 'client-individual' });
  await client.publish('/queue/a', 'x');
  await within('redelivery', promise);
  expect(times).toBe(2);
});

it('a transaction delivers at its commit, together with its acknowledgements', async () => {
  const client = await connect(makeBroker());
  await client.publish('/queue/in', 'order');
  const loop = client.subscribe('/queue/in', { ack: 'client' })[Symbol.asyncIterator]();
  const out = collect(2);
  await client.subscribe('/queue/out', out.handler).ready;

  const aborted = client.begin();
  const message = (await within('MESSAGE', loop.next())).value!;
  aborted.send('/queue/out', 'never');
  expect(aborted.ack(message)).toBe(true);
  aborted.abort();

  const committed = client.begin();
  committed.send('/queue/out', 'invoice');
  expect(committed.ack(message)).toBe(true);
  await committed.commit();
  await client.publish('/queue/out', 'after');
  await out.all();
  expect(out.texts).toEqual(['invoice', 'after']);

  // Consumed for good: nothing is left for the next one.
  await loop.return!();
  const rest = collect(1);
  await client.subscribe('/queue/in', rest.handler).ready;
  await client.publish('/queue/in', 'next');
  await rest.all();
  expect(rest.texts).toEqual(['next']);
});

it('prefetch bounds what the broker sends ahead', async () => {
  const client = await connect(makeBroker());
  for (let i = 0; i < 20; i++) client.send('/queue/a', `${i}`);
  await client.publish('/queue/a', 'last');
  const got: StompMessage[] = [];
  const subscription = client.subscribe('/queue/a', (message) => void got.push(message), {
    ack: 'client-individual',
    manual: true,
    prefetch: 3,
  });
  await subscription.ready;
  await client.publish('/queue/other');
  expect(got).toHaveLength(3);
  got[0]!.ack();
  await client.publish('/queue/other');
  await client.publish('/queue/other');
  expect(got).toHaveLength(4);
});

it('subscriptions survive all connections being broken, and nothing receipted is lost', async () => {
  const broker = makeBroker();
  const [sender, receiver] = [await connect(broker), await connect(broker)];
  const seen = new Set<string>();
  const { promise, open } = gate();
  const total = 300;
  receiver.subscribe(
    '/queue/a',
    ({ text }) => {
      seen.add(text);
      if (seen.size === total) open();
    },
    { ack: 'client-individual' },
  );
  for (let i = 0; i < total; i++) {
    if (i % 100 === 50) broker.disconnectAll();
    for (;;) {
      try {
        await sender.publish('/queue/a', `${i}`);
        break;
      } catch {
        await sender.connect();
      }
    }
  }
  await within('all messages', promise);
});

it('a broker that is started again is found, and the subscription stands', async () => {
  const { broker, url } = await listen();
  const client = makeClient({ url });
  await client.connect();
  const got = collect(1);
  client.subscribe('/topic/a', got.handler);
  await broker.close(0);
  await stateOf(client, 'connecting');
  await listen(Number(new URL(url).port));
  await within('connected', client.connect());
  await client.publish('/topic/a', 'hello again');
  await got.all();
});

describe('a broker that refuses', () => {
  const admission: Admission = {
    connect: (_session, frame) =>
      frame.headers.get('passcode') === 'right'
        ? Promise.resolve()
        : Promise.reject(new StompError('access refused', 'wrong login or passcode')),
    use: (_session, destination) =>
      destination === '/queue/a' ? Promise.resolve() : Promise.reject(new StompError('forbidden', destination)),
  };

  it('a passcode ends the search', async () => {
    const { url } = await listen(0, { admission });
    const error = await failure(makeClient({ url, login: 'anna', passcode: 'wrong' }).connect());
    expect(error).toMatchObject({ code: 'refused', transient: false });
    expect(error.message).toContain('access refused');
  });

  it('a destination says so where it was asked for; the client comes back without it', async () => {
    const { url } = await listen(0, { admission });
    const client = makeClient({ url, login: 'anna', passcode: 'right' });
    client.on('error', () => undefined);
    await client.connect();
    const got = collect(1);
    await client.subscribe('/queue/a', got.handler).ready;
    const published = await failure(client.publish('/queue/b', 'x'));
    expect(published).toMatchObject({ code: 'server-error' });
    expect(published.message).toContain('forbidden');
    await client.connect();
    expect(await failure(client.subscribe('/queue/c', got.handler).ready)).toMatchObject({ code: 'server-error' });
    await client.connect();
    await client.publish('/queue/a', 'still here');
    await got.all();
    expect([...client.subscriptions.values()].map(({ destination }) => destination)).toEqual(['/queue/a']);
  });
});

it('thousands of receipts may be under way at a time, and all come', async () => {
  const client = await connect(makeBroker());
  const got = collect(5_000);
  await client.subscribe('/queue/a', got.handler).ready;
  await Promise.all(Array.from({ length: 5_000 }, (_, i) => client.publish('/queue/a', `${i}`)));
  await got.all();
  expect(got.texts).toEqual(Array.from({ length: 5_000 }, (_, i) => `${i}`));
});

it('disconnect leaves what is not processed to others', async () => {
  const broker = makeBroker();
  const client = await connect(broker);
  for (const text of ['1', '2', '3']) await client.publish('/queue/a', text);
  const started = gate();
  const end = gate();
  client.subscribe(
    '/queue/a',
    () => {
      started.open();
      return end.promise;
    },
    { ack: 'client', concurrency: 1 },
  );
  await within('MESSAGE', started.promise);
  const left = client.disconnect();
  end.open();
  await left;
  const rest = collect(2);
  (await connect(broker)).subscribe('/queue/a', rest.handler);
  await rest.all();
  expect(rest.texts).toEqual(['2', '3']);
});
