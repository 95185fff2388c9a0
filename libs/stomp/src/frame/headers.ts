import { type Escaping, unescapeHeader } from './escape.js';
import type { Version } from './version.js';

const COLON = 58;
/**
 * V8 keeps the whole of a text for a part of it that somebody keeps: whoever remembers a name out of megabytes of headers
 * would keep these. Parts of what is longer than this are copied.
 */
const SMALL = 1024;

/** How the header lines of a received frame are to be read. */
export interface HeaderStyle {
  readonly escaping: Escaping;
  /** Blanks around values go (1.0). */
  readonly trim: boolean;
  /** A carriage return before the line feed belongs to the end of line (1.2, and before a version is agreed on). */
  readonly crlf: boolean;
}

const OPENING: HeaderStyle = { escaping: 'raw', trim: false, crlf: true };
const STYLES: Record<Version, HeaderStyle> = {
  '1.0': { escaping: '1.0', trim: true, crlf: false },
  '1.1': { escaping: '1.1', trim: false, crlf: false },
  '1.2': { escaping: '1.2', trim: false, crlf: true },
};

/** How the headers of that version are to be read; undefined before one is agreed on. */
export function styleOf(version: Version | undefined): HeaderStyle {
  return version === undefined ? OPENING : STYLES[version];
}

/** What headers can be made of: pairs, an object (undefined values are left out), or other headers. */
export type HeadersInit =
  FrameHeaders | Iterable<readonly [string, string]> | Readonly<Record<string, string | number | boolean | undefined>>;

/**
 * The headers of a frame: names and values in their order, case-sensitive, unescaped. Where a name stands more than
 * once the first entry counts (STOMP 1.2, Repeated Header Entries).
 *
 * Headers that came from the wire stay bytes until somebody asks for them.
 */
export class FrameHeaders implements Iterable<[string, string]> {
  // Names at even places, values at odd ones; undefined while the headers are still bytes.
  private list: string[] | undefined;
  private block: Buffer | undefined;
  private start = 0;
  private end = 0;
  private style: HeaderStyle | undefined;
  // The block as text, once a header of it was asked for; it is only cut up where its lines mean what they say.
  private text: string | undefined;
  private plain = false;

  constructor(init?: HeadersInit) {
    this.list = [];
    if (init === undefined) return;
    if (init instanceof FrameHeaders) this.list = init.parsed().slice();
    else if (Symbol.iterator in init) for (const [name, value] of init) this.list.push(name, value);
    else {
      for (const [name, value] of Object.entries(init)) if (value !== undefined) this.list.push(name, String(value));
    }
  }

  /**
   * Headers that are still a block of lines on the wire, checked by the decoder.
   *
   * @param plain no line of it has an escape, a carriage return or a second colon
   * @internal
   */
  static wire(block: Buffer, start: number, end: number, style: HeaderStyle, plain: boolean): FrameHeaders {
    const headers = new FrameHeaders();
    headers.list = undefined;
    headers.block = block;
    headers.start = start;
    headers.end = end;
    headers.style = style;
    headers.plain = plain;
    return headers;
  }

  private lines(): string {
    if (this.text === undefined) {
      this.text = this.block!.toString('utf8', this.start, this.end);
      this.block = undefined;
    }
    return this.text;
  }

  private parsed(): string[] {
    if (this.list !== undefined) return this.list;
    const list: string[] = [];
    const { escaping, trim, crlf } = this.style!;
    const text = this.lines();
    let at = 0;
    while (at < text.length) {
      const end = text.indexOf('\n', at);
      const colon = text.indexOf(':', at);
      const name = text.slice(at, colon);
      let value = text.slice(colon + 1, crlf && text[end - 1] === '\r' ? end - 1 : end);
      if (trim) value = trimBlanks(value);
      list.push(part(text, unescapeHeader(name, escaping)), part(text, unescapeHeader(value, escaping)));
      at = end + 1;
    }
    this.list = list;
    this.text = undefined;
    return list;
  }

  /** Characters of all names and values together. */
  get characters(): number {
    return this.parsed().reduce((sum, { length }) => sum + length, 0);
  }

  /** How many entries there are, repeated ones counted. */
  get size(): number {
    return this.parsed().length / 2;
  }

  /** The value of the first entry of that name. */
  get(name: string): string | undefined {
    if (this.list === undefined && this.plain) return this.find(name);
    const list = this.parsed();
    for (let i = 0; i < list.length; i += 2) if (list[i] === name) return list[i + 1];
    return undefined;
  }

  /** One value costs less than all names and values as strings of their own. */
  private find(name: string): string | undefined {
    const text = this.lines();
    const { length } = name;
    for (let at = 0; at < text.length; at = text.indexOf('\n', at) + 1) {
      if (text.charCodeAt(at + length) !== COLON || !text.startsWith(name, at)) continue;
      return part(text, text.slice(at + length + 1, text.indexOf('\n', at)));
    }
    return undefined;
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  /** Sets the one value of a name; entries that repeat it go. */
  set(name: string, value: string): this {
    const list = this.parsed();
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] !== name) continue;
      list[i + 1] = value;
      for (let j = list.length - 2; j > i; j -= 2) if (list[j] === name) list.splice(j, 2);
      return this;
    }
    list.push(name, value);
    return this;
  }

  /** Appends an entry. Where the name is there already, the earlier entry goes on to count. */
  add(name: string, value: string): this {
    this.parsed().push(name, value);
    return this;
  }

  /** Removes every entry of that name; tells whether there was one. */
  delete(name: string): boolean {
    const list = this.parsed();
    const before = list.length;
    for (let i = list.length - 2; i >= 0; i -= 2) if (list[i] === name) list.splice(i, 2);
    return list.length < before;
  }

  *entries(): IterableIterator<[string, string]> {
    const list = this.parsed();
    for (let i = 0; i < list.length; i += 2) yield [list[i]!, list[i + 1]!];
  }

  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.entries();
  }

  /** A plain object, the first entry of each name. It has no prototype, so that no name can surprise. */
  toObject(): Record<string, string> {
    const object = Object.create(null) as Record<string, string>;
    for (const [name, value] of this) object[name] ??= value;
    return object;
  }

  /** Headers of their own with the same entries. */
  copy(): FrameHeaders {
    return new FrameHeaders(this);
  }
}

/** A part of a text as a string that does not keep the text. */
const part = (text: string, value: string): string =>
  text.length > SMALL ? Buffer.from(value, 'utf8').toString('utf8') : value;

/** Without the blanks around it. A regular expression would take quadratic time over a long run of them. */
export function trimBlanks(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text, start)) start++;
  while (end > start && isBlank(text, end - 1)) end--;
  return text.slice(start, end);
}

function isBlank(text: string, at: number): boolean {
  return text[at] === ' ' || text[at] === '\t';
}
