import { expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { limitFields } from '../../apps/broker/src/options.limits.js';

const read = (path: string) => readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), 'utf8');
const flagOf = (name: string) => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

it('has a line for every limit, with its default', () => {
  const rows = [...read('docs/limits.md').matchAll(/^\| `(--[a-z-]+)` +\| (\S.*?) +\|/gm)];
  const shown = Object.fromEntries(rows.map(([, flag, value]) => [flag!, value!] as const));
  const defaults = Object.entries(limitFields).map(([name, field]) => {
    const value = field.parse(undefined);
    return [flagOf(name), value === undefined ? 'see below' : String(value)];
  });
  expect(shown).toEqual(Object.fromEntries(defaults));
});

it('has a test from outside for every limit', () => {
  const tests = read('test/apps/broker/limits.spec.ts');
  for (const name of Object.keys(limitFields)) expect(tests).toContain(flagOf(name));
});
