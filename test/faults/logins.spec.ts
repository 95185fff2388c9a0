import { expect, it, jest } from '@jest/globals';
import { start } from '../support/programs.js';

jest.setTimeout(300_000);

/** Of heart-beats; a client gives up after one and a half of it. */
const INTERVAL = 1_000;

it('a herd of users that log in at once, each with a bcrypt hash of its own, delays no heart-beats', async () => {
  const logins = start('logins', '--clients', '6', '--cost', '14');
  const { code } = await logins.exited;
  expect({ code, said: logins.stderr }).toEqual({ code: 0, said: '' });
  const { gap, took } = JSON.parse(logins.stdout.join('')) as { gap: number; took: number };
  // One comparison takes as long as a beat may: none of them is made where the beats come from.
  expect(took).toBeGreaterThan(INTERVAL * 1.5 * 2);
  expect(gap).toBeGreaterThan(0);
  expect(gap).toBeLessThan(INTERVAL * 1.5);
});
