import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { type RawPeer } from '../../../support/raw.js';
import { join, makeBroker, standstill } from '../../../support/broker.js';

const START = Date.UTC(2026, 0, 1, 12, 0, 30);

beforeEach(() => {
  // What waits for its time waits for this clock; what goes on inside the process does not.
  jest.useFakeTimers({
    now: START,
    doNotFake: ['nextTick', 'setImmediate', 'clearImmediate', 'queueMicrotask', 'hrtime'],
  });
});
afterEach(() => {
  jest.useRealTimers();
});

const count = (peer: RawPeer) => peer.received.toString().split('MESSAGE\n').length - 1;

/** The bodies that have come once that many milliseconds have gone by. */
async function after(milliseconds: number, peer: RawPeer): Promise<string[]> {
  jest.advanceTimersByTime(milliseconds);
  await standstill(() => count(peer));
  const bodies: string[] = [];
  while (bodies.length + taken.get(peer)! < count(peer)) bodies.push((await peer.message()).text);
  taken.set(peer, taken.get(peer)! + bodies.length);
  return bodies;
}
const taken = new WeakMap<RawPeer, number>();

async function listen(destination: string): Promise<RawPeer> {
  const peer = await join(await makeBroker());
  taken.set(peer, 0);
  await peer.subscribe(destination);
  return peer;
}

describe.each(['/queue/a', '/topic/a'])('a message to %s', (destination) => {
  it.each([
    ['AMQ_SCHEDULED_DELAY', '5000'],
    ['x-delay', '5000'],
    ['AMQ_SCHEDULED_TIME', String(START + 5_000)],
  ])('waits for what %s says, and is receipted before', async (name, value) => {
    const peer = await listen(destination);
    await peer.receipted('SEND', { destination, [name]: value }, 'late');
    expect(await after(4_999, peer)).toEqual([]);
    expect(await after(1, peer)).toEqual(['late']);
    expect(await after(60_000, peer)).toEqual([]);
  });

  it('comes again at its period, as often as it says, each time with an id of its own', async () => {
    const peer = await listen(destination);
    const headers = { AMQ_SCHEDULED_DELAY: '1000', AMQ_SCHEDULED_PERIOD: '200', AMQ_SCHEDULED_REPEAT: '2' };
    await peer.receipted('SEND', { destination, ...headers }, 'again');
    expect(await after(1_000, peer)).toEqual(['again']);
    expect(await after(200, peer)).toEqual(['again']);
    expect(await after(200, peer)).toEqual(['again']);
    expect(await after(10_000, peer)).toEqual([]);
    const ids = [...peer.received.toString().matchAll(/^message-id:(.*)$/gm)].map((match) => match[1]);
    expect(new Set(ids).size).toBe(3);
    expect(peer.received.toString()).not.toContain('AMQ_SCHEDULED');
  });

  it('comes again without end when it asks for -1 repetitions, until it expires if it does', async () => {
    const peer = await listen(destination);
    const headers = { AMQ_SCHEDULED_PERIOD: '1000', AMQ_SCHEDULED_REPEAT: '-1' };
    await peer.receipted('SEND', { destination, ...headers }, 'ever');
    await peer.receipted('SEND', { destination, ...headers, expires: String(START + 2_500) }, 'till then');
    expect(await after(0, peer)).toEqual(['ever', 'till then']);
    expect(await after(1_000, peer)).toEqual(['ever', 'till then']);
    expect(await after(1_000, peer)).toEqual(['ever', 'till then']);
    for (let more = 0; more < 5; more++) expect(await after(1_000, peer)).toEqual(['ever']);
  });

  it('comes whenever its cron expression says, in UTC', async () => {
    const peer = await listen(destination);
    await peer.receipted('SEND', { destination, AMQ_SCHEDULED_CRON: '*/5 * * * *' }, 'five');
    expect(await after(4 * 60_000 + 29_999, peer)).toEqual([]);
    expect(await after(1, peer)).toEqual(['five']);
    expect(await after(5 * 60_000, peer)).toEqual(['five']);
    expect(await after(5 * 60_000, peer)).toEqual(['five']);
  });

  it.each([
    ['5-15/5 12 1 jan *', [1_770_000 - 1_500_000]],
    ['30 12 * * THU', [1_770_000]],
    ['0,30 12,13 ? * ?', [1_770_000, 1_800_000, 1_800_000]],
  ])('comes at %s', async (expression, times) => {
    const peer = await listen(destination);
    await peer.receipted('SEND', { destination, AMQ_SCHEDULED_CRON: expression }, 'now');
    for (const time of times) {
      expect(await after(time - 1, peer)).toEqual([]);
      expect(await after(1, peer)).toEqual(['now']);
    }
  });
});

describe('when the clock is set', () => {
  const HOURS = 5 * 3_600_000;
  const set = (ms: number) => jest.setSystemTime(Date.now() + ms);

  it('back, a delay takes no longer, nor does a period; a moment is waited for', async () => {
    const destination = '/queue/a';
    const peer = await listen(destination);
    await peer.receipted('SEND', { destination, AMQ_SCHEDULED_TIME: String(START + 10_000) }, 'at its moment');
    await peer.receipted('SEND', { destination, AMQ_SCHEDULED_CRON: '1 12 * * *' }, 'when cron says');
    const period = { AMQ_SCHEDULED_PERIOD: '40000', AMQ_SCHEDULED_REPEAT: '1' };
    await peer.receipted('SEND', { destination, 'x-delay': '20000', ...period }, 'again');
    await peer.receipted('SEND', { destination, 'x-delay': '30000' }, 'later');
    expect(await after(5_000, peer)).toEqual([]);
    set(-HOURS);
    await peer.receipted('SEND', { destination, 'x-delay': '5000' }, 'soon');
    expect(await after(5_000, peer)).toEqual(['soon']);
    expect(await after(10_000, peer)).toEqual(['again']);
    set(-HOURS);
    expect(await after(10_000, peer)).toEqual(['later']);
    expect(await after(30_000, peer)).toEqual(['again']);
    set(2 * HOURS);
    expect(await after(60_000, peer)).toEqual(['at its moment', 'when cron says']);
  });

  it('forward, what is due by then comes within a minute, once', async () => {
    const destination = '/topic/a';
    const peer = await listen(destination);
    await peer.receipted('SEND', { destination, AMQ_SCHEDULED_TIME: String(START + HOURS) }, 'at its moment');
    await peer.receipted('SEND', { destination, AMQ_SCHEDULED_CRON: '0 13 * * *' }, 'when cron says');
    await peer.receipted('SEND', { destination, 'x-delay': String(HOURS) }, 'later');
    expect(await after(1_000, peer)).toEqual([]);
    set(HOURS);
    expect(await after(60_000, peer)).toEqual(['at its moment', 'later', 'when cron says']);
    expect(await after(60_000, peer)).toEqual([]);
  });
});

it('in a transaction the time counts from its COMMIT, and an ABORT forgets it', async () => {
  const peer = await listen('/queue/a');
  for (const [transaction, end] of [
    ['one', 'COMMIT'],
    ['two', 'ABORT'],
  ] as const) {
    peer.send('BEGIN', { transaction });
    peer.send('SEND', { destination: '/queue/a', 'x-delay': '1000', transaction }, transaction);
    await peer.receipted(end, { transaction });
  }
  expect(await after(1_000, peer)).toEqual(['one']);
});

it.each([
  ['a delay that is no number', { AMQ_SCHEDULED_DELAY: 'soon' }],
  ['a repetition without a period', { AMQ_SCHEDULED_REPEAT: '3' }],
  ['a repetition without end and without a period', { AMQ_SCHEDULED_REPEAT: '-1' }],
  [
    'a repetition without end beside a cron expression',
    { AMQ_SCHEDULED_REPEAT: '-1', AMQ_SCHEDULED_PERIOD: '1000', AMQ_SCHEDULED_CRON: '* * * * *' },
  ],
  ['a moment in more than ten years', { AMQ_SCHEDULED_TIME: String(START + 11 * 365 * 86_400_000) }],
  ['a cron expression that is none', { AMQ_SCHEDULED_CRON: 'every day' }],
  ['a cron expression that is long', { AMQ_SCHEDULED_CRON: `${'0,'.repeat(60)}0 * * * *` }],
  ['a cron expression with the last day of a month', { AMQ_SCHEDULED_CRON: '0 0 L * *' }],
  ['a cron expression that names no time to come', { AMQ_SCHEDULED_CRON: '0 0 30 2 *' }],
])('%s is refused', async (_what, headers) => {
  const peer = await join(await makeBroker());
  peer.send('SEND', { destination: '/queue/a', ...headers }, 'x');
  expect((await peer.refused()).header('message')).toBe('invalid header');
});
