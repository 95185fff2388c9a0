import { type Command, CommanderError } from 'commander';

/** What the programs tell by their exit codes. */
export const ExitCode = {
  done: 0,
  /** Something that was asked for did not come about; a line on stderr says what. */
  failed: 1,
  /** The options are wrong. */
  usage: 2,
} as const;

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
 * @param work gets the values of the options; returns the exit code
 */
export async function runProgram(program: Command, work: () => Promise<number>): Promise<void> {
  const name = program.name();
  program.exitOverride().configureOutput({ writeErr: () => undefined });
  try {
    program.parse();
    process.title = name;
    process.exitCode = await work();
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return;
    const wrong = error instanceof UsageError || error instanceof CommanderError;
    const message = (error as Error).message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ');
    process.stderr.write(`${name}: ${message}${wrong ? `; see ${name} --help` : ''}\n`);
    process.exitCode = wrong ? ExitCode.usage : ExitCode.failed;
  }
}
