// Is the generator what is measured? It is not, where it takes less CPU time than the broker for the same deliveries: each
// has a core of its own, and the one that takes more is the one that waits for nobody. Said in CPU time, this holds on a
// machine that is busy with other work too.
import { pair, stopAll } from './brokers.mjs';
import { table } from './report.mjs';
import { scenarios } from './scenarios.mjs';
import { relay } from './servers.mjs';
import { calibrate, measure, median, say } from './turns.mjs';

/** What the generator may take of what the broker takes. */
const ENOUGH = 1;

export async function limit(root, keys, options) {
  const rows = [];
  let enough = true;
  for (const key of keys) {
    const scenario = scenarios[key];
    say(`${key} ${scenario.what}`);
    const servers = await pair(root, scenario);
    const replays = scenario.job.ack === undefined && !scenario.tls && !(scenario.job.publishers > 10);
    if (replays) servers.push(Object.assign(await relay('--replay'), { name: 'replay' }));
    try {
      const runs = {};
      const jobs = new Map();
      for (const server of servers) jobs.set(server, await calibrate(server, scenario.job, options.seconds));
      for (let i = 0; i < options.runs; i++) {
        for (const [server, job] of jobs) (runs[server.name] ??= []).push(await measure(server, job));
      }
      const of = (name, figure) => median((runs[name] ?? []).map(figure));
      const share = of('stompserver', (run) => run.share);
      enough &&= share < ENOUGH;
      const most = replays
        ? of('replay', ({ delivered, generatorCpu }) => delivered / generatorCpu)
        : of('relay', ({ delivered, generatorCpu }) => delivered / generatorCpu);
      rows.push([
        `${key} ${scenario.what}`,
        of('stompserver', ({ delivered, cpu }) => delivered / cpu),
        of('stompserver', ({ delivered, generatorCpu }) => delivered / generatorCpu),
        most,
        share,
        of('relay', (run) => run.share),
      ]);
      say(`  the generator takes ${share.toFixed(2)} of what the broker takes`);
    } finally {
      await stopAll(servers);
    }
  }
  const heads = ['scenario', 'stompserver', 'generator there', 'generator at most', 'share', 'share beside the relay'];
  const text =
    `Deliveries per second of CPU time of each. At most: beside a server that does less than the generator (relay.mjs ` +
    `--replay), or the relay where acknowledgements, TLS or hundreds of connections are in play. Share: the generator's CPU time for each second of ` +
    `the server's; below ${ENOUGH} it is the server that is measured. Beside the relay it need not be: what counts there is ` +
    `the relay's CPU time.\n\n${table(heads, rows)}`;
  return { text, enough };
}
