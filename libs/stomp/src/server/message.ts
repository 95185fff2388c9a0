/*
 * What is inside a broker: a message, not a frame. The head of a MESSAGE frame is put together from these parts:
 *
 *   MESSAGE                       the subscription's, the same for all that it gets
 *   subscription:0
 *   redelivered:false             the delivery's
 *   message-id:lq2x-1             the message's own
 *   ack:0-17                      the delivery's
 *   destination:/queue/a          the publisher's: passed on as the bytes that came in, where they mean the same to
 *   content-type:text/plain       the receiver's version and hold nothing that must not be passed on
 *
 * The server's headers come first, so they would win even over what a filter let through.
 */
import { encodeHeader } from '../frame/encoder.js';
import { FrameError } from '../frame/error.js';
import { escapingOf } from '../frame/escape.js';
import { Frame, type WireHead } from '../frame/frame.js';
import type { FrameHeaders } from '../frame/headers.js';
import { Known } from '../frame/names.js';
import type { Version } from '../frame/version.js';
import type { Outbox } from '../wire/outbox.js';

/** Headers of a SEND that are for the server alone, or that the server alone may set. */
const NOT_PASSED_ON: readonly string[] = [
  'receipt',
  'transaction',
  'subscription',
  'message-id',
  'ack',
  'redelivered',
  'delivery-count',
];

const FILTERED =
  Known.receipt |
  Known.transaction |
  Known.subscription |
  Known.messageId |
  Known.ack |
  Known.redelivered |
  Known.deliveryCount;

/** Header lines as bytes: a part of some buffer. */
interface Block {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

// Ids are unique over restarts too: the moment of this start, then a count.
const EPOCH = Date.now().toString(36);
/** How the server's own lines of most messages begin: made by this start, and not delivered before. */
const USUAL = ownLines(EPOCH, 0);
const LENGTH_LINE = Buffer.from('content-length:');
/** Octets that the objects take which a message is made of, roughly. */
const OBJECTS = 256;
/** The server's own lines, numbers included, fit into this many octets. */
const OWN_LINES = 192;
/** Bodies up to this size are copied right behind their head. */
const INLINE = 4096;
/** A message is worth taking out of a chunk so many times its size. */
const DETACH_FROM = 4;
const LF = 10;
const MAX_INT32 = 0x7fffffff;

let serials = 0;
/** The start that the last kept message came from; a string that many of them share. */
let earlier = EPOCH;

function shareEpoch(epoch: string): string {
  if (epoch === EPOCH) return EPOCH;
  if (epoch !== earlier) earlier = epoch;
  return earlier;
}

/** The number that an id ends with. */
export const serialOf = (id: string): number => Number(id.slice(id.lastIndexOf('-') + 1));

/** A message on its way through a broker. Its headers and body stay bytes until somebody asks for them. */
export class Message {
  /** @internal Its number among the messages of that start of the broker. */
  readonly serial: number;
  /** The start of the broker that its id is from. */
  private readonly epoch: string;
  private plain: WireHead | undefined;
  private octets = 0;
  private blocks: Map<Version, Block> | undefined;
  /** @internal For how many subscriptions it waits, other than in a queue. */
  readers = 0;

  /**
   * @param destination as the publisher wrote it
   * @param frame the SEND frame, or any with such headers and body; it belongs to the message from now on
   * @param id of a message that was kept: the one that it had
   */
  constructor(
    readonly destination: string,
    private readonly frame: Frame,
    id?: string,
  ) {
    if (id === undefined) {
      this.serial = ++serials;
      this.epoch = EPOCH;
    } else {
      this.serial = serialOf(id);
      this.epoch = shareEpoch(id.slice(0, id.lastIndexOf('-')));
    }
    const wire = frame.wire;
    if (
      wire !== undefined &&
      wire.plain &&
      // The line of a receipt is cut out where it is known where it stands.
      (wire.known & (wire.keyStart > 0 ? FILTERED & ~Known.receipt : FILTERED)) === 0 &&
      (wire.known & Known.destination) !== 0 &&
      wire.contentLength !== 0
    ) {
      this.plain = wire;
    }
  }

  /** Unique, and the same for every subscription and every redelivery. */
  get id(): string {
    return `${this.epoch}-${this.serial}`;
  }

  /** @internal The frame that it is made of. */
  get origin(): Frame {
    return this.frame;
  }

  /** The publisher's headers; those that are for the server alone are still among them. */
  get headers(): FrameHeaders {
    return this.frame.headers;
  }

  get body(): Buffer {
    return this.frame.body;
  }

  /** Whether the publisher said how the broker is to deliver it: a priority, an expiry, a schedule and the like. */
  get special(): boolean {
    const wire = this.frame.wire;
    return wire === undefined || (wire.known & Known.delivery) !== 0;
  }

  /** Where a reply is to go; costs nothing where the publisher did not say. */
  get replyTo(): string | undefined {
    const wire = this.frame.wire;
    return wire !== undefined && (wire.known & Known.replyTo) === 0 ? undefined : this.headers.get('reply-to');
  }

  /** Whether it has to survive the broker, in the publisher's words; costs nothing where it did not say. */
  get persistent(): string | undefined {
    const wire = this.frame.wire;
    // Messages that were kept by an earlier version have the one bit for both.
    const said = wire === undefined || (wire.known & (Known.persistent | Known.delivery)) !== 0;
    return said ? this.headers.get('persistent') : undefined;
  }

  /** Octets of the body. */
  get length(): number {
    return this.frame.length;
  }

  /** Octets that the message keeps in memory, roughly; the same each time, so that what is given back was taken. */
  get size(): number {
    if (this.octets === 0) {
      const { wire } = this.frame;
      const head = wire === undefined ? OBJECTS + this.headers.characters : wire.end - wire.start;
      this.octets = this.length + head + OBJECTS;
    }
    return this.octets;
  }

  /**
   * Replaces a header of the publisher's; to be done before the first delivery.
   *
   * @param value undefined takes it away
   */
  setHeader(name: string, value: string | undefined): void {
    const headers = this.frame.headers;
    if (value === undefined) headers.delete(name);
    else headers.set(name, value);
    this.frame.headers = headers;
    this.plain = undefined;
  }

  /**
   * The message for another destination, as one of its own.
   *
   * @param headers to be set besides; undefined takes one away
   * @param id the one that it has; another one by default
   */
  readdress(destination: string, headers: Readonly<Record<string, string | undefined>> = {}, id?: string): Message {
    const frame = new Frame('SEND', this.headers, this.body);
    frame.headers.set('destination', destination);
    for (const [name, value] of Object.entries(headers)) {
      if (value === undefined) frame.headers.delete(name);
      else frame.headers.set(name, value);
    }
    return new Message(destination, frame, id);
  }

  /**
   * Takes the message out of the chunk of the socket that it came in, so that a message which has to wait does not
   * keep all of that chunk in memory, nor its headers twice.
   */
  detach(): void {
    const { frame } = this;
    const wire = frame.wire;
    if (wire === undefined) {
      // Its headers were changed, and stand elsewhere.
      if (frame.held > 0 && frame.held >= DETACH_FROM * frame.length) frame.moveBody();
      return;
    }
    frame.forget();
    const { start, end } = wire;
    const lines = end - start;
    const length = frame.length;
    const size = lines + 1 + length;
    // Where nothing stands before its headers it was taken out before.
    if (start === 0 || frame.held < DETACH_FROM * size) return;
    const own = Buffer.allocUnsafe(size);
    if (wire.bodyStart === end + 1) wire.bytes.copy(own, 0, start, wire.bodyEnd);
    else {
      wire.bytes.copy(own, 0, start, end);
      own[lines] = LF;
      frame.body.copy(own, lines + 1);
    }
    frame.move(own, length);
    if (this.plain !== undefined) this.plain = frame.wire;
  }

  /**
   * Puts a MESSAGE frame into an outbox.
   *
   * @internal
   * @param prefix what {@link messagePrefix} makes for the subscription
   * @param ack the first part of the `ack` header, which the number completes; undefined for none
   * @param count how often the message was delivered before
   */
  write(
    outbox: Outbox,
    version: Version,
    prefix: Buffer,
    ack: Buffer | undefined,
    number: number,
    count: number,
  ): void {
    const { plain, frame } = this;
    const block = plain ?? this.block(version);
    const { parts } = frame;
    const length = frame.length;
    const lines = block.end - block.start;
    const inline = parts === undefined && length <= INLINE;
    const slab = outbox.room(prefix.length + OWN_LINES + lines + (inline ? length : 0));
    let at = outbox.at;
    slab.set(prefix, at);
    at += prefix.length;
    if (count > 0 || this.epoch !== EPOCH) {
      at -= USUAL.length;
      at += slab.write(ownLines(this.epoch, count), at, 'latin1');
    }
    at = writeNumber(slab, at, this.serial);
    if (ack !== undefined) {
      for (let i = 0; i < ack.length; i++) slab[at++] = ack[i]!;
      at = writeNumber(slab, at, number);
    }
    const { bytes, end } = block;
    let { start } = block;
    if (plain !== undefined && (plain.known & Known.receipt) !== 0) {
      at += bytes.copy(slab, at, start, plain.receiptStart);
      start = plain.keyEnd + 1;
    }
    // The publisher's own content-length stands in its block, where it gave one.
    const announce = length > 0 && (plain === undefined || plain.contentLength < 0);
    if (inline && !announce && plain !== undefined && plain.bodyStart === end + 1) {
      // Headers, blank line and body as they came, in one piece.
      const size = plain.bodyEnd - start;
      if (bytes !== chunk) {
        chunk = bytes;
        memory = bytes.buffer;
        offset = bytes.byteOffset;
      }
      slab.set(new Uint8Array(memory, offset + start, size), at);
      at += size;
    } else {
      at += bytes.copy(slab, at, start, end);
      if (announce) {
        at += LENGTH_LINE.copy(slab, at);
        at = writeNumber(slab, at, length);
      }
      slab[at++] = LF;
      if (inline && length > 0) at += frame.body.copy(slab, at);
    }
    if (inline) {
      slab[at++] = 0;
      slab[at++] = LF;
      outbox.at = at;
      return;
    }
    outbox.at = at;
    for (const part of parts ?? [frame.body]) outbox.add(part);
    const tail = outbox.room(2);
    tail[outbox.at++] = 0;
    tail[outbox.at++] = LF;
  }

  /** The publisher's lines for receivers of a version, where its own bytes will not do. */
  private block(version: Version): Block {
    const known = this.blocks?.get(version);
    if (known !== undefined) return known;
    let text = '';
    for (const [name, value] of this.headers) {
      if (NOT_PASSED_ON.includes(name) || name === 'content-length') continue;
      text += lineFor(name, value, version);
    }
    if (!this.headers.has('destination')) text = lineFor('destination', this.destination, version) + text;
    const bytes = Buffer.from(text);
    const block = { bytes, start: 0, end: bytes.length };
    (this.blocks ??= new Map<Version, Block>()).set(version, block);
    return block;
  }
}

/** One header line. What a version cannot carry is left out, or, where it has to be there, made to fit. */
function lineFor(name: string, value: string, version: Version): string {
  try {
    return encodeHeader(name, value, escapingOf(version));
  } catch (error) {
    if (!(error instanceof FrameError)) throw error;
    return name === 'destination' ? `destination:${value.replace(/[\r\n]/g, ' ')}\n` : '';
  }
}

/** How most MESSAGEs to a subscription begin, up to the count in their ids. */
export function messagePrefix(subscription: string): Buffer {
  return Buffer.from(`MESSAGE\n${subscription}${USUAL}`);
}

function ownLines(epoch: string, count: number): string {
  const delivered = count === 0 ? 'redelivered:false' : `redelivered:true\ndelivery-count:${count}`;
  return `${delivered}\nmessage-id:${epoch}-`;
}

// The memory of the chunk that the last message came in: to ask a Buffer for it is a call into C++, and a chunk has many.
let chunk: Buffer | undefined;
let memory: ArrayBufferLike = new ArrayBuffer(0);
let offset = 0;

/** The two digits of each number below a hundred, as ASCII: the tens in the low octet. */
const DIGITS = Uint16Array.from({ length: 100 }, (_, n) => 48 + Math.floor(n / 10) + ((48 + (n % 10)) << 8));

/** Writes a count in decimal digits and a line feed; returns where the next byte goes. */
function writeNumber(slab: Buffer, at: number, value: number): number {
  if (value > MAX_INT32) return at + slab.write(`${value}\n`, at, 'latin1');
  let digits = 1;
  for (let limit = 10; value >= limit; limit *= 10) digits++;
  let rest = value | 0;
  let i = at + digits - 2;
  for (; rest >= 10; i -= 2) {
    // Whole numbers of 32 bits: of others a division takes twice as long.
    const next = (rest / 100) | 0;
    const pair = DIGITS[rest - next * 100]!;
    slab[i] = pair & 255;
    slab[i + 1] = pair >> 8;
    rest = next;
  }
  if (i === at - 1) slab[at] = 48 + rest;
  slab[at + digits] = LF;
  return at + digits + 1;
}
