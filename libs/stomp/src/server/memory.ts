/*
 * What a server holds of messages for others: those that wait in queues, for their time, or for a COMMIT, and those in
 * transit, which have come in part, or wait for a client to read. A client that only sends is not read from the high
 * mark on, until consumers have brought it down to the low mark.
 *
 * Nobody waits for ever for somebody who waits: a client that has acknowledgements or a COMMIT still to send, which would
 * make room, is read on all the same, a message at a time. What such clients add goes into a reserve, of which each has a
 * share: who has used it up may acknowledge, commit and abort, but not send.
 */
import { StompError } from './error.js';
import type { ServerLog } from './options.js';
import type { Session } from './session.js';
import { Turns } from './turns.js';
import { Unread } from './unread.js';
import { Upkeep } from './upkeep.js';

/** The low mark, as a part of the high one. */
const LOW = 0.75;
/** How much more clients may add that are read on beyond the high mark, as a part of it: all of them, and each. */
const RESERVE = 1 / 4;
const SHARE = 1 / 8;
/** How often clients that others may wait for are read on while memory is full, in ms. */
const BREATH = 25;

/** The octets of messages that a server may hold, and those whom it does not read while there are too many. */
export class Memory {
  /** Octets held at the moment, of messages that are there and not delivered. */
  used = 0;
  /** @internal Those who are in the middle of a frame. */
  readonly turns: Turns;
  /** @internal What waits for clients to read. */
  readonly unread: Unread;
  /** What subscriptions take while they are there. */
  readonly upkeep: Upkeep;
  /** @internal The low mark, in octets. */
  readonly low: number;
  /** Whether publishers are to be held up: since the high mark was passed, until the low one is reached. */
  full = false;
  private readonly held = new Set<Session>();
  /** Octets on their way in or out. */
  private transit = 0;
  /** The most that was held since memory is full, and by how much each client that was read on has raised it. */
  private highest = 0;
  private raised = new WeakMap<Session, number>();
  private timer: NodeJS.Timeout | undefined;

  /** @param most the high mark, in octets; no limit by default */
  constructor(
    readonly most = Number.POSITIVE_INFINITY,
    private readonly log?: ServerLog,
  ) {
    this.low = most * LOW;
    this.turns = new Turns(this);
    this.unread = new Unread(this);
    this.upkeep = new Upkeep(most);
  }

  /** So many more octets are held; fewer, if negative. */
  add(octets: number): void {
    this.used += octets;
    if (this.full || this.used + this.transit > this.most) this.weigh();
  }

  /** So many more octets are in transit, and no publisher is to blame for them; fewer, if negative. */
  move(octets: number): void {
    this.transit += octets;
    if (this.full || this.used + this.transit > this.most) this.weigh();
  }

  private get total(): number {
    return this.used + this.transit;
  }

  private weigh(): void {
    if (this.full) {
      // Not from here: whoever gives octets back is in the middle of something.
      if (this.total <= this.low) this.timer ??= setTimeout(() => this.look(), 0);
    } else {
      this.full = true;
      this.highest = this.used;
      this.raised = new WeakMap();
      this.log?.log(0, `messages take ${this.most} octets, the limit of memory: publishers are held up`);
      this.breathe();
    }
  }

  /**
   * Whether a client may send while memory is full. One that owes nothing may: it is not read after that.
   *
   * @throws StompError when it has used up its share of the reserve, or all have used up all of it
   */
  check(publisher: Session): void {
    const { most, used } = this;
    const all = used > most * (1 + RESERVE);
    if (!all && (this.raised.get(publisher) ?? 0) <= most * SHARE) return;
    if (!isReadOn(publisher)) return;
    const whose = all ? 'clients' : 'this client';
    throw new StompError(
      'memory is full',
      `messages take ${used} octets, the limit (max-memory) is ${most}, and ${whose} that may still acknowledge or commit ` +
        'sent on: acknowledge or commit before sending more, or send over a connection that does nothing else',
    );
  }

  /** Reads no further from a publisher, after a message of its, while memory is full. */
  hold(publisher: Session): void {
    const { highest, used } = this;
    if (used > highest) {
      this.highest = used;
      if (isReadOn(publisher)) this.raised.set(publisher, (this.raised.get(publisher) ?? 0) + used - highest);
    }
    if (this.held.has(publisher)) return;
    this.held.add(publisher);
    publisher.waitFor(this);
    this.breathe();
  }

  /** A publisher is gone. */
  forget(publisher: Session): void {
    this.held.delete(publisher);
  }

  /** Goes on with those who may. */
  private look(): void {
    this.timer = undefined;
    if (this.full && this.total <= this.low) {
      this.full = false;
      this.unread.rest();
      this.log?.log(0, 'memory is free again: publishers go on');
    }
    for (const publisher of [...this.held]) {
      if (this.full && !isReadOn(publisher)) continue;
      this.held.delete(publisher);
      publisher.goOn(this);
    }
    if (this.full) this.unread.look();
    if (this.full || this.held.size > 0) this.breathe();
  }

  private breathe(): void {
    this.timer ??= setTimeout(() => this.look(), BREATH).unref();
  }
}

/** Whether something that the client has still to send may make room. */
const isReadOn = ({ owes, inTransaction }: Session): boolean => owes || inTransaction;
