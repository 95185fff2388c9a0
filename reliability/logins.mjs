/*
 * npm run logins -- --clients N --cost C: as many users that log in at once, each with a bcrypt hash of its own to be
 * compared, while others are connected with heart-beats of a second. Prints the longest gap in these.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clearInterval, setInterval } from 'node:timers';
import { parseArgs } from 'node:util';
import bcrypt from 'bcrypt';
import { ours } from './targets.mjs';

const INTERVAL = 1_000;
const WATCHERS = 10;
const PASSCODE = 'the same of all, which nobody knows';

const { values } = parseArgs({
  options: { clients: { type: 'string', default: '100' }, cost: { type: 'string', default: '12' } },
});
const count = Number(values.clients);
const cost = Number(values.cost);

const folder = mkdtempSync(join(tmpdir(), 'logins-'));
process.once('exit', () => rmSync(folder, { recursive: true }));
const users = join(folder, 'htpasswd');
// What is known of one user says nothing of another: one hash will do.
const hash = await bcrypt.hash(PASSCODE, cost);
const herd = Array.from({ length: count }, (_, index) => `user-${index}`);
// Those who watch are one user, who is compared once.
const names = [...Array.from({ length: WATCHERS }, () => 'watcher'), ...herd];
writeFileSync(users, [...new Set(names)].map((name) => `${name}:${hash}\n`).join(''), { mode: 0o600 });

const failures = [];
const broker = await ours('--host', '127.0.0.1', '--users-file', users, '--login-timeout', '600000');
const { hostname, port } = new URL(broker.url);

async function open(name) {
  const socket = connect({ host: hostname, port: Number(port) });
  socket.on('error', (error) => failures.push(`${name}: ${error.message}`));
  await once(socket, 'connect');
  return socket;
}

/** Logs in, beats as it has promised, and tells of all that it hears. */
async function login(name, socket, onData) {
  const beats = `heart-beat:${INTERVAL},${INTERVAL}`;
  socket.write(`CONNECT\naccept-version:1.2\nhost:/\n${beats}\nlogin:${name}\npasscode:${PASSCODE}\n\n\0`);
  const [first] = await once(socket, 'data');
  if (!first.toString().startsWith('CONNECTED')) failures.push(`${name} heard ${first}`);
  socket.on('data', (data) => {
    if (data.includes('ERROR')) failures.push(`${name} heard ${data}`);
    onData();
  });
  const timer = setInterval(() => socket.write('\n'), INTERVAL / 2);
  socket.once('close', () => clearInterval(timer));
}

let longest = 0;
const looks = [];
const sockets = await Promise.all(names.map(open));
const watch = (name, index) => {
  let last = 0;
  const look = () => {
    const now = performance.now();
    if (last > 0) longest = Math.max(longest, now - last);
    last = now;
  };
  looks.push(look);
  return login(name, sockets[index], look);
};
await Promise.all(names.slice(0, WATCHERS).map(watch));
const began = performance.now();
// They are connected already, so that their CONNECT frames come together.
await Promise.all(herd.map((name, index) => login(name, sockets[WATCHERS + index], () => undefined)));
const took = performance.now() - began;
// A gap that is not over yet counts, too.
for (const look of looks) look();
for (const socket of sockets) socket.destroy();

if (!broker.alive) failures.push('the broker ended');
console.log(JSON.stringify({ clients: count, cost, gap: Math.round(longest), took: Math.round(took) }));
await broker.stop();
for (const failure of failures) console.error(failure);
process.exit(failures.length === 0 ? 0 : 1);
