// Runs the broker and a reference relay side by side under the load generator, in turns, and prints the medians.
//   node bench/compare.mjs --tools DIR [--scenarios AB] [--runs 5]
// DIR holds the load generator: bench.mjs with its stompload built, and relay.js, the least that Node can do.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    tools: { type: 'string' },
    scenarios: { type: 'string', default: 'ABCDFG' },
    runs: { type: 'string', default: '5' },
  },
});
if (values.tools === undefined) {
  console.error('usage: node bench/compare.mjs --tools DIR [--scenarios AB] [--runs 5]');
  process.exit(2);
}
const tools = resolve(values.tools);
const program = resolve(import.meta.dirname, '../apps/broker/bin/stompserver.js');

/** Starts a server pinned to CPU 0 and waits for the line in which it says that it listens. */
async function start(name, port, args) {
  const child = spawn('taskset', ['-c', '0', process.execPath, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return { name, port, child };
}

function measure({ name, port, child }, scenario) {
  const args = ['bench.mjs', '--name', name, '--port', String(port), '--pid', String(child.pid)];
  args.push('--scenarios', scenario, '--runs', '1', '--seconds', '1');
  const line = execFileSync(process.execPath, args, { cwd: tools, encoding: 'utf8' }).trim();
  return JSON.parse(line.slice(line.indexOf('{')));
}

const median = (numbers) => numbers.sort((a, b) => a - b)[numbers.length >> 1];
const servers = [
  await start('stompserver', 61613, [program, '--port', '61613']),
  await start('relay.js', 61700, [join(tools, 'relay.js'), '61700']),
];
try {
  console.log('| scenario | stompserver | relay.js | ratio | of |');
  console.log('|---|--:|--:|--:|---|');
  for (const scenario of values.scenarios) {
    const figures = new Map(servers.map(({ name }) => [name, []]));
    let what = '';
    for (let run = 0; run < Number(values.runs); run++) {
      for (const server of servers) {
        const result = measure(server, scenario);
        if (result.incomplete > 0) throw new Error(`${server.name} ${scenario}: ${result.errors.join('; ')}`);
        what = result.what;
        figures.get(server.name).push(scenario === 'G' ? result.p50 : result.per_broker_cpu_s);
      }
    }
    const [ours, reference] = servers.map(({ name }) => median(figures.get(name)));
    const of = scenario === 'G' ? 'p50 in µs' : 'deliveries per second of CPU';
    console.log(`| ${scenario} ${what} | ${ours} | ${reference} | ${(ours / reference).toFixed(2)} | ${of} |`);
  }
} finally {
  for (const { child } of servers) child.kill();
}
