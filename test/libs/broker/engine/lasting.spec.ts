import { describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { type Admission, DiskStore, LocalEngine, MemoryStore, type StompBroker } from 'nestjs-stomp-broker';
import { Memory } from 'nestjs-stomp/server';
import { join, leave, makeBroker } from '../../../support/broker.js';
import { type RawPeer } from '../../../support/raw.js';

const TOPIC = '/topic/a';
/** Everybody is who they say they are. */
const admission: Admission = {
  connect(session, { headers }) {
    session.user = headers.get('login');
    return Promise.resolve();
  },
  use: () => Promise.resolve(),
};

/** A broker in which such things may take 16 MiB in all. */
function start(store: MemoryStore | DiskStore = new MemoryStore()): Promise<StompBroker> {
  const memory = new Memory(1024 * 1024);
  return makeBroker({ admission, memory, engine: new LocalEngine(store, [], { memory }) });
}

const enter = (broker: StompBroker, login: string) => join(broker, '1.2', { login });

/** Goes on for as long as the broker lets it, and tells what the broker says then. */
async function fill(peer: RawPeer, take: (peer: RawPeer, n: number) => Promise<unknown>): Promise<string> {
  for (let n = 0; n < 5_000; n++) {
    const answer = await Promise.race([
      take(peer, n).then(
        () => undefined,
        () => 'refused',
      ),
      peer.closed().then(() => 'refused'),
    ]);
    if (answer === undefined) continue;
    const error = await peer.refused();
    expect(error.header('message')).toBe('too many subscriptions');
    return error.text;
  }
  return 'everything was taken';
}

const selector = Array.from({ length: 350 }, (_, n) => `a LIKE '%${n}%b%a%'`).join(' OR ');

async function subscribeDurably(peer: RawPeer, n: number): Promise<void> {
  const headers = { id: '1', 'durable-subscription-name': `d${n}`, selector };
  await peer.subscribe(TOPIC, headers);
  await peer.receipted('UNSUBSCRIBE', { id: '1' });
}

async function collect(peer: RawPeer, n: number): Promise<void> {
  await peer.subscribe(`/topic/*.${n}${'.a'.repeat(120)}`, { id: '1', 'x-queue-name': `q${n}` });
  await peer.receipted('UNSUBSCRIBE', { id: '1' });
}

const virtual = (n: number) => `/queue/Consumer.A.VirtualTopic.${n}${'a'.repeat(900)}`;

async function collectByName(peer: RawPeer, n: number): Promise<void> {
  await peer.receipted('SEND', { destination: virtual(n) }, 'x');
}

describe.each([
  ['durable subscriptions', subscribeDurably],
  ['topics that queues collect from', collect],
  ['queues that virtual topics feed', collectByName],
])('%s that a user has left behind', (_what, take) => {
  it('are bounded: the ERROR tells the limit, and the way out', async () => {
    const text = await fill(await enter(await start(), 'bad'), take);
    expect(text).toContain('those of a user may take 8388608 octets here');
    expect(text).toContain('give the server more memory for messages (max-memory)');
  });

  it('keep another neither from subscribing nor from leaving such behind', async () => {
    const broker = await start();
    for (const _again of [1, 2, 3]) await fill(await enter(broker, 'bad'), take);
    const good = await enter(broker, 'good');
    for (let n = 0; n < 3; n++) await good.subscribe(TOPIC, { id: `now ${n}`, selector });
    await subscribeDurably(good, 10_000);
    await collect(good, 10_000);
    await collectByName(good, 10_000);
    await good.receipted('SEND', { destination: TOPIC, a: '1 ba' }, 'to everybody');
    expect(await good.texts(3)).toEqual(['to everybody', 'to everybody', 'to everybody']);
  });

  it('count for that user after a restart, too', async () => {
    const directory = mkdtempSync(joinPath(tmpdir(), 'lasting-'));
    const broker = await start(new DiskStore({ directory, sync: 'never' }));
    await fill(await enter(broker, 'bad'), take);
    await broker.close(100);
    const again = await start(new DiskStore({ directory, sync: 'never' }));
    await subscribeDurably(await enter(again, 'good'), 10_000);
    if (take === collectByName) await collectByName(await enter(again, 'good'), 10_000);
    else expect(await fill(await enter(again, 'bad'), (peer, n) => take(peer, 10_001 + n))).toContain('of a user');
    await again.close(100);
    rmSync(directory, { recursive: true });
  });
});

it('what has gone takes nothing, and is not made again by who has taken too much since', async () => {
  const broker = await start();
  const peer = await enter(broker, 'bad');
  for (let n = 0; n < 4_000; n++) {
    await peer.subscribe(virtual(n % 100), { id: '1', 'auto-delete': 'true' });
    await peer.receipted('UNSUBSCRIBE', { id: '1' });
  }
  await fill(await enter(broker, 'bad'), (other, n) => collectByName(other, 100 + n));
  peer.send('SEND', { destination: virtual(99) }, 'x');
  expect((await peer.refused()).header('message')).toBe('too many subscriptions');
});

it('a queue that has gone is not made again where there are too many by now', async () => {
  const broker = await makeBroker({ engine: new LocalEngine(new MemoryStore(), [], { maxQueues: 1 }) });
  const [peer, other] = [await join(broker), await join(broker)];
  await peer.subscribe('/queue/a', { id: '1', 'auto-delete': 'true' });
  await peer.receipted('SEND', { destination: '/queue/a' }, 'x');
  await peer.receipted('UNSUBSCRIBE', { id: '1' });
  await other.receipted('SEND', { destination: '/queue/b' }, 'x');
  peer.send('SEND', { destination: '/queue/a' }, 'x');
  expect((await peer.refused()).header('message')).toBe('too many queues');
  await leave(other);
});
