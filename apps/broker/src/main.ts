import { loadProofs, type Proofs } from './auth/proofs.js';
import { subcommands } from './commands.js';
import { type Options, OptionsAnswer, OptionsError, parseOptions } from './options.js';

/** Writes lines to stderr, and ends with that code once they are out. */
function leave(code: number, lines: readonly string[]): void {
  process.exitCode = code;
  for (const line of lines) process.stderr.write(`stompserver: ${line}\n`);
}

async function start(): Promise<void> {
  const argv = process.argv.slice(2);
  const read = () => parseOptions(argv);
  let options: Options;
  let proofs: Proofs;
  try {
    options = read();
    proofs = await loadProofs(options);
  } catch (error) {
    // What nobody reads, as behind `head`, was written all the same.
    if (error instanceof OptionsAnswer) process.stdout.on('error', () => undefined).write(error.text);
    else if (error instanceof OptionsError) leave(2, error.lines);
    else throw error;
    return;
  }
  try {
    // Only now: --help and mistakes in options need not wait for Nest to load.
    const { run } = await import('./program.js');
    await run(options, proofs, read);
  } catch (error) {
    leave(1, [describe(error, options)]);
  }
}

function describe(error: unknown, { host, port }: Options): string {
  const { code, syscall, message } = error as NodeJS.ErrnoException;
  if (syscall !== 'listen') return message;
  if (code === 'EADDRINUSE') return `cannot listen on ${host} port ${port}: the port is in use; choose another --port`;
  if (code === 'EACCES') return `cannot listen on ${host} port ${port}: not permitted; ports under 1024 need rights`;
  if (code === 'EADDRNOTAVAIL') return `cannot listen on ${host}: it is no address of this machine; see --host`;
  return message;
}

// In place of the arguments, among which there may be passwords.
process.title = 'stompserver';
const [name = '', ...rest] = process.argv.slice(2);
await (subcommands.get(name)?.run(rest) ?? start());
