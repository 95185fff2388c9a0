// All scenarios against our broker, the relay and other people's brokers.
import { commit, table } from './report.mjs';
import { figures, figuresOf, scenarios } from './scenarios.mjs';
import { broker, durableBroker, peer, peers, relay, tlsBroker, tlsRelay } from './servers.mjs';
import { inTurns, medianOf, say } from './turns.mjs';

/** Ours and the reference, fresh ones. */
export async function pair(root, { durable, tls }) {
  const ours = await (tls ? tlsBroker(root) : durable ? durableBroker(root) : broker(root));
  try {
    return [ours, await (tls ? tlsRelay() : relay())];
  } catch (error) {
    await ours.stop();
    throw error;
  }
}

export async function stopAll(servers) {
  for (const { stop } of servers) await stop();
}

/** Other people's brokers, which take long to start and to warm up, are kept for all scenarios. */
async function startPeers() {
  const started = [];
  for (const name of peers) {
    say(`starting ${name}`);
    await peer(name).then(
      (server) => started.push(server),
      (error) => say(`  ${error.message}`),
    );
  }
  return started;
}

/**
 * Measures those scenarios.
 *
 * @param before what was found earlier: what is not measured now stays as it was
 */
export async function brokers(root, keys, options, before) {
  const results = { ...before };
  const others = options.peers ? await startPeers() : [];
  let complete = true;
  try {
    for (const [i, key] of keys.entries()) {
      const scenario = scenarios[key];
      say(`${i + 1} of ${keys.length}: ${key} ${scenario.what}`);
      const ours = await pair(root, scenario);
      try {
        const runs = await inTurns([...ours, ...(scenario.alone ? [] : others)], scenario.job, options);
        const found = { commit: commit(root), runs: Math.max(...Object.values(runs).map((list) => list.length)) };
        for (const figure of [...figuresOf(scenario), 'perSecond', 'share']) {
          found[figure] = Object.fromEntries(
            Object.entries(runs).map(([name, list]) => [name, round(medianOf(list, figure))]),
          );
        }
        say(`  ${JSON.stringify(found)}`);
        complete &&= runs.stompserver.length > 0;
        results[key] = found;
      } finally {
        await stopAll(ours);
      }
    }
  } finally {
    await stopAll(others);
  }
  return { results, text: tables(results), complete };
}

function tables(results) {
  const names = ['stompserver', 'relay', 'rabbitmq', 'activemq'];
  const [lead, clock] = [[], []];
  for (const key of Object.keys(scenarios).filter((name) => results[name] !== undefined)) {
    const { what, ...scenario } = scenarios[key];
    for (const figure of figuresOf(scenario)) {
      const { [names[0]]: ours, ...others } = results[key][figure];
      const row = `${key} ${what}${figure === 'perCpuSecond' ? '' : `, ${figures[figure].unit}`}`;
      const ratios = names.slice(1).flatMap((name) => [others[name], others[name] && ours / others[name]]);
      lead.push([row, ours, ...ratios]);
    }
    if (scenario.job.mode === undefined) {
      const { perSecond, share, runs, commit: of } = results[key];
      clock.push([`${key} ${what}`, ...names.map((name) => perSecond[name]), share.stompserver, String(runs), of]);
    }
  }
  const heads = ['scenario', names[0], ...names.slice(1).flatMap((name) => [name, 'ours / that'])];
  return (
    `Medians of runs in turns. Deliveries per second of the broker's CPU time, where the row says nothing else; of KiB and ` +
    `µs less is better.\n\n${table(heads, lead)}\n` +
    `The same runs by the clock, deliveries a second, which other work on the machine slows down; and the CPU time of the ` +
    `generator for each second of stompserver's: below 1 it is not the generator that is measured.\n\n` +
    table(['scenario', ...names, 'generator', 'runs', 'commit'], clock)
  );
}

const round = (value) => (value === undefined || Number.isNaN(value) ? undefined : Number(value.toPrecision(4)));
