/*
 * A message as bytes, for a store: the header lines as they came from the wire, and what the decoder knew of them.
 *
 *   flags u8 | escaping u8 | known u32 | content-length i32 | destination at u32, u32 | lengths: id u8, name u16, lines u32
 *   id | destination | header lines | line feed | body
 */
import { encodeHeader } from '../frame/encoder.js';
import type { Escaping } from '../frame/escape.js';
import { Frame, WireHead } from '../frame/frame.js';
import { findKnown, Known } from '../frame/names.js';
import { Message } from './message.js';

const HEAD = 25;
const ESCAPINGS: readonly Escaping[] = ['raw', '1.0', '1.1', '1.2'];
const PLAIN = 1;
const TRIM = 2;
const CRLF = 4;
const LF = 10;

/** Bytes that grow. */
export interface Growing {
  readonly bytes: Buffer;
  /** How many there are. */
  length: number;
  /** Makes room for more; `bytes` may be others afterwards. */
  room(more: number): void;
}

/** Appends a message. Its receipt has been promised by then, and is left out. */
export function packMessage(message: Message, into: Growing): void {
  const frame = message.origin;
  const wire = frame.wire ?? wireOf(frame);
  const { id, destination } = message;
  const { plain, keyStart, start, end } = wire;
  const cut = plain && keyStart > 0 && (wire.known & Known.receipt) !== 0;
  const cutStart = cut ? wire.receiptStart : end;
  const cutEnd = cut ? wire.keyEnd + 1 : end;
  const place = (at: number) => (at === 0 ? 0 : at - start - (at >= cutEnd ? cutEnd - cutStart : 0));
  const size = HEAD + id.length + destination.length * 3 + (end - start) + 1 + frame.length;
  into.room(size);
  const { bytes } = into;
  const head = into.length;
  let at = head + HEAD;
  at += bytes.write(id, at, 'latin1');
  const named = bytes.write(destination, at);
  at += named;
  const lines = at;
  at += wire.bytes.copy(bytes, at, start, cutStart);
  at += wire.bytes.copy(bytes, at, cutEnd, end);
  bytes[head] = (plain ? PLAIN : 0) | (wire.style.trim ? TRIM : 0) | (wire.style.crlf ? CRLF : 0);
  bytes[head + 1] = ESCAPINGS.indexOf(wire.style.escaping);
  bytes.writeUInt32LE(cut ? wire.known & ~Known.receipt : wire.known, head + 2);
  bytes.writeInt32LE(wire.contentLength, head + 6);
  bytes.writeUInt32LE(place(wire.destinationStart), head + 10);
  bytes.writeUInt32LE(place(wire.destinationEnd), head + 14);
  bytes[head + 18] = id.length;
  bytes.writeUInt16LE(named, head + 19);
  bytes.writeUInt32LE(at - lines, head + 21);
  bytes[at++] = LF;
  if (frame.parts !== undefined) for (const part of frame.parts) at += part.copy(bytes, at);
  else if (wire.bodyEnd > wire.bodyStart) at += wire.bytes.copy(bytes, at, wire.bodyStart, wire.bodyEnd);
  else at += frame.body.copy(bytes, at);
  into.length = at;
}

/** Octets of the body of the message that stands packed from there to there. */
export function packedLength(bytes: Buffer, from: number, to: number): number {
  const names = bytes[from + 18]! + bytes.readUInt16LE(from + 19);
  return to - from - HEAD - names - bytes.readUInt32LE(from + 21) - 1;
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
