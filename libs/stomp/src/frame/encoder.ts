import { FrameError, quote } from './error.js';
import { escapeHeader, type Escaping, escapingOf } from './escape.js';
import type { Frame } from './frame.js';
import { isUnescaped } from './names.js';
import type { Version } from './version.js';

/** NUL, and the line feed that every frame of ours ends with, so that captures and terminals are readable. */
const END = Buffer.from('\0\n');

export interface EncodeOptions {
  /** The version agreed on; leave it out for frames that come before one is: nothing is escaped then. */
  version?: Version | undefined;
  /**
   * Whether a body is announced by `content-length`; true by default. ActiveMQ takes a body with one for bytes and a
   * body without one for text.
   */
  contentLength?: boolean;
}

/**
 * One header line, escaped, with its line feed.
 *
 * @throws FrameError `header-unencodable` when the version cannot carry it: headers cannot be injected
 */
export function encodeHeader(name: string, value: string, escaping: Escaping): string {
  if (name === '') throw new FrameError('header-unencodable', 'a header has no name');
  return `${escapeHeader(name, escaping, true)}:${escapeHeader(value, escaping, false, name)}\n`;
}

/** The head of a frame: command, headers, `content-length` set to the true length, blank line. */
export function encodeHead(frame: Frame, options: EncodeOptions = {}): string {
  const { command } = frame;
  if (!/^[A-Z]+$/.test(command)) {
    throw new FrameError('command-malformed', `${quote(command)} is not a command: commands are upper-case letters`);
  }
  const escaping = isUnescaped(command) ? 'raw' : escapingOf(options.version);
  let head = command + '\n';
  for (const [name, value] of frame.headers) {
    if (name !== 'content-length') head += encodeHeader(name, value, escaping);
  }
  const length = frame.body.length;
  if (length > 0) {
    if (options.contentLength !== false) head += `content-length:${length}\n`;
    else if (frame.body.includes(0)) {
      throw new FrameError('body-unencodable', 'a body with a NUL in it needs a content-length: leave it on');
    }
  }
  return head + '\n';
}

/**
 * A frame as it goes on the wire, in one piece.
 *
 * `content-length` is set to what the body is (and is absent when there is none), whatever the frame says; the other
 * headers go out in their order, escaped by the rules of the version.
 *
 * @throws FrameError when the version cannot carry the frame: `header-unencodable`, `command-malformed`,
 *   `body-unencodable`
 */
export function encodeFrame(frame: Frame, options: EncodeOptions = {}): Buffer {
  const head = Buffer.from(encodeHead(frame, options));
  return Buffer.concat([head, frame.body, END]);
}
