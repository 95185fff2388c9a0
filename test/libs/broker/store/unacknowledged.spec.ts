import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, describe, expect, it } from '@jest/globals';
import { Memory } from 'nestjs-stomp/server';
import { DiskStore, LocalEngine, type Policy, type StompBroker } from 'nestjs-stomp-broker';
import { join, leave, makeBroker, sendAll } from '../../../support/broker.js';
import { type RawPeer } from '../../../support/raw.js';

const QUEUE = '/queue/a';
const DEAD = '/queue/DLQ.a';
const SIZE = 4_000;
const MOST = 1_000_000;
const directories: string[] = [];

afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

/** A broker with a durable store, and a memory that counts nothing but what the store tells it. */
async function counted(most: number, policies: readonly Policy[] = []) {
  const directory = mkdtempSync(joinPath(tmpdir(), 'unacknowledged-'));
  directories.push(directory);
  const memory = new Memory(most);
  const engine = new LocalEngine(new DiskStore({ directory, memory: 0, sync: 'never' }), policies, { memory });
  return { memory, broker: await makeBroker({ engine }) };
}

/** As many messages, every other one persistent. */
async function fill(peer: RawPeer, destination: string, count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    await sendAll(peer, destination, [`${n}`.padEnd(SIZE, '.')], { persistent: String(n % 2 === 0) });
  }
}

const CLIENT = { id: 'c', ack: 'client-individual' };

/** Somebody takes all messages of a queue and acknowledges none of them. */
async function taken(broker: StompBroker, count: number, destination = QUEUE, headers = {}) {
  const peer = await join(broker);
  await peer.subscribe(destination, { ...CLIENT, ...headers });
  return { peer, messages: await peer.messages(count) };
}

/** Takes what there is, and acknowledges it. */
async function drain(broker: StompBroker, count: number, destination = QUEUE): Promise<void> {
  const { peer, messages } = await taken(broker, count, destination);
  for (const message of messages) await peer.receipted('ACK', peer.reference(message));
  await leave(peer);
}

describe('messages of a durable store that were handed out and are not acknowledged', () => {
  it('count in the memory for messages, those that wait do not', async () => {
    const { memory, broker } = await counted(3 * SIZE);
    await fill(await join(broker), QUEUE, 6);
    expect(memory.full).toBe(false);
    const two = await taken(broker, 2, QUEUE, { 'prefetch-count': '2' });
    expect(memory.full).toBe(false);
    const third = await taken(broker, 1, QUEUE, { 'prefetch-count': '1' });
    expect(memory.full).toBe(true);
    await leave(third.peer);
    await leave(two.peer);
  });

  it.each<{ what: string; policy?: Policy; end: (broker: StompBroker) => Promise<void> }>([
    { what: 'an ACK', end: (broker) => drain(broker, 4) },
    {
      what: 'a NACK, after which they come again',
      end: async (broker) => {
        const { peer, messages } = await taken(broker, 4);
        for (const message of messages) peer.send('NACK', { ...peer.reference(message), delay: '0' });
        for (const again of await peer.messages(4)) peer.send('NACK', { ...peer.reference(again), delay: '50' });
        for (const last of await peer.messages(4)) await peer.receipted('ACK', peer.reference(last));
        await leave(peer);
      },
    },
    {
      what: 'a NACK that makes dead letters of them',
      end: async (broker) => {
        const { peer, messages } = await taken(broker, 4);
        for (const message of messages) await peer.receipted('NACK', { ...peer.reference(message), requeue: 'false' });
        await leave(peer);
        await drain(broker, 4, DEAD);
      },
    },
    {
      what: 'the last of their deliveries',
      policy: { destination: QUEUE, maxDeliveries: 1 },
      end: async (broker) => {
        const { peer, messages } = await taken(broker, 4);
        for (const message of messages) await peer.receipted('NACK', peer.reference(message));
        await leave(peer);
        await drain(broker, 4, DEAD);
      },
    },
    {
      what: 'the end of the connection',
      end: async (broker) => {
        const { peer } = await taken(broker, 4);
        await leave(peer);
        await drain(broker, 4);
      },
    },
    {
      what: 'DISCONNECT',
      end: async (broker) => {
        const { peer } = await taken(broker, 4);
        await peer.receipted('DISCONNECT');
        await drain(broker, 4);
      },
    },
    {
      what: 'UNSUBSCRIBE, in time and late acknowledged',
      end: async (broker) => {
        const { peer, messages } = await taken(broker, 4);
        await peer.receipted('UNSUBSCRIBE', { id: CLIENT.id });
        await peer.receipted('ACK', peer.reference(messages[0]!));
        // The others are given back after a moment, and one is acknowledged all the same.
        const other = await join(broker);
        await other.subscribe(QUEUE, { ...CLIENT, 'prefetch-count': '1' });
        const next = await other.message();
        await peer.receipted('ACK', peer.reference(messages[3]!));
        await other.receipted('ACK', other.reference(next));
        await other.receipted('ACK', other.reference(await other.message()));
        await leave(other);
        await leave(peer);
      },
    },
    {
      what: 'a COMMIT of their ACK, after an ABORT',
      end: async (broker) => {
        const { peer, messages } = await taken(broker, 4);
        for (const end of ['ABORT', 'COMMIT']) {
          peer.send('BEGIN', { transaction: 't' });
          for (const message of messages) peer.send('ACK', { ...peer.reference(message), transaction: 't' });
          await peer.receipted(end, { transaction: 't' });
        }
        await leave(peer);
      },
    },
    {
      what: 'a transaction that is open when its connection ends',
      end: async (broker) => {
        const { peer, messages } = await taken(broker, 4);
        peer.send('BEGIN', { transaction: 't' });
        for (const message of messages) peer.send('ACK', { ...peer.reference(message), transaction: 't' });
        await leave(peer);
        await drain(broker, 4);
      },
    },
    {
      what: 'nothing: they were only looked at',
      end: async (broker) => {
        const peer = await join(broker);
        await peer.subscribe(QUEUE, { id: 'b', browser: 'true' });
        await peer.messages(5);
      },
    },
    {
      what: 'an ACK of those that a selector wants',
      end: async (broker) => {
        const { peer, messages } = await taken(broker, 2, QUEUE, { selector: "persistent = 'true'" });
        for (const message of messages) await peer.receipted('ACK', peer.reference(message));
        await leave(peer);
      },
    },
    {
      what: 'their expiry',
      policy: { destination: QUEUE, timeToLive: 1, deadLetterExpired: true },
      end: async (broker) => {
        // In the millisecond of its expiry a message is still delivered.
        for (const last = Date.now(); Date.now() < last + 2;) await setImmediate();
        const consumer = await join(broker);
        await consumer.subscribe(QUEUE);
        await drain(broker, 4, DEAD);
      },
    },
    {
      what: 'more than the length of their queue',
      policy: { destination: QUEUE, maxLength: 1, overflow: 'drop-oldest' },
      end: async (broker) => {
        await drain(broker, 1);
        await drain(broker, 3, DEAD);
      },
    },
  ])('count no longer after $what', async ({ policy, end }) => {
    const { memory, broker } = await counted(MOST, policy === undefined ? [] : [policy]);
    const publisher = await join(broker);
    await fill(publisher, QUEUE, 4);
    await end(broker);
    // Exactly all of it was given back.
    memory.add(MOST);
    expect(memory.full).toBe(false);
    memory.add(1);
    expect(memory.full).toBe(true);
  });

  it('count no longer after their queue has gone with them', async () => {
    const { memory, broker } = await counted(MOST);
    const publisher = await join(broker);
    const consumer = await join(broker);
    await consumer.subscribe(QUEUE, { ...CLIENT, 'auto-delete': 'true' });
    await fill(publisher, QUEUE, 4);
    const messages = await consumer.messages(4);
    consumer.send('NACK', { ...consumer.reference(messages[0]!), delay: '60000' });
    await consumer.receipted('UNSUBSCRIBE', { id: CLIENT.id });
    await consumer.receipted('ACK', consumer.reference(messages[1]!));
    await leave(consumer);
    memory.add(MOST);
    expect(memory.full).toBe(false);
    memory.add(1);
    expect(memory.full).toBe(true);
  });
});
