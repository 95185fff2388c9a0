import { later } from '../../destination/slice.js';
import type { Catalog } from './catalog.js';
import { FILE_HEAD, type Log, type LogFile } from './log.js';
import { type Found, headAt, Kind, nextRecord, recordAt } from './record.js';

/** So many records, or octets of them, are looked at in a turn of the event loop: a few ms. */
const RECORDS = 2048;
const OCTETS = 1024 * 1024;

/** A record that still counts. */
export interface Living {
  /** Its number in the catalog; 0 for one that has no place there. */
  readonly seq: number;
  /** Where it begins and ends. */
  readonly from: number;
  readonly to: number;
  /** The file with which it may cease to count; 0 where none is known. */
  readonly with: number;
}

/** What a log knows of itself. */
export interface Known {
  readonly log: Log;
  readonly catalog: Catalog;
  readonly counts: ReadonlyMap<number, number>;
}

/**
 * What of a file still counts, a slice at a time: it has to be copied before the file goes. Others have their turn
 * between two slices.
 *
 * @param leftover the lowest number of a file that is still there though what it held was copied: what is gone since may
 *   have been removed from the copy's file, and stands there as well
 */
export async function* findLiving(
  bytes: Buffer,
  file: LogFile,
  { log, catalog, counts }: Known,
  leftover: number,
): AsyncGenerator<readonly Living[], void, void> {
  const { number, salt, size } = file;
  // In the oldest file nothing is buried that stands elsewhere.
  const oldest = Math.min(...log.files.keys()) === number;
  const look = ({ kind, start, end: to }: Found, from: number): Living | undefined => {
    const seq = bytes.readDoubleLE(start);
    const where = catalog.get(seq);
    switch (kind) {
      case Kind.push:
      case Kind.keep:
        return where?.file === number && where.offset === from ? { seq, from, to, with: number } : undefined;
      case Kind.count:
        return where !== undefined && counts.get(seq) === bytes.readUInt32LE(start + 8)
          ? { seq: 0, from, to, with: where.file }
          : undefined;
      case Kind.drop:
        return oldest ? undefined : { seq: 0, from, to, with: 0 };
      case Kind.remove: {
        const buried = bytes.readUInt32LE(start + 8);
        if (oldest) return undefined;
        // What is buried in the same file goes with it.
        if (buried !== number && log.files.has(buried)) return { seq: 0, from, to, with: buried };
        return leftover < number ? { seq: 0, from, to, with: leftover } : undefined;
      }
      default:
        return undefined;
    }
  };
  let records: Living[] = [];
  let looked = 0;
  let begun = FILE_HEAD;
  // Up to there the checksum of a group vouches for what is in it.
  let whole = 0;
  for (let at = FILE_HEAD; at < size;) {
    const found = at < whole ? headAt(bytes, at, salt, size) : recordAt(bytes, at, salt, size);
    if (found === undefined) {
      at = nextRecord(bytes, at + 1, salt, size);
      continue;
    }
    if (found.kind === Kind.group) {
      whole = found.end;
      at = found.start;
      continue;
    }
    const living = look(found, at);
    if (living !== undefined) records.push(living);
    at = found.end;
    if (++looked < RECORDS && at - begun < OCTETS) continue;
    yield records;
    records = [];
    looked = 0;
    begun = at;
    await new Promise<void>(later);
  }
  yield records;
}
