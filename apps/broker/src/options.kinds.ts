import { z } from 'zod';

/*
 * The kinds of values that options have, and how --help explains an option.
 */

/** How `--help` explains an option. */
export interface OptionHelp {
  group:
    | 'Listening'
    | 'Who may connect'
    | 'What they may do'
    | 'Destinations'
    | 'Store'
    | 'TLS'
    | 'Heart-beats'
    | 'Limits'
    | 'Logging'
    | 'Other';
  /** What the flag takes, as commander writes it: `<number>`, or `[yes|no]` where the flag may stand alone. */
  takes: string;
  text: string;
  /** The default in words, where it is not simply the schema's. */
  fallback?: string;
  example: string;
}

/** The help of each field of {@link optionFields}. */
export const optionHelp = z.registry<OptionHelp>();

/** Parts a list that is written as one text: at blanks and commas. */
export function splitList(text: string): string[] {
  return text.split(/[\s,]+/).filter((entry) => entry !== '');
}

export const off = ['false', '0', 'off', 'no', 'n', 'f'];
export const on = ['true', '1', 'on', 'yes', 'y', 't'];

/** The boolean words of Tcl, which the original took, in any case; every other word is left as it is. */
export function readWord(value: unknown): unknown {
  if (typeof value !== 'string' && typeof value !== 'number') {
    return value;
  }
  const word = String(value).toLowerCase();
  return off.includes(word) ? false : on.includes(word) ? true : word;
}

const units: Record<string, number> = { kib: 1024, mib: 1024 ** 2, gib: 1024 ** 3 };

export function readNumber(value: unknown): unknown {
  return typeof value === 'string' && /^\d+(\.\d+)?$/.test(value) ? Number(value) : value;
}

function readSize(value: unknown): unknown {
  const [, count, unit = ''] = (typeof value === 'string' && /^(\d+) ?([kmg]ib)$/i.exec(value)) || [];
  return count === undefined ? readNumber(value) : Number(count) * (units[unit.toLowerCase()] ?? NaN);
}

export function whole(least: number, most: number, note = '') {
  const error = `must be a whole number from ${least} to ${most}${note}`;
  return z.preprocess(readNumber, z.int({ error }).min(least, { error }).max(most, { error }));
}

export function size(least: number, most: number) {
  const error = `must be a number of bytes from ${least} to ${most}, for example 65536, 64KiB or 16MiB`;
  return z.preprocess(readSize, z.int({ error }).min(least, { error }).max(most, { error }));
}

const day = 24 * 60 * 60 * 1000;
export const milliseconds = (least: number, note = '') => whole(least, day, ` (milliseconds${note})`);

const wordsError = `must be one of ${off.join(' ')} or ${on.join(' ')}`;
export const boolean = z.preprocess(readWord, z.boolean({ error: wordsError }));

export const path = z.string({ error: 'must be the name of a file' }).min(1, { error: 'must be the name of a file' });

const listError = 'must be a list: entries parted by blanks or commas, or a YAML list';

export function list<Entry extends z.ZodType>(entry: Entry, error = listError) {
  const entries = z.array(entry, { error }).max(10_000, { error: 'must have 10000 entries at most' });
  return z.preprocess((value) => (typeof value === 'string' ? splitList(value) : value), entries);
}

/** Text that `read` turns into something, or explains by the message of its error why it cannot. */
export function readBy<Read>(read: (text: string) => Read, error: string) {
  return z.string({ error }).transform((text, context): Read => {
    try {
      return read(text);
    } catch (problem) {
      context.addIssue((problem as Error).message);
      return z.NEVER;
    }
  });
}

/** Flags and the environment have no lists of mappings of their own, so there it is JSON. */
export function readJson(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  try {
    return JSON.parse(value) as unknown;
  } catch {
    return value;
  }
}
