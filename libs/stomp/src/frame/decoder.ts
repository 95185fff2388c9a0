/*
 * The grammar (STOMP 1.2, Augmented BNF) and where this decoder is more tolerant:
 *
 *   frame   = command EOL *(name ":" value EOL) EOL *OCTET NUL *EOL
 *   EOL     = LF, or CR LF in 1.2 and before a version is agreed on
 *
 *   - NULs between frames are skipped like EOLs, and a CR LF there in every version.
 *   - A NUL inside a header of a client's frame is refused, which the grammar does not ask for: where it is passed on,
 *     whoever parts frames at NULs would be shown frames that nobody has sent.
 *   - A colon in a value is data: the line is split at the first one.
 *   - 1.0 values may be empty, may be UTF-8, and lose the blanks around them.
 *
 * A head (command and headers) is scanned in one contiguous buffer: as a rule the chunk from the socket; when a
 * head straddles two chunks, its bytes are gathered in `carry`. Bodies are never gathered: they stay slices of the
 * chunks they came in. "Need more bytes" is a state, and nothing is scanned twice but the line that was cut off.
 */
import { isUtf8 } from 'node:buffer';
import { FrameError, quote } from './error.js';
import { unescapeHeader } from './escape.js';
import { Frame, WireHead } from './frame.js';
import { type HeaderStyle, trimBlanks } from './headers.js';
import { findCommand, findKnown, isCommand, isUnescaped, Known, mayHaveBody } from './names.js';
import { Template } from './template.js';
import type { Version } from './version.js';

/** What a decoder refuses to read past; each in bytes but `maxHeaders`. */
export interface FrameLimits {
  /** The command line; 1 KiB by default. */
  maxCommand?: number;
  /** One header line; 10 KiB by default. */
  maxHeader?: number;
  /** The number of headers of a frame; 1,000 by default. */
  maxHeaders?: number;
  /** The body; 16 MiB by default. */
  maxBody?: number;
  /** The frame in all, from its command to the end of its body; no limit of its own by default. */
  maxFrame?: number;
}

/** The limits of a decoder that is told nothing else. */
export const DEFAULT_LIMITS: Readonly<Required<FrameLimits>> = {
  maxCommand: 1024,
  maxHeader: 10 * 1024,
  maxHeaders: 1000,
  maxBody: 16 * 1024 * 1024,
  maxFrame: Number.POSITIVE_INFINITY,
};

export interface FrameDecoderOptions extends FrameLimits {
  /** Takes each whole frame, in order, during `push`. */
  onFrame: (frame: Frame) => void;
  /** Told of each EOL that stands alone between two frames: a heart-beat (STOMP 1.2, Heart-beating). */
  onHeartBeat?: () => void;
  /** The version agreed on; leave it out for a connection that still has to agree on one. */
  version?: Version;
}

const NUL = 0;
const LF = 10;
const CR = 13;
const COLON = 58;
const BACKSLASH = 92;

// What the bytes of a line add up to.
const HAS_CR = 1;
const HAS_BACKSLASH = 2;
const HAS_HIGH = 4;
const HAS_COLON = 8;
const HAS_NUL = 16;
const CLASS = new Uint8Array(256);
CLASS[CR] = HAS_CR;
CLASS[BACKSLASH] = HAS_BACKSLASH;
CLASS[COLON] = HAS_COLON;
CLASS[NUL] = HAS_NUL;
CLASS.fill(HAS_HIGH, 128);

const OPENING: HeaderStyle = { escaping: 'raw', trim: false, crlf: true };
const STYLES: Record<Version, HeaderStyle> = {
  '1.0': { escaping: '1.0', trim: true, crlf: false },
  '1.1': { escaping: '1.1', trim: false, crlf: false },
  '1.2': { escaping: '1.2', trim: false, crlf: true },
};

// Between frames; inside a head; inside a body that is counted; inside one that runs to the next NUL.
const BETWEEN = 0;
const HEAD = 1;
const COUNTED = 2;
const UNCOUNTED = 3;

const RECEIPT = 'receipt';
/** The first line of a request, or of a response. */
const HTTP = /^(?:[A-Z]+ \S+ )?HTTP\/\d/;

/** Commands that come in great numbers; they begin with different letters. */
const REPEATED: ReadonlySet<string> = new Set(['SEND', 'MESSAGE', 'ACK', 'NACK', 'RECEIPT']);
/** Another broker may pass a NUL in a header on: a message that ends each connection it comes over helps nobody. */
const FROM_SERVERS: ReadonlySet<string> = new Set(['CONNECTED', 'MESSAGE', 'RECEIPT', 'ERROR']);
/** The most heads that go by before another is remembered. */
const MOST_REST = 255;

/** How much of a chunk is copied at a time to complete a head that straddles two chunks. */
const BRIDGE = 1024;

/**
 * Turns bytes, in whatever pieces they come, into frames.
 *
 * ```ts
 * const decoder = new FrameDecoder({ onFrame: (frame) => console.log(frame.command) });
 * socket.on('data', (chunk) => decoder.push(chunk));
 * ```
 */
export class FrameDecoder {
  /** The limits in force; they may be changed between two frames. */
  readonly limits: Required<FrameLimits>;
  private readonly onFrame: (frame: Frame) => void;
  private readonly onHeartBeat: (() => void) | undefined;

  private agreed: Version | undefined;
  private style: HeaderStyle = OPENING;
  private state = BETWEEN;
  private failed: FrameError | undefined;
  private paused = false;
  private busy = false;
  private afterFrame = false;

  // What is still to be decoded: the chunk at hand, and while paused what came after it.
  private chunk: Buffer | undefined;
  private at = 0;
  private waiting: Buffer[] = [];

  // What the last heads of the common commands looked like, and the chunk as these are compared with it.
  private templates: (Template | undefined)[] | undefined;
  private view: DataView | undefined;
  private viewed: Buffer | undefined;
  // So many heads that match none go by before the next is remembered: more, where heads do not repeat.
  private recognised = false;
  private rest = 0;
  private misses = 0;

  // A head that straddles chunks.
  private carry: Buffer | undefined;
  private carried = 0;

  // What the scan of the head has found so far; offsets are relative to the head's first byte.
  private line = 0;
  private scanned = 0;
  private colon = -1;
  private flags = 0;
  private command: string | undefined;
  private headersStart = 0;
  private count = 0;
  private seen = 0;
  private known = 0;
  private repeated = false;
  private destinationStart = 0;
  private destinationEnd = 0;
  private contentLength = -1;

  // A body in the making.
  private head: WireHead | undefined;
  private headSize = 0;
  private parts: Buffer[] = [];
  private tail: Buffer | undefined;
  private tailSize = 0;
  private have = 0;

  constructor(options: FrameDecoderOptions) {
    this.onFrame = options.onFrame;
    this.onHeartBeat = options.onHeartBeat;
    this.limits = { ...DEFAULT_LIMITS };
    for (const name of Object.keys(DEFAULT_LIMITS) as (keyof FrameLimits)[]) {
      this.limits[name] = options[name] ?? DEFAULT_LIMITS[name];
    }
    this.version = options.version;
  }

  /** The version by whose rules frames are read; undefined until CONNECTED has been sent or received. */
  get version(): Version | undefined {
    return this.agreed;
  }

  set version(version: Version | undefined) {
    this.agreed = version;
    this.style = version === undefined ? OPENING : STYLES[version];
    this.templates = undefined;
  }

  /**
   * Decodes the next bytes. The chunk must not be changed afterwards: frames are views of it.
   *
   * @throws FrameError when the bytes break the grammar or a limit; frames before the fault have been given out, and
   *   the decoder stays at the fault: each further push throws the same error
   */
  push(chunk: Uint8Array): void {
    if (this.failed !== undefined) throw this.failed;
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (this.chunk === undefined) {
      this.chunk = bytes;
      this.at = 0;
    } else this.waiting.push(bytes);
    if (!this.busy) this.run();
  }

  /** Gives out no further frame until `resume`; what is pushed meanwhile is kept. May be called from `onFrame`. */
  pause(): void {
    this.paused = true;
  }

  /**
   * Goes on with what was kept.
   *
   * @throws FrameError as `push` does
   */
  resume(): void {
    this.paused = false;
    if (this.failed !== undefined) throw this.failed;
    if (this.chunk !== undefined && !this.busy) this.run();
  }

  /** The fault that the decoder stays at, if it has met one. */
  get fault(): FrameError | undefined {
    return this.failed;
  }

  /** Whether a frame has begun and not ended: bytes that end here were cut off. */
  get partial(): boolean {
    return this.state !== BETWEEN;
  }

  /** Octets kept of a frame that has begun and not ended. */
  get gathered(): number {
    if (this.state === BETWEEN) return 0;
    if (this.state === HEAD) return this.carry === undefined ? 0 : this.carried;
    return this.headSize + this.have;
  }

  /** The most that the frame which has begun can come to: what its content-length says, or else the limits. */
  get expected(): number {
    const { maxBody, maxFrame } = this.limits;
    if (this.state === COUNTED) return this.headSize + this.contentLength;
    return Math.min(maxFrame, this.gathered + maxBody);
  }

  private run(): void {
    this.busy = true;
    try {
      while (this.chunk !== undefined && !this.paused) {
        if (this.at === this.chunk.length) {
          this.chunk = this.waiting.shift();
          this.at = 0;
          continue;
        }
        switch (this.state) {
          case BETWEEN:
            this.skip(this.chunk);
            break;
          case HEAD:
            if (this.templates === undefined || this.scanned > 0 || !this.repeats(this.chunk))
              this.scanHead(this.chunk);
            break;
          case COUNTED:
            this.countBody(this.chunk);
            break;
          default:
            this.findBody(this.chunk);
        }
      }
      if (this.chunk !== undefined && this.at === this.chunk.length && this.waiting.length === 0) {
        this.chunk = undefined;
      }
    } finally {
      this.view = this.viewed = undefined;
      this.busy = false;
    }
  }

  private skip(chunk: Buffer): void {
    let at = this.at;
    for (; at < chunk.length; at++) {
      const c = chunk[at];
      if (c === LF) {
        if (this.afterFrame) this.afterFrame = false;
        else this.onHeartBeat?.();
      } else if (c !== NUL && c !== CR) {
        this.state = HEAD;
        break;
      }
    }
    this.at = at;
  }

  /** Takes a whole frame whose head looks like an earlier one. Whatever is out of the ordinary is left to others. */
  private repeats(chunk: Buffer): boolean {
    const start = this.at;
    const template = this.templates![chunk[start]! & 31];
    this.recognised = false;
    if (template === undefined) return false;
    if (this.viewed !== chunk) {
      this.view = new DataView(chunk.buffer, chunk.byteOffset, chunk.length);
      this.viewed = chunk;
    }
    const { maxCommand, maxHeader, maxHeaders, maxBody, maxFrame } = this.limits;
    const { command, known } = template;
    if (!template.match(chunk, this.view!, start, maxHeader)) return false;
    this.recognised = true;
    if (template.longest > maxHeader || template.count > maxHeaders || command.length > maxCommand) return false;
    const body = template.end;
    const length = template.contentLength;
    const end = length < 0 ? chunk.indexOf(NUL, body) : body + length;
    if (end < 0 || chunk[end] !== NUL || end - body > maxBody || end - start > maxFrame) return false;
    if (end > body && !mayHaveBody(command)) return false;
    const wire = new WireHead(
      chunk,
      start + command.length + 1,
      body - 1,
      this.style,
      known,
      template.plain,
      (known & Known.destination) === 0 ? 0 : template.destinationStart,
      (known & Known.destination) === 0 ? 0 : template.destinationEnd,
      (known & template.key) === 0 ? 0 : template.keyStart,
      (known & template.key) === 0 ? 0 : template.keyEnd,
      length,
      body,
      end,
    );
    this.at = end + 1;
    this.state = BETWEEN;
    this.afterFrame = true;
    this.onFrame(Frame.received(command, wire, undefined, undefined));
    return true;
  }

  /** Of the commands that come in great numbers the last head is kept, as what the next may look like. */
  private remember(bytes: Buffer, start: number, end: number, plain: boolean): void {
    const command = this.command!;
    // A body that is not there yet is no reason to learn the head anew.
    if (this.recognised || !REPEATED.has(command) || ++this.misses < this.rest) return;
    const place = bytes[start]! & 31;
    const templates = (this.templates ??= new Array<Template | undefined>(32).fill(undefined));
    const before = templates[place];
    this.misses = 0;
    this.rest = before === undefined || before.hits > 8 ? 0 : Math.min(MOST_REST, this.rest * 2 + 1);
    const head = bytes.toString('latin1', start, end);
    templates[place] = Template.of(command, head, this.known, plain, this.contentLength, knownBit, before);
  }

  /** Looks for the end of the head, in the chunk if it holds it all, else in the carry. */
  private scanHead(chunk: Buffer): void {
    if (this.carry === undefined) {
      const start = this.at;
      const end = this.scan(chunk, start, chunk.length);
      if (end >= 0) {
        this.at = end;
        this.endHead(chunk, start, end);
        return;
      }
      this.carried = chunk.length - start;
      this.carry = Buffer.allocUnsafeSlow(Math.max(BRIDGE, 2 * this.carried));
      chunk.copy(this.carry, 0, start);
      this.at = chunk.length;
      return;
    }
    const before = this.carried;
    const size = Math.min(BRIDGE, chunk.length - this.at);
    if (before + size > this.carry.length) {
      const larger = Buffer.allocUnsafeSlow(2 * (before + size));
      this.carry.copy(larger, 0, 0, before);
      this.carry = larger;
    }
    chunk.copy(this.carry, before, this.at, this.at + size);
    this.carried = before + size;
    const end = this.scan(this.carry, 0, this.carried);
    if (end < 0) {
      this.at += size;
      return;
    }
    this.at += end - before;
    const carry = this.carry;
    this.carry = undefined;
    this.endHead(carry, 0, end);
  }

  /**
   * Scans the lines of the head that begins at `start`; goes on where it stopped when bytes were missing.
   *
   * @returns where the body begins, or -1 when more bytes are needed
   */
  private scan(bytes: Buffer, start: number, end: number): number {
    const { maxCommand, maxHeader, maxHeaders, maxFrame } = this.limits;
    const crlf = this.style.crlf;
    let line = start + this.line;
    let at = start + this.scanned;
    if (this.command === undefined) {
      while (at < end && bytes[at] !== LF && bytes[at] !== NUL) at++;
      if (at - line > maxCommand) this.tooLong('command-too-long', 'the command line', maxCommand);
      if (at === end) {
        this.scanned = at - start;
        return -1;
      }
      if (bytes[at] === NUL) {
        this.fail('command-malformed', 'the frame ends before its headers: a blank line is missing');
      }
      this.command = this.readCommand(bytes, line, crlf && bytes[at - 1] === CR ? at - 1 : at);
      line = ++at;
      this.line = this.headersStart = line - start;
    }
    let colon = this.colon < 0 ? -1 : start + this.colon;
    let flags = this.flags;
    let c = 0;
    for (;;) {
      // The name, up to the first colon.
      if (colon < 0) {
        while (at < end && (c = bytes[at]!) !== COLON && c !== LF) {
          flags |= CLASS[c]!;
          at++;
        }
        if (at < end && c === COLON) colon = at++;
      }
      if (colon >= 0) {
        while (at < end && (c = bytes[at]!) !== LF) {
          flags |= CLASS[c]!;
          at++;
        }
      }
      if (at - line > maxHeader) this.tooLong('header-too-long', 'a header line', maxHeader, bytes, start);
      if (at - start > maxFrame) this.tooLong('frame-too-large', 'the frame', maxFrame, bytes, start);
      if (at === end) {
        this.scanned = at - start;
        this.colon = colon < 0 ? -1 : colon - start;
        this.flags = flags;
        return -1;
      }
      if (colon < 0) {
        if (at === line || (crlf && at === line + 1 && bytes[line] === CR)) return at + 1;
        this.fail('header-malformed', `header line ${this.count + 1} has no colon`, bytes, start);
      }
      if (colon === line) {
        this.fail('header-malformed', `header line ${this.count + 1} has no name`, bytes, start);
      }
      if (++this.count > maxHeaders) {
        this.fail('headers-too-many', `the frame has more than ${maxHeaders} headers, the limit`, bytes, start);
      }
      if (flags !== 0) {
        if ((flags & HAS_NUL) !== 0 && !FROM_SERVERS.has(this.command)) {
          const name = show(bytes, line, colon);
          this.fail('header-malformed', `a NUL stands inside the header ${name}: it ends a frame`, bytes, start);
        }
        if ((flags & HAS_CR) !== 0 && crlf) {
          const cr = bytes.indexOf(CR, line);
          if (cr !== at - 1) {
            this.fail(
              'header-malformed',
              `a carriage return stands inside the header ${show(bytes, line, colon)}`,
              bytes,
              start,
            );
          }
        }
        this.seen |= flags;
      }
      const bit = findKnown(bytes, line, colon);
      if (bit !== 0) {
        if (bit === Known.delivery || bit === Known.credentials) this.known |= bit;
        else if ((this.known & bit) !== 0) this.repeated = true;
        else {
          this.known |= bit;
          if (bit === Known.destination) {
            this.destinationStart = colon + 1 - start;
            this.destinationEnd = at - start;
          } else if (bit === Known.contentLength) {
            this.contentLength = this.readLength(bytes, colon + 1, at, start);
          }
        }
      }
      line = ++at;
      this.line = line - start;
      colon = -1;
      flags = 0;
    }
  }

  private readCommand(bytes: Buffer, start: number, end: number): string {
    const known = findCommand(bytes, start, end);
    if (known !== undefined) return known;
    if (!isUtf8(bytes.subarray(start, end))) this.fail('utf8-invalid', 'the command is not valid UTF-8');
    const command = bytes.toString('utf8', start, end);
    // Its headers end without a NUL: nobody would ever be told that this is the wrong port.
    if (this.agreed === undefined && HTTP.test(command)) {
      this.fail('not-stomp', 'the peer speaks HTTP, and this connection STOMP');
    }
    return command;
  }

  private readLength(bytes: Buffer, from: number, end: number, start: number): number {
    let at = from;
    let last = end;
    if (this.style.crlf && bytes[last - 1] === CR) last--;
    if (this.style.trim) {
      while (at < last && (bytes[at] === 32 || bytes[at] === 9)) at++;
      while (last > at && (bytes[last - 1] === 32 || bytes[last - 1] === 9)) last--;
    }
    let value = 0;
    for (let i = at; i < last; i++) {
      const digit = bytes[i]! - 48;
      if (digit < 0 || digit > 9) value = NaN;
      else value = value * 10 + digit;
    }
    if (at === last || !Number.isSafeInteger(value)) {
      const text = show(bytes, from, end);
      this.fail(
        'content-length-invalid',
        `content-length is ${text}: it is a count of octets, in digits`,
        bytes,
        start,
      );
    }
    return value;
  }

  /** The head is complete: what it says is checked, and the way its body is read decided. */
  private endHead(bytes: Buffer, start: number, end: number): void {
    const command = this.command!;
    const style =
      isUnescaped(command) && this.agreed !== undefined ? { ...this.style, escaping: 'raw' as const } : this.style;
    const blank = bytes[end - 2] === CR && this.style.crlf ? 2 : 1;
    const plain = (this.seen & ~HAS_HIGH) === 0 && !this.repeated && !style.trim;
    const head = new WireHead(
      bytes,
      start + this.headersStart,
      end - blank,
      style,
      this.known,
      plain,
      this.destinationStart === 0 ? 0 : start + this.destinationStart,
      this.destinationEnd === 0 ? 0 : start + this.destinationEnd,
      0,
      0,
      this.contentLength,
      0,
      0,
    );
    this.head = head;
    this.headSize = end - start;
    this.have = 0;
    if ((this.seen & HAS_HIGH) !== 0 && !isUtf8(bytes.subarray(head.start, head.end))) {
      this.fail('utf8-invalid', 'the headers are not valid UTF-8');
    }
    if ((this.seen & HAS_BACKSLASH) !== 0) this.checkEscapes(head);
    const length = this.contentLength;
    if (length > this.limits.maxBody) this.tooLong('body-too-large', 'the body', this.limits.maxBody);
    if (length + this.headSize > this.limits.maxFrame) {
      this.tooLong('frame-too-large', 'the frame', this.limits.maxFrame);
    }
    if (length > 0) this.allowBody();
    if (
      (this.seen & ~HAS_COLON) === 0 &&
      blank === 1 &&
      !this.repeated &&
      !style.trim &&
      bytes[head.start - 2] !== CR
    ) {
      this.remember(bytes, start, end, plain);
    }
    this.state = length < 0 ? UNCOUNTED : COUNTED;
  }

  private checkEscapes(head: WireHead): void {
    for (const line of head.bytes.toString('utf8', head.start, head.end - 1).split('\n')) {
      try {
        const colon = line.indexOf(':');
        unescapeHeader(line.slice(0, colon), head.style.escaping);
        unescapeHeader(line.slice(colon + 1).replace(/\r$/, ''), head.style.escaping);
      } catch (error) {
        if (error instanceof FrameError) this.fail(error.code, error.message);
        throw error;
      }
    }
  }

  private allowBody(): void {
    if (mayHaveBody(this.command!) || this.agreed === '1.0') return;
    const name = this.command!;
    // An unknown command is for whoever takes the frame to refuse, with its name.
    if (!isCommand(name)) return;
    this.fail('body-forbidden', `${name} has no body: only SEND, MESSAGE and ERROR may have one`);
  }

  private countBody(chunk: Buffer): void {
    const missing = this.contentLength - this.have;
    const there = chunk.length - this.at;
    if (there <= missing) {
      this.keep(chunk.subarray(this.at));
      this.at = chunk.length;
      return;
    }
    const end = this.at + missing;
    if (chunk[end] !== NUL) {
      this.fail(
        'body-unterminated',
        `the body is longer than its content-length of ${this.contentLength}: after that many octets comes a NUL`,
      );
    }
    this.endFrame(chunk, end);
  }

  private findBody(chunk: Buffer): void {
    const end = chunk.indexOf(NUL, this.at);
    const size = (end < 0 ? chunk.length : end) - this.at;
    if (this.have + size > 0) this.allowBody();
    if (this.have + size > this.limits.maxBody) this.tooLong('body-too-large', 'the body', this.limits.maxBody);
    if (this.headSize + this.have + size > this.limits.maxFrame) {
      this.tooLong('frame-too-large', 'the frame', this.limits.maxFrame);
    }
    if (end < 0) {
      this.keep(chunk.subarray(this.at));
      this.at = chunk.length;
      return;
    }
    this.endFrame(chunk, end);
  }

  /** Small pieces are copied together, so that a slow sender does not make a list of single bytes. */
  private keep(part: Buffer): void {
    this.have += part.length;
    if (part.length >= BRIDGE) {
      this.sealTail();
      this.parts.push(part);
      return;
    }
    if (this.tailSize + part.length > BRIDGE) this.sealTail();
    this.tail ??= Buffer.allocUnsafeSlow(BRIDGE);
    this.tailSize += part.copy(this.tail, this.tailSize);
  }

  private sealTail(): void {
    if (this.tail === undefined) return;
    this.parts.push(this.tail.subarray(0, this.tailSize));
    this.tail = undefined;
    this.tailSize = 0;
  }

  private endFrame(chunk: Buffer, end: number): void {
    const head = this.head!;
    let wire = head;
    let body: Buffer | undefined;
    let parts: Buffer[] | undefined;
    if (this.have === 0) {
      if (end > this.at) {
        if (head.bytes === chunk) wire = head.withBody(this.at, end);
        else body = chunk.subarray(this.at, end);
      }
    } else {
      if (end > this.at) this.keep(chunk.subarray(this.at, end));
      this.sealTail();
      if (this.parts.length === 1) body = this.parts[0];
      else parts = this.parts;
      this.parts = [];
      this.have = 0;
    }
    const frame = Frame.received(this.command!, wire, body, parts);
    this.at = end + 1;
    this.state = BETWEEN;
    this.afterFrame = true;
    this.head = undefined;
    this.command = undefined;
    this.line = this.scanned = this.headersStart = this.flags = this.count = this.seen = this.known = 0;
    this.repeated = false;
    this.destinationStart = this.destinationEnd = 0;
    this.contentLength = this.colon = -1;
    this.onFrame(frame);
  }

  private tooLong(code: FrameError['code'], what: string, limit: number, bytes?: Buffer, start?: number): never {
    this.fail(code, `${what} is longer than ${limit} octets, the limit`, bytes, start);
  }

  /**
   * Throws; the receipt that the faulty frame asks for goes along where its line is there.
   *
   * @param bytes where the head of the frame is still being scanned: the bytes that hold it, from `start` on
   */
  private fail(code: FrameError['code'], message: string, bytes?: Buffer, start = 0): never {
    const error = new FrameError(code, message);
    const { head, carry } = this;
    if (head !== undefined) error.receipt = this.findReceipt(head.bytes, head.start, head.end);
    else if (bytes !== undefined) {
      error.receipt = this.findReceipt(bytes, start + this.headersStart, bytes === carry ? this.carried : bytes.length);
    }
    this.failed = error;
    this.chunk = this.carry = this.tail = undefined;
    this.waiting = [];
    this.parts = [];
    throw error;
  }

  private findReceipt(bytes: Buffer, from: number, end: number): string | undefined {
    const { crlf, escaping, trim } = this.style;
    for (let at = from, lf: number; at < end; at = lf + 1) {
      lf = bytes.indexOf(LF, at);
      if (lf < 0 || lf >= end || lf === at || (crlf && lf === at + 1 && bytes[at] === CR)) return undefined;
      if (findKnown(bytes, at, at + RECEIPT.length) !== Known.receipt || bytes[at + RECEIPT.length] !== COLON) continue;
      const from = at + RECEIPT.length + 1;
      // A receipt that cannot be read cannot be answered.
      if (!isUtf8(bytes.subarray(from, lf))) return undefined;
      const value = bytes.toString('utf8', from, crlf && bytes[lf - 1] === CR ? lf - 1 : lf);
      try {
        return unescapeHeader(trim ? trimBlanks(value) : value, escaping);
      } catch {
        return undefined;
      }
    }
    return undefined;
  }
}

function knownBit(name: string): number {
  const bytes = Buffer.from(name, 'latin1');
  return findKnown(bytes, 0, bytes.length);
}

function show(bytes: Buffer, from: number, end: number): string {
  return quote(bytes.toString('utf8', from, Math.min(end, from + 100)));
}
