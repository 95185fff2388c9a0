/*
 * The files of a store, 00000001.log and so on: only ever appended to, one group of records at a time, and deleted
 * when nothing in them counts any more.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { cutFile, type FileSystem, PRIVATE_FILE, syncDirectory, syncFile, whyShut, writeAll } from './files.js';
import { dropList, putList } from './list.js';
import { Readers } from './readers.js';
import { FILL, Kind, recordAt, seal } from './record.js';

/**
 * When what was written is made safe from power loss. A killed process loses nothing in any of them.
 *
 *   always    before it is confirmed
 *   interval  ten times a second: power loss takes what was confirmed in the last moments
 *   never     when the operating system does so, mostly within half a minute
 */
export type Sync = 'always' | 'interval' | 'never';

const INTERVAL = 100;
/** A file that has grown so large is followed by another. */
export const FILE_SIZE = 32 * 1024 * 1024;
/** What the files of this format begin with. */
export const MAGIC = 'STOMPLG1';
export const FILE_HEAD = 12;
/** What is written behind a small group: a sync takes a third less where it does not make the file longer. */
const AHEAD = Buffer.alloc(256 * 1024, FILL);
/** What is larger by itself takes its time for other reasons. */
const SMALL = 16 * 1024;
/** Where less is free, no octet of it is taken before it is needed. */
const AMPLE = 64 * 1024 * 1024;

export interface LogFile {
  readonly number: number;
  readonly salt: number;
  size: number;
  /** Where a part of it cannot be read, where it ends is not known: so many octets of it are there for certain. */
  certain?: number;
}

/** What a file begins with. */
export function headOf(salt: number): Buffer {
  const head = Buffer.alloc(FILE_HEAD);
  head.write(MAGIC, 'latin1');
  head.writeUInt32LE(salt, MAGIC.length);
  return head;
}

export const nameOf = (number: number): string => `${String(number).padStart(8, '0')}.log`;

/** Records and the catalog hold the numbers of files as u32. */
const LAST = 0xffffffff;

/** The number of a file of a log; undefined for the name of any other. */
export function numberOf(name: string): number | undefined {
  const number = Number(/^(\d+)\.log$/.exec(name)?.[1]);
  return number >= 0 && number <= LAST && nameOf(number) === name ? number : undefined;
}

export class Log {
  readonly files = new Map<number, LogFile>();
  /** Those of them of which nothing can be read: they may be back at the next start. */
  readonly shut = new Set<number>();
  readonly readers: Readers;
  private current: LogFile | undefined;
  private fd = -1;
  /** Up to there the current file was written beforehand. */
  private prepared = 0;
  private last = 0;
  private timer: NodeJS.Timeout | undefined;
  private unsynced = false;
  /** How often a file was given up. */
  failures = 0;
  /** A file that was given up, and is to be cut off where it ended. */
  private broken: LogFile | undefined;

  /** @param unsafe told when what was confirmed already could not be made safe */
  constructor(
    readonly directory: string,
    private readonly sync: Sync,
    readonly fs: FileSystem,
    private readonly fileSize: number,
    private readonly unsafe: (error: Error) => void = () => undefined,
  ) {
    this.readers = new Readers(fs, (number) => join(directory, nameOf(number)), fileSize);
  }

  /** The file that is written to; 0 for none yet. */
  get head(): number {
    return this.current?.number ?? 0;
  }

  /** The numbers of the files that there are, in their order. */
  list(): number[] {
    const numbers = this.fs.readdirSync(this.directory).flatMap((name) => numberOf(name) ?? []);
    return numbers.sort((a, b) => a - b);
  }

  /**
   * What a killed process wrote last may not be safe yet, and is made so before anything is built on it: once another
   * file follows, what power loss has torn of it looks like damage, and half of what was done together may be served.
   */
  settleNewest(): void {
    const newest = this.list()
      .map((number) => join(this.directory, nameOf(number)))
      .findLast((path) => whyShut(this.fs, path) === undefined);
    if (newest === undefined) return;
    syncFile(this.fs, newest);
    syncDirectory(this.fs, this.directory);
  }

  /** Files up to that number were there once: it is not used again. */
  skip(number: number): void {
    if (number <= LAST) this.last = Math.max(this.last, number);
  }

  /**
   * Writes down which files there are; tells whether that stands.
   *
   * @param going a file that is there no more soon
   */
  putList(going?: number): boolean {
    const sizes = new Map<number, number>();
    for (const [number, file] of this.files) {
      // Of what is being written, or was given up, only the head is safe for certain.
      const growing = file === this.current || file === this.broken;
      // Of what never could be read nobody knows that it is one of the log.
      if (number !== going && file.size > 0) sizes.set(number, growing ? FILE_HEAD : (file.certain ?? file.size));
    }
    return putList(this.fs, this.directory, sizes);
  }

  /** Gives back what a killed process has written beforehand. */
  giveBack(): void {
    for (const { number, size } of this.files.values()) {
      // What cannot be read ends nobody knows where.
      if (this.shut.has(number)) continue;
      const path = join(this.directory, nameOf(number));
      try {
        if ((this.fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0) > size) cutFile(this.fs, path, size);
      } catch {
        // It does no harm.
      }
    }
  }

  /** Holds the newest file open for reading: when the process has no descriptor left, it has one for what waits. */
  hold(): void {
    const newest = [...this.files.keys()].findLast((number) => !this.shut.has(number));
    if (newest === undefined) return;
    try {
      this.readers.hold(newest);
    } catch {
      // Whoever reads is told.
    }
  }

  /** A file that is there; undefined when neither its head nor its first group is that of one. */
  admit(number: number, bytes: Buffer): LogFile | undefined {
    const salt = saltOf(bytes);
    if (salt === undefined) return undefined;
    const file = { number, salt, size: 0 };
    this.files.set(number, file);
    return file;
  }

  /** A file is there of which nothing can be read. @param size that it had at least */
  admitShut(number: number, size: number): void {
    this.files.set(number, { number, salt: 0, size });
    this.shut.add(number);
  }

  /**
   * Appends a group. Calls back when it is as safe as was asked for, or with what went wrong: then nothing of it stands
   * in the log.
   *
   * @param records where the records in it begin
   */
  append(group: Buffer, records: readonly number[], done: (error: Error | undefined, at?: LogFile) => void): void {
    let file: LogFile;
    try {
      file = this.fileFor(group.length);
      for (const at of records) seal(group, at, file.salt);
      seal(group, 0, file.salt);
      writeAll(this.fs, this.fd, group, file.size);
      if (this.sync === 'always' && group.length <= SMALL) this.prepare(file.size + group.length);
    } catch (error) {
      this.giveUp();
      done(error as Error);
      return;
    }
    const end = () => {
      file.size += group.length;
      done(undefined, file);
    };
    if (this.sync !== 'always') {
      this.unsynced = true;
      if (this.sync === 'interval') this.timer ??= setTimeout(() => this.syncNow(), INTERVAL);
      end();
      return;
    }
    this.fs.fdatasync(this.fd, (error) => {
      if (error === null) end();
      else {
        this.giveUp();
        done(error);
      }
    });
  }

  /**
   * Makes all safe that was written since a moment, whatever was asked for.
   *
   * @param failures what `failures` was at that moment
   */
  settle(failures: number): Promise<void> {
    if (this.sync === 'always') return Promise.resolve();
    return new Promise((resolve, reject) => {
      const { current } = this;
      const end = (error: Error | null) => {
        // A file that was ended meanwhile was synced then.
        if (error !== null && this.current === current) {
          this.giveUp();
          this.doubt(error);
        }
        if (this.failures === failures) resolve();
        else reject(error ?? new Error('the disk has failed meanwhile'));
      };
      if (this.fd < 0) end(null);
      else this.fs.fdatasync(this.fd, end);
    });
  }

  /** Whether a file that was given up has another in its place: then the disk has written and synced once more. */
  mend(): boolean {
    try {
      if (this.broken !== undefined) this.fileFor(0);
      return true;
    } catch {
      return false;
    }
  }

  /** Deletes a file; when this returns it cannot come back, and nobody misses it. */
  remove(number: number): void {
    const listed = this.putList(number);
    // A disk that is full gets room by this; the list must not miss what was deleted on purpose.
    if (!listed) dropList(this.fs, this.directory);
    this.readers.close(number);
    this.fs.rmSync(join(this.directory, nameOf(number)), { force: true });
    syncDirectory(this.fs, this.directory);
    this.files.delete(number);
    if (this.broken?.number === number) this.broken = undefined;
    if (!listed) this.putList();
  }

  close(): void {
    clearTimeout(this.timer);
    this.readers.closeAll();
    try {
      // On a full disk it takes room.
      this.cutOff();
    } catch {
      // The next start does it.
    }
    if (this.fd < 0) return;
    try {
      this.trim();
      this.fs.fdatasyncSync(this.fd);
    } finally {
      this.fs.closeSync(this.fd);
      this.fd = -1;
      this.current = undefined;
    }
    this.putList();
  }

  private fileFor(length: number): LogFile {
    if (this.current !== undefined && this.current.size + length <= this.fileSize) return this.current;
    if (this.current !== undefined && this.current.size <= FILE_HEAD) return this.current;
    this.endFile();
    this.cutOff();
    const number = this.last + 1;
    if (number > LAST) throw new Error(`no file of the log can follow ${nameOf(this.last)}`);
    const path = join(this.directory, nameOf(number));
    const salt = randomBytes(4).readUInt32LE(0);
    this.fd = this.fs.openSync(path, 'wx', PRIVATE_FILE);
    this.last = number;
    try {
      writeAll(this.fs, this.fd, headOf(salt), 0);
      // Whatever was asked for: it is listed.
      this.fs.fdatasyncSync(this.fd);
      syncDirectory(this.fs, this.directory);
    } catch (error) {
      const { fd } = this;
      this.fd = -1;
      try {
        this.fs.closeSync(fd);
        this.fs.rmSync(path, { force: true });
      } catch {
        // Its number is not used again.
      }
      throw error;
    }
    this.current = { number, salt, size: FILE_HEAD };
    this.files.set(number, this.current);
    this.hold();
    this.putList();
    return this.current;
  }

  /** After a failed write or sync nothing more goes into that file: what the disk has of it is not known. */
  private giveUp(): void {
    const { current, fd } = this;
    if (current === undefined) return;
    this.broken = current;
    this.failures++;
    this.current = undefined;
    this.prepared = 0;
    this.fd = -1;
    try {
      this.fs.closeSync(fd);
    } catch {
      // It tells of the same trouble once more.
    }
  }

  /** What was not confirmed must not come back once other records have the numbers of those in it. */
  private cutOff(): void {
    if (this.broken === undefined) return;
    const { number, size } = this.broken;
    // While a disk is full each try would leave one that holds nothing.
    if (size <= FILE_HEAD) this.remove(number);
    else cutFile(this.fs, join(this.directory, nameOf(number)), size);
    this.broken = undefined;
  }

  /** What was confirmed may be lost. With `never` nothing else was promised. */
  private doubt(error: Error): void {
    if (this.sync === 'interval') this.unsafe(error);
  }

  private endFile(): void {
    if (this.current === undefined) return;
    // Whatever was asked for: what is cleaned later moves here from other files, which then go.
    try {
      if (this.sync !== 'always') this.fs.fdatasyncSync(this.fd);
    } catch (error) {
      this.doubt(error as Error);
      throw error;
    }
    this.unsynced = false;
    this.trim();
    this.fs.closeSync(this.fd);
    this.fd = -1;
    this.current = undefined;
  }

  /** Fills the file behind what was just written, unless it is filled; a start takes that for nothing. */
  private prepare(from: number): void {
    const to = Math.min(from + AHEAD.length, this.fileSize);
    if (from <= this.prepared || to <= from) return;
    try {
      const { bavail, bsize } = this.fs.statfsSync(this.directory);
      if (bavail * bsize < AMPLE) return;
      writeAll(this.fs, this.fd, AHEAD.subarray(0, to - from), from);
      this.prepared = to;
    } catch {
      // It is not needed.
    }
  }

  /** Gives back what was written beforehand, and not used. */
  private trim(): void {
    const { prepared, current } = this;
    this.prepared = 0;
    if (current === undefined || prepared <= current.size) return;
    try {
      this.fs.ftruncateSync(this.fd, current.size);
      // Power loss may leave zeros of it else: that is no damage in the newest file only.
      this.fs.fdatasyncSync(this.fd);
    } catch {
      // It does no harm.
    }
  }

  private syncNow(): void {
    this.timer = undefined;
    if (!this.unsynced || this.fd < 0) return;
    this.unsynced = false;
    const { current } = this;
    this.fs.fdatasync(this.fd, (error) => {
      // A file that was ended meanwhile was synced then.
      if (error === null || this.current !== current) return;
      this.giveUp();
      this.unsafe(error);
    });
  }
}

/** The salt of a file: where its head is damaged, the first group has it too, and its checksum proves it. */
function saltOf(bytes: Buffer): number | undefined {
  if (bytes.length >= FILE_HEAD + 4) {
    const salt = bytes.readUInt32LE(FILE_HEAD);
    if (recordAt(bytes, FILE_HEAD, salt)?.kind === Kind.group) return salt;
  }
  if (bytes.length < FILE_HEAD || bytes.toString('latin1', 0, MAGIC.length) !== MAGIC) return undefined;
  return bytes.readUInt32LE(MAGIC.length);
}
