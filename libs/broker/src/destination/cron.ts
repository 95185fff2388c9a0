/*
 * Cron expressions: minute, hour, day of the month, month and day of the week, in UTC. Each is a list of numbers, ranges and
 * steps, or `*` (or `?`) for all; months and days of the week have names, too. Where a day of the month and one of the week
 * are named, either counts.
 */

/** The longest expression, in characters. */
const MAX_LENGTH = 100;
/** How many expressions are remembered. */
const MOST = 1_000;

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** No day is further away than a 29th of February, before which a leap year may have been left out. */
const FURTHEST = 8 * 366 * DAY;

/** A part of a list: `*`, `1`, `1-5`, and steps of the first and the last. */
const PART = /^(?:[*?]|(?<from>\w+)(?:-(?<to>\w+))?)(?:\/(?<step>\d+))?$/;
const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const WEEKDAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

interface Cron {
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  readonly months: readonly number[];
  /** Whether a day counts. */
  readonly day: (ofMonth: number, ofWeek: number) => boolean;
}

/** The next moment that was found for an expression, and when: it is the next one until it has come. */
interface Found {
  readonly since: number;
  readonly next: number;
}

const known = new Map<string, Found>();

/**
 * The next moment that an expression names, in ms since 1970.
 *
 * @throws RangeError when it is no such expression, or names no time to come
 */
export function nextTime(expression: string): number {
  const since = Date.now();
  const found = known.get(expression);
  if (found !== undefined && found.since <= since && since < found.next) return found.next;
  if (expression.length > MAX_LENGTH) throw new RangeError('too long');
  const next = search(read(expression), since);
  if (known.size >= MOST) known.clear();
  // A copy: a part of a frame's headers would keep all of them.
  known.set(Buffer.from(expression).toString(), { since, next });
  return next;
}

function search({ minutes, hours, months, day }: Cron, since: number): number {
  const first = since - (since % MINUTE) + MINUTE;
  for (let at = first - (first % DAY); at <= first + FURTHEST;) {
    const date = new Date(at);
    if (!months.includes(date.getUTCMonth() + 1)) {
      at = Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1);
      continue;
    }
    if (day(date.getUTCDate(), date.getUTCDay())) {
      for (const hour of hours) {
        const begin = at + hour * HOUR;
        const minute = minutes.find((each) => begin + each * MINUTE >= first);
        if (minute !== undefined) return begin + minute * MINUTE;
      }
    }
    at += DAY;
  }
  throw new RangeError('never');
}

function read(expression: string): Cron {
  const fields = expression.trim().split(/[ \t]+/);
  if (fields.length !== 5) throw new RangeError('not five fields');
  const [minute, hour, day, month, weekday] = fields as [string, string, string, string, string];
  const days = readField(day, 1, 31);
  // A range may end with Sunday, which is 7 then.
  const weekdays = readField(weekday.replace(/-sun\b/gi, '-7'), 0, 7, WEEKDAYS).map((each) => each % 7);
  const [anyDay, anyWeekday] = [isAll(day), isAll(weekday)];
  return {
    minutes: readField(minute, 0, 59),
    hours: readField(hour, 0, 23),
    months: readField(month, 1, 12, MONTHS),
    day: (ofMonth, ofWeek) => {
      if (anyDay || anyWeekday) return (anyDay || days.includes(ofMonth)) && (anyWeekday || weekdays.includes(ofWeek));
      return days.includes(ofMonth) || weekdays.includes(ofWeek);
    },
  };
}

const isAll = (field: string) => field === '*' || field === '?';

/** What a field names, in its order. */
function readField(field: string, first: number, last: number, names: readonly string[] = []): number[] {
  const named = new Set<number>();
  for (const part of field.split(',')) {
    const { from, to, step } = PART.exec(part)?.groups ?? fail(part);
    const low = from === undefined ? first : readNumber(from, first, last, names);
    const high = to !== undefined ? readNumber(to, first, last, names) : from !== undefined ? low : last;
    const by = step === undefined ? 1 : Number(step);
    const single = from !== undefined && to === undefined;
    if (low > high || by < 1 || by > last || (single && step !== undefined)) fail(part);
    for (let each = low; each <= high; each += by) named.add(each);
  }
  return [...named].sort((one, other) => one - other);
}

function readNumber(text: string, first: number, last: number, names: readonly string[]): number {
  const place = names.indexOf(text.toLowerCase());
  const number = place >= 0 ? first + place : /^\d{1,2}$/.test(text) ? Number(text) : NaN;
  return number >= first && number <= last ? number : fail(text);
}

function fail(part: string): never {
  throw new RangeError(`not understood: ${part}`);
}
