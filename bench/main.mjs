// npm run bench: measures the broker beside a reference and other people's brokers. --help tells the options.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { check } from './check.mjs';
import { compareWith } from './compare.mjs';
import { measureCurves } from './curves.mjs';
import { limit } from './limit.mjs';
import { brokers } from './brokers.mjs';
import { keep } from './keep.mjs';
import { scenarios } from './scenarios.mjs';
import { settle } from './servers.mjs';
import { say } from './turns.mjs';

const root = join(import.meta.dirname, '..');
const letters = Object.keys(scenarios).sort().join('');
const help = `usage: npm run bench -- [options]

Measures stompserver, a reference relay and what is installed of rabbitmq and activemq, in turns, the broker on one core
and the generator on another, and writes a table to bench/results/brokers.md. Takes a quarter of an hour.

  --scenarios <letters>  of these, all by default; what else was measured before stays in the table:
${Object.entries(scenarios)
  .map(([key, { what }]) => `                           ${key}  ${what}\n`)
  .join('')}  --runs <n>             runs of each, of which the median counts; 5 by default
  --seconds <n>          how much CPU time of the broker a run takes, about; 1 by default
  --no-peers             without other people's brokers

In place of that:
  --curves               cost over messages, subscribers, connections and body size; writes plots, and curves.md
  --limit                what the generator takes of its core, and can do at most; writes limit.md
  --compare <ref>        this tree beside that commit, built in a scratch folder; writes nothing
  --check                fails where a ratio to the relay is far below that of bench/results; writes nothing
  --help                 this

Exit codes: 0 done; 1 a run of ours failed, --check found a drop, or --limit a generator that is the narrow place;
2 wrong options. What needs no brokers to compare is apart: node bench/codec.mjs, client.mjs, start.mjs,
disk.mjs, cost.mjs.
`;

function readOptions() {
  try {
    const { values } = parseArgs({
      allowNegative: true,
      options: {
        scenarios: { type: 'string' },
        runs: { type: 'string', default: '5' },
        seconds: { type: 'string', default: '1' },
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
    const modes = ['curves', 'compare', 'check', 'limit'].filter((name) => values[name]);
    if (modes.length > 1) throw new Error(`one of --${modes.join(', --')}, not all of them`);
    const runs = Number(values.runs);
    const seconds = Number(values.seconds);
    if (!(runs >= 1) || !(seconds > 0)) throw new Error('--runs, --seconds: they are positive numbers');
    return { ...values, runs, seconds };
  } catch (error) {
    process.stderr.write(`bench: ${error.message}; see npm run bench -- --help\n`);
    process.exit(2);
  }
}

async function main() {
  settle(0);
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
  const which = (preset) => [...(options.scenarios ?? preset)];
  if (options.compare !== undefined) {
    process.stdout.write(await compareWith(root, options.compare, which('ABCDFG'), options));
  } else if (options.check) {
    process.exitCode = (await check(root, which('ABF'))) ? 0 : 1;
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
