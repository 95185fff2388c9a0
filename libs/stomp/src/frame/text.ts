import { isAscii } from 'node:buffer';
import { FrameError, quote } from './error.js';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Charsets of one octet per character, and their highest one. For TextDecoder, made for the web, each of these names
 * is windows-1252, in which text would come back as another.
 */
const NARROW = new Map([
  ['us-ascii', 0x7f],
  ['iso-8859-1', 0xff],
  ['latin1', 0xff],
]);

/** The charset that a content type names, lower-case; undefined when it names none. */
export function charsetOf(contentType: string | undefined): string | undefined {
  return /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(contentType ?? '')?.[1]?.toLowerCase();
}

/**
 * The text of a body (STOMP 1.2, Header content-type): in the charset that the content type names, else UTF-8.
 *
 * @throws FrameError `body-unencodable` when the charset is unknown or the bytes are not valid in it
 */
export function decodeText(body: Uint8Array, contentType?: string): string {
  const charset = charsetOf(contentType) ?? 'utf-8';
  if (NARROW.has(charset)) {
    if (charset === 'us-ascii' && !isAscii(body)) throw unreadable(charset, 'does not fit the bytes of the body');
    return Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('latin1');
  }
  try {
    const decoder = charset === 'utf-8' ? utf8 : new TextDecoder(charset, { fatal: true, ignoreBOM: true });
    return decoder.decode(body);
  } catch (cause) {
    throw unreadable(charset, cause instanceof RangeError ? 'is unknown' : 'does not fit the bytes of the body');
  }
}

function unreadable(charset: string, why: string): FrameError {
  return new FrameError('body-unencodable', `the charset ${quote(charset)} ${why}: read the body as bytes`);
}

/**
 * The bytes of a text in the charset that the content type names, else in UTF-8.
 *
 * @throws FrameError `body-unencodable` when this platform cannot write that charset, or not this text in it
 */
export function encodeText(text: string, contentType?: string): Buffer {
  const charset = charsetOf(contentType) ?? 'utf-8';
  if (charset === 'utf-8' || charset === 'utf8') return Buffer.from(text);
  if (charset === 'utf-16le') return Buffer.from(text, 'utf16le');
  const highest = NARROW.get(charset);
  if (highest === undefined) {
    throw new FrameError('body-unencodable', `cannot write the charset ${quote(charset)}: use UTF-8, or bytes`);
  }
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) <= highest) continue;
    throw new FrameError('body-unencodable', `the text does not fit into the charset ${charset}: use UTF-8`);
  }
  return Buffer.from(text, 'latin1');
}
