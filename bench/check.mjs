// A guard against lost speed that any machine can run: ratios to a reference in one run, in CPU time. They may not fall
// below floors, nor below a share of the committed ones. Best runs are compared, not medians: what else a machine does
// makes a run slower, never faster, so that the best of several come close to those of a machine with nothing else to do.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pair, stopAll } from './brokers.mjs';
import { cpuOf } from './keep.mjs';
import { scenarios } from './scenarios.mjs';
import { calibrate, measure, say } from './turns.mjs';

/** A ratio may fall to this share of the committed one: with the same code, machines differ by that much. */
const SHARE = 0.6;
/** What the decoder does of a bare scan for NUL, at least. */
const DECODER = { what: 'the decoder', reference: 'a scan for NUL', floor: 0.12, frames: 200_000 };
/** How much CPU time of the broker a run takes, about. */
const SECONDS = 0.4;
/** Runs of each, in turns: so many in any case, and on to so many while the ratio is too low. */
const [FEWEST, MOST] = [3, 12];
/** With fresh processes, which may have compiled other code than the last. */
const TRIES = 2;

/** The ratio of the best runs. A run that fails is none. */
async function ratioOf(ours, reference, bound) {
  const best = [0, 0];
  const enough = () => best[1] > 0 && best[0] / best[1] >= bound;
  for (let i = 0; i < FEWEST || (i < MOST && !enough()); i++) {
    for (const [k, run] of [ours, reference].entries()) {
      const rate = await run().catch((error) => say(`  ${error.message}`));
      best[k] = Math.max(best[k], rate ?? 0);
    }
  }
  return best[1] > 0 ? best[0] / best[1] : NaN;
}

async function besideRelay(root, { job, ...scenario }, bound) {
  const servers = await pair(root, scenario);
  try {
    const runs = [];
    for (const server of servers) {
      const whole = await calibrate(server, job, SECONDS);
      runs.push(async () => (await measure(server, whole)).perCpuSecond);
    }
    return await ratioOf(...runs, bound);
  } finally {
    await stopAll(servers);
  }
}

async function besideScan(bound) {
  const { chunksOf, decoder, scan } = await import('./decoder.mjs'); // Wants a build, which no other part of this does.
  const chunks = chunksOf(DECODER.frames);
  const run = (work) => async () => {
    const { result, seconds } = await cpuOf(() => work(chunks));
    return result / seconds;
  };
  return ratioOf(run(decoder), run(scan), bound);
}

/** What is to be measured, and the least that it may come to. */
function subjects(root, keys) {
  const committed = JSON.parse(readFileSync(join(import.meta.dirname, 'results/brokers.json'), 'utf8'));
  const known = keys.filter((key) => committed[key]?.perCpuSecond?.relay > 0);
  if (known.length === 0) throw new Error('--check: bench/results has no ratios to the relay of these scenarios');
  const ofBrokers = known.map((key) => {
    const { stompserver, relay } = committed[key].perCpuSecond;
    const bound = Math.max(scenarios[key].floor ?? 0, (SHARE * stompserver) / relay);
    const what = `${key} ${scenarios[key].what}`;
    return { what, reference: 'the relay', bound, ratio: () => besideRelay(root, scenarios[key], bound) };
  });
  const { floor, what, reference } = DECODER;
  return [{ what, reference, bound: floor, ratio: () => besideScan(floor) }, ...ofBrokers];
}

/** Resolves to whether all is well. */
export async function check(root, keys) {
  let complete = true;
  for (const { what, reference, bound, ratio } of subjects(root, keys)) {
    let well = false;
    for (let i = 0; i < TRIES && !well; i++) {
      const found = await ratio().catch((error) => say(`  ${error.message}`));
      well = found >= bound;
      say(
        `${what}: ${found?.toFixed(2) ?? 'none'} of ${reference}, at least ${bound.toFixed(2)}${well ? '' : ': too low'}`,
      );
    }
    complete &&= well;
  }
  if (!complete) say('bench: something has become slower; npm run bench -- --compare REF shows beside which commit');
  return complete;
}
