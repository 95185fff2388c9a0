import { FrameHeaders, type HeadersInit, type HeaderStyle } from './headers.js';
import { decodeText, encodeText } from './text.js';

const EMPTY = Buffer.alloc(0);
const RECEIPT = 'receipt:'.length;

/**
 * A STOMP frame: a command, headers and a body of bytes. Frames can be built, read, changed and copied; nothing is
 * checked before a frame is encoded (see encodeFrame, and checkFrame for the strict rules).
 */
export class Frame {
  // Made when first asked for: most frames that pass through a broker are never asked.
  private fields: FrameHeaders | undefined;
  private bytes: Buffer | undefined;

  /**
   * The body as the pieces in which it came from the socket, not copied together.
   *
   * @internal
   */
  parts: readonly Buffer[] | undefined;

  /** @internal The decoder's view of the headers, where the frame came from the wire and was not changed. */
  wire: WireHead | undefined;

  /**
   * @param command upper-case, as in the specification
   * @param headers unescaped; the order is kept
   * @param body bytes, or text that is encoded as UTF-8
   */
  constructor(
    public command: string,
    headers?: HeadersInit,
    body?: Buffer | Uint8Array | string,
  ) {
    this.fields = headers === undefined ? undefined : new FrameHeaders(headers);
    this.bytes = undefined;
    this.parts = undefined;
    this.wire = undefined;
    if (body !== undefined) this.body = body;
  }

  /** @internal A frame that the decoder found; its headers and its body stay where they are until asked for. */
  static received(
    command: string,
    wire: WireHead,
    body: Buffer | undefined,
    parts: readonly Buffer[] | undefined,
  ): Frame {
    const frame = new Frame(command);
    frame.wire = wire;
    frame.bytes = body;
    frame.parts = parts;
    return frame;
  }

  get headers(): FrameHeaders {
    if (this.fields === undefined) {
      const wire = this.wire;
      this.fields =
        wire === undefined
          ? new FrameHeaders()
          : FrameHeaders.wire(wire.bytes, wire.start, wire.end, wire.style, wire.plain);
    }
    return this.fields;
  }

  set headers(headers: FrameHeaders) {
    if (this.parts === undefined) this.bytes = this.body;
    this.fields = headers;
    this.wire = undefined;
  }

  /** The body; empty when there is none. */
  get body(): Buffer {
    if (this.bytes === undefined) {
      const { parts, wire } = this;
      if (parts !== undefined) this.bytes = Buffer.concat(parts);
      else if (wire === undefined || wire.bodyEnd === wire.bodyStart) this.bytes = EMPTY;
      else this.bytes = wire.bytes.subarray(wire.bodyStart, wire.bodyEnd);
    }
    return this.bytes;
  }

  /** @internal Octets of the body, which stays where it is. */
  get length(): number {
    const { parts, wire } = this;
    if (parts !== undefined) {
      let length = 0;
      for (const part of parts) length += part.length;
      return length;
    }
    if (this.bytes !== undefined) return this.bytes.length;
    return wire === undefined ? 0 : wire.bodyEnd - wire.bodyStart;
  }

  set body(body: Buffer | Uint8Array | string) {
    this.fields = this.headers;
    this.wire = undefined;
    if (typeof body === 'string') this.bytes = Buffer.from(body);
    else if (Buffer.isBuffer(body)) this.bytes = body;
    else this.bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
    this.parts = undefined;
  }

  /**
   * The body as text, by the charset of `content-type`, UTF-8 when it names none.
   *
   * @throws FrameError `body-unencodable` when the charset is unknown or the bytes are not of it
   */
  get text(): string {
    return decodeText(this.body, this.headers.get('content-type'));
  }

  /**
   * Sets the body to text in the charset of the content type, and the `content-type` header.
   *
   * @param contentType a MIME type, `text/plain` by default
   */
  setText(text: string, contentType = 'text/plain'): this {
    this.body = encodeText(text, contentType);
    this.headers.set('content-type', contentType);
    return this;
  }

  /** @internal Octets of the largest piece of memory that it keeps alive, maybe for a few of them. */
  get held(): number {
    let most = Math.max(this.wire?.bytes.buffer.byteLength ?? 0, this.bytes?.buffer.byteLength ?? 0);
    for (const part of this.parts ?? []) most = Math.max(most, part.buffer.byteLength);
    return most;
  }

  /** @internal The body now stands in memory of its own. */
  moveBody(): void {
    const { body } = this;
    const own = Buffer.allocUnsafeSlow(body.length);
    body.copy(own);
    this.bytes = own;
    this.parts = undefined;
  }

  /** @internal The frame now stands in other bytes; see {@link WireHead.moved}. */
  move(bytes: Buffer, length: number): void {
    this.wire = this.wire?.moved(bytes, length);
    this.bytes = this.parts = undefined;
  }

  /** @internal Headers that were read, and can be read again, are not kept beside the bytes that they came in. */
  forget(): void {
    if (this.wire !== undefined) this.fields = undefined;
  }

  /** A frame of its own: a change to one does not reach the other (the bytes of the body are shared). */
  copy(): Frame {
    return new Frame(this.command, this.headers, this.body);
  }
}

/** @internal Where the parts of a received frame stand, and what the decoder saw when it passed over them. */
export class WireHead {
  /**
   * @param bytes what the places are counted in
   * @param start of the header lines; `end` is where the blank line begins
   * @param known the bits of {@link Known} of the headers that are there
   * @param plain the lines mean the same to every version as they stand: no escape, no second colon, no carriage return
   * @param destinationStart where the value of `destination` stands; 0 and 0 when there is none
   * @param keyStart where the value stands that is another one in every frame: of `receipt` in a SEND, of `id` in
   *   others; 0 and 0 when that is not known
   * @param contentLength -1 when the frame has no content-length
   * @param bodyStart of a body in the same bytes; 0 and 0 when it is empty, or somewhere else
   * @param address where it is there, and the same, the destination is the same
   */
  constructor(
    readonly bytes: Buffer,
    readonly start: number,
    readonly end: number,
    readonly style: HeaderStyle,
    readonly known: number,
    readonly plain: boolean,
    readonly destinationStart: number,
    readonly destinationEnd: number,
    readonly keyStart: number,
    readonly keyEnd: number,
    readonly contentLength: number,
    readonly bodyStart: number,
    readonly bodyEnd: number,
    readonly address?: object,
  ) {}

  /** Where the line of the receipt begins in a SEND of which `keyStart` is known; it ends after `keyEnd`. */
  get receiptStart(): number {
    return this.keyStart - RECEIPT;
  }

  /** The same head, with a body in the same bytes. */
  withBody(start: number, end: number): WireHead {
    const { bytes, style, known, plain, destinationStart, destinationEnd, keyStart, keyEnd, contentLength } = this;
    return new WireHead(
      bytes,
      this.start,
      this.end,
      style,
      known,
      plain,
      destinationStart,
      destinationEnd,
      keyStart,
      keyEnd,
      contentLength,
      start,
      end,
    );
  }

  /** The same frame in other bytes, to which its head was copied from `start` on, its body after the blank line. */
  moved(bytes: Buffer, length: number): WireHead {
    const by = this.start;
    const place = (at: number) => (at === 0 ? 0 : at - by);
    const { style, known, plain, contentLength } = this;
    const end = this.end - by;
    return new WireHead(
      bytes,
      0,
      end,
      style,
      known,
      plain,
      place(this.destinationStart),
      place(this.destinationEnd),
      place(this.keyStart),
      place(this.keyEnd),
      contentLength,
      end + 1,
      end + 1 + length,
    );
  }
}
