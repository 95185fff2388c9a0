import type { Delivery, Done, Message } from 'nestjs-stomp/server';
import { type Backlog, Entry } from '../destination/backlog.js';
import type { Store } from './store.js';

/** Keeps messages in this process: they are gone when it ends. */
export class MemoryStore implements Store {
  private readonly backlogs = new Map<string, MemoryBacklog>();

  open(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }

  backlog(queue: string): Backlog {
    let backlog = this.backlogs.get(queue);
    if (backlog === undefined) this.backlogs.set(queue, (backlog = new MemoryBacklog()));
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

/*
 *   returned: came back, in order       fresh: never taken, in order
 *   [ 3, 7 ]                            [ . . . 12, 13, 14 ]
 *                                               ^ head
 *
 * What came back was taken earlier, so it stands before all that is fresh.
 */
class MemoryBacklog implements Backlog {
  private fresh: (Entry | undefined)[] = [];
  private head = 0;
  private returned: Entry[] = [];
  private orders = 0;

  get length(): number {
    return this.fresh.length - this.head + this.returned.length;
  }

  push(message: Message, source: Delivery['source']): Entry {
    const entry = new Entry(this.orders++, message, source);
    this.fresh.push(entry);
    return entry;
  }

  shift(): Entry | undefined {
    const returned = this.returned.shift();
    if (returned !== undefined) return returned;
    if (this.head === this.fresh.length) return undefined;
    const entry = this.fresh[this.head];
    this.fresh[this.head++] = undefined;
    if (this.head === this.fresh.length) {
      this.fresh = [];
      this.head = 0;
    } else if (this.head >= 4096 && this.head * 2 >= this.fresh.length) {
      this.fresh.splice(0, this.head);
      this.head = 0;
    }
    return entry;
  }

  restore(entry: Entry): void {
    const { returned } = this;
    // Mostly several come back at once, oldest first: the place is near the end.
    let at = returned.length;
    while (at > 0 && returned[at - 1]!.order > entry.order) at--;
    returned.splice(at, 0, entry);
  }

  remove(): void {
    // What was taken is not held here any more.
  }

  cancel(entry: Entry): void {
    const at = this.returned.indexOf(entry);
    if (at >= 0) this.returned.splice(at, 1);
  }

  sync(done: Done): void {
    done();
  }
}
