// What a store on disk costs messages that are not persistent: the same broker with it and in memory, in turns, in CPU
// time. Exits with 1 where it costs more than is promised.
//   npm run build && node bench/transient.mjs [RUNS] [SECONDS OF CPU A RUN]
import { join } from 'node:path';
import { given, keep } from './keep.mjs';
import { table } from './report.mjs';
import { broker, durableBroker, settle } from './servers.mjs';
import { calibrate, measure, median, say } from './turns.mjs';

const [runs, seconds] = given({ runs: 15, seconds: 2 });
/** The share of the rate in memory that is promised. */
const LEAST = 0.95;
const queue = { ack: 'client-individual', destination: '/queue/bench' };
const subjects = [
  { what: 'topic 1->1', job: {} },
  { what: 'topic 1->10', job: { consumers: 10 } },
  // In a window: of what waits longer than memory allows, all goes to the disk, persistent or not.
  { what: 'queue, a receipt each, window 256', job: { ...queue, window: 256 } },
];

/** The rates of both, and the median of the ratios of neighbouring runs: what disturbs one of them disturbs the other. */
async function compare({ what, job }, [memory, disk]) {
  const whole = await calibrate(memory, job, seconds);
  await measure(disk, whole);
  const rates = { [memory.name]: [], [disk.name]: [] };
  for (let i = 0; i < runs; i++) {
    // Each goes first in half of them.
    for (const server of i % 2 === 0 ? [memory, disk] : [disk, memory]) {
      rates[server.name].push((await measure(server, whole)).perCpuSecond);
    }
  }
  const ratios = rates[disk.name].map((rate, i) => rate / rates[memory.name][i]);
  const ratio = median(ratios);
  say(`${what}: ${ratio.toFixed(3)}, ${Math.min(...ratios).toFixed(3)} to ${Math.max(...ratios).toFixed(3)}`);
  return { what, memory: median(rates[memory.name]), disk: median(rates[disk.name]), ratio };
}

const root = join(import.meta.dirname, '..');
settle(1);
const servers = [await broker(root, 'memory')];
const rows = [];
try {
  servers.push(await durableBroker(root, 'disk'));
  for (const subject of subjects) rows.push(await compare(subject, servers));
} finally {
  for (const { stop } of servers) await stop();
}
const holds = (ratio) => ratio >= LEAST;
keep(
  'transient',
  'Messages that are not persistent, with a store on disk',
  `Deliveries of 128 octets per second of the broker's CPU time, with \`--store disk --sync always\` and in memory; medians ` +
    `of ${runs} runs in turns, ratios of neighbouring runs. At least ${LEAST} is promised.\n\n` +
    table(
      ['what', 'in memory', 'with the store', 'ratio', ''],
      rows.map(({ what, memory, disk, ratio }) => [
        what,
        memory,
        disk,
        ratio.toFixed(3),
        holds(ratio) ? 'PASS' : 'FAIL',
      ]),
    ),
);
process.exitCode = rows.every(({ ratio }) => holds(ratio)) ? 0 : 1;
