import { expect, it, jest } from '@jest/globals';
import { setTimeout } from 'node:timers/promises';
import { serve, serveIn } from '../../support/stompserver.js';

jest.setTimeout(60_000);

const CLIENTS = 1_000;
/** V8 itself gives memory back, too, but not before 8 seconds without work. */
const SOON = 6_000;
/** In MiB; the arrival leaves more than twice as much. */
const LEAST = 10;

/** Of which Node lets a program have files, and little else. */
const PERMISSION = process.allowedNodeEnvironmentFlags.has('--permission')
  ? '--permission'
  : '--experimental-permission';

/** A thousand subscribers that have just come. */
async function arrive({ connect }: Awaited<ReturnType<typeof serve>>) {
  const peers = await Promise.all(Array.from({ length: CLIENTS }, () => connect()));
  for (const peer of peers) peer.send('SUBSCRIBE', { destination: '/topic/rest', id: '0', receipt: 'there' });
  for (const peer of peers) await peer.receipt('there');
  return peers;
}

it('gives back what the arrival of a thousand clients has left behind, and serves them all', async () => {
  const server = await serve();
  const peers = await arrive(server);
  const { program } = server;
  const end = performance.now() + SOON;
  while (program.memory > program.peakMemory - LEAST && performance.now() < end) await setTimeout(100);
  expect(program.peakMemory - program.memory).toBeGreaterThan(LEAST);
  peers[0]!.send('SEND', { destination: '/topic/rest' }, 'still there');
  for (const peer of peers) expect((await peer.message()).text).toBe('still there');
});

it('serves them where Node keeps its programs from giving memory back', async () => {
  const server = await serveIn({ NODE_OPTIONS: `${PERMISSION} --allow-fs-read=* --allow-fs-write=*` });
  const peers = await arrive(server);
  const end = performance.now() + SOON;
  for (let i = 0; performance.now() < end; i++) {
    peers[i]!.send('SEND', { destination: '/queue/rest', receipt: 'served' });
    await peers[i]!.receipt('served');
    await setTimeout(100);
  }
  await server.program.stop();
  expect(server.program.stderr).not.toContain('ERR_ACCESS_DENIED');
});
