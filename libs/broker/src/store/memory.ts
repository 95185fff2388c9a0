import { type Delivery, type Done, Memory, type Message } from 'nestjs-stomp/server';
import { type Backlog, type Cursor, Entry } from '../destination/backlog.js';
import { DEFAULT_PRIORITY, readPriority } from '../destination/dialect.js';
import { Lane, type Place } from './lane.js';
import type { Store } from './store.js';

/** Keeps messages in this process: they are gone when it ends. */
export class MemoryStore implements Store {
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

/** A lane for each priority that was ever used, and a bit for each that holds something. */
class MemoryBacklog implements Backlog {
  private readonly lanes: (Lane | undefined)[] = new Array<Lane | undefined>(10).fill(undefined);
  private occupied = 0;
  length = 0;

  constructor(private readonly memory: Memory) {}

  push(message: Message, source: Delivery['source']): Entry {
    const priority = message.special ? readPriority(message) : DEFAULT_PRIORITY;
    const lane = (this.lanes[priority] ??= new Lane());
    const entry = new Entry(lane.next, message, source, priority);
    lane.push(entry);
    this.memory.add(entry.size);
    this.occupied |= 1 << priority;
    this.length++;
    return entry;
  }

  shift(): Entry | undefined {
    if (this.occupied === 0) return undefined;
    const priority = 31 - Math.clz32(this.occupied);
    const entry = this.lanes[priority]!.shift();
    this.left(priority);
    return entry;
  }

  cursor(): Cursor {
    return new MemoryCursor(this.lanes);
  }

  take(cursor: Cursor, accepts: (entry: Entry) => boolean): Entry | undefined {
    for (let priority = 9; priority >= 0; priority--) {
      if ((this.occupied & (1 << priority)) === 0) continue;
      const entry = this.lanes[priority]!.take((cursor as MemoryCursor).place(priority), accepts);
      if (entry === undefined) continue;
      this.left(priority);
      return entry;
    }
    return undefined;
  }

  sweep(accepts: (entry: Entry) => boolean): Entry[] {
    const taken: Entry[] = [];
    for (let priority = 9; priority >= 0; priority--) {
      this.lanes[priority]?.sweep(accepts, taken);
      if (this.lanes[priority]?.length === 0) this.occupied &= ~(1 << priority);
    }
    this.length -= taken.length;
    return taken;
  }

  *values(): IterableIterator<Entry> {
    for (let priority = 9; priority >= 0; priority--) yield* this.lanes[priority]?.values() ?? [];
  }

  restore(entry: Entry): void {
    this.lanes[entry.priority]!.restore(entry);
    this.occupied |= 1 << entry.priority;
    this.length++;
  }

  remove(entry: Entry): void {
    // What was taken is in no lane any more.
    this.memory.add(-entry.size);
  }

  cancel(entry: Entry): boolean {
    if (!this.lanes[entry.priority]!.cancel(entry)) return false;
    this.left(entry.priority);
    this.memory.add(-entry.size);
    return true;
  }

  sync(done: Done): void {
    done();
  }

  private left(priority: number): void {
    this.length--;
    if (this.lanes[priority]!.length === 0) this.occupied &= ~(1 << priority);
  }
}
