import { readFileSync } from 'node:fs';
import type { TlsOptions } from 'node:tls';
import { createSecureContext } from 'node:tls';
import type { Options } from '../options.js';

/**
 * What the listener needs for TLS; undefined for plain TCP. With `strict` a client has to show a certificate that
 * the CA has signed.
 *
 * @throws Error with one clear line when a file cannot be read or holds no certificate or key
 */
export function readTls({ tls, cafile, certfile, keyfile, crlfile, certUser }: Options): TlsOptions | undefined {
  if (tls === false) return undefined;
  const strict = tls === 'strict';
  const options: TlsOptions = {
    cert: read('certfile', certfile),
    key: read('keyfile', keyfile),
    ...(cafile === undefined ? {} : { ca: read('cafile', cafile) }),
    ...(crlfile === undefined ? {} : { crl: read('crlfile', crlfile) }),
    requestCert: strict || certUser !== undefined,
    rejectUnauthorized: strict,
    minVersion: 'TLSv1.2',
  };
  try {
    createSecureContext(options);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`cannot use the certificate ${certfile} with the key ${keyfile}: ${why}`, { cause });
  }
  return options;
}

function read(option: string, file: string | undefined): Buffer {
  try {
    return readFileSync(file ?? '');
  } catch (cause) {
    const { code = 'unknown error' } = cause as NodeJS.ErrnoException;
    throw new Error(`cannot read --${option} ${file}: ${code}`, { cause });
  }
}
