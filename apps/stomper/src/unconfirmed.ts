/** A line that was read. */
export interface Line {
  readonly bytes: Buffer;
}

/** How much is read ahead of the broker's receipts. */
const MAX_LINES = 8 * 1024;
const MAX_BYTES = 4 * 1024 * 1024;

/** The lines that were read and are not confirmed, in their order. */
export class Unconfirmed implements Iterable<Line> {
  private readonly lines = new Set<Line>();
  private bytes = 0;
  private waiting: { readonly holds: () => boolean; readonly resolve: () => void } | undefined;
  /** How many were confirmed. */
  confirmed = 0;

  get size(): number {
    return this.lines.size;
  }

  /** Whether reading has to wait. */
  get full(): boolean {
    return this.lines.size >= MAX_LINES || this.bytes >= MAX_BYTES;
  }

  add(line: Line): void {
    this.lines.add(line);
    this.bytes += line.bytes.length;
  }

  confirm(line: Line): void {
    if (!this.lines.delete(line)) return;
    this.bytes -= line.bytes.length;
    this.confirmed++;
    if (this.waiting?.holds() !== true) return;
    this.waiting.resolve();
    this.waiting = undefined;
  }

  /** Resolves once there is room for more. */
  room(): Promise<void> {
    return this.until(() => !this.full);
  }

  /** Resolves once all are confirmed. */
  none(): Promise<void> {
    return this.until(() => this.lines.size === 0);
  }

  [Symbol.iterator](): Iterator<Line> {
    return this.lines.values();
  }

  /** One waits at a time: whoever reads. */
  private until(holds: () => boolean): Promise<void> {
    if (holds()) return Promise.resolve();
    return new Promise((resolve) => (this.waiting = { holds, resolve }));
  }
}
