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
