// Who is measured: the broker of a working tree, the reference, and other people's brokers. All are pinned to one core.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { installed, start as startPeer } from '../test/support/peers/brokers.mjs';

const taskset = ['/usr/bin/taskset', '/bin/taskset'].find(existsSync);
/** Whether brokers and generator have a core each. */
export const pinned = taskset !== undefined && availableParallelism() > 1;

/** A command that runs on that core alone. */
export const on = (core, ...command) => (pinned ? [taskset, '-c', String(core), ...command] : command);

/** Everything that this process starts from now on runs on that core, unless it is told otherwise. */
export function settle(core) {
  if (pinned) execFileSync(taskset, ['-a', '-c', '-p', String(core), String(process.pid)], { stdio: 'ignore' });
}

async function program(name, ...args) {
  const [command, ...rest] = on(0, process.execPath, ...args);
  const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
  const kill = () => child.kill();
  process.on('exit', kill); // Also where the bench is ended from outside.
  const gone = new Promise((resolve) => child.once('exit', resolve));
  const urls = createInterface({ input: child.stdout });
  const port = await new Promise((resolve, reject) => {
    urls.once('line', (line) => resolve(Number(/:(\d+)$/.exec(line)?.[1])));
    void gone.then(() => reject(new Error(`${name} did not start`)));
  });
  const stop = async () => {
    process.off('exit', kill);
    kill();
    await gone;
  };
  return { name, target: { port, pids: [child.pid] }, stop };
}

/** The broker that is built in that folder. */
export const broker = (folder, name = 'stompserver', ...options) =>
  program(name, join(folder, 'apps/broker/bin/stompserver.js'), '--port', '0', ...options);

/** A scratch folder that is gone when the server has stopped. */
async function withFolder(start) {
  const folder = mkdtempSync(join(tmpdir(), 'bench-'));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  process.on('exit', remove);
  const server = await start(folder);
  const { stop } = server;
  server.stop = async () => {
    await stop();
    process.off('exit', remove);
    remove();
  };
  return server;
}

/** A broker that keeps persistent messages on disk, and syncs them before it confirms. */
export const durableBroker = (root, name = 'stompserver') =>
  withFolder((folder) => broker(root, name, '--store', 'disk', '--data-dir', folder, '--sync', 'always'));

function certificate(folder) {
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  execFileSync('openssl', [...request, ...subject, '-keyout', key, '-out', cert], { stdio: 'ignore' });
  return [key, cert];
}

/** A broker over TLS, with a certificate made for it. */
export const tlsBroker = (root, name = 'stompserver') =>
  withFolder(async (folder) => {
    const [key, cert] = certificate(folder);
    const server = await broker(root, name, '--tls', 'true', '--certfile', cert, '--keyfile', key);
    server.target.ca = readFileSync(cert, 'utf8');
    return server;
  });

export async function relay(...options) {
  const server = await program('relay', join(import.meta.dirname, 'relay.mjs'), '0', ...options);
  server.target.literal = true;
  return server;
}

export const tlsRelay = () =>
  withFolder(async (folder) => {
    const [key, cert] = certificate(folder);
    const server = await relay('--key', key, '--cert', cert);
    server.target.ca = readFileSync(cert, 'utf8');
    return server;
  });

/** Of other people's brokers those that are installed; nobody else has to be. */
export const peers = ['rabbitmq', 'activemq'].filter(installed);

/** A private one on loopback, with a disk of its own and the memory that its makers would give it. */
export async function peer(name) {
  const before = new Set(children());
  const { url, login, passcode, stop } = await startPeer(name, { persistent: true, java: '-Xmx2g' });
  const [leader] = children().filter((pid) => !before.has(pid));
  const pids = processes()
    .filter(({ group }) => group === leader)
    .map(({ pid }) => pid);
  // RabbitMQ's own advice for throughput.
  const subscribeHeaders = name === 'rabbitmq' ? ['prefetch-count:1000'] : [];
  return { name, target: { port: Number(new URL(url).port), pids, login, passcode, subscribeHeaders }, stop };
}

function processes() {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const [, parent, group] = /\) \S (\d+) (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'));
        return [{ pid: Number(pid), parent: Number(parent), group: Number(group) }];
      } catch {
        return []; // It has ended.
      }
    });
}

const children = () =>
  processes()
    .filter(({ parent }) => parent === process.pid)
    .map(({ pid }) => pid);
