// Runs of the generator, in turns.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { on } from './servers.mjs';

const run = promisify(execFile);

export const say = (line) => void process.stderr.write(`${line}\n`);

export function median(numbers) {
  const sorted = numbers.filter((number) => !Number.isNaN(number)).sort((a, b) => a - b);
  return sorted.length === 0 ? NaN : sorted[sorted.length >> 1];
}

let serial = 0;
/**
 * One run. Queues are new ones each time, unless one is to be drained: what a run that failed left behind is not in the
 * next one's way.
 */
export async function measure({ name, target }, job) {
  const fresh = job.destination?.startsWith('/queue/') && job.mode !== 'drain';
  const destination = fresh ? { destination: `${job.destination}${++serial}` } : {};
  const subscribeHeaders = [...(target.subscribeHeaders ?? []), ...(job.subscribeHeaders ?? [])];
  const whole = { ...job, ...destination, ...target, subscribeHeaders };
  if (target.literal) delete whole.subscribeTo; // The relay knows no wildcards.
  const [command, ...args] = on(1, process.execPath, join(import.meta.dirname, 'load.mjs'), JSON.stringify(whole));
  try {
    return JSON.parse((await run(command, args)).stdout);
  } catch (error) {
    throw new Error(`${name}: ${String(error.stderr ?? error.message).trim()}`, { cause: error });
  }
}

/** As many messages as take about that much of the broker's CPU time; finding that out is the warm-up. */
export async function calibrate(server, job, seconds) {
  if (job.mode === 'idle') return job;
  if (job.mode === 'latency') return { ...job, messages: 10_000 };
  let messages = job.size > 1000 ? 500 : 5_000;
  // Short runs are slow ones, so the number is not trusted before it has stopped growing much.
  for (let i = 0, last = 0; i < 6 && messages > 1.5 * last; i++) {
    last = messages;
    const { cpu } = await measure(server, { ...job, messages });
    const wanted = Math.min((messages * seconds) / Math.max(cpu, 0.02), 10 * messages, 3e6);
    messages = Math.round(Math.max(messages, wanted) / 10) * 10;
  }
  return { ...job, messages };
}

/**
 * That many runs of each server, in turns. Whoever fails is said to have failed, and is left out.
 *
 * @returns the runs of each server by its name
 */
export async function inTurns(servers, job, { runs, seconds }) {
  const found = {};
  const jobs = new Map();
  const failed = (server, error) => {
    say(`  ${error.message}`);
    jobs.delete(server);
    found[server.name] = [];
  };
  for (const server of servers) {
    found[server.name] = [];
    await calibrate(server, job, seconds).then(
      (whole) => jobs.set(server, whole),
      (error) => failed(server, error),
    );
  }
  // An idle connection is measured once: the memory of the next thousand is partly there already.
  for (let i = 0; i < (job.mode === 'idle' ? 1 : runs); i++) {
    for (const [server, whole] of jobs) {
      await measure(server, whole).then(
        (result) => found[server.name].push(result),
        (error) => failed(server, error),
      );
    }
  }
  return found;
}

export const medianOf = (runs, figure) => median(runs.map((result) => result[figure]));
