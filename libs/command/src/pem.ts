import { createPrivateKey, X509Certificate } from 'node:crypto';

/** A file that was given by an option. */
export interface PemFile {
  /** How errors name the option and the file, for example `--certfile server.pem`. */
  readonly label: string;
  readonly path: string;
  readonly content: Buffer;
}

const CERTIFICATES = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----[^-]*(?:-----END [A-Z0-9 ]*-----)?/g;
const KEY = /-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----/;
/** PKCS #8, and as OpenSSL wrote keys before (RFC 1421). */
const ENCRYPTED = /-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m;

/**
 * What is wrong with a certificate and its private key, which TLS does not take: in words, with the way out. What OpenSSL
 * says is of no help to whoever has to mend it.
 *
 * @param error what node:tls said, for what nothing better is known of
 */
export function explainPair(cert: PemFile, key: PemFile, error: unknown): string {
  return whyNoCertificate(cert) ?? whyNoKey(key) ?? whyNoPair(cert, key) ?? `${cert.label}: ${reasonOf(error)}`;
}

function whyNoCertificate({ label, path, content }: PemFile): string | undefined {
  const text = content.toString('latin1');
  const blocks = text.match(CERTIFICATES) ?? [];
  if (blocks.length === 0) {
    if (KEY.test(text)) return `${label} holds a private key and no certificate: is it the file for the key?`;
    if (certificateOf(content) !== undefined) {
      return `${label} is a certificate, but not PEM: make it so by openssl x509 -inform der -in ${path} -out NEW`;
    }
    return `${label} holds no certificate: it has to be PEM, with a line -----BEGIN CERTIFICATE-----`;
  }
  const bad = blocks.findIndex((block) => certificateOf(block) === undefined);
  if (bad < 0) return undefined;
  return `${label} is damaged: certificate ${bad + 1} of ${blocks.length} in it cannot be read; copy it anew`;
}

function whyNoKey({ label, path, content }: PemFile): string | undefined {
  const text = content.toString('latin1');
  if (ENCRYPTED.test(text)) {
    return (
      `${label} is encrypted, and there is no option for its passphrase: write the key without one, ` +
      `by openssl pkey -in ${path} -out NEW, for nobody else to read`
    );
  }
  if (!KEY.test(text)) {
    if (isDerKey(content)) {
      return `${label} is a private key, but not PEM: make it so by openssl pkey -inform der -in ${path} -out NEW`;
    }
    const kind = text.match(CERTIFICATES) !== null ? ' but a certificate' : '';
    return `${label} holds no private key${kind}: it has to be PEM, with a line -----BEGIN PRIVATE KEY-----`;
  }
  try {
    createPrivateKey(content);
    return undefined;
  } catch {
    return `${label} is damaged: the private key in it cannot be read; copy it anew`;
  }
}

function whyNoPair(cert: PemFile, key: PemFile): string | undefined {
  const first = certificateOf(cert.content);
  if (first?.checkPrivateKey(createPrivateKey(key.content)) !== false) return undefined;
  return (
    `${key.label} is not the key of ${cert.label}: give the key that the certificate was made for; ` +
    'of several certificates in a file its own comes first'
  );
}

function certificateOf(content: Buffer | string): X509Certificate | undefined {
  try {
    return new X509Certificate(content);
  } catch {
    return undefined;
  }
}

const isDerKey = (content: Buffer): boolean =>
  (['pkcs8', 'pkcs1', 'sec1'] as const).some((type) => {
    try {
      return createPrivateKey({ key: content, format: 'der', type }).type === 'private';
    } catch {
      return false;
    }
  });

/** What OpenSSL has against it, without where in its source that was. */
function reasonOf(error: unknown): string {
  const { reason, message } = error as Error & { reason?: string };
  return `OpenSSL does not take it: ${reason ?? message}`;
}
