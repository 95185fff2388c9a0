import { afterEach, expect, it, jest } from '@jest/globals';
import { LocalEngine, MemoryStore } from 'nestjs-stomp-broker';
import { Memory } from 'nestjs-stomp/server';
import { join, makeBroker, sendAll, standstill } from '../../../support/broker.js';

const MOST = 2 ** 21;
const COUNT = 16;
const TOPIC = '/topic/a';
const body = 'x'.repeat(2 ** 16);

afterEach(() => {
  jest.restoreAllMocks();
});

it('who waits for an answer to whether it may send is not sent away for acknowledgements that stand behind', async () => {
  const memory = new Memory(MOST);
  let answer: (() => void) | undefined;
  const admission = {
    connect: () => Promise.resolve(),
    use: (_session: unknown, destination: string) =>
      destination === '/queue/asked' ? new Promise<void>((resolve) => (answer = resolve)) : Promise.resolve(),
  };
  const broker = await makeBroker({
    memory,
    admission,
    engine: new LocalEngine(new MemoryStore(memory), [], { memory }),
  });
  const [waits, silent, publisher] = [await join(broker), await join(broker), await join(broker)];
  for (const peer of [waits, silent]) await peer.subscribe(TOPIC, { id: 's', ack: 'client' });
  await sendAll(
    publisher,
    TOPIC,
    Array.from({ length: COUNT }, () => body),
  );
  const [got] = [await waits.messages(COUNT), await silent.messages(COUNT)];
  waits.send('SEND', { destination: '/queue/asked', receipt: 'asked' }, 'x');
  waits.send('ACK', waits.reference(got.at(-1)!));
  await standstill(() => answer);
  for (let n = 0; n < 2 * COUNT; n++) publisher.send('SEND', { destination: '/queue/full' }, body);
  await standstill(() => memory.full);
  expect(memory.full).toBe(true);

  const now = performance.now.bind(performance);
  const begun = now();
  // An hour in ten seconds.
  jest.spyOn(performance, 'now').mockImplementation(() => begun + 360 * (now() - begun));
  expect((await silent.refused()).header('message')).toBe('slow consumer');
  jest.restoreAllMocks();

  answer!();
  await waits.receipt('asked');
  await waits.receipted('BEGIN', { transaction: 'still here' });
});
