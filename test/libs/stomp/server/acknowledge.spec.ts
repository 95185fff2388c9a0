import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Delivery, Frame, Message, type Outcome, StompError } from 'nestjs-stomp/server';
import { type Headers, type RawFrame, type Version } from '../../../support/wire.js';
import { TestBroker, TestServer } from '../../../support/server.js';

const VERSIONS: readonly Version[] = ['1.0', '1.1', '1.2'];

/** A subscription to which messages with these bodies were delivered, and how ACK and NACK name each. */
async function consumer(version: Version, ack: string, ...bodies: string[]) {
  const broker = new TestBroker();
  const pair = await new TestServer(broker).connect(version);
  await pair.peer.subscribe('/queue/a', { id: '0', ack });
  broker.deliver(...bodies);
  const messages = await pair.peer.messages(bodies.length);
  const names = ack === 'auto' ? [] : messages.map((message) => pair.peer.reference(message));
  return { ...pair, broker, messages, names, subscription: broker.subscribed[0]!.subscription };
}

/** ACKs that ask for nothing besides, one after the other in one piece, as a consumer that reads many at once sends them. */
const acks = (...ids: (string | undefined)[]) => ids.map((id) => `ACK\nid:${id}\n\n\0`).join('');

describe('ACKs in one piece', () => {
  const bodies = ['one', 'two', 'three', 'four', 'five'];

  it('are each for their own message, in the order in which they come', async () => {
    const { broker, names, peer } = await consumer('1.2', 'client-individual', ...bodies);
    const [one, two, three, four, five] = names.map(({ id }) => id);
    peer.write(acks(two, one, five, three, four));
    await broker.until('all are settled', () => broker.settled.length === 5);
    expect(broker.settled).toEqual(['ack two', 'ack one', 'ack five', 'ack three', 'ack four']);
  });

  it('of ack:client are for all messages up to theirs', async () => {
    const { broker, names, peer } = await consumer('1.2', 'client', ...bodies);
    const [, two, three, , five] = names.map(({ id }) => id);
    peer.write(acks(two, three, five));
    await broker.until('all are settled', () => broker.settled.length === 5);
    expect(broker.settled).toEqual(bodies.map((body) => `ack ${body}`));
  });

  it('make room for new messages together', async () => {
    const { broker, names, peer, subscription } = await consumer('1.2', 'client-individual', ...bodies);
    subscription.prefetch = 5;
    const rooms: number[] = [];
    subscription.onReady = () => rooms.push(subscription.room);
    peer.write(acks(...names.slice(0, 4).map(({ id }) => id)));
    await broker.until('four are settled', () => broker.settled.length === 4);
    await peer.receipted('ACK', names[4]);
    expect(rooms[0]).toBe(4);
  });

  it.each(['9-9', '1-99', '1-', '-1', '1', 'x', '1-1-1', '12345678901234567-1'])(
    'end the session with one that names no message: %s',
    async (wrong) => {
      const { broker, names, peer } = await consumer('1.2', 'client-individual', ...bodies);
      const [one, two, three] = names.map(({ id }) => id);
      peer.write(acks(one, two, wrong, three));
      const error = await peer.refused();
      expect(error.header('message')).toBe('unknown message');
      await broker.until('the session is over', () => broker.gone.length === 1);
      expect(broker.settled.slice(0, 2)).toEqual(['ack one', 'ack two']);
      expect(broker.settled).not.toContain('ack three');
    },
  );

  it('cannot acknowledge a message twice', async () => {
    const { names, peer } = await consumer('1.2', 'client-individual', ...bodies);
    const [one, two, three] = names.map(({ id }) => id);
    peer.write(acks(one, two, three, two));
    expect((await peer.refused()).header('message')).toBe('unknown message');
  });

  it('cannot acknowledge what an open transaction holds', async () => {
    const { names, peer } = await consumer('1.2', 'client-individual', ...bodies);
    const [one, two, three] = names.map(({ id }) => id);
    peer.send('BEGIN', { transaction: 't' });
    peer.send('ACK', { id: three!, transaction: 't' });
    peer.write(acks(one, two, three));
    expect((await peer.refused()).header('message')).toBe('already acknowledged');
  });

  it('end the session where the broker fails at one, and nothing after it counts', async () => {
    class Failing extends TestBroker {
      override settle(delivery: Delivery, outcome: Outcome): void {
        if (delivery.message.body.toString() === 'three' && outcome.kind === 'ack')
          throw new StompError('disk is full');
        super.settle(delivery, outcome);
      }
    }
    const broker = new Failing();
    const { peer } = await new TestServer(broker).connect();
    await peer.subscribe('/queue/a', { id: '0', ack: 'client-individual' });
    broker.deliver(...bodies);
    const ids = (await peer.messages(5)).map((message) => peer.reference(message)['id']);
    peer.write(acks(...ids));
    expect((await peer.refused()).header('message')).toBe('disk is full');
    await broker.until('the session is over', () => broker.gone.length === 1);
    expect(broker.settled.slice(0, 2)).toEqual(['ack one', 'ack two']);
    expect(broker.settled).not.toContain('ack four');
  });

  it('are each told of where the log tells of frames', async () => {
    const lines: string[] = [];
    const log = { level: 4, log: (_level: number, line: string) => void lines.push(line) };
    const broker = new TestBroker();
    const { peer } = await new TestServer(broker, { log }).connect();
    await peer.subscribe('/queue/a', { id: '0', ack: 'client-individual' });
    broker.deliver(...bodies);
    const ids = (await peer.messages(5)).map((message) => peer.reference(message)['id']);
    peer.write(acks(...ids));
    await broker.until('all are settled', () => broker.settled.length === 5);
    expect(lines.filter((line) => line.includes('received "ACK"') || line.includes('received ACK'))).toHaveLength(5);
  });
});

describe.each(VERSIONS)('in STOMP %s', (version) => {
  it('a message of ack:auto counts as acknowledged once it is sent', async () => {
    const { broker, messages, peer } = await consumer(version, 'auto', 'one');
    expect(messages[0]?.header('ack')).toBeUndefined();
    expect(broker.settled).toEqual(['ack one']);
    peer.end();
    await peer.closed();
    expect(broker.settled).toEqual(['ack one']);
  });

  it('ACK with ack:client is for all messages of the subscription up to that one', async () => {
    const { broker, names, peer } = await consumer(version, 'client', 'one', 'two', 'three');
    await peer.receipted('ACK', names[1]);
    expect(broker.settled).toEqual(['ack one', 'ack two']);
    await peer.receipted('ACK', names[2]);
    expect(broker.settled).toEqual(['ack one', 'ack two', 'ack three']);
  });

  it('NACK is for the same messages as ACK would be, and its headers reach the broker', async () => {
    const { broker, names, peer } = await consumer(version, 'client', 'one', 'two', 'three');
    await peer.receipted('NACK', { ...names[1], requeue: 'false' });
    expect(broker.settled).toEqual(['nack one', 'nack two']);
    expect(broker.outcomes[0]?.headers?.get('requeue')).toBe('false');
  });

  it('what was not acknowledged is returned at DISCONNECT, and lost when the connection breaks, oldest first', async () => {
    for (const [leave, kind] of [
      ['DISCONNECT', 'return'],
      ['FIN', 'loss'],
      ['gone', 'loss'],
      ['ERROR', 'loss'],
    ] as const) {
      const { broker, names, peer, session } = await consumer(version, 'client', 'one', 'two', 'three');
      await peer.receipted('ACK', names[0]);
      if (leave === 'FIN') peer.end();
      else if (leave === 'gone') session.destroy();
      else peer.send(leave);
      await broker.until('the session is over', () => broker.gone.length === 1);
      expect(broker.settled).toEqual(['ack one', `${kind} two`, `${kind} three`]);
      expect(broker.unsubscribed).toEqual(['/queue/a']);
    }
  });

  it('what was not acknowledged is returned when the server ends the session for reasons of its own', async () => {
    const { broker, peer } = await consumer(version, 'client', 'one');
    broker.subscribed[0]!.subscription.session.refuse(new StompError('enough'));
    await peer.refused();
    expect(broker.settled).toEqual(['return one']);
  });

  it('a message cannot be acknowledged twice', async () => {
    const { names, peer } = await consumer(version, 'client', 'one');
    await peer.receipted('ACK', names[0]);
    peer.send('ACK', { ...names[0], receipt: 'twice' });
    const error = await peer.refused();
    expect(error.header('message')).toBe('unknown message');
    expect(error.header('receipt-id')).toBe('twice');
  });

  it('ACK after UNSUBSCRIBE counts', async () => {
    const { broker, names, peer } = await consumer(version, 'client', 'one', 'two');
    await peer.receipted('UNSUBSCRIBE', version === '1.0' ? { destination: '/queue/a' } : { id: '0' });
    expect(broker.unsubscribed).toEqual(['/queue/a']);
    await peer.receipted('ACK', names[0]);
    expect(broker.settled).toEqual(['ack one']);
    peer.end();
    await peer.closed();
    expect(broker.settled).toEqual(['ack one', 'return two']);
  });

  it('the id of a subscription that has ended can be used again; acknowledgements find their own', async () => {
    const { broker, names, peer } = await consumer(version, 'client', 'old');
    await peer.receipted('UNSUBSCRIBE', { id: '0' });
    await peer.subscribe('/queue/b', { id: '0', ack: 'client' });
    broker.deliver('new');
    const name = peer.reference(await peer.message());
    await peer.receipted('ACK', names[0]);
    await peer.receipted('ACK', name);
    expect(broker.settled).toEqual(['ack old', 'ack new']);
  });
});

describe.each(['1.1', '1.2'] as const)('in STOMP %s', (version) => {
  it('ACK with ack:client-individual is for one message, in any order', async () => {
    const { broker, names, peer } = await consumer(version, 'client-individual', 'one', 'two', 'three');
    for (const at of [1, 2, 0]) await peer.receipted('ACK', names[at]);
    expect(broker.settled).toEqual(['ack two', 'ack three', 'ack one']);
  });

  it('subscriptions of one session do not touch each other’s messages', async () => {
    const { broker, names, peer } = await consumer(version, 'client', 'one');
    await peer.subscribe('/queue/b', { id: '1', ack: 'client' });
    broker.deliver('other');
    await peer.receipted('ACK', peer.reference(await peer.message()));
    expect(broker.settled).toEqual(['ack other']);
    await peer.receipted('ACK', names[0]);
    expect(broker.settled).toEqual(['ack other', 'ack one']);
  });
});

describe('the acknowledgement mode', () => {
  it.each([
    ['1.2', 'Client'],
    ['1.2', ''],
    ['1.1', 'dups-ok'],
    ['1.0', 'individual'],
  ] as const)('of %s cannot be %j', async (version, ack) => {
    const { peer } = await new TestServer(new TestBroker()).connect(version);
    peer.send('SUBSCRIBE', { destination: '/a', id: '0', ack, receipt: 'r' });
    const error = await peer.refused();
    expect(error.header('message')).toBe('unknown ack mode');
    expect(error.header('receipt-id')).toBe('r');
  });
});

describe('ACK', () => {
  const refusal = async (version: Version, change: (name: Headers) => Headers, ack = 'client') => {
    const { names, peer } = await consumer(version, ack, 'one');
    peer.send('ACK', change(names[0]!));
    return (await peer.refused()).header('message');
  };

  it('of what was never delivered is refused', async () => {
    for (const id of ['', 'x', '0-1', '1-0', '-1-0', '0-0 ', '9999999999999999-0']) {
      expect(await refusal('1.2', () => ({ id }))).toBe('unknown message');
    }
    expect(await refusal('1.1', (name) => ({ ...name, 'message-id': 'x' }))).toBe('unknown message');
    expect(await refusal('1.0', () => ({ 'message-id': 'x' }))).toBe('unknown message');
  });

  it('without the header that names the message is refused', async () => {
    expect(await refusal('1.2', ({ id }) => ({ 'message-id': id! }))).toBe('missing header');
    expect(await refusal('1.1', (name) => ({ id: name['message-id']! }))).toBe('missing header');
  });

  it('of another session’s message is refused', async () => {
    const { names, broker, peer } = await consumer('1.2', 'client', 'one');
    const thief = await new TestServer(broker).connect();
    thief.peer.send('ACK', names[0]);
    expect((await thief.peer.refused()).header('message')).toBe('unknown message');
    await peer.receipted('ACK', names[0]);
  });

  it('of 1.0 and 1.1 finds its message even when the subscription is wrong', async () => {
    const old = await consumer('1.1', 'client', 'one');
    await old.peer.receipted('ACK', { ...old.names[0], subscription: 'wrong' });
    expect(old.broker.settled).toEqual(['ack one']);
    const older = await consumer('1.0', 'client', 'one');
    await older.peer.receipted('ACK', { ...older.names[0], subscription: 'wrong' });
    expect(older.broker.settled).toEqual(['ack one']);
  });

  it('that names the wrong subscription takes no longer the more of them there are', async () => {
    const acknowledged = async (change: (name: Headers) => Headers) => {
      const broker = new TestBroker();
      const { peer } = await new TestServer(broker).connect('1.1');
      const count = 5_000;
      for (let n = 0; n < count; n++) {
        peer.send('SUBSCRIBE', { destination: '/queue/a', id: String(n), ack: 'client-individual' });
      }
      await broker.until('all are subscribed', () => broker.subscribed.length === count);
      const message = (n: number) => new Message('/queue/a', new Frame('SEND', { destination: '/queue/a' }, String(n)));
      broker.subscribed.forEach(({ subscription }, n) => subscription.deliver(new Delivery(message(n), broker)));
      const names = (await peer.messages(count)).map((one) => change(peer.reference(one)));
      const since = performance.now();
      for (const name of names.reverse()) peer.send('ACK', name);
      await peer.receipted('BEGIN', { transaction: 't' });
      expect(broker.settled).toEqual(Array.from({ length: count }, (_, n) => `ack ${count - 1 - n}`));
      return performance.now() - since;
    };
    const named = await acknowledged((name) => name);
    const unnamed = await acknowledged((name) => ({ ...name, subscription: 'wrong' }));
    expect(unnamed).toBeLessThan(4 * named + 200);
  });

  it('for thousands of messages, one by one and from the end, finds each', async () => {
    const bodies = Array.from({ length: 3_000 }, (_, index) => String(index));
    const { broker, names, peer } = await consumer('1.2', 'client-individual', ...bodies);
    const order = [...names.slice(0, 2_500), ...names.slice(2_500).reverse()];
    for (const name of order) peer.send('ACK', name);
    await peer.receipted('BEGIN', { transaction: 't' });
    expect(broker.settled).toHaveLength(bodies.length);
    expect(new Set(broker.settled).size).toBe(bodies.length);
  });
});

describe('credit', () => {
  it('is what may be unacknowledged; acknowledgements give it back', async () => {
    const { names, peer, subscription } = await consumer('1.2', 'client-individual', 'one', 'two');
    subscription.prefetch = 2;
    expect(subscription.ready).toBe(false);
    await peer.receipted('NACK', names[0]);
    expect(subscription.ready).toBe(true);
  });

  it('does not limit ack:auto', async () => {
    const { subscription } = await consumer('1.2', 'auto', 'one', 'two');
    subscription.prefetch = 1;
    expect(subscription.ready).toBe(true);
  });
});

describe('after UNSUBSCRIBE', () => {
  beforeEach(() => {
    jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask', 'performance'] });
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  it('nothing is delivered to the subscription any more: what a broker still hands it goes back', async () => {
    const { broker, peer } = await consumer('1.2', 'client');
    await peer.receipted('UNSUBSCRIBE', { id: '0' });
    broker.deliver('late');
    expect(broker.settled).toEqual(['return late']);
    await peer.receipted('BEGIN', { transaction: 't' });
    expect(peer.received.toString()).not.toContain('MESSAGE');
  });

  it('unacknowledged messages go back after a second; an acknowledgement that comes later still is passed on', async () => {
    const { broker, names, peer } = await consumer('1.2', 'client-individual', 'one', 'two');
    await peer.receipted('UNSUBSCRIBE', { id: '0' });
    await peer.receipted('ACK', names[0]);
    jest.advanceTimersByTime(999);
    expect(broker.settled).toEqual(['ack one']);
    jest.advanceTimersByTime(1);
    expect(broker.settled).toEqual(['ack one', 'return two']);
    await peer.receipted('ACK', names[1]);
    expect(broker.settled).toEqual(['ack one', 'return two', 'ack two']);
    peer.send('ACK', names[1]);
    expect((await peer.refused()).header('message')).toBe('unknown message');
  });

  it('a late acknowledgement in a transaction does not bind a message that went to somebody else', async () => {
    const { broker, names, peer } = await consumer('1.2', 'client', 'one');
    await peer.receipted('UNSUBSCRIBE', { id: '0' });
    jest.advanceTimersByTime(1_000);
    await peer.subscribe('/queue/a', { id: '1', ack: 'client' });
    broker.subscribed.at(-1)!.subscription.deliver(broker.returned[0]!);
    const again = peer.reference(await peer.message());
    peer.send('BEGIN', { transaction: 't' });
    peer.send('ACK', { ...names[0], transaction: 't' });
    await peer.receipted('ACK', again);
    expect(broker.settled).toEqual(['return one', 'ack one']);
  });

  it('a message that comes to the same session again is acknowledged where it is now', async () => {
    const { broker, names, peer } = await consumer('1.0', 'client', 'one');
    await peer.receipted('UNSUBSCRIBE', { id: '0' });
    jest.advanceTimersByTime(1_000);
    await peer.subscribe('/queue/a', { ack: 'client' });
    const { subscription: next } = broker.subscribed.at(-1)!;
    next.deliver(broker.returned[0]!);
    const again: RawFrame = await peer.message();
    expect(peer.reference(again)).toEqual(names[0]);
    next.prefetch = 1;
    await peer.receipted('ACK', names[0]);
    expect(next.ready).toBe(true);
  });
});
