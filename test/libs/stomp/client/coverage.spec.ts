import { expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';

/** The rules of the specification that are a client's to keep, by their numbers. */
const CLIENT = [
  ...[20, 22, 50, 59, 61, 62, 63, 66, 71, 76, 80, 81, 86, 87, 88, 89, 90, 92, 100, 101, 119, 124, 127, 128, 129, 147],
];

it('has a test for each rule that a client has to keep', () => {
  const source = readFileSync(new URL('./conformance.spec.ts', import.meta.url), 'utf8');
  const titles = source.matchAll(/^rule\(\s*'([\d ]+)'/gm);
  const titled = new Set([...titles].flatMap(([, numbers = '']) => numbers.split(' ').map(Number)));

  expect(CLIENT.filter((number) => !titled.has(number))).toEqual([]);
});
