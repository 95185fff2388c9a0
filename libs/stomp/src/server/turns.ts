/*
 * Frames that are not complete yet, of all clients together. They may take a quarter of the memory for messages: beyond
 * that, and while memory is full, those who send large ones take turns, oldest first, and the others are not read.
 *
 * Somebody always has a turn, unless it is for consumers to make room, so that a frame can be completed. Who does not
 * get on with it in its turn is sent away: else those who stop in the middle would be waited for.
 */
import { StompError } from './error.js';
import type { Memory } from './memory.js';
import type { Session } from './session.js';

/** What incomplete frames may take, and what those may come to whose senders have a turn, as a part of the limit. */
const SHARE = 1 / 4;
/** Frames of which no more is there are counted, but nobody waits with them: most commands are no longer. */
const SMALL = 16 * 1024;
/** In so many ms of a turn this part of the frame has to come. */
const TURN = 10_000;
const PART = 1 / 8;
/** How often those who wait are looked at, in ms. */
const BREATH = 25;

interface Turn {
  /** What the frame can come to. */
  readonly size: number;
  since: number;
  /** What was there of the frame then. */
  had: number;
}

/** The incomplete frames of a server, and whose are being read. */
export class Turns {
  private octets = 0;
  private readonly most: number;
  /** Those in the middle of a frame that is not small. */
  private readonly large = new Set<Session>();
  private readonly turns = new Map<Session, Turn>();
  /** What the frames of those with a turn can come to. */
  private granted = 0;
  private readonly waiting = new Set<Session>();
  /** Whether turns are taken. */
  private crowded = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly memory: Memory) {
    this.most = memory.most * SHARE;
  }

  /** A client has sent a piece: so many octets are there of a frame that is not complete, and were before. */
  read(session: Session, octets: number, before: number): void {
    this.octets += octets - before;
    this.memory.move(octets - before);
    if (octets > SMALL) {
      this.large.add(session);
      if (this.crowded) this.ask(session);
      else if (this.octets > this.most || this.memory.full) this.begin();
    } else if (before > SMALL) {
      this.large.delete(session);
      if (this.take(session) && this.waiting.size > 0) this.lookIn(0);
    }
  }

  /** A client that waited is gone. */
  forget(session: Session): void {
    this.waiting.delete(session);
  }

  private begin(): void {
    this.crowded = true;
    this.lookIn(BREATH);
    for (const session of this.large) this.ask(session);
  }

  private ask(session: Session): void {
    if (this.turns.has(session) || this.waiting.has(session)) return;
    if (this.mayGo(session)) this.give(session);
    else {
      this.waiting.add(session);
      session.waitFor(this);
    }
  }

  private mayGo({ owes, inTransaction, connection }: Session): boolean {
    // What others wait for may stand behind the frame of those.
    const { full, used, low } = this.memory;
    if (full && used > low && !owes && !inTransaction) return false;
    return this.turns.size === 0 || this.granted + connection.expected <= this.most;
  }

  private give(session: Session): void {
    const { expected, gathered } = session.connection;
    this.turns.set(session, { size: expected, since: performance.now(), had: gathered });
    this.granted += expected;
  }

  private take(session: Session): boolean {
    const turn = this.turns.get(session);
    if (turn === undefined) return false;
    this.turns.delete(session);
    // Sums of what has no limit do not come back.
    this.granted = this.turns.size === 0 ? 0 : this.granted - turn.size;
    return true;
  }

  private lookIn(milliseconds: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), milliseconds).unref();
  }

  private look(): void {
    this.judge();
    for (const session of [...this.waiting]) {
      if (!this.mayGo(session)) continue;
      this.waiting.delete(session);
      this.give(session);
      session.goOn(this);
    }
    this.crowded = this.waiting.size > 0 || this.memory.full || this.octets > this.most;
    if (this.crowded) this.lookIn(BREATH);
    else for (const session of [...this.turns.keys()]) this.take(session);
  }

  /** Whose turn is over? */
  private judge(): void {
    const now = performance.now();
    for (const [session, turn] of [...this.turns]) {
      const { gathered, paused } = session.connection;
      // It waits for somebody else, too: its turn may come again when it is read again.
      if (paused) this.take(session);
      else if (now - turn.since >= TURN) {
        if (gathered - turn.had >= turn.size * PART) {
          turn.since = now;
          turn.had = gathered;
          continue;
        }
        this.take(session);
        session.refuse(
          new StompError(
            'memory is full',
            `of a frame of up to ${turn.size} octets only ${gathered} were there, and it did not get on for ${TURN} ms, ` +
              'while others wait for the memory that it takes (max-memory): send it again, or in smaller parts',
          ),
        );
      }
    }
  }
}
