import { inspect } from 'node:util';
import { ConsoleLogger, type LogLevel } from '@nestjs/common';
import { escapeJson, escapeText } from 'nestjs-stomp-command';

/** How much is logged, each number with all below it; the program's option `--verbose`. */
export type Verbosity = 0 | 1 | 2 | 3 | 4 | 5;

/** What a {@link BrokerLogger} is made with. */
export interface BrokerLoggerOptions {
  /** Default 0. */
  verbosity?: Verbosity;
  /** `text`: lines to read; `json`: one JSON object a line. Default `text`. */
  format?: 'text' | 'json';
  /** Where it writes. Default `process.stderr`; stdout belongs to the lines that tell where the broker listens. */
  stream?: { write(text: string): unknown; isTTY?: boolean };
}

/** As much of a frame as is logged. */
export interface LoggedFrame {
  command: string;
  headers: Iterable<readonly [string, string]>;
  body?: { length: number };
}

/** The least verbosity at which Nest's levels are written. `frame` adds 4 (frames) and 5 (their headers). */
const thresholds: Record<Verbosity, LogLevel> = {
  0: 'warn', // with error and fatal
  1: 'log', // start, stop
  2: 'debug', // connections opened and closed, ERROR frames, refusals
  3: 'verbose', // heart-beat values, accepted sockets, Nest's own account of its start
  4: 'verbose',
  5: 'verbose',
};

/** What Nest itself says while it starts: of use to its developers only. */
const frameworkContexts = new Set(['NestFactory', 'InstanceLoader', 'NestMicroservice', 'NestApplication']);

const secretNames = ['passcode', 'password', 'secret', 'token', 'authorization'];
const secretHeader = new RegExp(secretNames.join('|'), 'i');

/** The longest message that is written, in characters; headers come from peers and may be long. */
const maxMessageLength = 8192;

/**
 * Nest's logger as the broker program uses it: everything goes to stderr, by verbosity. Code logs with Nest's own
 * levels: `log` for start and stop, `debug` for the life of connections, `verbose` for details, and `frame`.
 *
 * Text from peers is safe to log: control characters are written as escapes, so that nothing can forge a line or
 * drive a terminal, and secrets in frames and objects are masked.
 */
export class BrokerLogger extends ConsoleLogger {
  readonly verbosity: Verbosity;
  private readonly json: boolean;
  private readonly stream: NonNullable<BrokerLoggerOptions['stream']>;

  constructor({ verbosity = 0, format = 'text', stream = process.stderr }: BrokerLoggerOptions = {}) {
    const colors = format === 'text' && stream.isTTY === true && !process.env.NO_COLOR;
    super({ logLevels: [thresholds[verbosity]], colors, compact: true, redact: secretNames });
    this.verbosity = verbosity;
    this.json = format === 'json';
    this.stream = stream;
  }

  /**
   * Logs a frame that was received or sent, at verbosity 4, with its headers at 5. A hot path asks `verbosity` first
   * and spares itself the call.
   *
   * @param peer the other end, for example `127.0.0.1:50312`
   */
  frame(direction: 'received' | 'sent', peer: string, frame: LoggedFrame): void {
    if (this.verbosity < 4) {
      return;
    }
    let message = `${peer} ${direction} ${frame.command}, ${frame.body?.length ?? 0} bytes`;
    if (this.verbosity >= 5) {
      for (const [name, value] of frame.headers) {
        message += ` ${name}:${secretHeader.test(name) ? '***' : value}`;
      }
    }
    this.printMessages([message], 'Frame', 'verbose');
  }

  /** Every message of every level ends here. */
  protected override printMessages(
    messages: unknown[],
    context = '',
    level: LogLevel = 'log',
    _stream?: 'stdout' | 'stderr',
    stack?: unknown,
    params?: Record<string, unknown>,
  ): void {
    if (level === 'log' && this.verbosity < 3 && frameworkContexts.has(context)) {
      return;
    }
    for (const message of messages) {
      const value = this.redact(this.resolveMessage(message));
      this.write({
        timestamp: this.getTimestamp(),
        level,
        ...(context !== '' && { context }),
        message: clip(this.textOf(value)),
        ...(params !== undefined && { params: this.redact(params) }),
        ...(typeof stack === 'string' ? { stack } : value instanceof Error && { stack: inspect(value) }),
      });
    }
  }

  /** The stack is part of its message's record. */
  protected override printStackTrace(): void {}

  protected override getTimestamp(): string {
    return new Date().toISOString();
  }

  private textOf(value: unknown): string {
    if (typeof value === 'string') {
      return value;
    }
    return value instanceof Error ? `${value.name}: ${value.message}` : inspect(value, { breakLength: Infinity });
  }

  private write(entry: LogEntry): void {
    this.stream.write(`${this.json ? escapeJson(this.stringifyJsonLogObject({ ...entry })) : this.line(entry)}\n`);
  }

  private line({ timestamp, level, context, message, params, stack }: LogEntry): string {
    const shown = params === undefined ? '' : ` ${inspect(params, { breakLength: Infinity })}`;
    const place = context === undefined ? '' : `[${escapeText(context)}] `;
    // Lines of a stack are indented: none of them can pass for a record of its own.
    const trace =
      stack === undefined
        ? ''
        : clip(stack)
            .split('\n')
            .map((line) => `\n    ${escapeText(line)}`)
            .join('');
    return `${timestamp} ${this.colorize(level.toUpperCase(), level)} ${place}${escapeText(message + shown)}${trace}`;
  }
}

interface LogEntry {
  timestamp: string;
  level: LogLevel;
  context?: string;
  message: string;
  params?: unknown;
  stack?: string;
}

function clip(text: string): string {
  return text.length <= maxMessageLength
    ? text
    : `${text.slice(0, maxMessageLength)}... (${text.length - maxMessageLength} more characters)`;
}
