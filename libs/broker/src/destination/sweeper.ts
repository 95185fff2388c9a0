import type { Backlog, Cursor, Entry, Sweep } from './backlog.js';
import { later, LONG, SHORT, Slice } from './slice.js';

/** How often a queue looks for expired messages at most, in ms. */
const PAUSE = 1_000;

export interface SweeperOwner {
  /** Whether there is more to be done with what has expired than to forget it. */
  readonly buries: boolean;
  /** A message has expired, and waits no more. */
  expired(entry: Entry): void;
  /** All that waits was looked at; whether some of it will expire later. */
  swept(left: boolean): void;
}

/** Looks for messages that have expired, so that nobody has to come for them; a slice at a time. */
export class Sweeper {
  private timer: NodeJS.Timeout | undefined;
  /** Where it looks at the moment. */
  private cursor: Cursor | undefined;

  constructor(
    private readonly backlog: Backlog,
    private readonly owner: SweeperOwner,
  ) {}

  /** There is something that expires. */
  watch(): void {
    if (this.timer !== undefined) return;
    this.timer = setTimeout(() => this.sweep(Date.now(), this.backlog.cursor()), PAUSE);
    this.timer.unref();
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.cursor?.close();
    this.cursor = undefined;
  }

  private sweep(now: number, cursor: Cursor): void {
    const { backlog, owner } = this;
    let left = false;
    const sweep: Sweep = {
      wanted: owner.buries,
      accepts: (expires) => {
        left ||= expires > now;
        return expires !== 0 && expires <= now;
      },
      missed: () => (left = true),
    };
    const slice = new Slice();
    const look = (octets: number) => {
      if (this.cursor !== cursor) return;
      slice.begin(octets);
      for (const entry of backlog.sweep(cursor, sweep, slice)) owner.expired(entry);
      if (slice.over) {
        later(() => look(LONG));
        return;
      }
      this.stop();
      owner.swept(left);
    };
    this.cursor = cursor;
    look(SHORT);
  }
}
