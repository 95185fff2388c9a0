/*
 * Reads the log from its beginning. What no checksum vouches for is set aside in `damaged`, and told of; the rest is
 * used. A group at the very end that is not whole was never confirmed: the write was cut off.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import { FILE_HEAD, type Log, type LogFile, nameOf } from './log.js';
import { type Found, HEAD, Kind, nextRecord, recordAt } from './record.js';

export interface Reader {
  /** A record of a file, which begins at that place. */
  record(found: Found, bytes: Buffer, file: LogFile, at: number): void;
  /** What is to be told about the state of the log. */
  report(line: string): void;
}

/** Reads all files. */
export async function readLog(log: Log, reader: Reader, progress: (done: number, all: number) => void): Promise<void> {
  const numbers = log.list();
  const sizes = numbers.map((number) => fs.statSync(join(log.directory, nameOf(number))).size);
  const all = sizes.reduce((sum, size) => sum + size, 0);
  let done = 0;
  for (const [index, number] of numbers.entries()) {
    const last = index === numbers.length - 1;
    const path = join(log.directory, nameOf(number));
    const bytes = await fs.promises.readFile(path);
    const file = log.admit(number, bytes);
    if (file === undefined) {
      if (!last || bytes.length > FILE_HEAD) {
        setAside(log.directory, nameOf(number), bytes);
        reader.report(`${nameOf(number)} is no file of a store: set aside in damaged/, ${bytes.length} octets`);
      }
      fs.rmSync(path);
      continue;
    }
    file.size = readFile(bytes, file, last, reader, log.directory);
    if (file.size < bytes.length) fs.truncateSync(path, file.size);
    progress((done += bytes.length), all);
  }
}

/** Reads the records of a file; returns where it ends. */
function readFile(bytes: Buffer, file: LogFile, last: boolean, reader: Reader, directory: string): number {
  let at = FILE_HEAD;
  while (at < bytes.length) {
    const found = recordAt(bytes, at, file.salt);
    if (found?.kind === Kind.group) {
      eachRecord(bytes, found, (record, from) => reader.record(record, bytes, file, from));
      at = found.end;
      continue;
    }
    if (found !== undefined) {
      // Of a group that is damaged.
      reader.record(found, bytes, file, at);
      at = found.end;
      continue;
    }
    const group = nextGroup(bytes, at, file.salt);
    if (last && group === bytes.length) {
      const whole = at + HEAD <= bytes.length && at + HEAD + bytes.readUInt32LE(at + 8) <= bytes.length;
      if (whole) setAside(directory, `${nameOf(file.number)}-${at}`, bytes.subarray(at));
      reader.report(
        `${nameOf(file.number)} ends with a write that was cut off, ${bytes.length - at} octets from ${at}: nothing of it was confirmed${whole ? '; set aside in damaged/' : ''}`,
      );
      return at;
    }
    // The head of a damaged group says nothing of what is in it: its records are looked for.
    const next = nextRecord(bytes, at + 1, file.salt);
    if (bytes[at + 12] !== Kind.group || next > at + HEAD) {
      setAside(directory, `${nameOf(file.number)}-${at}`, bytes.subarray(at, next));
      reader.report(
        `${nameOf(file.number)} is damaged from ${at} to ${next}: ${nameDamaged(bytes.subarray(at, next))}set aside in damaged/`,
      );
    } else reader.report(`${nameOf(file.number)}: the group of records at ${at} is damaged`);
    at = next;
  }
  return bytes.length;
}

function nextGroup(bytes: Buffer, from: number, salt: number): number {
  for (let at = nextRecord(bytes, from + 1, salt); at < bytes.length; at = nextRecord(bytes, at + 1, salt)) {
    if (recordAt(bytes, at, salt)?.kind === Kind.group) return at;
  }
  return bytes.length;
}

/** The records of a group that is whole. */
export function eachRecord(bytes: Buffer, group: Found, tell: (record: Found, at: number) => void): void {
  let at = group.start;
  while (at < group.end) {
    const end = at + HEAD + bytes.readUInt32LE(at + 8);
    tell({ kind: bytes[at + 12]!, start: at + HEAD, end }, at);
    at = end;
  }
}

/** Where a damaged message was going, as far as that can be read. */
function nameDamaged(bytes: Buffer): string {
  const names = new Set(bytes.toString('latin1').match(/\/(?:queue|topic|exchange)\/[\x21-\x7e]{1,100}/g) ?? []);
  return names.size === 0 ? '' : `messages of ${[...names].slice(0, 5).join(', ')}, `;
}

/** Keeps bytes that are not to be served. */
export function setAside(directory: string, name: string, bytes: Buffer): void {
  try {
    fs.mkdirSync(join(directory, 'damaged'), { recursive: true });
    fs.writeFileSync(join(directory, 'damaged', name), bytes);
  } catch {
    // A full disk: they are still where they were, or worth nothing.
  }
}
