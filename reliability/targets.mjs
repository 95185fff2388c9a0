/* Whom it is done to: our broker as a process of its own, and other people's where they are installed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { installed, start } from '../test/support/peers/brokers.mjs';

const BIN = join(import.meta.dirname, '../apps/broker/bin/stompserver.js');

export async function ours(...options) {
  const child = spawn(process.execPath, [BIN, '--port', '0', ...options], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (said += text));
  const kill = () => child.kill('SIGKILL');
  process.on('exit', kill);
  const [line] = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    once(child, 'exit').then(() => Promise.reject(new Error(`stompserver did not start: ${said}`))),
  ]);
  return {
    name: 'stompserver',
    url: line.replace('listening ', ''),
    get said() {
      return said;
    },
    get alive() {
      return child.exitCode === null && child.signalCode === null;
    },
    /** In MiB. */
    get memory() {
      return Number(/^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) / 1024;
    },
    get handles() {
      return readdirSync(`/proc/${child.pid}/fd`).length;
    },
    async stop() {
      process.off('exit', kill);
      if (!this.alive) return;
      const gone = once(child, 'exit');
      child.kill();
      await gone;
    },
  };
}

export const others = ['rabbitmq', 'activemq'].filter(installed);
export const other = async (name) => ({ name, ...(await start(name)) });
