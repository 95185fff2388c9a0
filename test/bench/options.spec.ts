import { describe, expect, it } from '@jest/globals';
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
