// What a receipt for a persistent message costs with --store disk --sync always, beside what the disk itself gives: one
// append and one fdatasync after the other. In turns.
//   npm run build && node bench/disk.mjs [RUNS]
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { given, keep } from './keep.mjs';
import { table } from './report.mjs';
import { durableBroker, settle } from './servers.mjs';
import { measure, median, say } from './turns.mjs';

const [runs] = given({ runs: 5 });
const job = { consumers: 0, sendHeaders: ['persistent:true'], ack: 'client', destination: '/queue/bench' };
const subjects = [
  { name: '1 publisher, 1 message in flight', job: { window: 1, messages: 5_000 } },
  { name: '1 publisher, 256 in flight', job: { window: 256, messages: 50_000 } },
  { name: '16 publishers, 1 in flight each', job: { window: 1, publishers: 16, messages: 8_000 } },
  { name: '100 publishers, 1 in flight each', job: { window: 1, publishers: 100, messages: 20_000 } },
];

/** Appends of about what the store writes of such a message, each synced, a second. */
function disk() {
  const folder = mkdtempSync(join(tmpdir(), 'bench-'));
  const file = openSync(join(folder, 'log'), 'a');
  const piece = Buffer.alloc(300, 'x');
  const count = 500;
  const begin = performance.now();
  for (let i = 0; i < count; i++) {
    writeSync(file, piece);
    fdatasyncSync(file);
  }
  const seconds = (performance.now() - begin) / 1000;
  closeSync(file);
  rmSync(folder, { recursive: true });
  return count / seconds;
}

settle(0);
const server = await durableBroker(join(import.meta.dirname, '..'));
const [bare, found] = [[], subjects.map(() => [])];
try {
  for (let i = 0; i <= runs; i++) {
    // The first round is the warm-up.
    const rates = [disk()];
    for (const { job: more } of subjects) rates.push((await measure(server, { ...job, ...more })).perSecond);
    if (i === 0) continue;
    bare.push(rates[0]);
    found.forEach((list, k) => list.push(rates[k + 1]));
    say(`run ${i} of ${runs}`);
  }
} finally {
  await server.stop();
}
const rows = subjects.map(({ name }, k) => [name, median(found[k]), median(found[k].map((rate, i) => rate / bare[i]))]);
keep(
  'disk',
  'Receipts of persistent messages',
  `Messages of 128 octets, persistent and confirmed, into a queue without consumers, by the clock; medians of ${runs} runs ` +
    `in turns, ratios of neighbouring runs.\n\n` +
    table(['what', 'a second', 'of fdatasync'], [['append and fdatasync of 300 octets', median(bare), 1], ...rows]),
);
