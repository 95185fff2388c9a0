import { FrameHeaders, type HeadersInit, type HeaderStyle } from './headers.js';
import { decodeText, encodeText } from './text.js';

const EMPTY = Buffer.alloc(0);

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
        wire === undefined ? new FrameHeaders() : FrameHeaders.wire(wire.bytes, wire.start, wire.end, wire.style);
    }
    return this.fields;
  }

  set headers(headers: FrameHeaders) {
    this.fields = headers;
    this.wire = undefined;
  }

  /** The body; empty when there is none. */
  get body(): Buffer {
    if (this.bytes === undefined) {
      this.bytes = this.parts === undefined ? EMPTY : Buffer.concat(this.parts);
    }
    return this.bytes;
  }

  set body(body: Buffer | Uint8Array | string) {
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

  /** A frame of its own: a change to one does not reach the other (the bytes of the body are shared). */
  copy(): Frame {
    return new Frame(this.command, this.headers, this.body);
  }
}

/** @internal Where the header lines of a received frame stand, and what the decoder saw when it passed over them. */
export interface WireHead {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  readonly style: HeaderStyle;
  /** The bits of {@link Known} of the headers that are there. */
  readonly known: number;
  /** The lines mean the same to every version as they stand: no escape, no second colon, no carriage return. */
  readonly plain: boolean;
  /** Where the value of `destination` stands; 0 and 0 when there is none. */
  readonly destinationStart: number;
  readonly destinationEnd: number;
  /** -1 when the frame has no content-length. */
  readonly contentLength: number;
}
