import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { EventEmitter, once } from 'node:events';
import fs, { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { DiskStore, LocalEngine } from 'nestjs-stomp-broker';
import { join, makeBroker } from '../../../support/broker.js';
import { type RawPeer } from '../../../support/raw.js';

const KEPT = { persistent: 'true' };
/** What a queue says of itself that takes one message and refuses the next. */
const FULL = {
  'x-queue-name': 'fed',
  durable: 'true',
  ack: 'client',
  'x-max-length': '1',
  'x-overflow': 'reject-publish',
};

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(joinPath(tmpdir(), 'receipts-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** A broker on a disk whose syncs wait once they are told to. */
async function start() {
  const syncs = new EventEmitter();
  let held: (() => void)[] | undefined;
  const disk = {
    ...fs,
    fdatasync: (fd: number, done: (error: Error | null) => void) => {
      if (held === undefined) return fs.fdatasync(fd, done);
      held.push(() => fs.fdatasync(fd, done));
      syncs.emit('begun');
    },
  };
  const broker = await makeBroker({ engine: new LocalEngine(new DiskStore({ directory }, disk)) });
  return {
    peer: await join(broker),
    hold: () => {
      held = [];
      return once(syncs, 'begun');
    },
    release: () => {
      const waiting = held ?? [];
      held = undefined;
      for (const sync of waiting) sync();
    },
  };
}

it.each([
  [
    'a message that a queue of the topic refuses, for its dead letter',
    async (peer: RawPeer) => {
      await peer.subscribe('/topic/t', { id: 's', ...FULL });
      await peer.receipted('UNSUBSCRIBE', { id: 's' });
      await peer.receipted('SEND', { destination: '/topic/t', ...KEPT }, 'first');
    },
    [{ destination: '/topic/t', ...KEPT }, 'second'],
  ],
  [
    'the end of what was retained, by a message that need not survive itself',
    (peer: RawPeer) => peer.receipted('SEND', { destination: '/topic/t', retain: 'true', ...KEPT }, 'old'),
    [{ destination: '/topic/t', retain: 'true' }, ''],
  ],
  [
    'what takes the place of what was retained, and need not survive itself',
    (peer: RawPeer) => peer.receipted('SEND', { destination: '/topic/t', retain: 'true', ...KEPT }, 'old'),
    [{ destination: '/topic/t', retain: 'true' }, 'new'],
  ],
] as const)('the receipt waits until the disk has it: %s', async (_, prepare, [headers, body]) => {
  const { peer, hold, release } = await start();
  await prepare(peer);
  await peer.subscribe('/topic/witness');
  const begun = hold();
  peer.send('SEND', { ...headers, receipt: 'promise' }, body);
  await begun;
  peer.send('SEND', { destination: '/topic/witness' }, 'later');
  await peer.take('witness', ({ text }) => text === 'later');
  expect(peer.received.toString()).not.toContain('receipt-id:promise');
  release();
  await peer.receipt('promise');
});
