import { Inject, Injectable, Logger } from '@nestjs/common';
import type { StompMessage, Subscription } from 'nestjs-stomp/client';
import { Broker, ExitCode, Interruption, type ProgramCommand } from 'nestjs-stomp-command';
import type { Options } from './options.js';
import { Output } from './output.js';
import { type Render, renderer } from './render.js';

export const OPTIONS = Symbol('options of printer');

/** How long after SIGINT or SIGTERM standard output may take what has come, in ms. */
const GRACE = 5_000;
/** How long the broker may take to confirm DISCONNECT, in ms. */
const DEADLINE = 5_000;
/** How many messages may be on their way, where they are acknowledged, and wait for standard output. */
const AHEAD = 1_000;

/** Prints the messages of a destination to standard output. */
@Injectable()
export class Printer implements ProgramCommand {
  private readonly logger = new Logger();
  private readonly interruption = new Interruption(GRACE);
  private readonly output = new Output<StompMessage>(process.stdout, (messages) => this.acknowledge(messages));
  private readonly render: Render;
  private readonly enough: Promise<void>;
  private reached!: () => void;
  private stopped = false;
  private printed = 0;
  private failure: NodeJS.ErrnoException | undefined;

  constructor(
    @Inject(OPTIONS) private readonly options: Options,
    private readonly broker: Broker,
  ) {
    this.render = renderer(options.json, process.stdout.isTTY === true);
    this.enough = new Promise((resolve) => (this.reached = resolve));
  }

  async run(): Promise<number> {
    const { broker, interruption, output } = this;
    const interrupted = new Promise<void>((resolve) => interruption.signal.addEventListener('abort', () => resolve()));
    const unwritable = output.failed.then((error) => {
      throw error;
    });
    try {
      const subscription = this.subscribe();
      await Promise.race([this.enough, interrupted, broker.broken, unwritable]);
      await Promise.race([this.finish(subscription), broker.broken, unwritable, interruption.over]);
    } catch (error) {
      this.failure = error as Error;
    }
    this.stopped = true;
    // A handler that waits for standard output would be waited for.
    await broker.client.disconnect({ deadline: output.full ? 0 : DEADLINE });
    interruption.dispose();
    return this.conclude();
  }

  private subscribe(): Subscription {
    const { broker, options } = this;
    const { ack, count = AHEAD } = options;
    const take = (message: StompMessage) => this.take(message);
    const subscription = broker.client.subscribe(options.topic, take, {
      ack,
      manual: true,
      concurrency: 1,
      buffer: AHEAD,
      ...(ack === 'auto' ? {} : { prefetch: Math.min(count, AHEAD) }),
    });
    broker.client
      .on('error', (error) => {
        // The broker will not have it.
        if (!subscription.active) broker.fail(error);
      })
      // What was under way when it was unsubscribed.
      .on('unhandled', (message) => void this.take(message));
    return subscription;
  }

  private take(message: StompMessage): Promise<void> | undefined {
    if (this.stopped) return undefined;
    const { options, output } = this;
    const wanted = options.type?.matches(message.headers.get('content-type')) ?? true;
    output.add(wanted ? this.render(message) : undefined, message);
    this.broker.worked();
    if (wanted && ++this.printed === options.count) {
      this.stopped = true;
      this.reached();
    }
    return output.full ? output.room() : undefined;
  }

  private acknowledge(messages: readonly StompMessage[]): void {
    const { ack } = this.options;
    if (ack === 'client') messages.at(-1)?.ack();
    else if (ack !== 'auto') for (const message of messages) message.ack();
  }

  /** Prints what the broker holds to be received, and acknowledges what is printed. */
  private async finish(subscription: Subscription): Promise<void> {
    if (!this.stopped) {
      await subscription.drain();
      if (subscription.ack === 'auto') await subscription.unsubscribe();
    }
    await this.output.empty();
  }

  private conclude(): number {
    const { failure, interruption, logger, options, output, printed } = this;
    if (failure?.code === 'EPIPE') return ExitCode.done;
    if (failure !== undefined) logger.error(failure.message);
    else if (output.waits) logger.error(`ended by ${interruption.name}: standard output does not take what is left`);
    else if (printed < (options.count ?? 0)) {
      logger.error(`ended by ${interruption.name} after ${printed} of ${options.count} messages`);
    } else return ExitCode.done;
    return ExitCode.failed;
  }
}
