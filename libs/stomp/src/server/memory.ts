/*
 * What a server holds of messages for others: those that wait in queues, for their time, or for a COMMIT. A client that
 * only sends is not read from the high mark on, until consumers have brought it down to the low mark.
 *
 * Nobody waits for ever for somebody who waits: a client that has acknowledgements or a COMMIT still to send, which would
 * make room, is read on all the same, a message at a time.
 */
import type { ServerLog } from './options.js';
import type { Session } from './session.js';

/** The low mark, as a part of the high one. */
const LOW = 0.75;
/** How often clients that others may wait for are read on while memory is full, in ms. */
const BREATH = 25;

/** The octets of messages that a server may hold, and those whom it does not read while there are too many. */
export class Memory {
  /** Octets held at the moment. */
  used = 0;
  /** Whether publishers are to be held up: since the high mark was passed, until the low one is reached. */
  full = false;
  private readonly held = new Set<Session>();
  private readonly low: number;
  private timer: NodeJS.Timeout | undefined;

  /** @param most the high mark, in octets; no limit by default */
  constructor(
    readonly most = Number.POSITIVE_INFINITY,
    private readonly log?: ServerLog,
  ) {
    this.low = most * LOW;
  }

  /** So many more octets are held; fewer, if negative. */
  add(octets: number): void {
    this.used += octets;
    if (this.full) {
      // Not from here: whoever gives octets back is in the middle of something.
      if (this.used <= this.low) this.timer ??= setTimeout(() => this.look(), 0);
    } else if (this.used > this.most) {
      this.full = true;
      this.log?.log(0, `messages take ${this.most} octets, the limit of memory: publishers are held up`);
    }
  }

  /** Reads no further from a publisher while memory is full. */
  hold(publisher: Session): void {
    if (!this.full || this.held.has(publisher)) return;
    this.held.add(publisher);
    publisher.waitFor(this);
    this.timer ??= setTimeout(() => this.look(), BREATH).unref();
  }

  /** A publisher is gone. */
  forget(publisher: Session): void {
    this.held.delete(publisher);
  }

  /** Goes on with those who may. */
  private look(): void {
    this.timer = undefined;
    if (this.full && this.used <= this.low) {
      this.full = false;
      this.log?.log(0, 'memory is free again: publishers go on');
    }
    for (const publisher of [...this.held]) {
      if (this.full && !publisher.owes && !publisher.inTransaction) continue;
      this.held.delete(publisher);
      publisher.goOn(this);
      if (!this.full && this.used > this.most) break;
    }
    if (this.held.size > 0) this.timer ??= setTimeout(() => this.look(), BREATH).unref();
  }
}
