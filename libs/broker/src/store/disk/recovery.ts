/*
 * Reads the log from its beginning. What no checksum vouches for is set aside in `damaged`, and told of; the rest is
 * used. A group at the very end that is not whole was never confirmed: the write was cut off.
 */
import { join } from 'node:path';
import { cutFile, makeDirectory, putFile, readWhole } from './files.js';
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
  const { fs, directory } = log;
  const numbers = log.list();
  const pathOf = (number: number) => join(directory, nameOf(number));
  const sizes = numbers.map((number) => fs.statSync(pathOf(number), { throwIfNoEntry: false })?.size ?? 0);
  const all = sizes.reduce((sum, size) => sum + size, 0);
  let done = 0;
  // One after the other is read into the same memory.
  let room: Buffer | undefined;
  for (const [index, number] of numbers.entries()) {
    const path = pathOf(number);
    const { bytes, unreadable } = await readWhole(fs, path, room);
    if (room === undefined || bytes.length > room.length) room = bytes;
    if (unreadable > 0) reader.report(`${nameOf(number)}: ${unreadable} octets cannot be read, and are left there`);
    // What cannot be read now may be read another time: such a file is not changed.
    const last = index === numbers.length - 1 && unreadable === 0;
    const file = log.admit(number, bytes);
    if (file === undefined) {
      if (unreadable > 0) continue;
      if (!last || bytes.length > FILE_HEAD) {
        const kept = setAside(log, nameOf(number), bytes);
        reader.report(`${nameOf(number)} is no file of a store: ${kept}, ${bytes.length} octets`);
        if (kept === STAYS) continue;
      }
      fs.rmSync(path, { force: true });
      continue;
    }
    file.size = readFile(bytes, file, last, reader, log);
    if (file.size < bytes.length) cutFile(fs, path, file.size);
    progress((done += bytes.length), all);
  }
}

/** Reads the records of a file; returns where it ends. */
function readFile(bytes: Buffer, file: LogFile, last: boolean, reader: Reader, log: Log): number {
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
      const kept = whole ? `; ${setAside(log, `${nameOf(file.number)}-${at}`, bytes.subarray(at))}` : '';
      reader.report(
        `${nameOf(file.number)} ends with a write that was cut off, ${bytes.length - at} octets from ${at}: nothing of it was confirmed${kept}`,
      );
      return at;
    }
    // The head of a damaged group says nothing of what is in it: its records are looked for.
    const next = nextRecord(bytes, at + 1, file.salt);
    if (bytes[at + 12] !== Kind.group || next > at + HEAD) {
      const kept = setAside(log, `${nameOf(file.number)}-${at}`, bytes.subarray(at, next));
      reader.report(
        `${nameOf(file.number)} is damaged from ${at} to ${next}: ${nameDamaged(bytes.subarray(at, next))}${kept}`,
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

const STAYS = 'it stays where it is, there is no room to set it aside';

/** Keeps bytes that are not to be served; tells what became of them. */
export function setAside({ fs, directory }: Pick<Log, 'fs' | 'directory'>, name: string, bytes: Buffer): string {
  try {
    makeDirectory(fs, join(directory, 'damaged'));
    putFile(fs, join(directory, 'damaged', name), bytes);
    return `set aside in damaged/${name}`;
  } catch {
    return STAYS;
  }
}
