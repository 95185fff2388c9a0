import { describe, expect, it } from '@jest/globals';
import {
  ConnectionLostError,
  NotConnectedError,
  ReceiptTimeoutError,
  ServerError,
  type StompMessage,
  type SubscribeOptions,
  TransactionEndedError,
} from 'nestjs-stomp/client';
import { connectPair, deliver, failure, makeClient, settle, stateOf, takeAndConfirm } from '../../../support/client.js';
import { type RawPeer } from '../../../support/raw.js';
import { type Version } from '../../../support/wire.js';

const ALL: readonly Version[] = ['1.0', '1.1', '1.2'];
const take = (peer: RawPeer, command: string) => peer.take(command, (got) => got.command === command);
const frameCount = (peer: RawPeer) => peer.received.toString().split('\0').length;

/** A connection by which that many messages have come in, to be acknowledged by hand. */
async function withMessages(count: number, options: SubscribeOptions, version: Version = '1.2') {
  const pair = await connectPair(version);
  const messages: StompMessage[] = [];
  const taken = (message: StompMessage) => void messages.push(message);
  pair.client.subscribe('/queue/a', taken, { id: 's', manual: true, ...options });
  await takeAndConfirm(pair.peer, 'SUBSCRIBE');
  for (let i = 1; i <= count; i++) deliver(pair.peer, 's', i);
  await settle(pair.client, pair.peer);
  return { ...pair, messages };
}

describe.each(ALL)('a transaction of %s', (version) => {
  it('sends its frames with its id, and is committed with a receipt', async () => {
    const { client, peer, messages } = await withMessages(1, { ack: 'client-individual' }, version);
    const transaction = client.begin();
    expect(transaction.open).toBe(true);
    expect(transaction.send('/queue/b', 'x', { headers: { k: 'v' }, contentType: 'text/csv' })).toBe(true);
    client.send('/queue/c', 'y', { transaction });
    expect(transaction.ack(messages[0]!)).toBe(true);
    const committed = transaction.commit();
    expect(transaction.open).toBe(false);
    const { id } = transaction;
    expect((await take(peer, 'BEGIN')).headers).toEqual([['transaction', id]]);
    const sent = await take(peer, 'SEND');
    expect(Object.fromEntries(sent.headers)).toMatchObject({ k: 'v', 'content-type': 'text/csv', transaction: id });
    expect((await take(peer, 'SEND')).header('transaction')).toBe(id);
    expect((await take(peer, 'ACK')).header('transaction')).toBe(id);
    expect((await takeAndConfirm(peer, 'COMMIT')).header('transaction')).toBe(id);
    await committed;
  });

  it('is aborted', async () => {
    const { client, peer } = await connectPair(version);
    const transaction = client.begin();
    transaction.abort();
    transaction.abort();
    expect((await take(peer, 'ABORT')).headers).toEqual([['transaction', transaction.id]]);
    await settle(client, peer);
    expect(peer.received.toString().match(/ABORT/g)).toHaveLength(1);
    expect(transaction.open).toBe(false);
  });
});

describe('a transaction', () => {
  it('begins with further headers, and none that replaces its own', async () => {
    const { client, peer } = await connectPair();
    const transaction = client.begin({ headers: { note: 'x', transaction: 'evil', receipt: 'r' } });
    const { headers } = await take(peer, 'BEGIN');
    expect(Object.fromEntries(headers)).toEqual({ transaction: transaction.id, note: 'x' });
  });

  it('needs a connection', () => {
    expect(() => makeClient().begin()).toThrow(NotConnectedError);
  });

  it.each(['commit', 'abort'] as const)('takes nothing more after its %s, and nothing is sent', async (how) => {
    const { client, peer, messages } = await withMessages(1, { ack: 'client' });
    const transaction = client.begin();
    const ended = Promise.resolve(transaction[how]());
    await (how === 'commit' ? takeAndConfirm(peer, 'COMMIT') : take(peer, 'ABORT'));
    await ended;
    const before = frameCount(peer);
    expect(() => transaction.send('/queue/b', 'x')).toThrow(TransactionEndedError);
    expect(() => client.send('/queue/b', 'x', { transaction })).toThrow(/(committed|aborted) before: begin another/);
    expect(() => transaction.ack(messages[0]!)).toThrow(TransactionEndedError);
    expect(() => transaction.nack(messages[0]!)).toThrow(TransactionEndedError);
    await expect(transaction.commit()).rejects.toThrow(TransactionEndedError);
    transaction.abort();
    expect(messages[0]!.ack()).toBe(true);
    await take(peer, 'ACK');
    expect(frameCount(peer)).toBe(before + 1);
  });

  it('goes with its connection, and says so', async () => {
    const { client, server, peer, messages } = await withMessages(1, { ack: 'client' });
    const transaction = client.begin();
    peer.destroy();
    await stateOf(client, 'connecting');
    const { peer: next } = await server.handshake('1.2');
    await takeAndConfirm(next, 'SUBSCRIBE');
    await stateOf(client, 'connected');
    expect(transaction.open).toBe(false);
    expect(() => transaction.send('/queue/b', 'x')).toThrow('went with its connection');
    expect(() => client.send('/queue/b', 'x', { transaction })).toThrow(TransactionEndedError);
    expect(() => transaction.ack(messages[0]!)).toThrow(TransactionEndedError);
    await expect(transaction.commit()).rejects.toThrow(TransactionEndedError);
    transaction.abort();
    await settle(client, next);
    expect(next.received.toString()).not.toMatch(/transaction|COMMIT|ABORT/);
  });

  it('does not take the frames of another client', async () => {
    const [one, other] = [await connectPair(), await connectPair()];
    const transaction = one.client.begin();
    expect(() => other.client.send('/queue/b', 'x', { transaction })).toThrow('belongs to another client');
  });

  it('whose commit was on the way when the connection was lost is in doubt', async () => {
    const { client, peer } = await connectPair();
    const committed = failure(client.begin().commit());
    await take(peer, 'COMMIT');
    peer.destroy();
    expect(await committed).toBeInstanceOf(ConnectionLostError);
  });

  it('whose commit is not confirmed in time is in doubt, too', async () => {
    const { client } = await connectPair('1.2', { receiptTimeout: 20 });
    expect(await failure(client.begin().commit())).toBeInstanceOf(ReceiptTimeoutError);
  });

  it('whose commit is refused fails with what the server says', async () => {
    const { client, peer } = await connectPair();
    client.on('error', () => undefined);
    const committed = failure(client.begin().commit());
    const { headers } = await take(peer, 'COMMIT');
    peer.send('ERROR', { message: 'no', 'receipt-id': Object.fromEntries(headers).receipt! });
    expect(await committed).toBeInstanceOf(ServerError);
  });

  it('is aborted by `using`, unless it was committed', async () => {
    const { client, peer } = await connectPair();
    client.begin()[Symbol.dispose]();
    await take(peer, 'ABORT');
    const transaction = client.begin();
    const committed = transaction.commit();
    transaction[Symbol.dispose]();
    await takeAndConfirm(peer, 'COMMIT');
    await committed;
    await settle(client, peer);
    expect(peer.received.toString().match(/ABORT/g)).toHaveLength(1);
  });
});

describe('what is acknowledged in a transaction', () => {
  it('counts as acknowledged from then on', async () => {
    const { client, messages } = await withMessages(2, { ack: 'client-individual' });
    const transaction = client.begin();
    expect(transaction.ack(messages[0]!)).toBe(true);
    expect(transaction.nack(messages[1]!)).toBe(true);
    expect(messages.flatMap((message) => [message.ack(), message.nack()])).toEqual([false, false, false, false]);
  });

  it('is unacknowledged again after an abort, and can be acknowledged anew', async () => {
    const { client, peer, messages } = await withMessages(2, { ack: 'client-individual' });
    const transaction = client.begin();
    transaction.ack(messages[0]!);
    transaction.nack(messages[1]!);
    transaction.abort();
    expect([messages[0]!.nack(), messages[1]!.ack()]).toEqual([true, true]);
    await take(peer, 'ABORT');
    expect((await peer.take('NACK', (got) => got.command === 'NACK' && !got.header('transaction'))).header('id')).toBe(
      'ack-1',
    );
  });

  it('in client mode speaks for the messages before it, until it is aborted', async () => {
    const { client, messages } = await withMessages(4, { ack: 'client' });
    const [first, second, third, fourth] = messages as [StompMessage, StompMessage, StompMessage, StompMessage];
    const transaction = client.begin();
    transaction.ack(second);
    expect(first.ack()).toBe(false);
    transaction.ack(third);
    transaction.abort();
    expect(first.ack()).toBe(true);
    expect(first.ack()).toBe(false);
    expect(third.ack()).toBe(true);
    expect(second.ack()).toBe(false);
    expect(fourth.nack()).toBe(true);
  });

  it('in client mode stays acknowledged after an abort where a later ACK outside spoke for it', async () => {
    const { client, messages } = await withMessages(3, { ack: 'client' });
    const [first, second, third] = messages as [StompMessage, StompMessage, StompMessage];
    const transaction = client.begin();
    transaction.ack(first);
    expect(second.ack()).toBe(true);
    transaction.abort();
    expect([first.ack(), second.ack()]).toEqual([false, false]);
    expect(third.ack()).toBe(true);
  });

  it('by message.ack with the option', async () => {
    const { client, peer, messages } = await withMessages(1, { ack: 'client' });
    const transaction = client.begin();
    messages[0]!.ack({ transaction, headers: { k: 'v' } });
    const { headers } = await take(peer, 'ACK');
    expect(Object.fromEntries(headers)).toEqual({ id: 'ack-1', k: 'v', transaction: transaction.id });
  });
});
