const LF = 0x0a;
const CR = 0x0d;
/** A buffer larger than this, in octets, is not kept for the next line. */
const KEPT = 64 * 1024;

/** Cuts chunks of bytes into the lines that are not empty. A line ends with LF or CR LF, which is left out. */
export class Lines {
  /** The beginning of a line whose end has not come yet: a buffer, and how much of it is filled. */
  private held = Buffer.alloc(0);
  private length = 0;
  /** How many lines there were, empty ones included. */
  private count = 0;

  /** @param most the longest line, in octets */
  constructor(private readonly most: number) {}

  /**
   * The lines that end in this chunk, some of them views of it.
   *
   * @throws Error for a line that is too long; the lines before it have come
   */
  *push(chunk: Buffer): Generator<Buffer, void> {
    let start = 0;
    for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, start)) {
      const line = this.finish(chunk.subarray(start, end));
      start = end + 1;
      if (line.length > 0) yield line;
    }
    if (start < chunk.length) this.hold(chunk.subarray(start));
  }

  /** The last line, when no LF came after it. */
  end(): Buffer | undefined {
    return this.length > 0 ? this.finish(Buffer.alloc(0)) : undefined;
  }

  private finish(rest: Buffer): Buffer {
    let line = rest;
    if (this.length > 0) {
      this.hold(rest);
      line = this.held.subarray(0, this.length);
      if (this.held.length <= KEPT) line = Buffer.from(line);
      else this.held = Buffer.alloc(0);
      this.length = 0;
    } else this.check(line.length);
    this.count++;
    return line.at(-1) === CR ? line.subarray(0, -1) : line;
  }

  private hold(bytes: Buffer): void {
    const length = this.length + bytes.length;
    this.check(length);
    if (length > this.held.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(length, Math.min(2 * this.held.length, this.most)));
      this.held.copy(larger, 0, 0, this.length);
      this.held = larger;
    }
    bytes.copy(this.held, this.length);
    this.length = length;
  }

  private check(length: number): void {
    if (length <= this.most) return;
    throw new Error(`line ${this.count + 1} is longer than ${this.most} octets: split it, or raise --max-line`);
  }
}
