import { BaseRpcContext } from '@nestjs/microservices';
import type { Frame, StompMessage, Subscription } from '../client/index.js';
import { readMetadata } from './headers.js';

/** How a message is refused. */
export interface NackOptions {
  /** False: not again, to the dead letters where the broker has them. True by default. */
  requeue?: boolean;
  /** How long to wait before it is delivered again, in ms. */
  delay?: number;
}

/** What a handler can know about its message, and do with it: `@Ctx() context: StompContext`. */
export class StompContext extends BaseRpcContext<[StompMessage, string]> {
  private readonly replies: Record<string, string> = {};

  /** @param refuse tells the broker that the message was not processed, in its own way */
  constructor(
    message: StompMessage,
    pattern: string,
    private readonly refuse: (message: StompMessage, options: NackOptions) => void,
  ) {
    super([message, pattern]);
  }

  /** Where the message was sent to; with wildcards in the pattern, the concrete destination. */
  getDestination(): string {
    return this.args[0].destination;
  }

  /** The headers of the message; of repeated ones the first. */
  getHeaders(): Readonly<Record<string, string>> {
    return this.args[0].headers.toObject();
  }

  /** The MESSAGE frame. */
  getFrame(): Frame {
    return this.args[0].frame;
  }

  /** The message, as the client gives it. */
  getMessage(): StompMessage {
    return this.args[0];
  }

  /** The pattern of the handler. */
  getPattern(): string {
    return this.args[1];
  }

  /** The subscription that the message came by. */
  getSubscription(): Subscription | undefined {
    return this.args[0].subscription;
  }

  /** What instrumentation on the other side attached, for example a trace id. */
  getMetadata(): Record<string, string> {
    return readMetadata(this.args[0].headers);
  }

  /** Sets a header of every reply that is sent from now on. */
  setReplyHeader(name: string, value: string): void {
    this.replies[name] = value;
  }

  /** @internal */
  getReplyHeaders(): Record<string, string> {
    return this.replies;
  }

  /** Says now that the message was processed, instead of when the handler completes. */
  ack(): void {
    this.args[0].ack();
  }

  /** Says now that the message was not processed, instead of when the handler fails. */
  nack(options: NackOptions = {}): void {
    this.refuse(this.args[0], options);
  }
}
