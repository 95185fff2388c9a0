/*
 * The frames of a connection look alike: a publisher's SENDs differ in their bodies, a consumer's ACKs in one number.
 * So a head is first compared with the last one of its command, eight bytes at a time; only lines that are known to
 * vary are scanned. Byte for byte, as the decoder does it, a head costs three to four times as much.
 *
 *   MESSAGE\nsubscription:0\nmessage-id:     a run: compared
 *   17-42                                    a value that varies: scanned
 *   \ndestination:/topic/a\n ... \n\n        a run
 *
 * This knows nothing of the grammar beyond that, and refuses whatever is out of the ordinary: a head that does not
 * match goes to the decoder, and so do all that have a carriage return, a backslash or a byte above 127 in them.
 */
import { Known } from './names.js';

/** Longer heads, or ones with more lines, are not worth remembering. */
const MAX_SIZE = 1024;
const MAX_LINES = 32;

/** Octets that are compared at a time, as a number: eight of ASCII that are not all NUL are none that equals another. */
const WORD = 8;
/** Headers that make more of an ACK than an acknowledgement. */
const ELABORATE = Known.receipt | Known.transaction | Known.contentLength;
const LF = 10;
const COLON = 58;

/** What may stand in a value that varies: printable ASCII but for what needs an escape. */
const ORDINARY = new Uint8Array(256).fill(1, 32, 127);
ORDINARY[COLON] = ORDINARY[92] = 0;

/** A stretch of the head that stays the same, and the value that comes after it. */
interface Run {
  readonly start: number;
  readonly size: number;
  /** The bit of {@link Known} of the header whose value varies; -1 when the head ends with the run. */
  readonly bit: number;
}

interface Line {
  /** The name, colon included. */
  readonly name: string;
  readonly value: string;
  readonly bit: number;
  varies: boolean;
}

export class Template {
  /** Where the last head that matched ends, and what is where in it; -1 for what is not there. */
  end = 0;
  destinationStart = -1;
  destinationEnd = -1;
  keyStart = -1;
  keyEnd = -1;
  contentLength = -1;
  /** How many heads have matched. */
  hits = 0;

  /** Stands for the one destination that the heads which match have, if they have one. */
  readonly address: object | undefined;
  /** Whether it is an ACK that asks for nothing besides. */
  readonly brief: boolean;
  /** The bit of the header that `keyStart` tells the place of. */
  readonly key: number;

  private readonly runs: Run[] = [];
  private readonly bytes: DataView;
  // Of the constant lines: places relative to the end of the values that vary before them.
  private readonly fixedLength: number;
  private readonly marks: { readonly run: number; readonly bit: number; readonly from: number; readonly to: number }[] =
    [];

  private constructor(
    readonly command: string,
    readonly known: number,
    readonly plain: boolean,
    contentLength: number,
    /** Octets of its longest line. */
    readonly longest: number,
    private readonly lines: readonly Line[],
  ) {
    this.key = command === 'SEND' ? Known.receipt : Known.id;
    let text = `${command}\n`;
    let start = 0;
    const cut = (bit: number) => {
      this.runs.push({ start, size: text.length - start, bit });
      start = text.length;
    };
    for (const { name, value, bit, varies } of lines) {
      text += name;
      if (varies) cut(bit);
      else {
        if (bit === Known.destination || bit === this.key) {
          const from = text.length - start;
          this.marks.push({ run: this.runs.length, bit, from, to: from + value.length });
        }
        text += value;
      }
      text += '\n';
    }
    text += '\n';
    cut(-1);
    // Not the template itself: messages may wait for long, and would keep it.
    this.address = this.marks.some(({ bit }) => bit === Known.destination) ? {} : undefined;
    this.brief = command === 'ACK' && (known & ELABORATE) === 0 && (known & Known.id) !== 0;
    const length = lines.find(({ bit }) => bit === Known.contentLength);
    this.fixedLength = length?.varies === true ? -1 : contentLength;
    // Of its own: the pool that small buffers are cut from holds other things, and would be kept alive.
    const copy = Buffer.alloc(text.length);
    copy.write(text, 'latin1');
    this.bytes = new DataView(copy.buffer, copy.byteOffset, copy.length);
  }

  /** How many headers there are. */
  get count(): number {
    return this.lines.length;
  }

  /**
   * Remembers a head that the decoder has read, of ASCII without carriage returns and backslashes.
   *
   * @param head from its first byte to the end of its blank line
   * @param bitOf the bit of {@link Known} of a header
   * @param before what was remembered of the last head of that command: what differs, varies
   */
  static of(
    command: string,
    head: string,
    known: number,
    plain: boolean,
    contentLength: number,
    bitOf: (name: string) => number,
    before: Template | undefined,
  ): Template | undefined {
    if (head.length > MAX_SIZE) return undefined;
    const lines: Line[] = [];
    let longest = 0;
    for (const line of head.slice(command.length + 1, -2).split('\n')) {
      if (line === '') continue;
      const colon = line.indexOf(':') + 1;
      const name = line.slice(0, colon);
      lines.push({ name, value: line.slice(colon), bit: bitOf(line.slice(0, colon - 1)), varies: false });
      longest = Math.max(longest, line.length);
    }
    if (lines.length > MAX_LINES) return undefined;
    const same = before?.lines.length === lines.length && lines.every(({ name }, i) => name === before.lines[i]!.name);
    if (same) {
      for (const [i, line] of lines.entries()) {
        const earlier = before.lines[i]!;
        // A value with a colon in it would not be read as one that varies.
        line.varies = (earlier.varies || earlier.value !== line.value) && !line.value.includes(':');
      }
    }
    return new Template(command, known, plain, contentLength, longest, lines);
  }

  /**
   * Whether the head at `at` is one of these; `end`, `contentLength` and the places tell more.
   *
   * @param maxLine the most octets that a line may have
   */
  match(chunk: Uint8Array, view: DataView, from: number, maxLine: number): boolean {
    const { runs, marks, bytes } = this;
    const size = chunk.length;
    let at = from;
    let mark = 0;
    this.contentLength = this.fixedLength;
    for (let r = 0; r < runs.length; r++) {
      const run = runs[r]!;
      const { start, size: n, bit } = run;
      if (at + n > size) return false;
      if (n < WORD) {
        for (let i = 0; i < n; i++) if (chunk[at + i] !== bytes.getUint8(start + i)) return false;
      } else {
        // The last word may overlap the one before it.
        const last = n - WORD;
        for (let i = 0; i < last; i += WORD) {
          if (view.getFloat64(at + i, true) !== bytes.getFloat64(start + i, true)) return false;
        }
        if (view.getFloat64(at + last, true) !== bytes.getFloat64(start + last, true)) return false;
      }
      for (; mark < marks.length && marks[mark]!.run === r; mark++) {
        const place = marks[mark]!;
        if (place.bit === Known.destination) {
          this.destinationStart = at + place.from;
          this.destinationEnd = at + place.to;
        } else {
          this.keyStart = at + place.from;
          this.keyEnd = at + place.to;
        }
      }
      at += n;
      if (bit < 0) break;
      const value = at;
      while (at < size && ORDINARY[chunk[at]!] === 1) at++;
      if (at === size || chunk[at] !== LF || at - value + this.longest > maxLine) return false;
      if (bit === Known.contentLength) {
        if (!this.readLength(chunk, value, at)) return false;
      } else if (bit === Known.destination) {
        this.destinationStart = value;
        this.destinationEnd = at;
      } else if (bit === this.key) {
        this.keyStart = value;
        this.keyEnd = at;
      }
    }
    this.end = at;
    this.hits++;
    return true;
  }

  private readLength(chunk: Uint8Array, from: number, to: number): boolean {
    if (to === from || to - from > 9) return false;
    let length = 0;
    for (let i = from; i < to; i++) {
      const digit = chunk[i]! - 48;
      if (digit < 0 || digit > 9) return false;
      length = length * 10 + digit;
    }
    this.contentLength = length;
    return true;
  }
}
