import type { Options } from '../options.js';
import type { Authorities } from '../tls/authorities.js';
import type { Revoked } from '../tls/revoked.js';
import type { Tokens } from './tokens.js';
import { Users } from './users.js';

/** Where a certificate names the user: the common name of its subject, or its first alternative name of that kind. */
export type CertUser = NonNullable<Options['certUser']>;

/** How clients show who they are. */
export interface Proofs {
  readonly users: Users;
  /** Undefined where tokens are not taken. */
  readonly tokens?: Tokens;
  readonly certUser?: CertUser;
  /** The user of each name in certificates; undefined where the name is the user. */
  readonly certUsers?: Readonly<Record<string, string>>;
  /** Whether clients without a login come in beside the users. */
  readonly anonymous: boolean;
  /** Who vouches for certificates; undefined where nobody is named. */
  readonly authorities?: Authorities;
  /** Certificates that do not count any more. */
  readonly revoked?: Revoked;
}

/**
 * Reads the files of all of them. What reads tokens and certificates is loaded where it is needed.
 *
 * @param before those that were in use until now
 * @throws OptionsError for a file that cannot be used
 */
export async function loadProofs(options: Options, before?: Proofs): Promise<Proofs> {
  const { usersFile, jwtKeys, cafile, crlfile, certUser, certUsers, allowAnonymous: anonymous } = options;
  const users = await Users.load(options.users, usersFile);
  const tokens =
    jwtKeys === undefined
      ? undefined
      : await (await import('./tokens.js')).Tokens.load(jwtKeys, options, before?.tokens);
  const authorities =
    cafile === undefined ? undefined : (await import('../tls/authorities.js')).Authorities.load(cafile);
  const revoked = crlfile === undefined ? undefined : (await import('../tls/revoked.js')).Revoked.load(crlfile);
  return { users, tokens, certUser, certUsers, anonymous, authorities, revoked };
}

/** How many ways there are to show who one is; without any, everybody is nobody, and comes in. */
export function countProofs({ users, tokens, certUser }: Proofs): number {
  return users.size + (tokens === undefined ? 0 : 1) + (certUser === undefined ? 0 : 1);
}
