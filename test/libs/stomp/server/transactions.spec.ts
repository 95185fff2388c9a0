import { describe, expect, it } from '@jest/globals';
import { type Broker, type Done, type Operation, type Session, StompError } from 'nestjs-stomp/server';
import { type RawPeer } from '../../../support/raw.js';
import { type Pair, TestBroker, TestServer } from '../../../support/server.js';

/** A broker that is given transactions whole. */
class Committing extends TestBroker implements Broker {
  readonly commits: { readonly parts: string[]; readonly done: Done }[] = [];

  commit(operations: readonly Operation[], _session: Session, done: Done): void {
    const parts = operations.map((operation) =>
      'message' in operation
        ? `send ${operation.message.body.toString()}`
        : `${operation.outcome.kind} ${operation.delivery.message.body.toString()}`,
    );
    this.commits.push({ parts, done });
    if (this.prompt) done();
    this.changed();
  }
}

const receiptIds = (peer: RawPeer) => [...peer.received.toString().matchAll(/receipt-id:(.*)/g)].map(([, id]) => id);

/** A session with a subscription to which messages with these bodies were delivered, and how ACK names each. */
async function consumer(broker: TestBroker, ack: string, ...bodies: string[]) {
  return consume(await new TestServer(broker).connect(), broker, ack, ...bodies);
}

/** The same on a connection that there is. */
async function consume(pair: Pair, broker: TestBroker, ack: string, ...bodies: string[]) {
  await pair.peer.subscribe('/queue/in', { id: '0', ack });
  broker.deliver(...bodies);
  const messages = await pair.peer.messages(bodies.length);
  const names = messages.map((message) => pair.peer.reference(message));
  return { ...pair, names };
}

describe('a transaction', () => {
  it('reaches the broker whole, at COMMIT, in the order of its frames', async () => {
    const broker = new Committing();
    const { peer, names } = await consumer(broker, 'client-individual', 'one', 'two');
    peer.send('BEGIN', { transaction: 't' });
    peer.send('SEND', { destination: '/queue/a', transaction: 't' }, 'first');
    peer.send('ACK', { ...names[1], transaction: 't' });
    peer.send('SEND', { destination: '/queue/b', transaction: 't' }, 'second');
    await peer.receipted('BEGIN', { transaction: 'other' });
    peer.send('NACK', { ...names[0], transaction: 't' });
    expect([broker.sent, broker.settled, broker.commits]).toEqual([[], [], []]);
    await peer.receipted('COMMIT', { transaction: 't' });
    expect(broker.commits[0]?.parts).toEqual(['send first', 'ack two', 'send second', 'nack one']);
  });

  it('is done part after part where the broker has no commit of its own', async () => {
    const broker = new TestBroker();
    const { peer, names } = await consumer(broker, 'client', 'one');
    peer.send('BEGIN', { transaction: 't' });
    peer.send('SEND', { destination: '/queue/a', transaction: 't' }, 'body');
    peer.send('ACK', { ...names[0], transaction: 't' });
    await peer.receipted('COMMIT', { transaction: 't' });
    expect(broker.bodies).toEqual(['body']);
    expect(broker.settled).toEqual(['ack one']);
  });

  it('answers the receipts of the frames in it at COMMIT, in their order, its own last', async () => {
    const broker = new Committing(false);
    const { peer } = await new TestServer(broker).connect();
    peer.send('BEGIN', { transaction: 't', receipt: 'begin' });
    peer.send('SEND', { destination: '/queue/a', transaction: 't', receipt: 'a' });
    peer.send('SEND', { destination: '/queue/a', transaction: 't', receipt: 'b' });
    await peer.receipted('BEGIN', { transaction: 'u', receipt: 'outside' });
    expect(receiptIds(peer)).toEqual(['begin', 'outside']);
    peer.send('COMMIT', { transaction: 't', receipt: 'commit' });
    peer.send('ABORT', { transaction: 'u', receipt: 'after' });
    await broker.until('the commit', () => broker.commits.length === 1);
    broker.commits[0]!.done();
    await peer.receipt('after');
    expect(receiptIds(peer)).toEqual(['begin', 'outside', 'a', 'b', 'commit', 'after']);
  });

  it('that its broker refuses leaves its acknowledgements as its ABORT would', async () => {
    const broker = new Committing();
    broker.commit = () => {
      throw new StompError('cannot commit');
    };
    const { peer, names } = await consumer(broker, 'client-individual', 'one', 'two');
    peer.send('BEGIN', { transaction: 't' });
    peer.send('ACK', { ...names[0], transaction: 't' });
    peer.send('COMMIT', { transaction: 't', receipt: 'r' });
    expect((await peer.refused()).header('receipt-id')).toBe('r');
    expect(broker.settled).toEqual(['loss one', 'loss two']);
  });

  it('without a commit of its broker keeps what was done before the part that is refused, and nothing behind it', async () => {
    const broker = new TestBroker();
    broker.send = () => {
      throw new StompError('cannot send');
    };
    const { peer, names } = await consumer(broker, 'client-individual', 'one', 'two');
    peer.send('BEGIN', { transaction: 't' });
    peer.send('ACK', { ...names[0], transaction: 't' });
    peer.send('SEND', { destination: '/q', transaction: 't' });
    peer.send('ACK', { ...names[1], transaction: 't' });
    peer.send('COMMIT', { transaction: 't' });
    expect((await peer.refused()).header('message')).toBe('cannot send');
    expect(broker.settled).toEqual(['ack one', 'loss two']);
  });

  it.each(['with', 'without'])('that fails is answered with ERROR, %s receipts asked for', async (asked) => {
    const broker = new Committing(false);
    const { peer } = await new TestServer(broker).connect();
    peer.send('BEGIN', { transaction: 't' });
    peer.send('SEND', { destination: '/q', transaction: 't', ...(asked === 'with' && { receipt: 'a' }) });
    peer.send('COMMIT', { transaction: 't', ...(asked === 'with' && { receipt: 'commit' }) });
    await broker.until('the commit', () => broker.commits.length === 1);
    broker.commits[0]!.done(new StompError('cannot commit'));
    expect((await peer.refused()).header('message')).toBe('cannot commit');
    expect(receiptIds(peer)).toEqual(asked === 'with' ? ['a'] : []);
    expect(peer.received.toString()).not.toContain('RECEIPT\n');
  });

  it('is forgotten at ABORT, and the receipts of the frames in it with it', async () => {
    const broker = new Committing();
    const { peer } = await new TestServer(broker).connect();
    peer.send('BEGIN', { transaction: 't' });
    peer.send('SEND', { destination: '/queue/a', transaction: 't', receipt: 'a' });
    await peer.receipted('ABORT', { transaction: 't', receipt: 'abort' });
    peer.send('BEGIN', { transaction: 't' });
    await peer.receipted('COMMIT', { transaction: 't', receipt: 'empty' });
    expect(broker.commits.map(({ parts }) => parts)).toEqual([[]]);
    expect(receiptIds(peer)).toEqual(['abort', 'empty']);
  });

  it('is forgotten when the connection ends, in whatever way, and its acknowledgements are returned', async () => {
    for (const leave of ['DISCONNECT', 'FIN', 'ERROR']) {
      const broker = new Committing();
      const { peer, names } = await consumer(broker, 'client', 'one');
      peer.send('BEGIN', { transaction: 't' });
      peer.send('SEND', { destination: '/queue/a', transaction: 't' });
      peer.send('ACK', { ...names[0], transaction: 't' });
      if (leave === 'FIN') peer.end();
      else peer.send(leave);
      await peer.closed();
      expect([broker.sent, broker.commits]).toEqual([[], []]);
      expect(broker.settled).toEqual([leave === 'DISCONNECT' ? 'return one' : 'loss one']);
    }
  });
});

describe('an acknowledgement in a transaction', () => {
  it('is put back at ABORT: it can be given again', async () => {
    const broker = new TestBroker();
    const { peer, names } = await consumer(broker, 'client', 'one', 'two');
    peer.send('BEGIN', { transaction: 't' });
    peer.send('ACK', { ...names[1], transaction: 't' });
    await peer.receipted('ABORT', { transaction: 't' });
    expect(broker.settled).toEqual([]);
    await peer.receipted('ACK', names[1]);
    expect(broker.settled).toEqual(['ack one', 'ack two']);
  });

  it('holds its message after UNSUBSCRIBE too, for as long as the transaction is open', async () => {
    for (const [end, settled] of [
      ['COMMIT', ['return two', 'ack one']],
      ['ABORT', ['return two', 'return one']],
    ] as const) {
      const broker = new TestBroker();
      const { peer, names } = await consumer(broker, 'client-individual', 'one', 'two');
      peer.send('BEGIN', { transaction: 't' });
      peer.send('ACK', { ...names[0], transaction: 't' });
      await peer.receipted('UNSUBSCRIBE', { id: '0' });
      await broker.until('the grace is over', () => broker.returned.length === 1);
      await peer.receipted(end, { transaction: 't' });
      expect(broker.settled).toEqual(settled);
    }
  });

  it('cannot be given twice while the transaction is open', async () => {
    const broker = new TestBroker();
    const { peer, names } = await consumer(broker, 'client-individual', 'one');
    peer.send('BEGIN', { transaction: 't' });
    peer.send('ACK', { ...names[0], transaction: 't' });
    peer.send('ACK', { ...names[0], receipt: 'twice' });
    const error = await peer.refused();
    expect(error.header('message')).toBe('already acknowledged');
    expect(error.header('receipt-id')).toBe('twice');
  });

  it('is cumulative with ack:client; what another transaction holds stays with that', async () => {
    const broker = new Committing();
    const { peer, names } = await consumer(broker, 'client', 'one', 'two', 'three', 'four');
    for (const transaction of ['t', 'u']) peer.send('BEGIN', { transaction });
    peer.send('ACK', { ...names[1], transaction: 't' });
    peer.send('ACK', { ...names[2], transaction: 'u' });
    await peer.receipted('ACK', names[3]);
    expect(broker.settled).toEqual(['ack four']);
    peer.send('COMMIT', { transaction: 'u' });
    await peer.receipted('COMMIT', { transaction: 't' });
    expect(broker.commits.map(({ parts }) => parts)).toEqual([['ack three'], ['ack one', 'ack two']]);
  });

  it('is cumulative again for what its ABORT put back', async () => {
    const broker = new Committing();
    const { peer, names } = await consumer(broker, 'client', 'one', 'two', 'three', 'four');
    for (const transaction of ['t', 'u']) peer.send('BEGIN', { transaction });
    peer.send('ACK', { ...names[1], transaction: 't' });
    peer.send('ACK', { ...names[2], transaction: 'u' });
    peer.send('ABORT', { transaction: 't' });
    await peer.receipted('ACK', names[3]);
    expect(broker.settled).toEqual(['ack one', 'ack two', 'ack four']);
  });

  it('is as quick behind many others as behind few', async () => {
    const took = async (ack: string) => {
      const broker = new Committing();
      const pair = await new TestServer(broker, { maxTransactionFrames: 20_000 }).connect();
      const { peer, names } = await consume(pair, broker, ack, ...Array.from({ length: 20_000 }, (_, n) => String(n)));
      peer.send('BEGIN', { transaction: 't' });
      const since = performance.now();
      for (const name of names) peer.send('ACK', { ...name, transaction: 't' });
      await peer.receipted('COMMIT', { transaction: 't' });
      expect(broker.commits[0]?.parts).toHaveLength(names.length);
      return performance.now() - since;
    };
    const [single, cumulative] = [await took('client-individual'), await took('client')];
    expect(cumulative).toBeLessThan(3 * single + 300);
  });

  it('frees the credit of its subscription at COMMIT', async () => {
    const broker = new TestBroker();
    const { peer, names } = await consumer(broker, 'client', 'one', 'two');
    const { subscription } = broker.subscribed[0]!;
    subscription.prefetch = 2;
    expect(subscription.ready).toBe(false);
    let ready = 0;
    subscription.onReady = () => void (ready += subscription.ready ? 1 : 0);
    peer.send('BEGIN', { transaction: 't' });
    await peer.receipted('ABORT', { transaction: 't' });
    peer.send('BEGIN', { transaction: 't' });
    peer.send('ACK', { ...names[0], transaction: 't' });
    await peer.receipted('BEGIN', { transaction: 'other' });
    expect(ready).toBe(0);
    await peer.receipted('COMMIT', { transaction: 't' });
    expect(ready).toBeGreaterThan(0);
  });
});

describe('the bounds of a transaction', () => {
  it('are a count of frames, acknowledged messages among them', async () => {
    const broker = new TestBroker();
    const server = new TestServer(broker, { maxTransactionFrames: 3 });
    const { peer } = await server.connect();
    await peer.subscribe('/queue/in', { id: '0', ack: 'client' });
    broker.deliver('one', 'two');
    const [, two] = await peer.messages(2);
    peer.send('BEGIN', { transaction: 't' });
    peer.send('SEND', { destination: '/q', transaction: 't' });
    peer.send('ACK', { ...peer.reference(two!), transaction: 't' });
    peer.send('SEND', { destination: '/q', transaction: 't', receipt: 'r' });
    const error = await peer.refused();
    expect(error.header('message')).toBe('transaction too large');
    expect(error.header('receipt-id')).toBe('r');
    expect(error.text).toContain('3 frames');
    expect(broker.settled).toEqual(['loss one', 'loss two']);
  });

  it('are a count of octets', async () => {
    const server = new TestServer(new TestBroker(), { maxTransactionBytes: 10_000 });
    const { peer } = await server.connect();
    peer.send('BEGIN', { transaction: 't' });
    await peer.receipted('BEGIN', { transaction: 'u' });
    for (const transaction of ['t', 'u', 't']) peer.send('SEND', { destination: '/q', transaction }, 'b'.repeat(6_000));
    expect((await peer.refused()).text).toContain('10000 octets');
  });

  it('count the headers of a NACK once, for however many messages it is', async () => {
    const broker = new Committing();
    const pair = await new TestServer(broker, { maxTransactionBytes: 10_000 }).connect();
    const { peer, names } = await consume(pair, broker, 'client', ...Array.from({ length: 20 }, (_, n) => String(n)));
    peer.send('BEGIN', { transaction: 't' });
    peer.send('NACK', { ...names.at(-1), transaction: 't', reason: 'x'.repeat(5_000) });
    await peer.receipted('COMMIT', { transaction: 't' });
    expect(broker.commits[0]?.parts).toHaveLength(20);
  });
});

describe('the id of a transaction', () => {
  it('cannot be begun again while it is open', async () => {
    const { peer } = await new TestServer(new TestBroker()).connect();
    peer.send('BEGIN', { transaction: 't' });
    peer.send('BEGIN', { transaction: 't', receipt: 'r' });
    const error = await peer.refused();
    expect(error.header('message')).toBe('transaction exists');
    expect(error.header('receipt-id')).toBe('r');
  });

  it.each(['COMMIT', 'ABORT', 'SEND', 'ACK'])('that is not open is refused at %s', async (command) => {
    const broker = new TestBroker();
    const { peer, names } = await consumer(broker, 'client', 'one');
    peer.send(command, { destination: '/q', ...names[0], transaction: 't', receipt: 'r' });
    const error = await peer.refused();
    expect(error.header('message')).toBe('unknown transaction');
    expect(error.header('receipt-id')).toBe('r');
    expect([broker.sent, broker.settled]).toEqual([[], ['loss one']]);
  });

  it.each(['BEGIN', 'COMMIT', 'ABORT'])('cannot be left out at %s', async (command) => {
    const { peer } = await new TestServer(new TestBroker()).connect();
    peer.send(command, { receipt: 'r' });
    const error = await peer.refused();
    expect(error.header('message')).toBe('missing header');
    expect(error.header('receipt-id')).toBe('r');
  });

  it('belongs to its session alone', async () => {
    const server = new TestServer(new TestBroker());
    const [one, other] = [await server.connect(), await server.connect()];
    await one.peer.receipted('BEGIN', { transaction: 't' });
    await other.peer.receipted('BEGIN', { transaction: 't' });
    await one.peer.receipted('ABORT', { transaction: 't' });
    await other.peer.receipted('COMMIT', { transaction: 't' });
  });
});
