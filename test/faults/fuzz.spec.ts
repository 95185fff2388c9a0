import { expect, it, jest } from '@jest/globals';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeClient, within } from '../support/client.js';
import { numbers } from '../support/random.js';
import { serveIn } from '../support/serve.js';

/** For how long, and from which seed: `FUZZ_MS=600000 FUZZ_SEED=1 npm test -- faults/fuzz`. */
const MILLISECONDS = Number(process.env.FUZZ_MS ?? 6_000);
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);
const ATTACKERS = 24;

jest.setTimeout(MILLISECONDS + 120_000);

type Random = (below: number) => number;
const pick = <T>(random: Random, from: readonly T[]): T => from[random(from.length)]!;

const DESTINATIONS = ['/queue/a', '/queue/b.c', '/queue/#', '/queue/a*', '/topic/a', '/topic/#', '/topic/a.*', 'x']
  .concat(['/temp-queue/r', '/temp-topic/t', '/queue/DLQ.a', '/amq/queue/a', '/exchange/amq.topic/k', '/reply-queue/x'])
  .concat(['/queue/a,/topic/a', '/session/refresh', '/topic/$SYS/connections', '/queue/', '', '/queue/\u0000x']);
const NAMES = [
  'id',
  'ack',
  'receipt',
  'transaction',
  'message-id',
  'subscription',
  'selector',
  'durable',
  'auto-delete',
]
  .concat(['persistent', 'priority', 'expires', 'expiration', 'x-delay', 'reply-to', 'retain', 'browser', 'exclusive'])
  .concat(['prefetch-count', 'JMSXGroupID', 'x-queue-name', 'x-max-length', 'x-expires', 'no-local', 'content-length'])
  .concat(['requeue', 'delay', 'AMQ_SCHEDULED_CRON', 'AMQ_SCHEDULED_REPEAT', 'AMQ_SCHEDULED_PERIOD', 'x-priority'])
  .concat(['durable-subscription-name', 'x-dead-letter-routing-key', 'x-message-ttl', 'client-id', 'heart-beat']);
const VALUES = [
  '0',
  '1',
  '-1',
  '4',
  '99999999999999999',
  'true',
  'false',
  'auto',
  'client',
  'client-individual',
  'a',
  't',
]
  .concat(['a = 1', '((', "x LIKE '%'", '* * * * *', '0-0', '1-0', '5', '100', '/temp-queue/r', '\\c', '\\x', 'ü', ''])
  .concat(['/queue/a', '1,1', 'a'.repeat(3_000)]);
const COMMANDS = [
  'SEND',
  'SEND',
  'SEND',
  'SUBSCRIBE',
  'SUBSCRIBE',
  'UNSUBSCRIBE',
  'ACK',
  'NACK',
  'BEGIN',
  'COMMIT',
  'ABORT',
].concat(['DISCONNECT', 'CONNECT', 'STOMP', 'CONNECTED', 'MESSAGE', 'RECEIPT', 'ERROR', 'GET / HTTP/1.1', 'NONSENSE']);

function frame(random: Random): string {
  const headers = Array.from({ length: random(6) }, () => `${pick(random, NAMES)}:${pick(random, VALUES)}\n`).join('');
  const body = 'b'.repeat(pick(random, [0, 1, 100, 5_000]));
  const { length } = headers;
  const needed = `destination:${pick(random, DESTINATIONS)}\nid:${random(4)}\nmessage-id:1\n`.slice(
    random(9) === 0 ? length : 0,
  );
  return `${pick(random, COMMANDS)}\n${needed}${headers}\n${body}\0`;
}

/** The octets of one connection: frames that are wrong in themselves or by their order, most of them a little broken. */
function attack(random: Random): Buffer {
  const version = pick(random, ['1.0', '1.1', '1.2', '1.2']);
  const hello = `CONNECT\naccept-version:${version}\nhost:fuzz\nheart-beat:${pick(random, ['0,0', '100,100', '1,1'])}\n\n\0`;
  const frames = Array.from({ length: random(30) }, () => frame(random));
  let bytes = Buffer.from((random(10) === 0 ? '' : hello) + frames.join(random(3) === 0 ? '\n' : ''));
  for (let times = random(3) === 0 ? 1 + random(4) : 0; times > 0 && bytes.length > 0; times--) {
    const at = random(bytes.length);
    if (random(2) === 0) bytes[at] = random(256);
    else bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + random(40))]);
  }
  return bytes;
}

async function assault(port: number, random: Random, until: number): Promise<number> {
  let connections = 0;
  while (performance.now() < until) {
    const socket: Socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('error', () => undefined);
    // Some do not read.
    if (random(4) > 0) socket.resume();
    const closed = once(socket, 'close');
    const bytes = attack(random);
    for (let at = 0; at < bytes.length && !socket.destroyed;) {
      const size = 1 + random(pick(random, [20, 2_000, 100_000]));
      socket.write(bytes.subarray(at, at + size));
      at += size;
      if (random(4) === 0) await sleep(random(5));
    }
    connections++;
    const how = random(4);
    if (how === 0) socket.destroy();
    else if (how === 1) socket.resetAndDestroy();
    else {
      if (how === 2) socket.end();
      await Promise.race([closed, sleep(random(100), undefined, { ref: false })]);
      socket.destroy();
    }
    await closed;
  }
  return connections;
}

it(`a program that is fuzzed from many connections lives, and two clients beside them lose nothing (seed ${SEED})`, async () => {
  // With so little heap a leak ends the process.
  const server = await serveIn(
    { NODE_OPTIONS: '--max-old-space-size=80' },
    ...['--vhosts', 'fuzz witness', '--login-timeout', '1000', '--frame-timeout', '1000', '--max-queues', '300'],
    ...[
      '--max-memory',
      '64MiB',
      '--policies',
      '[{"destination":"/queue/#","max-length":50,"overflow":"drop-oldest","idle-time":200}]',
    ],
  );
  const url = `stomp://127.0.0.1:${server.port}/witness`;
  const [publisher, consumer] = [makeClient({ url }), makeClient({ url })];
  await Promise.all([publisher.connect(), consumer.connect()]);
  const got: number[] = [];
  consumer.subscribe('/queue/seen', (message) => void got.push(Number(message.text)), { ack: 'client-individual' });

  const until = performance.now() + MILLISECONDS;
  const random = numbers(SEED);
  const attackers = Array.from({ length: ATTACKERS }, () => assault(server.port, numbers(random(2 ** 31)), until));
  let sent = 0;
  while (performance.now() < until) {
    const batch = Array.from({ length: 5 }, () => publisher.publish('/queue/seen', String(sent++)));
    await Promise.all(batch);
    await sleep(1);
  }
  const connections = (await Promise.all(attackers)).reduce((sum, count) => sum + count, 0);
  expect(connections).toBeGreaterThan(ATTACKERS);

  await within(
    'the last message',
    eventually(() => got.length >= sent),
  );
  expect(got).toEqual(Array.from({ length: sent }, (_, n) => n));
  // The two were never disconnected.
  expect([publisher.reason, consumer.reason]).toEqual([undefined, undefined]);

  // Whoever has gone leaves nothing behind: what stays are the two, and what a process of Node needs in any case.
  await within(
    'the end of all other connections',
    eventually(() => server.program.handles < 40),
  );
  expect(server.program.memory).toBeLessThan(300);
  await publisher.publish('/queue/seen', String(sent));
  const { code } = await server.program.stop();
  expect({ code, said: complaints(server.program.stderr) }).toEqual({ code: 0, said: [] });
});

/** What a broker must not say whatever clients do. */
const complaints = (text: string) => text.split('\n').filter((line) => /internal error|unhandled|^\s+at /i.test(line));

async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(10);
}
