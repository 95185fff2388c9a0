// Runs the broker and the three services, each in a process of its own, until SIGINT or SIGTERM.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type Service, SERVICES } from './service.js';

const running: ChildProcess[] = [];

/** Starts a service and waits until it runs; resolves to where it can be reached. */
async function start(service: Service, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const main = fileURLToPath(new URL(`./${service}/main.js`, import.meta.url));
  // Detached, so that Ctrl-C reaches this process alone: it ends the services in their order.
  const child = spawn(process.execPath, [main], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    detached: true,
  });
  running.push(child);
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`${service} ended with code ${String(code)} before it ran`);
  });
  const [url] = (await Promise.race([once(child, 'message'), ended])) as [string];
  ended.catch(() => undefined);
  return url;
}

/** Ends the services, the last one first, so that each finds those it needs until it is done. */
async function stop(): Promise<void> {
  for (const child of running.splice(0).reverse()) {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    if (child.exitCode !== 0) process.exitCode = 1;
  }
}

process.once('SIGINT', () => void stop());
process.once('SIGTERM', () => void stop());

try {
  const [broker, ...services] = SERVICES;
  const env = { BROKER_URL: await start(broker) };
  let url = '';
  for (const service of services) url = await start(service, env);
  process.stdout
    .write(`The broker listens on ${env.BROKER_URL}. The gateway listens on ${url}. Place an order, and see it billed at the second attempt:

  curl ${url}/orders -H 'content-type: application/json' -d '{"customer":"ada","item":"tea","total":12.5}'
  curl ${url}/orders/1
`);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  await stop();
  process.exitCode = 1;
}
