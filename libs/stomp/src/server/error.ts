import { encodeHeader } from '../frame/encoder.js';
import { FrameError } from '../frame/error.js';
import { escapingOf } from '../frame/escape.js';
import { Frame } from '../frame/frame.js';
import type { Version } from '../frame/version.js';

/**
 * Why a server ends a session: what goes into its ERROR frame (STOMP 1.2, ERROR). Thrown by whatever a session
 * talks to; the session sends the frame and closes the connection.
 */
export class StompError extends Error {
  override readonly name = 'StompError';

  /**
   * @param message a short text, for the `message` header
   * @param detail what a person can do about it, for the body; the message again when left out
   * @param headers further headers of the ERROR frame
   */
  constructor(
    message: string,
    readonly detail: string = message,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
  }
}

/** What a client is told of an error: of what nobody meant for it, nothing but that it happened. */
export function toStompError(error: unknown): StompError {
  if (error instanceof StompError) return error;
  if (error instanceof FrameError) return new StompError('malformed frame', error.message);
  return new StompError('internal error', 'the server failed: see its log');
}

/** What is told to others of an error of a client that has not logged in: the line at fault may hold its passcode. */
export function withoutLine(error: unknown): StompError {
  return error instanceof FrameError ? new StompError('malformed frame', error.code) : toStompError(error);
}

/**
 * The ERROR frame (STOMP 1.2, ERROR). Headers that the version cannot carry are left out: who asks for a receipt that
 * cannot be named is told of the error all the same.
 */
export function errorFrame(error: StompError, receipt: string | undefined, version: Version | undefined): Frame {
  const message = error.message.replace(/[\r\n]+/g, ' ');
  const frame = new Frame('ERROR', { message, 'content-type': 'text/plain' }, `${error.detail}\n`);
  for (const [name, value] of Object.entries({ 'receipt-id': receipt, ...error.headers })) {
    if (value === undefined) continue;
    try {
      encodeHeader(name, value, escapingOf(version));
      frame.headers.add(name, value);
    } catch {
      continue;
    }
  }
  return frame;
}

/** What somebody who speaks HTTP is told of an error. */
export function httpAnswer({ message }: FrameError): string {
  return `HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n${message}\n`;
}
