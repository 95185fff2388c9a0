import { describe, expect, it } from '@jest/globals';
import { LocalEngine, MemoryStore, type Policy } from 'nestjs-stomp-broker';
import { StompError } from 'nestjs-stomp/server';
import { join, leave, makeBroker, sendAll, textsOf } from '../../../support/broker.js';

const withPolicies = (...policies: Policy[]) => makeBroker({ engine: new LocalEngine(new MemoryStore(), policies) });

/** A broker whose clients may use only destinations that hold the word `mine`. */
const guarded = () =>
  makeBroker({
    admission: {
      connect: () => Promise.resolve(),
      use: (_session, destination, action) =>
        destination.includes('mine')
          ? Promise.resolve()
          : Promise.reject(new StompError('access refused', `${action} ${destination}`)),
    },
  });

describe('dead letters', () => {
  it.each([
    ['x-dead-letter-routing-key', 'a\nb'],
    ['x-dead-letter-routing-key', 'x'.repeat(2000)],
  ])('are refused an address that is none (%s)', async (name, value) => {
    const broker = await makeBroker();
    const peer = await join(broker);
    peer.send('SEND', { destination: '/queue/a', [name]: value, expiration: '0' }, 'x');
    expect((await peer.refused()).header('message')).toBe('invalid destination');
  });

  it('are not sent where a client may not send', async () => {
    const broker = await guarded();
    const peer = await join(broker);
    peer.send('SEND', { destination: '/queue/mine', 'x-dead-letter-routing-key': 'orders' }, 'x');
    expect((await peer.refused()).text).toContain('send /queue/orders');
  });

  it('are no way to send advisories', async () => {
    const peer = await join(await makeBroker());
    peer.send('SEND', {
      destination: '/queue/a',
      'x-dead-letter-exchange': 'amq.topic',
      'x-dead-letter-routing-key': '$SYS.connections',
    });
    expect((await peer.refused()).header('message')).toBe('access refused');
  });

  it('do not go round between full queues that name each other, nor from a queue to itself', async () => {
    const broker = await withPolicies(
      { destination: '/queue/*', maxLength: 1, overflow: 'drop-oldest' },
      { destination: '/queue/a', deadLetter: '/queue/b' },
      { destination: '/queue/b', deadLetter: '/queue/a' },
      { destination: '/queue/self', deadLetter: '/queue/self' },
    );
    const peer = await join(broker);
    await sendAll(peer, '/queue/a', ['1', '2', '3', '4']);
    await sendAll(peer, '/queue/self', ['1', '2', '3']);
    await peer.subscribe('/queue/self');
    expect(textsOf(await peer.rest())).toEqual(['3']);
    await peer.subscribe('/queue/a');
    expect(textsOf(await peer.rest())).toHaveLength(1);
  });
});

describe('x-queue-name', () => {
  it('opens no queue that the client may not consume', async () => {
    const peer = await join(await guarded());
    peer.send('SUBSCRIBE', { destination: '/topic/mine', id: 'a', 'x-queue-name': 'orders' });
    expect((await peer.refused()).text).toContain('subscribe /queue/orders');
  });

  it('opens none either once the client was granted the topic, nor sends its dead letters where the client may not', async () => {
    const broker = await guarded();
    for (const [headers, refused] of [
      [{ 'x-queue-name': 'orders' }, 'subscribe /queue/orders'],
      [{ 'x-queue-name': 'mine', 'x-dead-letter-routing-key': 'orders' }, 'send /queue/orders'],
    ] as const) {
      const peer = await join(broker);
      await peer.subscribe('/topic/mine', { id: 'a' });
      peer.send('SUBSCRIBE', { destination: '/topic/mine', id: 'b', ...headers });
      expect((await peer.refused()).text).toContain(refused);
    }
  });
});

describe('x-queue-name of a temporary topic', () => {
  it('opens no queue that the client may not consume, and has to be a name', async () => {
    const broker = await guarded();
    for (const [headers, refused] of [
      [{ 'x-queue-name': 'orders' }, 'subscribe /queue/orders'],
      [{ 'x-queue-name': 'mine', 'x-dead-letter-routing-key': 'orders' }, 'send /queue/orders'],
      [{ 'x-queue-name': 'mine\n' }, 'control characters'],
    ] as const) {
      const peer = await join(broker);
      peer.send('SUBSCRIBE', { destination: '/temp-topic/mine', id: 'a', ...headers });
      expect((await peer.refused()).text).toContain(refused);
    }
  });
});

describe('a full queue', () => {
  const limited = () => withPolicies({ destination: '/queue/full', maxLength: 2 });

  it('refuses also when others wait behind its exclusive consumer, which has no credit', async () => {
    const broker = await limited();
    const [sole, spare, publisher] = [await join(broker), await join(broker), await join(broker)];
    await sole.subscribe('/queue/full', { ack: 'client', 'prefetch-count': '1', exclusive: 'true' });
    await spare.subscribe('/queue/full');
    await sendAll(publisher, '/queue/full', ['1', '2', '3']);
    publisher.send('SEND', { destination: '/queue/full' }, '4');
    expect((await publisher.refused()).header('message')).toBe('queue is full');
  });

  it('refuses a list of destinations as a whole', async () => {
    const broker = await limited();
    const [peer, other] = [await join(broker), await join(broker)];
    await sendAll(peer, '/queue/full', ['1', '2']);
    peer.send('SEND', { destination: '/queue/other,/queue/full' }, 'x');
    expect((await peer.refused()).header('message')).toBe('queue is full');
    await other.subscribe('/queue/other');
    expect(textsOf(await other.rest())).toEqual([]);
  });
});

describe('what a consumer had for itself', () => {
  it.each([
    ['a group', {}, { JMSXGroupID: 'g' }],
    ['an exclusive queue', { exclusive: 'true' }, {}],
  ])('goes to the next one in order when its connection ends: %s', async (_what, subscribing, sending) => {
    const broker = await makeBroker();
    const [first, second, publisher] = [await join(broker), await join(broker), await join(broker)];
    const credit = { ack: 'client-individual', 'prefetch-count': '2', ...subscribing };
    await first.subscribe('/queue/a', credit);
    await sendAll(publisher, '/queue/a', ['1', '2', '3', '4'], sending);
    expect(await first.texts(2)).toEqual(['1', '2']);
    await second.subscribe('/queue/a', { ...credit, 'prefetch-count': '10' });
    expect(textsOf(await second.rest())).toEqual([]);
    await leave(first);
    expect(await second.texts(4)).toEqual(['1', '2', '3', '4']);
  });
});
