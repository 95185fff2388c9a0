import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The files of a certificate and its private key, PEM. */
export interface Pem {
  readonly cert: string;
  readonly key: string;
}

/** Certificates for one test file, made by openssl in a folder that `remove` takes away. */
export class Certificates {
  readonly folder = mkdtempSync(join(tmpdir(), 'nestjs-stomp-'));

  /** A certificate authority of its own. */
  authority(name = 'ca'): Pem {
    const pem = this.files(name);
    this.openssl('req', '-x509', ...this.newKey(pem), '-out', pem.cert, '-days', '2', '-subj', `/CN=${name}`);
    return pem;
  }

  /** A certificate for these names, localhost and its addresses by default, that the authority vouches for. */
  issue(
    name: string,
    authority: Pem,
    names = ['DNS:localhost', 'IP:127.0.0.1', 'IP:::1'],
    { constraints = 'CA:FALSE', days = 2, subject = `/CN=${name}`, serial = '', extension = '' } = {},
  ): Pem {
    const pem = this.files(name);
    const request = join(this.folder, `${name}.csr`);
    const extensions = join(this.folder, `${name}.ext`);
    // In a section of their own, a name may have commas.
    const list = names.map((each, at) => each.replace(/:/, `.${at} = `)).join('\n');
    const own = ['subjectAltName=@names', `basicConstraints=${constraints}`, extension].join('\n');
    writeFileSync(extensions, `${own}\n[names]\n${list}\n`);
    this.openssl('req', '-new', ...this.newKey(pem), '-out', request, '-subj', subject);
    const signer = ['-CA', authority.cert, '-CAkey', authority.key];
    const number = serial === '' ? ['-CAcreateserial'] : ['-set_serial', serial];
    const life = ['-days', String(days), '-extfile', extensions];
    this.openssl('x509', '-req', '-in', request, ...signer, ...number, ...life, '-out', pem.cert);
    return pem;
  }

  /** A client's certificate that expires in so many seconds. */
  issueBriefly(name: string, authority: Pem, seconds: number): Pem {
    const pem = this.files(name);
    const request = join(this.folder, `${name}.csr`);
    const config = join(this.folder, `${name}.cnf`);
    const database = join(this.folder, `${name}.txt`);
    writeFileSync(database, '');
    const [policy, folder] = ['policy=any\n[any]\ncommonName=supplied', `new_certs_dir=${this.folder}`];
    const own = `database=${database}\ndefault_md=sha256\nrand_serial=yes\n${folder}\n${policy}`;
    writeFileSync(config, `[ca]\ndefault_ca=own\n[own]\n${own}\n`);
    this.openssl('req', '-new', ...this.newKey(pem), '-out', request, '-subj', `/CN=${name}`);
    const end = new Date(Date.now() + seconds * 1_000).toISOString().replace(/[-:T]|\.\d+/g, '');
    const signer = ['-config', config, '-cert', authority.cert, '-keyfile', authority.key];
    this.openssl('ca', ...signer, '-batch', '-notext', '-enddate', end, '-in', request, '-out', pem.cert);
    return pem;
  }

  /** The list of what an authority has revoked: the certificates of these names. */
  revoke(authority: Pem, ...revoked: Pem[]): string {
    const database = join(this.folder, 'index.txt');
    const config = join(this.folder, 'ca.cnf');
    const crl = join(this.folder, 'crl.pem');
    writeFileSync(database, '');
    writeFileSync(config, `[ca]\ndefault_ca=own\n[own]\ndatabase=${database}\ndefault_md=sha256\ndefault_crl_days=2\n`);
    const own = ['-config', config, '-cert', authority.cert, '-keyfile', authority.key];
    for (const { cert } of revoked) this.openssl('ca', ...own, '-revoke', cert);
    this.openssl('ca', ...own, '-gencrl', '-out', crl);
    return crl;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  private files(name: string): Pem {
    return { cert: join(this.folder, `${name}.pem`), key: join(this.folder, `${name}.key`) };
  }

  private newKey(pem: Pem): string[] {
    return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', pem.key];
  }

  private openssl(...options: string[]): void {
    execFileSync('openssl', options, { stdio: 'pipe' });
  }
}
