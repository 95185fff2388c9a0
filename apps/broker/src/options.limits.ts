import { milliseconds, optionHelp, size, whole } from './options.kinds.js';

const KIB = 1024;
const MIB = 1024 ** 2;
const LARGEST = 2 ** 31 - 1;

const limit = (field: ReturnType<typeof whole>, value: number, text: string, example: string) =>
  field.default(value).register(optionHelp, { group: 'Limits', takes: '<number>', text, example });
const bytes = (least: number, most: number, value: number, shown: string, text: string, example: string) =>
  size(least, most)
    .default(value)
    .register(optionHelp, { group: 'Limits', takes: '<bytes>', text, fallback: `${value}, ${shown}`, example });
const time = (field: ReturnType<typeof milliseconds>, value: number, text: string, example: string) =>
  field.default(value).register(optionHelp, { group: 'Limits', takes: '<ms>', text, example });

/** How much of everything there may be; docs/limits.md tells what happens beyond. */
export const limitFields = {
  maxBody: bytes(1, LARGEST, 16 * MIB, '16MiB', 'Longest body of a frame', '--max-body 64MiB'),
  maxHeader: bytes(128, MIB, 10 * KIB, '10KiB', 'Longest header line of a frame', '--max-header 32KiB'),
  maxHeaders: limit(whole(10, 100_000), 1_000, 'Most headers of a frame', '--max-headers 100'),
  maxCommand: bytes(16, 64 * KIB, KIB, '1KiB', 'Longest command line of a frame', '--max-command 64'),
  maxUnauthenticated: bytes(
    256,
    LARGEST,
    64 * KIB,
    '64KiB',
    'Longest frame of a client that has not logged in',
    '--max-unauthenticated 8KiB',
  ),
  loginTimeout: time(
    milliseconds(1),
    10_000,
    'How long a connection may take to log in (CONNECT), in milliseconds',
    '--login-timeout 3000',
  ),
  frameTimeout: time(
    milliseconds(0, ', 0 for no limit'),
    300_000,
    'How long a frame of a client may take from its first byte to its last, in milliseconds; 0 for as long as it likes',
    '--frame-timeout 60000',
  ),

  maxConnections: limit(whole(1, 1_000_000), 10_000, 'Most connections at a time', '--max-connections 500'),
  maxPerAddress: limit(
    whole(1, 1_000_000),
    5_000,
    'Most connections from one address, or from one network of IPv6 (/64), at a time',
    '--max-per-address 100',
  ),
  maxPerUser: limit(whole(1, 1_000_000), 5_000, 'Most connections of one user at a time', '--max-per-user 20'),
  maxPendingLogins: limit(
    whole(1, 1_000_000),
    1_000,
    'Most connections that have not logged in; one more ends the longest silent of the address that has the most, or its newest',
    '--max-pending-logins 100',
  ),

  maxSubscriptions: limit(whole(1, 1_000_000), 10_000, 'Most subscriptions of a connection', '--max-subscriptions 100'),
  maxUnacknowledged: limit(
    whole(1, 1_000_000),
    65_535,
    'Most messages that a subscription may have unacknowledged, whatever it asks for',
    '--max-unacknowledged 1000',
  ),
  maxTransactions: limit(whole(0, 100_000), 100, 'Most open transactions of a connection', '--max-transactions 10'),
  maxTransactionFrames: limit(
    whole(1, 10_000_000),
    10_000,
    'Most frames of a transaction',
    '--max-transaction-frames 1000',
  ),
  maxTransactionBytes: bytes(
    1,
    LARGEST,
    64 * MIB,
    '64MiB',
    'What the messages in the open transactions of a connection may take',
    '--max-transaction-bytes 16MiB',
  ),
  maxOutbound: bytes(
    KIB,
    LARGEST,
    MIB,
    '1MiB',
    'What may wait for a client that does not read; beyond that it gets nothing more until it does',
    '--max-outbound 256KiB',
  ),

  maxMemory: size(64 * KIB, Number.MAX_SAFE_INTEGER)
    .optional()
    .register(optionHelp, {
      group: 'Limits',
      takes: '<bytes>',
      text:
        'What messages that wait or are on their way may take in all; beyond that publishers are not read until ' +
        'consumers have brought it down to three quarters',
      fallback: "two fifths of the machine's memory, or of Node's heap limit if that is less",
      example: '--max-memory 512MiB',
    }),
  maxDestination: limit(whole(16, 65_536), 1_024, 'Longest destination, in characters', '--max-destination 200'),
  maxDestinationDepth: limit(
    whole(1, 10_000),
    128,
    'Most levels of a destination, parted by dots and slashes',
    '--max-destination-depth 10',
  ),
  maxQueues: limit(
    whole(1, 100_000_000),
    100_000,
    'Most queues of a virtual host, durable subscriptions and temporary queues among them',
    '--max-queues 1000',
  ),
  maxLogLines: limit(
    whole(1, 1_000_000),
    1_000,
    'Most lines a second that clients can cause in the log, up to level 2; how many more there were is said in one',
    '--max-log-lines 100',
  ),
};
