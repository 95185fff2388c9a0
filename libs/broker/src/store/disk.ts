/*
 * The durable store: a log in a directory, and what it says.
 *
 *   push, remove, keep ... -> disk/committer.ts -> disk/log.ts -> synced: receipts
 */
import node from 'node:fs';
import { type Done, Memory, type Session } from 'nestjs-stomp/server';
import type { Backlog } from '../destination/backlog.js';
import { DiskBacklog } from './disk.backlog.js';
import { Catalog } from './disk/catalog.js';
import { Cleaner } from './disk/cleaner.js';
import { Committer } from './disk/committer.js';
import { DiskEntry, packCounts, unpackCounts } from './disk/entry.js';
import { Contents, type Waiting } from './disk/contents.js';
import { makeFormat, putEnd, takeEnd } from './disk/directory.js';
import { type FileSystem, makeDirectory, PRIVATE_DIRECTORY } from './disk/files.js';
import { Health } from './disk/health.js';
import { Lock } from './disk/lock.js';
import { FILE_SIZE, Log, nameOf, type Sync } from './disk/log.js';
import { GROUP_SIZE } from './disk/pending.js';
import { Publishers } from './disk/publishers.js';
import { mend, type Mended, mendOrphans, setAside } from './disk/mend.js';
import type { Damage } from './disk/recovery.js';
import { explain } from './disk/unavailable.js';
import { Unread } from './disk/unread.js';
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

const SYNCS: readonly Sync[] = ['always', 'interval', 'never'];
const MEMORY = 16 * 1024 * 1024;
/** Octets of a queue that stay in memory when memory begins to be short. */
const WINDOW = 64 * 1024;
/** Octets that queues keep in memory all the same, together: the nearer to it, the less each keeps. */
const WINDOWS = 1024 * WINDOW;
/** So many octets may wait to be written before publishers wait for the disk. */
const BEHIND = 4 * 1024 * 1024;

/** How often it is told at most of what the process is short of, in ms. */
const QUIET = 60_000;

export class DiskStore implements Store {
  /** Octets of waiting messages in memory. */
  memory = 0;
  /** @internal Told what messages take that were handed out. */
  limit = new Memory();
  private readonly backlogs = new Map<string, DiskBacklog>();
  private readonly catalog = new Catalog();
  private readonly keptSeqs = new Map<string, number>();
  private recoveredKept: Kept[] = [];
  private readonly counts = new Map<number, number>();
  /** @internal Numbers of queues that are gone, of which messages are handed out still. */
  readonly dropped = new Set<number>();
  private readonly directory: string;
  readonly report: (line: string) => void;
  private readonly log: Log;
  private readonly window: Window;
  private readonly health: Health;
  private readonly cleaner: Cleaner;
  private readonly committer: Committer;
  private lock: Lock | undefined;
  private seq = 0;
  /** What is numbered up to here may have been handed out by a process that was killed: nobody knows any more. */
  private doubtful = 0;
  /** Whether the process before was killed. */
  private killed = false;
  /** @internal Whether what is pushed may have been handed out before. */
  redoing = false;
  private readonly publishers = new Publishers();
  /** Octets that it has told the memory of the server of. */
  private counted = 0;
  /** When it was told last of what the process is short of. */
  private shortage = Number.NEGATIVE_INFINITY;

  /**
   * @param fs of tests, as is the size from which on a file of the log is followed by another
   * @param together octets that are written together at most
   * @throws Error for options that are none
   */
  constructor(
    private readonly options: DiskStoreOptions,
    private readonly fs: FileSystem = node,
    fileSize = FILE_SIZE,
    readonly together = GROUP_SIZE,
  ) {
    const { directory, sync = 'always' } = options;
    if (typeof directory !== 'string' || directory === '')
      throw new Error('a store on disk needs a directory: name one');
    if (!SYNCS.includes(sync)) {
      throw new Error(`sync of a store is ${JSON.stringify(sync)}: it is one of ${SYNCS.join(', ')}`);
    }
    const { memory = MEMORY } = options;
    if (!(memory >= 0)) throw new Error(`memory of a store is ${String(memory)}: it is a number of octets, 0 or more`);
    this.directory = directory;
    this.report = options.report ?? (() => undefined);
    this.log = new Log(directory, sync, fs, fileSize, (error) => {
      if (!this.health.failing)
        this.report('a sync has failed: power loss may take what was confirmed since the last one');
      this.health.fail(error);
    });
    this.window = new Window(this.log);
    this.health = new Health(options.directory, fs, {
      atRest: () => !this.committer.writing && this.log.mend(),
      report: this.report,
      failing: () => {
        // Who is held gets to know, and what can be given back is.
        this.publishers.release();
        this.committer.prune();
        this.weigh();
        this.cleaner.run();
      },
      recovered: () => this.cleaner.run(),
    });
    this.cleaner = new Cleaner({
      log: this.log,
      catalog: this.catalog,
      counts: this.counts,
      health: this.health,
      isClosing: () => this.committer.closing,
      copy: (seq, from, record) => this.committer.add({ kind: 'copy', seq, from, record }),
      sync: (done) => this.sync(done),
      report: this.report,
    });
    this.committer = new Committer(
      {
        log: this.log,
        catalog: this.catalog,
        dropped: this.dropped,
        health: this.health,
        publishers: this.publishers,
        report: this.report,
        committed: () => {
          this.weigh();
          this.cleaner.run();
        },
      },
      together,
    );
  }

  /** @internal Octets that a queue may keep in memory. */
  get share(): number {
    const over = this.memory - (this.options.memory ?? MEMORY);
    return over <= 0 ? Number.POSITIVE_INFINITY : WINDOW * Math.max(0, 1 - over / WINDOWS);
  }

  /**
   * @param memory is told what messages take that were handed out, until they are acknowledged or given back
   * @returns the names of the queues that are there from before
   * @throws StoreUnavailableError when the directory cannot be made, read or written
   * @throws Error when another process has it, or it is something else's
   */
  async open(memory = this.limit): Promise<readonly string[]> {
    this.limit = memory;
    try {
      makeDirectory(this.fs, this.directory, PRIVATE_DIRECTORY);
      this.lock = await Lock.take(this.directory);
      this.health.check();
      makeFormat(this.fs, this.directory, this.report);
      await this.recover();
      const end = takeEnd(this.fs, this.directory);
      this.killed = end === undefined;
      this.doubtful = Math.min(end ?? this.seq, this.seq);
    } catch (error) {
      await this.lock?.release();
      this.lock = undefined;
      throw explain(error, this.directory);
    }
    this.health.begin();
    this.cleaner.run();
    return [...this.backlogs.keys()];
  }

  join(work: () => void): void {
    this.committer.join(work);
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
    this.committer.add({ kind: 'drop', seq: backlog.seq });
    if (backlog.handedOut > 0) {
      this.dropped.add(backlog.seq);
      backlog.dropped = backlog.seq;
    }
    backlog.seq = 0;
  }

  keep(kept: Kept): void {
    this.forget(kept.kind, kept.key);
    const seq = ++this.seq;
    this.keptSeqs.set(`${kept.kind}\0${kept.key}`, seq);
    this.committer.add({ kind: 'keep', seq, kept });
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

  async redo(work: () => Promise<void>): Promise<void> {
    this.redoing = this.killed;
    await work();
    if (this.redoing) this.doubtful = this.seq;
    this.redoing = false;
  }

  refuse({ kind, key }: Kept, why: string): void {
    const seq = this.keptSeqs.get(`${kind}\0${key}`);
    const where = seq === undefined ? undefined : this.catalog.get(seq);
    if (seq === undefined || where === undefined) return;
    const name = key.slice(key.lastIndexOf('\0') + 1);
    const { text, stays } = this.keepAside(`${kind}-${seq}`, where);
    this.report(`the record of ${kind} ${name} cannot be used: ${why}; ${text}`);
    // The messages of a queue stay: it is made again with the rules of any other.
    if (!stays && kind !== 'queue') this.forget(kind, key);
  }

  checkRoom(destination: string): void {
    this.health.checkRoom(destination);
  }

  sync(done: Done, patient = false, destination?: string): void {
    this.committer.sync(done, patient, destination);
  }

  async close(): Promise<void> {
    if (this.lock === undefined) return;
    let whole = await this.committer.close();
    await this.cleaner.running;
    this.health.end();
    try {
      this.log.close();
    } catch (error) {
      whole = false;
      this.report(`the files of the log were not closed in order: ${(error as Error).message}`);
    }
    // Of what was not written nobody knows then how far it had come.
    if (whole) putEnd(this.fs, this.directory, this.doubtful);
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
    this.weigh();
    if (this.committer.octets > BEHIND) this.publishers.hold(publisher);
  }

  /** What waits for a disk that is behind, or takes nothing, is in memory, and counts as it does without a store. */
  private weigh(): void {
    const over = Math.max(0, this.committer.octets - BEHIND);
    if (over === this.counted) return;
    this.limit.add(over - this.counted);
    this.counted = over;
  }

  /** @internal A message is to be written. */
  push(backlog: DiskBacklog, entry: DiskEntry): void {
    this.name(backlog);
    entry.seq = ++this.seq;
    this.committer.add({ kind: 'push', backlog, entry });
  }

  /** @internal A message is gone. */
  remove(entry: DiskEntry): void {
    if (entry.seq === 0 || entry.gone) return;
    entry.gone = true;
    if (entry.written) this.kill(entry.seq);
  }

  /** @internal What has that number is gone. */
  kill(seq: number): void {
    this.counts.delete(seq);
    this.committer.add({ kind: 'remove', seq });
  }

  /** @internal A message was delivered, and comes back. */
  count(entry: DiskEntry): void {
    if (entry.seq === 0 || entry.count === 0) return;
    this.counts.set(entry.seq, packCounts(entry));
    if (entry.counting) return;
    entry.counting = true;
    this.committer.add({ kind: 'count', entry });
  }

  /** @internal */
  expires(seq: number): number {
    return this.catalog.expires(seq);
  }

  /** @internal Reads a message; undefined, and told of, when that cannot be done any more. */
  load(seq: number, order: number, backlog: DiskBacklog): DiskEntry | 'later' | undefined {
    if (!this.knows(seq) || backlog.unread?.withheld.has(seq) === true) return undefined;
    try {
      const { message, priority, expires, transient } = this.window.message(seq, this.catalog);
      const entry = new DiskEntry(order, message, backlog.source, priority, !transient);
      entry.seq = seq;
      entry.written = true;
      entry.expires = expires;
      Object.assign(entry, unpackCounts(this.counts.get(seq) ?? (seq <= this.doubtful ? 1 : 0)));
      backlog.unread?.give(seq);
      return entry;
    } catch (error) {
      const name = backlog.name.slice(backlog.name.indexOf('\0') + 1);
      const unread = (backlog.unread ??= new Unread(name, this.report, this.reportShortage));
      if (!(error instanceof DamagedError))
        return unread.miss(seq, error as NodeJS.ErrnoException) ? 'later' : undefined;
      const { file, offset } = error.where;
      const { text, stays } = setAside(this.log, `${nameOf(file)}-${offset}`, [error.bytes]);
      this.report(`a message of queue ${name} is damaged: ${text}`);
      if (stays) unread.withhold(seq);
      else this.kill(seq);
      return undefined;
    }
  }

  /** As long as it lasts whatever is read may meet it. */
  private readonly reportShortage = (line: string) => {
    const now = performance.now();
    if (now - this.shortage < QUIET) return;
    this.shortage = now;
    this.report(line);
  };

  /** A queue that has messages in the log stands there itself. */
  private name(backlog: DiskBacklog): void {
    if (backlog.seq !== 0) return;
    this.keep({ kind: 'queue', key: backlog.name, about: backlog.about });
    backlog.seq = this.seq;
  }

  private async recover(): Promise<void> {
    const begun = performance.now();
    this.log.settleNewest();
    const contents = new Contents(this.catalog, this.counts);
    await contents.read(this.log, (damage) => this.mend(damage), this.report);
    this.log.giveBack();
    // What is missing is told of once.
    this.log.putList();
    this.log.hold();
    this.seq = contents.seq;
    for (const file of contents.stale) this.cleaner.prefer(file);
    let messages = 0;
    for (const [seq, kept] of contents.things()) {
      this.keptSeqs.set(`${kept.kind}\0${kept.key}`, seq);
      this.recoveredKept.push(kept);
      if (kept.kind !== 'queue') continue;
      messages += this.revive(seq, kept, contents.messages(seq));
    }
    const adopt = (seq: number, key: string, waiting: readonly Waiting[]) => {
      // Under the number that their records say.
      const kept = { kind: 'queue' as const, key, about: {} };
      this.keptSeqs.set(`queue\0${key}`, seq);
      this.committer.add({ kind: 'keep', seq, kept });
      this.recoveredKept.push(kept);
      messages += this.revive(seq, kept, waiting);
      return 'they are back in it, with the rules of any other queue';
    };
    for (const line of mendOrphans(this.log, contents, (seq) => this.kill(seq), adopt)) this.report(line);
    const took = performance.now() - begun;
    if (took > 1_000) this.report(`recovered ${messages} messages in ${(took / 1_000).toFixed(1)} s`);
  }

  /** A queue with the messages that wait in it; tells how many. */
  private revive(seq: number, { key, about }: Kept, waiting: Iterable<Waiting>): number {
    const backlog = new DiskBacklog(key, about, this);
    backlog.seq = seq;
    this.backlogs.set(key, backlog);
    let count = 0;
    for (const message of waiting) {
      backlog.recover(message, this.catalog.expires(message.seq) > 0);
      count++;
    }
    return count;
  }

  private keepAside(name: string, { file, offset, length }: NonNullable<ReturnType<Catalog['get']>>): Mended {
    try {
      return setAside(this.log, name, [this.log.readers.read(file, offset, length, Buffer.allocUnsafe(length))]);
    } catch (error) {
      return { text: `it stays where it is: ${(error as Error).message}`, stays: true };
    }
  }

  private mend(damage: Damage): void {
    const { text, stays, known } = mend(this.log, damage);
    if (known !== true) this.report(text);
    if (stays) this.cleaner.spare(damage.file);
  }
}
