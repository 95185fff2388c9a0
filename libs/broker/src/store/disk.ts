/*
 * The durable store: a log in a directory. What is done is collected, and written as one group while nothing else is
 * being written, so many publishers share one sync, and what is done in one turn of the event loop stands or falls
 * together.
 *
 *   push, remove, keep ... -> to be written -> one group -> log (disk/log.ts) -> synced: receipts
 */
import node from 'node:fs';
import { join } from 'node:path';
import { type Done, packMessage, type Session, StompError } from 'nestjs-stomp/server';
import type { Backlog } from '../destination/backlog.js';
import { DiskBacklog } from './disk.backlog.js';
import { Catalog } from './disk/catalog.js';
import { DiskEntry } from './disk/entry.js';
import { readContents } from './disk/contents.js';
import { makeFormat, putEnd, takeEnd } from './disk/directory.js';
import { type FileSystem, makeDirectory, readWhole } from './disk/files.js';
import { Lock } from './disk/lock.js';
import { FILE_SIZE, Log, type LogFile, nameOf, type Sync } from './disk/log.js';
import { Publishers } from './disk/publishers.js';
import { findLiving } from './disk/living.js';
import { mend, mendOrphans, setAside } from './disk/mend.js';
import type { Damage } from './disk/recovery.js';
import { GROUPED, Kind, TRANSIENT, Writer } from './disk/record.js';
import { Reserve } from './disk/reserve.js';
import { DamagedError, Window } from './disk/window.js';
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

const MEMORY = 16 * 1024 * 1024;
/** So many octets may wait to be written before publishers wait for the disk. */
const BEHIND = 4 * 1024 * 1024;
/** So much is copied at a time of a file that is cleaned. */
const SLICE = 1024 * 1024;
/** Octets that something to be written takes besides a message. */
const TASK = 128;
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
  private catalog = new Catalog();
  private readonly keptSeqs = new Map<string, number>();
  private recoveredKept: Kept[] = [];
  private counts = new Map<number, number>();
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
  private readonly window: Window;
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
    this.window = new Window(this.log);
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
      makeFormat(this.fs, this.directory);
      await this.recover();
      this.doubtful = Math.min(takeEnd(this.fs, this.directory) ?? this.seq, this.seq);
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
    const all = this.recoveredKept;
    this.recoveredKept = [];
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
    putEnd(this.fs, this.directory, this.doubtful);
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
    if (!this.knows(seq)) return undefined;
    try {
      const { message, priority, expires, transient } = this.window.message(seq, this.catalog);
      const entry = new DiskEntry(order, message, backlog.source, priority, !transient);
      entry.seq = seq;
      entry.written = true;
      entry.expires = expires;
      entry.count = this.counts.get(seq) ?? (seq <= this.doubtful ? 1 : 0);
      return entry;
    } catch (error) {
      const name = backlog.name.slice(backlog.name.indexOf('\0') + 1);
      if (error instanceof DamagedError) {
        const { file, offset } = error.where;
        const { text } = setAside(this.log, `${nameOf(file)}-${offset}`, error.bytes);
        this.report(`a message of queue ${name} is damaged: ${text}`);
        this.kill(seq);
      } else {
        const why = (error as Error).message;
        this.report(`a message of queue ${name} cannot be read, and waits for the next start: ${why}`);
      }
      return undefined;
    }
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
    const contents = await readContents(this.log, (damage) => this.mend(damage), this.report);
    this.catalog = contents.catalog;
    this.counts = contents.counts;
    this.seq = contents.seq;
    for (const file of contents.stale) this.stale.add(file);
    let messages = 0;
    for (const [seq, kept] of contents.things()) {
      this.keptSeqs.set(`${kept.kind}\0${kept.key}`, seq);
      this.recoveredKept.push(kept);
      if (kept.kind !== 'queue') continue;
      const backlog = new DiskBacklog(kept.key, kept.about, this);
      backlog.seq = seq;
      this.backlogs.set(kept.key, backlog);
      for (const message of contents.messages(seq)) {
        backlog.recover(message, this.catalog.expires(message.seq) > 0);
        messages++;
      }
    }
    for (const line of mendOrphans(this.log, contents, (seq) => this.kill(seq))) this.report(line);
    const took = performance.now() - begun;
    if (took > 1_000) this.report(`recovered ${messages} messages in ${(took / 1_000).toFixed(1)} s`);
  }

  private mend(damage: Damage): void {
    const { text, stays } = mend(this.log, damage);
    this.report(text);
    if (stays) this.stuck.add(damage.file);
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
      await this.copyLive(bytes, file);
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
  private async copyLive(bytes: Buffer, file: LogFile): Promise<void> {
    const { log, catalog, counts } = this;
    let copied = 0;
    for (const { seq, from, to } of findLiving(bytes, file, { log, catalog, counts })) {
      copied += to - from;
      this.add({ kind: 'copy', seq, from: file.number, record: bytes.subarray(from, to) });
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
