import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { Command, ExitCode, Option, readWhole, runProgram, UsageError } from 'nestjs-stomp-command';
import { splitList } from '../options.kinds.js';
import type { Pem } from './issue.js';

interface Values {
  readonly dir?: string;
  readonly host?: readonly string[];
  readonly client?: readonly string[];
  readonly days?: string;
  readonly force?: boolean;
}

/** Of every certificate: OpenSSL takes no longer common name. */
const MAX_NAME = 64;

/**
 * `stompserver cert`: makes a certificate authority for development with certificates for a server and for clients,
 * and says how to use them.
 */
export async function run(argv: readonly string[]): Promise<void> {
  const program = makeProgram();
  await runProgram(program, () => makeFiles(program.opts<Values>()), argv);
}

const HOSTS: readonly string[] = ['localhost', '127.0.0.1', '::1'];
const CLIENTS: readonly string[] = ['client'];

function makeProgram(): Command {
  const list = (flags: string, text: string) =>
    new Option(flags, text).argParser((value: string, before: readonly string[] = []) => [
      ...before,
      ...splitList(value),
    ]);
  return new Command('stompserver cert')
    .description(
      'Makes a certificate authority of your own, and certificates for a server and for clients, to try TLS with.\n' +
        'They are for development: keep ca.key to yourself, whoever has it can be any server and any client.',
    )
    .addOption(new Option('--dir <folder>', 'where the files go (default: certs), e.g. --dir dev-certs'))
    .addOption(
      list(
        '--host <list>',
        `names and addresses of the server (default: ${HOSTS.join(', ')}), e.g. --host "mq.test,10.0.0.7"`,
      ),
    )
    .addOption(
      list(
        '--client <list>',
        `names of clients, a certificate each (default: ${CLIENTS.join()}), e.g. --client ann,bob`,
      ),
    )
    .addOption(new Option('--days <number>', 'how long they are valid (default: 365), e.g. --days 30'))
    .addOption(new Option('--force', 'replace files that are there'))
    .addHelpOption(new Option('-h, --help', 'print this help and exit'))
    .addHelpText(
      'after',
      `
It writes ca.pem and ca.key (the authority), server.pem and server.key, and NAME.pem and NAME.key of each client. Only
you can read the keys.

Exit codes: 0 done; 1 a file is there already, or cannot be written; 2 wrong options.`,
    );
}

async function makeFiles(values: Values): Promise<number> {
  const { dir = 'certs', host = HOSTS, client = CLIENTS, days = '365', force = false } = values;
  const valid = readWhole('--days', days, 1, 3650);
  const hosts = checkAll('--host', host, isHost, 'a name or an address of a machine');
  const clients = checkAll('--client', client, isName, 'a name of letters, digits and . _ @ + -');
  const taken = clients.find((name) => ['ca', 'server'].includes(name.toLowerCase()));
  if (taken !== undefined) throw new UsageError(`--client ${taken}: the files ${taken}.pem and .key are others`);

  const names = ['ca', 'server', ...clients];
  const { Authority } = await import('./issue.js');
  const authority = await Authority.make('stompserver development authority', valid);
  const [server, ...others] = await Promise.all([
    authority.issueServer(hosts),
    ...clients.map((name) => authority.issueClient(name)),
  ]);
  write(dir, names, [authority.pem, server, ...others], force);
  process.stdout.write(`${describe(dir, hosts, clients)}\n`);
  return ExitCode.done;
}

/** @throws UsageError that names the first that is none, and what it has to be */
function checkAll(option: string, list: readonly string[], fits: (text: string) => boolean, what: string): string[] {
  const wrong = list.find((text) => !fits(text));
  if (wrong !== undefined) throw new UsageError(`${option} ${JSON.stringify(wrong.slice(0, 80))}: it is ${what}`);
  if (list.length === 0) throw new UsageError(`${option}: it is ${what}, or several`);
  return [...new Set(list)];
}

const isHost = (text: string) =>
  isIP(text) !== 0 ||
  (text.length <= MAX_NAME && /^(\*\.)?[a-z\d]([a-z\d-]*[a-z\d])?(\.[a-z\d]([a-z\d-]*[a-z\d])?)*$/i.test(text));
/** A file is called so. */
const isName = (text: string) => text.length <= MAX_NAME && /^[\w@+][\w.@+-]*$/.test(text);

/** @throws Error when a file is there already, or cannot be written */
function write(dir: string, names: readonly string[], pems: readonly Pem[], force: boolean): void {
  const files = names.flatMap((name, at) => [
    { path: join(dir, `${name}.pem`), text: pems[at]!.cert, mode: 0o644 },
    { path: join(dir, `${name}.key`), text: pems[at]!.key, mode: 0o600 },
  ]);
  const there = force ? undefined : files.find(({ path }) => existsSync(path));
  if (there !== undefined) throw new Error(`${there.path} is there already: choose another --dir, or --force`);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  for (const { path, text, mode } of files) {
    // A file that was there would keep its mode.
    if (force) rmSync(path, { force: true });
    writeFileSync(path, text, { mode, flag: 'wx' });
  }
}

/** What was made, and the commands that use it. */
function describe(dir: string, hosts: readonly string[], clients: readonly string[]): string {
  const file = (name: string) => quote(join(dir, name));
  const files = ['ca', 'server', ...clients].map((name) => `${name}.pem`).join(' ');
  const [client = ''] = clients;
  const host = hosts.includes('localhost') ? '' : ` --host ${quote(hosts[0]!)}`;
  const tls = (name: string) =>
    `--tls strict --cafile ${file('ca.pem')} --certfile ${file(`${name}.pem`)} --keyfile ${file(`${name}.key`)}`;
  return `Made in ${dir}: ${files}, and their keys, for ${hosts.join(', ')}.

A broker that lets in who has a certificate; the user is the name in it:
  stompserver --port 61614 ${tls('server')} --cert-user cn

Two clients, in other terminals:
  printer --topic /queue/hello${host} ${tls(client)}
  echo hello | stomper --topic /queue/hello${host} ${tls(client)}`;
}

function quote(text: string): string {
  return /^[\w./:@+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
