// All scenarios against our broker, the relay and other people's brokers.
import { table } from './report.mjs';
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

export async function brokers(root, keys, options) {
  const others = options.peers ? await startPeers() : [];
  const results = {};
  const [lead, wall] = [[], []];
  const names = ['stompserver', 'relay', ...others.map(({ name }) => name)];
  let versions = {};
  try {
    for (const [i, key] of keys.entries()) {
      const scenario = scenarios[key];
      say(`${i + 1} of ${keys.length}: ${key} ${scenario.what}`);
      const ours = await pair(root, scenario);
      try {
        const runs = await inTurns([...ours, ...(scenario.alone ? [] : others)], scenario.job, options);
        for (const figure of figuresOf(scenario)) {
          const found = names.map((name) => medianOf(runs[name] ?? [], figure));
          const { unit, less } = figures[figure];
          const what = `${key} ${scenario.what}${less && figure !== 'kib' ? `, ${unit}` : ''}`;
          lead.push([what, found[0], ...found.slice(1).flatMap((other) => [other, found[0] / other])]);
          say(`  ${names.map((name, k) => `${name} ${Math.round(found[k])}`).join(', ')} ${unit}`);
        }
        const main = figuresOf(scenario)[0];
        const [mine, reference] = names.map((name) => medianOf(runs[name] ?? [], main));
        results[key] = { figure: main, ours: round(mine), relay: round(reference), ratio: round(mine / reference) };
        if (main === 'perCpuSecond') {
          const share = medianOf(
            runs.stompserver.map((run) => ({ of: run.generatorCpu / run.cpu })),
            'of',
          );
          wall.push([
            `${key} ${scenario.what}`,
            ...names.map((name) => medianOf(runs[name] ?? [], 'perSecond')),
            share,
          ]);
        }
        for (const [name, [run]] of Object.entries(runs)) versions = { [name]: run?.server, ...versions };
      } finally {
        await stopAll(ours);
      }
    }
  } finally {
    await stopAll(others);
  }
  const heads = ['scenario', 'stompserver', ...names.slice(1).flatMap((name) => [name, `ours / ${name}`])];
  const servers = Object.values(versions)
    .filter((version) => version)
    .join(', ');
  const text =
    `Medians of ${options.runs} runs in turns. Deliveries per second of the broker's CPU time, where the row says nothing ` +
    `else; of KiB and µs less is better. ${servers}.\n\n${table(heads, lead)}\n` +
    `The same runs by the clock, deliveries a second, which other work on the machine slows down; and what the generator ` +
    `took of its core for each second that stompserver took of its own.\n\n` +
    table(['scenario', ...names, "generator's share"], wall);
  return { text, results, complete: Object.values(results).every(({ ours }) => ours > 0) };
}

const round = (value) => Number(value.toPrecision(4));
