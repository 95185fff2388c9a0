import type { LoggerService } from '@nestjs/common';
import { ServerError, StompClient, type StompClientOptions, type StompState } from 'nestjs-stomp/client';

/** As many connections in a row may end by an ERROR of the broker before it is believed. */
const MAX_ERRORS = 3;

/** What TLS says when trying again will not help: a certificate that does not hold, or a peer that speaks no TLS. */
const TLS_CODES = /CERT|SIGNATURE|HOSTNAME|^INVALID_CA$|^UNABLE_TO_|^ERR_SSL_|^ERR_TLS_|^EPROTO$/;

/**
 * The broker that a program works with, over all connections to it: a lost one is made again for as long as it takes.
 * What becomes of it is told on stderr.
 */
export class Broker {
  readonly client: StompClient;
  /**
   * Fails when there is no going on: the login is refused, the certificate does not hold, the broker answers with
   * ERROR time and again.
   */
  readonly broken: Promise<never>;
  private fails!: (reason: Error) => void;
  private errors = 0;
  private everConnected = false;
  private said: string | undefined;

  /** Begins to connect. */
  constructor(
    private readonly options: StompClientOptions,
    private readonly logger: LoggerService,
  ) {
    this.broken = new Promise<never>((_resolve, reject) => (this.fails = reject));
    this.broken.catch(() => undefined); // It may fail before anybody waits for it.
    // A broker whose readers are slow confirms late, and one that is gone shows by its heart-beats.
    this.client = new StompClient({ ...options, receiptTimeout: 0 });
    this.client
      .on('state', (state, reason) => this.turned(state, reason))
      .on('retry', ({ reason }) => this.retry(reason))
      .on('error', (error, message) => {
        if (message !== undefined) this.fail(error); // A handler failed; the rest is told by the states.
      });
    this.client.connect().catch(() => undefined); // That is told by the states too.
  }

  /** There is no going on. */
  fail(reason: Error): void {
    this.fails(reason);
  }

  /** The broker does what it is asked for. */
  worked(): void {
    this.errors = 0;
  }

  private turned(state: StompState, reason: Error | undefined): void {
    if (state === 'connected') {
      this.everConnected = true;
      if (this.said !== undefined) this.say(`connected to ${this.client.url}`);
      this.said = undefined;
    } else if (state === 'connecting' && reason !== undefined) {
      if (reason instanceof ServerError && ++this.errors >= MAX_ERRORS) {
        this.fail(new Error(`${reason.message}, ${MAX_ERRORS} times in a row`));
      } else this.say(`${reason.message}; connecting again`);
    } else if (state === 'disconnected' && reason !== undefined) this.fail(reason);
  }

  private retry(reason: Error | undefined): void {
    if (reason === undefined) return;
    const { code = '' } = (reason.cause ?? {}) as NodeJS.ErrnoException;
    if (!this.everConnected && this.options.url?.length === 1 && TLS_CODES.test(code)) {
      const hint = /certificate of the client/.test(reason.message) ? ': give one with --certfile and --keyfile' : '';
      this.fail(new Error(`${reason.message}${hint}`, { cause: reason }));
    } else this.say(`${reason.message}; trying again`);
  }

  /** Says it unless that was the last thing said. */
  private say(line: string): void {
    if (line === this.said) return;
    this.said = line;
    this.logger.warn(line);
  }
}
