import { quote, quoteCommand } from '../frame/error.js';
import type { Frame } from '../frame/frame.js';
import type { Message } from './message.js';
import type { ServerLog } from './options.js';

/** Headers whose values are not logged. */
const SECRET = /passcode|password|secret|token|authorization/i;

/** Whether a text looks like a JSON Web Token (RFC 7519), which is a secret wherever it stands. */
export const isToken = (text: string): boolean => /^ey[\w-]{8,}\.[\w-]+\.[\w-]*$/.test(text);

/** Whose lines these are. */
interface Client {
  readonly id: string;
  readonly address: string | undefined;
}

/** What the log is told of one client, as far as it wants to know. */
export class Trace {
  private readonly level: number;

  constructor(
    private readonly log: ServerLog,
    private readonly client: Client,
  ) {
    this.level = log.level;
  }

  /** What happened to the connection. */
  life(line: string): void {
    if (this.level >= 2) this.write(2, line);
  }

  /** What was agreed on. */
  detail(line: string): void {
    if (this.level >= 3) this.write(3, line);
  }

  /** Whether it tells of each frame. */
  get tellsFrames(): boolean {
    return this.level >= 4;
  }

  received(frame: Frame): void {
    if (this.tellsFrames) this.frame('received', frame);
  }

  sent(frame: Frame): void {
    if (this.tellsFrames) this.frame('sent', frame);
  }

  /** A MESSAGE went out to the subscription of that id. */
  delivered(message: Message, subscription = ''): void {
    if (this.tellsFrames) this.write(4, `sent MESSAGE ${message.id} to subscription ${quote(subscription)}`);
  }

  /** Something that nobody meant to happen, at every level. */
  failure(error: unknown): void {
    this.write(0, `internal error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  }

  private frame(what: string, frame: Frame): void {
    this.write(4, `${what} ${quoteCommand(frame.command)}, ${frame.body.length} octets`);
    if (this.level < 5) return;
    for (const [name, value] of frame.headers)
      this.write(5, `  ${quote(name)}: ${SECRET.test(name) || isToken(value) ? '***' : quote(value)}`);
  }

  private write(level: number, line: string): void {
    const { address = 'local', id } = this.client;
    this.log.log(level, `${address} ${id.slice(0, 8)} ${line}`);
  }
}
