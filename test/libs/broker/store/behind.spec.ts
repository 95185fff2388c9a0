import { afterEach, expect, it } from '@jest/globals';
import fs, { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { DiskStore, LocalEngine } from 'nestjs-stomp-broker';
import { join, makeBroker, sendAll, standstill } from '../../../support/broker.js';

const MB = 1024 * 1024;
const directories: string[] = [];

afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

/** A broker over a disk of which every sync waits until `disk.go` is called. */
async function slowDisk() {
  const directory = mkdtempSync(joinPath(tmpdir(), 'behind-'));
  directories.push(directory);
  const waiting: (() => void)[] = [];
  const disk = {
    stopped: true,
    go() {
      disk.stopped = false;
      for (const sync of waiting.splice(0)) sync();
    },
  };
  const fdatasync = (fd: number, done: (error: Error | null) => void) => {
    const sync = () => fs.fdatasync(fd, done);
    if (disk.stopped) waiting.push(sync);
    else sync();
  };
  const store = new DiskStore({ directory, memory: 1024 * MB }, { ...fs, fdatasync });
  const broker = await makeBroker({ engine: new LocalEngine(store) });
  return { store, broker, disk };
}

it.each([
  ['queue', '/queue/a', {}],
  ['durable subscription', '/topic/a', { 'x-queue-name': 'fed', durable: 'true', 'auto-delete': 'false' }],
])('a publisher to a %s that asks for no receipts is not read while the disk is behind', async (_, to, headers) => {
  const { store, broker, disk } = await slowDisk();
  if (to.startsWith('/topic')) {
    disk.stopped = false;
    const subscriber = await join(broker);
    await subscriber.subscribe(to, { id: 'd', ack: 'client', 'prefetch-count': '1', ...headers });
    subscriber.end();
    await subscriber.closed();
    disk.stopped = true;
  }
  const peer = await join(broker);
  const body = 'x'.repeat(64 * 1024);
  for (let i = 0; i < 512; i++) peer.send('SEND', { destination: to, persistent: 'true' }, body);
  await standstill(() => store.memory);
  expect(store.memory).toBeGreaterThan(4 * MB);
  // Of 32 MB; what was under way, what waits, and the chunk that was one too much.
  expect(store.memory).toBeLessThan(10 * MB);

  disk.go();
  await sendAll(peer, to, ['the last'], { persistent: 'true' });
  expect(store.memory).toBeGreaterThan(32 * MB);
});
