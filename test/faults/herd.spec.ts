import { expect, it, jest } from '@jest/globals';
import { start } from '../support/programs.js';

jest.setTimeout(300_000);

/** `npm run herd` is the same with 10,000. */
const CONNECTIONS = Number(process.env.HERD ?? 1_000);

it('a herd of connections subscribes, comes back after a cut of all of them, misses nothing then, and leaves nothing', async () => {
  const herd = start('herd', '--connections', String(CONNECTIONS));
  const { code } = await herd.exited;
  expect({ code, said: herd.stderr }).toEqual({ code: 0, said: '' });
  const run = JSON.parse(herd.stdout.join('')) as object;
  expect(run).toMatchObject({ held: CONNECTIONS, complete: true, returned: true, missed: 0 });
});
