import { isUtf8 } from 'node:buffer';
import type { StompMessage } from 'nestjs-stomp/client';
import { escapeJson, escapeLines } from 'nestjs-stomp-command';

/** Makes a line of a message. */
export type Render = (message: StompMessage) => Buffer;

/**
 * How messages are printed.
 *
 * @param json as JSON objects; otherwise the bodies alone
 * @param terminal whether what might command or mislead a terminal is escaped
 */
export function renderer(json: boolean, terminal: boolean): Render {
  if (json) {
    // What JSON does not escape itself is escaped as it would.
    return (message) => Buffer.from(terminal ? escapeJson(toJson(message)) : toJson(message));
  }
  if (terminal) return (message) => Buffer.from(escapeLines(message.body.toString('utf8')));
  return (message) => message.body;
}

function toJson(message: StompMessage): string {
  const { body } = message;
  const headers = message.headers.toObject();
  return JSON.stringify(
    isText(body, headers['content-type'])
      ? { headers, body: body.toString('utf8') }
      : { headers, bodyBase64: body.toString('base64') },
  );
}

function isText(body: Buffer, contentType = ''): boolean {
  const charset = /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(contentType)?.[1] ?? 'utf-8';
  return /^(utf-?8|us-ascii)$/i.test(charset) && isUtf8(body);
}
