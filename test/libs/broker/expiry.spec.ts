import { afterEach, beforeEach, expect, it, jest } from '@jest/globals';
import { type Admission } from 'nestjs-stomp-broker';
import { join, makeBroker } from '../../support/broker.js';
import { type RawPeer } from '../../support/raw.js';

const HOUR = 3_600_000;

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'clearImmediate', 'queueMicrotask', 'performance'] });
});
afterEach(() => {
  jest.useRealTimers();
});

/** A client whose credentials expire in two hours. */
async function enter(): Promise<RawPeer> {
  const moment = Date.now() + 2 * HOUR;
  const admission: Admission = {
    connect: () => Promise.resolve(),
    use: () => Promise.resolve(),
    expiry: () => moment,
  };
  return join(await makeBroker({ admission }));
}

const stays = (peer: RawPeer) => peer.receipted('SEND', { destination: '/queue/a' }, 'still here');

it('a session lasts as long as its credentials, and no longer', async () => {
  const peer = await enter();
  jest.advanceTimersByTime(2 * HOUR - 1);
  await stays(peer);
  jest.advanceTimersByTime(1);
  expect((await peer.refused()).header('message')).toBe('session expired');
});

it('a clock that is set forward ends it within a minute, where it has expired by that', async () => {
  const peer = await enter();
  jest.setSystemTime(Date.now() + HOUR);
  jest.advanceTimersByTime(60_000);
  await stays(peer);
  jest.setSystemTime(Date.now() + HOUR);
  jest.advanceTimersByTime(60_000);
  expect((await peer.refused()).header('message')).toBe('session expired');
});

it('a clock that is set back lets it last until the clock says so', async () => {
  const peer = await enter();
  jest.setSystemTime(Date.now() - 5 * HOUR);
  jest.advanceTimersByTime(2 * HOUR);
  await stays(peer);
  jest.advanceTimersByTime(5 * HOUR);
  expect((await peer.refused()).header('message')).toBe('session expired');
});
