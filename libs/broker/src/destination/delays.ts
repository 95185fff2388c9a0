import type { Entry } from './backlog.js';

/** Messages that were refused, and wait until they may be delivered again. */
export class Delays {
  /** Octets of their bodies. */
  octets = 0;
  private readonly timers = new Map<Entry, NodeJS.Timeout>();

  get size(): number {
    return this.timers.size;
  }

  get entries(): Iterable<Entry> {
    return this.timers.keys();
  }

  /**
   * @param delay in ms
   * @param back called when its time has come
   */
  add(entry: Entry, delay: number, back: (entry: Entry) => void): void {
    const timer = setTimeout(() => {
      this.end(entry);
      back(entry);
    }, delay);
    this.timers.set(entry, timer);
    this.octets += entry.message.length;
  }

  /** One does not come back; tells whether it was to. */
  cancel(entry: Entry): boolean {
    const timer = this.timers.get(entry);
    if (timer === undefined) return false;
    clearTimeout(timer);
    this.end(entry);
    return true;
  }

  /** None of them comes back. */
  stop(): void {
    for (const timer of this.timers.values()) clearTimeout(timer);
    this.timers.clear();
    this.octets = 0;
  }

  private end(entry: Entry): void {
    this.timers.delete(entry);
    this.octets -= entry.message.length;
  }
}
