import { quote } from '../frame/error.js';
import type { Frame } from '../frame/frame.js';

/** What went wrong; stable, to be tested by programs. */
export type StompClientErrorCode =
  | 'not-connected'
  | 'connect-failed'
  | 'refused'
  | 'connection-lost'
  | 'server-error'
  | 'protocol-error'
  | 'receipt-timeout'
  | 'too-many-receipts'
  | 'transaction-ended'
  | 'no-nack';

/** What all errors of the client have in common; each meaning has a class and a code of its own. */
export class StompClientError extends Error {
  /**
   * @param code what went wrong, for programs
   * @param message what went wrong, for people; never a passcode
   */
  constructor(
    readonly code: StompClientErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** There is no connection to do that on. Nothing was sent. */
export class NotConnectedError extends StompClientError {
  constructor(message: string, cause?: Error) {
    super('not-connected', message, cause && { cause });
  }
}

/** No server of the list could be reached in as many attempts as are allowed. */
export class ConnectFailedError extends StompClientError {
  /** @param errors why, one for each URL of the last attempt */
  constructor(
    message: string,
    readonly errors: readonly Error[],
  ) {
    super('connect-failed', message, { cause: errors.at(-1) });
  }
}

/**
 * The connection broke. What was sent on it and not receipted may or may not have been processed: where that
 * matters, send it again and let the receiver drop what it has seen.
 */
export class ConnectionLostError extends StompClientError {
  constructor(message: string, cause?: Error) {
    super('connection-lost', message, cause && { cause });
  }
}

/** The server did something that no STOMP server may do. */
export class ProtocolError extends StompClientError {
  constructor(message: string, cause?: Error) {
    super('protocol-error', message, cause && { cause });
  }
}

/** The server did not confirm a frame in time; whether it processed it is unknown. */
export class ReceiptTimeoutError extends StompClientError {
  constructor(message: string) {
    super('receipt-timeout', message);
  }
}

/** More receipts are waited for than `maxReceipts` allows. Nothing was sent. */
export class TooManyReceiptsError extends StompClientError {
  constructor(most: number) {
    super(
      'too-many-receipts',
      `${most} receipts are waited for already, the limit: await some of them first, or raise maxReceipts`,
    );
  }
}

/** The transaction was committed or aborted before, or went with its connection. Nothing was sent. */
export class TransactionEndedError extends StompClientError {
  constructor(message: string, cause?: Error) {
    super('transaction-ended', message, cause && { cause });
  }
}

/** The server sent an ERROR frame (STOMP 1.2, ERROR). */
export class ServerError extends StompClientError {
  /** The `receipt` of the frame that was at fault, where the server says so. */
  readonly receipt: string | undefined;

  constructor(
    readonly frame: Frame,
    code: 'server-error' | 'refused' = 'server-error',
    what = 'the server sent an ERROR',
  ) {
    super(code, `${what}: ${describe(frame)}`);
    this.receipt = frame.headers.get('receipt-id');
  }
}

/**
 * What servers say that cannot take a client at the moment, as opposed to those that do not want it. ActiveMQ's
 * "already connected" is about the client's own last connection, whose end it has not noticed yet.
 */
const BUSY =
  /shut(ting)? ?down|starting|too many|connection limit|unavailable|try again|timed? ?out|already connected/i;

/** The server answered CONNECT with an ERROR frame: wrong credentials, unknown virtual host, no common version. */
export class RefusedError extends ServerError {
  /** Whether the text of the ERROR says that the server is only busy, starting or shutting down. */
  readonly transient: boolean;

  constructor(frame: Frame) {
    super(frame, 'refused', 'the server refused the connection');
    this.transient = BUSY.test(describe(frame));
  }
}

/** The short text of an ERROR frame and the beginning of the long one, each on one line. */
function describe(frame: Frame): string {
  const body = frame.body.toString('utf8', 0, 1000).trim();
  const message = frame.headers.get('message') ?? '';
  if (body === '' || body === message) return quote(message, 200);
  return message === '' ? quote(body, 300) : `${quote(message, 200)}, ${quote(body, 300)}`;
}

/** Whatever was thrown, as an Error. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
