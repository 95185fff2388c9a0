/*
 * One of each broker does for a whole run of jest, and is started when the first test asks for it: the tests, which may
 * run in several processes, ask here. One line in, the name; one line out, where it is.
 */
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { brokers, start } from './brokers.mjs';

/** Where tests of this run ask. */
const ADDRESS = 'NESTJS_STOMP_PEERS';

export default async function setup() {
  /** @type {Map<string, ReturnType<typeof start>>} */
  const running = new Map();
  const left = new Set();

  const answer = async (line) => {
    const [request, name] = line.split(' ');
    if (request === 'missing') {
      left.add(name);
      return {};
    }
    if (!running.has(name)) running.set(name, start(name));
    try {
      const { url, login, passcode } = await running.get(name);
      return { url, login, passcode };
    } catch (error) {
      return { error: error.message };
    }
  };
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    createInterface({ input: socket }).on('line', (line) => {
      void answer(line).then((found) => socket.end(`${JSON.stringify(found)}\n`));
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  server.unref();
  process.env[ADDRESS] = String(server.address().port);

  globalThis.stopPeers = async () => {
    await Promise.all([...running.values()].map((broker) => broker.then(({ stop }) => stop()).catch(() => undefined)));
    await new Promise((resolve) => server.close(resolve));
    if (left.size === 0) return;
    const packages = [...left].map((name) => brokers[name].debian).join(', ');
    console.error(`Left out, because they are not installed: the tests against ${packages} (Debian packages).`);
  };
}
