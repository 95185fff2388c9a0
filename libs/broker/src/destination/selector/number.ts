/*
 * Numbers of a selector. Integers are exact as far as a Java long goes: those of more than 53 bits are a bigint, all
 * else is a number. So there is one way to write each, `===` compares them, and `<` orders a bigint and a number as
 * they are, without rounding.
 */
export type Numeric = number | bigint;

/** Above this, and below its negative, an integer is no Java long and becomes approximate. */
const LONG = 2n ** 63n;

function exact(integer: bigint): Numeric {
  const number = Number(integer);
  return Number.isSafeInteger(number) || integer < -LONG || integer >= LONG ? number : integer;
}

function approximate(number: number): Numeric {
  return Number.isInteger(number) && !Number.isSafeInteger(number) ? exact(BigInt(number)) : number;
}

// No two parts of these can take the same character, so that no text is gone over again and again.
const NUMBER = /^[ \t]*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?[ \t]*$/;
const INTEGER = /^[ \t]*[+-]?\d+[ \t]*$/;

/** A longer text is not looked at: no number needs so many characters, and a selector may ask thousands of times. */
const MAX_LENGTH = 400;

/** The number that a header holds, decimal and perhaps with blanks around it; NaN when it holds none. */
export function readNumber(text: string): Numeric {
  if (text.length > MAX_LENGTH || !NUMBER.test(text)) return NaN;
  const number = Number(text);
  if (Number.isSafeInteger(number)) return number;
  if (!Number.isInteger(number)) return Number.isFinite(number) ? number : NaN;
  return INTEGER.test(text) ? exact(BigInt(text.trim())) : approximate(number);
}

const DIGITS = /^(?:0[xX][\da-fA-F]+|\d+)[lL]?$/;

/** The value of a literal, written as in Java; undefined when it is none, or too large. */
export function readLiteral(text: string): Numeric | undefined {
  if (DIGITS.test(text)) {
    const digits = text.replace(/[lL]$/, '');
    if (!/^0\d/.test(digits)) return exact(BigInt(digits));
    return /^[0-7]+$/.test(digits) ? exact(BigInt(`0o${digits}`)) : undefined;
  }
  const number = Number(text.replace(/[fFdD]$/, ''));
  return Number.isFinite(number) ? approximate(number) : undefined;
}

export function negated(value: Numeric): Numeric {
  return typeof value === 'bigint' ? exact(-value) : approximate(-value);
}

interface Operation {
  readonly approximate: (left: number, right: number) => number;
  /** Undefined where no integer is the result. */
  readonly exact: (left: bigint, right: bigint) => bigint | undefined;
}

/** The operations of arithmetic by their symbols. */
export const OPERATIONS: ReadonlyMap<string, Operation> = new Map<string, Operation>([
  ['+', { approximate: (left, right) => left + right, exact: (left, right) => left + right }],
  ['-', { approximate: (left, right) => left - right, exact: (left, right) => left - right }],
  ['*', { approximate: (left, right) => left * right, exact: (left, right) => left * right }],
  [
    '/',
    {
      approximate: (left, right) => left / right,
      exact: (left, right) => (right !== 0n && left % right === 0n ? left / right : undefined),
    },
  ],
  [
    '%',
    {
      approximate: (left, right) => left % right,
      exact: (left, right) => (right !== 0n ? left % right : undefined),
    },
  ],
]);

/** The result of an operation; undefined, which is unknown, where that is no finite number. */
export function calculate(operation: Operation, left: Numeric, right: Numeric): Numeric | undefined {
  const result = operation.approximate(Number(left), Number(right));
  if (typeof left === 'number' && typeof right === 'number' && Number.isSafeInteger(result)) return result;
  if (isExact(left) && isExact(right)) {
    const integer = operation.exact(BigInt(left), BigInt(right));
    if (integer !== undefined) return exact(integer);
  }
  return Number.isFinite(result) ? approximate(result) : undefined;
}

function isExact(value: Numeric): boolean {
  return typeof value === 'bigint' || Number.isSafeInteger(value);
}
