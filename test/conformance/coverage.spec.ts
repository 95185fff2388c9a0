import { expect, it } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';

const folder = new URL('./', import.meta.url);

/** How many rules the list has that this suite is made from. */
const LAST = 152;

/** Rules of clients alone, which no server can be seen to keep or break: they are tested in test/libs/stomp/client. */
const CLIENT = [50, 61, 62, 63, 76, 119, 147];

it('has a title for each rule', () => {
  const specs = readdirSync(folder).filter((name) => name.endsWith('.spec.ts'));
  const titled = new Set(specs.flatMap((name) => numbersIn(readFileSync(new URL(name, folder), 'utf8'))));

  const missing = Array.from({ length: LAST }, (_, index) => index + 1).filter((number) => !titled.has(number));

  expect(missing).toEqual(CLIENT);
});

/** The rule numbers that the titles of a spec file begin with. */
function numbersIn(source: string): number[] {
  const titles = source.matchAll(/^(?:must|should|may|rule|choice)\(\s*'([\d ]+)'/gm);
  return [...titles].flatMap(([, numbers = '']) => numbers.split(' ').map(Number));
}
