/*
 * Flow control of one queue. A publisher that is faster than consumers which do keep up would only pile up what they
 * take a moment later, and a pile costs more than a message that goes straight on. So it is not read until they have
 * caught up.
 *
 * Nobody waits long for that: where an eighth less does not wait after each moment, the queue does what queues are for,
 * and takes whatever comes until it has been emptied. So clients that wait for each other never stand still, and a
 * machine that is busy with other things does not make consumers slow.
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
  /** How many waited at the last judgement, and how many wait now. */
  private before = 0;
  private left = 0;

  /** Whether there is anything to do once the queue is short. */
  get engaged(): boolean {
    return this.behind || this.held.size > 0;
  }

  /** The queue is so long, and a publisher has added to it. */
  hold(publisher: Session, length: number): void {
    // Somebody may wait for the acknowledgements that a publisher has still to send.
    if (this.behind || publisher.owes || this.held.has(publisher)) return;
    this.held.add(publisher);
    publisher.waitFor(this);
    this.before = Math.max(this.before, length);
    this.left = length;
    this.timer ??= setTimeout(() => this.judge(), MOMENT).unref();
  }

  /** The queue has become shorter: publishers go on, in turns, as long as it is short. */
  relax(length: () => number): void {
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
    this.before = this.left = length();
    this.timer ??= setTimeout(() => this.judge(), MOMENT).unref();
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

  /** A moment is over: do they keep up? */
  private judge(): void {
    this.timer = undefined;
    if (this.before - this.left >= Math.max(LOW, this.before / 8)) {
      this.before = this.left;
      this.timer = setTimeout(() => this.judge(), MOMENT).unref();
      return;
    }
    this.behind = true;
    this.stop();
  }

  private stopTimer(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.before = 0;
  }

  private release(publisher: Session): void {
    this.held.delete(publisher);
    publisher.goOn(this);
  }
}
