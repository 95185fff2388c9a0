/* Whom it is done to: our broker as a process of its own, and other people's where they are installed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { installed, start } from '../test/support/peers/brokers.mjs';

const BIN = join(import.meta.dirname, '../apps/broker/bin/stompserver.js');

/** A process that may be killed before it listens, which `listening` waits for. */
export function launch(...options) {
  const child = spawn(process.execPath, [BIN, '--port', '0', ...options], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (said += text));
  const kill = () => child.kill('SIGKILL');
  process.on('exit', kill);
  const gone = once(child, 'exit').then(() => process.off('exit', kill));
  const listening = Promise.race([
    once(createInterface({ input: child.stdout }), 'line').then(([line]) => line.replace('listening ', '')),
    gone.then(() => Promise.reject(new Error(`stompserver did not start: ${said}`))),
  ]);
  // Whoever kills it does not wait for it.
  listening.catch(() => undefined);
  return {
    child,
    listening,
    get said() {
      return said;
    },
    get alive() {
      return child.exitCode === null && child.signalCode === null;
    },
    /** @param signal as `kill -9` */
    async end(signal) {
      if (this.alive) child.kill(signal);
      await gone;
    },
  };
}

export async function ours(...options) {
  const program = launch(...options);
  const { child } = program;
  return {
    name: 'stompserver',
    url: await program.listening,
    get said() {
      return program.said;
    },
    get alive() {
      return program.alive;
    },
    /** In MiB. */
    get memory() {
      return Number(/^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) / 1024;
    },
    get handles() {
      return readdirSync(`/proc/${child.pid}/fd`).length;
    },
    stop: () => program.end(),
  };
}

export const others = ['rabbitmq', 'activemq'].filter(installed);
export const other = async (name) => ({ name, ...(await start(name)) });
