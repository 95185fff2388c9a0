// Measures the transport beside Nest's own, in turns, and prints the medians as a table.
//   npm run bench:nest -- [--rounds 5] [--seconds 1] [--only TRANSPORT] [--scenario NAME] [--prof DIR]
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Brokers, type Ports } from './brokers.js';
import type { Job } from './client.js';
import { EVENT, REQUEST, type Scenario, subjectsOf, WORK } from './subjects.js';

const help = `usage: npm run bench:nest -- [options]

The same application over STOMP and over Nest's own transports, each with a broker of its own on loopback, in turns.
Needs Debian's rabbitmq-server, mosquitto and nats-server. Writes a table to bench/results/nest.md; 5 min.

  --rounds <n>       of each, of which the median counts; 5 by default
  --seconds <n>      how long one takes, about; 1 by default
  --only <text>      transports whose name holds this; prints only
  --scenario <text>  scenarios whose name holds this; prints only
  --prof <dir>       CPU profiles of the applications
  --help             this
`;

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        rounds: { type: 'string', default: '5' },
        seconds: { type: 'string', default: '1' },
        only: { type: 'string', default: '' },
        scenario: { type: 'string', default: '' },
        prof: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    });
    const [rounds, time] = [Number(values.rounds), Number(values.seconds) * 1_000];
    if (!(Number.isInteger(rounds) && rounds >= 1)) throw new Error('--rounds: a whole number from 1');
    if (!(time > 0)) throw new Error('--seconds: a number above 0');
    return { ...values, rounds, time };
  } catch (error) {
    process.stderr.write(`bench: ${(error as Error).message.split('. ')[0]}; see npm run bench:nest -- --help\n`);
    process.exit(2);
  }
}

const values = readOptions();
const { rounds, time } = values;
if (values.help) {
  process.stdout.write(help);
  process.exit(0);
}
const RESULTS = fileURLToPath(new URL('../../results/nest.md', import.meta.url));
/** What all the others are measured by. */
const REFERENCE = 'STOMP, stompserver';
/** What is not handled within this many ms was lost. */
const LOST = 60_000;
/** What is done before anything is measured, so that the code is compiled by then. */
const WARM_UP = { events: 20_000, requests: 5_000 };

interface Measured {
  readonly name: Scenario;
  readonly job: Job;
}
const scenarios: readonly Measured[] = [
  { name: 'emit', job: { what: 'emit', pattern: EVENT, window: 256 } },
  { name: 'emit, acknowledged by outcome', job: { what: 'emit', pattern: WORK, window: 256 } },
  { name: 'send, 1 in flight', job: { what: 'send', pattern: REQUEST, window: 1 } },
  { name: 'send, 64 in flight', job: { what: 'send', pattern: REQUEST, window: 64 } },
];

interface Figures {
  /** Messages a second. */
  readonly rate: number;
  /** µs of CPU time that the two sides of the application took for one message. */
  readonly cpu: number;
}

/** The two sides of an application, a process each. */
class Pair {
  private readonly counts = new Map<Scenario, number>();
  private warm = false;

  private constructor(
    private readonly server: ChildProcess,
    private readonly client: ChildProcess,
  ) {}

  static async start(name: string, ports: Ports): Promise<Pair> {
    const server = await launch('server', name, ports);
    return new Pair(server, await launch('client', name, ports));
  }

  async measure({ name, job }: Measured): Promise<Figures> {
    if (job.what === 'send') {
      if (!this.warm) await this.send({ ...job, window: 64, count: WARM_UP.requests });
      this.warm = true;
      return this.send(job);
    }
    const count = this.counts.get(name) ?? WARM_UP.events;
    const figures = await this.emit({ ...job, count });
    this.counts.set(name, Math.max(2_000, Math.ceil((figures.rate * time) / 1_000)));
    return figures;
  }

  private async emit(job: Job & { count: number }): Promise<Figures> {
    await ask(this.server, { expect: job.count });
    const handled = once(this.server, 'message', { signal: AbortSignal.timeout(LOST) }).catch(() => {
      throw new Error(`not all of ${job.count} messages were handled within ${LOST} ms`);
    });
    const [sent, [received]] = (await Promise.all([ask(this.client, job), handled])) as [Report, [Report]];
    return { rate: (job.count / (received.at - sent.from)) * 1_000, cpu: (sent.cpu + received.cpu) / job.count };
  }

  private async send(job: Job): Promise<Figures> {
    await ask(this.server, { expect: 0 });
    const { count, from, at, cpu } = await ask(this.client, { ...job, time });
    return { rate: (count / (at - from)) * 1_000, cpu: cpu / count };
  }

  stop(): void {
    this.server.disconnect();
    this.client.disconnect();
  }
}

interface Report {
  readonly from: number;
  readonly at: number;
  readonly count: number;
  readonly cpu: number;
}

async function ask(child: ChildProcess, message: object): Promise<Report> {
  const answer = once(child, 'message', { signal: AbortSignal.timeout(LOST) }).catch(() => {
    throw new Error(`no answer within ${LOST} ms`);
  });
  child.send(message);
  return ((await answer) as [Report])[0];
}

async function launch(side: 'server' | 'client', name: string, ports: Ports): Promise<ChildProcess> {
  const main = fileURLToPath(new URL(`./${side}.js`, import.meta.url));
  const execArgv = values.prof === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', values.prof];
  const child = fork(main, [name, JSON.stringify(ports)], { execArgv });
  const ended = once(child, 'exit').then(([code]) => Promise.reject(new Error(`${name}: ${side} ended (${code})`)));
  await Promise.race([once(child, 'message'), ended]);
  ended.catch(() => undefined);
  return child;
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? NaN;
}

const brokers = new Brokers();
const pairs = new Map<string, Pair>();
try {
  const ports = await brokers.start();
  const subjects = Object.entries(subjectsOf(ports)).filter(([name]) => name.includes(values.only));
  for (const [name] of subjects) pairs.set(name, await Pair.start(name, ports));
  const [processor] = cpus();
  const atStart = loadavg()[0]?.toFixed(1);
  const rows = [
    '| scenario | transport, broker | ratio | messages/s | µs of CPU a message |',
    '| --- | --- | --: | --: | --: |',
  ];
  const say = (row: string): void => {
    rows.push(row);
    process.stdout.write(`${row}\n`);
  };
  process.stdout.write(`${rows.join('\n')}\n`);
  for (const scenario of scenarios.filter(({ name }) => name.includes(values.scenario))) {
    const results = new Map<string, Figures[]>();
    // The first round warms up, and finds out how much is enough for the time.
    for (let round = -1; round < rounds; round++) {
      for (const [name, { only }] of subjects) {
        if (!only.includes(scenario.name)) continue;
        const pair = pairs.get(name);
        if (pair === undefined) continue;
        const figures = await pair.measure(scenario).catch((error: Error) => {
          process.stderr.write(`${name}, ${scenario.name}: ${error.message}; it is left out from here\n`);
        });
        if (figures === undefined) {
          pair.stop();
          pairs.delete(name);
          results.delete(name);
          process.exitCode = 1;
          continue;
        }
        if (round >= 0) results.set(name, [...(results.get(name) ?? []), figures]);
      }
    }
    const reference = median((results.get(REFERENCE) ?? []).map(({ rate }) => rate));
    for (const [name, figures] of results) {
      const rate = median(figures.map((figure) => figure.rate));
      const cpu = median(figures.map((figure) => figure.cpu));
      const ratio = (rate / reference).toFixed(2);
      say(`| ${scenario.name} | ${name} | ${ratio} | ${rate.toFixed(0)} | ${cpu.toFixed(1)} |`);
    }
  }
  // What was asked for in part only does not take the place of the whole.
  if (values.only === '' && values.scenario === '') {
    const facts =
      `${new Date().toISOString().slice(0, 10)}; ${cpus().length} x ${processor?.model}, Node ${process.versions.node}; ` +
      `load ${atStart} at the start and ${loadavg()[0]?.toFixed(1)} at the end.`;
    const how =
      `Medians of ${rounds} runs in turns. The ratio is that of messages a second to those of ${REFERENCE}; the CPU time ` +
      'is that of both sides of the application, without the broker.';
    writeFileSync(RESULTS, `# The Nest transport beside Nest's own\n\n${facts}\n\n${how}\n\n${rows.join('\n')}\n`);
  }
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
} finally {
  for (const pair of pairs.values()) pair.stop();
  await brokers.stop();
}
