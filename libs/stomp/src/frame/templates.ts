import type { WireHead } from './frame.js';
import { findKnown } from './names.js';
import { Template } from './template.js';

/** Commands that come in great numbers; they begin with different letters. */
const REPEATED: ReadonlySet<string> = new Set(['SEND', 'MESSAGE', 'ACK', 'NACK', 'RECEIPT']);
/** The most heads that go by before another is remembered. */
const MOST_REST = 255;

/** Whether frames of that command come in great numbers. */
export const isRepeated = (command: string): boolean => REPEATED.has(command);

/** Of each command that comes in great numbers the last head, as what the next may look like. */
export class Templates {
  /** Whether the head at hand is one of these, whatever else there is about its frame. */
  recognised = false;
  private readonly last = new Array<Template | undefined>(32).fill(undefined);
  // So many heads that match none go by before the next is remembered: more, where heads do not repeat.
  private rest = 0;
  private misses = 0;

  /** What a head that begins with that byte may look like. */
  of(first: number): Template | undefined {
    return this.last[first & 31];
  }

  /**
   * A head has gone the long way; it may be remembered.
   *
   * @param start of its first octet, in the same bytes; `end` is where its body begins
   */
  learn(command: string, { bytes, known, plain, contentLength }: WireHead, start: number, end: number): void {
    // A body that is not there yet is no reason to learn the head anew.
    if (this.recognised || ++this.misses < this.rest) return;
    const place = bytes[start]! & 31;
    const before = this.last[place];
    this.misses = 0;
    this.rest = before === undefined || before.hits > 8 ? 0 : Math.min(MOST_REST, this.rest * 2 + 1);
    const head = bytes.toString('latin1', start, end);
    this.last[place] = Template.of(command, head, known, plain, contentLength, knownBit, before);
  }
}

function knownBit(name: string): number {
  const bytes = Buffer.from(name, 'latin1');
  return findKnown(bytes, 0, bytes.length);
}
