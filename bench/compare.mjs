// This working tree beside a commit of it, which is built in a scratch folder.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stopAll } from './brokers.mjs';
import { table } from './report.mjs';
import { figures, figuresOf, scenarios } from './scenarios.mjs';
import { broker, durableBroker, tlsBroker } from './servers.mjs';
import { inTurns, medianOf, say } from './turns.mjs';

/** @throws Error where there is none */
export function commitOf(root, ref) {
  try {
    return execFileSync('git', ['rev-parse', '--verify', '--quiet', `${ref}^{commit}`], {
      cwd: root,
      encoding: 'utf8',
    }).trim();
  } catch (error) {
    throw new Error(`--compare: there is no commit ${ref} here`, { cause: error });
  }
}

export async function compareWith(root, ref, keys, options) {
  const commit = commitOf(root, ref);
  const folder = mkdtempSync(join(tmpdir(), 'bench-'));
  const remove = () => {
    execFileSync('git', ['worktree', 'remove', '--force', folder], { cwd: root, stdio: 'ignore' });
    rmSync(folder, { recursive: true, force: true });
  };
  process.once('exit', remove);
  const run = (command, ...args) =>
    execFileSync(command, args, { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
  execFileSync('git', ['worktree', 'add', '--detach', folder, commit], { cwd: root, stdio: 'ignore' });
  say(`building ${ref}`);
  run('npm', 'ci', '--silent');
  run('npm', 'run', '--silent', 'build');
  const rows = [];
  for (const key of keys) {
    const scenario = scenarios[key];
    say(`${key} ${scenario.what}`);
    const start = scenario.tls ? tlsBroker : scenario.durable ? durableBroker : broker;
    const servers = [await start(root, 'this tree')];
    try {
      servers.push(await start(folder, ref));
      const runs = await inTurns(servers, scenario.job, options);
      for (const figure of figuresOf(scenario)) {
        const [here, there] = ['this tree', ref].map((name) => medianOf(runs[name], figure));
        rows.push([`${key} ${scenario.what}, ${figures[figure].unit}`, here, there, here / there]);
        say(`  ${(here / there).toFixed(2)}`);
      }
    } finally {
      await stopAll(servers);
    }
  }
  return table(['scenario', 'this tree', ref, 'ratio'], rows);
}
