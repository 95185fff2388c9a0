import { describe, expect, it } from '@jest/globals';
import { FrameHeaders } from 'nestjs-stomp/frame';
import { StompError } from 'nestjs-stomp/server';
// A module of its own, because what it says of the unknown no socket shows.
import { compileSelector } from '../../../../libs/broker/src/destination/selector.js';

type Headers = Record<string, string>;

/** What a condition comes to: neither it nor its opposite takes a message where it is unknown. */
function valueOf(condition: string, headers: Headers = {}): boolean | undefined {
  const given = new FrameHeaders(headers);
  const holds = compileSelector(condition)(given);
  const fails = compileSelector(`NOT (${condition})`)(given);
  expect(holds && fails).toBe(false);
  return holds ? true : fails ? false : undefined;
}

function refusal(selector: string): StompError {
  try {
    compileSelector(selector);
  } catch (error) {
    if (error instanceof StompError) return error;
    throw error;
  }
  throw new Error(`the selector was taken: ${selector.slice(0, 100)}`);
}

type Row = readonly [condition: string, expected: boolean | undefined];

/** One test for each row, against the same headers. */
function table(headers: Headers, rows: readonly Row[]): void {
  it.each(rows)('%s is %s', (condition, expected) => expect(valueOf(condition, headers)).toBe(expected));
}

describe('A comparison', () => {
  describe('of a header with a string compares text', () => {
    table({ region: 'EU', empty: '', quote: "it's", n: '1' }, [
      ["region = 'EU'", true],
      ["region = 'eu'", false],
      ["'EU' = region", true],
      ["region <> 'US'", true],
      ["region <> 'EU'", false],
      ["quote = 'it''s'", true],
      ["empty = ''", true],
      ["empty = ' '", false],
      ["n = '1'", true],
      ["n = '1.0'", false],
      ["'a' = 'a'", true],
      ["'a' <> 'b'", true],
    ]);
  });

  describe('of a header with a number compares numbers', () => {
    table({ n: '1', price: '10.50', blank: ' 7', debt: '-3', plus: '+3', big: '1e3', zeros: '007', dot: '.5' }, [
      ['n = 1', true],
      ['n = 1.0', true],
      ['n <> 1', false],
      ['n <> 2', true],
      ['price > 10', true],
      ['price > 9', true],
      ['price < 9', false],
      ['price = 10.5', true],
      ['price >= 10.5', true],
      ['price <= 10.5', true],
      ['price < 10.5', false],
      ['10 < price', true],
      ['blank = 7', true],
      ['debt < 0', true],
      ['debt = -3', true],
      ['plus = 3', true],
      ['big = 1000', true],
      ['zeros = 7', true],
      ['dot = 0.5', true],
      ['n<2', true],
      ['n>=-1', true],
      ['n<>-1', true],
    ]);
  });

  describe('of a text that is no number with a number is one of unlike types', () => {
    table({ word: 'abc', empty: '', hex: '0x10', infinite: 'Infinity', nan: 'NaN', large: '1e999', two: '1 2' }, [
      ['word = 5', false],
      ['word <> 5', true],
      ['word < 5', false],
      ['word >= 5', false],
      ['empty = 0', false],
      ['hex = 16', false],
      ['infinite > 5', false],
      ['nan = nan + 0', undefined],
      ['large > 5', false],
      ['two = 1', false],
      ["5 = 'x'", false],
      ["5 <> '5'", true],
      ['TRUE = 1', false],
    ]);
  });

  describe('of two headers compares numbers where both hold one, else text', () => {
    table({ one: '1', same: '1.0', ten: '10', nine: '9', word: 'abc', again: 'abc' }, [
      ['one = same', true],
      ['ten > nine', true],
      ['nine < ten', true],
      ['word = again', true],
      ['word <> again', false],
      ['word = one', false],
      ['word <> one', true],
      ['word < again', false],
      ['one = gone', undefined],
    ]);
  });

  describe('of a header with a boolean takes true and false in any case', () => {
    table({ yes: 'true', no: 'False', word: 'abc', one: '1', blank: ' true' }, [
      ['yes = TRUE', true],
      ['blank = TRUE', true],
      ['yes = FALSE', false],
      ['no = FALSE', true],
      ['no <> TRUE', true],
      ['TRUE = yes', true],
      ['word = TRUE', false],
      ['word = FALSE', false],
      ['word <> TRUE', true],
      ['one = TRUE', false],
      ['(one = 1) = yes', true],
      ['gone = TRUE', undefined],
    ]);
  });

  describe('keeps 64 bits apart', () => {
    table(
      {
        id: '9007199254740993',
        least: '-9223372036854775808',
        most: '9223372036854775807',
        real: '9007199254740992.0',
      },
      [
        ['id = 9007199254740993', true],
        ['id = 9007199254740992', false],
        ['id > 9007199254740992', true],
        ['id <> 9007199254740992', true],
        ['id = 9007199254740992.0', false],
        ['id > 9007199254740992.0', true],
        ['id = real', false],
        ['id > real', true],
        ['id = 9007199254740993L', true],
        ['id - 1 = 9007199254740992', true],
        ['id + 1 = 9007199254740994', true],
        ['id * 3 = 27021597764222979', true],
        ['id * 3 / 3 = id', true],
        ['id % 2 = 1', true],
        ['id IN (9007199254740992)', false],
        ['id IN (9007199254740992, 9007199254740993)', true],
        ['id BETWEEN 9007199254740993 AND 9007199254740993', true],
        ['id NOT BETWEEN 9007199254740994 AND 9007199254740999', true],
        ['least = -9223372036854775808', true],
        ['least IN (-9223372036854775808)', true],
        ['least = -9223372036854775807', false],
        ['most = 9223372036854775807', true],
        ['most = 9223372036854775806', false],
        ['-most - 1 = least', true],
        ['most < 1e30', true],
        ['most < 99999999999999999999', true],
      ],
    );
  });
});

describe('Conditions', () => {
  const words = new Map<boolean | undefined, string>([
    [true, 'TRUE'],
    [false, 'FALSE'],
    [undefined, 'gone = 1'],
  ]);
  const t = true;
  const f = false;
  const u = undefined;

  it.each([
    [t, t, t],
    [t, f, f],
    [t, u, u],
    [f, t, f],
    [f, f, f],
    [f, u, f],
    [u, t, u],
    [u, f, f],
    [u, u, u],
  ])('%s AND %s is %s', (left, right, expected) => {
    expect(valueOf(`${words.get(left)} AND ${words.get(right)}`)).toBe(expected);
  });

  it.each([
    [t, t, t],
    [t, f, t],
    [t, u, t],
    [f, t, t],
    [f, f, f],
    [f, u, u],
    [u, t, t],
    [u, f, u],
    [u, u, u],
  ])('%s OR %s is %s', (left, right, expected) => {
    expect(valueOf(`${words.get(left)} OR ${words.get(right)}`)).toBe(expected);
  });

  it.each([
    [t, f],
    [f, t],
    [u, u],
  ])('NOT %s is %s', (value, expected) => {
    expect(valueOf(`NOT ${words.get(value)}`)).toBe(expected);
  });

  describe('bind NOT before AND before OR', () => {
    table({ a: '1' }, [
      ['TRUE OR FALSE AND FALSE', true],
      ['(TRUE OR FALSE) AND FALSE', false],
      ['FALSE AND FALSE OR TRUE', true],
      ['NOT FALSE AND FALSE', false],
      ['NOT (FALSE AND FALSE)', true],
      ['NOT a = 2', true],
      ['NOT NOT a = 1', true],
      ['NOT NOT NOT a = 1', false],
      ['NOT a = 1 OR a = 1', true],
    ]);
  });

  describe('may be headers, which hold where they are true', () => {
    table({ yes: 'TRUE', no: 'false', word: 'abc' }, [
      ['yes', true],
      ['no', false],
      ['word', false],
      ['gone', undefined],
      ['NOT no', true],
      ['yes AND NOT no', true],
      ['gone OR yes', true],
      ['(yes)', true],
    ]);
  });

  describe('that compare with what is not there are unknown', () => {
    table({ a: '1' }, [
      ['gone = 1', undefined],
      ['gone <> 1', undefined],
      ['1 = gone', undefined],
      ['gone < 1', undefined],
      ['1 >= gone', undefined],
      ["gone = 'x'", undefined],
      ['gone = gone', undefined],
      ['gone + 1 = 1', undefined],
      ['1 - gone = 1', undefined],
      ['-gone = 1', undefined],
      ["gone LIKE 'x'", undefined],
      ["gone NOT LIKE 'x'", undefined],
      ["gone IN ('x')", undefined],
      ["gone NOT IN ('x')", undefined],
      ['gone BETWEEN 1 AND 2', undefined],
      ['gone NOT BETWEEN 1 AND 2', undefined],
      ['a BETWEEN gone AND 2', undefined],
      ['a BETWEEN gone AND 0', false],
      ['a BETWEEN 2 AND gone', false],
      ['a NOT BETWEEN gone AND 0', true],
      ['a NOT BETWEEN 2 AND gone', true],
      ['a NOT BETWEEN gone AND 2', undefined],
    ]);
  });
});

describe('IS NULL and IS NOT NULL tell whether a header is there', () => {
  table({ a: '', b: 'x' }, [
    ['a IS NULL', false],
    ['a IS NOT NULL', true],
    ['gone IS NULL', true],
    ['gone IS NOT NULL', false],
    ['b is not null', true],
    ['gone + 1 IS NULL', true],
  ]);
});

describe('BETWEEN includes both ends', () => {
  table({ n: '5', word: 'abc' }, [
    ['n BETWEEN 5 AND 6', true],
    ['n BETWEEN 4 AND 5', true],
    ['n BETWEEN 4.5 AND 5.5', true],
    ['n BETWEEN 6 AND 7', false],
    ['n BETWEEN 6 AND 4', false],
    ['n NOT BETWEEN 5 AND 6', false],
    ['n NOT BETWEEN 4 AND 5', false],
    ['n NOT BETWEEN 6 AND 7', true],
    ['n NOT BETWEEN 3 AND 4', true],
    ['n BETWEEN 2 + 2 AND 2 * 3 AND n = 5', true],
    ['n + 1 BETWEEN n AND n + 2', true],
    ['word BETWEEN 1 AND 2', false],
    ['word NOT BETWEEN 1 AND 2', false],
  ]);
});

describe('IN looks for text, and for numbers', () => {
  table({ country: 'UK', n: '2.0', word: 'toString' }, [
    ["country IN ('UK', 'US', 'France')", true],
    ["country IN ('uk')", false],
    ["country NOT IN ('US')", true],
    ["country NOT IN ('US', 'UK')", false],
    ["country IN('UK')", true],
    ["(country) IN ('UK')", true],
    ['n IN (1, 2, 3)', true],
    ['n IN (-2, +2)', true],
    ['n IN (-2)', false],
    ["n IN ('2')", false],
    ["n IN ('x', 2)", true],
    ['country IN (1, 2)', false],
    ["word IN ('valueOf')", false],
  ]);
});

describe('LIKE', () => {
  describe('matches the whole text, % any of it and _ one character', () => {
    table({ phone: '12993', word: 'lose', lines: 'a\nb', smile: 'a😀b', empty: '', percent: '50%', regular: 'a.c' }, [
      ["phone LIKE '12%3'", true],
      ["phone LIKE '12%4'", false],
      ["phone LIKE '12'", false],
      ["phone LIKE '%2993'", true],
      ["phone LIKE '%99%'", true],
      ["phone LIKE '%'", true],
      ["phone LIKE '_____'", true],
      ["phone LIKE '____'", false],
      ["phone LIKE '______'", false],
      ["phone LIKE '1%_3'", true],
      ["word LIKE 'l_se'", true],
      ["word LIKE 'L_se'", false],
      ["word LIKE 'l_e'", false],
      ["word LIKE '%%s%%'", true],
      ["word NOT LIKE 'l_se'", false],
      ["word NOT LIKE 'x%'", true],
      ["lines LIKE 'a_b'", true],
      ["lines LIKE 'a%b'", true],
      ["smile LIKE 'a_b'", true],
      ["smile LIKE 'a__b'", false],
      ["smile LIKE '%😀%'", true],
      ["empty LIKE ''", true],
      ["empty LIKE '%'", true],
      ["empty LIKE '_'", false],
      ["percent LIKE '50%'", true],
      ["regular LIKE 'a.c'", true],
      ["word LIKE 'l.se'", false],
      ["word LIKE '.*'", false],
      ["'literal' LIKE 'lit%'", true],
    ]);
  });

  describe('takes what follows the ESCAPE for itself', () => {
    table({ under: '_x', percent: '50%', back: 'a\\b', other: 'xy', smile: '_' }, [
      ["under LIKE '\\_%' ESCAPE '\\'", true],
      ["other LIKE '\\_%' ESCAPE '\\'", false],
      ["percent LIKE '50!%' ESCAPE '!'", true],
      ["percent NOT LIKE '50!%' ESCAPE '!'", false],
      ["other LIKE '!%%' ESCAPE '!'", false],
      ["back LIKE 'a\\\\b' ESCAPE '\\'", true],
      ["back LIKE 'a\\b' ESCAPE '\\'", true],
      ["back LIKE 'a\\b'", true],
      ["smile LIKE '😀_' ESCAPE '😀'", true],
      ["percent LIKE '50%%' ESCAPE '%'", true],
    ]);
  });

  it('matches patterns of many words of places like short ones', () => {
    const long = 'abcdefghij'.repeat(20);
    for (let length = 28; length < long.length; length++) {
      const text = long.slice(0, length);
      expect(valueOf(`a LIKE '${text}'`, { a: text })).toBe(true);
      expect(valueOf(`a LIKE '${text}'`, { a: `${text}x` })).toBe(false);
      expect(valueOf(`a LIKE '%${text.slice(1)}_'`, { a: `zz${text}!` })).toBe(true);
    }
  });

  it('does not go back: a pattern that drives a regular expression mad is nothing to it', () => {
    const selector = compileSelector(`a LIKE '${'%a_'.repeat(2000)}%b'`);
    expect(selector(new FrameHeaders({ a: 'a'.repeat(10_000) }))).toBe(false);
    expect(selector(new FrameHeaders({ a: `${'a'.repeat(10_000)}b` }))).toBe(true);
  });
});

describe('Arithmetic', () => {
  describe('has the precedence of arithmetic', () => {
    table({ a: '7', b: '2', price: '12.5', word: 'abc' }, [
      ['2 + 3 * 4 = 14', true],
      ['(2 + 3) * 4 = 20', true],
      ['10 - 3 - 2 = 5', true],
      ['20 / 2 / 5 = 2', true],
      ['-2 * -3 = 6', true],
      ['- - 2 = 2', true],
      ['+-+2 = -2', true],
      ['2--2 = 4', true],
      ['a / b = 3.5', true],
      ['a % b = 1', true],
      ['-(a + b) = -9', true],
      ['-a + b = -5', true],
      ['price * 2 = 25', true],
      ['price * 2 > a + b AND a - b = 5', true],
      ['1.5 + 1.5 = 3', true],
    ]);
  });

  describe('is unknown where there is no finite number', () => {
    table({ word: 'abc', zero: '0' }, [
      ['1 / 0 > 0', undefined],
      ['1 / zero = 1', undefined],
      ['1 % zero = 1', undefined],
      ['1.5 / 0.0 > 0', undefined],
      ['1e308 * 10 > 0', undefined],
      ['word + 1 > 0', undefined],
      ['-word < 0', undefined],
    ]);
  });
});

describe('Literals are those of Java', () => {
  table({}, [
    ['57 = 57.0', true],
    ['+62 = 62L', true],
    ['0x1F = 31', true],
    ['0X1fL = 31', true],
    ['0xFFFFFFFF = 4294967295', true],
    ['010 = 8', true],
    ['0 = 00L', true],
    ['7E3 = 7000', true],
    ['-57.9e-1 = -5.79', true],
    ['5. = 5', true],
    ['.5 = 0.5', true],
    ['.5e+1 = 5', true],
    ['1.5F = 1.5', true],
    ['1.5d = 1.5D', true],
    ['5f = 5', true],
    ['010.5 = 10.5', true],
    ["'''' <> ''", true],
    ['true AND NOT False', true],
  ]);

  it.each(['08', '0x', '1.5L', '1e', '1.2.3', '1e999', '12ab', '1_000'])('and %s is none', (literal) => {
    expect(refusal(`a = ${literal}`).detail).toMatch(/^this is no number, at column 5:\n/);
  });
});

describe('A name', () => {
  describe('may have what Java lets it have, dots and hyphens', () => {
    table(
      {
        $a_1: 'x',
        Größe: 'x',
        価格: 'x',
        'correlation-id': 'x',
        'x-death-v2.reason': 'x',
        'orders.region': 'x',
        'in-reply-to': 'x',
        'a.2': 'x',
        ORDER: 'x',
      },
      [
        ["$a_1 = 'x'", true],
        ["Größe = 'x'", true],
        ["価格 = 'x'", true],
        ["correlation-id = 'x'", true],
        ["x-death-v2.reason = 'x'", true],
        ["orders.region = 'x'", true],
        ["in-reply-to = 'x'", true],
        ["a.2 = 'x'", true],
        ["ORDER = 'x'", true],
        ['order IS NULL', true],
      ],
    );
  });

  describe('may be any other in double quotes', () => {
    table({ 'odd name': 'x', AND: '1', 'say "x"': '2', 'a:b': '3', 'x-1': '4' }, [
      [`"odd name" = 'x'`, true],
      ['"AND" = 1 AND "say ""x""" = 2', true],
      ['"a:b" = 3', true],
      ['"x-1" = 4', true],
      ['"and" IS NULL', true],
    ]);
  });

  describe('has a hyphen only with a letter behind it', () => {
    table({ a: '5', b: '3', 'a-b': '100', 'a-1': '200' }, [
      ['a-b = 100', true],
      ['a - b = 2', true],
      ['a -b = 2', true],
      ['a- b = 2', true],
      ['a-1 = 4', true],
      ['a-(b) = 2', true],
      ['5-b = 2', true],
      ['"a"-b = 2', true],
    ]);
  });

  it('has every hyphen behind hyphenated_props:, as in Artemis', () => {
    const headers = new FrameHeaders({ 'a-1': '7', 'foo-bar': 'x', a: '5' });
    expect(compileSelector('hyphenated_props:a-1 = 7')(headers)).toBe(true);
    expect(compileSelector("hyphenated_props:foo-bar = 'x'")(headers)).toBe(true);
    expect(compileSelector('hyphenated_props:a - 1 = 4')(headers)).toBe(true);
  });

  it('has no hyphen behind no_hyphenated_props:, as in JMS', () => {
    const headers = new FrameHeaders({ a: '5', b: '3', 'a-b': '100' });
    expect(compileSelector('no_hyphenated_props:a-b = 2')(headers)).toBe(true);
    expect(compileSelector('hyphenated_props:no_hyphenated_props:a-b = 2')(headers)).toBe(true);
  });

  it('is converted with and without convert_string_expressions:, before or behind the other prefix', () => {
    const headers = new FrameHeaders({ n: '7', 'a-1': '7' });
    expect(compileSelector('n > 5')(headers)).toBe(true);
    expect(compileSelector('convert_string_expressions:n > 5')(headers)).toBe(true);
    expect(compileSelector('convert_string_expressions:hyphenated_props:a-1 > 5')(headers)).toBe(true);
    expect(compileSelector('hyphenated_props:convert_string_expressions:a-1 > 5')(headers)).toBe(true);
  });

  it('of the prototype of objects is a header like any other', () => {
    const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty'];
    for (const name of names) {
      expect(valueOf(`${name} IS NULL`)).toBe(true);
      expect(compileSelector(`${name} = 'x'`)(new FrameHeaders([[name, 'x']]))).toBe(true);
    }
  });
});

describe('The names of JMS stand for the headers that ActiveMQ maps them to', () => {
  const headers = {
    destination: '/queue/a',
    'reply-to': '/temp-queue/b',
    type: 'order',
    persistent: 'true',
    priority: '7',
    'message-id': 'm-1',
    timestamp: '1700000000000',
    'correlation-id': 'c-1',
    expires: '1800000000000',
    redelivered: 'true',
  };
  table(headers, [
    ["JMSDestination = '/queue/a'", true],
    ["JMSReplyTo LIKE '/temp-queue/%'", true],
    ["JMSType = 'order'", true],
    ["JMSDeliveryMode = 'PERSISTENT'", true],
    ['JMSPriority > 6', true],
    ["JMSMessageID = 'm-1'", true],
    ['JMSTimestamp = 1700000000000', true],
    ["JMSCorrelationID IN ('c-1')", true],
    ['JMSExpiration > JMSTimestamp', true],
    ['JMSRedelivered', true],
    ['JMSRedelivered = TRUE', true],
    ["AMQDurable = 'DURABLE' AND AMQPriority = 7 AND AMQTimestamp < AMQExpiration", true],
  ]);

  describe('and for their defaults where there are none', () => {
    table({}, [
      ["JMSDeliveryMode = 'NON_PERSISTENT'", true],
      ['JMSPriority = 4', true],
      ['JMSExpiration = 0', true],
      ['JMSRedelivered = FALSE', true],
      ['JMSXDeliveryCount = 1', true],
      ['JMSType IS NULL', true],
      ['JMSReplyTo IS NULL', true],
      ['JMSCorrelationID IS NULL', true],
      ["AMQDurable = 'NON_DURABLE'", true],
    ]);
  });
});

describe('An empty selector', () => {
  it.each(['', '  \t', 'convert_string_expressions:'])('takes every message: %j', (selector) => {
    expect(compileSelector(selector)(new FrameHeaders())).toBe(true);
  });
});

describe('What is no selector is refused with its place', () => {
  it.each([
    ['region =', 9, 'a name or a value is expected here'],
    ["region = 'EU", 10, 'this string does not end with a quote'],
    ['"region = 1', 1, 'this name is empty or does not end with a double quote'],
    ['"" = 1', 1, 'this name is empty or does not end with a double quote'],
    ['a = 1 b = 2', 7, 'nothing, AND or OR is expected here'],
    ['a = 1)', 6, 'nothing, AND or OR is expected here'],
    ['(a = 1', 7, 'a closing parenthesis is expected here'],
    ['a = b = c', 7, 'nothing, AND or OR is expected here'],
    ['a ! b', 3, 'this character has no meaning'],
    ['a == 1', 4, 'a name or a value is expected here'],
    ['a : 1', 3, 'this character has no meaning'],
    ['AND', 1, 'a name or a value is expected here'],
    ['a = 1 OR', 9, 'a name or a value is expected here'],
    ['a NOT = 1', 7, 'BETWEEN, IN or LIKE is expected behind NOT'],
    ['a IS 1', 6, 'NULL or NOT NULL is expected here'],
    ['a IS NOT 1', 10, 'NULL is expected here'],
    ['a = NULL', 5, 'NULL is asked for by IS NULL or IS NOT NULL'],
    ['a IN ()', 7, 'a string or a number is expected here'],
    ["a IN 'x'", 6, 'a list in parentheses is expected here'],
    ["a IN ('x' 'y')", 11, 'a comma or the end of the list is expected here'],
    ["a IN ('x', b)", 12, 'a string or a number is expected here'],
    ["5 IN ('x')", 1, 'IN and LIKE are for headers, not for a number'],
    ['a LIKE b', 8, 'a string in quotes is expected here'],
    ["a LIKE 'x' ESCAPE 'xx'", 19, 'an ESCAPE is one character'],
    ["a LIKE 'x' ESCAPE ''", 19, 'an ESCAPE is one character'],
    ['a BETWEEN 1', 12, 'the AND of BETWEEN is expected here'],
    ["a BETWEEN 'x' AND 2", 11, 'a number is expected here, not a string'],
    ["a < 'x'", 5, 'a number is expected here, not a string'],
    ['a > TRUE', 5, 'a number is expected here, not a condition'],
    ["a + 'x' = 1", 5, 'a number is expected here, not a string'],
    ["-'x' = 1", 2, 'a number is expected here, not a string'],
    ['5', 1, 'a number is no condition'],
    ["'x'", 1, 'a string is no condition'],
    ['a + 1', 1, 'a number is no condition'],
    ["a = 1 AND 'x'", 11, 'a string is no condition'],
    ['NOT 5', 5, 'a number is no condition'],
    ['convert_string_expressions:a >', 31, 'a name or a value is expected here'],
  ])('%s (column %d)', (selector, column, what) => {
    const error = refusal(selector);
    expect(error.message).toBe('invalid selector');
    expect(error.detail).toBe(`${what}, at column ${column}:\n${selector}\n${' '.repeat(column - 1)}^`);
  });

  it('and shows only what is around it', () => {
    const { detail } = refusal(`${'a = 1 OR '.repeat(100)}! ${'OR a = 1 '.repeat(100)}`);
    const [first, text, caret] = detail.split('\n');
    expect(first).toBe('this character has no meaning, at column 901:');
    expect(text).toMatch(/^\.\.\.a = 1 OR .*\.\.\.$|^\.\.\..*! OR a = 1.*\.\.\.$/);
    expect(text![caret!.indexOf('^')]).toBe('!');
    expect(detail.length).toBeLessThan(250);
  });

  it('and nothing in it that a terminal would obey', () => {
    const { detail } = refusal('a = \u001b[2J\u0000\u0085\u202e\r\n\u2028! \ud800');
    expect(detail).toBe('this character has no meaning, at column 5:\na = ?[2J???   ! ?\n    ^');
  });
});

describe('A hostile selector', () => {
  it('is refused when it is longer than 16 KiB', () => {
    expect(refusal(`a = '${'x'.repeat(16 * 1024)}'`).detail).toBe(
      'the selector is longer than 16384 characters, the limit',
    );
    expect(refusal('('.repeat(100_000)).detail).toMatch(/longer/);
  });

  it('is refused when more than 100 parentheses are open', () => {
    expect(valueOf(`${'('.repeat(99)}a = 1${')'.repeat(99)}`, { a: '1' })).toBe(true);
    expect(valueOf(Array(1000).fill('(a = 1)').join(' AND '), { a: '1' })).toBe(true);
    expect(refusal('('.repeat(16_000)).detail).toMatch(
      /^more than 100 parentheses, the limit, are open, at column 101:/,
    );
    expect(refusal(`${'NOT ('.repeat(3000)}`).detail).toMatch(/^more than 100 parentheses/);
  });

  it.each([
    ['NOT', 'NOT '.repeat(4000) + 'a = 1', true],
    ['signs', '-'.repeat(16_000) + 'a = 1', true],
    ['terms', 'a = 2 OR '.repeat(1800) + 'a = 1', true],
    ['conditions', 'a = 1 AND '.repeat(1600) + 'a = 2', false],
    ['sums', '1+'.repeat(8000) + 'a = 8001', true],
    ['products', '1*'.repeat(8000) + 'a = 1', true],
    ['growing products', 'a = 1 OR 9' + '*9'.repeat(8000) + ' > 1', true],
    ['list', `a IN (${'1,'.repeat(8000)}1)`, true],
    ['quotes', `a <> '${"''".repeat(8000)}'`, true],
    ['digits', `a <> ${'9'.repeat(300)}`, true],
  ])('may be a long chain of %s', (_, selector, expected) => {
    expect(compileSelector(selector)(new FrameHeaders({ a: '1' }))).toBe(expected);
  });

  it('meets hostile headers', () => {
    const numbers = compileSelector('a > 5 OR a = b OR a + 1 > 5 OR a IN (1, 2)');
    for (const a of ['9'.repeat(1_000_000) + 'x', ' '.repeat(1_000_000) + 'x', '0'.repeat(1_000_000) + '.x']) {
      expect(numbers(new FrameHeaders({ a, b: 'y' }))).toBe(false);
    }
    expect(numbers(new FrameHeaders({ a: '0'.repeat(399) + '6', b: 'y' }))).toBe(true);
    expect(numbers(new FrameHeaders({ a: '0'.repeat(400) + '6', b: 'y' }))).toBe(false);
  });
});
