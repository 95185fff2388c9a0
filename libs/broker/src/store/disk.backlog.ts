import type { Delivery, Done, Message, Session } from 'nestjs-stomp/server';
import type { Cursor, Entry, Recovered, Sweep } from '../destination/backlog.js';
import { DEFAULT_PRIORITY, isPersistent, readPriority } from '../destination/dialect.js';
import type { Slice } from '../destination/slice.js';
import type { Loaded } from './lane.js';
import { MemoryBacklog } from './memory.js';
import type { Waiting } from './disk/contents.js';
import { DiskEntry } from './disk/entry.js';
import { RETRY } from './disk/health.js';
import type { Unread } from './disk/unread.js';
import type { DiskStore } from './disk.js';

/** Octets that a message in memory takes besides its own: the objects that it is made of. */
const OBJECTS = 1024;

/** A queue's messages: those in front in memory, those behind in the log when memory is short. */
export class DiskBacklog extends MemoryBacklog {
  /** The number of the queue in the log; 0 while nothing of it stands there. */
  seq = 0;
  override recovered: Recovered | undefined = undefined;
  override stalled = 0;
  /** What the disk does not give of it. */
  unread: Unread | undefined;
  /** How many messages are handed out. */
  handedOut = 0;
  /** The number that the queue had in the log, where it is gone and some of its messages are handed out still. */
  dropped = 0;
  private octets = 0;

  constructor(
    readonly name: string,
    readonly about: Readonly<Record<string, unknown>>,
    private readonly store: DiskStore,
  ) {
    // What is in memory is counted by the store, which has a disk to put it.
    super(undefined, {
      load: (seq, order) => this.load(seq, order),
      expires: (seq) => store.expires(seq),
      forget: (seq) => {
        this.unread?.forget(seq);
        store.kill(seq);
      },
    });
  }

  override push(message: Message, source: Delivery['source']): Entry {
    const priority = message.special ? readPriority(message) : DEFAULT_PRIORITY;
    const lane = this.lane(priority);
    const entry = new DiskEntry(lane.next, message, source, priority, isPersistent(message));
    if (this.store.redoing) entry.count = 1;
    this.add(lane, entry, priority);
    this.weigh(entry, 1);
    if (entry.persistent || this.crowded) this.store.push(this, entry);
    return entry;
  }

  /** One that is there from before. */
  recover({ seq, priority, octets, grouped }: Waiting, expires: boolean): void {
    this.add(this.lane(priority), seq, priority);
    const before = this.recovered;
    this.recovered = {
      expiring: expires || before?.expiring === true,
      grouped: grouped || before?.grouped === true,
      octets: octets + (before?.octets ?? 0),
    };
  }

  override get withheld(): number {
    return this.unread?.withheld.size ?? 0;
  }

  override shift(): Entry | undefined {
    this.stalled = 0;
    return this.lend(this.out(super.shift()));
  }

  override take(...looking: Parameters<MemoryBacklog['take']>): Entry | undefined {
    this.stalled = 0;
    return this.lend(this.out(super.take(...looking)));
  }

  override sweep(cursor: Cursor, sweep: Sweep, slice: Slice): Entry[] {
    const taken = super.sweep(cursor, sweep, slice);
    for (const entry of taken) this.out(entry);
    return taken;
  }

  override clear(): void {
    for (const lane of this.lanes) {
      for (const slot of lane?.slots() ?? []) {
        if (typeof slot === 'number') this.store.kill(slot);
        else {
          this.weigh(slot as DiskEntry, -1);
          this.remove(slot);
        }
      }
    }
    for (const seq of this.unread?.withheld ?? []) this.store.kill(seq);
    this.unread = undefined;
    super.clear();
  }

  override restore(entry: Entry): void {
    super.restore(entry);
    this.weigh(entry as DiskEntry, 1);
    this.reclaim(entry as DiskEntry);
  }

  override count(entry: Entry): void {
    this.store.count(entry as DiskEntry);
  }

  override remove(entry: Entry): void {
    this.store.remove(entry as DiskEntry);
    this.reclaim(entry as DiskEntry);
  }

  override cancel(entry: Entry): boolean {
    if (!super.cancel(entry)) return false;
    this.weigh(entry as DiskEntry, -1);
    this.store.remove(entry as DiskEntry);
    return true;
  }

  override sync(done: Done, destination?: string, entry?: Entry): void {
    if (entry === undefined || (entry as DiskEntry).persistent) this.store.sync(done, false, destination);
    else done();
  }

  override syncName(done: Done): void {
    // One without rules of its own is made again by whoever asks for it: nobody waits for a disk that is full.
    if (Object.keys(this.about).length === 0 || this.store.knows(this.seq)) done();
    else this.store.sync(done);
  }

  override hold(publisher: Session): void {
    this.store.hold(publisher);
  }

  /** An entry stands in the log: where memory is short its number stays in its place. */
  page(entry: DiskEntry): void {
    if (!this.crowded || entry.holder !== undefined) return;
    if (this.lanes[entry.priority]?.page(entry, entry.seq) === true) this.weigh(entry, -1);
  }

  private load(seq: number, order: number): Loaded {
    const loaded = this.store.load(seq, order, this);
    if (loaded === 'later') this.stalled = RETRY;
    else if (loaded === undefined) this.stalled = 0;
    return loaded;
  }

  private get crowded(): boolean {
    return this.octets > this.store.share;
  }

  private out(entry: Entry | undefined): Entry | undefined {
    if (entry !== undefined) this.weigh(entry as DiskEntry, -1);
    return entry;
  }

  /** Until it is back, or removed, it is in memory: the disk is no place to put it. */
  private lend(entry: Entry | undefined): Entry | undefined {
    if (entry !== undefined) {
      (entry as DiskEntry).lent = true;
      this.handedOut++;
      this.store.limit.move(entry.size);
    }
    return entry;
  }

  private reclaim(entry: DiskEntry): void {
    if (!entry.lent) return;
    entry.lent = false;
    if (--this.handedOut === 0 && this.dropped > 0) this.store.dropped.delete(this.dropped);
    this.store.limit.move(-entry.size);
  }

  private weigh(entry: DiskEntry, sign: 1 | -1): void {
    const held = sign === 1;
    if (held === entry.held) return;
    entry.held = held;
    const octets = sign * (entry.size + OBJECTS);
    this.octets += octets;
    this.store.memory += octets;
  }
}
