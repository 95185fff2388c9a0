/*
 * Whoever looks at many messages does so in slices, one a turn of the event loop, and everybody else goes on in
 * between. A slice is measured in octets, not in time: so the same is done in a turn wherever it runs. Only what a
 * selector costs nobody knows beforehand: a slice is over, too, when its turn has taken long.
 */

import type { Done, Session } from 'nestjs-stomp/server';

/** What one look costs, in octets, besides those that are read from the disk for it. */
const LOOK = 512;
/** Octets of a slice in which others may take their part in the same turn. */
export const SHORT = 64 * 1024;
/** Octets of a slice that has its turn, some thousand looks or a few ms. */
export const LONG = 512 * 1024;
/** How long a turn may be at such work, in ms. */
const PATIENCE = 10;

/** How much may be looked at before others have their turn. */
export class Slice {
  private since = performance.now();

  /** @param left octets that may be looked at; each look counts as some of them */
  constructor(private left = 0) {}

  /** Whether the rest has to wait for another turn. */
  get over(): boolean {
    return this.left <= 0;
  }

  /** As a new one. */
  begin(octets: number): void {
    this.left = octets;
    this.since = performance.now();
  }

  /** One more was looked at. @param octets read from the disk for it */
  look(octets = 0): void {
    this.left -= LOOK + octets;
    if (spend(this.since)) this.left = 0;
    this.since = performance.now();
  }
}

/** How long this turn of the event loop has been at such work, in ms. */
let spent = 0;
let noted = false;

/** What was done since then counts; tells whether others are to have their turn. */
export function spend(since: number): boolean {
  if (!noted) {
    noted = true;
    setImmediate(turn);
  }
  spent += performance.now() - since;
  return isOver();
}

/** Whether this turn has no time left for such work. */
export const isOver = (): boolean => spent > PATIENCE;

function turn(): void {
  spent = 0;
  noted = false;
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
  spent = 0;
  work();
  spent = 0;
}

/** A session is not read until others have had their turn. */
export function giveWay(session: Session): void {
  session.waitFor(BREATH);
  later(() => session.goOn(BREATH));
}

const BREATH = { forget: () => undefined };

/**
 * Does something with each of many, in turns if it takes long; the session that wants it is not read before it is done.
 * Those that are added to a map or a set meanwhile are among them.
 *
 * @param session undefined where it is the broker itself that wants it
 * @param done told when it is, in this turn or a later one, or when something of it has failed
 */
export function inTurns<T>(session: Session | undefined, all: Iterator<T>, work: (one: T) => void, done: Done): void {
  const wait = { forget: () => undefined };
  const end = (error?: Error) => {
    done(error);
    session?.goOn(wait);
  };
  const go = () => {
    for (let next = all.next(); next.done !== true; next = all.next()) {
      const since = performance.now();
      try {
        work(next.value);
      } catch (error) {
        end(error as Error);
        return;
      }
      if (!spend(since)) continue;
      session?.waitFor(wait);
      later(go);
      return;
    }
    end();
  };
  go();
}
