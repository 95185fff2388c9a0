import type { X509Certificate } from 'node:crypto';
import type { AdmissionRequest, User, UserDirectory } from 'nestjs-stomp-broker';
import type { Credential, Users } from './users.js';

/** Where a certificate names the user: the common name of its subject, or its first alternative name of that kind. */
export type CertUser = 'cn' | 'dns' | 'email' | 'uri';

/** How clients show who they are. */
export interface Proofs {
  readonly users: Users;
  readonly certUser?: CertUser;
  /** The user of each name in certificates; undefined where the name is the user. */
  readonly certUsers?: Readonly<Record<string, string>>;
}

/** Who somebody was found to be, and by what. */
class Identity implements User {
  readonly #proof: Credential | X509Certificate;

  constructor(
    readonly name: string,
    proof: Credential | X509Certificate,
  ) {
    this.#proof = proof;
  }

  /** Whether it is who it was, by other proofs. */
  holdsBy(proofs: Proofs): boolean {
    const proof = this.#proof;
    return 'login' in proof ? proofs.users.holds(proof) : nameIn(proof, proofs) === this.name;
  }
}

/** Knows users by their passwords, and by their certificates where it is told to. */
export class Identities implements UserDirectory {
  constructor(private proofs: Proofs) {}

  get size(): number {
    return this.proofs.users.size + (this.proofs.certUser === undefined ? 0 : 1);
  }

  /** Other users from now on. */
  change(proofs: Proofs): void {
    this.proofs = proofs;
  }

  verify(login: string, passcode: string): boolean | Promise<boolean> {
    return this.proofs.users.verify(login, passcode);
  }

  /** A passcode counts more than a certificate; without one, a login may only repeat what the certificate says. */
  async identify({ login, passcode, certificate }: AdmissionRequest): Promise<User | undefined> {
    const { users } = this.proofs;
    if (passcode === undefined && certificate !== undefined) {
      const name = nameIn(certificate, this.proofs);
      if (name !== undefined)
        return login === undefined || login === name ? new Identity(name, certificate) : undefined;
    }
    if (login === undefined || !(await users.verify(login, passcode ?? ''))) return undefined;
    const credential = users.get(login);
    return credential === undefined ? undefined : new Identity(login, credential);
  }

  holds(user: unknown): boolean {
    return !(user instanceof Identity) || user.holdsBy(this.proofs);
  }
}

function nameIn(certificate: X509Certificate, { certUser, certUsers }: Proofs): string | undefined {
  const found = certUser === undefined ? undefined : readName(certificate, certUser);
  // eslint-disable-next-line no-control-regex -- names are printed, and parts of keys inside the broker
  if (found === undefined || found === '' || /[\u0000-\u001f\u007f]/.test(found)) return undefined;
  if (certUsers === undefined) return found;
  return Object.hasOwn(certUsers, found) ? certUsers[found] : undefined;
}

function readName(certificate: X509Certificate, part: CertUser): string | undefined {
  if (part === 'cn') {
    const { CN } = certificate.toLegacyObject().subject as { CN?: string | string[] };
    // Of several names none is the one.
    return typeof CN === 'string' ? CN : undefined;
  }
  const prefix = { dns: 'DNS:', email: 'email:', uri: 'URI:' }[part];
  // Names with a comma or a quote are written in quotes, and are no names of users.
  const names = certificate.subjectAltName?.split(', ') ?? [];
  return names.find((name) => name.startsWith(prefix))?.slice(prefix.length);
}
