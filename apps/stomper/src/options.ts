import type { StompClientOptions } from 'nestjs-stomp/client';
import {
  addConnectionOptions,
  Command,
  Option,
  readConnection,
  readVersion,
  readWhole,
  UsageError,
} from 'nestjs-stomp-command';

/** RFC 2045: a type, a subtype, and what may follow; no control characters. */
// eslint-disable-next-line no-control-regex -- they would end the header, or the terminal that prints it
const MEDIA_TYPE = /^[\w.+-]+\/[\w.+-]+(?:\s*;[^\x00-\x1f\x7f]*)?$/;

/** What the program is told. */
export interface Options {
  readonly connection: StompClientOptions;
  /** The destination. */
  readonly topic: string;
  /** The media type of the messages. */
  readonly type: string;
  /** Further headers of the messages. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** The longest line, in octets. */
  readonly maxLine: number;
}

/** The longest line by default: as long as the longest body that our broker takes by default, in octets. */
const MAX_LINE = 16 * 1024 * 1024;

/** Headers that are not for `--header` to set, and what is said of them. */
const OWN_HEADERS: Record<string, string> = {
  destination: 'it is what --topic says',
  'content-type': 'it is what --type says',
  'content-length': 'it is set by stomper',
  receipt: 'it is set by stomper',
  transaction: 'stomper uses none',
};

export function makeProgram(): Command {
  const program = new Command('stomper')
    .description(
      'Sends each non-empty line of standard input to a STOMP destination. Exits with 0 only when the broker has confirmed every line.',
    )
    .usage('--topic <destination> [options]')
    .optionsGroup('Messages:')
    .addOption(
      new Option('--topic <destination>', 'where to send them, e.g. --topic /queue/orders').makeOptionMandatory(),
    )
    .addOption(
      new Option('--type <mime>', 'their media type, e.g. --type application/json').default('text/plain', 'text/plain'),
    )
    .addOption(
      new Option(
        '--persistent',
        'the broker is to keep them over its restarts, and kill -9: the header persistent:true',
      ),
    )
    .addOption(
      new Option('--header <name=value...>', 'further headers, e.g. --header priority=7 --header expires=0').argParser(
        (value: string, before: string[] | undefined) => [...(before ?? []), value],
      ),
    )
    .addOption(
      new Option('--max-line <octets>', 'the longest line, e.g. --max-line 1048576').default(
        String(MAX_LINE),
        String(MAX_LINE),
      ),
    );
  return addConnectionOptions(program)
    .optionsGroup('Other:')
    .version(readVersion(new URL('../package.json', import.meta.url)), '-V, --version', 'print the version and exit')
    .addHelpOption(new Option('-h, --help', 'print this help and exit').helpGroup('Other:'))
    .addHelpText(
      'after',
      `
Example:
  tail -F app.log | stomper --topic /topic/log --url stomp+tls://mq:61614 --user ops --password-file ~/.mq

A line ends with LF or CR LF and is sent without that. While the broker is away, reading goes on only as far as a
bounded buffer; lines that it had not confirmed are sent again when it is back, so it may get some of them twice.
The first SIGINT or SIGTERM ends reading, the second one waiting.

Exit codes: 0 every line was confirmed; 1 not every line was, stderr says how many; 2 wrong options.`,
    );
}

interface Values {
  topic: string;
  type: string;
  persistent?: true;
  header?: string[];
  maxLine: string;
}

/**
 * The options of a program that has parsed its arguments.
 *
 * @throws UsageError
 */
export function readOptions(program: Command): Options {
  const values = program.opts<Values>();
  if (values.topic === '') throw new UsageError('--topic: it is the name of a destination, such as /queue/orders');
  if (!MEDIA_TYPE.test(values.type)) {
    throw new UsageError(`--type ${JSON.stringify(values.type)}: it is a media type, such as text/plain`);
  }
  return {
    connection: readConnection(program.opts()),
    topic: values.topic,
    type: values.type,
    headers: readHeaders(values),
    maxLine: readWhole('--max-line', values.maxLine, 1, 1024 * 1024 * 1024),
  };
}

function readHeaders({ header = [], persistent }: Values): Options['headers'] {
  const headers = header.map(readHeader);
  if (persistent === undefined) return headers;
  if (headers.some(([name]) => name === 'persistent')) {
    throw new UsageError('--header persistent: it is what --persistent says');
  }
  return [['persistent', 'true'], ...headers];
}

function readHeader(text: string): readonly [string, string] {
  const end = text.indexOf('=');
  if (end < 1) throw new UsageError(`--header ${JSON.stringify(text)}: it is written name=value`);
  const name = text.slice(0, end);
  if (Object.hasOwn(OWN_HEADERS, name)) throw new UsageError(`--header ${name}: ${OWN_HEADERS[name]}`);
  return [name, text.slice(end + 1)];
}
