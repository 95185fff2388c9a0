import { FrameError, quote } from './error.js';
import type { Version } from './version.js';

/**
 * How the headers of one frame are written. 1.0 has no escapes, so what would need one cannot be written; `raw` is
 * CONNECT and CONNECTED in every version, and what comes before a version is agreed on: no escapes either, and the
 * peer may take CR LF for the end of a line.
 */
export type Escaping = 'raw' | Version;

/** Most headers: nothing in them needs an escape, or is forbidden, in any version. */
const ORDINARY = /^[ -9;-[\]-~]*$/;
/** Half of a surrogate pair: what UTF-8 cannot write, and Buffer would replace. */
const HALF = /\p{Surrogate}/u;

const TO_WIRE: Record<string, string> = { '\\': '\\\\', '\n': '\\n', ':': '\\c', '\r': '\\r' };
const FROM_WIRE: Record<string, string> = { '\\': '\\', n: '\n', c: ':', r: '\r' };

/** How frames of that version are written (STOMP 1.2, Value Encoding); undefined before one is agreed on. */
export function escapingOf(version: Version | undefined): Escaping {
  return version ?? 'raw';
}

/**
 * One header name or value as it stands on the wire.
 *
 * @param name of a value, the name that it belongs to, for the message of an error
 * @throws FrameError `header-unencodable` where the version has no way to write it: a line feed (that would be a
 *   header of its own) or a trailing carriage return without escapes, a colon in a raw name, half a surrogate pair, a NUL
 */
export function escapeHeader(text: string, escaping: Escaping, isName: boolean, name?: string): string {
  if (ORDINARY.test(text)) return text;
  const why = unwritable(text, escaping, isName);
  // The value itself stays out of the message: it may be a passcode.
  if (why !== undefined) {
    const what = isName ? `the header name ${quote(text)}` : `the value of the header ${quote(name ?? '?')}`;
    throw new FrameError('header-unencodable', `${what} ${why}`);
  }
  if (escaping === '1.2') return /[\\\n:\r]/.test(text) ? text.replace(/[\\\n:\r]/g, (c) => TO_WIRE[c]!) : text;
  if (escaping === '1.1') return /[\\\n:]/.test(text) ? text.replace(/[\\\n:]/g, (c) => TO_WIRE[c]!) : text;
  return text;
}

const NO_ESCAPE = 'for which this frame has no escape (STOMP 1.2 has, outside CONNECT and CONNECTED)';

function unwritable(text: string, escaping: Escaping, isName: boolean): string | undefined {
  if (HALF.test(text)) return 'has half of a surrogate pair, which UTF-8 cannot write';
  if (text.includes('\0')) return 'has a NUL, which would end the frame for some peers';
  if (escaping === '1.2') return undefined;
  // The \r escape came with 1.2; before, a carriage return stands for itself, but at the end of a line lenient
  // peers drop it.
  if (text.endsWith('\r')) return `ends with a carriage return, ${NO_ESCAPE}`;
  if (escaping === '1.1') return undefined;
  if (text.includes('\n')) return `has a line feed, ${NO_ESCAPE}`;
  if (escaping === 'raw' && text.includes('\r')) return `has a carriage return, ${NO_ESCAPE}`;
  if (isName && text.includes(':')) return `has a colon, ${NO_ESCAPE}`;
  return undefined;
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

/**
 * Checks the escapes in header lines.
 *
 * @throws FrameError `escape-undefined` as `unescapeHeader` does
 */
export function checkEscapes(lines: string, escaping: Escaping): void {
  for (const line of lines.split('\n')) {
    const colon = line.indexOf(':');
    unescapeHeader(line.slice(0, colon), escaping);
    unescapeHeader(line.slice(colon + 1).replace(/\r$/, ''), escaping);
  }
}
