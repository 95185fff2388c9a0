/*
 * The frames of the hot paths, SEND, ACK and NACK, written as text straight into the outbox: no Frame, no list of
 * headers, no copy of the body. Everything else goes through Connection.send.
 */
import { encodeHeader } from '../frame/encoder.js';
import { FrameError } from '../frame/error.js';
import { type Escaping, escapingOf } from '../frame/escape.js';
import { FrameHeaders, type HeadersInit } from '../frame/headers.js';
import { charsetOf, encodeText } from '../frame/text.js';
import type { AcknowledgeOptions, StompMessage } from './message.js';
import { ACK, peek } from './peek.js';
import type { Session } from './session.js';
import type { Transaction } from './transaction.js';

/** Text is encoded as UTF-8, or in the charset of the content type; bytes are sent as they are and not copied. */
export type Body = string | Uint8Array;

export interface SendOptions {
  /** Further headers. Those that the client sets itself are left out: destination, receipt, transaction, and length. */
  headers?: HeadersInit;
  /** The media type; by default `text/plain` for text and `application/octet-stream` for bytes. */
  contentType?: string;
  /** The message counts when that is committed. */
  transaction?: Transaction;
  /**
   * Whether the body is announced by `content-length`; true by default. ActiveMQ takes a body with one for bytes and
   * a body without one for text.
   */
  contentLength?: boolean;
}

const SENDS_OWN = ['destination', 'content-type', 'content-length', 'receipt', 'transaction'];
const ACKS_OWN = ['id', 'message-id', 'subscription', 'content-length', 'receipt', 'transaction'];
const END = '\0\n';
const LF = 10;
const NO_BYTES = Buffer.alloc(0);
/** Bodies up to this size are copied right behind their head. */
const INLINE = 8 * 1024;

/**
 * Writes a SEND frame.
 *
 * @throws FrameError, TypeError when it cannot be written; nothing of it is sent
 */
export function writeSend(
  session: Session,
  destination: string,
  body: Body | undefined,
  options: SendOptions | undefined,
  receipt: string | undefined,
): void {
  const escaping = escapingOf(session.version);
  let head = session.sendPrefix(destination);
  let contentType = options?.contentType;
  if (options?.headers !== undefined) {
    const headers = options.headers instanceof FrameHeaders ? options.headers : new FrameHeaders(options.headers);
    contentType ??= headers.get('content-type');
    head += lines(headers, SENDS_OWN, escaping);
  }
  if (contentType !== undefined) head += encodeHeader('content-type', contentType, escaping);
  else if (typeof body === 'string') head += 'content-type:text/plain\n';
  else if (body !== undefined) head += 'content-type:application/octet-stream\n';
  if (options?.transaction !== undefined) head += `transaction:${options.transaction.id}\n`;
  if (receipt !== undefined) head += `receipt:${receipt}\n`;

  const { connection } = session;
  const { outbox } = connection;
  const isText = typeof body === 'string' && (contentType === undefined || isUtf8(contentType));
  const bytes = isText ? undefined : toBytes(body, contentType);
  const length = bytes === undefined ? Buffer.byteLength(body as string) : bytes.length;
  if (length === 0) head += '\n';
  else if (options?.contentLength !== false) head += `content-length:${length}\n\n`;
  else if (bytes === undefined ? !(body as string).includes('\0') : !bytes.includes(0)) head += '\n';
  else throw new FrameError('body-unencodable', 'a body with a NUL in it needs a content-length: leave it on');

  if (length <= INLINE) {
    const slab = outbox.room(3 * head.length + length + 2);
    let at = outbox.at;
    at += slab.write(head, at);
    at += bytes === undefined ? slab.write(body as string, at) : bytes.copy(slab, at);
    slab[at++] = 0;
    slab[at++] = LF;
    outbox.at = at;
  } else {
    outbox.text(head);
    outbox.add(bytes ?? Buffer.from(body as string));
    outbox.text(END);
  }
  connection.touch();
}

/**
 * Writes an ACK or NACK frame, with what each version calls a message by (1.2: the `ack` header of the MESSAGE as
 * `id`; 1.1: `message-id` and `subscription`; 1.0: `message-id`, to which the subscription does no harm).
 */
export function writeAcknowledgement(
  session: Session,
  command: 'ACK' | 'NACK',
  message: StompMessage,
  options: AcknowledgeOptions | undefined,
): void {
  const escaping = escapingOf(session.version);
  let head = `${command}\n`;
  if (session.version === '1.2') head += encodeHeader('id', peek(message.frame, ACK) ?? message.id, escaping);
  else {
    head += encodeHeader('message-id', message.id, escaping);
    head += encodeHeader('subscription', message.subscription!.id, escaping);
  }
  if (options?.headers !== undefined) {
    const { headers } = options;
    head += lines(headers instanceof FrameHeaders ? headers : new FrameHeaders(headers), ACKS_OWN, escaping);
  }
  if (options?.transaction !== undefined) head += `transaction:${options.transaction.id}\n`;
  session.connection.outbox.text(`${head}\n${END}`);
  session.connection.touch();
}

function lines(headers: FrameHeaders, but: readonly string[], escaping: Escaping): string {
  let text = '';
  for (const [name, value] of headers) if (!but.includes(name)) text += encodeHeader(name, value, escaping);
  return text;
}

function isUtf8(contentType: string): boolean {
  const charset = charsetOf(contentType);
  return charset === undefined || charset === 'utf-8' || charset === 'utf8';
}

function toBytes(body: Body | undefined, contentType: string | undefined): Buffer {
  if (body === undefined) return NO_BYTES;
  if (typeof body === 'string') return encodeText(body, contentType);
  if (body instanceof Uint8Array) return Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  throw new TypeError('a body is a string or bytes: make JSON.stringify of anything else');
}
