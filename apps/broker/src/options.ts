import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Command, CommanderError, Option } from 'commander';
import type * as Yaml from 'yaml';
import { subcommands } from './commands.js';
import { OptionsAnswer, OptionsError } from './options.error.js';
import { readOptionFile } from './options.file.js';
import { optionHelp, splitList } from './options.kinds.js';
import { optionFields, type OptionName, type Options, optionSchema } from './options.schema.js';

export { OptionsAnswer, OptionsError, type Options };

const prefix = 'STOMPSERVER_';
const names = Object.keys(optionFields) as OptionName[];
/** Options whose values are never shown. */
const secrets: readonly string[] = ['users'] satisfies OptionName[];

/** A value and where it came from, in the words of an error: `flag --port`. */
interface Given {
  value: unknown;
  source: string;
}
type GivenOptions = Partial<Record<OptionName, Given>>;

/**
 * Reads the program's options from its flags, the environment (`STOMPSERVER_*`) and the file that `--config` or
 * `STOMPSERVER_CONFIG` names, in this order of precedence, and completes them with the defaults. Touches no other
 * file.
 *
 * @param argv the arguments after the program's name: `process.argv.slice(2)`
 * @throws OptionsError for whatever is wrong; OptionsAnswer for `--help` and `--version`
 */
export function parseOptions(argv: readonly string[], env: NodeJS.ProcessEnv = process.env): Options {
  const problems: string[] = [];
  const flags = readFlags(argv);
  const environment = readEnvironment(env, problems);
  const config = flags.config ?? environment.config;
  const file = typeof config?.value === 'string' && config.value !== '' ? readConfig(config.value, problems) : {};
  const given: GivenOptions = { ...file, ...environment, ...flags };

  const values = Object.fromEntries(Object.entries(given).map(([name, { value }]) => [name, value]));
  const result = optionSchema.safeParse(values);
  for (const { path, message } of result.error?.issues ?? []) {
    problems.push(describe(given, path, message));
  }
  if (!result.success || problems.length > 0) {
    throw new OptionsError(problems);
  }
  return result.data;
}

function readFlags(argv: readonly string[]): GivenOptions {
  const program = makeProgram();
  let help = '';
  program.exitOverride().configureOutput({ writeOut: (text) => (help += text), writeErr: () => undefined });
  try {
    program.parse(argv, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) {
      throw error.exitCode === 0 ? new OptionsAnswer(help) : new OptionsError([describeFlagError(error)]);
    }
    throw error;
  }
  const values = program.opts<Partial<Record<OptionName, unknown>>>();
  return gather(names, (name) => ({ value: values[name], source: `flag --${kebab(name)}` }));
}

function readEnvironment(env: NodeJS.ProcessEnv, problems: string[]): GivenOptions {
  const variables = Object.keys(env).filter((key) => key.startsWith(prefix) && !isServiceLink(key, env[key]));
  const known = new Map(names.map((name) => [variableOf(name), name]));
  for (const variable of variables.filter((key) => !known.has(key))) {
    problems.push(`environment ${variable}: ${unknown(near(variable.slice(prefix.length), variableOf))}`);
  }
  return gather(names, (name) => {
    const variable = variableOf(name);
    return { value: variables.includes(variable) ? env[variable] : undefined, source: `environment ${variable}` };
  });
}

function readConfig(path: string, problems: string[]): GivenOptions {
  const label = `config file ${path}`;
  const content = parseYaml(readOptionFile(path, label), label);
  const known = new Set(names.filter((name) => name !== 'config').map(kebab));
  for (const key of Object.keys(content).filter((key) => !known.has(key))) {
    const reason = key === 'config' ? 'cannot name another file' : unknown(near(key, kebab));
    problems.push(`${label}, key ${printable(key)}: ${reason}`);
  }
  return gather(
    names.filter((name) => known.has(kebab(name)) && Object.hasOwn(content, kebab(name))),
    (name) => ({ value: content[kebab(name)], source: `${label}, key ${kebab(name)}` }),
  );
}

/** The mapping that a YAML text holds; an empty text is an empty one. Errors never quote the text. */
function parseYaml(text: string, label: string): Record<string, unknown> {
  // Loaded only here, and at once: most starts have no configuration file and need not wait for it.
  const yaml = createRequire(import.meta.url)('yaml') as typeof Yaml;
  const document = yaml.parseDocument(text, { logLevel: 'error' });
  const [error] = document.errors;
  if (error !== undefined) {
    const [start] = error.linePos ?? [];
    const reason = error.code.toLowerCase().replaceAll('_', ' ');
    throw new OptionsError([`${label}, line ${start?.line ?? '?'}, column ${start?.col ?? '?'}: not YAML (${reason})`]);
  }
  let content: unknown;
  try {
    content = document.toJS() ?? {};
  } catch {
    throw new OptionsError([`${label}: has too many aliases`]);
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw new OptionsError([`${label}: must hold one option a line, for example port: 61613`]);
  }
  return content as Record<string, unknown>;
}

function gather(from: readonly OptionName[], read: (name: OptionName) => Given): GivenOptions {
  const entries = from.map((name) => [name, read(name)] as const);
  return Object.fromEntries(entries.filter(([, { value }]) => value !== undefined));
}

/** One line: where the value came from, the value unless it is secret, and what is wrong with it. */
function describe(given: GivenOptions, path: readonly PropertyKey[], message: string): string {
  const [name, index] = path;
  const { source, value } = given[name as OptionName] ?? { source: `option ${String(name)}`, value: undefined };
  const isList = optionHelp.get(optionFields[name as OptionName])?.takes === '<list>';
  const entries: unknown = typeof value === 'string' && isList ? splitList(value) : value;
  const place = typeof index === 'number' ? `, entry ${index + 1}` : '';
  const entry: unknown = typeof index === 'number' && Array.isArray(entries) ? entries[index] : value;
  const shown = secrets.includes(String(name)) ? '' : ` ${printable(entry)}`;
  return `${source}${place}${shown}: ${message}`;
}

/** Commander's complaint as one line. An unknown option is cut at its `=`: what follows might be a password. */
function describeFlagError({ code, message }: CommanderError): string {
  const quoted = /'(.*)'/s.exec(message)?.[1] ?? '';
  const [flag = ''] = quoted.split(/[ =]/);
  switch (code) {
    case 'commander.unknownOption': {
      const meant = near(flag, (name) => `--${kebab(name)}`) ?? /Did you mean (.*)\?/.exec(message)?.[1];
      return `flag ${printable(flag)}: ${unknown(meant)}`;
    }
    case 'commander.optionMissingArgument':
      return `flag ${flag}: needs a value, see stompserver --help`;
    case 'commander.excessArguments':
      return `arguments: only options are taken, or a command before all (${[...subcommands.keys()].join(', ')}); quote a list that holds blanks, see stompserver --help`;
    default:
      return `flags: ${message.replace(/^error: /, '').replaceAll('\n', ' ')}`;
  }
}

/** What to say of an unknown name, with the option that may be meant. */
function unknown(meant: string | undefined): string {
  return `is no option of stompserver${meant === undefined ? '' : ` (did you mean ${meant}?)`}, see stompserver --help`;
}

/** The option whose name begins like this, whatever is between the letters: `heartbeatIn`, `heartbeat_in`. */
function near(written: string, spell: (name: OptionName) => string): string | undefined {
  const letters = (text: string) => text.toLowerCase().replace(/[^a-z]/g, '');
  const wanted = letters(written);
  const name = names.find((name) => wanted.length > 2 && letters(name).startsWith(wanted));
  return name && spell(name);
}

/**
 * Kubernetes and Docker tell every container about a service named "stompserver" by variables like
 * `STOMPSERVER_SERVICE_HOST` and `STOMPSERVER_PORT=tcp://10.0.0.1:61613`. They are not meant for us.
 */
function isServiceLink(variable: string, value = ''): boolean {
  const name = variable.slice(prefix.length);
  return /^(SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP))/.test(name) || (name === 'PORT' && /^(tcp|udp):\/\//.test(value));
}

/** A value on one line. Lists and mappings are only called so: YAML lets them be endless. */
function printable(value: unknown): string {
  if (typeof value === 'object' && value !== null) {
    return Array.isArray(value) ? '(a list)' : '(a mapping)';
  }
  const text = String(JSON.stringify(value));
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function variableOf(name: string): string {
  return prefix + kebab(name).toUpperCase().replaceAll('-', '_');
}

/** The flags, made from the schema; commander only reads them, the schema judges their values. */
function makeProgram(): Command {
  const program = new Command('stompserver')
    .description('A STOMP 1.0, 1.1 and 1.2 broker. Prints one line per listener on stdout, logs on stderr.')
    .usage('[options]\n       stompserver <command> [options]');
  for (const name of names) {
    const field = optionFields[name];
    const help = optionHelp.get(field);
    if (help === undefined) {
      continue;
    }
    const preset: unknown = field.parse(undefined);
    const fallback = help.fallback ?? String(preset);
    const text = `${help.text}.\nDefault: ${fallback}.\nExample: ${help.example}`;
    const option = new Option(`--${kebab(name)} ${help.takes}`, text).helpGroup(`${help.group}:`);
    if (help.takes === '<list>') {
      option.argParser((value, previous: string[] = []) => [...previous, ...splitList(value)]);
    }
    program.addOption(option);
  }
  const other = 'Other:';
  return program
    .optionsGroup(other)
    .version(packageVersion(), '-V, --version', 'Print the version and exit')
    .addHelpOption(new Option('-h, --help', 'Print this help and exit').helpGroup(other))
    .addHelpText(
      'after',
      `
Commands, each with a --help of its own:
${[...subcommands].map(([name, { text }]) => `  ${name.padEnd(8)}${text}`).join('\n')}

Times are in milliseconds. Lists are parted by blanks or commas, or the option is
repeated. Every option can also be an environment variable (--heartbeat-in is
STOMPSERVER_HEARTBEAT_IN) or a key of the configuration file (heartbeat-in). Flags
win over the environment, and the environment over the file.`,
    );
}

function packageVersion(): string {
  const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string };
  return manifest.version;
}
