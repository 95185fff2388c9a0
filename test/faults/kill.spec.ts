import { expect, it, jest } from '@jest/globals';
import { gate, makeClient, stateOf, within } from '../support/client.js';
import { start } from '../support/programs.js';
import { numbers } from '../support/random.js';
import { unique } from '../support/raw.js';
import { serve } from '../support/serve.js';

const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);

jest.setTimeout(120_000);

const COUNT = 3_000;
const lines = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, n) => `line ${from + n} ${'x'.repeat(100)}\n`).join('');
const numberOf = (text: string) => Number(/^line (\d+) x{100}$/.exec(text)?.[1]);

it(`a consumer that is killed at any moment takes nothing with it that it has not acknowledged (seed ${SEED})`, async () => {
  const server = await serve();
  const random = numbers(SEED);
  const queue = unique('/queue/killed-consumer');
  const publisher = makeClient({ url: server.url });
  await publisher.connect();
  // There is more to come for as long as it takes, however fast somebody reads.
  let [sent, going] = [0, true];
  const publishing = (async () => {
    while (going) {
      const batch = Array.from({ length: 50 }, () => lines(sent, ++sent).trimEnd());
      await Promise.all(batch.map((line) => publisher.publish(queue, line)));
    }
  })();
  const seen = new Set<number>();
  for (let times = 0; times < 3; times++) {
    const printer = start('printer', '--url', server.url, '--topic', queue, '--ack', 'client-individual');
    const some = 1 + random(400);
    await printer.until(`${some} lines`, () => printer.stdout.length >= some);
    printer.signal('SIGKILL');
    await printer.exited;
    // The last one may have been cut off.
    for (const line of printer.stdout) if (!Number.isNaN(numberOf(line))) seen.add(numberOf(line));
  }
  going = false;
  await publishing;
  const all = gate();
  const consumer = makeClient({ url: server.url });
  await consumer.connect();
  const check = () => seen.size === sent && all.open();
  consumer.subscribe(
    queue,
    ({ text }) => {
      seen.add(numberOf(text));
      check();
    },
    { ack: 'client-individual' },
  );
  check();
  await within('all of them', all.promise);
  // Nothing came that was never sent, or in pieces.
  expect([...seen].sort((a, b) => a - b)).toEqual(Array.from({ length: sent }, (_, n) => n));
});

it(`a publisher that is killed at any moment leaves whole messages, in their order, without a gap (seed ${SEED})`, async () => {
  const server = await serve();
  const random = numbers(SEED);
  const consumer = makeClient({ url: server.url });
  await consumer.connect();
  for (let times = 0; times < 3; times++) {
    const queue = unique('/queue/killed-publisher');
    const [got, some, end] = [[] as string[], gate(), gate()];
    const enough = 1 + random(1_000);
    consumer.subscribe(queue, ({ text }) => {
      if (text === 'end') end.open();
      else if (got.push(text) === enough) some.open();
    });
    const stomper = start('stomper', '--url', server.url, '--topic', queue);
    stomper.stdin.write(lines(0, COUNT));
    await some.promise;
    stomper.signal('SIGKILL');
    await stomper.exited;
    const other = makeClient({ url: server.url });
    await other.connect();
    await other.publish(queue, 'end');
    await within('the end', end.promise);
    expect(got.map(numberOf)).toEqual(Array.from({ length: got.length }, (_, n) => n));
  }
});

it('a broker that is killed, and started again, finds its clients back with their subscriptions', async () => {
  const first = await serve();
  const queue = unique('/queue/killed-broker');
  const [publisher, consumer] = [makeClient({ url: first.url }), makeClient({ url: first.url })];
  await Promise.all([publisher.connect(), consumer.connect()]);
  const got: string[] = [];
  let look = () => {};
  consumer.subscribe(queue, ({ text }) => {
    got.push(text);
    look();
  });
  for (let times = 0, server = first; times < 3; times++) {
    // Some are on their way; what becomes of these nobody can know, but whoever sent them is told.
    const underWay = Array.from({ length: 50 }, () =>
      publisher.publish(queue, 'under way').then(
        () => 'sent',
        (error: { code?: string }) => error.code,
      ),
    );
    server.program.signal('SIGKILL');
    await server.program.exited;
    const outcomes = await within('the outcomes', Promise.all(underWay));
    expect(outcomes.filter((outcome) => outcome !== 'sent' && outcome !== 'connection-lost')).toEqual([]);
    server = await serve('--port', String(server.port));
    await Promise.all([stateOf(publisher, 'connected'), stateOf(consumer, 'connected')]);
    const received = within(
      'the message',
      new Promise<void>((resolve) => (look = () => got.at(-1) === `after ${times}` && resolve())),
    );
    await publisher.publish(queue, `after ${times}`);
    await received;
  }
});
