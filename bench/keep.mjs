// Results on disk, and the CPU time of this process for those that need no other.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { facts } from './report.mjs';

/** What work results in, and the seconds of this process's CPU time that it took. */
export async function cpuOf(work) {
  const before = process.cpuUsage();
  const result = await work();
  const { user, system } = process.cpuUsage(before);
  return { result, seconds: (user + system) / 1e6 };
}

/** Prints what was found, and writes it into bench/results; resolves to that folder. */
export function keep(name, title, text) {
  const folder = join(import.meta.dirname, 'results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.md`), `# ${title}\n\n${facts(join(import.meta.dirname, '..'))}\n\n${text}`);
  process.stdout.write(text);
  return folder;
}
