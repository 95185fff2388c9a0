import { FrameError, quote } from './error.js';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

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
  try {
    const decoder = charset === 'utf-8' ? utf8 : new TextDecoder(charset, { fatal: true, ignoreBOM: true });
    return decoder.decode(body);
  } catch (cause) {
    const why = cause instanceof RangeError ? 'is unknown' : 'does not fit the bytes of the body';
    throw new FrameError('body-unencodable', `the charset ${quote(charset)} ${why}: read the body as bytes`);
  }
}

/**
 * The bytes of a text in the charset that the content type names, else in UTF-8.
 *
 * @throws FrameError `body-unencodable` when this platform cannot write that charset, or not this text in it
 */
export function encodeText(text: string, contentType?: string): Buffer {
  const charset = charsetOf(contentType) ?? 'utf-8';
  switch (charset) {
    case 'utf-8':
    case 'utf8':
      return Buffer.from(text);
    case 'utf-16le':
      return Buffer.from(text, 'utf16le');
    case 'us-ascii':
    case 'iso-8859-1':
    case 'latin1': {
      const bytes = Buffer.from(text, 'latin1');
      const most = charset === 'us-ascii' ? 0x7f : 0xff;
      if ([...text].every((c) => c.codePointAt(0)! <= most)) return bytes;
      throw new FrameError('body-unencodable', `the text does not fit into the charset ${charset}: use UTF-8`);
    }
    default:
      throw new FrameError('body-unencodable', `cannot write the charset ${quote(charset)}: use UTF-8, or bytes`);
  }
}
