/*
 * What becomes of damage when a store is opened: it is set aside in `damaged`, never thrown away, and told of.
 */
import { join } from 'node:path';
import type { Contents, Waiting } from './contents.js';
import { cutFile, makeDirectory, PRIVATE_DIRECTORY, putFile, writeAll } from './files.js';
import { headOf, type Log, nameOf } from './log.js';
import { HEAD } from './record.js';
import { type Damage, describeDamage } from './recovery.js';
import { FULL } from './unavailable.js';
import { type Stored, Window } from './window.js';

/** Where it is kept what is not served. */
export const DAMAGED = 'damaged';
/** Records are set aside so many octets at a time. */
const PIECE = 1024 * 1024;
/** Damage that stays in the log until the file is cleaned. */
const LASTING: readonly Damage['kind'][] = ['group', 'record', 'senseless'];
/** So many destinations of messages are told of. */
const NAMES = 5;

/** What has become of something. */
export interface Mended {
  /** What is to be told of it. */
  readonly text: string;
  /** The file that it stands in has to stay. */
  readonly stays: boolean;
  /** It was set aside before, and told of then: it is there until its file is cleaned. */
  readonly known?: boolean;
}

/** Takes damage out of the way. */
export function mend(log: Log, damage: Damage): Mended {
  const { kind, file, from, to, bytes } = damage;
  const path = join(log.directory, nameOf(file));
  const text = describeDamage(damage);
  const keep = (name: string): Mended => {
    const { text: kept, stays } = setAside(log, name, [bytes]);
    return { text: `${text}; ${kept}`, stays };
  };
  const leave = () => (isAside(log, damage) ? { text, stays: false, known: true } : keep(placeOf(damage)));
  switch (kind) {
    // It is written again when all has been read.
    case 'list':
      return { text: keep('files').text, stays: false };
    case 'missing':
    case 'short':
      return { text, stays: false };
    case 'head':
      return { text: `${text}; ${putHead(log, file)}`, stays: false };
    case 'shut':
    case 'unreadable':
      return { text, stays: true };
    case 'group':
      return { ...leave(), stays: false };
    case 'torn': {
      if (from === 0) {
        log.fs.rmSync(path, { force: true });
        return { text, stays: false };
      }
      // Where all of it seems to be there, a look at it may be worth while.
      const whole = to - from >= HEAD && HEAD + bytes.readUInt32LE(8) <= to - from;
      const mended = whole ? keep(placeOf(damage)) : { text, stays: false };
      cutFile(log.fs, path, from);
      return mended;
    }
    case 'strange': {
      const mended = keep(nameOf(file));
      if (mended.stays) log.skip(file);
      else log.fs.rmSync(path, { force: true });
      return mended;
    }
    case 'record':
    case 'senseless':
      return leave();
  }
}

/** Whether damage that stays in the log was set aside before: it is the same as long as that is what stands there. */
export function isAside({ fs, directory }: Pick<Log, 'fs' | 'directory'>, damage: Damage): boolean {
  if (!LASTING.includes(damage.kind)) return false;
  const path = join(directory, DAMAGED, placeOf(damage));
  try {
    if (fs.statSync(path, { throwIfNoEntry: false })?.size !== damage.bytes.length) return false;
    const fd = fs.openSync(path, 'r');
    try {
      const bytes = Buffer.allocUnsafe(damage.bytes.length);
      return fs.readSync(fd, bytes, 0, bytes.length, 0) === bytes.length && bytes.equals(damage.bytes);
    } finally {
      fs.closeSync(fd);
    }
  } catch {
    // It is set aside once more.
    return false;
  }
}

const placeOf = ({ file, from }: Damage) => `${nameOf(file)}-${from}`;

/** Writes the head of a file as it was; tells what became of it. */
function putHead({ fs, directory, files }: Log, file: number): string {
  try {
    const fd = fs.openSync(join(directory, nameOf(file)), 'r+');
    try {
      writeAll(fs, fd, headOf(files.get(file)!.salt), 0);
      fs.fdatasyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    return 'it is put right';
  } catch (error) {
    return `it stays as it is: ${(error as Error).message}`;
  }
}

/**
 * Finds a place for messages that belong to no queue that is known any more: those that were all sent to one queue go
 * back into it, others are taken out of the way. Those that cannot be set aside stay in the log.
 *
 * @param gone told the number of each that is set aside
 * @param adopt gives messages back to a queue, by its key; tells what became of them
 * @returns what is to be told of it
 */
export function mendOrphans(
  log: Log,
  contents: Contents,
  gone: (seq: number) => void,
  adopt: (queue: number, key: string, waiting: readonly Waiting[]) => string,
): string[] {
  const window = new Window(log);
  const taken = new Set<string>();
  const lines: string[] = [];
  for (const [queue, waiting] of contents.orphans()) {
    const destinations = destinationsOf(window, contents, waiting);
    const told = describeOrphans(waiting.length, destinations);
    const [destination] = destinations;
    const key = destinations.size === 1 ? contents.keyOf(destination!) : undefined;
    if (key !== undefined && !taken.has(key)) {
      taken.add(key);
      lines.push(`${told}; ${adopt(queue, key, waiting)}`);
      continue;
    }
    const moved: number[] = [];
    const { text, stays } = setAside(log, `queue-${queue}`, recordsOf(readable(window, contents, waiting), moved));
    if (!stays) for (const seq of moved) gone(seq);
    lines.push(`${told}; ${text}`);
  }
  return lines;
}

/** Where messages were sent to: the first few destinations, one more than are told of at most. */
export function destinationsOf(window: Window, contents: Contents, waiting: readonly Waiting[]): ReadonlySet<string> {
  const destinations = new Set<string>();
  for (const { message } of readable(window, contents, waiting)) {
    if (destinations.add(message.destination).size > NAMES) break;
  }
  return destinations;
}

/** Records one after the other; the numbers of those that were handed out are added to a list. */
function* recordsOf(stored: Iterable<Stored & { readonly seq: number }>, seqs: number[]): Generator<Buffer> {
  let records: Buffer[] = [];
  let octets = 0;
  for (const { seq, record } of stored) {
    seqs.push(seq);
    records.push(Buffer.from(record));
    if ((octets += record.length) < PIECE) continue;
    yield Buffer.concat(records);
    records = [];
    octets = 0;
  }
  yield Buffer.concat(records);
}

/** Those that can be read; the others are counted with those that are told of. */
function* readable(
  window: Window,
  { catalog }: Contents,
  waiting: readonly Waiting[],
): Generator<Stored & { readonly seq: number }> {
  for (const { seq } of waiting) {
    let stored: Stored;
    try {
      stored = window.message(seq, catalog);
    } catch {
      continue;
    }
    yield { seq, ...stored };
  }
}

/** What is to be told of messages that belong to no queue. */
export function describeOrphans(count: number, destinations: ReadonlySet<string>): string {
  const names = [...destinations].slice(0, NAMES).join(', ');
  return `${count} messages${names === '' ? '' : ` to ${names}`} belong to no queue that is known any more`;
}

/** Keeps bytes that are not to be served, a piece at a time; tells what became of them. */
export function setAside(
  { fs, directory }: Pick<Log, 'fs' | 'directory'>,
  name: string,
  pieces: Iterable<Buffer>,
): Mended {
  try {
    makeDirectory(fs, join(directory, DAMAGED), PRIVATE_DIRECTORY);
    putFile(fs, join(directory, DAMAGED, name), pieces);
    return { text: `set aside in ${DAMAGED}/${name}`, stays: false };
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    const why = FULL.test(code) ? 'there is no room to set it aside' : `it cannot be set aside (${message})`;
    return { text: `it stays where it is, ${why}`, stays: true };
  }
}
