import { describe, expect, it } from '@jest/globals';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const read = (path: string) => readFileSync(`${root}${path}`, 'utf8');
const guide = read('docs/nest.md');

/** The text from that heading to the next one of its rank. */
function section(heading: string): string {
  const [, text] = guide.split(`\n## ${heading}\n`);
  if (text === undefined) throw new Error(`docs/nest.md has no section "${heading}"`);
  return text.split('\n## ')[0]!;
}

/** The rows of the tables in a text, without their heads. */
function rows(text: string): string[][] {
  const lines = text.split('\n').filter((line) => line.startsWith('|'));
  return lines
    .filter((line, index) => !/^\| *:?-/.test(line) && !/^\| *:?-/.test(lines[index + 1] ?? ''))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    );
}

/** The titles of the tests in a file. */
function titles(path: string): string[] {
  const calls = read(path).matchAll(
    /\b(?:it|test)(?:\.\w+\((?:[^()]|\([^()]*\))*\))?\(\s*(['"`])((?:\\.|(?!\1).)*)\1/gs,
  );
  return [...calls].map(([, , title]) => title!.replace(/\\(.)/g, '$1'));
}

describe('docs/nest.md', () => {
  const features = rows(section("Beside Nest's own transports")).filter(([, second]) => second !== '');
  const proofs = (cell: string) => [...cell.matchAll(/\[((?:[^[\]]|\[[^\]]*\])+)\]\(\.\.\/(test\/[^)]+\.spec\.ts)\)/g)];

  it('sets each feature beside four transports and names a test of ours for it', () => {
    expect(features.length).toBeGreaterThan(40);
    const incomplete = features.filter((cells) => {
      return cells.length !== 7 || cells.some((cell) => cell === '') || proofs(cells[6]!).length === 0;
    });
    expect(incomplete).toEqual([]);
  });

  it.each([...proofs(guide)].map(([, title, path]) => [title!, path!]))(
    'names a test that exists: %s',
    (title, path) => {
      expect(existsSync(`${root}${path}`)).toBe(true);
      expect(titles(path)).toContain(title);
    },
  );

  it('lists the options that there are, and no others', () => {
    const sources = ['nest/stomp.options.ts', 'client/options.ts'].map((path) => read(`libs/stomp/src/${path}`));
    const declared = (source: string) => [...source.matchAll(/^ {2}(\w+)\?:/gm)].map(([, name]) => name!);
    const [own = [], below = []] = sources.map(declared);
    const named = (text: string) =>
      rows(text).flatMap(([cell = '']) => [...cell.matchAll(/`(\w+)`/g)].map(([, n]) => n!));
    const listed = [...named(section('Options')), ...named(section('Serving'))];
    expect(listed.filter((name) => ![...own, ...below].includes(name))).toEqual([]);
    expect(own.filter((name) => !listed.includes(name))).toEqual([]);
  });
});
