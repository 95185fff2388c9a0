import { afterAll, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OptionsError, parseOptions } from '../../../apps/broker/src/options.js';
import { optionFields } from '../../../apps/broker/src/options.schema.js';

jest.setTimeout(120_000);

const folder = mkdtempSync(join(tmpdir(), 'stompserver-options-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = join(folder, 'broker.yaml');

const SECRET = 'hush-hush';
const keys = Object.keys(optionFields).map((name) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`));

/** What options are, and what they are not. */
const scalar = fc.oneof(
  fc.constantFrom('1', '0', '-1', '1e9', '16MiB', 'yes', 'no', '~', 'true', '""', '"a b"', '10.0.0.0/8', '::1', '*'),
  fc.constantFrom('/queue/#', 'a:b', '!!binary x', '&a x', '*a', '.nan', '.inf', '2026-11-24'),
  fc.string({ maxLength: 12 }).map((text) => JSON.stringify(text)),
  fc.string({ unit: 'binary', maxLength: 12 }),
);
const { value } = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    scalar,
    fc.array(tie('value'), { maxLength: 4 }).map((all) => `[${all.join(', ')}]`),
    fc
      .array(fc.tuple(fc.constantFrom('destination', 'user', 'allow', 'max-length', 'a', '__proto__'), tie('value')), {
        maxLength: 4,
      })
      .map((all) => `{${all.map((pair) => pair.join(': ')).join(', ')}}`),
  ),
}));
const user = fc.constantFrom(`"ann:${SECRET}"`, SECRET, `'${SECRET}:'`, `{ann: ${SECRET}}`);
const users = fc.oneof(
  user,
  fc.array(user, { maxLength: 3 }).map((all) => `[${all.join(', ')}]`),
);
const others = keys.filter((key) => key !== 'users');
const line = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(fc.constantFrom(...others, 'prt', '__proto__'), value) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('users'), users) },
);
const document = fc.array(line, { maxLength: 6 }).map((all) => all.map((pair) => `${pair.join(': ')}\n`).join(''));

/** The lines of its error; nothing when it is taken. */
function refusal(text: string): readonly string[] {
  writeFileSync(file, text);
  try {
    parseOptions(['--config', file], {});
    return [];
  } catch (error) {
    expect(error).toBeInstanceOf(OptionsError);
    return (error as OptionsError).lines;
  }
}

/** @param hidden whether secrets stand only where secrets belong */
function check(text: string, hidden = false): void {
  for (const line of refusal(text)) {
    // One line each, short, with nothing in it that drives a terminal.
    // eslint-disable-next-line no-control-regex -- that is what must not be there
    expect(line).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e\u2028]/);
    expect(line.length).toBeLessThan(1_000);
    if (hidden) expect(line).not.toContain(SECRET);
  }
}

it('a configuration file is taken, or refused in lines that can be shown, whatever stands in it', () => {
  fc.assert(
    fc.property(document, (text) => check(text, true)),
    { numRuns: 300 },
  );
});

it.each(['\u009b31m', '\u202e', '\u0007', '\u2028'])('also where it holds %j', (text) => {
  for (const file of [`"${text}": 1`, `port: "${text}"`, `rules: [{ "${text}": 1 }]`, `policies: [{ "${text}": 1 }]`]) {
    expect(refusal(file).join()).toMatch(/\\u00[09][7b]|\\u20[2][e8]/);
    check(file);
  }
});

it('and so is any text', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => check(text)),
    { numRuns: 200 },
  );
});

it('and a file that was cut off or changed in one place', () => {
  const whole = [
    'port: 61613',
    `users: ["ann:${SECRET}", "bob:${SECRET}"]`,
    'groups: { staff: [ann, bob] }',
    'rules:\n  - { destination: /queue/#, user: ann, allow: [read, write] }',
    'policies:\n  - destination: /queue/#\n    max-length: 5',
  ].join('\n');
  expect(refusal(whole)).toEqual([]);
  fc.assert(
    fc.property(fc.nat(whole.length), fc.nat(8), fc.string({ unit: 'binary', maxLength: 3 }), (at, length, text) => {
      check(whole.slice(0, at) + text + whole.slice(at + length));
      check(whole.slice(0, at));
    }),
    { numRuns: 150 },
  );
});
