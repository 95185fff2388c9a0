import { z } from 'zod';
import { list, milliseconds, optionHelp, path } from './options.kinds.js';

/** What a token may be signed by. There is no `none` among them. */
const ALGORITHMS = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
  ...['HS256', 'HS384', 'HS512'],
] as const;

/** The algorithms of shared secrets. */
export const isShared = (algorithm: string): boolean => algorithm.startsWith('HS');

/** Whether that is the address of a key set, and not a file. */
export const isUrl = (keys: string): boolean => /^[a-z][a-z\d+.-]*:\/\//i.test(keys);

const algorithmsError = `must be one or more of ${ALGORITHMS.join(', ')}`;
const names = (what: string) =>
  list(z.string().min(1).max(1024), what).refine((entries) => entries.length > 0, { error: what });
const claim = z
  .string({ error: 'must be the name of a claim' })
  .min(1, { error: 'must be the name of a claim' })
  .max(1024);

/** Tokens (JWT, RFC 7519) in place of passcodes. */
export const jwtFields = {
  jwtKeys: path
    .superRefine(checkKeys)
    .optional()
    .register(optionHelp, {
      group: 'Tokens',
      takes: '<file or url>',
      text:
        'Keys that sign the tokens (JWT) which clients may send as their passcode: a JWK, a JWKS or PEM public keys, in a ' +
        'file that is read again when it changes, or the URL of a JWKS, which is asked for again when a token names ' +
        'another key. Needs --jwt-audience',
      fallback: 'none, tokens are not taken',
      example: '--jwt-keys https://login.example.com/jwks.json --jwt-audience stomp',
    }),
  jwtAudience: names('must be one or more audiences').optional().register(optionHelp, {
    group: 'Tokens',
    takes: '<list>',
    text: 'Whom tokens have to be meant for (the claim aud), one of these: others are for other services',
    fallback: 'none',
    example: '--jwt-keys keys.pem --jwt-audience stomp',
  }),
  jwtIssuer: names('must be one or more issuers').optional().register(optionHelp, {
    group: 'Tokens',
    takes: '<list>',
    text: 'Who has to have issued them (the claim iss), one of these',
    fallback: 'whoever has the key',
    example: '--jwt-keys keys.pem --jwt-audience stomp --jwt-issuer https://login.example.com/',
  }),
  jwtAlgorithms: list(z.enum(ALGORITHMS, { error: algorithmsError }), algorithmsError)
    .refine((algorithms) => algorithms.length > 0, { error: algorithmsError })
    .prefault(ALGORITHMS.filter((algorithm) => !isShared(algorithm)))
    .register(optionHelp, {
      group: 'Tokens',
      takes: '<list>',
      text: 'Which signatures count. Those of shared secrets (HS256, HS384, HS512) have to be named, and need a file',
      fallback: `${ALGORITHMS.filter((algorithm) => !isShared(algorithm)).join(' ')}`,
      example: '--jwt-algorithms "RS256 ES256"',
    }),
  jwtUser: claim.default('sub').register(optionHelp, {
    group: 'Tokens',
    takes: '<claim>',
    text: 'The claim that names the user; a dot leads into an object',
    example: '--jwt-user preferred_username',
  }),
  jwtGroups: claim.default('groups').register(optionHelp, {
    group: 'Tokens',
    takes: '<claim>',
    text: 'The claim with the groups, for rules: a list, or text parted by blanks; a dot leads into an object',
    example: '--jwt-groups realm_access.roles',
  }),
  jwtTolerance: milliseconds(0).default(5_000).register(optionHelp, {
    group: 'Tokens',
    takes: '<ms>',
    text: 'How far the clocks of issuers may be off, in milliseconds',
    example: '--jwt-tolerance 30000',
  }),
};

type JwtFields = z.output<z.ZodObject<typeof jwtFields>>;

function checkKeys(keys: string, context: z.RefinementCtx): void {
  if (!isUrl(keys)) return;
  const url = URL.canParse(keys) ? new URL(keys) : undefined;
  const loopback = url !== undefined && /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname);
  if (url?.protocol !== 'https:' && !(url?.protocol === 'http:' && loopback)) {
    context.addIssue('must be a file, or a URL that begins with https://; http:// is for loopback only');
  } else if (url.username !== '' || url.password !== '') {
    context.addIssue('must have no user or password in its URL');
  }
}

/** What options of tokens need of each other. */
export function requireWholeJwt(options: JwtFields, context: z.RefinementCtx): void {
  const say = (name: keyof JwtFields, message: string) => context.addIssue({ code: 'custom', path: [name], message });
  if (options.jwtKeys === undefined) {
    for (const name of ['jwtAudience', 'jwtIssuer'] as const) {
      if (options[name] !== undefined) say(name, 'has no effect without --jwt-keys');
    }
    return;
  }
  if (options.jwtAudience === undefined) {
    say('jwtKeys', 'needs --jwt-audience too: tokens that are meant for other services would come in');
  }
  if (isUrl(options.jwtKeys) && options.jwtAlgorithms.some(isShared)) {
    say('jwtAlgorithms', 'names one with a shared secret, which nobody publishes: put it into a file');
  }
}
