/*
 * A message as bytes, for a store: the header lines as they came from the wire, and what the decoder knew of them.
 *
 *   flags u8 | escaping u8 | known u32 | content-length i32 | destination at u32, u32 | lengths: id u8, name u16, lines u32
 *   id | destination | header lines | line feed | body
 */
import { encodeHeader } from '../frame/encoder.js';
import type { Escaping } from '../frame/escape.js';
import { Frame, WireHead } from '../frame/frame.js';
import { findKnown } from '../frame/names.js';
import { Message } from './message.js';

const HEAD = 25;
const ESCAPINGS: readonly Escaping[] = ['raw', '1.0', '1.1', '1.2'];
const PLAIN = 1;
const TRIM = 2;
const CRLF = 4;
const LINE_FEED = Buffer.from('\n');

/** The message as bytes, in pieces. */
export function packMessage(message: Message): Buffer[] {
  const frame = message.origin;
  const wire = frame.wire ?? wireOf(frame);
  const id = Buffer.from(message.id, 'latin1');
  const destination = Buffer.from(message.destination);
  const head = Buffer.allocUnsafe(HEAD);
  head[0] = (wire.plain ? PLAIN : 0) | (wire.style.trim ? TRIM : 0) | (wire.style.crlf ? CRLF : 0);
  head[1] = ESCAPINGS.indexOf(wire.style.escaping);
  head.writeUInt32LE(wire.known, 2);
  head.writeInt32LE(wire.contentLength, 6);
  head.writeUInt32LE(Math.max(0, wire.destinationStart - wire.start), 10);
  head.writeUInt32LE(Math.max(0, wire.destinationEnd - wire.start), 14);
  head[18] = id.length;
  head.writeUInt16LE(destination.length, 19);
  head.writeUInt32LE(wire.end - wire.start, 21);
  const lines = wire.bytes.subarray(wire.start, wire.end);
  return [head, id, destination, lines, LINE_FEED, ...(frame.parts ?? [frame.body])];
}

/** Octets of the body of the message that stands packed from there to there. */
export function packedLength(bytes: Buffer, from: number, to: number): number {
  const names = bytes[from + 18]! + bytes.readUInt16LE(from + 19);
  return to - from - HEAD - names - bytes.readUInt32LE(from + 21) - LINE_FEED.length;
}

/** The message that was packed into those bytes, which belong to it from now on. */
export function unpackMessage(bytes: Buffer): Message {
  const flags = bytes[0]!;
  const idEnd = HEAD + bytes[18]!;
  const start = idEnd + bytes.readUInt16LE(19);
  const end = start + bytes.readUInt32LE(21);
  const from = bytes.readUInt32LE(10);
  const to = bytes.readUInt32LE(14);
  const style = {
    escaping: ESCAPINGS[bytes[1]!] ?? '1.2',
    trim: (flags & TRIM) !== 0,
    crlf: (flags & CRLF) !== 0,
  };
  const wire = new WireHead(
    bytes,
    start,
    end,
    style,
    bytes.readUInt32LE(2),
    (flags & PLAIN) !== 0,
    to === 0 ? 0 : start + from,
    to === 0 ? 0 : start + to,
    0,
    0,
    bytes.readInt32LE(6),
    end + 1,
    bytes.length,
  );
  const frame = Frame.received('SEND', wire, undefined, undefined);
  return new Message(bytes.toString('utf8', idEnd, start), frame, bytes.toString('latin1', HEAD, idEnd));
}

/** Lines for headers that did not come from the wire. */
function wireOf(frame: Frame): WireHead {
  let text = '';
  let known = 0;
  for (const [name, value] of frame.headers) {
    const bytes = Buffer.from(name);
    known |= findKnown(bytes, 0, bytes.length);
    text += encodeHeader(name, value, '1.2');
  }
  const bytes = Buffer.from(text);
  const style = { escaping: '1.2', trim: false, crlf: false } as const;
  return new WireHead(bytes, 0, bytes.length, style, known, false, 0, 0, 0, 0, -1, 0, 0);
}
