import { describe, expect, it } from '@jest/globals';
import { LocalEngine, MemoryStore, type Policy, type StompBroker, type StompBrokerOptions } from 'nestjs-stomp-broker';
import { join, joinAll, leave, makeBroker, sendAll, textsOf } from '../../../support/broker.js';
import { type RawPeer } from '../../../support/raw.js';
import { type Headers } from '../../../support/wire.js';

const withPolicies = (policies: Policy[], options: Partial<StompBrokerOptions> = {}): Promise<StompBroker> =>
  makeBroker({ engine: new LocalEngine(new MemoryStore(), policies), ...options });

/** What waits in a queue, by bodies, taken. */
async function drain(broker: StompBroker, destination: string): Promise<string[]> {
  const peer = await join(broker);
  await peer.subscribe(destination);
  const bodies = textsOf(await peer.rest());
  await leave(peer);
  return bodies;
}

/** Sends each body to its destination in a transaction, and asks for its COMMIT. */
function commit(
  peer: RawPeer,
  sent: readonly (readonly [destination: string, body: string, headers?: Headers])[],
): void {
  peer.send('BEGIN', { transaction: 't' });
  for (const [destination, body, headers] of sent) {
    peer.send('SEND', { destination, transaction: 't', ...headers }, body);
  }
  peer.send('COMMIT', { transaction: 't', receipt: 'committed' });
}

const FULL = { destination: '/queue/full', maxLength: 2 };

describe('what is refused for want of room is refused whole', () => {
  it.each<[string, [string, string][]]>([
    [
      'the second message to one queue',
      [
        ['/queue/free', 'x'],
        ['/queue/full', '1'],
        ['/queue/full', '2'],
      ],
    ],
    [
      'one destination of a list',
      [
        ['/queue/free', 'x'],
        ['/queue/free,/queue/full', '1'],
        ['/queue/full', '2'],
      ],
    ],
    [
      'a queue under two of its names',
      [
        ['/queue/free', 'x'],
        ['/queue/full', '1'],
        ['/amq/queue/full', '2'],
      ],
    ],
  ])('in a transaction: %s', async (_what, sent) => {
    const broker = await withPolicies([FULL]);
    const peer = await join(broker);
    await sendAll(peer, '/queue/full', ['before']);
    commit(peer, sent);
    const error = await peer.refused();
    expect([error.header('message'), error.header('receipt-id')]).toEqual(['queue is full', 'committed']);
    expect(await drain(broker, '/queue/free')).toEqual([]);
    expect(await drain(broker, '/queue/full')).toEqual(['before']);
  });

  it.each(['/queue/free,/queue/full,/queue/full', '/queue/free,/queue/full,/amq/queue/full'])(
    'in a list that names a queue twice: %s',
    async (destination) => {
      const broker = await withPolicies([FULL]);
      const peer = await join(broker);
      await sendAll(peer, '/queue/full', ['before']);
      peer.send('SEND', { destination, receipt: 'r' }, 'x');
      const error = await peer.refused();
      expect([error.header('message'), error.header('receipt-id')]).toEqual(['queue is full', 'r']);
      expect(await drain(broker, '/queue/free')).toEqual([]);
      expect(await drain(broker, '/queue/full')).toEqual(['before']);
    },
  );

  it.each(['/queue/free', '/topic/free'])('also when it is a reply queue that is full, beside %s', async (free) => {
    const broker = await withPolicies([{ destination: '/temp-queue/#', maxLength: 1 }]);
    const [client, one, two, reader] = (await joinAll(broker, 4)) as [RawPeer, RawPeer, RawPeer, RawPeer];
    await reader.subscribe(free);
    await one.subscribe('/queue/service');
    // The client has no credit for more than one answer.
    await client.subscribe('/temp-queue/answers', { ack: 'client', 'prefetch-count': '1' });
    await sendAll(client, '/queue/service', ['?'], { 'reply-to': '/temp-queue/answers' });
    const replyTo = (await one.message()).header('reply-to')!;
    await sendAll(one, replyTo, ['taken', 'waits']);
    commit(one, [
      [free, 'x'],
      [replyTo, 'too much'],
    ]);
    expect((await one.refused()).header('message')).toBe('queue is full');
    two.send('SEND', { destination: `${free},${replyTo}` }, 'too much');
    expect((await two.refused()).header('message')).toBe('queue is full');
    expect(textsOf(await reader.rest())).toEqual([]);
    expect(textsOf(await client.rest())).toEqual(['taken']);
  });

  it('also when the limit is reached of a queue that was made anew since the client was let in there', async () => {
    const broker = await withPolicies([{ destination: '/queue/full', maxLength: 1 }]);
    const [peer, other] = (await joinAll(broker, 2)) as [RawPeer, RawPeer];
    await peer.subscribe('/queue/full', { id: 'q', 'auto-delete': 'true' });
    await sendAll(peer, '/queue/full', ['once']);
    expect(await peer.texts(1)).toEqual(['once']);
    await peer.receipted('UNSUBSCRIBE', { id: 'q' });
    await sendAll(other, '/queue/full', ['anew']);
    commit(peer, [
      ['/queue/free', 'x'],
      ['/queue/full', 'too much'],
    ]);
    expect((await peer.refused()).header('message')).toBe('queue is full');
    expect(await drain(broker, '/queue/free')).toEqual([]);
    expect(await drain(broker, '/queue/full')).toEqual(['anew']);
  });

  it.each<[string, (peer: RawPeer) => void]>([
    ['a SEND', (peer) => peer.send('SEND', { destination: '/queue/free', 'reply-to': '/temp-queue/r' }, 'x')],
    [
      'a list',
      (peer) => peer.send('SEND', { destination: '/queue/free,/topic/free', 'reply-to': '/temp-queue/r' }, 'x'),
    ],
    [
      'a transaction',
      (peer) =>
        commit(peer, [
          ['/queue/free', 'x'],
          ['/topic/free', 'x', { 'reply-to': '/temp-queue/r' }],
        ]),
    ],
  ])('also when there can be no queue for its replies: %s', async (_what, send) => {
    const engine = new LocalEngine(new MemoryStore(), [], { maxQueues: 1 });
    const broker = await makeBroker({ engine });
    const [peer, reader] = (await joinAll(broker, 2)) as [RawPeer, RawPeer];
    await reader.subscribe('/queue/free,/topic/free');
    send(peer);
    expect((await peer.refused()).header('message')).toBe('too many queues');
    expect(textsOf(await reader.rest())).toEqual([]);
  });
});

describe('a COMMIT that is refused', () => {
  it('leaves what it acknowledged to the next consumer, as its ABORT would', async () => {
    const broker = await withPolicies([FULL]);
    const [publisher, worker] = (await joinAll(broker, 2)) as [RawPeer, RawPeer];
    await sendAll(publisher, '/queue/work', ['1', '2', '3']);
    await sendAll(publisher, '/queue/full', ['a', 'b']);
    await worker.subscribe('/queue/work', { ack: 'client-individual' });
    const [one, two] = await worker.messages(3);
    worker.send('BEGIN', { transaction: 't' });
    worker.send('ACK', { ...worker.reference(one!), transaction: 't' });
    worker.send('SEND', { destination: '/queue/full', transaction: 't' }, 'c');
    worker.send('NACK', { ...worker.reference(two!), transaction: 't', requeue: 'false' });
    worker.send('COMMIT', { transaction: 't' });
    expect((await worker.refused()).header('message')).toBe('queue is full');
    expect(await drain(broker, '/queue/work')).toEqual(['1', '2', '3']);
    expect(await drain(broker, '/queue/DLQ.work')).toEqual([]);
    expect(await drain(broker, '/queue/full')).toEqual(['a', 'b']);
  });
});

describe('a limit of octets', () => {
  it.each<[string, Policy[], Headers]>([
    ['max-bytes', [{ destination: '/queue/a', maxBytes: 30 }], {}],
    ['x-max-length-bytes', [], { 'x-max-length-bytes': '30', 'x-overflow': 'reject-publish' }],
  ])('counts bodies and no headers: %s', async (_name, policies, rules) => {
    const broker = await withPolicies(policies);
    const [peer, other] = (await joinAll(broker, 2)) as [RawPeer, RawPeer];
    const headers = { ...rules, filler: 'x'.repeat(1_000) };
    await sendAll(peer, '/queue/a', ['x'.repeat(10), 'x'.repeat(20), ''], headers);
    peer.send('SEND', { destination: '/queue/a', ...headers }, 'x');
    expect((await peer.refused()).text).toContain('30 octets');
    commit(other, [
      ['/queue/free', 'x'],
      ['/queue/a', 'x'],
    ]);
    expect((await other.refused()).text).toContain('30 octets');
    expect(await drain(broker, '/queue/free')).toEqual([]);
    expect((await drain(broker, '/queue/a')).map(({ length }) => length)).toEqual([10, 20, 0]);
    await sendAll(await join(broker), '/queue/a', ['x'.repeat(30)], headers);
  });

  it('makes dead letters of the oldest until the bodies of the rest are no more than that', async () => {
    const broker = await withPolicies([]);
    const peer = await join(broker);
    for (const body of ['1234', '567', '890']) await sendAll(peer, '/queue/a', [body], { 'x-max-length-bytes': '6' });
    expect(await drain(broker, '/queue/a')).toEqual(['567', '890']);
    expect(await drain(broker, '/queue/DLQ.a')).toEqual(['1234']);
  });
});

describe('a limit of a queue that has consumers', () => {
  const OVERFLOWS = ['reject', 'drop-oldest'] as const;
  const none = { destination: '/queue/a', maxLength: 0, maxBytes: 0 };

  it.each(OVERFLOWS)('says nothing of what goes straight to one of them: %s', async (overflow) => {
    const broker = await withPolicies([{ ...none, overflow }]);
    const [publisher, consumer] = (await joinAll(broker, 2)) as [RawPeer, RawPeer];
    await consumer.subscribe('/queue/a', { ack: 'client-individual', 'prefetch-count': '5' });
    await sendAll(publisher, '/queue/a', ['1']);
    await publisher.receipted('BEGIN', { transaction: 't' });
    for (const body of ['2', '3']) publisher.send('SEND', { destination: '/queue/a', transaction: 't' }, body);
    await publisher.receipted('COMMIT', { transaction: 't' });
    await sendAll(publisher, '/queue/b,/queue/a', ['4']);
    await sendAll(publisher, '/queue/a', ['5']);
    expect(await consumer.texts(5)).toEqual(['1', '2', '3', '4', '5']);
    expect(await drain(broker, '/queue/DLQ.a')).toEqual([]);
  });

  it.each(OVERFLOWS)('counts what waits, not what is unacknowledged: %s', async (overflow) => {
    const broker = await withPolicies([{ destination: '/queue/a', maxLength: 2, overflow }]);
    const [publisher, consumer] = (await joinAll(broker, 2)) as [RawPeer, RawPeer];
    await consumer.subscribe('/queue/a', { ack: 'client-individual', 'prefetch-count': '3' });
    await sendAll(publisher, '/queue/a', ['1', '2', '3', '4', '5']);
    expect(await consumer.texts(3)).toEqual(['1', '2', '3']);
    publisher.send('SEND', { destination: '/queue/a' }, '6');
    if (overflow === 'reject') expect((await publisher.refused()).header('message')).toBe('queue is full');
    else await publisher.rest();
    expect(await drain(broker, '/queue/DLQ.a')).toEqual(overflow === 'reject' ? [] : ['4']);
    await leave(consumer);
    expect(await drain(broker, '/queue/a')).toEqual([
      '1',
      '2',
      '3',
      ...(overflow === 'reject' ? ['4', '5'] : ['5', '6']),
    ]);
  });

  it('lets a transaction have what they have credit for and what may wait, and no more', async () => {
    const broker = await withPolicies([FULL]);
    const [consumer, one, two] = (await joinAll(broker, 3)) as [RawPeer, RawPeer, RawPeer];
    await consumer.subscribe('/queue/full', { ack: 'client', 'prefetch-count': '3' });
    const bodies = ['1', '2', '3', '4', '5'];
    const sent = (count: number) => [
      ['/queue/other', 'x'] as const,
      ...[...bodies, '6'].slice(0, count).map((body) => ['/queue/full', body] as const),
    ];
    commit(two, sent(6));
    expect((await two.refused()).header('message')).toBe('queue is full');
    expect(await drain(broker, '/queue/other')).toEqual([]);
    commit(one, sent(5));
    await one.receipt('committed');
    expect(await consumer.texts(3)).toEqual(['1', '2', '3']);
    await leave(consumer);
    expect(await drain(broker, '/queue/full')).toEqual(bodies);
    expect(await drain(broker, '/queue/other')).toEqual(['x']);
  });

  it.each(OVERFLOWS)('says nothing of what one of them is waiting for by its selector: %s', async (overflow) => {
    const broker = await withPolicies([{ destination: '/queue/a', maxLength: 1, overflow }]);
    const [publisher, consumer] = (await joinAll(broker, 2)) as [RawPeer, RawPeer];
    await consumer.subscribe('/queue/a', { selector: "color = 'red'" });
    await sendAll(publisher, '/queue/a', ['waits'], { color: 'blue' });
    await sendAll(publisher, '/queue/a', ['wanted'], { color: 'red' });
    expect(await consumer.texts(1)).toEqual(['wanted']);
    publisher.send('SEND', { destination: '/queue/a', color: 'green' }, 'one too many');
    if (overflow === 'reject') expect((await publisher.refused()).header('message')).toBe('queue is full');
    else await publisher.rest();
    expect(await drain(broker, '/queue/a')).toEqual([overflow === 'reject' ? 'waits' : 'one too many']);
  });

  it('says nothing of what goes to the one that has its group, and something of what goes to another’s', async () => {
    const broker = await withPolicies([none]);
    const [publisher, first, second] = (await joinAll(broker, 3)) as [RawPeer, RawPeer, RawPeer];
    await first.subscribe('/queue/a', { ack: 'client-individual', 'prefetch-count': '2' });
    await sendAll(publisher, '/queue/a', ['1', '2'], { JMSXGroupID: 'g' });
    await second.subscribe('/queue/a', { ack: 'client-individual' });
    await sendAll(publisher, '/queue/a', ['3'], { JMSXGroupID: 'other' });
    expect([await first.texts(2), await second.texts(1)]).toEqual([['1', '2'], ['3']]);
    publisher.send('SEND', { destination: '/queue/a', JMSXGroupID: 'g' }, '4');
    expect((await publisher.refused()).header('message')).toBe('queue is full');
  });
});
