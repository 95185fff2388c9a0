import type { StompMessage } from './message.js';
import type { Session } from './session.js';

/** Octets that an inbox holds before it counts as full, however few the messages. */
const MAX_BYTES = 4 * 1024 * 1024;

/** Messages that have come in and wait to be taken. When it is full, the connection is not read: see Throttle. */
export class Inbox {
  private messages: StompMessage[] = [];
  private bytes = 0;
  private session: Session | undefined;
  private full = false;

  /** @param limit how many messages it holds before it counts as full */
  constructor(private readonly limit: number) {}

  get size(): number {
    return this.messages.length;
  }

  push(message: StompMessage): void {
    this.messages.push(message);
    this.bytes += octetsOf(message);
    this.session = message.session;
    this.report();
  }

  shift(): StompMessage | undefined {
    const message = this.messages.shift();
    if (message !== undefined) {
      this.bytes -= octetsOf(message);
      this.report();
    }
    return message;
  }

  clear(): void {
    this.messages = [];
    this.bytes = 0;
    this.report();
  }

  /** Nothing more comes in, so what is still there, and may stay for good, is no reason not to read. */
  release(): void {
    this.session?.throttle.report(this, 0);
    this.session = undefined;
  }

  private report(): void {
    const fill = Math.max(this.messages.length / this.limit, this.bytes / MAX_BYTES);
    if (fill < 1 && !this.full) return;
    this.full = fill > 0.5;
    this.session?.throttle.report(this, fill);
  }
}

/** Of its headers and its body; the same as long as nobody has been handed it. */
function octetsOf({ frame }: StompMessage): number {
  const { wire } = frame;
  return frame.length + (wire === undefined ? frame.headers.characters : wire.end - wire.start);
}
