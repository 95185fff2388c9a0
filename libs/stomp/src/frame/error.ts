/** What is wrong with a frame; stable, to be tested by programs. */
export type FrameErrorCode =
  | 'command-malformed'
  | 'not-stomp'
  | 'command-too-long'
  | 'header-malformed'
  | 'header-too-long'
  | 'headers-too-many'
  | 'escape-undefined'
  | 'utf8-invalid'
  | 'content-length-invalid'
  | 'body-too-large'
  | 'body-forbidden'
  | 'body-unterminated'
  | 'frame-too-large'
  | 'header-unencodable'
  | 'body-unencodable'
  | 'header-missing'
  | 'header-forbidden';

/**
 * The one error of the codec: a received frame that breaks the grammar or a limit, or a frame that cannot be put on
 * the wire as it is. The message names the thing, the limit and the way out.
 */
export class FrameError extends Error {
  override readonly name = 'FrameError';

  /**
   * @param code what is wrong, for programs
   * @param message what is wrong, for people
   * @param receipt the `receipt` header of the faulty frame, where it could be read
   */
  constructor(
    readonly code: FrameErrorCode,
    message: string,
    public receipt?: string,
  ) {
    super(message);
  }
}

/** A limit is passed. */
export function tooLong(code: FrameErrorCode, what: string, limit: number): FrameError {
  return new FrameError(code, `${what} is longer than ${limit} octets, the limit`);
}

/** A body stands where there may be none. */
export function bodyForbidden(command: string): FrameError {
  return new FrameError('body-forbidden', `${command} has no body: only SEND, MESSAGE and ERROR may have one`);
}

/** A piece of a peer's text made fit for an error message or a log: short, on one line, no control characters. */
export function quote(text: string, most = 64): string {
  // Control characters, separators of lines, and what turns the direction of text around.
  const plain = text.replace(/[\p{Cc}\u2028\u2029\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ufeff]/gu, (c) => {
    const code = c.charCodeAt(0).toString(16);
    return code.length > 2 ? `\\u${code.padStart(4, '0')}` : `\\x${code.padStart(2, '0')}`;
  });
  return plain.length > most ? `"${plain.slice(0, most)}..."` : `"${plain}"`;
}

/** The line of a command as a peer wrote it: a header that lacks its line break may stand there, and be a secret. */
export function quoteCommand(command: string): string {
  const word = /^[^\s:]*/.exec(command)![0];
  return quote(word === command ? word : `${word} ...`);
}
