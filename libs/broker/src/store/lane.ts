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
import type { Entry, Sweep } from '../destination/backlog.js';
import type { Slice } from '../destination/slice.js';

/** A message; `later` when it keeps its place, and is to be asked for once more. */
export type Loaded = Entry | 'later' | undefined;

/** Where messages are that are not in memory; a lane holds their numbers. */
export interface Pages {
  /** Reads one; undefined when that cannot be done: it is passed over from then on. */
  load(seq: number, order: number): Loaded;
  /** The moment at which one expires, in ms since 1970; 0 for never. */
  expires(seq: number): number;
  /** Forgets one. */
  forget(seq: number): void;
}

/** A message that is not in memory, with its place. */
interface Paged {
  readonly order: number;
  readonly seq: number;
}

const isPaged = (slot: Entry | Paged): slot is Paged => 'seq' in slot && !('message' in slot);

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
  private fresh: (Entry | number | undefined)[] = [];
  private head = 0;
  private offset = 0;
  private holes = 0;
  /** Messages of this order and above may stand in the chunks that they came in. */
  private loose = 0;
  /** Where `loose` was to end at the last look. */
  private ripe = 0;
  private returned: (Entry | Paged)[] = [];
  /** Where `returned` begins: what is before has been taken. */
  private first = 0;

  constructor(private readonly pages?: Pages) {}

  push(slot: Entry | number): void {
    this.fresh.push(slot);
    this.next++;
    this.length++;
  }

  /** Puts the number of a message in its place, unless it has gone from there. */
  page(entry: Entry, seq: number): boolean {
    const at = entry.order - this.offset;
    if (this.fresh[at] !== entry) return false;
    this.fresh[at] = seq;
    return true;
  }

  /** Takes those out of their chunks that waited at the last call already; tells whether others have come. */
  detach(): boolean {
    const { fresh, offset } = this;
    const end = this.ripe - offset;
    for (let at = Math.max(this.head, this.loose - offset); at < end; at++) {
      const slot = fresh[at];
      if (typeof slot === 'object') slot.message.detach();
    }
    this.loose = this.ripe;
    this.ripe = this.next;
    return Math.max(this.loose, offset + this.head) < this.next;
  }

  shift(): Loaded {
    if (this.length === 0) return undefined;
    const first = this.fresh[this.head];
    const back = this.returned[this.first];
    if (back !== undefined && (first === undefined || back.order < this.offset + this.head)) {
      const entry = this.read(back);
      if (entry === 'later') return entry;
      this.length--;
      this.takeBack(this.first);
      return entry;
    }
    if (first === undefined) return undefined;
    const entry = typeof first === 'number' ? this.pages!.load(first, this.offset + this.head) : first;
    if (entry === 'later') return entry;
    this.length--;
    this.fresh[this.head++] = undefined;
    this.trim();
    return entry;
  }

  /** Takes the first that is accepted; see `Backlog.take`. */
  take(place: Place, accepts: (entry: Entry) => boolean, slice: Slice): Loaded {
    const { returned } = this;
    let back = this.find(place.returned);
    let earlier: Loaded;
    while (back < returned.length && !slice.over) {
      const slot = returned[back]!;
      earlier = this.read(slot);
      if (earlier === 'later') break;
      if (earlier === undefined) {
        // It cannot be read: it is not there any more.
        this.length--;
        this.takeBack(back);
        back = this.find(slot.order);
        slice.look();
        continue;
      }
      if (accepts(earlier)) break;
      slice.look(earlier === slot ? 0 : earlier.size);
      earlier = undefined;
      back++;
    }
    place.returned = returned[back]?.order ?? Number.POSITIVE_INFINITY;
    const { fresh, offset } = this;
    const holes = this.holes;
    let at = Math.max(this.head, place.fresh - offset);
    let found: Loaded;
    // Of two that are accepted the earlier one goes first: nothing behind it is looked at.
    const end = earlier === undefined ? fresh.length : Math.min(fresh.length, place.returned - offset);
    while (at < end && !slice.over) {
      const slot = fresh[at];
      found = typeof slot === 'number' ? this.pages!.load(slot, offset + at) : slot;
      if (found === 'later' || (found !== undefined && accepts(found))) break;
      slice.look(found === slot ? 0 : found?.size);
      if (found === undefined && slot !== undefined) {
        fresh[at] = undefined;
        this.holes++;
        this.length--;
      }
      found = undefined;
      at++;
    }
    place.fresh = offset + at;
    if (earlier !== undefined && found === undefined && at >= end) {
      if (earlier !== 'later') {
        this.length--;
        this.takeBack(back);
      }
      if (this.holes > holes) this.trim();
      return earlier;
    }
    if (found === undefined || found === 'later') {
      if (this.holes > holes) this.trim();
      return found;
    }
    this.length--;
    this.dig(at);
    return found;
  }

  /** Takes all whose expiry is accepted; see `Backlog.sweep`. */
  sweep(place: Place, sweep: Sweep, slice: Slice, into: Entry[]): void {
    const { returned, fresh, offset } = this;
    const start = this.find(place.returned);
    let kept = start;
    let back = start;
    for (; back < returned.length && !slice.over; back++) {
      const slot = returned[back]!;
      const paged = isPaged(slot);
      slice.look();
      const out =
        sweep.accepts(paged ? this.pages!.expires(slot.seq) : slot.expires) &&
        this.sweepOut(paged ? slot.seq : slot, slot.order, sweep, slice, into);
      if (!out) returned[kept++] = slot;
    }
    place.returned = returned[back]?.order ?? Number.POSITIVE_INFINITY;
    returned.splice(kept, back - kept);
    if (this.first === returned.length) {
      returned.length = 0;
      this.first = 0;
    }
    let at = Math.max(this.head, place.fresh - offset);
    for (; at < fresh.length && !slice.over; at++) {
      const slot = fresh[at];
      slice.look();
      if (slot === undefined) continue;
      if (!sweep.accepts(typeof slot === 'number' ? this.pages!.expires(slot) : slot.expires)) continue;
      if (!this.sweepOut(slot, offset + at, sweep, slice, into)) continue;
      fresh[at] = undefined;
      this.holes++;
    }
    place.fresh = offset + at;
    this.trim();
    this.fill();
  }

  /** The numbers of those that are not in memory, and the others. */
  *slots(): IterableIterator<Entry | number> {
    for (const slot of this.returned.slice(this.first)) yield isPaged(slot) ? slot.seq : slot;
    for (const slot of this.fresh.slice(this.head)) if (slot !== undefined) yield slot;
  }

  /** The first that waits from that order on, and its order; it stays in its place. Undefined where none does. */
  look(from: number): { readonly order: number; readonly entry: Loaded } | undefined {
    const { fresh, offset } = this;
    let at = Math.max(this.head, from - offset);
    while (at < fresh.length && fresh[at] === undefined) at++;
    const order = offset + at;
    const back = this.returned[this.find(from)];
    if (back !== undefined && back.order < order) return { order: back.order, entry: this.read(back) };
    const slot = fresh[at];
    if (slot === undefined) return undefined;
    return { order, entry: typeof slot === 'number' ? this.pages!.load(slot, order) : slot };
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

  /** Whether it goes. */
  private sweepOut(slot: Entry | number, order: number, sweep: Sweep, slice: Slice, into: Entry[]): boolean {
    if (typeof slot === 'number' && !sweep.wanted) this.pages!.forget(slot);
    else {
      const entry = typeof slot === 'number' ? this.pages!.load(slot, order) : slot;
      if (entry === 'later') {
        sweep.missed();
        return false;
      }
      if (entry !== undefined) {
        if (entry !== slot) slice.look(entry.size);
        into.push(entry);
      }
    }
    this.length--;
    return true;
  }

  private read(slot: Entry | Paged): Loaded {
    return isPaged(slot) ? this.pages!.load(slot.seq, slot.order) : slot;
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
    const left: (Entry | Paged)[] = [];
    for (const [at, slot] of this.fresh.entries()) {
      const order = this.offset + at;
      if (typeof slot === 'object' && order >= this.loose) slot.message.detach();
      if (slot !== undefined) left.push(typeof slot === 'number' ? { order, seq: slot } : slot);
    }
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
