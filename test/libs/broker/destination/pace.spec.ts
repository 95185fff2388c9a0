import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { Session } from 'nestjs-stomp/server';
// No door shows when a session is not read: only how soon it is.
import { Pace } from '../../../../libs/broker/src/destination/pace.js';
import { join, makeBroker } from '../../../support/broker.js';

/** A publisher that notes whether it is read. */
const makePublisher = (owes = false) => {
  const publisher = { owes, read: true, waitFor: () => (publisher.read = false), goOn: () => (publisher.read = true) };
  return publisher;
};
type Publisher = ReturnType<typeof makePublisher>;
const hold = (pace: Pace, publisher: Publisher, length = 1_024): void =>
  pace.hold(publisher as unknown as Session, length);

describe('a publisher that is faster than the consumers of its queue', () => {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  it('is not read until they have caught up', () => {
    const pace = new Pace();
    const publisher = makePublisher();
    hold(pace, publisher);
    expect(publisher.read).toBe(false);
    pace.relax(() => 1_000);
    expect(publisher.read).toBe(false);
    pace.relax(() => 0);
    expect(publisher.read).toBe(true);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('is read on where they do not catch up within a moment, and from then on until the queue is short', () => {
    const pace = new Pace();
    const publisher = makePublisher();
    hold(pace, publisher);
    jest.advanceTimersByTime(1_000);
    expect(publisher.read).toBe(true);
    hold(pace, publisher);
    expect(publisher.read).toBe(true);
    pace.relax(() => 0);
    hold(pace, publisher);
    expect(publisher.read).toBe(false);
  });

  it('is not read for as long as they take an eighth of what waits in each moment', () => {
    const pace = new Pace();
    const publisher = makePublisher();
    hold(pace, publisher, 8_000);
    for (const left of [6_900, 6_000, 5_000, 4_300]) {
      pace.relax(() => left);
      jest.advanceTimersByTime(50);
      expect(publisher.read).toBe(false);
    }
    pace.relax(() => 4_000);
    jest.advanceTimersByTime(50);
    expect(publisher.read).toBe(true);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('is read on while somebody may wait for its acknowledgements', () => {
    const publisher = makePublisher(true);
    hold(new Pace(), publisher);
    expect(publisher.read).toBe(true);
  });

  it('goes on in its turn where there are several', () => {
    const pace = new Pace();
    const publishers = [makePublisher(), makePublisher(), makePublisher()];
    for (const publisher of publishers) hold(pace, publisher);
    // The first that goes on makes the queue long again.
    pace.relax(() => (publishers[0]!.read ? 1_000 : 0));
    expect(publishers.map(({ read }) => read)).toEqual([true, false, false]);
    jest.advanceTimersByTime(1_000);
    expect(publishers.map(({ read }) => read)).toEqual([true, true, true]);
  });
});

describe('a queue', () => {
  it('takes any number of messages while its consumer acknowledges nothing', async () => {
    const broker = await makeBroker();
    const consumer = await join(broker);
    await consumer.subscribe('/queue/a', { ack: 'client-individual', 'prefetch-count': '1' });
    const publisher = await join(broker);
    publisher.write('SEND\ndestination:/queue/a\n\nx\0'.repeat(20_000));
    await publisher.receipted('SEND', { destination: '/queue/a' });
    expect((await consumer.message()).text).toBe('x');
  });

  it('gives all in their order to a client that sends and takes over one connection', async () => {
    const peer = await join(await makeBroker());
    await peer.subscribe('/queue/a');
    const bodies = Array.from({ length: 5_000 }, (_, i) => String(i));
    peer.write(bodies.map((body) => `SEND\ndestination:/queue/a\n\n${body}\0`).join(''));
    expect((await peer.messages(5_000)).map(({ text }) => text)).toEqual(bodies);
  });

  it('gives all in their order to a consumer that acknowledges each', async () => {
    const broker = await makeBroker();
    const consumer = await join(broker);
    await consumer.subscribe('/queue/a', { ack: 'client-individual' });
    const publisher = await join(broker);
    publisher.write(Array.from({ length: 5_000 }, (_, i) => `SEND\ndestination:/queue/a\n\n${i}\0`).join(''));
    for (let i = 0; i < 5_000; i++) {
      const message = await consumer.message();
      expect(message.text).toBe(String(i));
      consumer.send('ACK', { id: message.header('ack')! });
    }
  });
});
