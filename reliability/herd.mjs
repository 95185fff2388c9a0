/* npm run herd -- --connections N: as many connections that come, are cut, come back at once, and leave. */
import { parseArgs } from 'node:util';
import { herd, until } from './runs.mjs';
import { ours } from './targets.mjs';

const { values } = parseArgs({ options: { connections: { type: 'string', default: '10000' } } });
const count = Number(values.connections);

const room = Number(process.report?.getReport().userLimits?.open_files?.soft ?? Infinity);
if (count + 100 > room) {
  console.error(`${count} connections need as many open files, and there may be ${room}: ulimit -n ${count + 100}`);
  process.exit(2);
}

const broker = await ours('--max-connections', String(count + 10), '--max-per-address', String(count + 10));
const before = broker.handles;
const run = await herd(broker, count);
await until('all have left', () => broker.handles <= before, 30_000);
const failures = [
  run.held === count || `only ${run.held} of ${count} connections were held`,
  run.complete || 'not everybody got the first message',
  run.returned || 'not everybody came back',
  run.missed === 0 || `${run.missed} messages were missed`,
  broker.alive || 'the broker ended',
  broker.said === '' || `the broker said: ${broker.said.slice(0, 2_000)}`,
].filter((failure) => failure !== true);
console.log(JSON.stringify({ connections: count, ...run, memory: Math.round(broker.memory) }));
await broker.stop();
for (const failure of failures) console.error(failure);
process.exit(failures.length === 0 ? 0 : 1);
