import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { z } from 'zod';
import { AddressList } from './auth/addresses.js';
import { Credential } from './auth/users.js';
import { accessFields, address, requireWholeAccess, tlsFields } from './options.access.js';
import { jwtFields, requireWholeJwt } from './options.jwt.js';
import {
  boolean,
  list,
  milliseconds,
  off,
  on,
  optionHelp,
  path,
  readBy,
  readNumber,
  readWord,
  whole,
} from './options.kinds.js';
import { limitFields } from './options.limits.js';
import { policies } from './options.policy.js';
import { requireDataDir, storeFields } from './options.store.js';

const user = readBy((text) => {
  if (!text.includes(':')) {
    throw new Error('has no colon: a user is user:password (a blank or a comma in a password needs a users file)');
  }
  return Credential.parse(text);
}, 'must be text, user:password: in YAML put it in quotes, with no blank after the colon');

const users = list(user).superRefine((credentials, context) => {
  const places = new Map<string, number>();
  for (const [index, { login }] of credentials.entries()) {
    const first = places.get(login) ?? index;
    places.set(login, first);
    if (first !== index) {
      const message = `names the user that entry ${first + 1} has already named: keep one of the two`;
      context.addIssue({ code: 'custom', path: [index], message });
    }
  }
});

const hostname = z
  .string({ error: 'must be an IP address or a host name' })
  .refine((text) => isIP(text) !== 0 || /^(?!.*\.\.)[a-z\d_]([a-z\d._-]{0,252})$/i.test(text), {
    error: 'must be an IP address or a host name, for example 127.0.0.1, ::1 or localhost',
  });

/**
 * Every option, by its name in the program: `heartbeatIn` is the flag `--heartbeat-in`, the environment variable
 * `STOMPSERVER_HEARTBEAT_IN` and the key `heartbeat-in` of a configuration file. What comes in may be text (flags,
 * environment) or YAML's own types.
 */
export const optionFields = {
  host: hostname.optional().register(optionHelp, {
    group: 'Listening',
    takes: '<address>',
    text: 'Address or host name to listen on',
    fallback: '127.0.0.1 while anyone may connect without a password, else every interface, IPv6 and IPv4',
    example: '--host 192.168.1.10',
  }),
  port: whole(0, 65_535, ' (0 takes a free port)').default(61_613).register(optionHelp, {
    group: 'Listening',
    takes: '<number>',
    text: 'TCP port to listen on; 0 takes a free one, which the line printed at the start tells',
    example: '--port 61614',
  }),

  users: users.default([]).register(optionHelp, {
    group: 'Who may connect',
    takes: '<list>',
    text:
      'Users, each user:password, parted by blanks or commas. A password may hold colons, and may be a bcrypt hash; ' +
      'one with a blank or a comma goes into a YAML list or a users file. Flags are visible in the list of ' +
      'processes: prefer --users-file. Without users anyone is accepted, on loopback only',
    fallback: 'none',
    example: '--users "user1:mysecret user2:anotherpass"',
  }),
  usersFile: path.optional().register(optionHelp, {
    group: 'Who may connect',
    takes: '<file>',
    text:
      'More users, one user:password a line; # starts a comment line; passwords plain or as bcrypt hashes ' +
      '(htpasswd -B). Read again when it changes',
    fallback: 'none',
    example: '--users-file /etc/stompserver/users',
  }),
  allowAnonymous: boolean.default(false).register(optionHelp, {
    group: 'Who may connect',
    takes: '[yes|no]',
    text:
      'Accept clients that send no login: without users on any address, with users beside them, as nobody, to whom ' +
      'only rules without user and group give rights',
    fallback: 'no',
    example: '--allow-anonymous',
  }),
  vhosts: list(z.string({ error: 'must be text' }).max(255, { error: 'must have up to 255 characters' }))
    .refine((names) => names.length > 0, { error: 'must name at least one host, or * for any' })
    .default(['*'])
    .register(optionHelp, {
      group: 'Who may connect',
      takes: '<list>',
      text: 'Virtual hosts (names or globs) a client may ask for; each entry is a world of its own',
      fallback: '*, any host or none',
      example: '--vhosts "example.com *.test"',
    }),
  allow: list(address)
    .refine((entries) => entries.length > 0, { error: 'must name at least one address, or * for everyone' })
    .transform((entries) => new AddressList(entries))
    .prefault(['*'])
    .register(optionHelp, {
      group: 'Who may connect',
      takes: '<list>',
      text: 'Client addresses that may connect: addresses, ranges (CIDR) or globs',
      fallback: '*, everyone',
      example: '--allow "10.0.0.0/8 192.168.* ::1"',
    }),
  deny: list(address)
    .transform((entries) => new AddressList(entries))
    .prefault([])
    .register(optionHelp, {
      group: 'Who may connect',
      takes: '<list>',
      text: 'Client addresses that may not connect, even if allowed',
      fallback: 'none',
      example: '--deny 10.66.0.0/16',
    }),

  ...accessFields,
  ...jwtFields,

  policies: policies.default([]).register(optionHelp, {
    group: 'Destinations',
    takes: '<json>',
    text:
      'How destinations are treated, by pattern: limits, dead letters, redelivery, time to live and more. Best given ' +
      'in a configuration file, as a list of mappings; docs/policies.md names the settings',
    fallback: 'none',
    example: `--policies '[{"destination":"/queue/mail.*","max-length":10000}]'`,
  }),
  ...storeFields,
  hideServer: boolean.default(false).register(optionHelp, {
    group: 'Listening',
    takes: '[yes|no]',
    text: 'Do not tell clients the name and version of this server (the header server of CONNECTED)',
    fallback: 'no',
    example: '--hide-server',
  }),

  tls: z
    .preprocess(
      readWord,
      z.literal([false, true, 'strict'], {
        error:
          `must be one of ${off.join(' ')} (clear text), ${on.join(' ')} (TLS) ` +
          'or strict (TLS with client certificates)',
      }),
    )
    .optional()
    .register(optionHelp, {
      group: 'TLS',
      takes: '<mode>',
      text:
        'false: clear text; true: TLS 1.2 and up; strict: TLS, and clients must have a certificate that --cafile ' +
        'vouches for',
      fallback: 'false',
      example: '--tls true --certfile server.pem --keyfile server.key',
    }),
  cafile: path.optional().register(optionHelp, {
    group: 'TLS',
    takes: '<file>',
    text: 'Certificate authorities of the clients, PEM; needed for --tls strict',
    fallback: 'none',
    example: '--cafile ca.pem',
  }),
  certfile: path.optional().register(optionHelp, {
    group: 'TLS',
    takes: '<file>',
    text: "The server's certificate, with those in between, PEM; needed for TLS",
    fallback: 'none',
    example: '--certfile server.pem',
  }),
  keyfile: path.optional().register(optionHelp, {
    group: 'TLS',
    takes: '<file>',
    text: "The private key of the server's certificate, PEM; needed for TLS",
    fallback: 'none',
    example: '--keyfile server.key',
  }),

  ...tlsFields,

  heartbeatIn: milliseconds(0, ', 0 asks for none').default(10_000).register(optionHelp, {
    group: 'Heart-beats',
    takes: '<ms>',
    text: 'How often the server wants to hear from a client, in milliseconds; 0 asks for no heart-beats',
    example: '--heartbeat-in 30000',
  }),
  // A promise of "as often as 100 ms" costs nothing until a client asks for it (the slower of the two wishes wins),
  // and lets those that must notice a dead server soon do so. It is the original's default too.
  heartbeatOut: milliseconds(0, ', 0 sends none')
    .default(100)
    .register(optionHelp, {
      group: 'Heart-beats',
      takes: '<ms>',
      text:
        'How often the server can send heart-beats, in milliseconds: a client gets them as rarely as it asks, but ' +
        'never more often than this; 0 sends none',
      example: '--heartbeat-out 10000',
    }),
  heartbeatTolerance: z
    .preprocess(
      readNumber,
      z
        .number({ error: 'must be a number from 1 to 10' })
        .min(1, { error: 'must be a number from 1 to 10' })
        .max(10, { error: 'must be a number from 1 to 10' }),
    )
    .default(1.5)
    .register(optionHelp, {
      group: 'Heart-beats',
      takes: '<factor>',
      text: 'How many agreed periods a client may be silent before it counts as dead',
      example: '--heartbeat-tolerance 2',
    }),

  ...limitFields,

  idleTimeout: milliseconds(0, ', 0 for no limit')
    .default(0)
    .register(optionHelp, {
      group: 'Heart-beats',
      takes: '<ms>',
      text:
        'How long a client that agreed on no heart-beats may be silent, in milliseconds. Without a limit such clients ' +
        'are watched by TCP keep-alive alone',
      fallback: '0, for ever',
      example: '--idle-timeout 600000',
    }),

  verbose: whole(0, 5)
    .default(0)
    .register(optionHelp, {
      group: 'Logging',
      takes: '<level>',
      text:
        'What is logged, on stderr. 0: errors and warnings; 1: also start and stop; 2: connections, ERROR frames and ' +
        'refusals; 3: heart-beats and accepts; 4: each frame; 5: each header, passwords masked',
      example: '--verbose 2',
    }),
  logFormat: z.enum(['text', 'json'], { error: 'must be text or json' }).default('text').register(optionHelp, {
    group: 'Logging',
    takes: '<format>',
    text: 'text: lines to read; json: one JSON object a line',
    example: '--log-format json',
  }),

  config: path.optional().register(optionHelp, {
    group: 'Other',
    takes: '<file>',
    text: 'Configuration file in YAML: any option by its long name, without the dashes (heartbeat-in: 5000)',
    fallback: 'none',
    example: '--config /etc/stompserver.yaml',
  }),
};

export type OptionName = keyof typeof optionFields;

/** The schema of all options together, whatever they come from: each by itself, then what they mean to each other. */
export const optionSchema = z
  .strictObject(optionFields)
  .superRefine(requireTlsFiles)
  .superRefine(requireLoopbackOrUsers)
  .superRefine(requireUsersForRules)
  .superRefine(requireWholeAccess)
  .superRefine(requireWholeJwt)
  .superRefine(requireDataDir)
  .transform((options) => ({
    ...options,
    tls: options.tls ?? false,
    store: options.store ?? (options.dataDir === undefined ? 'memory' : 'disk'),
    host: options.host ?? (needsLoopback(options) ? '127.0.0.1' : everyInterface()),
  }));

/** The program's options, complete and valid. Times are in milliseconds, sizes in bytes. */
export type Options = z.output<typeof optionSchema>;

type Fields = z.output<z.ZodObject<typeof optionFields>>;

function requireTlsFiles(options: Fields, context: z.RefinementCtx): void {
  const names = ['certfile', 'keyfile', 'cafile', 'crlfile', 'certUser'] as const;
  if (options.tls === undefined) {
    // Who names a certificate expects TLS; clear text has to be said.
    const named = names.find((name) => options[name] !== undefined);
    if (named !== undefined) {
      const message = 'has no effect without TLS: add --tls true, or --tls false to mean clear text';
      context.addIssue({ code: 'custom', path: [named], message });
    }
  } else if (options.tls !== false) {
    const needed = names.slice(0, options.tls === 'strict' || options.certUser !== undefined ? 3 : 2);
    const missing = needed.filter((name) => options[name] === undefined).map((name) => `--${name}`);
    if (missing.length > 0) {
      context.addIssue({ code: 'custom', path: ['tls'], message: `needs ${missing.join(' and ')} too` });
    }
  }
}

function requireLoopbackOrUsers(options: Fields, context: z.RefinementCtx): void {
  if (options.host !== undefined && needsLoopback(options) && !isLoopback(options.host)) {
    context.addIssue({
      code: 'custom',
      path: ['host'],
      message:
        'without users anyone may connect, so it must be a loopback address such as 127.0.0.1: ' +
        'add --users or --users-file, or --allow-anonymous to open it on purpose',
    });
  }
}

function needsLoopback(options: Fields): boolean {
  return !knowsUsers(options) && !options.allowAnonymous;
}

/** Whether clients have to show who they are. */
const knowsUsers = ({ users, usersFile, certUser, jwtKeys }: Fields) =>
  users.length > 0 || [usersFile, certUser, jwtKeys].some((option) => option !== undefined);

function requireUsersForRules(options: Fields, context: z.RefinementCtx): void {
  if (options.rules !== undefined && !knowsUsers(options)) {
    const message = 'need users: add --users-file, --users, --cert-user or --jwt-keys';
    context.addIssue({ code: 'custom', path: ['rules'], message });
  }
}

function isLoopback(host: string): boolean {
  return host.toLowerCase() === 'localhost' || (isIP(host) !== 0 && loopback.has(host));
}

const loopback = new AddressList(['127.0.0.0/8', '::1']);

/** `::` takes IPv4 too, but cannot be listened on where IPv6 is switched off. */
function everyInterface(): string {
  const interfaces = Object.values(networkInterfaces()).flat();
  return interfaces.some((one) => one?.family === 'IPv6') ? '::' : '0.0.0.0';
}
