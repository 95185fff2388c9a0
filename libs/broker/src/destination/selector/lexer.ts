import { StompError } from 'nestjs-stomp/server';

/** A word of a selector: keywords and symbols are of the type `fixed`, keywords in capitals. */
export interface Token {
  readonly type: 'fixed' | 'name' | 'string' | 'number' | 'end';
  readonly value: string;
  /** Where it begins. */
  readonly at: number;
}

/** What a hyphen is right behind a letter of a name: see compileSelector. */
export type Hyphens = 'letters' | 'all' | 'none';

const KEYWORDS: ReadonlySet<string> = new Set('AND OR NOT BETWEEN IN LIKE ESCAPE IS NULL TRUE FALSE'.split(' '));

// What Java lets an identifier begin with and go on with.
const START = '\\p{L}\\p{Nl}\\p{Sc}\\p{Pc}';
const PART = `${START}\\p{Nd}\\p{Mn}\\p{Mc}`;
const NAMES: Readonly<Record<Hyphens, RegExp>> = {
  letters: new RegExp(`[${START}][${PART}]*(?:(?:\\.|-(?=[${START}]))[${PART}]+)*`, 'uy'),
  all: new RegExp(`[${START}][${PART}.-]*`, 'uy'),
  none: new RegExp(`[${START}][${PART}]*(?:\\.[${PART}]+)*`, 'uy'),
};
const AFTER_NUMBER = new RegExp(`[${PART}.]`, 'uy');

const BLANKS = /[ \t\r\n\f]*/y;
const FIXED = /<>|<=|>=|[=<>+\-*/%(),]/y;
const STRING = /'([^']*(?:''[^']*)*)'(?!')/y;
const QUOTED = /"([^"]*(?:""[^"]*)*)"(?!")/y;
const NUMBER = /0[xX][\da-fA-F]+[lL]?|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?[lLfFdD]?/y;

/** Reads a selector word by word. */
export class Lexer {
  private at = 0;

  constructor(
    private readonly text: string,
    /** Where the first word may begin. */
    start: number,
    private readonly hyphens: Hyphens,
  ) {
    this.at = start;
  }

  /** @throws StompError when no word begins with what stands there */
  next(): Token {
    this.take(BLANKS);
    const at = this.at;
    if (at === this.text.length) return { type: 'end', value: '', at };
    const fixed = this.take(FIXED);
    if (fixed !== undefined) return { type: 'fixed', value: fixed[0], at };
    const name = this.take(NAMES[this.hyphens]);
    if (name !== undefined) {
      const keyword = name[0].toUpperCase();
      return KEYWORDS.has(keyword) ? { type: 'fixed', value: keyword, at } : { type: 'name', value: name[0], at };
    }
    const string = this.take(STRING);
    if (string !== undefined) return { type: 'string', value: string[1]!.replaceAll("''", "'"), at };
    const quoted = this.take(QUOTED);
    if (quoted !== undefined && quoted[1] !== '') return { type: 'name', value: quoted[1]!.replaceAll('""', '"'), at };
    const number = this.take(NUMBER);
    if (number !== undefined && this.take(AFTER_NUMBER) === undefined) return { type: 'number', value: number[0], at };
    throw this.error(unreadable(this.text[at]!), at);
  }

  /** The error, with the place where it is. */
  error(what: string, at: number): StompError {
    return new StompError('invalid selector', `${what}, ${place(this.text, at)}`);
  }

  private take(expression: RegExp): RegExpExecArray | undefined {
    expression.lastIndex = this.at;
    const found = expression.exec(this.text);
    if (found === null) return undefined;
    this.at = expression.lastIndex;
    return found;
  }
}

function unreadable(character: string): string {
  if (character === "'") return 'this string does not end with a quote';
  if (character === '"') return 'this name is empty or does not end with a double quote';
  return /[\d.]/.test(character) ? 'this is no number' : 'this character has no meaning';
}

/** So many characters of the selector are shown before and after the place. */
const BEFORE = 40;
const AFTER = 30;

/** The column, and the text around it with a caret beneath: blanks are spaces, what does not print question marks. */
function place(text: string, at: number): string {
  const printable = (part: string) =>
    Array.from(part, (one) => (/\s/.test(one) ? ' ' : /\p{C}/u.test(one) ? '?' : one));
  const start = Math.max(0, at - BEFORE);
  const before = printable(text.slice(start, at));
  const after = printable(text.slice(at, at + AFTER));
  const dots = start > 0 ? '...' : '';
  const caret = ' '.repeat(dots.length + before.length);
  return `at column ${at + 1}:\n${dots}${before.join('')}${after.join('')}${at + AFTER < text.length ? '...' : ''}\n${caret}^`;
}
