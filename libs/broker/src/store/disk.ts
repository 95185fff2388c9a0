/*
 * The durable store: a log in a directory. What is done is collected, and written as one group while nothing else is
 * being written, so many publishers share one sync, and what is done in one turn of the event loop stands or falls
 * together.
 *
 *   push, remove, keep ... -> to be written -> one group -> log (disk/log.ts) -> synced: receipts
 */
import node from 'node:fs';
import { join } from 'node:path';
import {
  type Done,
  type Message,
  packedLength,
  packMessage,
  type Session,
  StompError,
  unpackMessage,
} from 'nestjs-stomp/server';
import type { Backlog } from '../destination/backlog.js';
import { DiskBacklog } from './disk.backlog.js';
import { Catalog } from './disk/catalog.js';
import { DiskEntry } from './disk/entry.js';
import { type FileSystem, makeDirectory, putFile, readWhole, syncDirectory } from './disk/files.js';
import { Lock } from './disk/lock.js';
import { FILE_SIZE, Log, type LogFile, nameOf, type Sync } from './disk/log.js';
import { Publishers } from './disk/publishers.js';
import { eachRecord, readLog, setAside } from './disk/recovery.js';
import { type Found, GROUPED, Kind, PUSH_HEAD, recordAt, TRANSIENT, Writer } from './disk/record.js';
import { Reserve } from './disk/reserve.js';
import type { Kept, Store } from './store.js';

export type { Sync } from './disk/log.js';

export interface DiskStoreOptions {
  /** Made if need be; it belongs to one process at a time. */
  readonly directory: string;
  /** When what is written is made safe from power loss; `always` by default. */
  readonly sync?: Sync;
  /** Octets of waiting messages that are kept in memory, roughly; 16 MiB by default. */
  readonly memory?: number;
  /** Told what there is to tell: progress of a long recovery, damage, a full disk. */
  readonly report?: (line: string) => void;
}

const FORMAT = 'nestjs-stomp store 1\n';
const MEMORY = 16 * 1024 * 1024;
/** Octets that are read at a time from the log. */
const AHEAD = 256 * 1024;
/** So many octets may wait to be written before publishers wait for the disk. */
const BEHIND = 4 * 1024 * 1024;
/** So much is copied at a time of a file that is cleaned. */
const SLICE = 1024 * 1024;
/** Octets that something to be written takes besides a message. */
const TASK = 128;
/** The file that a store leaves which was ended properly: what is numbered above what it says was not handed out. */
const CLOSED = 'closed';
/** How long to wait before a disk that failed is tried again, in ms. */
const RETRY = 250;

/** Something to be written. */
type Task =
  | { readonly kind: 'push'; readonly backlog: DiskBacklog; readonly entry: DiskEntry }
  | { readonly kind: 'remove'; readonly seq: number }
  | { readonly kind: 'drop'; readonly seq: number }
  | { readonly kind: 'count'; readonly entry: DiskEntry }
  | { readonly kind: 'keep'; readonly seq: number; readonly kept: Kept }
  | { readonly kind: 'copy'; readonly seq: number; readonly from: number; readonly record: Buffer };

/** What is found of a queue's messages while the log is read. */
interface Held {
  readonly seqs: number[];
  /** Their priorities and flags. */
  readonly flags: number[];
  readonly sizes: number[];
}

/** Where a record of a group stands in it. */
interface Spot {
  readonly task: Task;
  readonly at: number;
  readonly length: number;
}

export class DiskStore implements Store {
  /** Octets of waiting messages in memory. */
  memory = 0;
  private readonly backlogs = new Map<string, DiskBacklog>();
  private readonly catalog = new Catalog();
  private readonly keptSeqs = new Map<string, number>();
  private readonly recoveredKept = new Map<number, Kept>();
  private readonly counts = new Map<number, number>();
  /** Numbers of what is to be removed, and is not yet. */
  private readonly dying = new Set<number>();
  /** Files that hold what was copied away from them: they go first. */
  private readonly stale = new Set<number>();
  /** Files that have to stay. */
  private readonly stuck = new Set<number>();
  private readonly directory: string;
  private readonly report: (line: string) => void;
  private readonly writer = new Writer();
  private readonly log: Log;
  private readonly reserve: Reserve;
  private lock: Lock | undefined;
  private seq = 0;
  /** What is numbered up to here may have been handed out by a process that was killed: nobody knows any more. */
  private doubtful = 0;
  /** Octets that wait to be written, not counting what is being written. */
  private behind = 0;
  private readonly publishers = new Publishers();
  private tasks: Task[] = [];
  private dones: Done[] = [];
  private underWay: Done[] = [];
  private writing = false;
  private scheduled = false;
  private cleaning: Promise<void> | undefined;
  /** Where the file stands that is cleaned: one after the other is read into the same memory. */
  private cleaned: Buffer | undefined;
  private closing = false;
  private failure: StompError | undefined;
  private timer: NodeJS.Timeout | undefined;
  private readonly room = Buffer.allocUnsafeSlow(AHEAD);
  private ahead: { file: number; at: number; bytes: Buffer } = { file: 0, at: 0, bytes: Buffer.alloc(0) };
  private onIdle: (() => void) | undefined;

  /** @param fs of tests, as is the size from which on a file of the log is followed by another */
  constructor(
    private readonly options: DiskStoreOptions,
    private readonly fs: FileSystem = node,
    fileSize = FILE_SIZE,
  ) {
    this.directory = options.directory;
    this.report = options.report ?? (() => undefined);
    this.log = new Log(options.directory, options.sync ?? 'always', fs, fileSize);
    this.reserve = new Reserve(options.directory, fs);
  }

  /** Whether messages that wait take as much memory as they may. */
  get crowded(): boolean {
    return this.memory > (this.options.memory ?? MEMORY);
  }

  async open(): Promise<readonly string[]> {
    makeDirectory(this.fs, this.directory);
    this.lock = await Lock.take(this.directory);
    try {
      checkFormat(this.fs, this.directory);
      await this.recover();
      this.readEnd();
    } catch (error) {
      await this.lock.release();
      throw error;
    }
    if (!this.reserve.take()) this.fail(full());
    this.clean();
    return [...this.backlogs.keys()];
  }

  backlog(queue: string, about: Kept['about'] = {}): Backlog {
    let backlog = this.backlogs.get(queue);
    if (backlog === undefined) {
      this.backlogs.set(queue, (backlog = new DiskBacklog(queue, about, this)));
      if (Object.keys(about).length > 0) this.name(backlog);
    }
    return backlog;
  }

  drop(queue: string): void {
    const backlog = this.backlogs.get(queue);
    if (backlog === undefined) return;
    backlog.clear();
    this.backlogs.delete(queue);
    if (backlog.seq === 0) return;
    this.keptSeqs.delete(`queue\0${queue}`);
    this.dying.add(backlog.seq);
    this.add({ kind: 'drop', seq: backlog.seq });
    backlog.seq = 0;
  }

  keep(kept: Kept): void {
    this.forget(kept.kind, kept.key);
    const seq = ++this.seq;
    this.keptSeqs.set(`${kept.kind}\0${kept.key}`, seq);
    this.behind += kept.message?.size ?? 0;
    this.add({ kind: 'keep', seq, kept });
  }

  forget(kind: Kept['kind'], key: string): void {
    const seq = this.keptSeqs.get(`${kind}\0${key}`);
    if (seq === undefined) return;
    this.keptSeqs.delete(`${kind}\0${key}`);
    this.kill(seq);
  }

  kept(): Iterable<Kept> {
    const all = [...this.recoveredKept].sort(([a], [b]) => a - b).map(([, kept]) => kept);
    this.recoveredKept.clear();
    return all;
  }

  checkRoom(): void {
    if (this.failure !== undefined) throw this.failure;
  }

  sync(done: Done): void {
    if (this.tasks.length > 0) this.dones.push(done);
    else if (this.writing) this.underWay.push(done);
    else done();
  }

  async close(): Promise<void> {
    if (this.lock === undefined) return;
    this.closing = true;
    if (this.tasks.length > 0 || this.writing) {
      await new Promise<void>((resolve) => {
        this.onIdle = resolve;
        this.flush();
      });
    }
    await this.cleaning;
    clearTimeout(this.timer);
    this.log.close();
    this.writeEnd();
    const { lock } = this;
    this.lock = undefined;
    await lock.release();
  }

  /** @internal Whether what has that number stands in the log, or need not. */
  knows(seq: number): boolean {
    return seq === 0 || this.catalog.get(seq) !== undefined;
  }

  /** @internal A publisher has added something: it is not read until the disk has caught up. */
  hold(publisher: Session): void {
    if (this.behind > BEHIND) this.publishers.hold(publisher);
  }

  /** @internal A message is to be written. */
  push(backlog: DiskBacklog, entry: DiskEntry): void {
    this.name(backlog);
    entry.seq = ++this.seq;
    this.behind += entry.message.size;
    this.add({ kind: 'push', backlog, entry });
  }

  /** @internal A message is gone. */
  remove(entry: DiskEntry): void {
    if (entry.seq === 0 || entry.gone) return;
    entry.gone = true;
    if (entry.written) this.kill(entry.seq);
  }

  /** @internal What has that number is gone. */
  kill(seq: number): void {
    if (this.dying.has(seq)) return;
    this.dying.add(seq);
    this.counts.delete(seq);
    this.add({ kind: 'remove', seq });
  }

  /** @internal A message was delivered, and comes back. */
  count(entry: DiskEntry): void {
    if (entry.seq === 0 || entry.count === 0) return;
    this.counts.set(entry.seq, entry.count);
    if (entry.counting) return;
    entry.counting = true;
    this.add({ kind: 'count', entry });
  }

  /** @internal */
  expires(seq: number): number {
    return this.catalog.expires(seq);
  }

  /** @internal Reads a message; undefined, and told of, when that cannot be done. */
  load(seq: number, order: number, backlog: DiskBacklog): DiskEntry | undefined {
    const where = this.catalog.get(seq);
    if (where === undefined) return undefined;
    const name = backlog.name.slice(backlog.name.indexOf('\0') + 1);
    try {
      const { bytes, at } = this.read(where.file, where.offset, where.length);
      const found = recordAt(bytes, at, this.log.files.get(where.file)!.salt);
      if (found !== undefined) {
        const flags = bytes[found.start + 25]!;
        const message = unpackMessage(Buffer.from(bytes.subarray(found.start + PUSH_HEAD, found.end)));
        const entry = new DiskEntry(
          order,
          message,
          backlog.source,
          bytes[found.start + 24]!,
          (flags & TRANSIENT) === 0,
        );
        entry.seq = seq;
        entry.written = true;
        entry.expires = bytes.readDoubleLE(found.start + 16);
        entry.count = this.counts.get(seq) ?? (seq <= this.doubtful ? 1 : 0);
        return entry;
      }
      const kept = setAside(this.log, `${nameOf(where.file)}-${where.offset}`, bytes.subarray(at, at + where.length));
      this.report(`a message of queue ${name} is damaged: ${kept}`);
      this.kill(seq);
    } catch (error) {
      this.report(
        `a message of queue ${name} cannot be read, and waits for the next start: ${(error as Error).message}`,
      );
    }
    return undefined;
  }

  private read(file: number, offset: number, length: number): { bytes: Buffer; at: number } {
    const { ahead } = this;
    if (ahead.file !== file || offset < ahead.at || offset + length > ahead.at + ahead.bytes.length) {
      const { size } = this.log.files.get(file)!;
      let bytes: Buffer;
      // What was there is overwritten, also when this fails.
      ahead.file = 0;
      try {
        bytes = this.log.read(file, offset, Math.max(length, Math.min(AHEAD, size - offset)), this.room);
      } catch {
        // Others behind it may be what cannot be read.
        bytes = this.log.read(file, offset, length, this.room);
      }
      this.ahead = { file, at: offset, bytes };
    }
    return { bytes: this.ahead.bytes, at: offset - this.ahead.at };
  }

  /** A queue that has messages in the log stands there itself. */
  private name(backlog: DiskBacklog): void {
    if (backlog.seq !== 0) return;
    this.keep({ kind: 'queue', key: backlog.name, about: backlog.about });
    backlog.seq = this.seq;
  }

  private add(task: Task): void {
    this.tasks.push(task);
    this.behind += TASK;
    if (this.scheduled || this.writing) return;
    this.scheduled = true;
    // All that comes in this turn goes together.
    setImmediate(() => {
      this.scheduled = false;
      this.flush();
    });
  }

  /** Writes what there is to be written. */
  private flush(): void {
    if (this.writing) return;
    if (this.tasks.length === 0 && this.dones.length === 0) {
      this.onIdle?.();
      this.onIdle = undefined;
      return;
    }
    const tasks = this.tasks;
    this.underWay = this.dones;
    this.tasks = [];
    this.dones = [];
    this.behind = 0;
    this.writing = true;
    const { group, spots } = this.encode(tasks);
    if (spots.length === 0) this.complete();
    else this.write(group, spots, false);
    this.publishers.release();
  }

  private write(group: Buffer, spots: readonly Spot[], again: boolean): void {
    const records = spots.map(({ at }) => at);
    this.log.append(group, records, (error, file) => {
      if (file !== undefined) {
        for (const spot of spots) this.written(spot, file, file.size - group.length);
        // Where memory is short, the last to come are the first to leave it.
        for (const { task } of spots.toReversed()) {
          if (task.kind === 'push' && !task.entry.gone) task.backlog.page(task.entry);
        }
        this.complete();
        return;
      }
      this.fail(failed(error!));
      // What was promised is held by the room that was kept for it.
      if (this.reserve.there) {
        this.reserve.release();
        this.write(group, spots, true);
        return;
      }
      const { underWay, failure } = this;
      this.underWay = [];
      for (const done of underWay) done(failure);
      if (this.closing) {
        this.report('the last changes, none of them confirmed, could not be written');
        this.tasks = [];
        this.dones = [];
        this.complete();
        return;
      }
      if (!again) this.report('what is not confirmed is tried again until it can be written');
      setTimeout(() => this.write(group, spots, true), RETRY);
    });
  }

  private complete(): void {
    this.writing = false;
    this.writer.reset();
    const { underWay } = this;
    this.underWay = [];
    for (const done of underWay) done();
    this.clean();
    this.flush();
  }

  /** A record stands in the log. */
  private written({ task, at, length }: Spot, file: LogFile, base: number): void {
    const { catalog } = this;
    switch (task.kind) {
      case 'push':
        catalog.set(task.entry.seq, file.number, base + at, length, task.entry.expires);
        return;
      case 'keep':
      case 'copy':
        if (task.seq > 0) catalog.set(task.seq, file.number, base + at, length, catalog.expires(task.seq));
        return;
      case 'remove':
      case 'drop':
        catalog.delete(task.seq);
        this.dying.delete(task.seq);
    }
  }

  /** Those of the tasks that still matter, as a group. */
  private encode(tasks: readonly Task[]): { group: Buffer; spots: Spot[] } {
    const { writer } = this;
    const group = writer.begin(Kind.group);
    const spots: Spot[] = [];
    // Copies come last: what was removed meanwhile is not copied.
    for (const task of copiesLast(tasks)) {
      const at = writer.length;
      if (!this.encodeTask(task)) continue;
      writer.end(at);
      spots.push({ task, at, length: writer.length - at });
    }
    writer.end(group);
    return { group: writer.written, spots };
  }

  private encodeTask(task: Task): boolean {
    const { writer } = this;
    switch (task.kind) {
      case 'push': {
        const { entry, backlog } = task;
        // Gone before it was written; or its queue is.
        if (entry.gone || backlog.seq === 0) return false;
        entry.written = true;
        writer.begin(Kind.push);
        const flags = (entry.persistent ? 0 : TRANSIENT) | (entry.group === undefined ? 0 : GROUPED);
        writer.number(entry.seq).number(backlog.seq).number(entry.expires).octet(entry.priority).octet(flags);
        for (const piece of packMessage(entry.message)) writer.raw(piece);
        return true;
      }
      case 'keep': {
        writer.begin(Kind.keep);
        const { kind, key, about, message } = task.kept;
        const text = Buffer.from(JSON.stringify({ kind, key, about }));
        writer.number(task.seq).count(text.length).raw(text);
        for (const piece of message === undefined ? [] : packMessage(message)) writer.raw(piece);
        return true;
      }
      case 'remove':
        writer.begin(Kind.remove);
        writer.number(task.seq).count(this.catalog.get(task.seq)?.file ?? this.log.head);
        return true;
      case 'drop':
        writer.begin(Kind.drop);
        writer.number(task.seq);
        return true;
      case 'count':
        task.entry.counting = false;
        if (task.entry.gone || !task.entry.written || !task.entry.persistent) return false;
        writer.begin(Kind.count);
        writer.number(task.entry.seq).count(task.entry.count);
        return true;
      case 'copy':
        if (task.seq > 0 && (this.dying.has(task.seq) || this.catalog.get(task.seq)?.file !== task.from)) return false;
        writer.raw(task.record);
        return true;
    }
  }

  private async recover(): Promise<void> {
    const begun = performance.now();
    let told = begun;
    const held = new Map<number, Held>();
    const names = new Map<number, Kept>();
    await readLog(
      this.log,
      {
        record: (found, bytes, file, at) => this.recoverRecord(found, bytes, file, at, held, names),
        report: this.report,
      },
      (done, all) => {
        if (performance.now() - told < 1_000) return;
        told = performance.now();
        this.report(`recovering: ${Math.floor((100 * done) / all)} % of ${Math.ceil(all / 1_000_000)} MB`);
      },
    );
    for (const [seq, kept] of names) {
      if (this.catalog.get(seq) === undefined) continue;
      this.keptSeqs.set(`${kept.kind}\0${kept.key}`, seq);
      if (kept.kind !== 'queue') this.recoveredKept.set(seq, kept);
      else {
        const backlog = new DiskBacklog(kept.key, kept.about, this);
        backlog.seq = seq;
        this.backlogs.set(kept.key, backlog);
        this.recoveredKept.set(seq, kept);
      }
    }
    let messages = 0;
    for (const backlog of this.backlogs.values()) {
      const waiting = held.get(backlog.seq);
      if (waiting === undefined) continue;
      held.delete(backlog.seq);
      messages += this.recoverQueue(backlog, waiting);
    }
    // What is left belongs to queues that are gone, or whose own record is lost.
    let lost = 0;
    for (const { seqs } of held.values()) for (const seq of seqs) if (this.catalog.delete(seq) > 0) lost++;
    for (const seq of this.counts.keys()) if (this.catalog.get(seq) === undefined) this.counts.delete(seq);
    if (lost > 0) this.report(`${lost} messages belong to no queue that is known any more: they are dropped`);
    const took = performance.now() - begun;
    if (took > 1_000) this.report(`recovered ${messages} messages in ${(took / 1_000).toFixed(1)} s`);
  }

  /** Whether the last process that had the store ended properly: whoever was handed something then gave it back. */
  private readEnd(): void {
    const path = join(this.directory, CLOSED);
    const there = this.fs.statSync(path, { throwIfNoEntry: false }) !== undefined;
    this.doubtful = there ? Number(readText(this.fs, path)) || 0 : this.seq;
    if (!there) return;
    this.fs.rmSync(path, { force: true });
    syncDirectory(this.fs, this.directory);
  }

  private writeEnd(): void {
    try {
      putFile(this.fs, join(this.directory, CLOSED), Buffer.from(String(this.doubtful)));
    } catch {
      // Without it more is doubtful than has to be.
    }
  }

  private recoverQueue(backlog: DiskBacklog, { seqs, flags, sizes }: Held): number {
    let order: number[] | undefined;
    for (let i = 1; i < seqs.length; i++) {
      if (seqs[i]! > seqs[i - 1]!) continue;
      // Messages that were moved within the log.
      order = [...seqs.keys()].sort((a, b) => seqs[a]! - seqs[b]!);
      break;
    }
    let before = 0;
    let count = 0;
    for (let i = 0; i < seqs.length; i++) {
      const at = order?.[i] ?? i;
      const seq = seqs[at]!;
      const where = this.catalog.get(seq);
      if (where === undefined || seq === before) continue;
      before = seq;
      const flag = flags[at]!;
      backlog.recover(seq, flag >> 4, sizes[at]!, this.catalog.expires(seq) > 0, (flag & GROUPED) !== 0);
      count++;
    }
    return count;
  }

  private recoverRecord(
    { kind, start, end }: Found,
    bytes: Buffer,
    file: LogFile,
    at: number,
    held: Map<number, Held>,
    names: Map<number, Kept>,
  ): void {
    const seq = bytes.readDoubleLE(start);
    this.seq = Math.max(this.seq, seq);
    const { catalog } = this;
    if (kind === Kind.push || kind === Kind.keep) {
      const moved = catalog.get(seq);
      // It was copied away from there, but the file could not be deleted any more.
      if (moved !== undefined) this.stale.add(moved.file);
    }
    if (kind === Kind.push) {
      const flags = bytes[start + 25]!;
      if ((flags & TRANSIENT) !== 0) return;
      catalog.set(seq, file.number, at, end - at, bytes.readDoubleLE(start + 16));
      const queue = bytes.readDoubleLE(start + 8);
      let list = held.get(queue);
      if (list === undefined) held.set(queue, (list = { seqs: [], flags: [], sizes: [] }));
      list.seqs.push(seq);
      list.flags.push((bytes[start + 24]! << 4) | flags);
      list.sizes.push(packedLength(bytes, start + PUSH_HEAD, end));
    } else if (kind === Kind.keep) {
      catalog.set(seq, file.number, at, end - at, 0);
      const text = start + 12 + bytes.readUInt32LE(start + 8);
      const { kind, key, about } = JSON.parse(bytes.toString('utf8', start + 12, text)) as Kept;
      let message: Message | undefined;
      if (text < end) message = unpackMessage(Buffer.from(bytes.subarray(text, end)));
      names.set(seq, { kind, key, about, message });
    } else if (kind === Kind.remove) {
      catalog.delete(seq);
      this.counts.delete(seq);
    } else if (kind === Kind.drop) {
      catalog.delete(seq);
      const list = held.get(seq);
      held.delete(seq);
      for (const each of list?.seqs ?? []) catalog.delete(each);
    } else if (kind === Kind.count) {
      // Where the log was cleaned, a count may stand before its message, or an older one behind it.
      this.counts.set(seq, Math.max(this.counts.get(seq) ?? 0, bytes.readUInt32LE(start + 8)));
    }
  }

  /** Gives back the space of files of which not much counts any more. */
  private clean(): void {
    if (this.cleaning !== undefined || this.closing) return;
    const { files, head } = this.log;
    for (const file of files.values()) {
      if (file.number === head || this.stuck.has(file.number)) continue;
      const live = this.catalog.live.get(file.number) ?? 0;
      if (live * 2 >= file.size && !this.stale.has(file.number)) continue;
      this.cleaning = this.cleanFile(file, live)
        .catch((error: unknown) => {
          this.stuck.add(file.number);
          this.report(`cannot give back the space of ${nameOf(file.number)}: ${(error as Error).message}`);
        })
        .finally(() => {
          this.cleaning = undefined;
          this.clean();
        });
      return;
    }
  }

  private async cleanFile(file: LogFile, live: number): Promise<void> {
    const { log } = this;
    const oldest = Math.min(...log.files.keys()) === file.number;
    if (!oldest || live > 0) {
      const { bytes } = await readWhole(this.fs, join(this.directory, nameOf(file.number)), this.cleaned);
      if (this.cleaned === undefined || bytes.length > this.cleaned.length) this.cleaned = bytes;
      if (this.closing) return;
      await this.copyLive(bytes, file, oldest);
      if (this.closing) return;
      await this.safe();
      log.settle();
    }
    if ((this.catalog.live.get(file.number) ?? 0) > 0) throw new Error('it has records that cannot be read');
    log.remove(file.number);
    this.stale.delete(file.number);
    this.catalog.live.delete(file.number);
  }

  /** When all that was done so far is safe. */
  private safe(): Promise<void> {
    return new Promise((resolve, reject) => this.sync((error) => (error ? reject(error) : resolve())));
  }

  /** Copies what counts of a file to the end of the log, little by little. */
  private async copyLive(bytes: Buffer, file: LogFile, oldest: boolean): Promise<void> {
    let copied = 0;
    const copy = (seq: number, from: number, record: Buffer) => {
      copied += record.length;
      this.add({ kind: 'copy', seq, from, record });
    };
    let at = 12;
    while (at < file.size) {
      const group = recordAt(bytes, at, file.salt, file.size);
      if (group === undefined) {
        at++;
        continue;
      }
      const each = ({ kind, start, end }: Found, from: number) => {
        const record = bytes.subarray(from, end);
        const seq = bytes.readDoubleLE(start);
        const where = this.catalog.get(seq);
        if (kind === Kind.push || kind === Kind.keep) {
          if (where?.file === file.number && where.offset === from) {
            copy(seq, file.number, record);
          }
        } else if (kind === Kind.count) {
          if (where !== undefined) copy(0, 0, record);
        } else if (!oldest && (kind === Kind.drop || this.log.files.has(bytes.readUInt32LE(start + 8)))) {
          copy(0, 0, record);
        }
      };
      if (group.kind === Kind.group) eachRecord(bytes, group, each);
      else each(group, at);
      at = group.end;
      if (copied < SLICE) continue;
      copied = 0;
      await this.safe();
      if (this.closing) return;
    }
  }

  private fail(failure: StompError): void {
    const first = this.failure === undefined;
    this.failure = failure;
    if (first) {
      this.report(`${failure.message}: ${failure.detail}`);
      // Who is held gets to know.
      this.publishers.release();
    }
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.tryAgain();
    }, RETRY);
  }

  private tryAgain(): void {
    const { failure } = this;
    if (failure === undefined) return;
    if (!this.writing && this.reserve.take()) {
      this.failure = undefined;
      this.report('there is room again: persistent messages are taken');
    } else this.fail(failure);
  }
}

function copiesLast(tasks: readonly Task[]): readonly Task[] {
  if (!tasks.some(({ kind }) => kind === 'copy')) return tasks;
  return [...tasks.filter(({ kind }) => kind !== 'copy'), ...tasks.filter(({ kind }) => kind === 'copy')];
}

/** @throws Error when the directory is not, and cannot become, a store of this format */
function checkFormat(fs: FileSystem, directory: string): void {
  const path = join(directory, 'format');
  const known = fs.statSync(path, { throwIfNoEntry: false }) && readText(fs, path);
  if (known === FORMAT) return;
  if (known !== undefined) {
    const what = JSON.stringify(known.slice(0, 40).trim());
    throw new Error(`${directory} is of another format, ${what}: this version reads ${FORMAT.trim()}`);
  }
  const own = /^(lock|lost\+found|format\.new|\d{8,}\.log)$/;
  if (fs.readdirSync(directory).some((name) => !own.test(name))) {
    throw new Error(`${directory} holds other files: name a directory of the store's own, or an empty one`);
  }
  putFile(fs, path, Buffer.from(FORMAT));
}

function readText(fs: FileSystem, path: string): string {
  const fd = fs.openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(1024);
    return bytes.toString('utf8', 0, fs.readSync(fd, bytes, 0, bytes.length, 0));
  } finally {
    fs.closeSync(fd);
  }
}

const full = () =>
  new StompError('disk full', 'there is no room for persistent messages at the moment: try again later');

function failed(error: Error): StompError {
  const { code = error.message } = error as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || code === 'EDQUOT') return full();
  return new StompError(
    'store failed',
    `the disk takes no persistent messages at the moment (${code}): try again later`,
  );
}
