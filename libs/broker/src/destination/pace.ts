/*
 * Flow control of one queue. A publisher that is faster than consumers which do keep up would only pile up what they
 * take a moment later, and a pile costs more than a message that goes straight on. So it is not read until they have
 * caught up.
 *
 * Nobody waits long for that: where consumers do not take an eighth of what waits in a moment, the queue does what queues
 * are for, and takes whatever comes, until it has been emptied or they take as much again. So clients that wait for each
 * other never stand still, and consumers that were not let run by a busy machine do not count as slow for longer than that.
 */
import type { Session } from 'nestjs-stomp/server';

/** From so many waiting messages on publishers are held up. */
export const HIGH = 1_024;
/** With so few waiting they go on. */
const LOW = 128;
/** How often the consumers are judged, in ms. */
const MOMENT = 50;

export class Pace {
  private readonly held = new Set<Session>();
  private timer: NodeJS.Timeout | undefined;
  /** The consumers do not keep up. */
  private behind = false;
  private releasing = false;
  /** How many were taken since the last judgement, and how many wait now. */
  private taken = 0;
  private left = 0;

  /** Whether there is anything to do once the queue is short. */
  get engaged(): boolean {
    return this.behind || this.held.size > 0;
  }

  /** The queue is so long, and a publisher has added to it. */
  hold(publisher: Session, length: number): void {
    this.left = length;
    // Somebody may wait for the acknowledgements that a publisher has still to send.
    if (publisher.owes || this.held.has(publisher)) return;
    if (!this.behind) {
      this.held.add(publisher);
      publisher.waitFor(this);
    }
    this.watch();
  }

  /** So many were taken: publishers go on, in turns, as long as the queue is short. */
  relax(taken: number, length: () => number): void {
    this.taken += taken;
    if (this.releasing) return;
    this.left = length();
    if (this.left > LOW) return;
    this.behind = false;
    this.stopTimer();
    this.releasing = true;
    for (const publisher of [...this.held]) {
      if (length() > LOW) break;
      this.release(publisher);
    }
    this.releasing = false;
    if (this.held.size === 0) return;
    this.left = length();
    this.watch();
  }

  /** Nobody is held up any more. */
  stop(): void {
    this.stopTimer();
    for (const publisher of [...this.held]) this.release(publisher);
  }

  /** A publisher is gone. */
  forget(publisher: Session): void {
    this.held.delete(publisher);
  }

  private watch(): void {
    if (this.timer !== undefined) return;
    this.taken = 0;
    this.timer = setTimeout(() => this.judge(), MOMENT).unref();
  }

  /** A moment is over: do they keep up? */
  private judge(): void {
    this.timer = undefined;
    this.behind = this.taken < Math.max(LOW, (this.left + this.taken) / 8);
    if (this.behind) this.stop();
    else if (this.held.size > 0) this.watch();
  }

  private stopTimer(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private release(publisher: Session): void {
    this.held.delete(publisher);
    publisher.goOn(this);
  }
}
