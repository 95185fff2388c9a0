import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Cron } from 'croner';
import fc from 'fast-check';
import { nextTime } from '../../../../libs/broker/src/destination/cron.js';

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

/** A field of numbers, lists, ranges and steps. */
const field = (first: number, last: number, names: readonly string[] = []) => {
  const number = fc.integer({ min: first, max: last });
  const value = number.map((each) => names[each - first] ?? String(each));
  const range = fc.tuple(number, number, fc.option(fc.integer({ min: 1, max: last }))).map(([one, other, step]) => {
    return `${Math.min(one, other)}-${Math.max(one, other)}${step === null ? '' : `/${step}`}`;
  });
  const step = fc.integer({ min: 1, max: last }).map((each) => `*/${each}`);
  const list = fc.array(fc.oneof(value, range, step), { minLength: 1, maxLength: 3 }).map((parts) => parts.join(','));
  return fc.oneof(fc.constantFrom('*', '*', '?'), list);
};
const expression = fc
  .tuple(
    field(0, 59),
    field(0, 23),
    field(1, 31),
    field(1, 12, ['jan', 'FEB', 'Mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']),
    field(0, 6, ['sun', 'MON', 'Tue', 'wed', 'thu', 'fri', 'sat']),
  )
  .map((fields) => fields.join(' '))
  .filter(({ length }) => length <= 100);
const moment = fc.integer({ min: Date.UTC(2020, 0), max: Date.UTC(2110, 0) });

describe('the next time of a cron expression', () => {
  it('is what another implementation makes of it', () => {
    fc.assert(
      fc.property(expression, moment, (text, now) => {
        jest.setSystemTime(now);
        const expected = new Cron(text, { timezone: 'UTC', mode: '5-part' }).nextRun();
        if (expected === null) expect(() => nextTime(text)).toThrow(RangeError);
        else expect(new Date(nextTime(text))).toEqual(expected);
        // It is the same until it has come, also for clocks that are set back.
        for (const later of [now + 90_000, now - 90_000, expected?.getTime() ?? now]) {
          jest.setSystemTime(later);
          const then = new Cron(text, { timezone: 'UTC', mode: '5-part' }).nextRun();
          if (then !== null) expect(new Date(nextTime(text))).toEqual(then);
        }
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    ['0 0 29 2 *', '2096-03-01T00:00:00Z', '2104-02-29T00:00:00Z'],
    ['0 0 * * fri-SUN', '2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'],
    ['0 0 * * 7', '2026-01-01T00:00:00Z', '2026-01-04T00:00:00Z'],
    ['59 23 31 12 *', '2026-12-31T23:59:00Z', '2027-12-31T23:59:00Z'],
  ])('of %s after %s is %s', (text, now, next) => {
    jest.setSystemTime(new Date(now));
    expect(new Date(nextTime(text))).toEqual(new Date(next));
  });

  it.each([
    ...[
      '',
      '* * * *',
      '* * * * * *',
      '60 * * * *',
      '* 24 * * *',
      '* * 0 * *',
      '* * 32 * *',
      '* * * 13 * ',
      '* * * * 8',
    ],
    ...['5-1 * * * *', '*/0 * * * *', '*/60 * * * *', '5/5 * * * *', '1--2 * * * *', ', * * * *', '-1 * * * *'],
    ...[
      '0 0 30 2 *',
      '0 0 31 4,6,9,11 *',
      '0 0 L * *',
      '0 0 1W * *',
      '0 0 * * 1#5',
      '0 0 * * +1',
      '@daily',
      'jan * * * *',
    ],
  ])('is none of %j', (text) => {
    jest.setSystemTime(new Date('2026-01-01T00:00:00Z'));
    expect(() => nextTime(text)).toThrow(RangeError);
  });

  it('takes next to nothing where it was asked for before', () => {
    jest.useRealTimers();
    const rare = (n: number) => `${n % 60} ${Math.floor(n / 60)} 29 2 *`;
    /** That of the quickest of some runs. */
    const cost = (work: (n: number) => unknown) => {
      const times = Array.from({ length: 8 }, () => {
        const start = performance.now();
        for (let n = 0; n < 1_400; n++) work(n);
        return performance.now() - start;
      });
      return Math.min(...times);
    };
    const [first, again] = [cost((n) => nextTime(rare(n))), cost(() => nextTime(rare(0)))];
    expect(again).toBeLessThan(first / 5);
  });
});
