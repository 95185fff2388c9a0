import type { X509Certificate } from 'node:crypto';
import type { AdmissionRequest, Applicant, User, UserDirectory } from 'nestjs-stomp-broker';
import { StompError } from 'nestjs-stomp/server';
import type { Authorities } from '../tls/authorities.js';
import { type CertUser, countProofs, type Proofs } from './proofs.js';
import type { Tokens } from './tokens.js';

/** Who somebody was found to be. */
class Identity implements User {
  readonly #holds: (proofs: Proofs) => boolean;
  readonly groups?: readonly string[];
  readonly expires?: number;

  /** @param holds whether it is who it was, by other proofs */
  constructor(
    readonly name: string,
    holds: (proofs: Proofs) => boolean,
    { groups, expires }: Pick<User, 'groups' | 'expires'> = {},
  ) {
    this.#holds = holds;
    this.groups = groups;
    this.expires = expires;
  }

  holdsBy(proofs: Proofs): boolean {
    return this.#holds(proofs);
  }
}

const NO_MORE = 'these credentials do not hold any more: connect with new ones';
/** Node 24 does not tell what a client has shown beside its own certificate. */
const HIDES_PATHS = Number(process.versions.node.split('.')[0]) >= 24;
/** So many changes of the authorities are remembered, for connections from before that have not logged in. */
const MOST_BEFORE = 100;
/** How often it is said that tokens cannot be checked, in ms. */
const SAID_AGAIN = 60_000;

/** Knows users by their passwords, and by their tokens and certificates where it is told to. */
export class Identities implements UserDirectory {
  private saidAt = -Infinity;
  /** The authorities there were when a certificate was shown. */
  private readonly seenUnder = new WeakMap<X509Certificate, Authorities>();
  /** Those that there were, until which moment, by `performance.now()`. */
  private readonly before: { readonly authorities: Authorities | undefined; readonly until: number }[] = [];

  /** @param warn told when the keys of tokens cannot be had */
  constructor(
    private proofs: Proofs,
    private readonly warn: (line: string) => void = () => undefined,
  ) {}

  get size(): number {
    return countProofs(this.proofs);
  }

  get anonymous(): boolean {
    return this.proofs.anonymous;
  }

  /** Other users from now on. */
  change(proofs: Proofs): void {
    this.before.push({ authorities: this.proofs.authorities, until: performance.now() });
    if (this.before.length > MOST_BEFORE) this.before.shift();
    this.proofs = proofs;
  }

  verify(login: string, passcode: string, applicant?: Applicant): boolean | Promise<boolean> {
    return this.proofs.users.verify(login, passcode, applicant);
  }

  /** A passcode counts more than a certificate; a login may only repeat what a certificate or a token says. */
  async identify({ login, passcode, certificate }: AdmissionRequest, applicant?: Applicant): Promise<User | undefined> {
    const { users, tokens } = this.proofs;
    if (passcode === undefined && certificate !== undefined) {
      const name = nameIn(certificate, this.proofs);
      if (name !== undefined) {
        const holds = (proofs: Proofs) => nameIn(certificate, proofs) === name;
        if (login !== undefined && login !== name) return undefined;
        return new Identity(name, holds, { expires: Date.parse(certificate.validTo) });
      }
    }
    if (passcode !== undefined && tokens?.takes(passcode) === true) {
      return this.byToken(tokens, passcode, login);
    }
    if (login === undefined || !(await users.verify(login, passcode ?? '', applicant))) return undefined;
    const credential = users.get(login);
    return credential && new Identity(login, (proofs) => proofs.users.holds(credential));
  }

  objection(user: unknown, certificate: X509Certificate | undefined, since: number): string | undefined {
    const { authorities, revoked } = this.proofs;
    if (certificate !== undefined) {
      if (authorities !== undefined && !this.vouchedFor(certificate, since, authorities)) return NO_MORE;
      if (revoked?.has(certificate) === true) return NO_MORE;
    }
    if (user instanceof Identity) return user.holdsBy(this.proofs) ? undefined : NO_MORE;
    // What it calls itself nobody has looked into.
    if (this.size === 0 || (user === undefined && this.anonymous)) return undefined;
    return 'there are users by now, and this session belongs to none of them: connect as one';
  }

  /** Asks for what there is to ask others for; what fails is said, and tried again with the first token. */
  async prepare(): Promise<void> {
    await this.proofs.tokens?.prepare().catch((error: Error) => this.say(error));
  }

  /**
   * TLS has looked at the certificate when the connection was opened. Where the runtime hides the path to an authority,
   * it holds for as long as none of the authorities is gone that there were then, long before a login maybe.
   */
  private vouchedFor(certificate: X509Certificate, since: number, authorities: Authorities): boolean {
    const then = this.before.find(({ until }) => since < until);
    const first = this.seenUnder.get(certificate) ?? (then === undefined ? authorities : then.authorities);
    if (first === undefined) return authorities.vouchFor(certificate);
    this.seenUnder.set(certificate, first);
    return authorities.vouchFor(certificate) || (HIDES_PATHS && authorities.include(first));
  }

  private async byToken(tokens: Tokens, token: string, login: string | undefined): Promise<User | undefined> {
    let claims;
    try {
      claims = await tokens.read(token);
    } catch (error) {
      if (error instanceof StompError) throw error;
      this.say(error as Error);
      throw new StompError('connection refused', 'tokens cannot be checked at the moment: try again later');
    }
    if (claims === undefined || (login !== undefined && login !== claims.name)) return undefined;
    const { name, proof } = claims;
    return new Identity(name, (proofs) => proofs.tokens?.holds(proof) === true, claims);
  }

  private say({ message }: Error): void {
    const now = performance.now();
    if (now - this.saidAt < SAID_AGAIN) return;
    this.saidAt = now;
    this.warn(`tokens cannot be checked: ${message}`);
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
  const wanted = { dns: 'DNS', email: 'email', uri: 'URI' }[part];
  // Names that hold a comma or a quote are written in quotes: they are nobody's, and what they hold is no name.
  const names = (certificate.subjectAltName ?? '').matchAll(/([^:,"]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/gy);
  return [...names].find(([, kind, name = '']) => kind === wanted && !name.startsWith('"'))?.[2];
}
