// npm run bench: measures the broker beside a reference and other people's brokers. --help tells the options.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { plot, table } from './report.mjs';
import { broker, on, peer, peers, pinned, relay, settle, tlsBroker } from './servers.mjs';

const root = join(import.meta.dirname, '..');
const help = `usage: npm run bench -- [options]

Measures stompserver, a reference relay and what is installed of rabbitmq and activemq, in turns, each pinned to one
core and the generator to another, and writes bench/results: a table, results.json and plots.

  --scenarios <letters>  of A B C D F G H, and T (A over TLS), W (A by a wildcard), S (A with a selector); all by default
  --runs <n>             runs of each, of which the median counts; 5 by default
  --seconds <n>          about how long one run takes; 1.5 by default
  --curves               also the plots: cost over messages, subscribers, connections and body size
  --no-peers             without other people's brokers
  --compare <ref>        this tree beside that commit, built in a scratch folder; writes nothing
  --check                fails when a ratio to the relay is far below that of bench/results; writes nothing
  --limit                what the generator can do at most, with a server that only replays; writes nothing
  --help                 this

Exit codes: 0 done; 1 a run failed, or --check found a drop; 2 wrong options.
`;

/** What is measured: `figure` says which of a run's figures counts, and `less` that less is better. */
const scenarios = {
  A: { what: 'topic 1->1, 128 B', job: {} },
  B: { what: 'topic 1->10, 128 B', job: { consumers: 10 } },
  C: { what: '10 topics, 10->10', job: { consumers: 10, publishers: 10, destinations: 10 } },
  D: { what: 'queue 1->1, client-individual', job: { ack: 'client-individual', destination: '/queue/bench' } },
  F: { what: 'topic 1->1, 64 KiB', job: { size: 65536 } },
  G: { what: 'latency at 5,000/s, p50 in µs', job: { mode: 'latency' }, figure: 'p50', less: true },
  H: { what: 'KiB an idle connection', job: { mode: 'idle', consumers: 1000 }, figure: 'kib', less: true, fresh: true },
  T: { what: 'A over TLS', job: {}, tls: true },
  W: { what: 'A by a wildcard', job: { destination: '/topic/bench.w', subscribeTo: '/topic/bench.*' }, ours: true },
  S: {
    what: 'A with a selector',
    job: { sendHeaders: ['region:EU'], subscribeHeaders: ["selector:region = 'EU'"] },
    ours: true,
  },
};
/** A ratio may fall to this share of the committed one before it is called a drop: machines differ. */
const DROP = 0.5;

const curves = {
  messages: {
    of: 'messages',
    values: [20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000],
    job: (n) => ({ messages: n }),
  },
  subscribers: { of: 'subscribers', values: [1, 10, 25, 50, 100], job: (n) => ({ consumers: n, messages: 20_000 }) },
  connections: {
    of: 'active pairs of connections',
    values: [10, 50, 100, 250, 500],
    job: (n) => ({ consumers: n, publishers: n, destinations: n, messages: 200_000 }),
  },
  body: {
    of: 'octets of body',
    values: [128, 16_384, 65_536, 131_072, 262_144],
    job: (n) => ({ size: n, messages: Math.max(2_000, Math.min(200_000, 1e9 / n)) }),
  },
};

const options = readOptions();
const say = (line) => process.stderr.write(`${line}\n`);
const median = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];

function readOptions() {
  try {
    const { values } = parseArgs({
      allowNegative: true,
      options: {
        scenarios: { type: 'string', default: 'ABCDFGHTWS' },
        runs: { type: 'string', default: '5' },
        seconds: { type: 'string', default: '1.5' },
        curves: { type: 'boolean', default: false },
        peers: { type: 'boolean', default: true },
        compare: { type: 'string' },
        check: { type: 'boolean', default: false },
        limit: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.help) process.stdout.write(help);
    const unknown = [...values.scenarios].filter((key) => scenarios[key] === undefined);
    if (unknown.length > 0) throw new Error(`--scenarios: there is no ${unknown.join(', ')}`);
    const numbers = { runs: Number(values.runs), seconds: Number(values.seconds) };
    if (!(numbers.runs >= 1) || !(numbers.seconds > 0)) throw new Error('--runs, --seconds: they are positive numbers');
    return { ...values, ...numbers };
  } catch (error) {
    process.stderr.write(`bench: ${error.message}; see npm run bench -- --help\n`);
    process.exit(2);
  }
}

let serial = 0;
/** One run. Queues are new ones each time: what a run that failed left behind is not in the next one's way. */
function measure({ name, target }, job) {
  const destination = job.destination?.startsWith('/queue/') ? { destination: `${job.destination}${++serial}` } : {};
  const subscribeHeaders = [...(target.subscribeHeaders ?? []), ...(job.subscribeHeaders ?? [])];
  const whole = JSON.stringify({ ...target, ...job, ...destination, subscribeHeaders });
  const [command, ...args] = on(1, process.execPath, join(import.meta.dirname, 'load.mjs'), whole);
  try {
    return JSON.parse(execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }));
  } catch (error) {
    throw new Error(`${name}: ${String(error.stderr).trim()}`, { cause: error });
  }
}

/** As many messages as take about the time that is asked for; finding that out is the warm-up. */
function calibrate(server, job) {
  if (job.mode === 'idle') return job;
  if (job.mode === 'latency') return { ...job, messages: 10_000 };
  let messages = job.size > 1000 ? 500 : 5_000;
  // Short runs are slow ones, so the number is not trusted before it has stopped growing much.
  for (let i = 0, last = 0; i < 6 && messages > 1.5 * last; i++) {
    last = messages;
    const { seconds } = measure(server, { ...job, messages });
    const wanted = Math.min((messages / seconds) * options.seconds, 10 * messages, 3e6);
    messages = Math.round(Math.max(messages, wanted) / 10) * 10;
  }
  return { ...job, messages };
}

/** The median of each server, measured in turns. Servers are functions that start one. */
async function compare(starts, { job, figure = 'perCpuSecond' }) {
  const servers = [];
  try {
    for (const start of starts) servers.push(await start());
    const jobs = servers.map((server) => calibrate(server, job));
    const figures = servers.map(() => []);
    // An idle connection is measured once: the memory of the next thousand is partly there already.
    for (let run = 0; run < (job.mode === 'idle' ? 1 : options.runs); run++) {
      servers.forEach((server, i) => figures[i].push(measure(server, jobs[i])[figure]));
    }
    return Object.fromEntries(servers.map(({ name }, i) => [name, median(figures[i])]));
  } finally {
    for (const { stop } of servers) await stop();
  }
}

async function measureAll(starts) {
  const results = {};
  for (const key of options.scenarios) {
    const scenario = scenarios[key];
    say(`${key} ${scenario.what}`);
    const others = scenario.ours || scenario.tls ? [] : starts.slice(2);
    const first = scenario.tls ? () => tlsBroker(root) : starts[0];
    const found = await compare([first, starts[1], ...others], scenario);
    results[key] = { what: scenario.what, less: scenario.less === true, figures: found };
    say(`  ${JSON.stringify(found)}`);
  }
  return results;
}

const ratio = ({ figures }) => Object.values(figures)[0] / figures.relay;

async function check() {
  const committed = JSON.parse(readFileSync(join(import.meta.dirname, 'results/results.json'), 'utf8')).scenarios;
  const dropped = async (keys) => {
    options.scenarios = keys;
    const now = await measureAll([() => broker(root), () => relay()]);
    return keys.filter((key) => {
      const share = ratio(now[key]) / ratio(committed[key]);
      say(`  ${key}: ${ratio(now[key]).toFixed(2)} of the relay, committed ${ratio(committed[key]).toFixed(2)}`);
      return (committed[key].less ? 1 / share : share) < DROP;
    });
  };
  // What is worst by chance is not worst twice.
  const suspects = await dropped([...options.scenarios].filter((key) => committed[key] !== undefined));
  const drops = suspects.length > 0 ? await dropped(suspects) : [];
  for (const key of drops) say(`bench: ${key} ${scenarios[key].what}: far slower beside the relay than it was`);
  return drops.length === 0 ? 0 : 1;
}

async function compareWith(ref) {
  const folder = mkdtempSync(join(tmpdir(), 'bench-'));
  const run = (command, ...args) =>
    execFileSync(command, args, { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
  execFileSync('git', ['worktree', 'add', '--detach', folder, ref], { cwd: root, stdio: 'ignore' });
  try {
    say(`building ${ref}`);
    run('npm', 'ci', '--silent');
    run('npm', 'run', '--silent', 'build');
    const lines = [];
    for (const key of options.scenarios) {
      if (scenarios[key].tls) continue;
      say(key);
      const found = await compare([() => broker(root, 'this tree'), () => broker(folder, ref)], scenarios[key]);
      const [here, there] = Object.values(found);
      lines.push([`${key} ${scenarios[key].what}`, here, there, here / there]);
    }
    return table(['scenario', 'this tree', ref, 'ratio'], lines);
  } finally {
    execFileSync('git', ['worktree', 'remove', '--force', folder], { cwd: root });
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measureCurves() {
  const found = {};
  for (const [name, { of, values, job }] of Object.entries(curves)) {
    say(`curve: ${name}`);
    const servers = [await broker(root), await relay()];
    try {
      for (const server of servers) measure(server, { messages: 200_000 }); // To be warm.
      const cost = (server, n) => median([1, 2, 3].map(() => cpuOf(measure(server, job(n)))));
      const lines = servers.map((server) => [server.name, values.map((n) => [n, cost(server, n)])]);
      found[name] = { of, lines: Object.fromEntries(lines) };
    } finally {
      for (const { stop } of servers) await stop();
    }
  }
  return found;
}

/** Milliseconds of CPU that the broker took for a run. */
const cpuOf = ({ delivered, perCpuSecond }) => (delivered / perCpuSecond) * 1000;

async function limit() {
  const rows = [];
  for (const key of ['A', 'B', 'F']) {
    const server = await relay('--blind');
    const plain = await relay();
    try {
      const job = {
        messages: key === 'F' ? 20_000 : 1_000_000 / (scenarios[key].job.consumers ?? 1),
        ...scenarios[key].job,
      };
      const [most, real] = [measure(server, job), measure(plain, job)];
      rows.push([scenarios[key].what, most.perSecond, real.perSecond, real.generatorCpu]);
    } finally {
      await server.stop();
      await plain.stop();
    }
  }
  return table(['scenario', 'deliveries/s, replayed', 'deliveries/s, relay', "generator's CPU there"], rows);
}

const facts = () => ({
  date: new Date().toISOString().slice(0, 10),
  machine: `${cpus().length} x ${cpus()[0]?.model}, ${process.platform} ${release()}, Node ${process.version}`,
  pinned,
});

async function main() {
  settle(0);
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
  if (options.limit) return void process.stdout.write(await limit());
  if (options.compare !== undefined) return void process.stdout.write(await compareWith(options.compare));
  if (options.check) return (process.exitCode = await check());
  const others = options.peers ? peers : [];
  const starts = [() => broker(root), () => relay(), ...others.map((name) => () => peer(name))];
  const results = { facts: facts(), scenarios: await measureAll(starts) };
  const folder = join(import.meta.dirname, 'results');
  mkdirSync(folder, { recursive: true });
  const names = ['stompserver', 'relay', ...others];
  const rows = Object.entries(results.scenarios).map(([key, { what, figures }]) => {
    const [ours] = Object.values(figures);
    return [`${key} ${what}`, ours, ...names.slice(1).flatMap((name) => [figures[name], ours / figures[name]])];
  });
  const heads = ['scenario', 'stompserver', ...names.slice(1).flatMap((name) => [name, 'ratio'])];
  const { date, machine } = results.facts;
  const text = `# Results\n\n${date}, ${machine}. Deliveries per second of the broker's CPU, where nothing else is said.\n\n`;
  if (options.curves) {
    results.curves = await measureCurves();
    for (const [name, curve] of Object.entries(results.curves)) {
      writeFileSync(join(folder, `${name}.svg`), plot(`CPU time over ${curve.of}`, curve.of, curve.lines));
    }
  }
  writeFileSync(join(folder, 'results.md'), text + table(heads, rows));
  writeFileSync(join(folder, 'results.json'), `${JSON.stringify(results, null, 2)}\n`);
  process.stdout.write(table(heads, rows));
}

try {
  if (!options.help) await main();
} catch (error) {
  say(`bench: ${error.message}`);
  process.exitCode = 1;
}
