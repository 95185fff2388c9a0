/*
 * The head of a frame, its command and its header lines, octet by octet: the long way of every head that looks like none
 * before (template.ts), and the only one that knows the grammar (decoder.ts).
 *
 *   - A NUL inside a header of a client's frame is refused, which the grammar does not ask for: where it is passed on,
 *     whoever parts frames at NULs would be shown frames that nobody has sent.
 *   - A colon in a value is data: the line is split at the first one.
 *   - 1.0 values may be empty, may be UTF-8, and lose the blanks around them.
 *
 * Each octet is looked at once: a line is passed over to its colon and on to its end, and what stands in it is added up
 * to a few bits. No string is made but for errors. What was found are places relative to the first octet, so that a head
 * of which the end is missing can be moved, and scanned on where the scan has stopped.
 */
import { isUtf8 } from 'node:buffer';
import { FrameError, quote, tooLong } from './error.js';
import { checkEscapes } from './escape.js';
import { WireHead } from './frame.js';
import type { HeaderStyle } from './headers.js';
import type { FrameLimits } from './limits.js';
import { findCommand, findKnown, isUnescaped, Known } from './names.js';
import { findReceipt } from './receipt.js';

const NUL = 0;
const TAB = 9;
const LF = 10;
const CR = 13;
const SPACE = 32;
const COLON = 58;
const BACKSLASH = 92;

// What the octets of a line add up to.
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

/** The first line of a request, or of a response. */
const HTTP = /^(?:[A-Z]+ \S+ )?HTTP\/\d/;

/** Another broker may pass a NUL in a header on: a message that ends each connection it comes over helps nobody. */
const FROM_SERVERS: ReadonlySet<string> = new Set(['CONNECTED', 'MESSAGE', 'RECEIPT', 'ERROR']);

export class Head {
  /** Once its line is there. */
  command: string | undefined;
  /** How many octets have been scanned. */
  scanned = 0;
  /** The bits of {@link Known} of the headers that are there. */
  known = 0;
  /** -1 when there is none. */
  contentLength = -1;

  // The line at hand: where it begins, its colon, and what was found in it.
  private line = 0;
  private colon = -1;
  private flags = 0;
  // All lines so far.
  private linesStart = 0;
  private count = 0;
  private seen = 0;
  private repeated = false;
  private destinationStart = 0;
  private destinationEnd = 0;

  /**
   * Scans the lines of the head that begins at `start`; goes on where it stopped when bytes were missing.
   *
   * @param end of the bytes that are there
   * @returns where the body begins, or -1 when more bytes are needed
   * @throws FrameError when they break the grammar or a limit
   */
  scan(bytes: Buffer, start: number, end: number, limits: Required<FrameLimits>, style: HeaderStyle): number {
    const { maxCommand, maxHeader, maxHeaders, maxFrame } = limits;
    const { crlf } = style;
    let line = start + this.line;
    let at = start + this.scanned;
    if (this.command === undefined) {
      while (at < end && bytes[at] !== LF && bytes[at] !== NUL) at++;
      if (at - line > maxCommand) throw tooLong('command-too-long', 'the command line', maxCommand);
      if (at === end) {
        this.scanned = at - start;
        return -1;
      }
      if (bytes[at] === NUL) {
        throw new FrameError('command-malformed', 'the frame ends before its headers: a blank line is missing');
      }
      this.command = readCommand(bytes, line, crlf && bytes[at - 1] === CR ? at - 1 : at, style);
      line = ++at;
      this.line = this.linesStart = line - start;
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
      if (at - line > maxHeader) throw tooLong('header-too-long', 'a header line', maxHeader);
      if (at - start > maxFrame) throw tooLong('frame-too-large', 'the frame', maxFrame);
      if (at === end) {
        this.scanned = at - start;
        this.colon = colon < 0 ? -1 : colon - start;
        this.flags = flags;
        return -1;
      }
      if (colon < 0) {
        if (at === line || (crlf && at === line + 1 && bytes[line] === CR)) return at + 1;
        throw malformed(`header line ${this.count + 1} has no colon`);
      }
      if (colon === line) throw malformed(`header line ${this.count + 1} has no name`);
      if (++this.count > maxHeaders) {
        throw new FrameError('headers-too-many', `the frame has more than ${maxHeaders} headers, the limit`);
      }
      if (flags !== 0) {
        if ((flags & HAS_NUL) !== 0 && !FROM_SERVERS.has(this.command)) {
          throw malformed(`a NUL stands inside the header ${show(bytes, line, colon)}: it ends a frame`);
        }
        if ((flags & HAS_CR) !== 0 && crlf && bytes.indexOf(CR, line) !== at - 1) {
          throw malformed(`a carriage return stands inside the header ${show(bytes, line, colon)}`);
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
            this.contentLength = readLength(bytes, colon + 1, at, style);
          }
        }
      }
      line = ++at;
      this.line = line - start;
      colon = -1;
      flags = 0;
    }
  }

  /**
   * A head that is complete.
   *
   * @param end where the body begins
   * @throws FrameError when its text is not valid
   */
  wire(bytes: Buffer, start: number, end: number, style: HeaderStyle): WireHead {
    const { seen, destinationStart, destinationEnd } = this;
    const raw = isUnescaped(this.command!) && style.escaping !== 'raw';
    const wire = new WireHead(
      bytes,
      start + this.linesStart,
      bytes[end - 2] === CR && style.crlf ? end - 2 : end - 1,
      raw ? { ...style, escaping: 'raw' } : style,
      this.known,
      (seen & ~HAS_HIGH) === 0 && !this.repeated && !style.trim,
      destinationStart === 0 ? 0 : start + destinationStart,
      destinationEnd === 0 ? 0 : start + destinationEnd,
      0,
      0,
      this.contentLength,
      0,
      0,
    );
    if ((seen & HAS_HIGH) !== 0 && !isUtf8(bytes.subarray(wire.start, wire.end))) {
      throw new FrameError('utf8-invalid', 'the headers are not valid UTF-8');
    }
    if ((seen & HAS_BACKSLASH) !== 0) {
      checkEscapes(bytes.toString('utf8', wire.start, wire.end - 1), wire.style.escaping);
    }
    return wire;
  }

  /**
   * Whether it can be a template: ASCII without escapes, a line feed at the end of each line, no header twice.
   *
   * @param body where the body begins
   */
  isRegular({ bytes, start, end, style }: WireHead, body: number): boolean {
    if ((this.seen & ~HAS_COLON) !== 0 || this.repeated || style.trim) return false;
    return bytes[start - 2] !== CR && end === body - 1;
  }

  /** The receipt that it asks for, as far as it is there: up to `end`. */
  receipt(bytes: Buffer, start: number, end: number, style: HeaderStyle): string | undefined {
    return this.command === undefined ? undefined : findReceipt(bytes, start + this.linesStart, end, style);
  }

  /** For the head of the next frame. */
  reset(): void {
    this.command = undefined;
    this.line = this.scanned = this.linesStart = this.flags = this.count = this.seen = this.known = 0;
    this.repeated = false;
    this.destinationStart = this.destinationEnd = 0;
    this.contentLength = this.colon = -1;
  }
}

function readCommand(bytes: Buffer, start: number, end: number, { escaping }: HeaderStyle): string {
  const known = findCommand(bytes, start, end);
  if (known !== undefined) return known;
  if (!isUtf8(bytes.subarray(start, end))) throw new FrameError('utf8-invalid', 'the command is not valid UTF-8');
  const command = bytes.toString('utf8', start, end);
  // Its headers end without a NUL: nobody would ever be told that this is the wrong port.
  if (escaping === 'raw' && HTTP.test(command)) {
    throw new FrameError('not-stomp', 'the peer speaks HTTP, and this connection STOMP');
  }
  return command;
}

function readLength(bytes: Buffer, from: number, end: number, { crlf, trim }: HeaderStyle): number {
  let at = from;
  let last = end;
  if (crlf && bytes[last - 1] === CR) last--;
  if (trim) {
    while (at < last && (bytes[at] === SPACE || bytes[at] === TAB)) at++;
    while (last > at && (bytes[last - 1] === SPACE || bytes[last - 1] === TAB)) last--;
  }
  let value = 0;
  for (let i = at; i < last; i++) {
    const digit = bytes[i]! - 48;
    if (digit < 0 || digit > 9) value = NaN;
    else value = value * 10 + digit;
  }
  if (at === last || !Number.isSafeInteger(value)) {
    const text = show(bytes, from, end);
    throw new FrameError('content-length-invalid', `content-length is ${text}: it is a count of octets, in digits`);
  }
  return value;
}

const malformed = (message: string) => new FrameError('header-malformed', message);

/** A piece of it, fit for a message. */
const show = (bytes: Buffer, from: number, end: number) =>
  quote(bytes.toString('utf8', from, Math.min(end, from + 100)));
