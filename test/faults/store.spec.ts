import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RawPeer } from '../support/raw.js';
import { type Served, serve, serveIn } from '../support/serve.js';

jest.setTimeout(120_000);

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function place(): string {
  const directory = mkdtempSync(join(tmpdir(), 'killed-'));
  directories.push(directory);
  return directory;
}

async function kill({ program }: Served): Promise<void> {
  program.signal('SIGKILL');
  await program.exited;
}

const take = async (server: Served, destination: string): Promise<RawPeer> => {
  const peer = await server.connect();
  await peer.subscribe(destination, { ack: 'client-individual' });
  return peer;
};

/** Loaded into the broker before its own code: from SIGUSR2 on no sync of its disk comes to an end. */
const stalling = `
  import fs from 'node:fs';
  const { fdatasync } = fs;
  let stalled = false;
  fs.fdatasync = (fd, done) => stalled || fdatasync(fd, done);
  process.on('SIGUSR2', () => {
    stalled = true;
    console.log('the disk stalls');
  });`;
const STALLING = { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(stalling)}` };

describe('a delayed message that was delivered before the broker was killed, and not acknowledged', () => {
  const later = { persistent: 'true', 'x-delay': '1500' };

  it.each([
    ['and is on disk', false],
    ['while that was still to be written', true],
  ])('%s comes again with its message-id, and says so, also after a proper end', async (_when, stalls) => {
    const options = ['--store', 'disk', '--data-dir', place()];
    const first = await serveIn(STALLING, ...options);
    const peer = await take(first, '/queue/a');
    await peer.receipted('SEND', { destination: '/queue/a', ...later }, 'late');
    if (stalls) {
      first.program.signal('SIGUSR2');
      await first.program.line(/^the disk stalls$/);
      // Something is under way that does not come to an end: what comes then has to wait.
      peer.send('SEND', { destination: '/queue/b', persistent: 'true' }, 'under way');
    }
    const before = await peer.message();
    expect([before.text, before.header('redelivered')]).toEqual(['late', 'false']);
    if (!stalls) await peer.receipted('SEND', { destination: '/queue/b', persistent: 'true' }, 'so it is written');
    await kill(first);

    const second = await serve(...options);
    await second.program.stop();
    const third = await serve(...options);
    const got = await (await take(third, '/queue/a')).message();
    const named = (name: string) => got.header(name);
    expect([got.text, named('redelivered'), named('delivery-count')]).toEqual(['late', 'true', '1']);
    expect(named('message-id')).toBe(before.header('message-id'));
  });

  it('is not taken for another one, whose time comes after the restart', async () => {
    const options = ['--store', 'disk', '--data-dir', place()];
    const first = await serve(...options);
    await (await first.connect()).receipted('SEND', { destination: '/queue/a', ...later, 'x-delay': '6000' }, 'late');
    await kill(first);
    const second = await serve(...options);
    const got = await (await take(second, '/queue/a')).message();
    expect([got.text, got.header('redelivered')]).toEqual(['late', 'false']);
  });
});

describe('a message that repeats, over kills of the broker,', () => {
  const every = { persistent: 'true', AMQ_SCHEDULED_DELAY: '100', AMQ_SCHEDULED_PERIOD: '400' };

  /** The ids of the next ones; each is acknowledged, with a receipt, before the next is due. */
  async function next(peer: RawPeer, count: number): Promise<(string | undefined)[]> {
    const ids: (string | undefined)[] = [];
    while (ids.length < count) {
      const got = await peer.message();
      expect(got.text).toBe('again');
      await peer.receipted('ACK', peer.reference(got));
      ids.push(got.header('message-id'));
    }
    return ids;
  }

  it('comes as often as it says, and no more', async () => {
    const options = ['--store', 'disk', '--data-dir', place()];
    const headers = { destination: '/queue/a', ...every, AMQ_SCHEDULED_REPEAT: '6' };
    const ids: (string | undefined)[] = [];
    let server = await serve(...options);
    await (await server.connect()).receipted('SEND', headers, 'again');
    for (const count of [2, 3]) {
      ids.push(...(await next(await take(server, '/queue/a'), count)));
      await kill(server);
      server = await serve(...options);
    }
    const peer = await take(server, '/queue/a');
    ids.push(...(await next(peer, 2)));
    // An eighth would come before this one.
    await peer.receipted('SEND', { destination: '/queue/a', 'x-delay': '1200' }, 'the end');
    expect((await peer.message()).text).toBe('the end');
    expect(new Set(ids).size).toBe(7);
  });

  it('without end goes on', async () => {
    const options = ['--store', 'disk', '--data-dir', place()];
    let server = await serve(...options);
    await (
      await server.connect()
    ).receipted('SEND', { destination: '/queue/a', ...every, AMQ_SCHEDULED_REPEAT: '-1' }, 'again');
    for (let lives = 0; lives < 3; lives++) {
      await next(await take(server, '/queue/a'), 3);
      await kill(server);
      server = await serve(...options);
    }
  });
});
