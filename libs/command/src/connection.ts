import { closeSync, openSync, readSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { type Command, Option } from 'commander';
import type { StompClientOptions } from 'nestjs-stomp/client';
import { formatStompUrl, parseStompUrl, STOMP_PORT, STOMP_TLS_PORT } from 'nestjs-stomp/wire';
import { explainPair } from './pem.js';
import { readWhole, UsageError } from './program.js';

/** The values of the connection options, as commander gives them. */
export interface ConnectionValues {
  url?: string[];
  host?: string;
  port?: string;
  user?: string;
  password?: string;
  passwordFile?: string;
  vhost?: string;
  tls?: string;
  cafile?: string;
  certfile?: string;
  keyfile?: string;
}

/** The longest file that is read, in octets. */
const MAX_FILE = 1024 * 1024;

type TlsMode = false | true | 'strict';

const TLS_WORDS = new Map<string, TlsMode>([
  ...['false', '0', 'off', 'no', 'n', 'f'].map((word) => [word, false] as const),
  ...['true', '1', 'on', 'yes', 'y', 't'].map((word) => [word, true] as const),
  ['strict', 'strict'],
]);

/** Adds the options that say which broker to connect to, and as whom. */
export function addConnectionOptions(command: Command): Command {
  const add = (flags: string, text: string) => command.addOption(new Option(flags, text));
  command.optionsGroup('Connection:');
  add('--host <name>', 'broker to connect to (default: localhost), e.g. --host mq.example.com');
  add('--port <number>', 'its port (default: 61613, with TLS 61614), e.g. --port 61623');
  command.addOption(
    new Option(
      '--url <url>',
      'the same and more in one; repeat it for brokers to try in turn, e.g. --url stomp+tls://mq1:61614/vhost --url stomp+tls://mq2:61614/vhost',
    ).argParser((value: string, before: string[] | undefined) => [...(before ?? []), value]),
  );
  add('--vhost <name>', 'virtual host (default: the name of the broker), e.g. --vhost /');
  add('--user <name>', 'user to log in as, e.g. --user admin');
  add(
    '--password <text>',
    'its password; others on this machine may see it for a moment, so prefer a file, or the environment variable, e.g. STOMP_PASSWORD=...',
  );
  add('--password-file <file>', 'file whose first line is the password, e.g. --password-file ~/.mq');
  add(
    '--tls <word>',
    'false: clear text (default); true: TLS, the certificate and the name of the broker are verified; strict: we show a certificate too (--certfile, --keyfile), e.g. --tls true --cafile ca.pem',
  );
  add('--cafile <file>', 'authorities to trust, PEM (default: those of Node.js), e.g. --cafile ca.pem');
  add('--certfile <file>', 'our certificate, PEM, e.g. --certfile client.pem --keyfile client.key');
  return add('--keyfile <file>', 'the private key of our certificate, PEM, e.g. --keyfile client.key');
}

/**
 * What a client needs of these options.
 *
 * @throws UsageError for what does not fit together or cannot be read; its text never holds a password
 */
export function readConnection(values: ConnectionValues, env: NodeJS.ProcessEnv = process.env): StompClientOptions {
  const mode = readTlsMode(values.tls);
  const url = values.url === undefined ? [readUrl(values, mode !== false)] : checkUrls(values, mode);
  const tls = readTls(values, mode);
  return {
    url,
    ...(values.vhost === undefined ? {} : { host: values.vhost }),
    ...(values.user === undefined ? {} : { login: values.user }),
    ...readPassword(values, env),
    ...(tls === undefined ? {} : { tls }),
  };
}

function readTlsMode(word: string | undefined): TlsMode {
  if (word === undefined) return false;
  const mode = TLS_WORDS.get(word.toLowerCase());
  if (mode === undefined) throw new UsageError(`--tls ${JSON.stringify(word)}: it is true, false or strict`);
  return mode;
}

function readUrl({ host = 'localhost', port }: ConnectionValues, secure: boolean): string {
  const number = port === undefined ? (secure ? STOMP_TLS_PORT : STOMP_PORT) : readWhole('--port', port, 1, 65_535);
  if (!/^[\w.:%-]+$/.test(host)) throw new UsageError(`--host ${JSON.stringify(host)}: it is a name or an address`);
  return formatStompUrl({ secure, host, port: number });
}

function checkUrls({ url = [], host, port, tls }: ConnectionValues, mode: TlsMode): string[] {
  const other = host !== undefined ? '--host' : port !== undefined ? '--port' : undefined;
  if (other !== undefined) throw new UsageError(`--url says that already: leave ${other} out`);
  for (const each of url) {
    let secure: boolean;
    try {
      ({ secure } = parseStompUrl(each));
    } catch (error) {
      throw new UsageError(`--url: ${(error as Error).message}`);
    }
    if (tls !== undefined && secure !== (mode !== false)) {
      throw new UsageError(
        `--tls ${tls} and --url contradict each other: with TLS it is stomp+tls://, without stomp://`,
      );
    }
  }
  return url;
}

function readTls(values: ConnectionValues, mode: TlsMode): StompClientOptions['tls'] {
  const { cafile, certfile, keyfile } = values;
  if ((certfile === undefined) !== (keyfile === undefined)) {
    throw new UsageError('--certfile and --keyfile belong together: give both');
  }
  if (mode === 'strict' && certfile === undefined) {
    throw new UsageError('--tls strict shows a certificate of ours: give --certfile and --keyfile');
  }
  const secure = mode !== false || values.url?.some((url) => parseStompUrl(url).secure) === true;
  const files = Object.entries({ ca: cafile, cert: certfile, key: keyfile }).filter(([, file]) => file !== undefined);
  if (!secure && files.length > 0) throw new UsageError('certificates are for TLS: add --tls true');
  if (files.length === 0) return undefined;
  const pem = Object.fromEntries(files.map(([name, file]) => [name, readFile(file!)]));
  // OpenSSL takes a file without any certificate for an empty list.
  if (pem.ca?.includes('-----BEGIN') === false) throw new UsageError(`--cafile ${cafile}: holds no certificate (PEM)`);
  try {
    createSecureContext(pem);
  } catch (error) {
    if (certfile === undefined || keyfile === undefined) {
      throw new UsageError(`cannot use --cafile ${cafile}: ${(error as Error).message}`);
    }
    const of = (name: string, path: string) => ({ label: `--${name}file ${path}`, path, content: pem[name]! });
    throw new UsageError(`cannot use TLS: ${explainPair(of('cert', certfile), of('key', keyfile), error)}`);
  }
  return pem;
}

function readPassword({ password, passwordFile }: ConnectionValues, env: NodeJS.ProcessEnv): { passcode?: string } {
  if (password !== undefined) return { passcode: password };
  if (passwordFile !== undefined) {
    const text = readFile(passwordFile).toString('utf8');
    return { passcode: text.split(/\r?\n/, 1)[0] ?? '' };
  }
  return env.STOMP_PASSWORD === undefined ? {} : { passcode: env.STOMP_PASSWORD };
}

/** Reads one octet more than allowed at most, so that an endless file (a device, a pipe) is refused. */
function readFile(file: string): Buffer {
  const buffer = Buffer.allocUnsafe(MAX_FILE + 1);
  let length = 0;
  try {
    const descriptor = openSync(file, 'r');
    try {
      for (let count = -1; count !== 0 && length < buffer.length; length += count) {
        count = readSync(descriptor, buffer, length, buffer.length - length, null);
      }
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    throw new UsageError(`cannot read ${file}: ${(error as NodeJS.ErrnoException).code ?? 'unknown error'}`);
  }
  if (length > MAX_FILE) throw new UsageError(`cannot read ${file}: it is larger than ${MAX_FILE} octets`);
  return Buffer.from(buffer.subarray(0, length));
}
