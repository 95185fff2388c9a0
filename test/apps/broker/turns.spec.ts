import { describe, expect, it, jest } from '@jest/globals';
import { serve } from '../../support/serve.js';
import { type RawPeer, unique } from '../../support/raw.js';

// Each test runs whole processes, maybe beside others that do.
jest.setTimeout(120_000);

/** The longest that a witness waits for a receipt until something is over, in ms. */
async function worst(witness: RawPeer, over: Promise<unknown>): Promise<number> {
  let [longest, on] = [0, true];
  const end = over.finally(() => (on = false));
  while (on) {
    const start = performance.now();
    await witness.receipted('SEND', { destination: '/queue/witness', expires: '1' }, 'x');
    longest = Math.max(longest, performance.now() - start);
  }
  await end;
  return longest;
}

/** Less than all of it takes at once, and more than a turn does on a busy machine. */
const SOON = 1_500;

describe('nobody else is held up by', () => {
  it('messages that repeat every millisecond', async () => {
    const server = await serve();
    const [publisher, reader, witness] = [await server.connect(), await server.connect(), await server.connect()];
    const destination = unique('/topic/turns');
    const often = { AMQ_SCHEDULED_DELAY: '3000', AMQ_SCHEDULED_PERIOD: '1', AMQ_SCHEDULED_REPEAT: '-1' };
    for (let n = 0; n < 60_000; n++) publisher.send('SEND', { destination, ...often }, 'x');
    await publisher.receipted('SEND', { destination: '/queue/turns', 'x-delay': '5000' }, 'behind them');
    publisher.end();
    await reader.subscribe('/queue/turns');
    expect(await worst(witness, reader.texts(1))).toBeLessThan(SOON);
  });
});
