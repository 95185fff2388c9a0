/*
 * Selectors against a second reading of the same rules: a syntax tree is made at random, written down in some way, and
 * evaluated here as it stands, with a three-valued logic and a LIKE of its own.
 */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { FrameHeaders } from 'nestjs-stomp/frame';
import { StompError } from 'nestjs-stomp/server';
import { compileSelector } from '../../../../libs/broker/src/destination/selector.js';

type Tree =
  | { type: 'header'; name: string }
  | { type: 'string' | 'number' | 'boolean'; value: string }
  | { type: 'sign'; symbol: string; operand: Tree }
  | { type: 'calculation' | 'comparison'; symbol: string; left: Tree; right: Tree }
  | { type: 'between'; not: boolean; value: Tree; low: Tree; high: Tree }
  | { type: 'in'; not: boolean; name: string; values: string[] }
  | { type: 'like'; not: boolean; name: string; pattern: string; escape: string | undefined }
  | { type: 'null'; not: boolean; value: Tree }
  | { type: 'not'; operand: Tree }
  | { type: 'logic'; word: 'AND' | 'OR'; left: Tree; right: Tree };

type Message = ReadonlyMap<string, string>;

// --- evaluation

/** A header's text keeps its type open; null is the unknown. */
type Value = { text: string } | string | number | boolean | null;
type Truth = boolean | null;

const NUMERAL = /^[ \t]*[-+]?(\d+|\d+\.\d*|\.\d+)(e[-+]?\d+)?[ \t]*$/i;

function toNumber(value: Value): number | 'unlike' | null {
  if (value === null || typeof value === 'number') return value;
  return typeof value === 'object' && NUMERAL.test(value.text) ? Number(value.text) : 'unlike';
}

function toTruth(value: Value): Truth {
  if (value === null || typeof value === 'boolean') return value;
  return typeof value === 'object' && value.text.toLowerCase() === 'true';
}

function same(left: Value, right: Value): Truth {
  if (left === null || right === null) return null;
  if (typeof left !== 'object') return typeof right === 'object' ? same(right, left) : left === right;
  switch (typeof right) {
    case 'string':
      return left.text === right;
    case 'number':
      return toNumber(left) === right;
    case 'boolean':
      return left.text.toLowerCase() === String(right);
    default: {
      const numbers = [toNumber(left), toNumber(right)];
      return numbers.includes('unlike') ? left.text === right.text : numbers[0] === numbers[1];
    }
  }
}

function compare(symbol: string, left: Value, right: Value): Truth {
  if (symbol === '=') return same(left, right);
  if (symbol === '<>') return opposite(same(left, right));
  const a = toNumber(left);
  const b = toNumber(right);
  if (a === null || b === null) return null;
  if (a === 'unlike' || b === 'unlike') return false;
  if (symbol === '<') return a < b;
  if (symbol === '>') return a > b;
  return symbol === '<=' ? a <= b : a >= b;
}

function calculate(symbol: string, left: Value, right: Value): number | null {
  const a = toNumber(left);
  const b = toNumber(right);
  if (typeof a !== 'number' || typeof b !== 'number') return null;
  let result: number;
  if (symbol === '+') result = a + b;
  else if (symbol === '-') result = a - b;
  else if (symbol === '*') result = a * b;
  else result = symbol === '/' ? a / b : a % b;
  return Number.isFinite(result) ? result : null;
}

const RANK = (value: Truth) => (value === null ? 1 : value ? 2 : 0);
const opposite = (value: Truth): Truth => (value === null ? null : !value);
const both = (a: Truth, b: Truth): Truth => (RANK(a) < RANK(b) ? a : b);
const either = (a: Truth, b: Truth): Truth => (RANK(a) > RANK(b) ? a : b);
const negated = (not: boolean, value: Truth): Truth => (not ? opposite(value) : value);

/** LIKE by a table: whether the first i places of the pattern match the first j characters of the text. */
function isLike(text: string, pattern: string, escape: string | undefined): boolean {
  const places: { any?: 'text' | 'one'; is?: string }[] = [];
  const signs = [...pattern];
  while (signs.length > 0) {
    const sign = signs.shift()!;
    if (sign === escape && [escape, '%', '_'].includes(signs[0]!)) places.push({ is: signs.shift()! });
    else if (sign === '%') places.push({ any: 'text' });
    else places.push(sign === '_' ? { any: 'one' } : { is: sign });
  }
  const characters = [...text];
  let row = characters.map(() => false);
  row.unshift(true);
  for (const { any, is } of places) {
    const next = row.map(() => false);
    for (let j = 0; j < row.length; j++) {
      if (any === 'text') next[j] = row[j]! || (j > 0 && next[j - 1]!);
      else next[j] = j > 0 && row[j - 1]! && (any === 'one' || characters[j - 1] === is);
    }
    row = next;
  }
  return row.at(-1)!;
}

function evaluate(tree: Tree, message: Message): Value {
  const header = (name: string): Value => {
    const text = message.get(name);
    return text === undefined ? null : { text };
  };
  const value = (part: Tree) => evaluate(part, message);
  switch (tree.type) {
    case 'header':
      return header(tree.name);
    case 'string':
      return tree.value;
    case 'number':
      return Number(tree.value);
    case 'boolean':
      return tree.value === 'TRUE';
    case 'sign':
      return calculate(tree.symbol, 0, value(tree.operand));
    case 'calculation':
      return calculate(tree.symbol, value(tree.left), value(tree.right));
    case 'comparison':
      return compare(tree.symbol, value(tree.left), value(tree.right));
    case 'between': {
      const [it, low, high] = [value(tree.value), value(tree.low), value(tree.high)];
      return tree.not
        ? either(compare('<', it, low), compare('>', it, high))
        : both(compare('>=', it, low), compare('<=', it, high));
    }
    case 'in': {
      const it = header(tree.name);
      const found = tree.values.map((one) => same(it, one.startsWith("'") ? one.slice(1, -1) : Number(one)));
      return negated(tree.not, found.reduce(either, it === null ? null : false));
    }
    case 'like': {
      const text = message.get(tree.name);
      return negated(tree.not, text === undefined ? null : isLike(text, tree.pattern, tree.escape));
    }
    case 'null':
      return (value(tree.value) === null) !== tree.not;
    case 'not':
      return opposite(toTruth(value(tree.operand)));
    case 'logic':
      return (tree.word === 'AND' ? both : either)(toTruth(value(tree.left)), toTruth(value(tree.right)));
  }
}

// --- writing down

/** How tightly a tree holds together; what is looser than its place asks for needs parentheses. */
function tightness(tree: Tree): number {
  switch (tree.type) {
    case 'logic':
      return tree.word === 'OR' ? 0 : 1;
    case 'not':
      return 2;
    case 'calculation':
      return '+-'.includes(tree.symbol) ? 4 : 5;
    case 'sign':
      return 6;
    case 'header':
    case 'string':
    case 'number':
    case 'boolean':
      return 7;
    default:
      return 3;
  }
}

const quoted = (text: string) => `'${text.replaceAll("'", "''")}'`;

/** The words of a tree; `extra` tells where parentheses stand that nobody needs. */
function words(tree: Tree, extra: () => boolean): string[] {
  const part = (inner: Tree, atLeast: number): string[] => {
    const inside = words(inner, extra);
    return tightness(inner) < atLeast || extra() ? ['(', ...inside, ')'] : inside;
  };
  const not = (is: boolean) => (is ? ['NOT'] : []);
  switch (tree.type) {
    case 'header':
      return [tree.name];
    case 'string':
      return [quoted(tree.value)];
    case 'number':
    case 'boolean':
      return [tree.value];
    case 'sign':
      return [tree.symbol, ...part(tree.operand, 6)];
    case 'calculation': {
      const own = tightness(tree);
      return [...part(tree.left, own), tree.symbol, ...part(tree.right, own + 1)];
    }
    case 'comparison':
      return [...part(tree.left, 4), tree.symbol, ...part(tree.right, 4)];
    case 'between':
      return [...part(tree.value, 4), ...not(tree.not), 'BETWEEN', ...part(tree.low, 4), 'AND', ...part(tree.high, 4)];
    case 'in':
      return [
        tree.name,
        ...not(tree.not),
        'IN',
        '(',
        ...tree.values.flatMap((one, i) => (i ? [',', one] : [one])),
        ')',
      ];
    case 'like': {
      const escape = tree.escape === undefined ? [] : ['ESCAPE', quoted(tree.escape)];
      return [tree.name, ...not(tree.not), 'LIKE', quoted(tree.pattern), ...escape];
    }
    case 'null':
      return [...part(tree.value, 4), 'IS', ...not(tree.not), 'NULL'];
    case 'not':
      return ['NOT', ...part(tree.operand, 2)];
    case 'logic': {
      const own = tightness(tree);
      return [...part(tree.left, own), tree.word, ...part(tree.right, own + 1)];
    }
  }
}

const KEYWORD = /^(?:AND|OR|NOT|BETWEEN|IN|LIKE|ESCAPE|IS|NULL|TRUE|FALSE)$/;
const BLANKS = ['', '', ' ', '  ', '\t', ' \r\n', '\f'];

/** Writes a tree down, in a way that the choices tell: blanks, case of keywords, needless parentheses. */
function written(tree: Tree, choices: readonly number[]): string {
  let at = 0;
  const choose = (count: number) => (choices.length === 0 ? 0 : choices[at++ % choices.length]! % count);
  let text = BLANKS[choose(BLANKS.length)]!;
  for (const word of words(tree, () => choose(8) === 7)) {
    const spelled = KEYWORD.test(word) && choose(2) ? word.toLowerCase() : word;
    const clash = (/[\w"]$/.test(text) && /^[\w"$.]/.test(word)) || (/[A-Za-z_][\w.-]*$/.test(text) && word === '-');
    const blank = BLANKS[choose(BLANKS.length)]!;
    text += (clash && blank === '' ? ' ' : blank) + spelled;
  }
  return text + BLANKS[choose(BLANKS.length)]!;
}

// --- arbitraries

const NAMES = [
  'a',
  'b',
  'region',
  'correlation-id',
  'orders.region',
  '$x_1',
  'in-reply-to',
  '__proto__',
  'constructor',
];
const name = fc.constantFrom(...NAMES);
const text = fc.oneof(
  fc.constantFrom(
    '',
    'EU',
    'eu',
    'true',
    'FALSE',
    '1',
    '1.0',
    ' 2 ',
    '3',
    '-3',
    '+4',
    '0.25',
    '1e2',
    '007',
    '0x10',
    "it's",
  ),
  fc.string({ unit: fc.constantFrom('a', 'b', '%', '_', '!', "'", '😀'), maxLength: 6 }),
);
const message: fc.Arbitrary<Message> = fc
  .array(fc.tuple(name, text), { maxLength: NAMES.length })
  .map((pairs) => new Map(pairs));

const header = fc.record({ type: fc.constant('header' as const), name });
const number = fc.record({
  type: fc.constant('number' as const),
  // Quarters: what is exact in binary is the same in whichever order it is calculated.
  value: fc
    .oneof(
      fc.nat(20),
      fc.nat(400).map((quarters) => quarters / 4),
      fc.nat(100_000),
    )
    .map(String),
});
const string = fc.record({ type: fc.constant('string' as const), value: text });
const boolean = fc.record({ type: fc.constant('boolean' as const), value: fc.constantFrom('TRUE', 'FALSE') });
const item = fc.oneof(
  text.filter((one) => !one.includes("'")).map((one) => `'${one}'`),
  fc.integer({ min: -5, max: 20 }).map(String),
);

const { condition } = fc.letrec<{ condition: Tree; predicate: Tree; numeric: Tree }>((tie) => ({
  numeric: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    header,
    number,
    fc.record({
      type: fc.constant('sign' as const),
      symbol: fc.constantFrom('+', '-'),
      operand: tie('numeric'),
    }),
    fc.record({
      type: fc.constant('calculation' as const),
      symbol: fc.constantFrom('+', '-', '*', '/', '%'),
      left: tie('numeric'),
      right: tie('numeric'),
    }),
  ),
  predicate: fc.oneof(
    header,
    boolean,
    fc.record({
      type: fc.constant('comparison' as const),
      symbol: fc.constantFrom('=', '<>', '<', '>', '<=', '>='),
      left: tie('numeric'),
      right: tie('numeric'),
    }),
    fc.record({
      type: fc.constant('comparison' as const),
      symbol: fc.constantFrom('=', '<>'),
      left: fc.oneof(header, string, boolean, tie('numeric'), tie('condition')),
      right: fc.oneof(header, string, boolean, tie('numeric'), tie('condition')),
    }),
    fc.record({
      type: fc.constant('between' as const),
      not: fc.boolean(),
      value: tie('numeric'),
      low: tie('numeric'),
      high: tie('numeric'),
    }),
    fc.record({
      type: fc.constant('in' as const),
      not: fc.boolean(),
      name,
      values: fc.array(item, { minLength: 1, maxLength: 5 }),
    }),
    fc.record({
      type: fc.constant('like' as const),
      not: fc.boolean(),
      name,
      pattern: fc.oneof(text, fc.string({ unit: fc.constantFrom('a', 'b', '%', '_', '!', 'E', 'U'), maxLength: 8 })),
      escape: fc.constantFrom(undefined, '!', 'a', '%', '😀'),
    }),
    fc.record({
      type: fc.constant('null' as const),
      not: fc.boolean(),
      value: fc.oneof(header, tie('numeric')),
    }),
  ),
  condition: fc.oneof(
    { depthSize: 'medium', withCrossShrink: true },
    tie('predicate'),
    fc.record({ type: fc.constant('not' as const), operand: tie('condition') }),
    fc.record({
      type: fc.constant('logic' as const),
      word: fc.constantFrom('AND' as const, 'OR' as const),
      left: tie('condition'),
      right: tie('condition'),
    }),
  ),
}));
const choices = fc.array(fc.nat(1000), { maxLength: 40 });

/** Headers that count how often each is read. */
class Counted extends FrameHeaders {
  readonly reads = new Map<string, number>();

  override get(key: string): string | undefined {
    this.reads.set(key, (this.reads.get(key) ?? 0) + 1);
    return super.get(key);
  }
}

// --- properties

describe('A selector', () => {
  it('takes the messages that its syntax tree takes, however it is written', () => {
    fc.assert(
      fc.property(condition, choices, message, (tree, how, headers) => {
        const expected = toTruth(evaluate(tree, headers));
        const given = new FrameHeaders(headers);
        expect(compileSelector(written(tree, how))(given)).toBe(expected === true);
        expect(compileSelector(`not(${written(tree, how)})`)(given)).toBe(expected === false);
      }),
      { numRuns: 2000 },
    );
  });

  it('reads a header at most as often as it names it', () => {
    fc.assert(
      fc.property(condition, message, (tree, headers) => {
        const counted = new Counted(headers);
        compileSelector(written(tree, []))(counted);
        const named = words(tree, () => false);
        for (const [key, count] of counted.reads) {
          expect(count).toBeLessThanOrEqual(named.filter((word) => word === key).length);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('compares and calculates within 64 bits as exactly as BigInt', () => {
    const limit = 2n ** 63n;
    const long = fc.oneof(
      fc.bigInt({ min: -limit, max: limit - 1n }),
      fc
        .tuple(fc.constantFrom(2n ** 53n, -(2n ** 53n), limit - 1n, -limit, 0n), fc.bigInt(-4n, 4n))
        .map(([a, b]) => a + b),
    );
    const within = (value: bigint) => value >= -limit && value < limit;
    fc.assert(
      fc.property(long.filter(within), long.filter(within), (a, b) => {
        const headers = new FrameHeaders({ a: String(a), b: String(b) });
        const holds = (selector: string) => compileSelector(selector)(headers);
        expect([holds('a < b'), holds('a = b'), holds('a > b')]).toEqual([a < b, a === b, a > b]);
        expect([holds(`a < ${b}`), holds(`a = ${b}L`), holds(`a IN (${b})`)]).toEqual([a < b, a === b, a === b]);
        for (const [symbol, result] of [
          ['+', a + b],
          ['-', a - b],
          ['*', a * b],
        ] as const) {
          if (within(result)) expect(holds(`a ${symbol} b = ${result}`)).toBe(true);
          if (within(result + 1n)) expect(holds(`a ${symbol} b = ${result + 1n}`)).toBe(false);
        }
        if (b !== 0n) expect(holds(`a % b = ${a % b}`)).toBe(true);
        if (b !== 0n && within(a - (a % b))) expect(holds(`(a - a % b) / b * b = ${a - (a % b)}`)).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  it('matches LIKE as a table of all beginnings does', () => {
    const letters = (...unit: string[]) => fc.string({ unit: fc.constantFrom(...unit), maxLength: 90 });
    fc.assert(
      fc.property(letters('a', 'b'), letters('a', 'b', '%', '_', 'a', 'b'), (long, pattern) => {
        const given = new FrameHeaders({ a: long });
        expect(compileSelector(`a LIKE '${pattern}'`)(given)).toBe(isLike(long, pattern, undefined));
        // Such as are made to match, for few of the others do.
        const loose = [...long].map((one, i) => (i % 7 === 3 ? '_' : i % 11 === 5 ? `${one}%` : one)).join('');
        expect(compileSelector(`a LIKE '${loose}'`)(given)).toBe(true);
        expect(compileSelector(`a LIKE '%${loose.slice(long.length / 2)}'`)(given)).toBe(
          isLike(long, `%${loose.slice(long.length / 2)}`, undefined),
        );
      }),
      { numRuns: 1000 },
    );
  });
});

describe('Any text', () => {
  /** Either a selector that answers, or an error that can be shown. */
  function check(selector: string, headers: Message): void {
    let compiled;
    try {
      compiled = compileSelector(selector);
    } catch (error) {
      if (!(error instanceof StompError)) throw error;
      expect(error.message).toBe('invalid selector');
      expect(error.detail).toMatch(/^(?:[^\p{C}]|\n)+$/u);
      expect(error.detail.length).toBeLessThan(300);
      return;
    }
    expect(typeof compiled(new FrameHeaders(headers))).toBe('boolean');
  }

  it('is taken or refused, whatever its characters', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 60 }), message, check), { numRuns: 1500 });
  });

  it('is taken or refused, whatever its words', () => {
    const word = fc.constantFrom(
      ...[
        'a',
        'b-c',
        'a.b',
        '"x y"',
        'JMSPriority',
        "'x'",
        "'a%'",
        "'",
        '"',
        '1',
        '1.5',
        '08',
        '0x1F',
        '9e99',
        '.',
        '-',
        '+',
      ],
      ...['AND', 'or', 'NOT', 'BETWEEN', 'IN', 'LIKE', 'ESCAPE', 'IS', 'NULL', 'TRUE', '(', '(', ')', ')', ',', ' '],
      ...['=', '<>', '<', '>=', '*', '/', '%', 'hyphenated_props:', 'no_hyphenated_props:', '\u0000', '\ud800', '😀'],
    );
    fc.assert(
      fc.property(
        fc.array(word, { maxLength: 25 }).map((parts) => parts.join(' ')),
        message,
        check,
      ),
      { numRuns: 2000 },
    );
  });

  it('is taken or refused when it was a selector before something was done to it', () => {
    const damage = fc.array(fc.tuple(fc.nat(1000), fc.nat(3), fc.string({ unit: 'binary', maxLength: 2 })), {
      minLength: 1,
      maxLength: 4,
    });
    fc.assert(
      fc.property(condition, choices, damage, message, (tree, how, hits, headers) => {
        let selector = written(tree, how);
        for (const [where, length, instead] of hits) {
          const at = where % (selector.length + 1);
          selector = selector.slice(0, at) + instead + selector.slice(at + length);
        }
        check(selector, headers);
      }),
      { numRuns: 1500 },
    );
  });
});
