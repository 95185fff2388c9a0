/*
 * Reads the log from its beginning, and changes nothing of it. What no checksum vouches for is told of; the rest is
 * handed out. What is not whole at the very end of the newest file was never confirmed, where a write that was cut off
 * explains it.
 */
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { whyShut } from './files.js';
import { readList, type Sizes } from './list.js';
import { FILE_HEAD, headOf, type Log, type LogFile, nameOf } from './log.js';
import { FILL, type Found, HEAD, headAt, Kind, nextRecord, recordAt } from './record.js';

/** Octets that a disk writes as a whole, or not at all. */
const SECTOR = 512;

const NOTHING = Buffer.alloc(0);

/** A part of the log that cannot be used. */
export interface Damage {
  /**
   * list        the list of the files is not what was written
   * missing     the file is not there, and nobody meant to delete it
   * shut        nothing of the file can be read; that may be otherwise another time
   * short       the file ended behind what is there; that is behind its records maybe
   * strange     the file does not begin like one of a store
   * head        the file does not begin as it did, and its records show how it did
   * unreadable  the disk does not give it; it may do so another time
   * torn        a write that was cut off: nothing of it was confirmed
   * group       the records that were written together are there, but not the mark that holds them together
   * record      records that are not what was written
   * senseless   a record that is what was written, and says nothing that is known
   */
  readonly kind:
    | 'list'
    | 'missing'
    | 'shut'
    | 'short'
    | 'strange'
    | 'head'
    | 'unreadable'
    | 'torn'
    | 'group'
    | 'record'
    | 'senseless';
  /** The number of the file. */
  readonly file: number;
  /** Where in the file it begins and ends. */
  readonly from: number;
  readonly to: number;
  /** What stands there; to be used at once. */
  readonly bytes: Buffer;
  /** Why nothing of it can be read, where that is so. */
  readonly why?: string;
}

export interface Reader {
  /**
   * A record of a file, which begins at that place.
   *
   * @throws Error when it makes no sense
   */
  record(found: Found, bytes: Buffer, file: LogFile, at: number): void;
  damage(damage: Damage): void;
  /** So many octets of all have been read. */
  progress(done: number, all: number): void;
}

/** Reads all files. */
export async function readLog(log: Log, reader: Reader): Promise<void> {
  const { fs, directory } = log;
  const files = log.list().map((number) => {
    const path = join(directory, nameOf(number));
    const why = whyShut(fs, path);
    const size = why === undefined ? (fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0) : 0;
    return { number, why, size };
  });
  const newest = files.findLast(({ why }) => why === undefined)?.number;
  const all = files.reduce((sum, { size }) => sum + size, 0);
  const listed = await readListed(
    log,
    files.map(({ number }) => number),
    reader,
  );
  let done = 0;
  for (const { number, why } of files) {
    const least = listed.get(number) ?? 0;
    if (why !== undefined) {
      log.skip(number);
      log.admitShut(number, least);
      reader.damage({ kind: 'shut', file: number, from: 0, to: least, bytes: NOTHING, why });
      continue;
    }
    const { bytes, unreadable } = await log.readers.readFile(number);
    for (const { from, to } of unreadable) {
      reader.damage({ kind: 'unreadable', file: number, from, to, bytes: bytes.subarray(from, to) });
    }
    const short = (size: number) =>
      reader.damage({ kind: 'short', file: number, from: size, to: least, bytes: NOTHING });
    if (bytes.length < least) short(bytes.length);
    // What cannot be read now may be read another time: such a file is not changed.
    const last = number === newest && unreadable.length === 0;
    const file = log.admit(number, bytes);
    if (file !== undefined) {
      log.skip(number);
      const head = bytes.subarray(0, FILE_HEAD);
      if (unreadable[0]?.from !== 0 && !head.equals(headOf(file.salt))) {
        reader.damage({ kind: 'head', file: number, from: 0, to: FILE_HEAD, bytes: head });
      }
      const end = readFile(bytes, file, last ? least : bytes.length, reader);
      file.size = end;
      if (unreadable.length > 0) {
        // What stands behind it may come to be read, or be what was filled beforehand.
        file.size = bytes.length;
        file.certain = Math.max(least, FILE_HEAD);
      }
      if (bytes.length >= least && file.size < least) short(file.size);
    } else if (unreadable.length > 0) log.skip(number);
    else {
      const kind = last && least === 0 && bytes.length <= FILE_HEAD ? 'torn' : 'strange';
      reader.damage({ kind, file: number, from: 0, to: bytes.length, bytes });
    }
    reader.progress((done += bytes.length), all);
  }
}

/** How large each file was at least; those that are gone are told of. */
async function readListed(log: Log, numbers: readonly number[], reader: Reader): Promise<Sizes> {
  const listed = await readList(log.fs, log.directory);
  if (Buffer.isBuffer(listed)) {
    reader.damage({ kind: 'list', file: 0, from: 0, to: listed.length, bytes: listed });
    return new Map();
  }
  const there = new Set(numbers);
  for (const [number, size] of listed) {
    log.skip(number);
    if (!there.has(number)) reader.damage({ kind: 'missing', file: number, from: 0, to: size, bytes: NOTHING });
  }
  return listed;
}

/**
 * Reads the records of a file; returns where it ends.
 *
 * @param certain what begins before that place is no write that was cut off
 */
function readFile(bytes: Buffer, file: LogFile, certain: number, reader: Reader): number {
  const { number, salt } = file;
  const take = (found: Found, from: number) => {
    try {
      reader.record(found, bytes, file, from);
    } catch {
      const to = found.end;
      reader.damage({ kind: 'senseless', file: number, from, to, bytes: bytes.subarray(from, to) });
    }
  };
  let at = FILE_HEAD;
  // Up to there nothing is missing.
  let whole = 0;
  while (at < bytes.length) {
    const found = recordAt(bytes, at, salt);
    if (found !== undefined) {
      if (found.kind === Kind.group) eachRecord(bytes, found, take);
      // Of a group that is damaged.
      else take(found, at);
      at = found.end;
      continue;
    }
    const used = withoutRoom(bytes, at, salt);
    if (used.length === at) return at;
    if (at >= certain && at >= whole && nextGroup(used, at, salt) === used.length) {
      whole = wholeUntil(used, at, salt);
      if (whole === at) {
        reader.damage({ kind: 'torn', file: number, from: at, to: used.length, bytes: used.subarray(at) });
        return at;
      }
    }
    // The head of a damaged group says nothing of what is in it: its records are looked for.
    const to = nextRecord(used, at + 1, salt);
    const kind = bytes[at + 12] === Kind.group && to <= at + HEAD ? 'group' : 'record';
    reader.damage({ kind, file: number, from: at, to, bytes: bytes.subarray(at, to) });
    at = to;
  }
  return bytes.length;
}

/** What there is but for what was filled beforehand, from a place on where no record is whole. */
function withoutRoom(bytes: Buffer, at: number, salt: number): Buffer {
  if (headAt(bytes, at, salt)?.end === bytes.length) return bytes;
  let end = bytes.length;
  while (end > at && bytes[end - 1] === FILL) end--;
  return bytes.subarray(0, end);
}

function nextGroup(bytes: Buffer, from: number, salt: number): number {
  for (let at = nextRecord(bytes, from + 1, salt); at < bytes.length; at = nextRecord(bytes, at + 1, salt)) {
    if (recordAt(bytes, at, salt)?.kind === Kind.group) return at;
  }
  return bytes.length;
}

/**
 * How far a group that does not fit is there as it was written, but for what was changed later; where it begins, when a
 * part of it is missing: then a write that was cut off explains it.
 */
function wholeUntil(bytes: Buffer, at: number, salt: number): number {
  if (at + HEAD > bytes.length) return at;
  const head = headAt(bytes, at, salt);
  const isLong = head !== undefined && head.end > bytes.length;
  // What was cut off is shorter than it says; what is all there says something else than was written.
  if (isLong && !fits(bytes, at, salt)) return at;
  const end = head === undefined || isLong ? bytes.length : head.end;
  return hasGap(bytes, at, end) ? at : end;
}

/** Whether a record is what was written where its length is taken to be what is there. */
function fits(bytes: Buffer, at: number, salt: number): boolean {
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32LE(bytes.length - at - HEAD);
  return crc32(bytes.subarray(at + 12), crc32(length, salt)) === bytes.readUInt32LE(at + 4);
}

/** Whether the disk has not written a sector of what stands there. */
function hasGap(bytes: Buffer, from: number, to: number): boolean {
  for (let at = Math.floor(from / SECTOR) * SECTOR; at < to; at += SECTOR) {
    const part = bytes.subarray(Math.max(from, at), Math.min(at + SECTOR, to));
    // A record may end with some zeros, but does not begin so.
    if (at + SECTOR > to && part.length < HEAD) continue;
    if (EMPTY.subarray(0, part.length).equals(part) || FILLED.subarray(0, part.length).equals(part)) return true;
  }
  return false;
}

const EMPTY = Buffer.alloc(SECTOR);
const FILLED = Buffer.alloc(SECTOR, FILL);

/** The records of a group that is whole. */
function eachRecord(bytes: Buffer, group: Found, tell: (record: Found, at: number) => void): void {
  let at = group.start;
  while (at < group.end) {
    const end = at + HEAD + bytes.readUInt32LE(at + 8);
    tell({ kind: bytes[at + 12]!, start: at + HEAD, end }, at);
    at = end;
  }
}

/** What is to be told of a damage, in a line. */
export function describeDamage({ kind, file, from, to, bytes, why }: Damage): string {
  const name = nameOf(file);
  switch (kind) {
    case 'list':
      return 'files: the list of the files of the log is damaged: one that is missing is not noticed';
    case 'missing':
      return `${name} is missing, ${to} octets at least: what stood only there is lost`;
    case 'shut':
      return `${name} ${why}: it is left there, and the rest goes on without it until it can be read`;
    case 'short':
      return `${name} is shorter than it was, ${from} octets and not ${to}: what stood behind them is lost`;
    case 'strange':
      return `${name} is no file of a store, ${bytes.length} octets`;
    case 'head':
      return `${name}: the head of the file is damaged, its records are not`;
    case 'unreadable':
      return `${name}: ${to - from} octets from ${from} to ${to} cannot be read, and are left there`;
    case 'torn':
      return `${name} ends with a write that was cut off, ${to - from} octets from ${from}: nothing of it was confirmed`;
    case 'group':
      return `${name}: the group of records at ${from} is damaged, what is in it is not`;
    case 'record':
      return `${name} is damaged from ${from} to ${to}${nameDamaged(bytes)}`;
    case 'senseless':
      return `${name}: this version can make nothing of the record at ${from}`;
  }
}

/** Where a damaged message was going, as far as that can be read. */
function nameDamaged(bytes: Buffer): string {
  // Behind a message's destination its headers begin, mostly with that once more.
  const found = /\/(?:queue|topic|exchange)\/[\x21-\x7e]{1,100}?(?=destination:|[^\x21-\x7e]|$)/g;
  const names = new Set(bytes.toString('latin1').match(found) ?? []);
  return names.size === 0 ? '' : `: messages of ${[...names].slice(0, 5).join(', ')}`;
}
