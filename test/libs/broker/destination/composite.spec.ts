import { describe, expect, it } from '@jest/globals';
import { join, joinAll, leave, makeBroker, sendAll, textsOf } from '../../../support/broker.js';
import { type RawPeer } from '../../../support/raw.js';

const LIST = '/queue/a,/topic/b,/queue/c';

/** What is in the queues a and c, and what has come from the topic b. */
async function listeners() {
  const broker = await makeBroker();
  const [sender, a, b, c] = (await joinAll(broker, 4)) as [RawPeer, RawPeer, RawPeer, RawPeer];
  await a.subscribe('/queue/a');
  await b.subscribe('/topic/b');
  await c.subscribe('/queue/c');
  const got = async () => [textsOf(await a.rest()), textsOf(await b.rest()), textsOf(await c.rest())];
  return { broker, sender, got };
}

describe('a list of destinations', () => {
  it('is sent to at COMMIT as a whole, in the order of the transaction', async () => {
    const { sender, got } = await listeners();
    await sender.receipted('BEGIN', { transaction: 't' });
    sender.send('SEND', { destination: '/queue/a', transaction: 't' }, '1');
    sender.send('SEND', { destination: LIST, transaction: 't' }, '2');
    sender.send('SEND', { destination: '/queue/c', transaction: 't' }, '3');
    expect(textsOf(await sender.rest())).toEqual([]);
    expect(await got()).toEqual([[], [], []]);
    await sender.receipted('COMMIT', { transaction: 't' });
    expect(await got()).toEqual([['1', '2'], ['2'], ['2', '3']]);
  });

  it.each(['ABORT', 'DISCONNECT'])('is not sent to at all after %s', async (end) => {
    const { sender, got } = await listeners();
    await sender.receipted('BEGIN', { transaction: 't' });
    sender.send('SEND', { destination: LIST, transaction: 't' }, '1');
    await sender.receipted(end, end === 'ABORT' ? { transaction: 't' } : {});
    expect(await got()).toEqual([[], [], []]);
  });

  it('that is subscribed to takes what a transaction sends and acknowledges in it, or neither', async () => {
    const broker = await makeBroker();
    const [sender, reader] = (await joinAll(broker, 2)) as [RawPeer, RawPeer];
    await reader.subscribe('/queue/a,/queue/c', { id: 'r', ack: 'client-individual' });
    await sendAll(sender, '/queue/a,/queue/c', ['x']);
    const [one, two] = await reader.messages(2);
    expect([one!.header('destination'), two!.header('destination')]).toEqual(['/queue/a', '/queue/c']);
    for (const [transaction, end, message] of [
      ['aborted', 'ABORT', one!],
      ['committed', 'COMMIT', two!],
    ] as const) {
      await reader.receipted('BEGIN', { transaction });
      reader.send('ACK', { ...reader.reference(message), transaction });
      reader.send('SEND', { destination: '/queue/done', transaction }, transaction);
      await reader.receipted(end, { transaction });
    }
    await leave(reader);
    const next = await join(broker);
    await next.subscribe('/queue/a,/queue/c,/queue/done');
    const left = (await next.rest()).filter(({ command }) => command === 'MESSAGE');
    expect(left.map((message) => `${message.header('destination')} ${message.text}`)).toEqual([
      '/queue/a x',
      '/queue/done committed',
    ]);
  });

  it('gives each destination a message of its own: what is refused of one is a dead letter of that one', async () => {
    const [sender, reader] = (await joinAll(await makeBroker(), 2)) as [RawPeer, RawPeer];
    await sendAll(sender, '/queue/a,/queue/c', ['x']);
    await reader.subscribe('/queue/c', { id: 'c', ack: 'client-individual' });
    await reader.receipted('NACK', { ...reader.reference(await reader.message()), requeue: 'false' });
    await reader.subscribe('/queue/DLQ.c', { id: 'dead' });
    const dead = await reader.message();
    expect([dead.text, dead.header('dead-letter-origin')]).toEqual(['x', '/queue/c']);
    await reader.subscribe('/queue/a', { id: 'a' });
    expect(await reader.texts(1)).toEqual(['x']);
  });

  it('has one credit for all that it names', async () => {
    const [sender, reader] = (await joinAll(await makeBroker(), 2)) as [RawPeer, RawPeer];
    await reader.subscribe('/queue/a,/topic/b', { ack: 'client-individual', 'prefetch-count': '1' });
    await sendAll(sender, '/topic/b', ['1']);
    await sendAll(sender, '/queue/a', ['2']);
    const first = await reader.message();
    expect(first.text).toBe('1');
    expect(textsOf(await reader.rest())).toEqual([]);
    await reader.receipted('ACK', reader.reference(first));
    expect(await reader.texts(1)).toEqual(['2']);
  });

  it.each([
    ['durable:true', { durable: 'true' }],
    ['activemq.subscriptionName', { 'activemq.subscriptionName': 'mail' }],
  ])('with a topic in it is refused where %s asks for a durable subscription', async (_what, headers) => {
    const peer = await join(await makeBroker());
    await peer.subscribe('/queue/a,/queue/c', { id: 'queues', ...headers });
    peer.send('SUBSCRIBE', { destination: '/topic/a,/topic/b', id: 'topics', receipt: 'r', ...headers });
    const error = await peer.refused();
    expect([error.header('message'), error.header('receipt-id')]).toEqual(['invalid destination', 'r']);
    expect(error.text).toContain('/topic/a');
  });

  it('may name 100 destinations, and not more', async () => {
    const broker = await makeBroker();
    const names = (count: number) => Array.from({ length: count }, (_, n) => `/queue/${n}`).join(',');
    const peer = await join(broker);
    await sendAll(peer, names(100), ['x']);
    peer.send('SEND', { destination: names(101), receipt: 'r' }, 'x');
    const error = await peer.refused();
    expect([error.header('message'), error.header('receipt-id')]).toEqual(['invalid destination', 'r']);
    expect(error.text).toContain('100');
  });
});
