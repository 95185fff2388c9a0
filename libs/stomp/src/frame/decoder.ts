/*
 * The grammar (STOMP 1.2, Augmented BNF) and where this decoder is more tolerant:
 *
 *   frame   = command EOL *(name ":" value EOL) EOL *OCTET NUL *EOL
 *   EOL     = LF, or CR LF in 1.2 and before a version is agreed on
 *
 *   - NULs between frames are skipped like EOLs, and a CR LF there in every version. For headers see head.ts.
 *
 * A head (command and headers) is compared with those before (templates.ts), or scanned (head.ts), in one contiguous
 * buffer: as a rule the chunk from the socket; when a head straddles two chunks, its bytes are gathered in `carry`.
 * Bodies are never gathered: they stay slices of the chunks they came in. "Need more bytes" is a state, and nothing is
 * scanned twice but the line that was cut off.
 */
import { Body } from './body.js';
import { bodyForbidden, FrameError, tooLong } from './error.js';
import { Frame, WireHead } from './frame.js';
import { Head } from './head.js';
import { type HeaderStyle, styleOf } from './headers.js';
import { DEFAULT_LIMITS, type FrameLimits } from './limits.js';
import { isCommand, Known, mayHaveBody } from './names.js';
import { findReceipt } from './receipt.js';
import { isRepeated, Templates } from './templates.js';
import type { Version } from './version.js';

export interface FrameDecoderOptions extends FrameLimits {
  /** Takes each whole frame, in order, during `push`. */
  onFrame: (frame: Frame) => void;
  /** Told of each EOL that stands alone between two frames: a heart-beat (STOMP 1.2, Heart-beating). */
  onHeartBeat?: () => void;
  /**
   * Called with the place of its id for an ACK that asks for nothing besides, where heads repeat: true when it is dealt
   * with, and no frame is to be made of it.
   *
   * @internal
   */
  onAck?: (bytes: Buffer, from: number, to: number) => boolean;
  /** The version agreed on; leave it out for a connection that still has to agree on one. */
  version?: Version;
}

const NUL = 0;
const LF = 10;
const CR = 13;

// Between frames; inside a head; inside a body that is counted; inside one that runs to the next NUL.
const BETWEEN = 0;
const HEAD = 1;
const COUNTED = 2;
const UNCOUNTED = 3;

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
  private readonly onAck: FrameDecoderOptions['onAck'];
  private readonly onHeartBeat: (() => void) | undefined;

  private agreed: Version | undefined;
  private style: HeaderStyle = styleOf(undefined);
  private state = BETWEEN;
  private failed: FrameError | undefined;
  private paused = false;
  private busy = false;
  private afterFrame = false;

  // What is still to be decoded: the chunk at hand, and while paused what came after it.
  private chunk: Buffer | undefined;
  private at = 0;
  private waiting: Buffer[] = [];

  // What the next head may look like, and the chunk as it is compared with that.
  private templates: Templates | undefined;
  private view: DataView | undefined;
  private viewed: Buffer | undefined;

  // A head that straddles chunks.
  private carry: Buffer | undefined;
  private carried = 0;

  // What the scan of the head has found so far; its places are relative to the head's first octet.
  private readonly head = new Head();

  // A body in the making: the head that it belongs to, and what has come in other chunks.
  private wire: WireHead | undefined;
  private headSize = 0;
  private body: Body | undefined;

  constructor(options: FrameDecoderOptions) {
    this.onFrame = options.onFrame;
    this.onAck = options.onAck;
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
    this.style = styleOf(version);
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
    if (this.state === COUNTED) return this.headSize + this.head.contentLength;
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
            if (this.templates === undefined || this.head.scanned > 0 || !this.repeats(this.chunk, this.templates)) {
              this.findHead(this.chunk);
            }
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
  private repeats(chunk: Buffer, templates: Templates): boolean {
    const start = this.at;
    const template = templates.of(chunk[start]!);
    templates.recognised = false;
    if (template === undefined) return false;
    if (this.viewed !== chunk) {
      this.view = new DataView(chunk.buffer, chunk.byteOffset, chunk.length);
      this.viewed = chunk;
    }
    const { maxCommand, maxHeader, maxHeaders, maxBody, maxFrame } = this.limits;
    const { command, known } = template;
    if (!template.match(chunk, this.view!, start, maxHeader)) return false;
    templates.recognised = true;
    if (template.longest > maxHeader || template.count > maxHeaders || command.length > maxCommand) return false;
    const body = template.end;
    const length = template.contentLength;
    // Where a NUL is looked for, mostly there is no body.
    const end = length >= 0 ? body + length : chunk[body] === NUL ? body : chunk.indexOf(NUL, body);
    if (end < 0 || chunk[end] !== NUL || end - body > maxBody || end - start > maxFrame) return false;
    if (end > body && !mayHaveBody(command)) return false;
    this.at = end + 1;
    this.state = BETWEEN;
    this.afterFrame = true;
    if (template.brief && this.onAck?.(chunk, template.keyStart, template.keyEnd) === true) return true;
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
      template.address,
    );
    this.onFrame(Frame.received(command, wire, undefined, undefined));
    return true;
  }

  /** Looks for the end of the head, in the chunk if it holds it all, else in the carry. */
  private findHead(chunk: Buffer): void {
    if (this.carry === undefined) {
      const start = this.at;
      const end = this.readHead(chunk, start, chunk.length);
      if (end >= 0) {
        this.at = end;
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
    const end = this.readHead(this.carry, 0, this.carried);
    if (end < 0) {
      this.at += size;
      return;
    }
    this.at += end - before;
    this.carry = undefined;
  }

  /** Tells where the body begins; -1 when more bytes are needed. */
  private readHead(bytes: Buffer, start: number, end: number): number {
    const { head, limits, style } = this;
    try {
      const body = head.scan(bytes, start, end, limits, style);
      if (body >= 0) this.endHead(bytes, start, body);
      return body;
    } catch (error) {
      return this.fail(error, head.receipt(bytes, start, end, style));
    }
  }

  /** The head is complete: what it says is checked, and the way its body is read decided. */
  private endHead(bytes: Buffer, start: number, end: number): void {
    const { head, limits } = this;
    const { maxBody, maxFrame } = limits;
    const length = head.contentLength;
    const wire = head.wire(bytes, start, end, this.style);
    this.wire = wire;
    this.headSize = end - start;
    if (length > maxBody) throw tooLong('body-too-large', 'the body', maxBody);
    if (length + this.headSize > maxFrame) throw tooLong('frame-too-large', 'the frame', maxFrame);
    const command = head.command!;
    if (length > 0 && !this.allowsBody(command)) throw bodyForbidden(command);
    if (isRepeated(command) && head.isRegular(wire, end)) {
      (this.templates ??= new Templates()).learn(command, wire, start, end);
    }
    this.state = length < 0 ? UNCOUNTED : COUNTED;
  }

  private allowsBody(command: string): boolean {
    // An unknown command is for whoever takes the frame to refuse, with its name.
    return mayHaveBody(command) || this.agreed === '1.0' || !isCommand(command);
  }

  /** Octets of the body that came in other chunks. */
  private get have(): number {
    return this.body === undefined ? 0 : this.body.size;
  }

  private countBody(chunk: Buffer): void {
    const { contentLength } = this.head;
    const end = this.at + contentLength - this.have;
    if (end >= chunk.length) this.keep(chunk);
    else if (chunk[end] === NUL) this.endFrame(chunk, end);
    else {
      const what = `the body is longer than its content-length of ${contentLength}`;
      this.failBody(new FrameError('body-unterminated', `${what}: after that many octets comes a NUL`));
    }
  }

  private findBody(chunk: Buffer): void {
    const { maxBody, maxFrame } = this.limits;
    const command = this.head.command!;
    const end = chunk.indexOf(NUL, this.at);
    const size = this.have + (end < 0 ? chunk.length : end) - this.at;
    if (size > 0 && !this.allowsBody(command)) this.failBody(bodyForbidden(command));
    if (size > maxBody) this.failBody(tooLong('body-too-large', 'the body', maxBody));
    if (this.headSize + size > maxFrame) this.failBody(tooLong('frame-too-large', 'the frame', maxFrame));
    if (end < 0) this.keep(chunk);
    else this.endFrame(chunk, end);
  }

  /** The rest of the chunk is a part of the body. */
  private keep(chunk: Buffer): void {
    (this.body ??= new Body()).add(chunk.subarray(this.at));
    this.at = chunk.length;
  }

  private endFrame(chunk: Buffer, end: number): void {
    const { head, body } = this;
    const command = head.command!;
    let wire = this.wire!;
    let whole: Buffer | undefined;
    let parts: Buffer[] | undefined;
    if (body !== undefined) {
      if (end > this.at) body.add(chunk.subarray(this.at, end));
      parts = body.end();
      if (parts.length === 1) {
        whole = parts[0];
        parts = undefined;
      }
    } else if (end > this.at) {
      if (wire.bytes === chunk) wire = wire.withBody(this.at, end);
      else whole = chunk.subarray(this.at, end);
    }
    this.at = end + 1;
    this.state = BETWEEN;
    this.afterFrame = true;
    this.wire = this.body = undefined;
    head.reset();
    this.onFrame(Frame.received(command, wire, whole, parts));
  }

  private failBody(error: FrameError): never {
    const { bytes, start, end } = this.wire!;
    this.fail(error, findReceipt(bytes, start, end, this.style));
  }

  /** @param receipt that the faulty frame asks for, where its line is there */
  private fail(error: unknown, receipt: string | undefined): never {
    if (!(error instanceof FrameError)) throw error;
    error.receipt = receipt;
    this.failed = error;
    this.chunk = this.carry = this.body = undefined;
    this.waiting = [];
    throw error;
  }
}
