import { readFileSync } from 'node:fs';
import { createSecureContext, type SecureContext, type SecureContextOptions, type TlsOptions } from 'node:tls';
import { explainPair, type PemFile } from 'nestjs-stomp-command';
import { findVhost } from 'nestjs-stomp/server';
import { describeCause } from '../options.file.js';
import type { Options } from '../options.js';
import { blocksIn } from './blocks.js';

/** Whether clients are asked for a certificate: a listener does so from its start, or never. */
export const asksForCertificates = ({ tls, certUser }: Options): boolean =>
  tls === 'strict' || (tls !== false && certUser !== undefined);

/**
 * What the listener needs for TLS; undefined for plain TCP. With `strict` a client has to show a certificate that
 * the CA has signed. Which certificate the listener shows is by the name that the client has for it (SNI, RFC 6066).
 *
 * @throws Error with one clear line when a file cannot be read or holds no certificate or key
 */
export function readTls(options: Options): TlsOptions | undefined {
  const { tls, cafile, certfile, keyfile, crlfile, vhostCerts } = options;
  if (tls === false) return undefined;
  const common = {
    ...(cafile === undefined ? {} : { ca: authoritiesIn(read('cafile', cafile)) }),
    ...(crlfile === undefined ? {} : { crl: listsIn(read('crlfile', crlfile)) }),
    minVersion: 'TLSv1.2' as const,
  };
  const own = readPair('', { certfile, keyfile });
  createContext(own, common);
  const contexts = new Map(
    Object.entries(vhostCerts).map(([vhost, pair]) => {
      return [vhost, createContext(readPair(`vhost-certs ${vhost} `, pair), common)];
    }),
  );
  return {
    cert: own.cert.content,
    key: own.key.content,
    ...common,
    requestCert: asksForCertificates(options),
    rejectUnauthorized: tls === 'strict',
    SNICallback: (name, done) => done(null, contexts.get(findVhost([...contexts.keys()], name) ?? '')),
  };
}

/** The authorities in a file, of which TLS leaves out what is cut off. */
function authoritiesIn({ label, content }: PemFile): Buffer {
  blocksIn(content.toString('latin1'), label, 'CERTIFICATE');
  return content;
}

/** The lists of revoked certificates in a file: of several in one text TLS reads the first. */
function listsIn({ label, content }: PemFile): (string | Buffer)[] {
  const lists = blocksIn(content.toString('latin1'), label, 'X509 CRL');
  return lists.length === 0 ? [content] : [...lists];
}

interface Pair {
  readonly certfile?: string;
  readonly keyfile?: string;
}

const readPair = (place: string, { certfile, keyfile }: Pair) => ({
  cert: read(`${place}certfile`, certfile),
  key: read(`${place}keyfile`, keyfile),
});

function createContext({ cert, key }: Record<'cert' | 'key', PemFile>, common: SecureContextOptions): SecureContext {
  blocksIn(cert.content.toString('latin1'), cert.label, 'CERTIFICATE');
  try {
    return createSecureContext({ cert: cert.content, key: key.content, ...common });
  } catch (cause) {
    throw new Error(`cannot use TLS: ${explainPair(cert, key, cause)}`, { cause });
  }
}

function read(option: string, path = ''): PemFile {
  const label = `--${option} ${path}`;
  try {
    return { label, path, content: readFileSync(path) };
  } catch (cause) {
    throw new Error(`cannot read ${label}: ${describeCause(cause)}`, { cause });
  }
}
