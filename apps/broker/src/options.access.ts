import { ACCESS, type Access, compileRules, type Rule } from 'nestjs-stomp-broker';
import { z } from 'zod';
import { AddressList } from './auth/addresses.js';
import { list, milliseconds, optionHelp, path, readBy, readJson, whole } from './options.kinds.js';

/** Every entry is tried by itself first, so that a complaint can name it. */
export const address = readBy((text) => new AddressList([text]).entries.join(), 'must be text');

const words = (what: string) => list(z.string().min(1).max(1024), what);
const names = (key: string) => words(`${key} must be a name or a list of names`).optional();
const accessError = (key: string) => `${key} must be one or more of ${ACCESS.join(', ')}`;
const access = (key: string) =>
  list(z.enum(ACCESS as [Access, ...Access[]], { error: accessError(key) }), accessError(key)).optional();

const ruleFields = {
  destination: z.string({ error: 'destination must be a destination or a pattern of them, like /queue/orders.*' }),
  user: names('user'),
  group: names('group'),
  allow: access('allow'),
  deny: access('deny'),
};

const rule = z
  .strictObject(ruleFields, {
    error: (issue) =>
      issue.code === 'unrecognized_keys'
        ? `has the key ${JSON.stringify(issue.keys[0])}: it is one of ${Object.keys(ruleFields).join(', ')}`
        : 'must be a mapping with a destination, and allow or deny',
  })
  .transform(({ user, group, ...rest }, context): Rule => {
    const rule = { ...rest, ...(user && { users: user }), ...(group && { groups: group }) };
    if (rule.allow === undefined && rule.deny === undefined) context.addIssue('needs allow or deny');
    try {
      compileRules({ rules: [rule] });
    } catch (error) {
      context.addIssue((error as Error).message.replace(/^rule 1: /, ''));
    }
    return rule;
  });

const rulesError = 'must be a list of rules; on the command line and in the environment as JSON';
const mappingError = (example: string) => `must be a mapping, for example ${example}; as a flag or variable in JSON`;
const mapping = <Value extends z.ZodType>(value: Value, example: string) =>
  z.preprocess(readJson, z.record(z.string().min(1).max(1024), value, { error: mappingError(example) }));

/** Who clients are, and what they may do. */
export const accessFields = {
  certUser: z
    .enum(['cn', 'dns', 'email', 'uri'], { error: 'must be one of cn, dns, email, uri' })
    .optional()
    .register(optionHelp, {
      group: 'Who may connect',
      takes: '<part>',
      text:
        'Take the user from the client certificate: from the common name of its subject (cn) or from the first ' +
        'alternative name of that kind. With --tls true a certificate is asked for, but who has none may log in otherwise',
      fallback: 'none, certificates name no users',
      example: '--tls strict --cert-user cn --cafile ca.pem --certfile server.pem --keyfile server.key',
    }),
  certUsers: mapping(z.string().min(1).max(1024), 'orders.example.com: orders').optional().register(optionHelp, {
    group: 'Who may connect',
    takes: '<json>',
    text: 'The user of each name in client certificates; others are nobody. Without it the name is the user',
    fallback: 'none',
    example: `--cert-users '{"orders.example.com":"orders"}'`,
  }),
  lockoutFailures: whole(0, 1_000_000, ' (0 for no limit)')
    .default(10)
    .register(optionHelp, {
      group: 'Who may connect',
      takes: '<number>',
      text:
        'So many failed logins block a user, five times as many an address; before that, each one makes the next wait ' +
        'longer',
      example: '--lockout-failures 5',
    }),
  lockoutTime: milliseconds(1).default(300_000).register(optionHelp, {
    group: 'Who may connect',
    takes: '<ms>',
    text: 'How long a block lasts, in milliseconds, and when failures are forgotten',
    example: '--lockout-time 900000',
  }),
  proxyProtocol: list(address)
    .transform((entries) => new AddressList(entries))
    .prefault([])
    .register(optionHelp, {
      group: 'Listening',
      takes: '<list>',
      text:
        'Proxies, by address, range or glob: they begin each connection with a header of the PROXY protocol (1 or 2), ' +
        'which names the client. Nobody else is believed',
      fallback: 'none',
      example: '--proxy-protocol 10.0.0.5',
    }),

  groups: mapping(words('must be a name or a list of names'), 'staff: [ann, bob]').default({}).register(optionHelp, {
    group: 'What they may do',
    takes: '<json>',
    text: 'The members of each group that rules name',
    fallback: 'none',
    example: `--groups '{"staff":["ann","bob"]}'`,
  }),
  rules: z
    .preprocess(readJson, z.array(rule, { error: rulesError }).max(1_000, { error: 'must be 1000 rules at most' }))
    .optional()
    .register(optionHelp, {
      group: 'What they may do',
      takes: '<json>',
      text:
        'Who may read, write and manage which destinations. Once there are rules, what none of them allows is refused. ' +
        'Best given in a configuration file, which is read again when it changes; docs/access.md tells more',
      fallback: 'none, everybody may do everything',
      example: `--users ann:secret --rules '[{"destination":"/queue/orders.#","user":"ann","allow":"read write"}]'`,
    }),
  auditLog: path.optional().register(optionHelp, {
    group: 'Logging',
    takes: '<file>',
    text: 'Where logins and refusals are recorded, one JSON object a line; - is stderr',
    fallback: 'none',
    example: '--audit-log /var/log/stompserver/audit.json',
  }),
};

/** What there is to TLS besides the server's own certificate. */
export const tlsFields = {
  crlfile: path.optional().register(optionHelp, {
    group: 'TLS',
    takes: '<file>',
    text: 'Certificates that --cafile has revoked, PEM, one list for each authority; read again when it changes',
    fallback: 'none',
    example: '--tls strict --cafile ca.pem --crlfile crl.pem --certfile server.pem --keyfile server.key',
  }),
  vhostCerts: mapping(
    z.strictObject({ certfile: path, keyfile: path }, { error: 'must have a certfile and a keyfile, and no more' }),
    'mq.test: { certfile: mq.pem, keyfile: mq.key }',
  )
    .default({})
    .register(optionHelp, {
      group: 'TLS',
      takes: '<json>',
      text:
        'Certificates of virtual hosts (names or globs), for clients that connect by that name (SNI); others see ' +
        '--certfile. Read again when they change',
      fallback: 'none',
      example: `--vhost-certs '{"mq.test":{"certfile":"mq.pem","keyfile":"mq.key"}}'`,
    }),
};

type AccessFields = z.output<z.ZodObject<typeof accessFields & typeof tlsFields>>;

/** What options of access need of each other. */
export function requireWholeAccess(
  options: AccessFields & { tls?: unknown; cafile?: unknown; certfile?: unknown },
  context: z.RefinementCtx,
): void {
  const need = (name: keyof AccessFields, message: string) =>
    context.addIssue({ code: 'custom', path: [name], message });
  if (options.certUsers !== undefined && options.certUser === undefined)
    need('certUsers', 'has no effect without --cert-user');
  if (options.crlfile !== undefined && options.cafile === undefined) need('crlfile', 'needs --cafile too');
  if (Object.keys(options.vhostCerts).length > 0 && options.certfile === undefined) {
    need('vhostCerts', 'needs --certfile and --keyfile too, for clients with other names');
  }
}
