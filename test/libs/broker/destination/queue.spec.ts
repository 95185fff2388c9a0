import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { LocalEngine, MemoryStore, type Policy } from 'nestjs-stomp-broker';
import type { Session } from 'nestjs-stomp/server';
import { join, joinAll, leave, makeBroker, sendAll, textsOf } from '../../../support/broker.js';
import { type RawPeer } from '../../../support/raw.js';
import { type Headers, type RawFrame } from '../../../support/wire.js';

const INDIVIDUAL: Headers = { ack: 'client-individual' };

const ack = (peer: RawPeer, message: RawFrame) => peer.receipted('ACK', peer.reference(message));
const nack = (peer: RawPeer, message: RawFrame, headers: Headers = {}) =>
  peer.receipted('NACK', { ...peer.reference(message), ...headers });

/** A queue with messages of these bodies, and a consumer of it. */
async function consume(bodies: readonly string[], headers: Headers = INDIVIDUAL, policies: readonly Policy[] = []) {
  const engine = new LocalEngine(new MemoryStore(), policies);
  const broker = await makeBroker({ engine, heartbeat: { outgoing: 0, incoming: 0 }, loginTimeout: 0 });
  const [publisher, consumer] = (await joinAll(broker, 2)) as [RawPeer, RawPeer];
  if (bodies.length > 0) await sendAll(publisher, '/queue/a', bodies);
  await consumer.subscribe('/queue/a', { id: 'x', ...headers });
  return { broker, publisher, consumer };
}

describe('the consumers of a queue', () => {
  it('take turns', async () => {
    const [publisher, ...consumers] = await joinAll(await makeBroker(), 4);
    for (const consumer of consumers) await consumer.subscribe('/queue/a');
    await sendAll(publisher!, '/queue/a', ['1', '2', '3', '4', '5', '6']);
    expect(await Promise.all(consumers.map((consumer) => consumer.texts(2)))).toEqual([
      ['1', '4'],
      ['2', '5'],
      ['3', '6'],
    ]);
  });

  it('are passed over while they have no credit, and take turns again when they have', async () => {
    const [publisher, small, large] = await joinAll(await makeBroker(), 3);
    await small!.subscribe('/queue/a', { ...INDIVIDUAL, 'prefetch-count': '1' });
    await large!.subscribe('/queue/a', { ...INDIVIDUAL, 'prefetch-count': '10' });
    await sendAll(publisher!, '/queue/a', ['1', '2', '3', '4']);
    const first = await small!.message();
    expect(await large!.texts(3)).toEqual(['2', '3', '4']);
    await ack(small!, first);
    await sendAll(publisher!, '/queue/a', ['5', '6']);
    expect([...textsOf(await small!.rest()), ...textsOf(await large!.rest())].sort()).toEqual(['5', '6']);
  });

  it('of one session share the messages like any others', async () => {
    const [publisher, consumer] = await joinAll(await makeBroker(), 2);
    await consumer!.subscribe('/queue/a', { id: 'x' });
    await consumer!.subscribe('/queue/a', { id: 'y' });
    await sendAll(publisher!, '/queue/a', ['1', '2']);
    const got = await consumer!.messages(2);
    expect(got.map((message) => message.header('subscription'))).toEqual(['x', 'y']);
  });

  it('may send to the queue themselves', async () => {
    const { consumer } = await consume([]);
    await sendAll(consumer, '/queue/a', ['one']);
    expect(await consumer.texts(1)).toEqual(['one']);
  });

  it('of whom one does not read leave it what fits its socket, and the others all else', async () => {
    const broker = await makeBroker({ highWaterMark: 16 * 1024 });
    const [publisher, stuck, quick] = (await joinAll(broker, 3)) as [RawPeer, RawPeer, RawPeer];
    await stuck.subscribe('/queue/a');
    await quick.subscribe('/queue/a');
    stuck.pause();
    const bodies = Array.from({ length: 300 }, (_, index) => String(index).padEnd(2_000, '.'));
    await sendAll(publisher, '/queue/a', bodies);
    const byQuick = textsOf(await quick.rest());
    expect(byQuick.length).toBeGreaterThan(250);
    stuck.resume();
    const byStuck = textsOf(await stuck.rest());
    expect([...byQuick, ...byStuck].sort()).toEqual(bodies.sort());
  });
});

it('messages that wait come after the receipt of the SUBSCRIBE that they are for', async () => {
  const [sender, consumer] = await joinAll(await makeBroker(), 2);
  await sendAll(sender!, '/queue/a', ['1', '2']);
  consumer!.send('SUBSCRIBE', { destination: '/queue/a', id: '1', receipt: 'r' });
  const frames = [await consumer!.frame(), await consumer!.frame(), await consumer!.frame()];
  expect(frames.map(({ command }) => command)).toEqual(['RECEIPT', 'MESSAGE', 'MESSAGE']);
});

describe('credit', () => {
  it.each([
    ['prefetch-count', '2', 2],
    ['activemq.prefetchSize', '3', 3],
    ['prefetch-count', '0', 150],
    ['consumer-window-size', '0', 1],
    ['consumer-window-size', '10240', 10],
    ['consumer-window-size', '-1', 150],
  ] as const)('by %s:%s is %i messages', async (name, value, count) => {
    const bodies = Array.from({ length: 150 }, (_, index) => String(index));
    const { consumer } = await consume(bodies, { ...INDIVIDUAL, [name]: value });
    expect(textsOf(await consumer.rest())).toEqual(bodies.slice(0, count));
  });

  it.each(['client', 'client-individual'])('is 100 messages with ack:%s when nothing is said', async (mode) => {
    const bodies = Array.from({ length: 150 }, (_, index) => String(index));
    const { consumer } = await consume(bodies, { ack: mode });
    const got = (await consumer.rest()).filter(({ command }) => command === 'MESSAGE');
    expect(textsOf(got)).toEqual(bodies.slice(0, 100));
    await ack(consumer, got[0]!);
    expect(await consumer.texts(1)).toEqual(['100']);
  });

  it('does not limit ack:auto', async () => {
    const bodies = Array.from({ length: 150 }, (_, index) => String(index));
    const { consumer } = await consume(bodies, { 'prefetch-count': '1' });
    expect(await consumer.texts(150)).toEqual(bodies);
  });

  it.each([
    ['prefetch-count', '-1'],
    ['prefetch-count', ''],
    ['prefetch-count', '1e3'],
    ['activemq.prefetchSize', 'many'],
  ])('of %s:%j is refused', async (name, value) => {
    const peer = await join(await makeBroker());
    peer.send('SUBSCRIBE', { id: 'x', destination: '/queue/a', receipt: 'r', [name]: value });
    const error = await peer.refused();
    expect(error.header('receipt-id')).toBe('r');
    expect(error.text).toContain(name);
  });
});

describe('a message that was not acknowledged', () => {
  it('returns to its place at the head, in order, with redelivered:true and a count', async () => {
    const { broker, consumer, publisher } = await consume(['1', '2', '3', '4', '5'], {
      ack: 'client-individual',
      'prefetch-count': '4',
    });
    const [, two] = await consumer.messages(4);
    await ack(consumer, two!);
    await consumer.message();
    await leave(consumer);
    await sendAll(publisher, '/queue/a', ['6']);
    const next = await join(broker);
    await next.subscribe('/queue/a');
    const got = await next.messages(5);
    expect(textsOf(got)).toEqual(['1', '3', '4', '5', '6']);
    expect(got.map((message) => message.header('redelivered'))).toEqual(['true', 'true', 'true', 'true', 'false']);
    expect(got.map((message) => message.header('delivery-count'))).toEqual(['1', '1', '1', '1', undefined]);
  });

  it('keeps its message-id, and is counted each time', async () => {
    const { broker, consumer } = await consume(['one']);
    const id = (await consumer.message()).header('message-id');
    await consumer.receipted('DISCONNECT');
    for (const count of ['1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '11']) {
      const next = await join(broker);
      await next.subscribe('/queue/a', INDIVIDUAL);
      const again = await next.message();
      expect(again.header('message-id')).toBe(id);
      expect(again.header('delivery-count')).toBe(count);
      await next.receipted('DISCONNECT');
    }
  });

  it.each<[how: string, breakOff: (peer: RawPeer, session: Session) => void]>([
    ['is cut', (_peer, session) => session.destroy()],
    ['ends without a DISCONNECT', (peer) => peer.end()],
    ['ends with an ERROR', (peer) => peer.send('NONSENSE')],
  ])('is a dead letter once its consumer’s connection %s as often as the limit says', async (_how, breakOff) => {
    const { broker, consumer, publisher } = await consume(['one'], INDIVIDUAL, [
      { destination: '/queue/a', maxDeliveries: 3 },
    ]);
    await publisher.subscribe('/queue/DLQ.a');
    let holder = consumer;
    for (const count of [undefined, '1', '2']) {
      if (count !== undefined) {
        holder = await join(broker);
        await holder.subscribe('/queue/a', INDIVIDUAL);
      }
      expect((await holder.message()).header('delivery-count')).toBe(count);
      breakOff(holder, [...broker.sessions].at(-1)!);
    }
    const dead = await publisher.message();
    expect([dead.text, dead.header('dead-letter-reason'), dead.header('dead-letter-deliveries')]).toEqual([
      'one',
      'delivery limit',
      '3',
    ]);
  });

  it('does not come nearer to the limit by an UNSUBSCRIBE or a DISCONNECT', async () => {
    const { broker, consumer, publisher } = await consume(['one'], INDIVIDUAL, [
      { destination: '/queue/a', maxDeliveries: 2 },
    ]);
    await publisher.subscribe('/queue/DLQ.a');
    await consumer.message();
    await consumer.receipted('DISCONNECT');
    for (let count = 1; count < 6; count++) {
      const next = await join(broker);
      await next.subscribe('/queue/a', { ...INDIVIDUAL, id: 'x' });
      expect((await next.message()).header('delivery-count')).toBe(String(count));
      if (count % 2 === 0) await next.receipted('UNSUBSCRIBE', { id: 'x' });
      await next.receipted('DISCONNECT');
    }
    expect(textsOf(await publisher.rest())).toEqual([]);
    for (const count of ['6', '7']) {
      const broken = await join(broker);
      await broken.subscribe('/queue/a', INDIVIDUAL);
      expect((await broken.message()).header('delivery-count')).toBe(count);
      await leave(broken);
    }
    expect((await publisher.message()).header('dead-letter-deliveries')).toBe('8');
  });

  it('goes to a consumer that waits at once', async () => {
    const { broker, consumer } = await consume(['1', '2'], INDIVIDUAL);
    await consumer.messages(2);
    const other = await join(broker);
    await other.subscribe('/queue/a');
    await leave(consumer);
    expect(await other.texts(2)).toEqual(['1', '2']);
  });
});

describe('with a clock of its own', () => {
  beforeEach(() => {
    jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask', 'performance'] });
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  it('a refused message comes again at once, then ever later, and after ten deliveries is a dead letter', async () => {
    const { broker, consumer } = await consume(['one'], INDIVIDUAL);
    const undertaker = await join(broker);
    await undertaker.subscribe('/queue/DLQ.a');
    for (const wait of [0, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800]) {
      await nack(consumer, await consumer.message());
      if (wait === 0) continue;
      jest.advanceTimersByTime(wait - 1);
      expect(textsOf(await consumer.rest())).toEqual([]);
      jest.advanceTimersByTime(1);
    }
    const last = await consumer.message();
    expect(last.header('delivery-count')).toBe('9');
    await nack(consumer, last);
    const dead = await undertaker.message();
    expect(dead.text).toBe('one');
    expect(dead.header('dead-letter-reason')).toBe('delivery limit');
    expect(dead.header('dead-letter-deliveries')).toBe('10');
    expect(dead.header('dead-letter-origin')).toBe('/queue/a');
    expect(dead.header('redelivered')).toBe('false');
  });

  it('a policy says how long the waits are, how they grow, and how long they get', async () => {
    const policy = { destination: '/queue/a', redeliveryDelay: 1_000, redeliveryFactor: 3, maxRedeliveryDelay: 5_000 };
    const { consumer } = await consume(['one'], INDIVIDUAL, [{ ...policy, maxDeliveries: 0 }]);
    for (const wait of [0, 1_000, 3_000, 5_000, 5_000, 5_000, 5_000, 5_000, 5_000, 5_000, 5_000]) {
      await nack(consumer, await consumer.message());
      if (wait === 0) continue;
      jest.advanceTimersByTime(wait - 1);
      expect(textsOf(await consumer.rest())).toEqual([]);
      jest.advanceTimersByTime(1);
    }
    expect((await consumer.message()).header('delivery-count')).toBe('11');
  });

  it('the wait after a NACK in a transaction begins at its COMMIT', async () => {
    const { consumer } = await consume(['one']);
    await nack(consumer, await consumer.message());
    const again = await consumer.message();
    await consumer.receipted('BEGIN', { transaction: 't' });
    consumer.send('NACK', { ...consumer.reference(again), transaction: 't' });
    expect(textsOf(await consumer.rest())).toEqual([]);
    jest.advanceTimersByTime(10_000);
    expect(textsOf(await consumer.rest())).toEqual([]);
    await consumer.receipted('COMMIT', { transaction: 't' });
    jest.advanceTimersByTime(99);
    expect(textsOf(await consumer.rest())).toEqual([]);
    jest.advanceTimersByTime(1);
    expect((await consumer.message()).header('delivery-count')).toBe('2');
  });

  it('a message that waits for its next delivery lets those behind it pass, and then comes before them', async () => {
    const { consumer, publisher } = await consume(['1', '2'], { ...INDIVIDUAL, 'prefetch-count': '1' });
    await nack(consumer, await consumer.message());
    await nack(consumer, await consumer.message());
    const two = await consumer.message();
    expect(two.text).toBe('2');
    await sendAll(publisher, '/queue/a', ['3']);
    jest.advanceTimersByTime(100);
    await ack(consumer, two);
    const one = await consumer.message();
    expect([one.text, one.header('delivery-count')]).toEqual(['1', '2']);
    await ack(consumer, one);
    expect(await consumer.texts(1)).toEqual(['3']);
  });

  it('what a lost connection had does not wait, however often that happens', async () => {
    const { broker, consumer } = await consume(['one']);
    await consumer.message();
    await leave(consumer);
    for (let count = 1; count < 5; count++) {
      const next = await join(broker);
      await next.subscribe('/queue/a', INDIVIDUAL);
      expect((await next.message()).header('delivery-count')).toBe(String(count));
      await leave(next);
    }
  });

  it('a NACK with a delay is followed by a delivery after it', async () => {
    const { consumer } = await consume(['one', 'two'], { ...INDIVIDUAL, 'prefetch-count': '1' });
    await nack(consumer, await consumer.message(), { delay: '5000' });
    const two = await consumer.message();
    expect(two.text).toBe('two');
    jest.advanceTimersByTime(4_999);
    await ack(consumer, two);
    expect(textsOf(await consumer.rest())).toEqual([]);
    jest.advanceTimersByTime(1);
    const again = await consumer.message();
    expect(again.text).toBe('one');
    expect(again.header('redelivered')).toBe('true');
  });

  it.each(['soon', '-1', '1.5', ''])('a delay of %j is refused, and the message comes again', async (delay) => {
    const { broker, consumer } = await consume(['one']);
    const one = await consumer.message();
    consumer.send('NACK', { ...consumer.reference(one), delay, receipt: 'r' });
    const error = await consumer.refused();
    expect([error.header('message'), error.header('receipt-id')]).toEqual(['invalid header', 'r']);
    expect(error.text).toContain('delay');
    const next = await join(broker);
    await next.subscribe('/queue/a');
    expect(await next.texts(1)).toEqual(['one']);
  });

  it('a delay that is no number is refused at the NACK in a transaction, not at its COMMIT', async () => {
    const { consumer } = await consume(['one']);
    const one = await consumer.message();
    await consumer.receipted('BEGIN', { transaction: 't' });
    consumer.send('NACK', { ...consumer.reference(one), delay: 'soon', transaction: 't', receipt: 'r' });
    expect((await consumer.refused()).header('receipt-id')).toBe('r');
  });

  it('a message that waits for its next delivery is not lost when its consumer goes', async () => {
    const { broker, consumer } = await consume(['one']);
    await nack(consumer, await consumer.message(), { delay: '5000' });
    await leave(consumer);
    const next = await join(broker);
    await next.subscribe('/queue/a');
    expect(textsOf(await next.rest())).toEqual([]);
    jest.advanceTimersByTime(5_000);
    expect(await next.texts(1)).toEqual(['one']);
  });

  it('an acknowledgement after UNSUBSCRIBE counts, also of a message that is back in its queue', async () => {
    const { broker, consumer } = await consume(['one', 'two', 'three']);
    const [one, two] = await consumer.messages(3);
    await consumer.receipted('UNSUBSCRIBE', { id: 'x' });
    await ack(consumer, one!);
    jest.advanceTimersByTime(1_000);
    await ack(consumer, two!);
    const next = await join(broker);
    await next.subscribe('/queue/a');
    expect(textsOf(await next.rest())).toEqual(['three']);
  });

  it('an acknowledgement after UNSUBSCRIBE does not take a message from whoever has it by then', async () => {
    const { broker, consumer } = await consume(['one']);
    const one = await consumer.message();
    await consumer.receipted('UNSUBSCRIBE', { id: 'x' });
    const next = await join(broker);
    await next.subscribe('/queue/a', INDIVIDUAL);
    jest.advanceTimersByTime(1_000);
    await next.message();
    await ack(consumer, one);
    await leave(next);
    await consumer.subscribe('/queue/a', { id: 'y' });
    expect(await consumer.texts(1)).toEqual(['one']);
  });
});

describe('the dead letter queue', () => {
  it('gets what is refused with requeue:false, with its headers and the reason', async () => {
    const { consumer } = await consume(['one']);
    await nack(consumer, await consumer.message(), { requeue: 'false' });
    await consumer.subscribe('/queue/DLQ.a', { id: 'dead' });
    const dead = await consumer.message();
    expect(dead.text).toBe('one');
    expect(dead.header('destination')).toBe('/queue/DLQ.a');
    expect(dead.header('dead-letter-reason')).toBe('rejected');
    expect(dead.header('dead-letter-deliveries')).toBe('1');
  });

  it('keeps its own reason when a publisher claims one', async () => {
    const { consumer } = await consume([]);
    await sendAll(consumer, '/queue/a', ['one'], { 'dead-letter-reason': 'mine', 'dead-letter-origin': '/queue/b' });
    await nack(consumer, await consumer.message(), { requeue: 'false' });
    await consumer.subscribe('/queue/DLQ.a', { id: 'dead' });
    const dead = await consumer.message();
    const lines = dead.lines.filter((line) => line.startsWith('dead-letter-'));
    expect(lines).toEqual(['dead-letter-reason:rejected', 'dead-letter-origin:/queue/a', 'dead-letter-deliveries:1']);
  });
});
