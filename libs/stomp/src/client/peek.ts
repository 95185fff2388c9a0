import type { Frame } from '../frame/frame.js';
import { Known } from '../frame/names.js';

const LF = 10;
const CR = 13;
const COLON = 58;
const BACKSLASH = 92;
const SPACE = 32;
const TAB = 9;

/** A header that can be read without parsing the others. */
export interface Peekable {
  readonly name: string;
  readonly bytes: Buffer;
  readonly bit: number;
}

const peekable = (name: string, bit: number): Peekable => ({ name, bytes: Buffer.from(`${name}:`), bit });

export const SUBSCRIPTION = peekable('subscription', Known.subscription);
export const MESSAGE_ID = peekable('message-id', Known.messageId);
export const ACK = peekable('ack', Known.ack);

/** Where the value of a header stands in `frame.wire.bytes`; set by `locate`. */
export const found = { start: 0, end: 0 };

/**
 * Finds a header of a received frame by its bytes, so that the headers stay unparsed until the handler asks for them.
 *
 * @returns whether `found` tells where the value stands, fit to be taken as it is; else ask `frame.headers`
 */
export function locate(frame: Frame, header: Peekable): boolean {
  const wire = frame.wire;
  if (wire === undefined || (wire.known & header.bit) === 0) return false;
  const { bytes, end } = wire;
  const name = header.bytes;
  const length = name.length;
  let at = wire.start;
  while (at < end) {
    let i = 0;
    while (i < length && bytes[at + i] === name[i]) i++;
    if (i === length) {
      const start = at + length;
      for (at = start; at < end; at++) {
        const c = bytes[at]!;
        if (c === LF) break;
        if (c === BACKSLASH || c === COLON || c === CR || c === SPACE || c === TAB || c > 127) return false;
      }
      found.start = start;
      found.end = at;
      return true;
    }
    while (at < end && bytes[at] !== LF) at++;
    at++;
  }
  return false;
}

/** The value of a header, read alone where that can be done. */
export function peek(frame: Frame, header: Peekable): string | undefined {
  if (locate(frame, header)) return frame.wire!.bytes.toString('latin1', found.start, found.end);
  const wire = frame.wire;
  return wire !== undefined && (wire.known & header.bit) === 0 ? undefined : frame.headers.get(header.name);
}
