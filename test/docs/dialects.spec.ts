import { describe, expect, it } from '@jest/globals';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { differences } from '../interop/dialects/differences.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const read = (path: string) => readFileSync(`${root}${path}`, 'utf8');

/** The rows of each table of docs/dialects.md by the heading above it. */
const tables = new Map(
  read('docs/dialects.md')
    .split(/^## /m)
    .slice(1)
    .map((text) => [text.slice(0, text.indexOf('\n')), rows(text)] as const),
);

/** The rows of the tables in a text, without their heads. */
function rows(text: string): string[][] {
  const lines = text.split('\n').filter((line) => line.startsWith('|'));
  return lines.slice(2).map((line) => {
    const cells = line.slice(1, -1).split(/(?<!\\)\|/);
    return cells.map((cell) => cell.trim().replaceAll('\\|', '|'));
  });
}

/** The titles of the tests and scenarios in a file. */
function titles(path: string): string[] {
  const calls = read(path).matchAll(
    /\b(?:(?:it|test)(?:\.each(?:<[^>]*>)?\((?:[^()]|\([^()]*\))*\))?\(|scenario\([^,()]+,)\s*(['"`])((?:\\.|(?!\1).)*)\1/gs,
  );
  return [...calls].map(([, , title]) => title!.replace(/\\(.)/g, '$1'));
}

/** The tests that a cell names. */
const proofs = (cell: string) =>
  [...cell.matchAll(/\[([^\]]+)\]\(\.\.\/(test\/[^)]+\.ts)\)/g)].map(([, title, path]) => ({
    title: title!,
    path: path!,
  }));

describe('docs/dialects.md', () => {
  it('says of each header and behaviour what this broker does, and names a test for it', () => {
    const features = [...tables].filter(([heading]) => heading !== 'Differences').flatMap(([, cells]) => cells);
    expect(features.length).toBeGreaterThan(100);
    const incomplete = features.filter((cells) => {
      return cells.length !== 3 || cells.some((cell) => cell === '') || proofs(cells[2]!).length === 0;
    });
    expect(incomplete).toEqual([]);
  });

  it('names tests that exist', () => {
    const named = [...tables.values()].flat(2).flatMap(proofs);
    const missing = named.filter(({ title, path }) => !existsSync(`${root}${path}`) || !titles(path).includes(title));
    expect(missing).toEqual([]);
  });

  it('lists the differences that the scenarios allow, with their reasons, and no others', () => {
    const names = { rabbitmq: 'RabbitMQ', activemq: 'ActiveMQ' };
    const listed = (tables.get('Differences') ?? []).map(([broker, scenario, fact, ours, theirs, reason]) => {
      return [broker, proofs(scenario!)[0]?.title, fact, ours, theirs, reason].join(' | ');
    });
    const allowed = differences.map(({ dialect, scenario, fact, ours, theirs, reason }) => {
      const seen = [ours, theirs].map((value) => `\`${JSON.stringify(value)}\``);
      return [names[dialect], scenario, fact, ...seen, reason].join(' | ');
    });
    expect(listed.sort()).toEqual(allowed.sort());
  });
});
