/** So many warnings are given in that time, in ms; the rest is counted. */
const MOST = 10;
const PERIOD = 1_000;

/** Errors that nobody listens for become warnings of the process, as many as somebody can read. */
export class Warnings {
  private since = Number.NEGATIVE_INFINITY;
  private given = 0;
  private untold = 0;

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
    process.emitWarning(error.message + others, { type: 'StompWarning', detail: error.stack ?? error.message });
  }
}
