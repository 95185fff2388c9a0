/*
 * What a log says when it is read from its beginning: what is there, and where it stands.
 */
import { packedLength, unpackMessage } from 'nestjs-stomp/server';
import type { Kept } from '../store.js';
import { Catalog } from './catalog.js';
import type { Log, LogFile } from './log.js';
import { type Found, GROUPED, Kind, PUSH_HEAD, TRANSIENT } from './record.js';
import { type Damage, readLog } from './recovery.js';

/** More than a file has records: what cannot be read now may be read another time, with the numbers that it has. */
const APART = 2 ** 24;

/** A message of a queue. */
export interface Waiting {
  readonly seq: number;
  readonly priority: number;
  /** What it takes in memory. */
  readonly octets: number;
  readonly grouped: boolean;
}

/** What was found of the messages of a queue, in columns that are no work for the garbage collector. */
class Held {
  length = 0;
  seqs = new Float64Array(8);
  /** Priorities and flags. */
  flags = new Uint8Array(8);
  sizes = new Uint32Array(8);

  add(seq: number, flags: number, size: number): void {
    if (this.length === this.seqs.length) this.grow(2 * this.length);
    this.seqs[this.length] = seq;
    this.flags[this.length] = flags;
    this.sizes[this.length++] = size;
  }

  private grow(length: number): void {
    const { seqs, flags, sizes } = this;
    (this.seqs = new Float64Array(length)).set(seqs);
    (this.flags = new Uint8Array(length)).set(flags);
    (this.sizes = new Uint32Array(length)).set(sizes);
  }
}

export class Contents {
  /** Files that hold what was copied away from them. */
  readonly stale = new Set<number>();
  /** How many records say that something is gone. */
  removals = 0;
  /** The highest number of a record, or above any that could not be read. */
  seq = 0;
  private readonly held = new Map<number, Held>();
  private readonly found = new Map<number, Kept>();
  /** Numbers of queues that are gone. */
  private readonly dropped = new Set<number>();

  /** @param counts how often messages were delivered */
  constructor(
    readonly catalog = new Catalog(),
    readonly counts = new Map<number, number>(),
  ) {}

  /**
   * Reads a log.
   *
   * @param damaged told of what cannot be used
   * @param report told of the progress, when it takes long
   */
  async read(log: Log, damaged: (damage: Damage) => void, report: (line: string) => void): Promise<this> {
    let told = performance.now();
    const hidden = new Set<number>();
    await readLog(log, {
      record: (found, bytes, file, at) => this.take(found, bytes, file, at),
      damage: (damage) => {
        if (damage.kind === 'shut' || damage.kind === 'unreadable') hidden.add(damage.file);
        damaged(damage);
      },
      progress: (done, all) => {
        if (performance.now() - told < 1_000) return;
        told = performance.now();
        report(`recovering: ${Math.floor((100 * done) / all)} % of ${Math.ceil(all / 1_000_000)} MB`);
      },
    });
    this.seq += hidden.size * APART;
    return this;
  }

  /** @throws Error when the record makes no sense; then nothing of it counts */
  private take({ kind, start, end }: Found, bytes: Buffer, file: LogFile, at: number): void {
    const seq = bytes.readDoubleLE(start);
    switch (kind) {
      case Kind.push:
        this.takeMessage(seq, bytes, start, end, file, at);
        break;
      case Kind.keep: {
        const text = start + 12 + bytes.readUInt32LE(start + 8);
        const { kind, key, about } = JSON.parse(bytes.toString('utf8', start + 12, text)) as Kept;
        const message = text < end ? unpackMessage(Buffer.from(bytes.subarray(text, end))) : undefined;
        this.place(seq, file, at, end - at, 0);
        this.found.set(seq, { kind, key, about, message });
        break;
      }
      case Kind.remove:
        this.removals++;
        this.catalog.delete(seq);
        this.counts.delete(seq);
        break;
      case Kind.drop:
        this.removals++;
        this.catalog.delete(seq);
        this.dropped.add(seq);
        this.forget(seq);
        break;
      case Kind.count:
        // Where the log was cleaned, a count may stand before its message, or an older one behind it.
        this.counts.set(seq, Math.max(this.counts.get(seq) ?? 0, bytes.readUInt32LE(start + 8)));
        break;
      default:
        throw new Error(`records of kind ${kind} are not known`);
    }
    this.seq = Math.max(this.seq, seq);
  }

  /** What is there besides messages of queues, in the order in which it came. */
  things(): [number, Kept][] {
    return [...this.found].filter(([seq]) => this.catalog.get(seq) !== undefined).sort(([a], [b]) => a - b);
  }

  /** The messages of the queue that has that number, in their order; they are handed out once. */
  *messages(queue: number): IterableIterator<Waiting> {
    const held = this.held.get(queue);
    if (held === undefined) return;
    this.held.delete(queue);
    const { seqs, flags, sizes, length } = held;
    let order: Uint32Array | undefined;
    for (let i = 1; i < length; i++) {
      if (seqs[i]! > seqs[i - 1]!) continue;
      // Messages that were moved within the log.
      order = Uint32Array.from({ length }, (_, at) => at).sort((a, b) => seqs[a]! - seqs[b]!);
      break;
    }
    let before = 0;
    for (let i = 0; i < length; i++) {
      const at = order?.[i] ?? i;
      const seq = seqs[at]!;
      if (seq === before || this.catalog.get(seq) === undefined) continue;
      before = seq;
      const flag = flags[at]!;
      yield { seq, priority: flag >> 4, octets: sizes[at]!, grouped: (flag & GROUPED) !== 0 };
    }
  }

  /**
   * What is left when the messages of all queues were handed out: those of queues that are gone, or whose own record
   * is lost, by the number of the queue. They are handed out once.
   */
  *orphans(): IterableIterator<[number, Waiting[]]> {
    for (const queue of [...this.held.keys()]) {
      const left = [...this.messages(queue)];
      if (left.length > 0) yield [queue, left];
    }
    for (const seq of this.counts.keys()) if (this.catalog.get(seq) === undefined) this.counts.delete(seq);
  }

  /**
   * The key of the queue that a destination names, where that can be told, and none has it: of the virtual host there is
   * one, or none is known.
   */
  keyOf(destination: string): string | undefined {
    const name = /^\/queue\/(.+)$/.exec(destination)?.[1];
    const keys = this.things().map(([, { key }]) => key);
    const hosts = new Set(keys.flatMap((key) => (key.includes('\0') ? [key.slice(0, key.indexOf('\0'))] : [])));
    if (name === undefined || hosts.size > 1) return undefined;
    const key = `${[...hosts][0] ?? '*'}\0${name}`;
    return this.things().some(([, kept]) => kept.kind === 'queue' && kept.key === key) ? undefined : key;
  }

  private takeMessage(seq: number, bytes: Buffer, start: number, end: number, file: LogFile, at: number): void {
    const flags = bytes[start + 25]!;
    const octets = packedLength(bytes, start + PUSH_HEAD, end);
    const queue = bytes.readDoubleLE(start + 8);
    // One that was moved within the log stands behind the end of its queue.
    if ((flags & TRANSIENT) !== 0 || this.dropped.has(queue)) return;
    this.place(seq, file, at, end - at, bytes.readDoubleLE(start + 16));
    let held = this.held.get(queue);
    if (held === undefined) this.held.set(queue, (held = new Held()));
    held.add(seq, (bytes[start + 24]! << 4) | flags, octets);
  }

  /** The queue that has that number is gone, with its messages. */
  private forget(queue: number): void {
    const held = this.held.get(queue);
    if (held === undefined) return;
    for (let i = 0; i < held.length; i++) this.catalog.delete(held.seqs[i]!);
    this.held.delete(queue);
  }

  private place(seq: number, file: LogFile, at: number, length: number, expires: number): void {
    const moved = this.catalog.get(seq);
    // It was copied away from there, but the file could not be deleted any more.
    if (moved !== undefined) this.stale.add(moved.file);
    this.catalog.set(seq, file.number, at, length, expires);
  }
}
