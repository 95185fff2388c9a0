/*
 *   selector    := or
 *   or          := and { OR and }
 *   and         := not { AND not }
 *   not         := { NOT } predicate
 *   predicate   := sum [ ( '=' | '<>' | '<' | '>' | '<=' | '>=' ) sum
 *                      | [ NOT ] BETWEEN sum AND sum
 *                      | [ NOT ] IN '(' literal { ',' literal } ')'
 *                      | [ NOT ] LIKE string [ ESCAPE string ]
 *                      | IS [ NOT ] NULL ]
 *   sum         := product { ( '+' | '-' ) product }
 *   product     := signed { ( '*' | '/' | '%' ) signed }
 *   signed      := { '+' | '-' } primary
 *   primary     := name | string | number | TRUE | FALSE | '(' or ')'
 */
import { headerReader } from './header.js';
import { type Hyphens, Lexer, type Token } from './lexer.js';
import { compileLike } from './like.js';
import { negated, type Numeric, readLiteral } from './number.js';
import {
  absent,
  all,
  among,
  arithmetic,
  asCondition,
  asNumbers,
  between,
  type Condition,
  equal,
  like,
  not,
  type Numbers,
  type Operand,
  ordered,
  ORDERS,
  outside,
  signed,
  some,
} from './operand.js';

/** The most parentheses that may be open at once. */
const MAX_DEPTH = 100;

/**
 * Compiles a selector, from an offset of its text on.
 *
 * @throws StompError when it is none
 */
export function parseSelector(text: string, start: number, hyphens: Hyphens): Condition {
  return new Parser(new Lexer(text, start, hyphens)).whole();
}

class Parser {
  private token: Token;
  private depth = 0;

  constructor(private readonly lexer: Lexer) {
    this.token = lexer.next();
  }

  whole(): Condition {
    const condition = this.condition(this.or());
    if (this.token.type !== 'end') this.fail('nothing, AND or OR is expected here');
    return condition;
  }

  private or(): Operand {
    return this.joined('OR', () => this.and(), some);
  }

  private and(): Operand {
    return this.joined('AND', () => this.not(), all);
  }

  private joined(word: string, next: () => Operand, join: (parts: Condition[]) => Condition): Operand {
    const first = next();
    if (!this.is(word)) return first;
    const parts = [this.condition(first)];
    while (this.skip(word)) parts.push(this.condition(next()));
    return { kind: 'condition', read: join(parts), at: first.at };
  }

  private not(): Operand {
    const { at } = this.token;
    if (!this.is('NOT')) return this.predicate();
    let negative = false;
    while (this.skip('NOT')) negative = !negative;
    const condition = this.condition(this.predicate());
    return { kind: 'condition', read: negative ? not(condition) : condition, at };
  }

  private predicate(): Operand {
    const operand = this.sum();
    const read = this.comparison(operand) ?? this.membership(operand);
    return read === undefined ? operand : { kind: 'condition', read, at: operand.at };
  }

  private comparison(left: Operand): Condition | undefined {
    if (this.skip('=')) return equal(left, this.sum());
    if (this.skip('<>')) return not(equal(left, this.sum()));
    const order = this.token.type === 'fixed' ? ORDERS.get(this.token.value) : undefined;
    if (order !== undefined) {
      this.advance();
      return ordered(this.numbers(left), order, this.numbers(this.sum()));
    }
    if (!this.skip('IS')) return undefined;
    const present = this.skip('NOT');
    this.expect('NULL', present ? 'NULL' : 'NULL or NOT NULL');
    return present ? not(absent(left)) : absent(left);
  }

  private membership(left: Operand): Condition | undefined {
    const negative = this.skip('NOT');
    if (this.skip('BETWEEN')) {
      const value = this.numbers(left);
      const low = this.numbers(this.sum());
      this.expect('AND', 'the AND of BETWEEN');
      const high = this.numbers(this.sum());
      return negative ? outside(value, low, high) : between(value, low, high);
    }
    let condition: Condition;
    if (this.skip('IN')) condition = among(this.texts(left), this.list());
    else if (this.skip('LIKE')) condition = like(this.texts(left), this.pattern());
    else if (negative) this.fail('BETWEEN, IN or LIKE is expected behind NOT');
    else return undefined;
    return negative ? not(condition) : condition;
  }

  private list(): Set<string | Numeric> {
    const values = new Set<string | Numeric>();
    this.expect('(', 'a list in parentheses');
    do values.add(this.element());
    while (this.skip(','));
    this.expect(')', 'a comma or the end of the list');
    return values;
  }

  private element(): string | Numeric {
    if (this.token.type === 'string') return this.advance().value;
    const negative = this.sign();
    if (this.token.type !== 'number') this.fail('a string or a number is expected here');
    const value = this.literal();
    return negative ? negated(value) : value;
  }

  private pattern(): (text: string) => boolean {
    const pattern = this.string();
    if (!this.skip('ESCAPE')) return compileLike(pattern, undefined);
    const { at } = this.token;
    const escape = this.string();
    if (Array.from(escape).length !== 1) this.fail('an ESCAPE is one character', at);
    return compileLike(pattern, escape);
  }

  private sum(): Operand {
    return this.chain(['+', '-'], () => this.product());
  }

  private product(): Operand {
    return this.chain(['*', '/', '%'], () => this.signed());
  }

  private chain(symbols: readonly string[], next: () => Operand): Operand {
    const first = next();
    const steps: [string, Numbers][] = [];
    for (let symbol; (symbol = symbols.find((one) => this.is(one))) !== undefined;) {
      this.advance();
      steps.push([symbol, this.numbers(next())]);
    }
    if (steps.length === 0) return first;
    return { kind: 'number', read: arithmetic(this.numbers(first), steps), at: first.at };
  }

  private signed(): Operand {
    const { at } = this.token;
    if (!this.is('+') && !this.is('-')) return this.primary();
    const negative = this.sign();
    return { kind: 'number', read: signed(negative, this.numbers(this.primary())), at };
  }

  /** Passes over signs, in a loop because there may be thousands; whether they make a number negative. */
  private sign(): boolean {
    let negative = false;
    for (; this.is('+') || this.is('-'); this.advance()) if (this.is('-')) negative = !negative;
    return negative;
  }

  private primary(): Operand {
    const { type, at } = this.token;
    if (type === 'name') return { kind: 'header', read: headerReader(this.advance().value), at };
    if (type === 'string') {
      const { value } = this.advance();
      return { kind: 'string', read: () => value, at };
    }
    if (type === 'number') {
      const value = this.literal();
      return { kind: 'number', read: () => value, at };
    }
    if (this.skip('TRUE')) return { kind: 'condition', read: () => true, at };
    if (this.skip('FALSE')) return { kind: 'condition', read: () => false, at };
    if (!this.skip('(')) {
      this.fail(this.is('NULL') ? 'NULL is asked for by IS NULL or IS NOT NULL' : 'a name or a value is expected here');
    }
    if (++this.depth > MAX_DEPTH) this.fail(`more than ${MAX_DEPTH} parentheses, the limit, are open`, at);
    const operand = this.or();
    this.expect(')', 'a closing parenthesis');
    this.depth--;
    return { ...operand, at };
  }

  private literal(): Numeric {
    const { value, at } = this.advance();
    return readLiteral(value) ?? this.fail('this is no number', at);
  }

  private string(): string {
    if (this.token.type !== 'string') this.fail('a string in quotes is expected here');
    return this.advance().value;
  }

  private condition(operand: Operand): Condition {
    return asCondition(operand) ?? this.fail(`a ${operand.kind} is no condition`, operand.at);
  }

  private numbers(operand: Operand): Numbers {
    return asNumbers(operand) ?? this.fail(`a number is expected here, not a ${operand.kind}`, operand.at);
  }

  private texts(operand: Operand) {
    if (operand.kind === 'header' || operand.kind === 'string') return operand.read;
    return this.fail(`IN and LIKE are for headers, not for a ${operand.kind}`, operand.at);
  }

  private is(value: string): boolean {
    return this.token.type === 'fixed' && this.token.value === value;
  }

  private skip(value: string): boolean {
    const found = this.is(value);
    if (found) this.advance();
    return found;
  }

  private expect(value: string, what: string): void {
    if (!this.skip(value)) this.fail(`${what} is expected here`);
  }

  private advance(): Token {
    const { token } = this;
    this.token = this.lexer.next();
    return token;
  }

  private fail(what: string, at = this.token.at): never {
    throw this.lexer.error(what, at);
  }
}
