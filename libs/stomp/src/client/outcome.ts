/*
 * Acknowledgement by the handler's outcome: ACK when it completes, NACK when it fails. What the handler acknowledged
 * itself stays as it is.
 *
 * In `client` mode an acknowledgement speaks for all messages before it too, so there outcomes are told in the order
 * of the messages, and one ACK does for a run of successes:
 *
 *   messages  1        2        3        4         5
 *   handlers  done     done     failed   running   done
 *   sent               ACK 2    NACK 3             (waits for 4)
 */
import { StompClientError } from './errors.js';
import type { StompMessage } from './message.js';
import type { Session } from './session.js';

/** What is done about the end of a handler. */
export interface Outcome {
  /** The handler goes on asynchronously. */
  started(message: StompMessage): void;
  succeeded(message: StompMessage): void;
  failed(message: StompMessage, error: Error): Error;
}

/** Messages that are acknowledged one by one. */
export const individual: Outcome = {
  started: () => undefined,
  succeeded: (message) => {
    message.ack();
  },
  failed: (message, error) => {
    const possible = message.session.version !== '1.0';
    message.nack();
    return possible ? error : withoutNack(error);
  },
};

/** Messages of which one acknowledgement speaks for all before it. */
export class InOrder implements Outcome {
  private session: Session | undefined;
  /** Messages whose handlers run, and those behind them. */
  private open: StompMessage[] = [];
  /** A message failed that cannot be NACKed: to acknowledge anything after it would acknowledge it. */
  private stuck = false;

  started(message: StompMessage): void {
    if (!this.meet(message) || this.stuck) return;
    message.outcome = 'running';
    this.open.push(message);
  }

  succeeded(message: StompMessage): void {
    if (!this.meet(message) || this.stuck) return;
    if (this.open.length === 0) {
      message.ack();
      return;
    }
    this.close(message, 'succeeded');
  }

  failed(message: StompMessage, error: Error): Error {
    const possible = message.session.version !== '1.0';
    if (this.meet(message) && !this.stuck) {
      if (this.open.length === 0) this.refuse(message);
      else this.close(message, 'failed');
    }
    return possible ? error : withoutNack(error);
  }

  private close(message: StompMessage, outcome: 'succeeded' | 'failed'): void {
    if (message.outcome === 'new') this.open.push(message);
    message.outcome = outcome;
    let last: StompMessage | undefined;
    while (this.open.length > 0 && this.open[0]!.outcome !== 'running') {
      const first = this.open.shift()!;
      if (first.outcome === 'succeeded') {
        last = first;
        continue;
      }
      last?.ack();
      last = undefined;
      this.refuse(first);
      if (this.stuck) return;
    }
    last?.ack();
  }

  private refuse(message: StompMessage): void {
    if (message.nack() || !message.unsettled) return;
    this.stuck = true;
    this.open = [];
  }

  /** A new connection begins anew: what came by the last one cannot be acknowledged any more. */
  private meet(message: StompMessage): boolean {
    if (message.session === this.session) return true;
    if (!message.session.open) return false;
    this.session = message.session;
    this.open = [];
    this.stuck = false;
    return true;
  }
}

function withoutNack(cause: Error): Error {
  return new StompClientError(
    'no-nack',
    `a handler failed, and STOMP 1.0 has no NACK to say so: the message stays unacknowledged (${cause.message})`,
    { cause },
  );
}
