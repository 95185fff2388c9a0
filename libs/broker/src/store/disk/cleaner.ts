/*
 * Gives back the space of files of which not much counts any more: what does is copied to the end of the log, and the
 * file goes once the copies are safe.
 */
import type { Health } from './health.js';
import { findLiving, type Known } from './living.js';
import { type LogFile, nameOf } from './log.js';

/** So much is copied at a time. */
const SLICE = 1024 * 1024;
/** What a record takes besides its octets while it is copied. */
const RECORD = 128;
/** How long to wait before a file is tried again for which there was no room, or no luck, in ms. */
const PAUSE = 1_000;

/** Where this part of a file ceases to count within that time, the rest is left to do so too. */
const FALLING = 1 / 16;

/** What was found in a file that the catalog does not know of. */
interface Seen {
  /** Octets that counted. */
  octets: number;
  /** How many of them may cease to, by the file with which they do. */
  readonly with: Map<number, number>;
}

export interface CleanerOwner extends Known {
  readonly health: Health;
  /** Whether nothing new is to be begun. */
  isClosing(): boolean;
  /** A record is to stand at the end of the log too, unless it is gone by then. */
  copy(seq: number, from: number, record: Buffer): void;
  /** Calls back when all that was done so far is written. */
  sync(done: (error?: Error) => void): void;
  report(line: string): void;
}

export class Cleaner {
  /** Done when nothing is under way. */
  running: Promise<void> | undefined;
  /** Files that hold what was copied away from them: they go first. */
  private readonly stale = new Set<number>();
  /** Files that have to stay. */
  private readonly stuck = new Set<number>();
  /** Files that were looked at. */
  private readonly seen = new Map<number, Seen>();
  /** How much of a file counted, and when, in ms. */
  private readonly before = new Map<number, { readonly octets: number; readonly at: number }>();
  private again: NodeJS.Timeout | undefined;
  private pausedUntil = 0;
  /** Files with which something went wrong: when they are tried again, and what was told of it. */
  private readonly failed = new Map<number, { readonly until: number; readonly told: string }>();
  /** Files of which all that counts is safe elsewhere. */
  private readonly copied = new Set<number>();

  constructor(private readonly owner: CleanerOwner) {}

  /** A file holds what was copied away from it. */
  prefer(file: number): void {
    this.stale.add(file);
  }

  /** A file has to stay. */
  spare(file: number): void {
    this.stuck.add(file);
  }

  /** Cleans whatever can be cleaned, unless that is under way. */
  run(): void {
    if (this.running !== undefined || this.owner.isClosing()) return;
    const file = this.choose();
    if (file === undefined) return;
    this.running = this.clean(file)
      .then(() => void this.failed.delete(file.number))
      .catch((error: unknown) => this.fail(file, error as Error))
      .finally(() => {
        this.running = undefined;
        this.run();
      });
  }

  private fail({ number }: LogFile, { message }: Error): void {
    const told = `cannot give back the space of ${nameOf(number)} yet: ${message}`;
    if (told !== this.failed.get(number)?.told) this.owner.report(told);
    this.failed.set(number, { until: performance.now() + PAUSE, told });
  }

  private choose(): LogFile | undefined {
    const { log } = this.owner;
    const now = performance.now();
    const paused = now < this.pausedUntil;
    // What a file says is gone that cannot be read must not stand behind it, or it would come again.
    const shut = Math.max(0, ...log.shut);
    for (const file of log.files.values()) {
      const { number, size } = file;
      if (number === log.head || this.stuck.has(number) || now < (this.failed.get(number)?.until ?? 0)) continue;
      if (this.isNeeded(file)) continue;
      const octets = this.octets(number);
      if (octets === 0 && this.isOldest(number)) return file;
      if (number < shut) continue;
      if (!paused && this.affords(octets, size) && !this.isFalling(file, octets, now)) return file;
    }
    return undefined;
  }

  /** Octets of a file that count, as far as is known; once it was looked at no more than do. */
  private octets(number: number): number {
    return (this.owner.catalog.live.get(number) ?? 0) + (this.seen.get(number)?.octets ?? 0);
  }

  /** Whether so much of a file counts that it is left alone. */
  private isNeeded({ number, size }: LogFile): boolean {
    return this.octets(number) * 2 >= size && !this.stale.has(number);
  }

  /** Whether what counts of a file becomes less so fast by itself that it would be copied for nothing. */
  private isFalling({ number, size }: LogFile, octets: number, now: number): boolean {
    // A small one is copied before that is known.
    if (size <= SLICE || this.stale.has(number)) return false;
    const before = this.before.get(number);
    if (before !== undefined && now - before.at >= PAUSE && before.octets - octets < size * FALLING) return false;
    if (before === undefined || now - before.at >= PAUSE) this.before.set(number, { octets, at: now });
    this.again ??= setTimeout(() => {
      this.again = undefined;
      this.run();
    }, PAUSE).unref();
    return true;
  }

  /** Where the disk is nearly full its room is for what is asked for, unless little of it gives much. */
  private affords(octets: number, size: number): boolean {
    const { health } = this.owner;
    return health.hasRoom(octets) || octets * 4 <= Math.min(size, health.free);
  }

  private get oldest(): number {
    return Math.min(...this.owner.log.files.keys());
  }

  private isOldest(number: number): boolean {
    return this.oldest === number;
  }

  /** The oldest file that holds what was copied away from it, or may. */
  private get leftover(): number {
    return Math.min(...this.stale, ...this.stuck);
  }

  private pause(): void {
    this.pausedUntil = performance.now() + PAUSE;
  }

  private async clean(file: LogFile): Promise<void> {
    const { owner } = this;
    const { log, catalog } = owner;
    const { number, size } = file;
    const failures = log.failures;
    // How often messages were delivered may stand there also when they do not.
    if (!this.copied.has(number) && (this.octets(number) > 0 || owner.counts.size > 0 || !this.isOldest(number))) {
      const { bytes, unreadable } = await log.readers.readFile(number);
      if (unreadable.length > 0) {
        // What it says is gone would come again.
        this.stuck.add(number);
        owner.report(`${nameOf(number)} stays: a part of it cannot be read`);
        return;
      }
      // Until now it was known only what of it is served; what it says is gone counts too.
      this.seen.set(number, await this.look(bytes, file));
      if (owner.isClosing() || this.isNeeded(file)) return;
      if (!this.affords(this.octets(number), size)) return this.pause();
      this.stale.add(number);
      if (!(await this.copy(bytes, file))) return;
    }
    // Also where nothing was copied: what took the place of its messages may not be safe yet.
    try {
      await log.settle(failures);
    } catch (error) {
      // No later sync tells whether the copies are on the disk: the file stays until the next start.
      this.stuck.add(number);
      throw error;
    }
    if (owner.isClosing()) return;
    if ((catalog.live.get(number) ?? 0) > 0) {
      this.stuck.add(number);
      owner.report(`${nameOf(number)} stays: it has records that cannot be read`);
      return;
    }
    this.copied.add(number);
    log.remove(number);
    this.forget(number);
  }

  /** A file is gone, and with it the need for what says that something in it is. */
  private forget(number: number): void {
    this.stale.delete(number);
    this.copied.delete(number);
    this.owner.catalog.live.delete(number);
    this.seen.delete(number);
    this.before.delete(number);
    for (const seen of this.seen.values()) {
      seen.octets -= seen.with.get(number) ?? 0;
      seen.with.delete(number);
    }
    // In the oldest less counts than did before.
    this.seen.delete(this.oldest);
  }

  /** What counts of a file besides what is in the catalog. */
  private async look(bytes: Buffer, file: LogFile): Promise<Seen> {
    const seen: Seen = { octets: 0, with: new Map() };
    for await (const slice of findLiving(bytes, file, this.owner, this.leftover)) {
      if (this.owner.isClosing()) break;
      for (const record of slice) {
        if (record.seq !== 0) continue;
        const octets = record.to - record.from;
        seen.octets += octets;
        seen.with.set(record.with, (seen.with.get(record.with) ?? 0) + octets);
      }
    }
    return seen;
  }

  /** Copies what counts of a file to the end of the log, little by little; whether it came to the end. */
  private async copy(bytes: Buffer, file: LogFile): Promise<boolean> {
    const { owner } = this;
    let copied = 0;
    for await (const slice of findLiving(bytes, file, owner, this.leftover)) {
      if (owner.isClosing()) return false;
      for (const { seq, from, to } of slice) {
        copied += to - from + RECORD;
        owner.copy(seq, file.number, bytes.subarray(from, to));
      }
      if (copied < SLICE) continue;
      copied = 0;
      await this.written();
    }
    await this.written();
    return !owner.isClosing();
  }

  private written(): Promise<void> {
    return new Promise((resolve, reject) => this.owner.sync((error) => (error ? reject(error) : resolve())));
  }
}
