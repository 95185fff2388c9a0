/*
 * What the log is made of. Every record has a checksum of its own; a group of them, written together, has one more,
 * so that it counts as a whole or not at all.
 *
 *   salt u32 | checksum u32 | length u32 | kind u8 | body
 *
 * The salt is a random number of the file, which also goes into the checksums: bytes that a client sent can never
 * pass for a record.
 */
import { crc32 } from 'node:zlib';

export const HEAD = 13;
/** Where the kind of a record stands in it. */
export const KIND = 12;

/** What files are filled with ahead of their records. It is no zero: numbers end with these, and so do records. */
export const FILL = 0xff;

export const Kind = {
  /** Records that were written together. */
  group: 1,
  /** A thing that is no message of a queue, with the message that belongs to it: seq f64, JSON u32 + bytes, message. */
  keep: 2,
  /** A message of a queue: seq f64, queue f64, expires f64, priority u8, flags u8, message. */
  push: 3,
  /** Something is gone: seq f64, the file that it stands in u32. */
  remove: 4,
  /** How often a message was delivered, and how often that failed: seq f64, count u16, failures u16. */
  count: 5,
  /** A queue is gone, with all that it held: seq f64. */
  drop: 6,
} as const;

/** Flags of a message. */
export const TRANSIENT = 1;
export const GROUPED = 2;

export const PUSH_HEAD = 26;

export interface Found {
  readonly kind: number;
  /** Where its body begins and ends. */
  readonly start: number;
  readonly end: number;
}

/** Puts records into one growing buffer. */
export class Writer {
  bytes = Buffer.allocUnsafe(64 * 1024);
  length = 0;

  get written(): Buffer {
    return this.bytes.subarray(0, this.length);
  }

  begin(kind: number): number {
    const at = this.length;
    this.room(HEAD);
    this.bytes[at + 12] = kind;
    this.length += HEAD;
    return at;
  }

  /** The salt is known when it is known into which file this goes; see `seal`. */
  end(at: number): void {
    this.bytes.writeUInt32LE(this.length - at - HEAD, at + 8);
  }

  number(value: number): this {
    this.room(8);
    this.bytes.writeDoubleLE(value, this.length);
    this.length += 8;
    return this;
  }

  count(value: number): this {
    this.room(4);
    this.bytes.writeUInt32LE(value, this.length);
    this.length += 4;
    return this;
  }

  octet(value: number): this {
    this.room(1);
    this.bytes[this.length++] = value;
    return this;
  }

  raw(bytes: Buffer): this {
    this.room(bytes.length);
    bytes.copy(this.bytes, this.length);
    this.length += bytes.length;
    return this;
  }

  /** Empty again; a buffer that grew large is not kept. */
  reset(): void {
    this.length = 0;
    if (this.bytes.length > 1024 * 1024) this.bytes = Buffer.allocUnsafe(64 * 1024);
  }

  room(more: number): void {
    if (this.length + more <= this.bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.bytes.length * 2, this.length + more));
    this.bytes.copy(larger, 0, 0, this.length);
    this.bytes = larger;
  }
}

/** Sets salt and checksum of a record that stands in a buffer. */
export function seal(bytes: Buffer, at: number, salt: number): void {
  const end = at + HEAD + bytes.readUInt32LE(at + 8);
  bytes.writeUInt32LE(salt, at);
  bytes.writeUInt32LE(crc32(bytes.subarray(at + 8, end), salt), at + 4);
}

/** What a record's head says, without a look at the checksum; undefined when there is none. */
export function headAt(bytes: Buffer, at: number, salt: number, limit = bytes.length): Found | undefined {
  if (at + HEAD > limit || bytes.readUInt32LE(at) !== salt) return undefined;
  return { kind: bytes[at + 12]!, start: at + HEAD, end: at + HEAD + bytes.readUInt32LE(at + 8) };
}

/** The record at that place; undefined when there is none that is whole. */
export function recordAt(bytes: Buffer, at: number, salt: number, limit = bytes.length): Found | undefined {
  const head = headAt(bytes, at, salt, limit);
  if (head === undefined || head.end > limit) return undefined;
  return crc32(bytes.subarray(at + 8, head.end), salt) === bytes.readUInt32LE(at + 4) ? head : undefined;
}

/** The next place, from there on, where a whole record begins; the limit when there is none. */
export function nextRecord(bytes: Buffer, from: number, salt: number, limit = bytes.length): number {
  const mark = Buffer.allocUnsafe(4);
  mark.writeUInt32LE(salt);
  for (let at = from; ; at++) {
    at = bytes.indexOf(mark, at);
    if (at < 0 || at >= limit) return limit;
    if (recordAt(bytes, at, salt, limit) !== undefined) return at;
  }
}
