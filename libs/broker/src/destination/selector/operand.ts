/*
 * What the parts of a selector are compiled to: functions of the headers that give a value, or undefined for the
 * unknown, which is what SQL makes of NULL.
 *
 * Headers are text. What such a text is taken for, its counterpart decides: beside a number it is a number, beside TRUE
 * or FALSE a boolean, beside a string literal itself. A text that is no such thing is of another type: it equals
 * nothing and is in no order to anything, so that = < > <= >= and BETWEEN are false and <> is true. NaN stands for it,
 * which compares just so.
 */
import type { HeaderReader, SelectorHeaders } from './header.js';
import { calculate, negated, type Numeric, OPERATIONS, readNumber } from './number.js';

type Reader<T> = (headers: SelectorHeaders) => T | undefined;
type Value = string | boolean | Numeric;

export type Numbers = Reader<Numeric>;
export type Condition = Reader<boolean>;

/** A part of a selector, and where in its text it begins. */
export type Operand = { readonly at: number } & (
  | { readonly kind: 'header' | 'string'; readonly read: Reader<string> }
  | { readonly kind: 'number'; readonly read: Numbers }
  | { readonly kind: 'condition'; readonly read: Condition }
);

/** The operand as a number; undefined when it can never be one. */
export function asNumbers(operand: Operand): Numbers | undefined {
  if (operand.kind === 'number') return operand.read;
  return operand.kind === 'header' ? converted(operand.read, readNumber) : undefined;
}

/** The operand as a condition; undefined when it can never be one. A header holds where it is `true`. */
export function asCondition(operand: Operand): Condition | undefined {
  if (operand.kind === 'condition') return operand.read;
  return operand.kind === 'header' ? converted(operand.read, (text) => readBoolean(text) === true) : undefined;
}

function converted<T>(read: HeaderReader, convert: (text: string) => T): Reader<T> {
  return (headers) => {
    const text = read(headers);
    return text === undefined ? undefined : convert(text);
  };
}

const BOOLEAN = /^[ \t]*(?:(true)|false)[ \t]*$/i;

function readBoolean(text: string): boolean | number {
  const found = BOOLEAN.exec(text);
  return found === null ? NaN : found[1] !== undefined;
}

/** The operand as what its counterpart makes of it. */
function beside(operand: Operand, kind: Operand['kind']): Reader<Value> {
  if (operand.kind !== 'header' || kind === 'string') return operand.read;
  if (kind === 'number') return converted(operand.read, readNumber);
  if (kind === 'condition') return converted<Value>(operand.read, readBoolean);
  return converted<Value>(operand.read, (text) => {
    const number = readNumber(text);
    return Number.isNaN(number) ? text : number;
  });
}

export function equal(left: Operand, right: Operand): Condition {
  const readLeft = beside(left, right.kind);
  const readRight = beside(right, left.kind);
  return (headers) => {
    const value = readLeft(headers);
    if (value === undefined) return undefined;
    const other = readRight(headers);
    return other === undefined ? undefined : value === other;
  };
}

type Order = (left: Numeric, right: Numeric) => boolean;

/** The comparisons by order, by their symbols. */
export const ORDERS: ReadonlyMap<string, Order> = new Map<string, Order>([
  ['<', (left, right) => left < right],
  ['>', (left, right) => left > right],
  ['<=', (left, right) => left <= right],
  ['>=', (left, right) => left >= right],
]);

export function ordered(left: Numbers, order: Order, right: Numbers): Condition {
  return (headers) => {
    const value = left(headers);
    if (value === undefined) return undefined;
    const other = right(headers);
    return other === undefined ? undefined : order(value, other);
  };
}

export function between(value: Numbers, low: Numbers, high: Numbers): Condition {
  return (headers) => {
    const number = value(headers);
    if (number === undefined) return undefined;
    const from = low(headers);
    if (from !== undefined && !(number >= from)) return false;
    const to = high(headers);
    if (to !== undefined && !(number <= to)) return false;
    return from === undefined || to === undefined ? undefined : true;
  };
}

/** Below the one or above the other: of a text that is no number neither holds. */
export function outside(value: Numbers, low: Numbers, high: Numbers): Condition {
  return (headers) => {
    const number = value(headers);
    if (number === undefined) return undefined;
    const from = low(headers);
    if (from !== undefined && number < from) return true;
    const to = high(headers);
    if (to !== undefined && number > to) return true;
    return from === undefined || to === undefined ? undefined : false;
  };
}

/** Whether a text is one of the strings or, where there are any, holds one of the numbers. */
export function among(read: Reader<string>, values: ReadonlySet<string | Numeric>): Condition {
  const numbers = [...values].some((value) => typeof value !== 'string');
  return converted(read, (text) => values.has(text) || (numbers && values.has(readNumber(text))));
}

export function like(read: Reader<string>, matches: (text: string) => boolean): Condition {
  return converted(read, matches);
}

export function absent({ read }: Operand): Condition {
  return (headers) => read(headers) === undefined;
}

export function not(condition: Condition): Condition {
  return (headers) => {
    const value = condition(headers);
    return value === undefined ? undefined : !value;
  };
}

/** All of them: false where one is false, else unknown where one is unknown. A list, so that no chain is too deep. */
export function all(conditions: readonly Condition[]): Condition {
  return (headers) => {
    let result: boolean | undefined = true;
    for (const condition of conditions) {
      const value = condition(headers);
      if (value === false) return false;
      if (value === undefined) result = undefined;
    }
    return result;
  };
}

/** One of them: true where one is true, else unknown where one is unknown. */
export function some(conditions: readonly Condition[]): Condition {
  return (headers) => {
    let result: boolean | undefined = false;
    for (const condition of conditions) {
      const value = condition(headers);
      if (value === true) return true;
      if (value === undefined) result = undefined;
    }
    return result;
  };
}

/** A number with a sign before it, which is arithmetic too: with what is no number it is unknown. */
export function signed(negative: boolean, numbers: Numbers): Numbers {
  return (headers) => {
    const value = numbers(headers);
    if (value === undefined || Number.isNaN(value)) return undefined;
    return negative ? negated(value) : value;
  };
}

/** A number, then what is done with it, from left to right; arithmetic with what is no number is unknown. */
export function arithmetic(first: Numbers, steps: readonly (readonly [string, Numbers])[]): Numbers {
  const rest = steps.map(([symbol, operand]) => ({ operation: OPERATIONS.get(symbol)!, operand }));
  return (headers) => {
    let result = first(headers);
    for (const { operation, operand } of rest) {
      if (result === undefined) return undefined;
      const value = operand(headers);
      result = value === undefined ? undefined : calculate(operation, result, value);
    }
    return result;
  };
}
