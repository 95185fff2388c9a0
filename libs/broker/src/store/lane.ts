/*
 * The messages of one priority.
 *
 *   returned: came back, in order       fresh: never taken, in order; holes where one was taken out of turn
 *   [ 3, 7 ]                            [ . . . 12, 13, _, 15 ]
 *                                               ^ head
 *
 * A message's order is its place in `fresh`, counted from the first message ever. What came back was mostly taken
 * earlier than all that is fresh, but not where consumers take messages out of turn: so the two are merged.
 */
import type { Entry } from '../destination/backlog.js';

/** Where a cursor stands in one lane. */
export interface Place {
  /** The order of the first fresh message not looked at. */
  fresh: number;
  /** The version of the returned ones that was looked at. */
  returned: number;
}

/** From so many holes on, and more holes than messages, the messages between them move. */
const MANY_HOLES = 4096;

export class Lane {
  /** The order of the next message. */
  next = 0;
  length = 0;
  private fresh: (Entry | undefined)[] = [];
  private head = 0;
  private offset = 0;
  private holes = 0;
  private returned: Entry[] = [];
  private version = 1;

  push(entry: Entry): void {
    this.fresh.push(entry);
    this.next++;
    this.length++;
  }

  shift(): Entry | undefined {
    if (this.length === 0) return undefined;
    const first = this.fresh[this.head];
    const back = this.returned[0];
    if (back !== undefined && (first === undefined || back.order < first.order)) {
      this.length--;
      return this.returned.shift();
    }
    if (first === undefined) return undefined;
    this.length--;
    this.fresh[this.head++] = undefined;
    this.trim();
    return first;
  }

  /** Takes the first that is accepted; see `Backlog.take`. */
  take(place: Place, accepts: (entry: Entry) => boolean): Entry | undefined {
    let back = -1;
    if (place.returned !== this.version) {
      back = this.returned.findIndex(accepts);
      if (back < 0) place.returned = this.version;
    }
    const { fresh, offset } = this;
    let at = Math.max(this.head, place.fresh - offset);
    while (at < fresh.length) {
      const entry = fresh[at];
      if (entry !== undefined && accepts(entry)) break;
      at++;
    }
    place.fresh = offset + at;
    const found = fresh[at];
    if (back >= 0 && (found === undefined || this.returned[back]!.order < found.order)) {
      this.length--;
      return this.returned.splice(back, 1)[0];
    }
    if (found === undefined) return undefined;
    this.length--;
    this.dig(at);
    return found;
  }

  /** Takes all that are accepted. */
  sweep(accepts: (entry: Entry) => boolean, into: Entry[]): void {
    const before = into.length;
    const kept: Entry[] = [];
    for (const entry of this.returned) (accepts(entry) ? into : kept).push(entry);
    this.returned = kept;
    for (let at = this.head; at < this.fresh.length; at++) {
      const entry = this.fresh[at];
      if (entry === undefined || !accepts(entry)) continue;
      into.push(entry);
      this.fresh[at] = undefined;
      this.holes++;
    }
    this.length -= into.length - before;
    this.trim();
    this.fill();
  }

  *values(): IterableIterator<Entry> {
    const returned = [...this.returned];
    for (let at = this.head; at < this.fresh.length; at++) {
      const entry = this.fresh[at];
      if (entry === undefined) continue;
      while (returned.length > 0 && returned[0]!.order < entry.order) yield returned.shift()!;
      yield entry;
    }
    yield* returned;
  }

  restore(entry: Entry): void {
    const { returned } = this;
    // Mostly several come back at once, oldest first: the place is near the end.
    let at = returned.length;
    while (at > 0 && returned[at - 1]!.order > entry.order) at--;
    returned.splice(at, 0, entry);
    this.version++;
    this.length++;
  }

  cancel(entry: Entry): boolean {
    const at = this.returned.indexOf(entry);
    if (at < 0) return false;
    this.returned.splice(at, 1);
    this.length--;
    return true;
  }

  /** Takes one out of turn. */
  private dig(at: number): void {
    this.fresh[at] = undefined;
    this.holes++;
    this.trim();
    this.fill();
  }

  /** A message that nobody takes would keep all the holes behind it: when they are many, the messages move. */
  private fill(): void {
    if (this.holes < MANY_HOLES || this.holes * 2 < this.fresh.length - this.head) return;
    const left = this.fresh.filter((entry) => entry !== undefined);
    this.returned = [...this.returned, ...left].sort((a, b) => a.order - b.order);
    this.version++;
    this.offset += this.fresh.length;
    this.fresh = [];
    this.head = this.holes = 0;
  }

  private trim(): void {
    const { fresh } = this;
    while (this.holes > 0 && this.head < fresh.length && fresh[this.head] === undefined) {
      this.head++;
      this.holes--;
    }
    if (this.head === fresh.length) {
      this.offset += fresh.length;
      this.fresh = [];
      this.head = this.holes = 0;
    } else if (this.head >= 4096 && this.head * 2 >= fresh.length) {
      fresh.splice(0, this.head);
      this.offset += this.head;
      this.head = 0;
    }
  }
}
