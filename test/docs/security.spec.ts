import { expect, it } from '@jest/globals';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));

it('the promises of SECURITY.md and docs/reliability.md name tests that exist', () => {
  for (const document of ['SECURITY.md', 'docs/reliability.md']) {
    const named = [...readFileSync(path(document), 'utf8').matchAll(/`(test\/[^`]+)`/g)].map(([, name]) => name!);
    expect(named.length).toBeGreaterThan(3);
    expect(named.filter((name) => !existsSync(path(name)))).toEqual([]);
  }
});
