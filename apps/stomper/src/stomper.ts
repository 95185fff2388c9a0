import { addAbortSignal } from 'node:stream';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { ConnectionLostError, FrameHeaders, NotConnectedError, type SendOptions } from 'nestjs-stomp/client';
import { Broker, ExitCode, Interruption, type ProgramCommand } from 'nestjs-stomp-command';
import { Lines } from './lines.js';
import type { Options } from './options.js';
import { Progress } from './progress.js';
import { type Line, Unconfirmed } from './unconfirmed.js';

export const OPTIONS = Symbol('options of stomper');

/** How long receipts may take to come after SIGINT or SIGTERM, in ms. */
const GRACE = 5_000;
/** How long the broker may take to confirm DISCONNECT, in ms. */
const DEADLINE = 5_000;

/** Sends each line of standard input as a message, and waits until the broker has confirmed it. */
@Injectable()
export class Stomper implements ProgramCommand {
  private readonly logger = new Logger();
  private readonly unconfirmed = new Unconfirmed();
  private readonly interruption = new Interruption(GRACE);
  private readonly message: SendOptions;
  private input: 'open' | 'ended' | 'left' = 'open';

  constructor(
    @Inject(OPTIONS) private readonly options: Options,
    private readonly broker: Broker,
  ) {
    this.message = { contentType: options.type, headers: new FrameHeaders(options.headers) };
  }

  async run(): Promise<number> {
    const { broker, interruption, unconfirmed } = this;
    broker.client.on('state', (state) => {
      if (state === 'connected') for (const line of unconfirmed) this.publish(line);
    });
    const progress = this.showProgress();
    try {
      await Promise.race([this.work(), broker.broken, interruption.over]);
    } catch (error) {
      this.leave((error as Error).message);
    }
    process.stdin.destroy();
    await broker.client.disconnect({ deadline: interruption.name === undefined ? DEADLINE : 0 });
    interruption.dispose();
    progress?.stop();
    return this.conclude();
  }

  private async work(): Promise<void> {
    try {
      await this.read();
      this.input = 'ended';
    } catch (error) {
      if (!this.interruption.signal.aborted) this.leave((error as Error).message);
    }
    await this.unconfirmed.none();
  }

  private async read(): Promise<void> {
    const { unconfirmed, interruption } = this;
    const lines = new Lines(this.options.maxLine);
    for await (const chunk of addAbortSignal(interruption.signal, process.stdin)) {
      for (const bytes of lines.push(chunk as Buffer)) {
        this.take(bytes);
        if (unconfirmed.full) await unconfirmed.room();
      }
    }
    const last = lines.end();
    if (last !== undefined && last.length > 0) this.take(last);
  }

  /** Reads no further, for that reason; only the first one counts. */
  private leave(why: string): void {
    if (this.input === 'left') return;
    if (this.input === 'open') this.input = 'left';
    this.logger.error(why);
  }

  private take(bytes: Buffer): void {
    const line = { bytes };
    this.unconfirmed.add(line);
    if (this.broker.client.state === 'connected') this.publish(line);
  }

  private publish(line: Line): void {
    this.broker.client.publish(this.options.topic, line.bytes, this.message).then(
      () => {
        this.broker.worked();
        this.unconfirmed.confirm(line);
      },
      (error: Error) => {
        // What went with its connection is sent again on the next one.
        if (error instanceof ConnectionLostError || error instanceof NotConnectedError) return;
        this.broker.fail(error);
      },
    );
  }

  private showProgress(): Progress | undefined {
    // Somebody who types sees his own lines.
    if (!process.stderr.isTTY || process.stdin.isTTY) return undefined;
    const { unconfirmed, broker } = this;
    return new Progress(process.stderr, () => {
      const lines = `${unconfirmed.confirmed + unconfirmed.size} lines read, ${unconfirmed.confirmed} confirmed`;
      return broker.client.state === 'connected' ? lines : `${lines}, ${broker.client.state}`;
    });
  }

  private conclude(): number {
    const { confirmed, size } = this.unconfirmed;
    const { name } = this.interruption;
    if (this.input === 'ended' && size === 0) return ExitCode.done;
    const facts = [`${count(confirmed)} confirmed by the broker`];
    if (size > 0) facts.push(`${count(size)} not confirmed`);
    if (this.input !== 'ended') facts.push('the rest of the input not read');
    this.logger.error(`${name === undefined ? '' : `ended by ${name}: `}${facts.join(', ')}`);
    return ExitCode.failed;
  }
}

function count(lines: number): string {
  return lines === 1 ? '1 line' : `${lines} lines`;
}
