/*
 * npm run crash -- --rounds N: stompserver with a durable store is killed in the midst of its work, so often, each time
 * over the same directory; what it had promised is looked for after each start, and at the end. Exits with 1 when
 * something is wrong, and keeps the directory then.
 */
import { mkdtempSync, readdirSync, rmSync, statSync, watch } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { table } from '../bench/report.mjs';
import { Ledger, RetainedLedger } from './ledger.mjs';
import { launch } from './targets.mjs';
import { Traffic } from './traffic.mjs';

const HELP = `Usage: npm run crash -- [options]

Kills stompserver --store disk with kill -9 while clients publish and consume, starts it
again, and looks for what it had promised.

  --rounds <number>  How often. Default: 25.
  --seed <number>    Of what is left to chance; moments stay what the machine makes of
                     them. Default: another one each time.
  --help             Shows this.
`;
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '25' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    help: { type: 'boolean', default: false },
  },
});
const [rounds, seed] = [Number(values.rounds), Number(values.seed)];
if (values.help) {
  process.stdout.write(HELP);
  process.exit(0);
}
if (!Number.isInteger(rounds) || rounds < 1 || !Number.isInteger(seed)) {
  process.stderr.write(HELP);
  process.exit(2);
}

/** The longest that a start may take, in ms. */
const RECOVERY = 10_000;
const random = numbers(seed);
const ledger = new Ledger();
const crash = { ledger, retained: new RetainedLedger(ledger), random };
const directory = mkdtempSync(join(tmpdir(), 'crash-'));
const sizeOf = (name) => statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0;
const begin = () => launch('--store', 'disk', '--data-dir', directory);

/** How long the last start took, in ms. */
let recovery = 1_000;
let killedStarts = 0;

/** A start that gets through; before that it may be killed in the midst of it. */
async function start() {
  for (;;) {
    const began = performance.now();
    const program = begin();
    if (random(3) === 0) {
      await Promise.race([sleep(random(recovery)), program.listening]);
      await program.end('SIGKILL');
      complain(program.said);
      killedStarts++;
      continue;
    }
    const url = await program.listening;
    recovery = performance.now() - began;
    if (recovery > RECOVERY) ledger.violations.push(`a start took ${Math.round(recovery)} ms`);
    return { program, traffic: new Traffic(crash, url) };
  }
}

/** A killed process leaves nothing that is damaged; a last write that was cut off is told of, and no fault. */
function complain(said) {
  const lines = said
    .split('\n')
    .filter((line) => /damaged|set aside|is missing|is shorter|internal error|unhandled|^\s+at /i.test(line));
  for (const line of lines) ledger.violations.push(`the broker says: ${line}`);
}

/** The moment of a kill: at random, or soon after the log has got a new file, when an older one may be cleaned. */
async function moment() {
  if (random(2) === 0) {
    await sleep(300 + random(2_200));
    return 'under load';
  }
  const stop = new globalThis.AbortController();
  const grown = new Promise((resolve) => {
    let known = readdirSync(directory).length;
    watch(directory, { signal: stop.signal }, () => {
      const { length } = readdirSync(directory);
      if (length > known) resolve(true);
      known = length;
    });
  });
  await sleep(200);
  const grew = await Promise.race([grown, sleep(3_500, false)]);
  stop.abort();
  await sleep(random(120));
  return grew ? 'new log file' : 'under load';
}

const rows = [];
for (let round = 1; round <= rounds && ledger.violations.length === 0; round++) {
  const { confirmed, doubtful } = ledger;
  const killedBefore = killedStarts;
  const { program, traffic } = await start();
  await traffic.look();
  await traffic.start();
  const when = await moment();
  await Promise.all([program.end('SIGKILL'), traffic.ended()]);
  ledger.dies();
  complain(program.said);
  const logs = readdirSync(directory).filter((name) => name.endsWith('.log'));
  const size = logs.reduce((sum, name) => sum + sizeOf(name), 0) / 2 ** 20;
  const starts = killedStarts - killedBefore;
  rows.push([
    String(round),
    when,
    String(starts),
    Math.round(recovery),
    ledger.confirmed - confirmed,
    ledger.doubtful - doubtful,
    size,
  ]);
  process.stderr.write(`${round}: killed ${when}, ${ledger.confirmed - confirmed} receipts\n`);
}

if (ledger.violations.length === 0) {
  const { program, traffic } = await start();
  await traffic.look();
  await traffic.drain();
  await traffic.leave();
  await program.end();
  // What was taken stays away after a proper end, too.
  const last = await start();
  await last.traffic.look();
  await last.traffic.leave();
  await last.program.end();
}

process.stdout.write(table(['round', 'killed', 'starts killed', 'start, ms', 'receipts', 'in doubt', 'log, MB'], rows));
process.stdout.write(
  `seed ${seed}: ${ledger.confirmed} receipts, ${ledger.doubtful} in doubt, ${ledger.again} came again\n`,
);
if (ledger.violations.length === 0) {
  rmSync(directory, { recursive: true });
  process.exit(0);
}
for (const violation of ledger.violations.slice(0, 20)) process.stderr.write(`${violation}\n`);
process.stderr.write(`${ledger.violations.length} found; seed ${seed}; the store is left in ${directory}\n`);
process.exit(1);

/** Mulberry32. */
function numbers(state) {
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}
