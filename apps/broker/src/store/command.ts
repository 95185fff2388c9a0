import { isUtf8 } from 'node:buffer';
import {
  Command,
  escapeJson,
  escapeText,
  ExitCode,
  Option,
  readWhole,
  runProgram,
  UsageError,
} from 'nestjs-stomp-command';
import { checkStore, compactStore, readStore, type StoredMessage, StoreUnavailableError } from 'nestjs-stomp-broker';
import { StompError } from 'nestjs-stomp/server';
import { Output } from './output.js';

interface Values {
  readonly dataDir?: string;
  readonly destination?: string;
  readonly bodies?: boolean;
  readonly maxBody?: string;
}

interface Action {
  readonly text: string;
  readonly options: readonly Option[];
  readonly help: string;
  /** @returns the exit code */
  run(directory: string, values: Values): Promise<number>;
}

/** Octets of a body that are printed, unless told otherwise. */
const BODY = 65_536;
/** Headers whose values may be secret. */
const SECRET = /^(passcode|password|authorization|cookie|.*(secret|token|api-?key).*)$/i;

const actions: ReadonlyMap<string, Action> = new Map([
  [
    'check',
    {
      text: 'Read all of a store, verify every checksum, and say what it holds; nothing is changed',
      options: [],
      help: `
Every damaged place is named, with its file and where in it, and every file that is missing, or shorter than it was. What
is damaged is set aside in the folder damaged, and the rest served, when a broker starts on it. A write that was cut off
by a kill is no damage: nothing of it was confirmed.

Exit codes: 0 nothing is damaged; 1 something is, or cannot be read; 2 wrong options, no store there, or it is in use.

Example:
  stompserver store check --data-dir /var/lib/stompserver`,
      run: check,
    },
  ],
  [
    'dump',
    {
      text: 'Print the messages of a store, a line of JSON each; nothing is changed',
      options: [
        new Option(
          '--destination <pattern>',
          'only messages to it, or of that queue; wildcards as in a subscription, e.g. --destination "/topic/prices.*"',
        ),
        new Option('--bodies', 'bodies too: as text where they are UTF-8, else as base64'),
        new Option('--max-body <octets>', `how much of a body is printed (default: ${BODY}), e.g. --max-body 1000`),
      ],
      help: `
A line has: kind (queue, durable, retained or scheduled), vhost, name, destination, message-id, deliveries, length (of
the body, in octets), headers, and with --bodies: body or body-base64, and truncated where it was longer than
--max-body. Headers that look like secrets are printed as ***. Messages come queue by queue, as they would be delivered.

Exit codes: 0 done; 1 something is damaged, and left out; 2 wrong options, no store there, or it is in use.

Examples:
  stompserver store dump --data-dir /var/lib/stompserver | head
  stompserver store dump --data-dir /var/lib/stompserver --destination /queue/orders --bodies > orders.jsonl`,
      run: dump,
    },
  ],
  [
    'compact',
    {
      text: 'Rewrite the log of a store to what is needed of it',
      options: [],
      help: `
A broker gives space back by itself where most of a file is not needed; this gives back all of it. File by file is
rewritten, and deleted when what it holds is safe: it may be ended at any moment. It needs room for what counts of one
file, 32 MB at most; on a full disk it says how much, and leaves the rest as it is.

Exit codes: 0 done; 1 the disk is full, or fails; 2 wrong options, no store there, or it is in use.

Example:
  stompserver store compact --data-dir /var/lib/stompserver`,
      run: compact,
    },
  ],
]);

/** `stompserver store NAME`: looks after a store that no broker runs on. */
export async function run(argv: readonly string[]): Promise<void> {
  const [name = '', ...rest] = argv;
  const action = actions.get(name);
  if (action === undefined) {
    const overview = makeOverview();
    await runProgram(
      overview,
      () => Promise.reject(new UsageError(`name one of ${[...actions.keys()].join(', ')}`)),
      argv,
    );
    return;
  }
  const program = makeProgram(name, action);
  const work = async () => {
    const values = program.opts<Values>();
    if (values.dataDir === undefined) throw new UsageError('--data-dir is missing: name the directory of the store');
    try {
      return await action.run(values.dataDir, values);
    } catch (error) {
      if (error instanceof StoreUnavailableError) throw new UsageError(error.message);
      throw error;
    }
  };
  await runProgram(program, work, rest);
}

function makeOverview(): Command {
  const lines = [...actions].map(([name, { text }]) => `  ${name.padEnd(9)}${text}`);
  return new Command('stompserver store')
    .usage('<command> --data-dir <directory>')
    .description('Looks after the directory of a durable store, while no broker runs on it.')
    .addHelpOption(new Option('-h, --help', 'print this help and exit'))
    .allowExcessArguments()
    .addHelpText('after', `\nCommands (each has a --help of its own):\n${lines.join('\n')}`);
}

function makeProgram(name: string, { text, options, help }: Action): Command {
  const program = new Command(`stompserver store ${name}`)
    .description(`${text}. No broker may run on it.`)
    .addOption(new Option('--data-dir <directory>', 'directory of the store, e.g. --data-dir /var/lib/stompserver'));
  for (const option of options) program.addOption(option);
  return program.addHelpOption(new Option('-h, --help', 'print this help and exit')).addHelpText('after', help);
}

const report = (line: string) => void process.stderr.write(`stompserver store: ${escapeText(line)}\n`);

async function check(directory: string): Promise<number> {
  const { files, octets, living, messages, removals, kept, damage, notes } = await checkStore(directory, report);
  const rows: [string, string][] = [
    ['log', `${files} files, ${octets} octets, ${living} of them needed`],
    ['queues', `${kept.queue}`],
    ['messages', `${messages}`],
    ['acknowledgements and other removals in the log', `${removals}`],
    ['durable subscriptions', `${kept.durable}`],
    ['retained messages', `${kept.retained}`],
    ['scheduled messages', `${kept.scheduled}`],
    ...notes.map((line): [string, string] => ['note', line]),
    ...damage.map((line): [string, string] => ['damage', line]),
    ['result', damage.length === 0 ? 'nothing is damaged' : `${damage.length} places are damaged`],
  ];
  const output = new Output();
  for (const [name, value] of rows) await output.line(escapeText(`${name}: ${value}`));
  return damage.length === 0 ? ExitCode.done : ExitCode.failed;
}

async function dump(directory: string, { destination, bodies = false, maxBody }: Values): Promise<number> {
  const most = maxBody === undefined ? BODY : readWhole('--max-body', maxBody, 0);
  if (maxBody !== undefined && !bodies) throw new UsageError('--max-body is about bodies: add --bodies');
  let damaged = false;
  const output = new Output();
  const options = {
    destination,
    report,
    damaged: (line: string) => {
      damaged = true;
      report(line);
    },
  };
  try {
    for await (const message of readStore(directory, options)) {
      if (output.closed) return ExitCode.done;
      await output.line(escapeJson(JSON.stringify(describe(message, bodies ? most : undefined))));
    }
  } catch (error) {
    if (error instanceof StompError) throw new UsageError(`--destination: ${error.detail}`);
    throw error;
  }
  return damaged ? ExitCode.failed : ExitCode.done;
}

async function compact(directory: string): Promise<number> {
  const { before, after } = await compactStore(directory, report);
  await new Output().line(`before: ${before} octets, after: ${after} octets`);
  return ExitCode.done;
}

/** @param most octets of the body; undefined for none of it */
function describe({ kind, vhost, name, message, deliveries }: StoredMessage, most: number | undefined): object {
  const headers = Object.fromEntries(
    [...message.headers].map(([header, value]) => [header, SECRET.test(header) ? '***' : value]),
  );
  const { body, destination, id } = message;
  const about = { kind, vhost, name, destination, 'message-id': id, deliveries, length: body.length, headers };
  return most === undefined ? about : { ...about, ...describeBody(body, most) };
}

function describeBody(body: Buffer, most: number): object {
  const truncated = body.length > most ? { truncated: true } : {};
  if (!isUtf8(body)) return { 'body-base64': body.subarray(0, most).toString('base64'), ...truncated };
  let end = Math.min(most, body.length);
  // Not in the middle of a character.
  while (end < body.length && end > 0 && (body[end]! & 0xc0) === 0x80) end--;
  return { body: body.toString('utf8', 0, end), ...truncated };
}
