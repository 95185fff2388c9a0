import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { addConnectionOptions, Command, readConnection, UsageError } from 'nestjs-stomp-command';
import type { StompClientOptions } from 'nestjs-stomp/client';
import { Certificates, type Pem } from '../../support/certificates.js';

function connection(argv: string, env: NodeJS.ProcessEnv = {}): StompClientOptions {
  const command = addConnectionOptions(new Command('test'));
  command.parse(argv === '' ? [] : argv.split(' '), { from: 'user' });
  return readConnection(command.opts(), env);
}

function refusal(argv: string, env: NodeJS.ProcessEnv = {}): string {
  try {
    connection(argv, env);
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
  throw new Error(`accepted: ${argv}`);
}

describe('where to connect', () => {
  test('is localhost, on the port of STOMP, or of STOMP over TLS', () => {
    expect(connection('').url).toEqual(['stomp://localhost:61613']);
    expect(connection('--tls true').url).toEqual(['stomp+tls://localhost:61614']);
  });

  test('is said by --host and --port, or by --url as often as there are brokers', () => {
    expect(connection('--host ::1 --port 1234').url).toEqual(['stomp://[::1]:1234']);
    expect(connection('--url stomp://a:1 --url stomp+tls://b').url).toEqual(['stomp://a:1', 'stomp+tls://b']);
  });

  test.each([
    ['--port 0', /--port "0": it is a whole number from 1 to 65535/],
    ['--port 61613x', /--port "61613x"/],
    ['--port 65536', /--port "65536"/],
    ['--host a/b', /--host "a\/b": it is a name or an address/],
    ['--url stomp://a --host b', /leave --host out/],
    ['--url stomp://a --port 1', /leave --port out/],
    ['--url http://a', /--url: .*scheme/],
    ['--url stomp://a --tls true', /--tls true and --url contradict each other/],
    ['--url stomp+tls://a --tls false', /--tls false and --url contradict each other/],
  ])('refuses %s', (argv, message) => {
    expect(refusal(argv)).toMatch(message);
  });

  test('a URL that cannot be read does not show its password', () => {
    expect(refusal('--url http://me:geheim@host')).not.toContain('geheim');
    expect(refusal('--url me:geheim@host')).not.toContain('geheim');
    expect(refusal('--url stomp://me:geheim%@host')).not.toContain('geheim');
  });
});

describe('TLS', () => {
  const certificates = new Certificates();
  let ca: Pem;
  let own: Pem;
  beforeAll(() => {
    ca = certificates.authority();
    own = certificates.issue('own', ca);
  });
  afterAll(() => certificates.remove());

  test.each(['false', '0', 'off', 'no', 'FALSE'])('--tls %s is clear text', (word) => {
    expect(connection(`--tls ${word}`).url).toEqual(['stomp://localhost:61613']);
  });

  test.each(['true', '1', 'on', 'yes', 'True'])('--tls %s is TLS, and nothing is left unverified', (word) => {
    const options = connection(`--tls ${word} --cafile ${ca.cert}`);
    expect(options.url).toEqual(['stomp+tls://localhost:61614']);
    expect(Object.keys(options.tls ?? {})).toEqual(['ca']);
  });

  test('--tls strict shows a certificate of ours, and is refused without one', () => {
    const { url, tls } = connection(`--tls STRICT --certfile ${own.cert} --keyfile ${own.key}`);
    expect(url).toEqual(['stomp+tls://localhost:61614']);
    expect((tls?.cert as Buffer).toString()).toContain('BEGIN CERTIFICATE');
    expect((tls?.key as Buffer).toString()).toContain('PRIVATE KEY');
    expect(refusal('--tls strict')).toMatch(/give --certfile and --keyfile/);
  });

  test.each(['maybe', '', 'constructor', 'stricter'])('--tls "%s" is refused, not taken for clear text', (word) => {
    expect(refusal(`--tls=${word}`)).toMatch(/it is true, false or strict/);
  });

  test('refuses files that do not fit: a certificate without its key, another key, no TLS at all', () => {
    const other = certificates.issue('other', ca);
    expect(refusal(`--tls true --certfile ${own.cert}`)).toMatch(/--certfile and --keyfile belong together/);
    expect(refusal(`--tls true --certfile ${own.cert} --keyfile ${other.key}`)).toMatch(
      /cannot use TLS: .*is not the key of/,
    );
    expect(refusal(`--cafile ${ca.cert}`)).toMatch(/add --tls true/);
    expect(refusal(`--url stomp://a --cafile ${ca.cert}`)).toMatch(/certificates are for TLS/);
    expect(connection(`--url stomp+ssl://a --cafile ${ca.cert}`).tls).toBeDefined();
  });

  test('refuses files that cannot be read, or hold something else', () => {
    const text = join(certificates.folder, 'text');
    writeFileSync(text, 'no certificate');
    expect(refusal(`--tls true --cafile ${text}`)).toMatch(/holds no certificate/);
    expect(refusal(`--tls true --cafile ${text}.gone`)).toMatch(/cannot read .*text.gone: ENOENT/);
    expect(refusal('--tls true --cafile /dev/zero')).toMatch(/cannot read \/dev\/zero: it is larger than/);
  });
});

describe('the password', () => {
  const certificates = new Certificates();
  const file = join(certificates.folder, 'password');
  afterAll(() => certificates.remove());

  test('comes from --password, else from the first line of --password-file, else from STOMP_PASSWORD', () => {
    writeFileSync(file, 'of the: file\r\nsecond line\n');
    const env = { STOMP_PASSWORD: 'of the environment' };
    expect(connection('--user me', {}).passcode).toBeUndefined();
    expect(connection('--user me', env).passcode).toBe('of the environment');
    expect(connection(`--user me --password-file ${file}`, env).passcode).toBe('of the: file');
    expect(connection(`--password geheim --password-file ${file}`, env).passcode).toBe('geheim');
  });

  test('a password file that is not there is named', () => {
    expect(refusal(`--password-file ${file}.gone`)).toMatch(/cannot read .*password\.gone: ENOENT/);
  });
});

test('every option is explained, with an example', () => {
  for (const option of addConnectionOptions(new Command('test')).options) {
    expect(option.description).toContain('e.g. ');
  }
});
