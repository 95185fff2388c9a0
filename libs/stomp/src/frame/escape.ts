import { FrameError, quote } from './error.js';
import type { Version } from './version.js';

/**
 * How the headers of one frame are written. 1.0 has no escapes, so what would need one cannot be written; `raw` is
 * CONNECT and CONNECTED in every version, and what comes before a version is agreed on: no escapes either, and the
 * peer may take CR LF for the end of a line.
 */
export type Escaping = 'raw' | Version;

const TO_WIRE: Record<string, string> = { '\\': '\\\\', '\n': '\\n', ':': '\\c', '\r': '\\r' };
const FROM_WIRE: Record<string, string> = { '\\': '\\', n: '\n', c: ':', r: '\r' };

/** How frames of that version are written (STOMP 1.2, Value Encoding); undefined before one is agreed on. */
export function escapingOf(version: Version | undefined): Escaping {
  return version ?? 'raw';
}

/**
 * One header name or value as it stands on the wire.
 *
 * @throws FrameError `header-unencodable` where the version has no way to write it: a line feed (that would be a
 *   header of its own) or a trailing carriage return without escapes, a colon in a raw name
 */
export function escapeHeader(text: string, escaping: Escaping, isName: boolean): string {
  if (escaping === '1.2') return /[\\\n:\r]/.test(text) ? text.replace(/[\\\n:\r]/g, (c) => TO_WIRE[c]!) : text;
  // The \r escape came with 1.2; before, a carriage return stands for itself, but at the end of a line lenient
  // peers drop it.
  if (text.endsWith('\r')) refuse(text, 'ends with a carriage return');
  if (escaping === '1.1') return /[\\\n:]/.test(text) ? text.replace(/[\\\n:]/g, (c) => TO_WIRE[c]!) : text;
  if (text.includes('\n')) refuse(text, 'has a line feed');
  if (escaping === 'raw' && text.includes('\r')) refuse(text, 'has a carriage return');
  if (isName && text.includes(':')) refuse(text, 'has a colon in its name');
  return text;
}

function refuse(text: string, why: string): never {
  throw new FrameError(
    'header-unencodable',
    `the header ${quote(text)} ${why}, which this frame cannot carry: it has no escape for it (STOMP 1.2 has, outside CONNECT and CONNECTED)`,
  );
}

/**
 * The text of one header name or value on the wire: one pass from left to right.
 *
 * @throws FrameError `escape-undefined` for an escape that the version does not know, a lone backslash at the end
 *   among them
 */
export function unescapeHeader(text: string, escaping: Escaping): string {
  if (escaping === 'raw' || escaping === '1.0' || !text.includes('\\')) return text;
  return text.replace(/\\([^]?)/g, (found, letter: string) => {
    const meant = FROM_WIRE[letter];
    if (meant === undefined || (letter === 'r' && escaping === '1.1')) {
      throw new FrameError(
        'escape-undefined',
        `the escape ${quote(found)} is not defined in STOMP ${escaping}: a backslash itself is written \\\\`,
      );
    }
    return meant;
  });
}
