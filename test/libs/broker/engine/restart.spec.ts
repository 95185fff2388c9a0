import { afterEach, describe, expect, it } from '@jest/globals';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join as joinPath } from 'node:path';
import { DiskStore, LocalEngine, type Policy, type StompBroker } from 'nestjs-stomp-broker';
import { Frame, Message } from 'nestjs-stomp/server';
import { join, makeBroker, sendAll, textsOf } from '../../../support/broker.js';

const directories: string[] = [];
const directoryOf = new WeakMap<StompBroker, string>();

afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

async function start(directory?: string, policies: readonly Policy[] = []): Promise<StompBroker> {
  const place = directory ?? mkdtempSync(joinPath(tmpdir(), 'restart-'));
  directories.push(place);
  const broker = await makeBroker({ engine: new LocalEngine(new DiskStore({ directory: place }), policies) });
  directoryOf.set(broker, place);
  return broker;
}

const KEPT = { persistent: 'true' };

const ways = {
  'a proper end': async (broker: StompBroker, policies?: readonly Policy[]) => {
    await broker.close(0);
    return start(directoryOf.get(broker), policies);
  },
  // What a killed process leaves behind are its files as they are at that moment.
  'a kill': (broker: StompBroker, policies?: readonly Policy[]) => {
    const copy = mkdtempSync(joinPath(tmpdir(), 'restart-'));
    cpSync(directoryOf.get(broker)!, copy, { recursive: true, filter: (path) => basename(path) !== 'lock' });
    return start(copy, policies);
  },
};

describe.each(Object.entries(ways))('after %s', (_, restart) => {
  it('messages come in their order, with the ids that they had, and new ones have others', async () => {
    const first = await start();
    const peer = await join(first);
    await sendAll(peer, '/queue/a', ['low', 'also low'], { ...KEPT, priority: '2' });
    await sendAll(peer, '/queue/a', ['high'], { ...KEPT, priority: '8' });
    await peer.subscribe('/queue/a', { id: 'x', ack: 'client' });
    const before = await peer.messages(3);

    const second = await restart(first);
    const consumer = await join(second);
    await consumer.subscribe('/queue/a', { ack: 'client' });
    const after = await consumer.messages(3);
    expect(after.map(({ text }) => text)).toEqual(['high', 'low', 'also low']);
    expect(after.map((one) => one.header('message-id'))).toEqual(before.map((one) => one.header('message-id')));
    await sendAll(consumer, '/queue/a', ['new']);
    const id = (await consumer.message()).header('message-id');
    expect(before.map((one) => one.header('message-id'))).not.toContain(id);
  });

  it.each([
    ['first', ['receipt', 'destination', 'persistent', 'shade']],
    ['in the middle', ['destination', 'shade', 'receipt', 'persistent']],
    ['last', ['shade', 'persistent', 'destination', 'receipt']],
  ])('the receipt that stood %s in a SEND is not passed on, and all else is', async (_where, order) => {
    const COUNT = 20;
    const first = await start();
    const peer = await join(first);
    await peer.subscribe('/queue/a', { id: 'x', ack: 'client' });
    for (let i = 0; i < COUNT; i++) {
      const values: Record<string, string> = {
        receipt: `r${i * i}`,
        destination: '/queue/a',
        shade: `blue ${i}`,
        ...KEPT,
      };
      peer.send('SEND', Object.fromEntries(order.map((name) => [name, values[name]!])), `body ${i}`);
    }
    for (let i = 0; i < COUNT; i++) await peer.receipt(`r${i * i}`);
    const check = (messages: Awaited<ReturnType<typeof peer.messages>>) => {
      const passed = order.filter((name) => name !== 'receipt');
      for (const [i, { headers, text }] of messages.entries()) {
        expect(text).toBe(`body ${i}`);
        const names = headers.map(([name]) => name);
        expect(names.filter((name) => order.includes(name))).toEqual(passed);
        expect(Object.fromEntries(headers)).toMatchObject({ destination: '/queue/a', shade: `blue ${i}`, ...KEPT });
      }
    };
    check(await peer.messages(COUNT));

    const consumer = await join(await restart(first));
    await consumer.subscribe('/queue/a', { ack: 'client' });
    check(await consumer.messages(COUNT));
  });

  it('a queue that a subscription named goes on to collect what its topic brings', async () => {
    const first = await start();
    await (await join(first)).subscribe('/topic/t', { 'x-queue-name': 'fed', ack: 'client' });

    const second = await restart(first);
    const peer = await join(second);
    await sendAll(peer, '/topic/t', ['one']);
    await peer.subscribe('/queue/fed');
    expect(await peer.texts(1)).toEqual(['one']);
  });

  it('a consumer of a virtual topic goes on to collect what comes', async () => {
    const first = await start();
    const consumer = await join(first);
    await consumer.subscribe('/queue/Consumer.A.VirtualTopic.t');
    await consumer.receipted('DISCONNECT');

    const second = await restart(first);
    const peer = await join(second);
    await sendAll(peer, '/topic/VirtualTopic.t', ['one']);
    await peer.subscribe('/queue/Consumer.A.VirtualTopic.t');
    expect(await peer.texts(1)).toEqual(['one']);
  });

  it.each([
    ['RabbitMQ', { id: 'd', durable: 'true', 'auto-delete': 'false' }],
    ['ActiveMQ', { id: 'd', 'activemq.subscriptionName': 'd' }],
    ['Artemis', { id: 'd', 'durable-subscription-name': 'd' }],
  ])('a durable subscription as of %s is there, with its selector and no-local', async (_dialect, headers) => {
    const asked = { ...headers, selector: 'x > 1', 'no-local': 'true' };
    const first = await start();
    await (await join(first, '1.2', { 'client-id': 'me' })).subscribe('/topic/t', asked);

    const second = await restart(first);
    const [own, other] = [await join(second, '1.2', { 'client-id': 'me' }), await join(second)];
    await sendAll(own, '/topic/t', ['own'], { ...KEPT, x: '2' });
    await sendAll(other, '/topic/t', ['refused'], { ...KEPT, x: '1' });
    await sendAll(other, '/topic/t', ['wanted'], { ...KEPT, x: '2' });

    const third = await restart(second);
    const peer = await join(third, '1.2', { 'client-id': 'me' });
    await peer.subscribe('/topic/t', asked);
    expect(await peer.texts(1)).toEqual(['wanted']);
    expect(textsOf(await peer.rest())).toEqual([]);
  });

  it.each([
    ['with a selector that is none', { selector: "shade = 'red' AND" }],
    ['while it is in use', { selector: "shade = 'red'" }],
  ])('a durable subscription is as it was where a change of it was refused, %s', async (_why, change) => {
    const durable = { id: 'd', 'durable-subscription-name': 'd', selector: "shade = 'blue'" };
    const first = await start();
    const peer = await join(first, '1.2', { 'client-id': 'me' });
    await peer.subscribe('/topic/t', durable);
    peer.send('SUBSCRIBE', { destination: '/topic/t', ...durable, id: 'other', ...change });
    await peer.refused();
    const publisher = await join(first);
    await sendAll(publisher, '/topic/t', ['blue'], { ...KEPT, shade: 'blue' });
    await sendAll(publisher, '/topic/t', ['red'], { ...KEPT, shade: 'red' });

    const second = await restart(first);
    await sendAll(await join(second), '/topic/t', ['later'], { ...KEPT, shade: 'blue' });
    const again = await join(second, '1.2', { 'client-id': 'me' });
    await again.subscribe('/topic/t', durable);
    expect(await again.texts(2)).toEqual(['blue', 'later']);
    expect(textsOf(await again.rest())).toEqual([]);
  });

  it('a durable subscription that was deleted is not there, nor what it held', async () => {
    const first = await start();
    const peer = await join(first, '1.2', { 'client-id': 'me' });
    await peer.subscribe('/topic/t', { id: 'd', 'durable-subscription-name': 'd' });
    await sendAll(peer, '/topic/t', ['one'], KEPT);
    await peer.receipted('UNSUBSCRIBE', { id: 'd', 'durable-subscription-name': 'd' });

    const second = await restart(first);
    const again = await join(second, '1.2', { 'client-id': 'me' });
    await again.subscribe('/topic/t', { id: 'd', 'durable-subscription-name': 'd' });
    expect(textsOf(await again.rest())).toEqual([]);
  });

  it('a queue keeps the rules that its first frame gave it, and has those of the policies that hold now', async () => {
    const first = await start(undefined, [{ destination: '/queue/p', maxLength: 1, overflow: 'drop-oldest' }]);
    const peer = await join(first);
    await sendAll(peer, '/queue/a', ['one', 'two', 'three'], { ...KEPT, 'x-max-length': '2' });
    await sendAll(peer, '/queue/p', ['one', 'two'], KEPT);

    const second = await restart(first, [{ destination: '/queue/p', maxLength: 2, overflow: 'drop-oldest' }]);
    const again = await join(second);
    await sendAll(again, '/queue/a', ['four'], KEPT);
    await sendAll(again, '/queue/p', ['three'], KEPT);
    await again.subscribe('/queue/a');
    await again.subscribe('/queue/p');
    expect(await again.texts(4)).toEqual(['three', 'four', 'two', 'three']);
  });

  it('messages of a group go to one consumer', async () => {
    const first = await start();
    const peer = await join(first);
    await sendAll(peer, '/queue/a', ['one', 'two', 'three', 'four'], { ...KEPT, JMSXGroupID: 'g' });

    const second = await restart(first);
    const [one, two] = [await join(second), await join(second)];
    await one.subscribe('/queue/a', { ack: 'client', 'prefetch-count': '2' });
    await two.subscribe('/queue/a', { ack: 'client' });
    expect(await one.texts(2)).toEqual(['one', 'two']);
    expect(textsOf(await two.rest())).toEqual([]);
  });

  it('what is scheduled comes, to a queue with the rules that it had', async () => {
    const first = await start();
    const peer = await join(first);
    const timing = { 'x-delay': '400', AMQ_SCHEDULED_PERIOD: '1', AMQ_SCHEDULED_REPEAT: '2' };
    await peer.receipted('SEND', { destination: '/queue/a', ...KEPT, ...timing, 'x-max-length': '2' }, 'late');

    const second = await restart(first);
    const consumer = await join(second);
    await consumer.subscribe('/queue/DLQ.a');
    expect((await consumer.message()).header('dead-letter-reason')).toBe('queue length');
    await consumer.subscribe('/queue/a');
    expect(await consumer.texts(2)).toEqual(['late', 'late']);
    expect(textsOf(await consumer.rest())).toEqual([]);
  });

  it('dead letters wait, with the reason, and what was refused does not come back', async () => {
    const first = await start();
    const peer = await join(first);
    await sendAll(peer, '/queue/a', ['bad', 'good'], KEPT);
    await peer.subscribe('/queue/a', { ack: 'client-individual' });
    const [bad] = await peer.messages(2);
    await peer.receipted('NACK', { ...peer.reference(bad!), requeue: 'false' });

    const second = await restart(first);
    const consumer = await join(second);
    await consumer.subscribe('/queue/DLQ.a');
    await consumer.subscribe('/queue/a');
    const [letter, other] = await consumer.messages(2);
    expect([letter!.text, letter!.header('dead-letter-reason')]).toEqual(['bad', 'rejected']);
    expect(other!.text).toBe('good');
    expect(textsOf(await consumer.rest())).toEqual([]);
  });

  it('a transaction is there as a whole', async () => {
    const first = await start();
    const peer = await join(first);
    await sendAll(peer, '/queue/a', ['one'], KEPT);
    await peer.subscribe('/queue/a', { ack: 'client-individual' });
    const got = await peer.message();
    peer.send('BEGIN', { transaction: 't' });
    peer.send('ACK', { ...peer.reference(got), transaction: 't' });
    peer.send('SEND', { destination: '/queue/b', ...KEPT, transaction: 't' }, 'b');
    peer.send('SEND', { destination: '/topic/t', ...KEPT, retain: 'true', transaction: 't' }, 'retained');
    peer.send('BEGIN', { transaction: 'open' });
    peer.send('SEND', { destination: '/queue/b', ...KEPT, transaction: 'open' }, 'never committed');
    await peer.receipted('COMMIT', { transaction: 't' });

    const second = await restart(first);
    const consumer = await join(second);
    for (const destination of ['/queue/a', '/queue/b', '/topic/t']) await consumer.subscribe(destination);
    expect(await consumer.texts(2)).toEqual(['b', 'retained']);
    expect(textsOf(await consumer.rest())).toEqual([]);
  });
});

it('what was kept and cannot be used is named, set aside, and keeps nothing else from being served', async () => {
  const first = await start();
  const peer = await join(first, '1.2', { 'client-id': 'me' });
  for (const name of ['good', 'bad']) {
    await peer.subscribe('/topic/t', { id: name, 'durable-subscription-name': name, selector: 'x > 1' });
    await peer.receipted('UNSUBSCRIBE', { id: name });
  }
  await sendAll(peer, '/topic/t', ['one'], { ...KEPT, x: '2', retain: 'true' });
  await sendAll(peer, '/queue/a', ['a'], KEPT);
  await first.close(0);
  const place = directoryOf.get(first)!;
  // As if a version had written it that knows more than this one.
  const store = new DiskStore({ directory: place });
  await store.open();
  for (const kept of store.kept()) {
    if (kept.kind === 'durable' && kept.about['name'] === 'bad') {
      store.keep({ ...kept, about: { ...kept.about, selector: 'x >' } });
    }
  }
  await store.close();

  const lines: string[] = [];
  const report = (line: string) => lines.push(line);
  const make = () => makeBroker({ engine: new LocalEngine(new DiskStore({ directory: place, report })) });
  const second = await make();
  expect(lines.join('\n')).toMatch(
    /^the record of durable bad cannot be used: .*; set aside in damaged\/durable-\d+$/m,
  );
  const again = await join(second, '1.2', { 'client-id': 'me' });
  await again.subscribe('/topic/t', { id: 'good', 'durable-subscription-name': 'good', selector: 'x > 1' });
  await again.subscribe('/queue/a');
  expect((await again.texts(2)).sort()).toEqual(['a', 'one']);
  await second.close(0);

  // What the other one had collected is not lost, and told of.
  lines.length = 0;
  const third = await make();
  expect(lines).toEqual([
    'the record of the durable subscription bad is lost: 1 messages wait until it is subscribed to again',
  ]);
  const late = await join(third, '1.2', { 'client-id': 'me' });
  await late.subscribe('/topic/t', { id: 'bad', 'durable-subscription-name': 'bad', selector: 'x > 1' });
  expect(await late.texts(1)).toEqual(['one']);
});

it('a scheduled message that makes no sense is named, set aside, and keeps no other from coming in its time', async () => {
  const first = await start();
  const peer = await join(first);
  for (const body of ['good', 'bad']) {
    await peer.receipted('SEND', { destination: '/queue/a', ...KEPT, 'x-delay': '500' }, body);
  }
  await first.close(0);
  const place = directoryOf.get(first)!;
  // As if a version had written it that knows more than this one.
  const store = new DiskStore({ directory: place });
  await store.open();
  for (const kept of store.kept()) {
    if (kept.kind !== 'scheduled' || kept.message?.body.toString() !== 'bad') continue;
    const headers = { destination: '/queue/a', ...KEPT, 'x-delay': 'at dawn' };
    store.keep({ ...kept, message: new Message('/queue/a', new Frame('SEND', headers, 'bad')) });
  }
  await store.close();

  const lines: string[] = [];
  const make = async () => {
    const again = new DiskStore({ directory: place, report: (line) => lines.push(line) });
    return makeBroker({ engine: new LocalEngine(again) });
  };
  const second = await make();
  expect(lines).toEqual([
    expect.stringMatching(
      /^the record of scheduled .* cannot be used: .*x-delay.*; set aside in damaged\/scheduled-\d+$/,
    ),
  ]);
  const consumer = await join(second);
  await consumer.subscribe('/queue/a');
  expect((await consumer.message()).text).toBe('good');
  expect(textsOf(await consumer.rest())).toEqual([]);
  await second.close(0);
  await make();
  expect(lines).toHaveLength(1);
});

it('what may have been handed out before a kill comes as redelivered, and what came after that does not', async () => {
  const first = await start();
  const peer = await join(first);
  await sendAll(peer, '/queue/a', ['handed out'], KEPT);
  await peer.subscribe('/queue/a', { id: 'x', ack: 'client' });
  expect((await peer.message()).header('redelivered')).toBe('false');

  const second = await ways['a kill'](first);
  await sendAll(await join(second), '/queue/a', ['fresh'], KEPT);
  // It is not forgotten at a proper end.
  const third = await ways['a proper end'](second);
  const consumer = await join(third);
  await consumer.subscribe('/queue/a', { ack: 'client' });
  const got = await consumer.messages(2);
  expect(got.map((one) => [one.text, one.header('redelivered')])).toEqual([
    ['handed out', 'true'],
    ['fresh', 'false'],
  ]);
});

it('what was never handed out before a proper end is not redelivered', async () => {
  const first = await start();
  await sendAll(await join(first), '/queue/a', ['one'], KEPT);
  const consumer = await join(await ways['a proper end'](first));
  await consumer.subscribe('/queue/a');
  expect((await consumer.message()).header('redelivered')).toBe('false');
});
