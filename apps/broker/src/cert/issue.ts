// Before the library, whose parts find each other by it.
import 'reflect-metadata';
import { KeyObject, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';

/** A certificate and its private key, PEM. */
export interface Pem {
  readonly cert: string;
  readonly key: string;
}

type KeyPair = webcrypto.CryptoKeyPair;

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const DAY = 24 * 60 * 60 * 1000;
/** Clocks of other machines may be behind. */
const LEEWAY = 60 * 60 * 1000;

/** A certificate authority for development, and what it has issued. Keys are of the curve P-256. */
export class Authority {
  private constructor(
    private readonly keys: KeyPair,
    private readonly own: x509.X509Certificate,
    private readonly days: number,
  ) {}

  /**
   * Makes a new one.
   *
   * @param name the common name of its subject
   * @param days how long it and what it issues are valid
   */
  static async make(name: string, days: number): Promise<Authority> {
    const keys = await makeKeys();
    const own = await x509.X509CertificateGenerator.createSelfSigned({
      name: [{ CN: [name] }],
      ...validity(days),
      keys,
      signingAlgorithm: algorithm,
      extensions: [
        // Nobody below it may issue certificates.
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    return new Authority(keys, own, days);
  }

  get pem(): Pem {
    return toPem(this.own, this.keys);
  }

  /** A certificate for a server that clients reach by these names and addresses. */
  issueServer(hosts: readonly string[]): Promise<Pem> {
    const names = hosts.map((host) => ({ type: isIP(host) === 0 ? ('dns' as const) : ('ip' as const), value: host }));
    return this.issue(hosts[0]!, x509.ExtendedKeyUsage.serverAuth, [new x509.SubjectAlternativeNameExtension(names)]);
  }

  /** A certificate for a client of that name. */
  issueClient(name: string): Promise<Pem> {
    return this.issue(name, x509.ExtendedKeyUsage.clientAuth, []);
  }

  private async issue(name: string, usage: x509.ExtendedKeyUsage, extensions: readonly x509.Extension[]): Promise<Pem> {
    const keys = await makeKeys();
    const cert = await x509.X509CertificateGenerator.create({
      subject: [{ CN: [name] }],
      issuer: this.own.subject,
      ...validity(this.days),
      signingKey: this.keys.privateKey,
      publicKey: keys.publicKey,
      signingAlgorithm: algorithm,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([usage]),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
        await x509.AuthorityKeyIdentifierExtension.create(this.keys.publicKey),
        ...extensions,
      ],
    });
    return toPem(cert, keys);
  }
}

function makeKeys(): Promise<KeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
}

function validity(days: number): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - LEEWAY), notAfter: new Date(now + days * DAY) };
}

function toPem(cert: x509.X509Certificate, { privateKey }: KeyPair): Pem {
  const key = KeyObject.from(privateKey).export({ type: 'pkcs8', format: 'pem' });
  return { cert: `${cert.toString('pem')}\n`, key: String(key) };
}
