import { isUtf8 } from 'node:buffer';
import type { StompMessage } from 'nestjs-stomp/client';

/** Makes a line of a message. */
export type Render = (message: StompMessage) => Buffer;

/** What a terminal may take for a command to itself: all control characters but tab and line feed. */
// eslint-disable-next-line no-control-regex
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/**
 * How messages are printed.
 *
 * @param json as JSON objects; otherwise the bodies alone
 * @param terminal whether control characters are escaped
 */
export function renderer(json: boolean, terminal: boolean): Render {
  if (json) {
    // What JSON does not escape itself is escaped as it would.
    return (message) => Buffer.from(terminal ? escapeControls(toJson(message), '\\u00') : toJson(message));
  }
  if (terminal) return (message) => Buffer.from(escapeControls(message.body.toString('utf8'), '\\x'));
  return (message) => message.body;
}

function escapeControls(text: string, prefix: string): string {
  return text.replace(CONTROLS, (control) => prefix + control.charCodeAt(0).toString(16).padStart(2, '0'));
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
