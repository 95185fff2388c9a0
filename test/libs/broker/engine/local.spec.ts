import { afterAll, afterEach, describe, expect, it, jest } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { DiskStore, type Engine, LocalEngine, MemoryStore, type Policy } from 'nestjs-stomp-broker';
import { join, leave, makeBroker, sendAll, textsOf } from '../../../support/broker.js';
import { type Headers } from '../../../support/wire.js';
import { describeEngine } from './engine.contract.js';

describeEngine('local', { make: () => new LocalEngine(new MemoryStore()) });

const directories = new Map<Engine, string>();
const onDisk = (directory = mkdtempSync(joinPath(tmpdir(), 'store-'))) => {
  const engine = new LocalEngine(new DiskStore({ directory, sync: 'never' }));
  directories.set(engine, directory);
  return engine;
};
afterAll(() => {
  for (const directory of directories.values()) rmSync(directory, { recursive: true, force: true });
});
describeEngine('local, on disk', { make: () => onDisk(), again: (engine) => onDisk(directories.get(engine)) });

const HOUR = 3_600_000;

/** Notes down which queues the engine gives up. */
class WatchedStore extends MemoryStore {
  readonly dropped: string[] = [];

  override drop(queue: string): void {
    this.dropped.push(queue.split('\0').at(-1)!);
    super.drop(queue);
  }
}

describe('a queue that is empty and unused', () => {
  afterEach(() => {
    jest.useRealTimers();
  });

  const start = async (policies: readonly Policy[] = []) => {
    jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask', 'performance'] });
    const store = new WatchedStore();
    const broker = await makeBroker({
      engine: new LocalEngine(store, policies),
      heartbeat: { outgoing: 0, incoming: 0 },
      loginTimeout: 0,
    });
    return { store, broker, peer: await join(broker) };
  };

  it('is removed after a while', async () => {
    const { store, peer } = await start();
    await peer.subscribe('/queue/a', { id: 'x' });
    await sendAll(peer, '/queue/a', ['one']);
    await peer.message();
    jest.advanceTimersByTime(HOUR);
    expect(store.dropped).toEqual([]);
    await peer.receipted('UNSUBSCRIBE', { id: 'x' });
    jest.advanceTimersByTime(HOUR);
    expect(store.dropped).toEqual(['a']);
  });

  it('is removed also when nothing ever came of the frame that named it', async () => {
    const { store, peer } = await start();
    await peer.receipted('BEGIN', { transaction: 't' });
    peer.send('SEND', { destination: '/queue/a', transaction: 't' }, 'one');
    await peer.receipted('ABORT', { transaction: 't' });
    jest.advanceTimersByTime(HOUR);
    expect(store.dropped).toEqual(['a']);
  });

  it.each<[string, Headers, Policy[]]>([
    ['x-expires', { 'x-expires': '5000' }, []],
    ['the idle time of a policy', {}, [{ destination: '/queue/a', idleTime: 5000 }]],
  ])('is removed after %s, not before, also when a topic feeds it; with its feed', async (_what, headers, policies) => {
    for (const fed of [false, true]) {
      const { store, peer } = await start(policies);
      const destination = fed ? '/topic/news' : '/queue/a';
      await peer.subscribe(destination, { id: 'x', ...(fed ? { 'x-queue-name': 'a' } : {}), ...headers });
      await peer.receipted('UNSUBSCRIBE', { id: 'x' });
      jest.advanceTimersByTime(4999);
      expect(store.dropped).toEqual([]);
      jest.advanceTimersByTime(1);
      expect(store.dropped).toEqual(['a']);
      await sendAll(peer, '/topic/news', ['nobody collects this']);
      await peer.subscribe('/queue/a', { id: 'y' });
      expect(textsOf(await peer.rest())).toEqual([]);
    }
  });

  it('but fed by a topic is kept, and collects, unless somebody says for how long', async () => {
    const { store, peer } = await start();
    await peer.subscribe('/topic/news', { id: 'x', 'x-queue-name': 'a' });
    await peer.subscribe('/queue/Consumer.A.VirtualTopic.news', { id: 'y' });
    await peer.receipted('UNSUBSCRIBE', { id: 'x' });
    await peer.receipted('UNSUBSCRIBE', { id: 'y' });
    jest.advanceTimersByTime(HOUR);
    expect(store.dropped).toEqual([]);
    await sendAll(peer, '/topic/news', ['one']);
    await sendAll(peer, '/topic/VirtualTopic.news', ['two']);
    await peer.subscribe('/queue/a', { id: 'x' });
    await peer.subscribe('/queue/Consumer.A.VirtualTopic.news', { id: 'y' });
    expect(await peer.texts(2)).toEqual(['one', 'two']);
  });

  it('and fed by a topic goes with its last consumer by auto-delete', async () => {
    const { store, broker, peer } = await start();
    const other = await join(broker);
    const terms = { 'x-queue-name': 'a', 'auto-delete': 'true' };
    await peer.subscribe('/topic/news', { id: 'x', ...terms });
    await other.subscribe('/topic/news', { id: 'x', ...terms });
    await leave(other);
    expect(store.dropped).toEqual([]);
    await peer.receipted('UNSUBSCRIBE', { id: 'x' });
    expect(store.dropped).toEqual(['a']);
  });

  it('serves those who still know it as before once it is gone', async () => {
    const { store, broker, peer } = await start();
    await peer.subscribe('/queue/a', { id: 'x' });
    await sendAll(peer, '/queue/a', ['one']);
    await peer.message();
    await peer.receipted('UNSUBSCRIBE', { id: 'x' });
    jest.advanceTimersByTime(HOUR);
    expect(store.dropped).toEqual(['a']);
    await sendAll(peer, '/queue/a', ['two']);
    jest.advanceTimersByTime(HOUR);
    const other = await join(broker);
    await other.subscribe('/queue/a', { id: 'x', ack: 'client' });
    expect(await other.texts(1)).toEqual(['two']);
    expect(store.backlog('*\0a')).toBe(store.backlog('*\0a'));
    await leave(other);
    await peer.subscribe('/queue/a', { id: 'y' });
    expect(await peer.texts(1)).toEqual(['two']);
    expect(store.dropped).toEqual(['a']);
  });

  it('is kept when a dead letter comes just then', async () => {
    const { store, peer } = await start();
    await peer.subscribe('/queue/DLQ.a', { id: 'dead' });
    await peer.receipted('UNSUBSCRIBE', { id: 'dead' });
    await peer.subscribe('/queue/a', { id: 'x', ack: 'client-individual' });
    await sendAll(peer, '/queue/a', ['one']);
    await peer.receipted('NACK', { ...peer.reference(await peer.message()), requeue: 'false' });
    jest.advanceTimersByTime(HOUR);
    expect(store.dropped).toEqual([]);
    await peer.subscribe('/queue/DLQ.a', { id: 'dead' });
    expect(await peer.texts(1)).toEqual(['one']);
  });

  it('leaves no timer behind when the broker is closed: not even of a message that waits for its next delivery', async () => {
    const { broker, peer } = await start();
    await peer.subscribe('/queue/a', { id: 'x', ack: 'client-individual' });
    await sendAll(peer, '/queue/a', ['one']);
    await peer.receipted('NACK', { ...peer.reference(await peer.message()), delay: '5000' });
    expect(textsOf(await peer.rest())).toEqual([]);
    peer.end();
    await broker.close();
    expect(jest.getTimerCount()).toBe(0);
  });
});
