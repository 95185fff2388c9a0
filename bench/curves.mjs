// Does cost grow in proportion to the work? CPU time of the broker, over the amount of it.
import { pair, stopAll } from './brokers.mjs';
import { line, plot, table } from './report.mjs';
import { curves } from './scenarios.mjs';
import { measure, median, say } from './turns.mjs';

export async function measureCurves(root, { runs }) {
  const plots = {};
  const rows = [];
  for (const [name, { of, values, job, work, unit }] of Object.entries(curves)) {
    say(`curve: ${name}`);
    const servers = await pair(root, {});
    try {
      const found = new Map(servers.map((server) => [server, values.map(() => [])]));
      for (const server of servers) await measure(server, { messages: 300_000 }); // To be warm.
      for (let i = 0; i < runs; i++) {
        for (const [k, value] of values.entries()) {
          for (const server of servers) found.get(server)[k].push((await measure(server, job(value))).cpu * 1000);
        }
        say(`  run ${i + 1} of ${runs}`);
      }
      const costs = servers.map((server) => values.map((value, k) => [value, median(found.get(server)[k])]));
      const [ours, reference] = costs;
      plots[name] = plot(`CPU time over ${of}`, of, { stompserver: ours, relay: reference });
      const { fit } = line(ours);
      for (const [k, value] of values.entries()) {
        const each = costs.map((pairs) => (pairs[k][1] / work(value)) * 1000);
        rows.push([
          `${value} ${of}`,
          ours[k][1],
          each[0],
          unit,
          reference[k][1],
          each[1],
          k === 0 ? fit.toFixed(3) : '',
        ]);
      }
    } finally {
      await stopAll(servers);
    }
  }
  const heads = ['work', 'ms', 'µs each', 'of a', 'relay, ms', 'relay, µs each', 'R² of a line'];
  const text =
    `CPU time of stompserver and of the relay, medians of ${runs} runs. The last column tells how much of the variation ` +
    `of stompserver's a straight line explains: 1 is all of it.\n\n${table(heads, rows)}\n` +
    Object.entries(curves)
      .map(([name, { of }]) => `![CPU time over ${of}](${name}.svg)\n`)
      .join('\n');
  return { text, plots };
}
