/*
 * npm run soak -- --minutes N: mixed traffic with faults for so long. Nothing that was receipted may be lost, and neither
 * memory nor open files may grow. Prints a line a tenth of the time; draws a plot where --plot says.
 */
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { table } from '../bench/report.mjs';
import { plot } from './plot.mjs';
import { cuts, makeClient, makeLines, until } from './runs.mjs';
import { ours } from './targets.mjs';

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '10' }, plot: { type: 'string' } },
});
const milliseconds = Number(values.minutes) * 60_000;

// With so little heap a leak ends the process.
process.env.NODE_OPTIONS = '--max-old-space-size=128';
const broker = await ours('--max-memory', '32MiB', '--login-timeout', '2000');
const baseline = broker.handles;
const due = performance.now() + milliseconds;
const going = () => performance.now() < due && broker.alive;

/** Sessions that do a little of everything, and end in all ways. */
async function visits() {
  const ends = [
    (client) => client.disconnect({ deadline: 1_000 }),
    (client, lines) => {
      lines.cut();
      return client.disconnect({ deadline: 0 });
    },
  ];
  let count = 0;
  while (going()) {
    const lines = makeLines();
    const client = makeClient(broker, { dial: lines.dial, reconnect: { initialDelay: 20, maxDelay: 200 } });
    try {
      await client.connect();
      const n = count++;
      client.subscribe(`/topic/soak.${n % 7}`, () => undefined);
      client.subscribe('/topic/soak.#', () => undefined, { headers: { selector: `n > ${n % 5}` } });
      client.subscribe('/temp-queue/replies', () => undefined);
      client.send(`/topic/soak.${n % 7}`, 'x'.repeat(2_000), { headers: { n: String(n % 9), retain: 'true' } });
      client.send(`/queue/soak-${n % 50}`, 'x', { headers: { expiration: '500', 'reply-to': '/temp-queue/replies' } });
      client.send('/queue/soak-later', 'x', { headers: { 'x-delay': '200', expiration: '500' } });
      const transaction = client.begin();
      transaction.send(`/queue/soak-${n % 50}`, 'y'.repeat(5_000), { headers: { expiration: '500' } });
      await (n % 2 === 0 ? transaction.commit() : transaction.abort());
    } catch {
      // It may be cut at any moment.
    }
    await ends[count % ends.length](client, lines);
  }
  return count;
}

/** Connections that say nothing that could be understood, or nothing at all. */
async function noise() {
  const { port, hostname: host } = new URL(broker.url);
  while (going()) {
    const socket = connect({ host, port: Number(port) });
    socket.on('error', () => undefined).resume();
    socket.write(
      ['GET / HTTP/1.1\r\n\r\n', 'CONNECT\n\n', 'x'.repeat(2_000), '\0\0\0', 'CONNECT\naccept-version:1.2\n\n\0SEND\n'][
        Math.floor(Math.random() * 5)
      ],
    );
    await sleep(Math.random() * 50);
    if (Math.random() < 0.5) socket.destroy();
    else socket.end();
  }
}

const samples = [];
async function watch() {
  const began = performance.now();
  while (going()) {
    await sleep(Math.min(1_000, milliseconds / 40));
    if (broker.alive)
      samples.push({ second: (performance.now() - began) / 1_000, memory: broker.memory, handles: broker.handles });
  }
}

const queues = async () => {
  const sum = { receipted: 0, cuts: 0, lost: 0, twice: 0, unsaid: 0 };
  while (going()) {
    // One round after the other: each ends by taking all that it has sent.
    const round = await cuts(broker, Math.max(1_000, Math.min(15_000, due - performance.now())));
    for (const name of Object.keys(sum)) sum[name] += round[name];
  }
  return sum;
};

const [sum, ...visitors] = await Promise.all([queues(), visits(), visits(), visits(), noise(), noise(), watch()]);
await until('all have left', () => !broker.alive || broker.handles <= baseline + 2, 30_000).catch(() => undefined);

const mean = (list) => list.reduce((total, { memory }) => total + memory, 0) / list.length;
const half = Math.floor(samples.length / 2);
const [early, late] = [mean(samples.slice(Math.floor(half / 2), half)), mean(samples.slice(-Math.floor(half / 2)))];
const left = broker.alive ? broker.handles - baseline : NaN;
const step = Math.max(1, Math.floor(samples.length / 10));
const rows = samples
  .filter((_sample, index) => index % step === 0)
  .map(({ second, memory, handles }) => [Math.round(second), memory, handles]);
console.log(table(['second', 'memory in MiB', 'open files'], rows));
console.log(
  table(
    ['what', 'count'],
    [
      ['receipted messages of the queue', sum.receipted],
      ['cuts of its connections', sum.cuts],
      ['lost', sum.lost],
      ['delivered twice, and saying so', sum.twice],
      ['delivered twice without saying so', sum.unsaid],
      ['other sessions', visitors.slice(0, 3).reduce((total, count) => total + count, 0)],
      ['open files left', left],
      ['memory, second quarter', early],
      ['memory, last quarter', late],
    ],
  ),
);
if (values.plot !== undefined) {
  const series = (name) => samples.map((sample) => [sample.second, sample[name]]);
  writeFileSync(values.plot, plot('soak', { 'memory in MiB': series('memory'), 'open files': series('handles') }));
}
const complaints = broker.said.split('\n').filter((line) => /internal error|unhandled|^\s+at /i.test(line));
const failures = [
  broker.alive || 'the broker ended',
  sum.receipted > 0 || 'nothing was sent',
  sum.lost === 0 || `${sum.lost} messages that were receipted never came`,
  sum.unsaid === 0 || `${sum.unsaid} messages came again without saying so`,
  left <= 2 || `${left} files are open that were not before`,
  late <= 1.5 * early + 32 || `memory grows: from ${early} to ${late} MiB`,
  complaints.length === 0 || `the broker said: ${complaints.slice(0, 5).join('\n')}`,
].filter((failure) => failure !== true);
await broker.stop();
for (const failure of failures) console.error(failure);
process.exit(failures.length === 0 ? 0 : 1);
