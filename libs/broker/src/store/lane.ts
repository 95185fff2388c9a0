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

/** Where a cursor stands in one lane: what is before has been looked at. */
export interface Place {
  /** The order of the first fresh message not looked at. */
  fresh: number;
  /** The order of the first returned message not looked at. */
  returned: number;
}

/** From so many holes on, and more holes than messages, the messages between them move. */
const MANY_HOLES = 4096;

export class Lane {
  /** The order of the next message. */
  next = 0;
  length = 0;
  /** Where the cursors stand that look at this lane. */
  readonly places = new Set<Place>();
  private fresh: (Entry | undefined)[] = [];
  private head = 0;
  private offset = 0;
  private holes = 0;
  private returned: Entry[] = [];
  /** Where `returned` begins: what is before has been taken. */
  private first = 0;

  push(entry: Entry): void {
    this.fresh.push(entry);
    this.next++;
    this.length++;
  }

  shift(): Entry | undefined {
    if (this.length === 0) return undefined;
    const first = this.fresh[this.head];
    const back = this.returned[this.first];
    if (back !== undefined && (first === undefined || back.order < first.order)) {
      this.length--;
      this.takeBack(this.first);
      return back;
    }
    if (first === undefined) return undefined;
    this.length--;
    this.fresh[this.head++] = undefined;
    this.trim();
    return first;
  }

  /** Takes the first that is accepted; see `Backlog.take`. */
  take(place: Place, accepts: (entry: Entry) => boolean): Entry | undefined {
    const { returned } = this;
    let back = this.find(place.returned);
    while (back < returned.length && !accepts(returned[back]!)) back++;
    place.returned = returned[back]?.order ?? Number.POSITIVE_INFINITY;
    const { fresh, offset } = this;
    let at = Math.max(this.head, place.fresh - offset);
    while (at < fresh.length) {
      const entry = fresh[at];
      if (entry !== undefined && accepts(entry)) break;
      at++;
    }
    place.fresh = offset + at;
    const found = fresh[at];
    const earlier = returned[back];
    if (earlier !== undefined && (found === undefined || earlier.order < found.order)) {
      this.length--;
      this.takeBack(back);
      return earlier;
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
    for (let at = this.first; at < this.returned.length; at++) {
      const entry = this.returned[at]!;
      (accepts(entry) ? into : kept).push(entry);
    }
    this.returned = kept;
    this.first = 0;
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
    const returned = this.returned.slice(this.first);
    let next = 0;
    for (const entry of this.fresh.slice(this.head)) {
      if (entry === undefined) continue;
      while (next < returned.length && returned[next]!.order < entry.order) yield returned[next++]!;
      yield entry;
    }
    yield* returned.slice(next);
  }

  restore(entry: Entry): void {
    this.returned.splice(this.find(entry.order), 0, entry);
    this.length++;
    for (const place of this.places) if (entry.order < place.returned) place.returned = entry.order;
  }

  cancel(entry: Entry): boolean {
    const at = this.find(entry.order);
    if (this.returned[at] !== entry) return false;
    this.takeBack(at);
    this.length--;
    return true;
  }

  /** Where the first returned message of that order, or of a later one, stands. */
  private find(order: number): number {
    let low = this.first;
    let high = this.returned.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.returned[middle]!.order < order) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Takes a returned message out; mostly it is the first. */
  private takeBack(at: number): void {
    const { returned } = this;
    if (at > this.first) {
      returned.splice(at, 1);
      return;
    }
    this.first++;
    if (this.first === returned.length || (this.first >= 1024 && this.first * 2 >= returned.length)) {
      returned.splice(0, this.first);
      this.first = 0;
    }
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
    this.returned = [...this.returned.slice(this.first), ...left].sort((a, b) => a.order - b.order);
    this.first = 0;
    for (const place of this.places) place.returned = Math.min(place.returned, place.fresh);
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
