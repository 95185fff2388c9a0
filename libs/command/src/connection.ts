import { readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import type { StompClientOptions } from 'nestjs-stomp/client';
import { formatStompUrl, parseStompUrl } from 'nestjs-stomp/wire';
import { UsageError } from './program.js';

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

/** The longest password file, in octets. */
const MAX_PASSWORD_FILE = 64 * 1024;

const TLS_WORDS: Record<string, false | true | 'strict'> = {
  ...Object.fromEntries(['false', '0', 'off', 'no', 'n', 'f'].map((word) => [word, false])),
  ...Object.fromEntries(['true', '1', 'on', 'yes', 'y', 't'].map((word) => [word, true])),
  strict: 'strict',
};

/** Adds the options that say which broker to connect to, and as whom. */
export function addConnectionOptions(command: Command): Command {
  return command
    .optionsGroup('Connection:')
    .addOption(new Option('--host <name>', 'broker to connect to (default: localhost), e.g. --host mq.example.com'))
    .addOption(new Option('--port <number>', 'its port (default: 61613, with TLS 61614), e.g. --port 61623'))
    .addOption(
      new Option(
        '--url <url>',
        'the same and more in one; repeat it for brokers to try in turn, e.g. --url stomp+tls://mq1:61614/vhost --url stomp+tls://mq2:61614/vhost',
      ).argParser((value: string, before: string[] | undefined) => [...(before ?? []), value]),
    )
    .addOption(new Option('--vhost <name>', 'virtual host (default: the name of the broker), e.g. --vhost /'))
    .addOption(new Option('--user <name>', 'user to log in as, e.g. --user admin'))
    .addOption(
      new Option(
        '--password <text>',
        'its password; others on this machine may see it for a moment, so prefer the environment variable STOMP_PASSWORD or a file',
      ),
    )
    .addOption(
      new Option('--password-file <file>', 'file whose first line is the password, e.g. --password-file ~/.mq'),
    )
    .addOption(
      new Option(
        '--tls <word>',
        'false: clear text (default); true: TLS, the certificate and the name of the broker are verified; strict: we show a certificate too (--certfile, --keyfile), e.g. --tls true --cafile ca.pem',
      ),
    )
    .addOption(new Option('--cafile <file>', 'authorities to trust, PEM (default: those of Node.js)'))
    .addOption(new Option('--certfile <file>', 'our certificate, PEM, e.g. --certfile client.pem --keyfile client.key'))
    .addOption(new Option('--keyfile <file>', 'the private key of our certificate, PEM'));
}

/**
 * What a client needs of these options.
 *
 * @throws UsageError for what does not fit together or cannot be read; its text never holds a password
 */
export function readConnection(values: ConnectionValues, env: NodeJS.ProcessEnv = process.env): StompClientOptions {
  const mode = readTlsMode(values.tls);
  const url = values.url === undefined ? [readUrl(values, mode !== false)] : checkUrls(values);
  const tls = readTls(values, mode);
  return {
    url,
    ...(values.vhost === undefined ? {} : { host: values.vhost }),
    ...(values.user === undefined ? {} : { login: values.user }),
    ...readPassword(values, env),
    ...(tls === undefined ? {} : { tls }),
  };
}

function readTlsMode(word: string | undefined): false | true | 'strict' {
  if (word === undefined) return false;
  const mode = TLS_WORDS[word.toLowerCase()];
  if (mode === undefined) throw new UsageError(`--tls ${JSON.stringify(word)}: it is true, false or strict`);
  return mode;
}

function readUrl({ host = 'localhost', port }: ConnectionValues, secure: boolean): string {
  const number = port === undefined ? (secure ? 61614 : 61613) : Number(port);
  if (!/^\d+$/.test(port ?? '0') || number > 65_535 || number === 0) {
    throw new UsageError(`--port ${JSON.stringify(port)}: it is a number from 1 to 65535`);
  }
  if (!/^[\w.:%-]+$/.test(host)) throw new UsageError(`--host ${JSON.stringify(host)}: it is a name or an address`);
  return formatStompUrl({ secure, host, port: number });
}

function checkUrls({ url = [], host, port, tls }: ConnectionValues): string[] {
  const other = host !== undefined ? '--host' : port !== undefined ? '--port' : tls !== undefined ? '--tls' : undefined;
  if (other !== undefined) throw new UsageError(`--url says that already: leave ${other} out`);
  for (const each of url) {
    try {
      parseStompUrl(each);
    } catch (error) {
      throw new UsageError(`--url: ${(error as Error).message}`);
    }
  }
  return url;
}

function readTls(values: ConnectionValues, mode: false | true | 'strict'): StompClientOptions['tls'] {
  const { cafile, certfile, keyfile } = values;
  if ((certfile === undefined) !== (keyfile === undefined)) {
    throw new UsageError('--certfile and --keyfile belong together: give both');
  }
  if (mode === 'strict' && certfile === undefined) {
    throw new UsageError('--tls strict shows a certificate of ours: give --certfile and --keyfile');
  }
  const secure = mode !== false || values.url?.some((url) => !url.startsWith('stomp:')) === true;
  const files = Object.entries({ ca: cafile, cert: certfile, key: keyfile }).filter(([, file]) => file !== undefined);
  if (!secure && files.length > 0) throw new UsageError('certificates are for TLS: add --tls true');
  if (files.length === 0) return undefined;
  return Object.fromEntries(files.map(([name, file]) => [name, readFile(file!)]));
}

function readPassword({ password, passwordFile }: ConnectionValues, env: NodeJS.ProcessEnv): { passcode?: string } {
  if (password !== undefined) return { passcode: password };
  if (passwordFile !== undefined) {
    const text = readFile(passwordFile).subarray(0, MAX_PASSWORD_FILE).toString('utf8');
    return { passcode: text.split(/\r?\n/, 1)[0] ?? '' };
  }
  return env.STOMP_PASSWORD === undefined ? {} : { passcode: env.STOMP_PASSWORD };
}

function readFile(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new UsageError(`cannot read ${file}: ${(error as NodeJS.ErrnoException).code ?? 'unknown error'}`);
  }
}
