import { describe, expect, it } from '@jest/globals';
import { join, joinAll, leave, makeBroker, sendAll, textsOf } from '../../../support/broker.js';
import { type RawPeer } from '../../../support/raw.js';

/** A consumer with a transaction open, that was handed messages of these bodies. */
async function working(...bodies: string[]) {
  const broker = await makeBroker();
  const [publisher, worker] = (await joinAll(broker, 2)) as [RawPeer, RawPeer];
  await sendAll(publisher, '/queue/work', bodies);
  await worker.subscribe('/queue/work', { id: 'w', ack: 'client-individual' });
  const messages = await worker.messages(bodies.length);
  await worker.receipted('BEGIN', { transaction: 't' });
  const inTransaction = { transaction: 't' };
  const ack = (index: number) => worker.send('ACK', { ...worker.reference(messages[index]!), ...inTransaction });
  const nack = (index: number) => worker.send('NACK', { ...worker.reference(messages[index]!), ...inTransaction });
  const send = (destination: string, body: string) => worker.send('SEND', { destination, ...inTransaction }, body);
  /** What is left of the work for somebody else. */
  const left = async () => {
    const next = await join(broker);
    await next.subscribe('/queue/work');
    return textsOf(await next.rest());
  };
  return { broker, publisher, worker, messages, ack, nack, send, left };
}

describe('COMMIT', () => {
  it('does what the frames asked for, in their order', async () => {
    const { publisher, worker, ack, send, left } = await working('1', '2');
    await publisher.subscribe('/queue/done', { id: 'd' });
    await publisher.subscribe('/topic/done', { id: 'e' });
    send('/queue/done', 'a');
    ack(0);
    send('/topic/done', 'b');
    send('/queue/done', 'c');
    await worker.rest();
    expect(textsOf(await publisher.rest())).toEqual([]);
    await worker.receipted('COMMIT', { transaction: 't' });
    expect(await publisher.texts(3)).toEqual(['a', 'b', 'c']);
    await leave(worker);
    expect(await left()).toEqual(['2']);
  });

  it('refuses messages with its NACKs', async () => {
    const { worker, ack, nack } = await working('1', '2');
    nack(1);
    ack(0);
    expect(textsOf(await worker.rest())).toEqual([]);
    await worker.receipted('COMMIT', { transaction: 't' });
    const again = await worker.message();
    expect([again.text, again.header('redelivered')]).toEqual(['2', 'true']);
  });

  it('is receipted after what it promises: what it sent can be consumed', async () => {
    const { worker, send } = await working('1');
    send('/queue/done', 'a');
    await worker.receipted('COMMIT', { transaction: 't' });
    await worker.subscribe('/queue/done', { id: 'd' });
    expect(await worker.texts(1)).toEqual(['a']);
  });

  it('of one transaction leaves another alone', async () => {
    const { worker, publisher, send } = await working('1');
    await publisher.subscribe('/queue/done');
    await worker.receipted('BEGIN', { transaction: 'u' });
    worker.send('SEND', { destination: '/queue/done', transaction: 'u' }, 'u');
    send('/queue/done', 't');
    await worker.receipted('COMMIT', { transaction: 't' });
    expect(textsOf(await publisher.rest())).toEqual(['t']);
    await worker.receipted('COMMIT', { transaction: 'u' });
    expect(await publisher.texts(1)).toEqual(['u']);
  });

  it('addresses replies as a SEND outside of a transaction does', async () => {
    const { worker, publisher } = await working('1');
    await publisher.subscribe('/queue/service');
    worker.send('SEND', { destination: '/queue/service', 'reply-to': '/temp-queue/r', transaction: 't' }, 'question');
    await worker.receipted('COMMIT', { transaction: 't' });
    await sendAll(publisher, (await publisher.message()).header('reply-to')!, ['answer']);
    expect((await worker.message()).header('subscription')).toBe('/temp-queue/r');
  });
});

describe('a transaction that comes to nothing', () => {
  it('by ABORT sends nothing, and its messages can be acknowledged again', async () => {
    const { worker, publisher, messages, ack, send, left } = await working('1', '2');
    await publisher.subscribe('/queue/done');
    send('/queue/done', 'a');
    ack(0);
    await worker.receipted('ABORT', { transaction: 't' });
    expect(textsOf(await publisher.rest())).toEqual([]);
    await worker.receipted('ACK', worker.reference(messages[0]!));
    await leave(worker);
    expect(await left()).toEqual(['2']);
  });

  it.each(['DISCONNECT', 'FIN', 'ERROR'])('by %s sends nothing, and its messages go back', async (end) => {
    const { worker, publisher, ack, nack, send, left } = await working('1', '2');
    await publisher.subscribe('/queue/done');
    send('/queue/done', 'a');
    ack(0);
    nack(1);
    if (end === 'DISCONNECT') await worker.receipted('DISCONNECT');
    if (end === 'ERROR') worker.send('NONSENSE');
    await leave(worker);
    expect(textsOf(await publisher.rest())).toEqual([]);
    expect(await left()).toEqual(['1', '2']);
  });

  it('by UNSUBSCRIBE and then ABORT lets its messages go back', async () => {
    const { worker, ack, left } = await working('1');
    ack(0);
    await worker.receipted('UNSUBSCRIBE', { id: 'w' });
    await worker.receipted('ABORT', { transaction: 't' });
    await leave(worker);
    expect(await left()).toEqual(['1']);
  });
});

it('acknowledgements that a transaction holds do not give back credit before COMMIT', async () => {
  const broker = await makeBroker();
  const [publisher, worker] = (await joinAll(broker, 2)) as [RawPeer, RawPeer];
  await sendAll(publisher, '/queue/work', ['1', '2']);
  await worker.subscribe('/queue/work', { ack: 'client-individual', 'prefetch-count': '1' });
  const first = await worker.message();
  await worker.receipted('BEGIN', { transaction: 't' });
  worker.send('ACK', { ...worker.reference(first), transaction: 't' });
  expect(textsOf(await worker.rest())).toEqual([]);
  await worker.receipted('COMMIT', { transaction: 't' });
  expect(await worker.texts(1)).toEqual(['2']);
});
