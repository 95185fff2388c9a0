/*
 * What the disk does not give of a queue. Mostly that is over soon: so a message keeps its place, what is behind it
 * waits, and it is tried again. Where that place on the disk is lost, those behind it must not wait for ever.
 */

/** What the process or the system is short of: that is no message's fault. */
const SHORT = /^(EMFILE|ENFILE|ENOMEM|EAGAIN)$/;
/** For so long a message is tried again before it is passed over, in ms. */
const PATIENCE = 5_000;
/** Where nothing was asked for so long, in ms, that begins anew. */
const PAUSE = 1_000;

export class Unread {
  /** The numbers of messages that are passed over: they are back at the next start. */
  readonly withheld = new Set<number>();
  /** Since when others were tried, and when last, by their numbers. */
  private readonly tried = new Map<number, { since: number; last: number }>();
  /** When the last one was passed over: those behind it mostly stand in the same place. */
  private lost = Number.NEGATIVE_INFINITY;

  /**
   * @param queue whose messages they are
   * @param short told of what the process or the system is short of
   */
  constructor(
    private readonly queue: string,
    private readonly report: (line: string) => void,
    private readonly short: (line: string) => void,
  ) {}

  /** A message could not be read; tells whether it is to be tried again. */
  miss(seq: number, { code = '', message }: NodeJS.ErrnoException): boolean {
    if (SHORT.test(code)) {
      this.short(
        `messages cannot be read, those of queue ${this.queue} first: they keep their places until they can be (${message})`,
      );
      return true;
    }
    const now = performance.now();
    const isLost = now - this.lost < PAUSE;
    if (!isLost && this.bears(seq, now, message)) return true;
    if (!isLost) {
      this.report(
        `messages of queue ${this.queue} cannot be read: they are passed over until the next start (${message})`,
      );
    }
    this.lost = now;
    this.withhold(seq);
    return false;
  }

  /** A message was read. */
  give(seq: number): void {
    this.lost = Number.NEGATIVE_INFINITY;
    if (this.tried.delete(seq) && this.tried.size === 0)
      this.report(`messages of queue ${this.queue} can be read again`);
  }

  /** A message is passed over until the next start. */
  withhold(seq: number): void {
    this.forget(seq);
    this.withheld.add(seq);
  }

  /** A message is gone. */
  forget(seq: number): void {
    this.tried.delete(seq);
  }

  private bears(seq: number, now: number, why: string): boolean {
    const before = this.tried.get(seq);
    if (before !== undefined && now - before.last < PAUSE) {
      before.last = now;
      return now - before.since < PATIENCE;
    }
    if (this.tried.size === 0) {
      this.report(`a message of queue ${this.queue} cannot be read: it keeps its place, and is tried again (${why})`);
    }
    this.tried.set(seq, { since: now, last: now });
    return true;
  }
}
