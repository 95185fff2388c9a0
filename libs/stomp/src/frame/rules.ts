import { FrameError, quote, quoteCommand } from './error.js';
import type { Frame } from './frame.js';
import { CLIENT_COMMANDS, mayHaveBody, SERVER_COMMANDS } from './names.js';
import type { Version } from './version.js';

interface Rule {
  /** Headers that must be there. */
  readonly required: readonly string[];
  /** Headers that may be there besides; with `any`, every other name too. */
  readonly optional: readonly string[];
  readonly any?: true;
}

const rule = (required: string, optional = '', any?: true): Rule => ({
  required: required.split(' ').filter(Boolean),
  optional: optional.split(' ').filter(Boolean),
  ...(any === undefined ? {} : { any }),
});

/** STOMP 1.2, Frames and Headers. Every client frame but CONNECT may ask for a receipt; see {@link rulesOf}. */
const RULES_12: Record<string, Rule> = {
  CONNECT: rule('accept-version host', 'login passcode heart-beat'),
  STOMP: rule('accept-version host', 'login passcode heart-beat'),
  SEND: rule('destination', 'transaction', true),
  SUBSCRIBE: rule('destination id', 'ack', true),
  UNSUBSCRIBE: rule('id', '', true),
  ACK: rule('id', 'transaction', true),
  NACK: rule('id', 'transaction', true),
  BEGIN: rule('transaction'),
  COMMIT: rule('transaction'),
  ABORT: rule('transaction'),
  DISCONNECT: rule(''),
  CONNECTED: rule('version', 'session server heart-beat'),
  MESSAGE: rule('destination message-id subscription', 'ack', true),
  RECEIPT: rule('receipt-id'),
  ERROR: rule('', 'message receipt-id version', true),
};

/** Where 1.1 differs: an acknowledgement names the message and the subscription. */
const RULES_11: Record<string, Rule> = {
  ...RULES_12,
  ACK: rule('message-id subscription', 'transaction', true),
  NACK: rule('message-id subscription', 'transaction', true),
};

/** Where 1.0 differs: no version, no NACK, and subscriptions need no id. */
const RULES_10: Record<string, Rule> = {
  ...RULES_11,
  CONNECT: rule('', 'login passcode host accept-version heart-beat', true),
  STOMP: rule('', 'login passcode host accept-version heart-beat', true),
  SUBSCRIBE: rule('destination', 'id ack selector', true),
  UNSUBSCRIBE: rule('', 'destination id', true),
  ACK: rule('message-id', 'transaction', true),
  NACK: rule('message-id', 'transaction', true),
  CONNECTED: rule('', 'session version server heart-beat', true),
  MESSAGE: rule('destination message-id', 'subscription', true),
};

const RULES: Record<Version, Record<string, Rule>> = { '1.0': RULES_10, '1.1': RULES_11, '1.2': RULES_12 };

function rulesOf(command: string, version: Version): Rule | undefined {
  const rules = RULES[version];
  return Object.hasOwn(rules, command) ? rules[command] : undefined;
}

/** The headers that a frame must have in that version; none for commands that STOMP does not know. */
export function requiredHeaders(command: string, version: Version): readonly string[] {
  return rulesOf(command, version)?.required ?? [];
}

/**
 * The strict mode: checks a frame against the table of commands and headers of its version (STOMP 1.2, Frames and
 * Headers; 1.0 and 1.1 where they differ).
 *
 * @throws FrameError `command-malformed`, `header-missing`, `header-forbidden` or `body-forbidden`
 */
export function checkFrame(frame: Frame, version: Version): void {
  const found = rulesOf(frame.command, version);
  if (found === undefined) {
    throw new FrameError('command-malformed', `${quoteCommand(frame.command)} is not a command of STOMP ${version}`);
  }
  for (const name of found.required) {
    if (frame.headers.has(name)) continue;
    throw new FrameError('header-missing', `${frame.command} needs the header ${name} in STOMP ${version}`);
  }
  if (!mayHaveBody(frame.command) && version !== '1.0' && frame.body.length > 0) {
    throw new FrameError('body-forbidden', `${frame.command} has no body`);
  }
  if (found.any) return;
  const isClients = (CLIENT_COMMANDS as readonly string[]).includes(frame.command);
  const allowed = ['content-length', ...found.required, ...found.optional];
  if (isClients && frame.command !== 'CONNECT' && frame.command !== 'STOMP') allowed.push('receipt');
  if (mayHaveBody(frame.command)) allowed.push('content-type');
  for (const [name] of frame.headers) {
    if (allowed.includes(name)) continue;
    throw new FrameError('header-forbidden', `${frame.command} has no header ${quote(name)} in STOMP ${version}`);
  }
}

/** Whether a server sends that command, and a client never does. */
export function isServerCommand(command: string): boolean {
  return (SERVER_COMMANDS as readonly string[]).includes(command);
}
