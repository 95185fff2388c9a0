import { expect, it } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';

const folder = new URL('./', import.meta.url);

/** The rules of the list that concern the codec. */
const CODEC = [
  [1, 20],
  [24, 46],
  [48, 49],
  [51, 51],
  [53, 54],
  [91, 91],
].flatMap(([first = 0, last = 0]) => Array.from({ length: last - first + 1 }, (_, index) => first + index));

it('has a title for each rule of the codec, and for no other', () => {
  const specs = readdirSync(folder).filter((name) => name.endsWith('.spec.ts'));
  const titled = specs.flatMap((name) => {
    const titles = readFileSync(new URL(name, folder), 'utf8').matchAll(/^rule\(\s*'([\d ]+)'/gm);
    return [...titles].flatMap(([, numbers = '']) => numbers.split(' ').map(Number));
  });

  expect([...new Set(titled)].sort((a, b) => a - b)).toEqual(CODEC);
});
