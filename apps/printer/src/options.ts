import type { AckMode, StompClientOptions } from 'nestjs-stomp/client';
import {
  addConnectionOptions,
  Command,
  Option,
  readConnection,
  readVersion,
  readWhole,
  UsageError,
} from 'nestjs-stomp-command';
import { MediaTypePattern } from './media.type.js';

/** What the program is told. */
export interface Options {
  readonly connection: StompClientOptions;
  /** The destination. */
  readonly topic: string;
  /** Which messages are printed; all when undefined. */
  readonly type: MediaTypePattern | undefined;
  /** After so many it ends; never when undefined. */
  readonly count: number | undefined;
  readonly json: boolean;
  readonly ack: AckMode;
}

const ACK_MODES: readonly string[] = ['auto', 'client', 'client-individual'] satisfies AckMode[];

export function makeProgram(): Command {
  const program = new Command('printer')
    .description('Prints the messages of a STOMP destination to standard output, one a line.')
    .usage('--topic <destination> [options]')
    .optionsGroup('Messages:')
    .addOption(
      new Option(
        '--topic <destination>',
        'where to get messages from, e.g. --topic /queue/orders',
      ).makeOptionMandatory(),
    )
    .addOption(
      new Option(
        '--type <pattern>',
        "only those of this media type, in any case; * is any text, ? any character; parameters count only when the pattern has a semicolon, e.g. --type 'text/*'",
      ),
    )
    .addOption(new Option('--count <number>', 'end after so many messages were printed, e.g. --count 10'))
    .addOption(
      new Option(
        '--json',
        'print a JSON object a line, with headers and body (bodyBase64 where that is not UTF-8), e.g. --json | jq -r .body',
      ),
    )
    .addOption(
      new Option(
        '--ack <mode>',
        'auto, client or client-individual; but for auto a message is acknowledged once it is written (default: auto, with --count client-individual: the message after the last one stays where it is), e.g. --ack client',
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
  printer --topic /topic/log --type 'text/*' --count 10 --url stomp+tls://mq:61614 --user ops --password-file ~/.mq

On a terminal control characters, and those that turn text around, are shown escaped; elsewhere bodies are written as
they are, with a LF behind each.
When the broker comes back, the destination is subscribed to again. The first SIGINT or SIGTERM writes what has come
and disconnects, the second one ends at once.

Exit codes: 0 done; 1 failed, or ended before --count was reached; 2 wrong options.`,
    );
}

interface Values {
  topic: string;
  type?: string;
  count?: string;
  json?: boolean;
  ack?: string;
}

/**
 * The options of a program that has parsed its arguments.
 *
 * @throws UsageError
 */
export function readOptions(program: Command): Options {
  const values = program.opts<Values>();
  if (values.topic === '') throw new UsageError('--topic: it is the name of a destination, such as /queue/orders');
  if (values.type === '') throw new UsageError("--type: it is a pattern, such as 'text/*'");
  const count = values.count === undefined ? undefined : readWhole('--count', values.count, 1);
  return {
    connection: readConnection(program.opts()),
    topic: values.topic,
    type: values.type === undefined ? undefined : new MediaTypePattern(values.type),
    count,
    json: values.json === true,
    ack: values.ack === undefined ? (count === undefined ? 'auto' : 'client-individual') : readAckMode(values.ack),
  };
}

function readAckMode(text: string): AckMode {
  const mode = text.toLowerCase();
  if (ACK_MODES.includes(mode)) return mode as AckMode;
  throw new UsageError(`--ack ${JSON.stringify(text)}: it is auto, client or client-individual`);
}
