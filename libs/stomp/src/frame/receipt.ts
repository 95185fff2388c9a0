import { isUtf8 } from 'node:buffer';
import { unescapeHeader } from './escape.js';
import { type HeaderStyle, trimBlanks } from './headers.js';
import { findKnown, Known } from './names.js';

const LF = 10;
const CR = 13;
const COLON = 58;
const RECEIPT = 'receipt';

/**
 * The receipt that a faulty frame asks for, so that its sender can be told which one it was; undefined where its line is
 * not there, or cannot be read.
 *
 * @param start of the header lines, which may be cut off at `end`
 */
export function findReceipt(bytes: Buffer, start: number, end: number, style: HeaderStyle): string | undefined {
  const { crlf, escaping, trim } = style;
  for (let at = start, lf: number; at < end; at = lf + 1) {
    lf = bytes.indexOf(LF, at);
    if (lf < 0 || lf >= end || lf === at || (crlf && lf === at + 1 && bytes[at] === CR)) return undefined;
    if (findKnown(bytes, at, at + RECEIPT.length) !== Known.receipt || bytes[at + RECEIPT.length] !== COLON) continue;
    const from = at + RECEIPT.length + 1;
    // A receipt that cannot be read cannot be answered.
    if (!isUtf8(bytes.subarray(from, lf))) return undefined;
    const value = bytes.toString('utf8', from, crlf && bytes[lf - 1] === CR ? lf - 1 : lf);
    try {
      return unescapeHeader(trim ? trimBlanks(value) : value, escaping);
    } catch {
      return undefined;
    }
  }
  return undefined;
}
