// npm run bench: measures the broker beside a reference and other people's brokers. --help tells the options.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { check } from './check.mjs';
import { commitOf, compareWith } from './compare.mjs';
import { measureCurves } from './curves.mjs';
import { limit } from './limit.mjs';
import { brokers } from './brokers.mjs';
import { keep } from './keep.mjs';
import { scenarios } from './scenarios.mjs';
import { settle } from './servers.mjs';
import { say } from './turns.mjs';

const root = join(import.meta.dirname, '..');
const letters = Object.keys(scenarios).sort().join('');
const guarded = Object.keys(scenarios).filter((key) => scenarios[key].floor !== undefined);
const help = `usage: npm run bench -- [options]

Measures stompserver, a reference relay and what is installed of rabbitmq and activemq, in turns, the broker on one core
and the generator on another, and writes a table to bench/results/brokers.md, and brokers.json for --check. Takes a quarter
of an hour.

  --scenarios <letters>  of these, all by default; what else was measured before stays in the table:
${Object.entries(scenarios)
  .map(([key, { what }]) => `                           ${key}  ${what}\n`)
  .join('')}  --runs <n>             runs of each, of which the median counts; 5 by default, 3 with --limit
  --seconds <n>          how much CPU time of the broker a run takes, about; 1 by default
  --no-peers             without other people's brokers
  --build                builds first, which takes half a minute; npm run bench gives this, node bench/main.mjs does not

In place of that, with the same options where they apply:
  --curves               cost over messages, subscribers, connections and body size; writes curves.md and plots; 10 min
  --limit                what the generator takes of its core, and can do at most; writes limit.md; 5 min
  --compare <ref>        this tree beside that commit, built in a scratch folder; writes nothing; 5 min
  --check                fails where a ratio to the relay, or the decoder's to a scan, has fallen; writes nothing; a minute
  --help                 this

Apart from those, each with a table in bench/results; but for the last, they want npm run build first:
  node bench/codec.mjs [runs]       the decoder beside other people's parsers; codec.md; half a minute
  node bench/client.mjs [runs]      the client beside stompjs and stompit; client.md; 2 min
  node bench/start.mjs [runs]       time to start; start.md; a minute
  node bench/disk.mjs               receipts of a durable broker beside fdatasync; disk.md; half a minute
  node bench/transient.mjs          what the store costs messages that are not persistent; transient.md; 2 min
  node bench/million.mjs            a million persistent messages; million.md; 3 min
  node bench/store.mjs --help       the log of the durable store beside lmdb and classic-level; prints only; 5 min
  node --expose-gc bench/cost.mjs   much of everything: subscriptions, waiting messages; cost.md; 2 min
  npm run bench:nest -- --help      the Nest transport beside Nest's own; nest.md; 5 min

Exit codes: 0 done; 1 a run of ours failed, --check found a drop, or --limit a generator that is the narrow place;
2 wrong options.
`;

function readOptions() {
  try {
    const { values } = parseArgs({
      allowNegative: true,
      options: {
        scenarios: { type: 'string' },
        runs: { type: 'string' },
        seconds: { type: 'string', default: '1' },
        build: { type: 'boolean', default: false },
        curves: { type: 'boolean', default: false },
        peers: { type: 'boolean', default: true },
        compare: { type: 'string' },
        check: { type: 'boolean', default: false },
        limit: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    const unknown = [...(values.scenarios ?? '')].filter((key) => scenarios[key] === undefined);
    if (unknown.length > 0) throw new Error(`--scenarios: there is no ${unknown.join(', ')}, only ${letters}`);
    if (values.scenarios === '') throw new Error(`--scenarios: name some of ${letters}`);
    const modes = ['curves', 'compare', 'check', 'limit'].filter((name) => values[name] !== undefined && values[name]);
    if (modes.length > 1) throw new Error(`one of --${modes.join(', --')}, not all of them`);
    const runs = Number(values.runs ?? (values.limit ? 3 : 5));
    const seconds = Number(values.seconds);
    if (!(Number.isInteger(runs) && runs >= 1)) throw new Error(`--runs: a whole number from 1, not ${values.runs}`);
    if (!(seconds > 0 && seconds <= 20))
      throw new Error(`--seconds: a number above 0, 20 at most, not ${values.seconds}`);
    if (values.compare !== undefined) commitOf(root, values.compare);
    return { ...values, runs, seconds };
  } catch (error) {
    // What node:util adds about other ways to write it is more than one needs to know.
    const [message] = error.message.split('. ');
    process.stderr.write(`bench: ${message}; see npm run bench -- --help\n`);
    process.exit(2);
  }
}

async function main() {
  if (options.build) {
    say('building');
    execFileSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: ['ignore', 2, 2] });
  }
  settle(0);
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
  const which = (preset) => [...new Set(options.scenarios ?? preset)];
  if (options.compare !== undefined) {
    process.stdout.write(await compareWith(root, options.compare, which('ABCDFG'), options));
  } else if (options.check) {
    process.exitCode = (await check(root, which(guarded))) ? 0 : 1;
  } else if (options.limit) {
    const { text, enough } = await limit(root, which('ABCDFPWSN'), options);
    keep('limit', "The generator's limit", text);
    process.exitCode = enough ? 0 : 1;
  } else if (options.curves) {
    const { text, plots } = await measureCurves(root, options);
    const folder = keep('curves', 'What more of it costs', text);
    for (const [name, svg] of Object.entries(plots)) writeFileSync(join(folder, `${name}.svg`), svg);
  } else {
    const file = join(import.meta.dirname, 'results', 'brokers.json');
    const before = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
    const all = which(Object.keys(scenarios).join(''));
    const { text, results, complete } = await brokers(root, all, options, before);
    keep('brokers', 'Brokers', text);
    writeFileSync(file, `${JSON.stringify(results, null, 1)}\n`);
    process.exitCode = complete ? 0 : 1;
  }
}

const options = readOptions();
try {
  if (options.help) process.stdout.write(help);
  else await main();
} catch (error) {
  say(`bench: ${error.message}`);
  process.exitCode = 1;
}
