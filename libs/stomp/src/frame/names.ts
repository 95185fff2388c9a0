/** The commands of a client (STOMP 1.2, Client Frames). NACK and STOMP came with 1.1. */
export const CLIENT_COMMANDS = [
  'CONNECT',
  'STOMP',
  'SEND',
  'SUBSCRIBE',
  'UNSUBSCRIBE',
  'ACK',
  'NACK',
  'BEGIN',
  'COMMIT',
  'ABORT',
  'DISCONNECT',
] as const;

/** The commands of a server (STOMP 1.2, Server Frames). */
export const SERVER_COMMANDS = ['CONNECTED', 'MESSAGE', 'RECEIPT', 'ERROR'] as const;

export type ClientCommand = (typeof CLIENT_COMMANDS)[number];
export type ServerCommand = (typeof SERVER_COMMANDS)[number];
export type Command = ClientCommand | ServerCommand;

const COMMANDS: ReadonlySet<string> = new Set([...CLIENT_COMMANDS, ...SERVER_COMMANDS]);

/** Whether it is one of STOMP's commands. */
export function isCommand(command: string): boolean {
  return COMMANDS.has(command);
}

/** The commands whose frames may have a body (STOMP 1.2, Body). */
export function mayHaveBody(command: string): boolean {
  return command === 'SEND' || command === 'MESSAGE' || command === 'ERROR';
}

/** The commands whose headers are never escaped, whatever the version (STOMP 1.2, Value Encoding). */
export function isUnescaped(command: string): boolean {
  return command === 'CONNECT' || command === 'STOMP' || command === 'CONNECTED';
}

/**
 * Headers that the decoder recognises as it passes over them, a bit each, so that a frame can be asked at no cost
 * whether it has one.
 */
export const Known = {
  destination: 1 << 0,
  contentLength: 1 << 1,
  receipt: 1 << 2,
  transaction: 1 << 3,
  subscription: 1 << 4,
  messageId: 1 << 5,
  ack: 1 << 6,
  redelivered: 1 << 7,
  replyTo: 1 << 8,
  id: 1 << 9,
  deliveryCount: 1 << 10,
  /** Any of the headers that say how a broker is to treat the message, but for `persistent`. */
  delivery: 1 << 11,
  destinationType: 1 << 12,
  /** `login` or `passcode`. */
  credentials: 1 << 13,
  persistent: 1 << 14,
} as const;

/** Headers of a SEND that a broker acts on besides, in all dialects; they are passed on as well. */
const DELIVERY_HEADERS = [
  'priority',
  'expires',
  'expiration',
  'retain',
  'JMSXGroupID',
  'JMSXGroupSeq',
  'x-delay',
  'AMQ_SCHEDULED_DELAY',
  'AMQ_SCHEDULED_TIME',
  'AMQ_SCHEDULED_PERIOD',
  'AMQ_SCHEDULED_REPEAT',
  'AMQ_SCHEDULED_CRON',
];

const KNOWN_HEADERS: Record<string, number> = {
  destination: Known.destination,
  'content-length': Known.contentLength,
  receipt: Known.receipt,
  transaction: Known.transaction,
  subscription: Known.subscription,
  'message-id': Known.messageId,
  ack: Known.ack,
  redelivered: Known.redelivered,
  'reply-to': Known.replyTo,
  id: Known.id,
  'delivery-count': Known.deliveryCount,
  'destination-type': Known.destinationType,
  login: Known.credentials,
  passcode: Known.credentials,
  persistent: Known.persistent,
  ...Object.fromEntries(DELIVERY_HEADERS.map((name) => [name, Known.delivery])),
};

/** An entry of a table that finds a name by its bytes without making a string of them. */
interface Entry<T> {
  readonly bytes: Uint8Array;
  readonly value: T;
}

function tableOf<T>(entries: [string, T][]): (readonly Entry<T>[] | undefined)[] {
  const table: Entry<T>[][] = [];
  for (const [name, value] of entries) (table[name.length] ??= []).push({ bytes: Buffer.from(name), value });
  // A dense array, so that the look-up by length never leaves the fast path.
  return Array.from({ length: 32 }, (_, length) => table[length]);
}

const commands = tableOf([...COMMANDS].map((name) => [name, name]));
const headers = tableOf(Object.entries(KNOWN_HEADERS));

function find<T>(table: (readonly Entry<T>[] | undefined)[], bytes: Uint8Array, start: number, end: number) {
  const length = end - start;
  const entries = length < 32 ? table[length] : undefined;
  if (entries === undefined) return undefined;
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i]!;
    const name = entry.bytes;
    let k = 0;
    while (k < length && bytes[start + k] === name[k]) k++;
    if (k === length) return entry.value;
  }
  return undefined;
}

/** The command in `bytes`, as one shared string; undefined when it is none of STOMP's. */
export function findCommand(bytes: Uint8Array, start: number, end: number): string | undefined {
  return find(commands, bytes, start, end);
}

/** The bit of the header name in `bytes`; 0 when it is none of {@link Known}. */
export function findKnown(bytes: Uint8Array, start: number, end: number): number {
  return find(headers, bytes, start, end) ?? 0;
}
