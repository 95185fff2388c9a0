// Time to start, beside a Node that does nothing: stompserver until it says that it listens, stomper until its first SEND
// and printer until its SUBSCRIBE have arrived. In turns; by the clock, and in CPU time, which other work hardly moves.
//   npm run build && node bench/start.mjs [RUNS]
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { cpuTime } from './cpu.mjs';
import { given, keep } from './keep.mjs';
import { table } from './report.mjs';
import { median, say } from './turns.mjs';

const [runs] = given({ runs: 5 });
const bin = (name) => join(import.meta.dirname, '..', 'apps', name, 'bin');
let arrived = () => undefined;
/** Answers CONNECT, and tells what else comes. */
const server = createServer((socket) => {
  socket.on('data', (chunk) => {
    const text = chunk.latin1Slice();
    if (text.startsWith('CONNECT')) socket.write('CONNECTED\nversion:1.2\n\n\0\n');
    arrived(text);
  });
  socket.on('error', () => undefined);
}).listen(0, '127.0.0.1');
await once(server, 'listening');
const url = `stomp://127.0.0.1:${server.address().port}`;

const frame = (command) => () => new Promise((resolve) => (arrived = (text) => text.includes(command) && resolve()));
const subjects = [
  { name: 'node -e 0', args: ['-e', '0'], ready: (child) => once(child, 'exit') },
  {
    name: 'stompserver, to listening',
    args: [join(bin('broker'), 'stompserver.js'), '--port', '0'],
    ready: (child) => once(child.stdout, 'data'),
  },
  {
    name: 'stomper, to its first SEND',
    args: [join(bin('stomper'), 'stomper.js'), '--url', url, '--topic', '/topic/bench'],
    ready: frame('SEND\n'),
  },
  {
    name: 'printer, to its SUBSCRIBE',
    args: [join(bin('printer'), 'printer.js'), '--url', url, '--topic', '/topic/bench'],
    ready: frame('SUBSCRIBE\n'),
  },
];

async function start({ name, args, ready }) {
  const begin = performance.now();
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const ended = once(child, 'close');
  child.stderr.setEncoding('utf8').on('data', (text) => (said += text));
  let said = '';
  child.stdin.on('error', () => undefined).write('a line\n');
  const early = ended.then(() => Promise.reject(new Error(`${name} ended: ${said}`)));
  early.catch(() => undefined);
  await (name === subjects[0].name ? ready(child) : Promise.race([ready(child), early]));
  const result = { ms: performance.now() - begin, cpu: child.exitCode === null ? cpuTime([child.pid]) * 1000 : NaN };
  child.kill('SIGKILL');
  await ended;
  return result;
}

const found = subjects.map(() => []);
for (let i = 0; i < runs; i++) {
  for (const [k, subject] of subjects.entries()) found[k].push(await start(subject));
  say(`run ${i + 1} of ${runs}`);
}
server.close();
const rows = subjects.map(({ name }, k) => [
  name,
  ...['ms', 'cpu'].map((of) => median(found[k].map((run) => run[of]))),
]);
keep('start', 'Time to start', `Medians of ${runs}, in turns.\n\n${table(['what', 'ms', 'ms of CPU'], rows)}`);
