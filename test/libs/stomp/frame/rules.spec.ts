import { describe, expect, it } from '@jest/globals';
import {
  checkFrame,
  CLIENT_COMMANDS,
  Frame,
  FrameError,
  requiredHeaders,
  SERVER_COMMANDS,
  type Version,
} from 'nestjs-stomp/frame';
import { ALL } from './codec.js';

/**
 * The table of headers per frame (STOMP 1.2, Frames and Headers): what must be there, what may be there, and whether
 * anything else may. `receipt` and `content-length` are tested besides.
 */
type Row = [required: string, optional: string, open?: 'open'];

const V12: Record<string, Row> = {
  CONNECT: ['accept-version host', 'login passcode heart-beat'],
  STOMP: ['accept-version host', 'login passcode heart-beat'],
  CONNECTED: ['version', 'session server heart-beat'],
  SEND: ['destination', 'transaction content-type', 'open'],
  SUBSCRIBE: ['destination id', 'ack selector', 'open'],
  UNSUBSCRIBE: ['id', '', 'open'],
  ACK: ['id', 'transaction', 'open'],
  NACK: ['id', 'transaction', 'open'],
  BEGIN: ['transaction', ''],
  COMMIT: ['transaction', ''],
  ABORT: ['transaction', ''],
  DISCONNECT: ['', ''],
  MESSAGE: ['destination message-id subscription', 'ack content-type', 'open'],
  RECEIPT: ['receipt-id', ''],
  ERROR: ['', 'message receipt-id content-type', 'open'],
};
const V11: Record<string, Row> = {
  ...V12,
  ACK: ['message-id subscription', 'transaction', 'open'],
  NACK: ['message-id subscription', 'transaction', 'open'],
};
const V10: Record<string, Row> = {
  ...V11,
  CONNECT: ['', 'login passcode', 'open'],
  STOMP: ['', 'login passcode', 'open'],
  CONNECTED: ['', 'session', 'open'],
  SUBSCRIBE: ['destination', 'id ack selector', 'open'],
  UNSUBSCRIBE: ['', 'destination id', 'open'],
  ACK: ['message-id', 'transaction', 'open'],
  NACK: ['message-id', 'transaction', 'open'],
  MESSAGE: ['destination message-id', 'subscription content-type', 'open'],
};
const TABLE: Record<Version, Record<string, Row>> = { '1.0': V10, '1.1': V11, '1.2': V12 };

const words = (text: string) => text.split(' ').filter((word) => word !== '');
const filled = (names: string[]) => names.map((name) => [name, 'x'] as const);

/** The code of the error, if any. */
function verdict(frame: Frame, version: Version): string | undefined {
  try {
    checkFrame(frame, version);
    return undefined;
  } catch (error) {
    if (error instanceof FrameError) return error.code;
    throw error;
  }
}

const rows = ALL.flatMap((version) =>
  Object.entries(TABLE[version]).map(([command, row]) => ({ version, command, row })),
);

describe.each(rows)('strict $version: $command', ({ version, command, row: [required, optional, open] }) => {
  const must = words(required);

  it('is taken with what it needs, and with all that it may have', () => {
    expect(requiredHeaders(command, version)).toEqual(must);
    expect(verdict(new Frame(command, filled(must)), version)).toBeUndefined();
    expect(
      verdict(new Frame(command, filled([...must, ...words(optional), 'content-length'])), version),
    ).toBeUndefined();
  });

  it('is refused without any one of what it needs', () => {
    for (const name of must) {
      const rest = must.filter((other) => other !== name);
      expect(verdict(new Frame(command, filled(rest)), version)).toBe('header-missing');
      expect(() => checkFrame(new Frame(command, filled(rest)), version)).toThrow(`needs the header ${name}`);
    }
  });

  it('may ask for a receipt where a client sends it, but on CONNECT', () => {
    const asking = ['CONNECT', 'STOMP'].includes(command) || (SERVER_COMMANDS as readonly string[]).includes(command);
    const expected = asking && open === undefined ? 'header-forbidden' : undefined;
    expect(verdict(new Frame(command, filled([...must, 'receipt'])), version)).toBe(expected);
  });

  it(open ? 'may have any other header' : 'has no other header', () => {
    for (const name of ['x-own', '__proto__', 'constructor']) {
      const expected = open ? undefined : 'header-forbidden';
      expect(verdict(new Frame(command, filled([...must, name])), version)).toBe(expected);
    }
  });

  it('has a body only where it may', () => {
    const may = version === '1.0' || ['SEND', 'MESSAGE', 'ERROR'].includes(command);
    expect(verdict(new Frame(command, filled(must), 'body'), version)).toBe(may ? undefined : 'body-forbidden');
  });
});

it('the table has every command', () => {
  for (const version of ALL) {
    expect(Object.keys(TABLE[version]).sort()).toEqual([...CLIENT_COMMANDS, ...SERVER_COMMANDS].sort());
  }
});

it.each(['send', 'HELLO', '', '__proto__', 'constructor', 'toString'])('%j is no command', (command) => {
  for (const version of ALL) {
    expect(verdict(new Frame(command), version)).toBe('command-malformed');
    expect(requiredHeaders(command, version)).toEqual([]);
  }
});
