import { readFileSync } from 'node:fs';
import { type Command, CommanderError } from 'commander';
import { escapeText } from './escape.js';

/** What the programs tell by their exit codes. */
export const ExitCode = {
  done: 0,
  /** Something that was asked for did not come about; a line on stderr says what. */
  failed: 1,
  /** The options are wrong. */
  usage: 2,
} as const;

/** How long a program that is done may take to go by itself, in ms: what lingers after that is not worth waiting for. */
const LINGER = 1_000;

/** Something is wrong with the options: one line that names it and the way out. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/**
 * Runs a program: reads its options, then does its work, and sets the exit code.
 *
 * Mistakes in the options are one line on stderr and exit code 2; what the work throws is one line and exit code 1.
 * The arguments disappear from the process title, for the passwords that may be among them.
 *
 * @param work returns the exit code
 * @param argv the arguments behind the program's name
 */
export async function runProgram(
  program: Command,
  work: () => Promise<number>,
  argv: readonly string[] = process.argv.slice(2),
): Promise<void> {
  const name = program.name();
  process.title = name;
  process.stderr.on('error', () => undefined); // Whoever closed it does not want to hear.
  // Of --help as well: whoever closed it has seen enough.
  const deaf = () => undefined;
  process.stdout.on('error', deaf);
  program.exitOverride().configureOutput({ writeErr: () => undefined });
  try {
    program.parse(argv, { from: 'user' });
    process.stdout.off('error', deaf);
    process.exitCode = await work();
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return;
    const wrong = error instanceof UsageError || error instanceof CommanderError;
    const message = error instanceof CommanderError ? describe(error) : (error as Error).message;
    const line = escapeText(message.replace(/\s*\n\s*/g, ' '));
    process.stderr.write(`${name}: ${line}${wrong ? `; see ${name} --help` : ''}\n`);
    process.exitCode = wrong ? ExitCode.usage : ExitCode.failed;
  }
  setTimeout(() => process.exit(), LINGER).unref();
}

/** The version in a package.json. */
export function readVersion(manifest: URL): string {
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version;
}

/**
 * A whole number that an option was given.
 *
 * @param option its name, such as `--count`
 * @throws UsageError
 */
export function readWhole(option: string, text: string, least: number, most = Number.MAX_SAFE_INTEGER): number {
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (number >= least && number <= most) return number;
  const range = most === Number.MAX_SAFE_INTEGER ? `, ${least} or more` : ` from ${least} to ${most}`;
  throw new UsageError(`${option} ${JSON.stringify(text)}: it is a whole number${range}`);
}

/** Commander's complaint without what may be a password: a mistyped option may have one behind it. */
function describe({ code, message }: CommanderError): string {
  if (code === 'commander.excessArguments') return 'only options are taken: quote a value that holds blanks';
  return message.replace(/^error: /, '').replace(/'(-[^-]|--[^=']*)[^']*'/, "'$1'");
}
