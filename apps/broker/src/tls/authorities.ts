import { X509Certificate } from 'node:crypto';
import { OptionsError } from '../options.error.js';
import { readOptionFile } from '../options.file.js';
import { blocksIn } from './blocks.js';

/** How many authorities may stand between a certificate and the one that vouches for it. */
const MOST_BETWEEN = 8;

/**
 * The authorities that vouch for clients. TLS itself looks at the certificates of new connections; this is for those that
 * are open.
 */
export class Authorities {
  private readonly roots: ReadonlySet<string>;

  private constructor(private readonly own: readonly X509Certificate[]) {
    this.roots = new Set(own.filter((each) => each.checkIssued(each)).map((each) => each.fingerprint256));
  }

  /** @throws OptionsError when the file holds what is no certificate (PEM) */
  static load(file: string): Authorities {
    const label = `certificate authorities ${file}`;
    const blocks = blocksIn(readOptionFile(file, label), label, 'CERTIFICATE');
    if (blocks.length === 0) throw new OptionsError([`${label}: holds no certificate (PEM)`]);
    try {
      return new Authorities(blocks.map((block) => new X509Certificate(block)));
    } catch {
      throw new OptionsError([`${label}: holds a certificate that cannot be read`]);
    }
  }

  /** Whether all authorities of another file are in this one, too. */
  include({ roots }: Authorities): boolean {
    return [...roots].every((root) => this.roots.has(root));
  }

  /**
   * Whether one of them has signed a certificate, or an authority in between, theirs or one that the client has shown.
   * Where the runtime does not tell what a client has shown (Node 24), those in between have to be theirs.
   */
  vouchFor(certificate: X509Certificate, between = MOST_BETWEEN): boolean {
    const { issuerCertificate: shown } = certificate;
    const issuers = [...this.own, ...(shown?.ca === true ? [shown] : [])];
    return issuers
      .filter((issuer) => certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey))
      .some((issuer) => this.roots.has(issuer.fingerprint256) || (between > 0 && this.vouchFor(issuer, between - 1)));
  }
}
