import { readFileSync } from 'node:fs';
import { createSecureContext, type SecureContext, type SecureContextOptions, type TlsOptions } from 'node:tls';
import { findVhost } from 'nestjs-stomp/server';
import type { Options } from '../options.js';

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
    ...(cafile === undefined ? {} : { ca: read('cafile', cafile) }),
    ...(crlfile === undefined ? {} : { crl: read('crlfile', crlfile) }),
    minVersion: 'TLSv1.2' as const,
  };
  const own = { ...readPair('', { certfile, keyfile }), ...common };
  checkContext(own, `the certificate ${certfile} with the key ${keyfile}`);
  const contexts = new Map(
    Object.entries(vhostCerts).map(([vhost, pair]) => {
      const what = `the certificate ${pair.certfile} with the key ${pair.keyfile} for ${vhost}`;
      return [vhost, checkContext({ ...readPair(`vhost-certs ${vhost} `, pair), ...common }, what)];
    }),
  );
  return {
    ...own,
    requestCert: asksForCertificates(options),
    rejectUnauthorized: tls === 'strict',
    SNICallback: (name, done) => done(null, contexts.get(findVhost([...contexts.keys()], name) ?? '')),
  };
}

interface Pair {
  readonly certfile?: string;
  readonly keyfile?: string;
}

const readPair = (place: string, { certfile, keyfile }: Pair) => ({
  cert: read(`${place}certfile`, certfile),
  key: read(`${place}keyfile`, keyfile),
});

function checkContext(options: SecureContextOptions, what: string): SecureContext {
  try {
    return createSecureContext(options);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`cannot use ${what}: ${why}`, { cause });
  }
}

function read(option: string, file: string | undefined): Buffer {
  try {
    return readFileSync(file ?? '');
  } catch (cause) {
    const { code = 'unknown error' } = cause as NodeJS.ErrnoException;
    throw new Error(`cannot read --${option} ${file}: ${code}`, { cause });
  }
}
