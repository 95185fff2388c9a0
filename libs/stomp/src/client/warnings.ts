/** So many errors are told of in that time, in ms; the rest is counted. */
const MOST = 10;
const PERIOD = 1_000;

/** Tells somebody of errors, as many as somebody can read: a server may send them without an end. */
export class Warnings {
  private since = Number.NEGATIVE_INFINITY;
  private given = 0;
  private untold = 0;

  /** @param tell given an error, and its message with the number of those that were left out before it */
  constructor(private readonly tell: (message: string, error: Error) => void) {}

  give(error: Error): void {
    const now = performance.now();
    if (now - this.since >= PERIOD) {
      this.since = now;
      this.given = 0;
    }
    if (this.given === MOST) {
      this.untold++;
      return;
    }
    this.given++;
    const others = this.untold === 0 ? '' : ` (${this.untold} more were not told of)`;
    this.untold = 0;
    this.tell(error.message + others, error);
  }
}
