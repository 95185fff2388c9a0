import { describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Program } from '../support/program.js';

async function run(script: string, ...options: string[]) {
  const program = Program.script(script, {}, ...options);
  const { code } = await program.exited;
  return { code, stdout: program.stdout.join('\n'), stderr: program.stderr };
}

describe('npm run bench', () => {
  it('explains itself without a build, and names every command of the bench', async () => {
    const { code, stdout, stderr } = await run('bench', '--help');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const option of ['scenarios', 'runs', 'seconds', 'no-peers', 'curves', 'limit', 'compare', 'check']) {
      expect(stdout).toContain(`--${option}`);
    }
    for (const command of ['codec', 'client', 'start', 'disk', 'store', 'cost']) {
      expect(stdout).toContain(`bench/${command}.mjs`);
    }
    expect(stdout).toContain('npm run bench:nest');
    expect(stdout).toContain('bench/results');
  });

  it.each([
    [['--fast'], "Unknown option '--fast'"],
    [['quick'], "Unexpected argument 'quick'"],
    [['--runs', 'many'], '--runs: a whole number from 1, not many'],
    [['--seconds', '0'], '--seconds: a number above 0, 20 at most, not 0'],
    [['--scenarios', 'AZ'], '--scenarios: there is no Z'],
    [['--check', '--limit'], 'one of --check, --limit'],
    [['--compare', 'no-such-commit'], '--compare: there is no commit no-such-commit here'],
  ])('says in one line what is wrong with %j, and builds nothing', async (options, what) => {
    const { code, stdout, stderr } = await run('bench', ...options);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr.trim().split('\n')).toEqual([expect.stringContaining(what)]);
  });
});

describe.each(['codec', 'client', 'start', 'disk', 'transient', 'million', 'cost'])('node bench/%s.mjs', (name) => {
  const folder = fileURLToPath(new URL('../../bench/', import.meta.url));
  const results = () =>
    readdirSync(`${folder}results`).map((file) => readFileSync(`${folder}results/${file}`, 'latin1'));

  it.each([
    ['--help', 0, 'stdout', `usage: node bench/${name}.mjs`],
    ['none', 2, 'stderr', 'bench: none: whole numbers from 1'],
    ['0', 2, 'stderr', 'bench: 0: whole numbers from 1'],
  ] as const)(
    'measures nothing when it is given %s, and leaves the results as they were',
    (word, code, where, what) => {
      const before = results();
      const run = spawnSync(process.execPath, [`${folder}${name}.mjs`, word], { encoding: 'utf8', timeout: 15_000 });
      expect(run.status).toBe(code);
      expect(run[where]).toContain(what);
      expect(results()).toEqual(before);
    },
  );
});
