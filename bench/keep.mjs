// Results on disk, the CPU time of this process for those that need no other, and what a command was given.
import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
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

/**
 * The whole numbers that the command was given, or these; with anything else it ends, before results are overwritten.
 *
 * @param defaults by their names
 */
export function given(defaults) {
  const names = Object.keys(defaults).map((name) => ` [${name}]`);
  const words = process.argv.slice(2);
  const usage = `usage: node bench/${basename(process.argv[1])}${names.join('')}; see npm run bench -- --help\n`;
  if (words[0] === '--help') {
    process.stdout.write(usage);
    process.exit(0);
  }
  const numbers = words.map(Number);
  if (words.length > names.length || !numbers.every((each) => Number.isInteger(each) && each >= 1)) {
    process.stderr.write(`bench: ${words.join(' ')}: whole numbers from 1, ${names.length} at most; ${usage}`);
    process.exit(2);
  }
  return Object.values(defaults).map((value, at) => numbers[at] ?? value);
}
