import type { Catalog } from './catalog.js';
import { FILE_HEAD, type Log, type LogFile } from './log.js';
import { type Found, Kind, recordAt } from './record.js';
import { eachRecord } from './recovery.js';

/** A record that still counts. */
export interface Living {
  /** Its number in the catalog; 0 for one that has no place there. */
  readonly seq: number;
  /** Where it begins and ends. */
  readonly from: number;
  readonly to: number;
}

/** What a log knows of itself. */
export interface Known {
  readonly log: Log;
  readonly catalog: Catalog;
  readonly counts: ReadonlyMap<number, number>;
}

/**
 * What of a file still counts: it has to be copied before the file goes.
 *
 * @param leftover the lowest number of a file that is still there though what it held was copied: what is gone since may
 *   have been removed from the copy's file, and stands there as well
 */
export function* findLiving(
  bytes: Buffer,
  file: LogFile,
  { log, catalog, counts }: Known,
  leftover: number,
): Generator<Living> {
  // In the oldest file nothing is buried that stands elsewhere.
  const oldest = Math.min(...log.files.keys()) === file.number;
  const look = ({ kind, start, end }: Found, from: number): Living | undefined => {
    const seq = bytes.readDoubleLE(start);
    const where = catalog.get(seq);
    switch (kind) {
      case Kind.push:
      case Kind.keep:
        return where?.file === file.number && where.offset === from ? { seq, from, to: end } : undefined;
      case Kind.count:
        return where !== undefined && counts.get(seq) === bytes.readUInt32LE(start + 8)
          ? { seq: 0, from, to: end }
          : undefined;
      case Kind.drop:
        return oldest ? undefined : { seq: 0, from, to: end };
      case Kind.remove:
        return !oldest && (leftover < file.number || log.files.has(bytes.readUInt32LE(start + 8)))
          ? { seq: 0, from, to: end }
          : undefined;
      default:
        return undefined;
    }
  };
  for (let at = FILE_HEAD; at < file.size;) {
    const found = recordAt(bytes, at, file.salt, file.size);
    if (found === undefined) {
      at++;
      continue;
    }
    const records: Living[] = [];
    const tell = (record: Found, from: number) => {
      const living = look(record, from);
      if (living !== undefined) records.push(living);
    };
    if (found.kind === Kind.group) eachRecord(bytes, found, tell);
    else tell(found, at);
    yield* records;
    at = found.end;
  }
}
