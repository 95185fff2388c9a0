import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { createPrivateKey, createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Certificates, type Pem } from '../support/certificates.js';
import { start } from '../support/programs.js';
import { Files, serve } from '../support/stompserver.js';

// Each test runs whole processes, maybe beside others that do.
jest.setTimeout(120_000);

const files = new Files();
const certificates = new Certificates();
let own: Pem;
let other: Pem;
beforeAll(() => {
  const ca = certificates.authority();
  own = certificates.issue('own', ca);
  other = certificates.issue('other', ca);
});
afterAll(() => {
  files.remove();
  certificates.remove();
});

const text = (path: string) => readFileSync(path, 'utf8');
const key = () => createPrivateKey(text(own.key));
const damage = (pem: string) => pem.replace(/(?<=-----BEGIN[^\n]*\n)..../, '!!!!');
const file = (content: string | Buffer) => files.make(content);
const secret = { cipher: 'aes-256-cbc', passphrase: 'hunter2' };
const legacy = () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;

/** What is given for the certificate and the key, and what is said of them. */
const faults: [what: string, make: () => [cert: string, key: string], line: string][] = [
  [
    'a certificate that is no PEM',
    () => [file('garbage'), own.key],
    '--certfile <cert> holds no certificate: it has to be PEM, with a line -----BEGIN CERTIFICATE-----',
  ],
  [
    'a certificate that is DER',
    () => [file(new X509Certificate(text(own.cert)).raw), own.key],
    '--certfile <cert> is a certificate, but not PEM: make it so by openssl x509 -inform der -in <cert> -out NEW',
  ],
  [
    'a key in place of the certificate',
    () => [own.key, own.cert],
    '--certfile <cert> holds a private key and no certificate: is it the file for the key?',
  ],
  [
    'a damaged certificate behind a good one',
    () => [file(text(own.cert) + damage(text(other.cert))), own.key],
    '--certfile <cert> is damaged: certificate 2 of 2 in it cannot be read; copy it anew',
  ],
  [
    'an empty key',
    () => [own.cert, file('')],
    '--keyfile <key> holds no private key: it has to be PEM, with a line -----BEGIN PRIVATE KEY-----',
  ],
  [
    'a certificate in place of the key',
    () => [own.cert, own.cert],
    '--keyfile <key> holds no private key but a certificate: it has to be PEM, with a line -----BEGIN PRIVATE KEY-----',
  ],
  [
    'a public key in place of the key',
    () => [own.cert, file(createPublicKey(key()).export({ type: 'spki', format: 'pem' }).toString())],
    '--keyfile <key> holds no private key: it has to be PEM, with a line -----BEGIN PRIVATE KEY-----',
  ],
  [
    'a key that is DER',
    () => [own.cert, file(key().export({ type: 'pkcs8', format: 'der' }))],
    '--keyfile <key> is a private key, but not PEM: make it so by openssl pkey -inform der -in <key> -out NEW',
  ],
  [
    'a key that is encrypted',
    () => [own.cert, file(key().export({ type: 'pkcs8', format: 'pem', ...secret }))],
    '--keyfile <key> is encrypted, and there is no option for its passphrase: write the key without one, by openssl pkey -in <key> -out NEW, for nobody else to read',
  ],
  [
    'a key that is encrypted in the old way',
    () => [own.cert, file(legacy().export({ type: 'pkcs1', format: 'pem', ...secret }))],
    '--keyfile <key> is encrypted, and there is no option for its passphrase: write the key without one, by openssl pkey -in <key> -out NEW, for nobody else to read',
  ],
  [
    'a damaged key',
    () => [own.cert, file(damage(text(own.key)))],
    '--keyfile <key> is damaged: the private key in it cannot be read; copy it anew',
  ],
  [
    'the key of another certificate',
    () => [own.cert, other.key],
    '--keyfile <key> is not the key of --certfile <cert>: give the key that the certificate was made for; of several certificates in a file its own comes first',
  ],
];

describe.each(faults)('%s is told in words, with the way out', (_what, make, line) => {
  it.each([
    ['stompserver', 1, []],
    ['stomper', 2, ['--topic', '/queue/a']],
    ['printer', 2, ['--topic', '/queue/a']],
  ] as const)('by %s', async (name, code, options) => {
    const [certfile, keyfile] = make();
    const program = start(name, ...options, '--tls', 'true', '--certfile', certfile, '--keyfile', keyfile);
    expect((await program.exited).code).toBe(code);
    const told = line.replaceAll('<cert>', certfile).replaceAll('<key>', keyfile);
    const [first = ''] = program.stderr.split('\n');
    expect(first.replace(/; see \w+ --help$/, '')).toBe(`${name}: cannot use TLS: ${told}`);
    expect(program.stderr).not.toMatch(/error:|routines/);
  });
});

it('a certificate of a virtual host that cannot be used is named with it', async () => {
  const pair = JSON.stringify({ 'mq.test': { certfile: own.cert, keyfile: other.key } });
  const options = ['--tls', 'true', '--certfile', own.cert, '--keyfile', own.key, '--vhost-certs', pair];
  const program = start('stompserver', ...options);
  expect((await program.exited).code).toBe(1);
  expect(program.stderr).toContain(`cannot use TLS: --vhost-certs mq.test keyfile ${other.key} is not the key of`);
});

it('a key that does not fit any more is told while the broker runs, and what was before goes on', async () => {
  const [cert, old] = [file(text(own.cert)), file(text(own.key))];
  const { program } = await serve('--tls', 'true', '--certfile', cert, '--keyfile', old);
  files.replace(old, text(other.key));
  await program.says(/what has changed is not used: cannot use TLS: --keyfile \S+ is not the key of --certfile/);
});
