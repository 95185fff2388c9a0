// A guard against lost speed that any machine can run: ratios to the relay in one run, in CPU time, beside the committed
// ones.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pair, stopAll } from './brokers.mjs';
import { scenarios } from './scenarios.mjs';
import { calibrate, measure, median, say } from './turns.mjs';

/** A ratio may fall to this share of the committed one before it is called a drop: machines, and what else they do, differ. */
const DROP = 0.35;
const ROUNDS = 5;
const SECONDS = 0.25;
/** What is worst by chance is not worst that many times. */
const TRIES = 3;

/** The median of the ratios of neighbouring runs: what disturbs one of them disturbs the other too. */
async function ratioOf(root, { job, ...scenario }) {
  const servers = await pair(root, scenario);
  try {
    const jobs = [];
    for (const server of servers) jobs.push(await calibrate(server, job, SECONDS));
    const ratios = [];
    for (let i = 0; i < ROUNDS; i++) {
      const [ours, reference] = [await measure(servers[0], jobs[0]), await measure(servers[1], jobs[1])];
      ratios.push(ours.perCpuSecond / reference.perCpuSecond);
    }
    return median(ratios);
  } finally {
    await stopAll(servers);
  }
}

/** Resolves to whether all is well. A run that fails is as good as one that is slow: it is tried again. */
export async function check(root, keys) {
  const committed = JSON.parse(readFileSync(join(import.meta.dirname, 'results/brokers.json'), 'utf8'));
  let suspects = keys.filter((key) => committed[key]?.perCpuSecond?.relay > 0);
  if (suspects.length === 0) throw new Error('--check: bench/results has none of these scenarios');
  for (let i = 0; i < TRIES && suspects.length > 0; i++) {
    const slow = [];
    for (const key of suspects) {
      const { stompserver, relay } = committed[key].perCpuSecond;
      const expected = stompserver / relay;
      const ratio = await ratioOf(root, scenarios[key]).catch((error) => say(`  ${error.message}`));
      say(`${key} ${scenarios[key].what}: ${ratio?.toFixed(2)} of the relay, committed ${expected.toFixed(2)}`);
      if (!(ratio >= DROP * expected)) slow.push(key);
    }
    suspects = slow;
  }
  for (const key of suspects) say(`bench: ${key}: below ${DROP} of what it was beside the relay, ${TRIES} times`);
  return suspects.length === 0;
}
