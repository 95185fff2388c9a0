import { type Delivery, type Done, Memory, type Message, type Session } from 'nestjs-stomp/server';
import { type Backlog, type Cursor, Entry, type Recovered, type Sweep } from '../destination/backlog.js';
import { DEFAULT_PRIORITY, readPriority } from '../destination/dialect.js';
import { SHORT, Slice } from '../destination/slice.js';
import { Lane, type Pages, type Place } from './lane.js';
import type { Kept, Store } from './store.js';

/** Keeps messages in this process: they are gone when it ends. */
export class MemoryStore implements Store {
  readonly together = Number.POSITIVE_INFINITY;

  join(work: () => void): void {
    work();
  }

  private readonly backlogs = new Map<string, MemoryBacklog>();

  /** @param memory is told what the messages take */
  constructor(private readonly memory = new Memory()) {}

  open(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }

  backlog(queue: string): Backlog {
    let backlog = this.backlogs.get(queue);
    if (backlog === undefined) this.backlogs.set(queue, (backlog = new MemoryBacklog(this.memory)));
    return backlog;
  }

  drop(queue: string): void {
    this.backlogs.delete(queue);
  }

  keep(): void {
    // Nothing outlives this process.
  }

  forget(): void {
    // Nothing was kept.
  }

  kept(): Iterable<Kept> {
    return [];
  }

  redo(work: () => Promise<void>): Promise<void> {
    return work();
  }

  refuse(): void {
    // Nothing was kept.
  }

  report(): void {
    // There is nothing to tell of it.
  }

  checkRoom(): void {
    // There is as much room as there is memory.
  }

  sync(done: Done): void {
    done();
  }

  close(): Promise<void> {
    this.backlogs.clear();
    return Promise.resolve();
  }
}

class MemoryCursor implements Cursor {
  readonly places: Place[] = Array.from({ length: 10 }, () => ({ fresh: 0, returned: 0 }));

  /** @param lanes by priority; those of them that are not there yet have nothing returned */
  constructor(private readonly lanes: readonly (Lane | undefined)[]) {}

  /** Where it stands in the lane of that priority, which has to tell it of what comes back. */
  place(priority: number): Place {
    const place = this.places[priority]!;
    this.lanes[priority]!.places.add(place);
    return place;
  }

  reset(from?: Pick<Entry, 'priority' | 'order'>): void {
    for (const place of from === undefined ? this.places : [this.places[from.priority]!]) {
      place.fresh = Math.min(place.fresh, from?.order ?? 0);
      place.returned = Math.min(place.returned, from?.order ?? 0);
    }
  }

  close(): void {
    for (const [priority, place] of this.places.entries()) this.lanes[priority]?.places.delete(place);
  }
}

/**
 * What waited at one moment, and waits still when it is its turn. Nothing of it is kept here: a client may take its time
 * to read, and what others have acknowledged meanwhile has to go.
 */
class Waiting implements IterableIterator<Entry | undefined> {
  private readonly ends: readonly number[];
  private priority = 9;
  private order = 0;

  constructor(private readonly lanes: readonly (Lane | undefined)[]) {
    this.ends = lanes.map((lane) => lane?.next ?? 0);
  }

  next(): IteratorResult<Entry | undefined, undefined> {
    for (; this.priority >= 0; this.priority--, this.order = 0) {
      const found = this.lanes[this.priority]?.look(this.order);
      if (found === undefined || found.order >= this.ends[this.priority]!) continue;
      const { order, entry } = found;
      this.order = entry === 'later' ? order : order + 1;
      return { done: false, value: entry === 'later' ? undefined : entry };
    }
    return { done: true, value: undefined };
  }

  [Symbol.iterator](): this {
    return this;
  }
}

/** A lane for each priority that was ever used, and a bit for each that holds something. */
export class MemoryBacklog implements Backlog {
  protected readonly lanes: (Lane | undefined)[] = new Array<Lane | undefined>(10).fill(undefined);
  private occupied = 0;
  length = 0;
  loose = false;
  readonly stalled: number = 0;

  get withheld(): number {
    return 0;
  }

  readonly recovered: Recovered | undefined;
  source: Delivery['source'];

  /**
   * @param memory is told what the messages take
   * @param pages where messages are that are not in memory
   */
  constructor(
    private readonly memory = new Memory(),
    private readonly pages?: Pages,
  ) {}

  push(message: Message, source: Delivery['source']): Entry {
    const priority = message.special ? readPriority(message) : DEFAULT_PRIORITY;
    const lane = this.lane(priority);
    const entry = new Entry(lane.next, message, source, priority);
    this.add(lane, entry, priority);
    this.memory.add(entry.size);
    return entry;
  }

  shift(): Entry | undefined {
    let slice: Slice | undefined;
    while (this.occupied !== 0 && slice?.over !== true) {
      const priority = 31 - Math.clz32(this.occupied);
      const entry = this.lanes[priority]!.shift();
      if (entry === 'later') return undefined;
      this.left(priority, 1);
      if (entry !== undefined) return entry;
      // It could not be read, and is passed over.
      (slice ??= new Slice(SHORT)).look();
    }
    return undefined;
  }

  cursor(): Cursor {
    return new MemoryCursor(this.lanes);
  }

  take(cursor: Cursor, accepts: (entry: Entry) => boolean, slice: Slice): Entry | undefined {
    for (let priority = 9; priority >= 0 && !slice.over; priority--) {
      if ((this.occupied & (1 << priority)) === 0) continue;
      const lane = this.lanes[priority]!;
      const before = lane.length;
      const entry = lane.take((cursor as MemoryCursor).place(priority), accepts, slice);
      if (before !== lane.length) this.left(priority, before - lane.length);
      // What comes behind it must not go before it.
      if (entry === 'later') return undefined;
      if (entry !== undefined) return entry;
    }
    return undefined;
  }

  sweep(cursor: Cursor, sweep: Sweep, slice: Slice): Entry[] {
    const taken: Entry[] = [];
    for (let priority = 9; priority >= 0 && !slice.over; priority--) {
      const lane = this.lanes[priority];
      if (lane === undefined) continue;
      const before = lane.length;
      lane.sweep((cursor as MemoryCursor).place(priority), sweep, slice, taken);
      this.left(priority, before - lane.length);
    }
    return taken;
  }

  clear(): void {
    for (const lane of this.lanes) {
      for (const slot of lane?.slots() ?? []) if (typeof slot !== 'number') this.memory.add(-slot.size);
    }
    this.lanes.fill(undefined);
    this.occupied = this.length = 0;
  }

  values(): IterableIterator<Entry | undefined> {
    return new Waiting(this.lanes);
  }

  detach(): boolean {
    let more = false;
    for (const lane of this.lanes) if (lane?.detach() === true) more = true;
    return more;
  }

  restore(entry: Entry): void {
    this.lane(entry.priority).restore(entry);
    this.occupied |= 1 << entry.priority;
    this.length++;
  }

  count(_entry: Entry): void {
    // The entry knows.
  }

  remove(entry: Entry): void {
    // What was taken is in no lane any more.
    this.memory.add(-entry.size);
  }

  cancel(entry: Entry): boolean {
    if (this.lanes[entry.priority]?.cancel(entry) !== true) return false;
    this.left(entry.priority, 1);
    this.memory.add(-entry.size);
    return true;
  }

  sync(done: Done, _destination?: string, _entry?: Entry): void {
    done();
  }

  syncName(done: Done): void {
    done();
  }

  hold(_publisher: Session): void {
    // It is never behind.
  }

  protected lane(priority: number): Lane {
    return (this.lanes[priority] ??= new Lane(this.pages));
  }

  protected add(lane: Lane, slot: Entry | number, priority: number): void {
    lane.push(slot);
    this.occupied |= 1 << priority;
    this.length++;
  }

  private left(priority: number, count: number): void {
    this.length -= count;
    if (this.lanes[priority]!.length === 0) this.occupied &= ~(1 << priority);
  }
}
