/*
 * Whoever looks at many messages does so in slices, one a turn of the event loop, and everybody else goes on in
 * between. A slice is measured in octets, not in time: so the same is done in a turn wherever it runs. Only what a
 * selector costs nobody knows beforehand: a slice is over, too, when its turn has taken long.
 */

/** What one look costs, in octets, besides those that are read from the disk for it. */
const LOOK = 512;
/** Octets of a slice in which others may take their part in the same turn. */
export const SHORT = 64 * 1024;
/** Octets of a slice that has its turn, some thousand looks or a few ms. */
export const LONG = 512 * 1024;
/** How long a turn may take, in ms. */
const PATIENCE = 10;

/** How much may be looked at before others have their turn. */
export class Slice {
  /** @param left octets that may be looked at; each look counts as some of them */
  constructor(private left = 0) {}

  /** Whether the rest has to wait for another turn. */
  get over(): boolean {
    return this.left <= 0;
  }

  /** As a new one. */
  begin(octets: number): void {
    this.left = octets;
  }

  /** One more was looked at. @param octets read from the disk for it */
  look(octets = 0): void {
    this.left -= LOOK + octets;
    if (isLate()) this.left = 0;
  }
}

/** Since when this turn has such work, in ms; 0 where it has none so far. */
let begun = 0;

/** Whether this turn of the event loop has taken so long that others are to have theirs. */
export function isLate(): boolean {
  const now = performance.now();
  if (begun === 0) {
    begun = now;
    setImmediate(() => (begun = 0));
  }
  return now - begun > PATIENCE;
}

const waiting: (() => void)[] = [];
let scheduled = false;

/** Goes on in a turn of its own: however many have work to do, a turn does one slice. */
export function later(work: () => void): void {
  waiting.push(work);
  if (scheduled) return;
  scheduled = true;
  setImmediate(next);
}

function next(): void {
  const work = waiting.shift()!;
  scheduled = waiting.length > 0;
  if (scheduled) setImmediate(next);
  begun = 0;
  work();
  begun = 0;
}
