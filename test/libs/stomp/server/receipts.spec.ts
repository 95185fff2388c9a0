import { describe, expect, it } from '@jest/globals';
import { type Broker, type Done, type Message, type Session, StompError, type Subscription } from 'nestjs-stomp/server';
import { type RawPeer } from '../../../support/raw.js';
import { TestBroker, TestServer } from '../../../support/server.js';

/** Sends a message for each of these receipts to a broker that does not promise anything yet. */
async function send(...receipts: string[]) {
  const broker = new TestBroker(false);
  const { peer, session } = await new TestServer(broker).connect();
  for (const receipt of receipts) peer.send('SEND', { destination: '/queue/a', receipt }, receipt);
  await broker.untilSent(receipts.length);
  return { peer, session, broker, dones: broker.sent.map(({ done }) => done!) };
}

const ids = (peer: RawPeer) => [...peer.received.toString().matchAll(/receipt-id:(.*)/g)].map(([, id]) => id);

describe('receipts', () => {
  it('come when the broker says that the promise holds, not before', async () => {
    const { peer, dones } = await send('a');
    expect(ids(peer)).toEqual([]);
    dones[0]!();
    await peer.receipt('a');
  });

  it('keep the order of the frames, whatever the order of their promises', async () => {
    const { peer, dones } = await send('a', 'b', 'c', 'd');
    for (const at of [2, 1, 3]) dones[at]!();
    peer.send('BEGIN', { transaction: 't', receipt: 'e' });
    dones[0]!();
    await peer.receipt('e');
    expect(ids(peer)).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  it('are not asked of the broker by a SEND that wants none', async () => {
    const broker = new TestBroker(false);
    const { peer } = await new TestServer(broker).connect();
    peer.send('SEND', { destination: '/queue/a' });
    await broker.untilSent(1);
    expect(broker.sent[0]?.done).toBeUndefined();
  });

  it('of one session do not wait for those of another', async () => {
    const broker = new TestBroker(false);
    const server = new TestServer(broker);
    const [one, other] = [await server.connect(), await server.connect()];
    one.peer.send('SEND', { destination: '/queue/a', receipt: 'one' });
    await broker.untilSent(1);
    other.peer.send('SEND', { destination: '/queue/a', receipt: 'other' });
    await broker.untilSent(2);
    broker.sent[1]!.done!();
    await other.peer.receipt('other');
    expect(ids(one.peer)).toEqual([]);
  });

  it('of DISCONNECT comes after all others, then the connection ends', async () => {
    const { peer, session, broker, dones } = await send('a', 'b');
    peer.send('DISCONNECT', { receipt: 'bye' });
    peer.send('SEND', { destination: '/queue/a', receipt: 'late' });
    dones[1]!();
    await broker.until('both sessions promised', () => broker.sent.length === 2);
    dones[0]!();
    await peer.receipt('bye');
    await peer.closed();
    expect(ids(peer)).toEqual(['a', 'b', 'bye']);
    expect(broker.gone).toEqual([session]);
    expect(broker.sent).toHaveLength(2);
  });

  it('that are still owed when the client has ended its side go out before we end ours', async () => {
    const { peer, dones } = await send('a', 'b');
    peer.end();
    dones[1]!();
    dones[0]!();
    await peer.closed();
    expect(ids(peer)).toEqual(['a', 'b']);
  });

  it('that hold after the connection is gone are dropped in silence', async () => {
    const broker = new TestBroker(false);
    const server = new TestServer(broker);
    const peer = await server.dial();
    peer.send('SEND', { destination: '/queue/a', receipt: 'a' });
    await broker.untilSent(1);
    peer.destroy();
    broker.sent[0]!.done!();
    await broker.until('the session is over', () => broker.gone.length === 1);
  });
});

describe('a promise that is broken', () => {
  it('ends the session with ERROR of that receipt; those before are kept, those after are not confirmed', async () => {
    const { peer, dones } = await send('a', 'b', 'c');
    dones[2]!();
    dones[1]!(new StompError('disk full', 'make room'));
    dones[0]!();
    const error = await peer.refused();
    expect(error.header('message')).toBe('disk full');
    expect(error.header('receipt-id')).toBe('b');
    expect(error.text).toBe('make room\n');
    expect(ids(peer)).toEqual(['a', 'b']);
  });

  it('is told of even when the client is leaving', async () => {
    const { peer, dones } = await send('a', 'b');
    peer.send('DISCONNECT', { receipt: 'bye' });
    peer.end();
    dones[1]!(new StompError('disk full'));
    dones[0]!();
    const error = await peer.refused();
    expect(error.header('receipt-id')).toBe('b');
    expect(ids(peer)).toEqual(['a', 'b']);
  });

  it('that breaks again, or is kept after all, changes nothing any more', async () => {
    const { peer, dones } = await send('a', 'b');
    dones[0]!(new StompError('first'));
    dones[1]!(new StompError('second'));
    dones[0]!();
    expect((await peer.refused()).header('message')).toBe('first');
    expect(peer.received.toString().match(/ERROR/g)).toHaveLength(1);
  });

  it('for a reason that is not for clients makes an ERROR that gives nothing away', async () => {
    const { peer, dones } = await send('a');
    dones[0]!(new Error('/var/secret is gone'));
    expect((await peer.refused()).header('message')).toBe('internal error');
    expect(peer.received.toString()).not.toContain('secret');
  });
});

describe('what a route throws', () => {
  class Refusing extends TestBroker implements Broker {
    override send(message: Message, session: Session, done: Done | undefined): void {
      super.send(message, session, undefined);
      if (message.destination === '/full') throw new StompError('queue full');
      done?.();
    }

    override subscribe(subscription: Subscription): void {
      throw new StompError('bad selector', `near ${subscription.headers.get('selector')}`);
    }

    commit(): void {
      throw new StompError('cannot commit');
    }
  }

  it.each([
    ['SEND', { destination: '/full' }, 'queue full'],
    ['SUBSCRIBE', { destination: '/a', id: '0', selector: 'a =' }, 'bad selector'],
    ['COMMIT', { transaction: 't' }, 'cannot commit'],
  ])('at a %s becomes the ERROR of that frame, with and without a receipt', async (command, headers, message) => {
    for (const receipt of [undefined, 'r']) {
      const { peer } = await new TestServer(new Refusing()).connect();
      peer.send('BEGIN', { transaction: 't' });
      peer.send(command, { ...headers, ...(receipt === undefined ? {} : { receipt }) });
      const error = await peer.refused();
      expect(error.header('message')).toBe(message);
      expect(error.header('receipt-id')).toBe(receipt);
    }
  });
});
