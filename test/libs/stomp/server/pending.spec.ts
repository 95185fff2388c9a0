import { describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { TestBroker, TestServer } from '../../../support/server.js';
import { frame, type Headers } from '../../../support/wire.js';

jest.setTimeout(120_000);

/** What a consumer, or its broker, does next; places are counted among what waits, as a share of it. */
type Step =
  | { readonly what: 'deliver'; readonly count: number }
  | { readonly what: 'answer'; readonly command: 'ACK' | 'NACK'; readonly places: readonly number[] }
  | { readonly what: 'within'; readonly command: 'ACK' | 'NACK'; readonly places: readonly number[]; commit: boolean };

const count = fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 120, max: 140 }), fc.constant(1_200));
const share = fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 0, max: 1, noNaN: true }));
const places = fc.oneof(
  fc.array(share, { minLength: 1, maxLength: 4 }),
  // The oldest, again and again; all, from either end.
  fc.integer({ min: 100, max: 1_300 }).map((times) => new Array<number>(times).fill(0)),
  fc.constantFrom(0, 1).map((end) => new Array<number>(2_000).fill(end)),
);
const command = fc.constantFrom<'ACK' | 'NACK'>('ACK', 'ACK', 'ACK', 'NACK');
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ what: fc.constant('deliver' as const), count }),
    fc.record({ what: fc.constant('answer' as const), command, places }),
    fc.record({ what: fc.constant('within' as const), command, places, commit: fc.boolean() }),
  ),
  { minLength: 2, maxLength: 10 },
);

/** A message that waits for its acknowledgement. */
interface Waiting {
  readonly body: string;
  readonly name: Headers;
}

/** Does the steps, and what is left in the end goes back; tells what was settled, and what should have been. */
async function play(version: '1.1' | '1.2', ack: 'client' | 'client-individual', all: readonly Step[]) {
  const broker = new TestBroker();
  const { peer } = await new TestServer(broker).connect(version);
  await peer.subscribe('/queue/a', { id: '0', ack });
  let waiting: Waiting[] = [];
  const expected: string[] = [];
  let delivered = 0;
  const deliver = async (count: number) => {
    const bodies = Array.from({ length: count }, () => `${delivered++}`);
    broker.deliver(...bodies);
    for (const message of await peer.messages(count)) {
      waiting.push({ body: message.text, name: peer.reference(message) });
    }
  };
  const answer = (command: 'ACK' | 'NACK', places: readonly number[], headers: Headers = {}) => {
    const settled: string[] = [];
    const frames: Buffer[] = [];
    for (const place of places) {
      if (waiting.length === 0) break;
      const at = Math.round(place * (waiting.length - 1));
      frames.push(frame(version, command, { ...waiting[at]!.name, ...headers }));
      const answered = ack === 'client' ? waiting.splice(0, at + 1) : waiting.splice(at, 1);
      for (const { body } of answered) settled.push(`${command.toLowerCase()} ${body}`);
    }
    peer.write(Buffer.concat(frames));
    return settled;
  };
  await deliver(3);
  const first = waiting[0]!.name;
  for (const step of all) {
    if (step.what === 'deliver') await deliver(step.count);
    else if (step.what === 'answer') expected.push(...answer(step.command, step.places));
    else {
      const before = [...waiting];
      peer.send('BEGIN', { transaction: 't' });
      const settled = answer(step.command, step.places, { transaction: 't' });
      await peer.receipted(step.commit ? 'COMMIT' : 'ABORT', { transaction: 't' });
      if (step.commit) expected.push(...settled);
      else waiting = before;
    }
  }
  expected.push(...answer('ACK', [0]));
  await deliver(3);
  if (expected.some((line) => line.endsWith(' 0'))) {
    // Its place in the list may be another's by now.
    peer.send('ACK', first);
    expect((await peer.refused()).header('message')).toBe('unknown message');
    await broker.until('the session is over', () => broker.gone.length === 1);
    expected.push(...waiting.map(({ body }) => `loss ${body}`));
  } else {
    await peer.receipted('UNSUBSCRIBE', { id: '0' });
    expected.push(...waiting.map(({ body }) => `return ${body}`));
  }
  return { settled: broker.settled, expected };
}

describe.each(['1.1', '1.2'] as const)('however many wait for a consumer of STOMP %s', (version) => {
  it.each(['client', 'client-individual'] as const)('each answer is for its own message, with ack:%s', async (ack) => {
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const { settled, expected } = await play(version, ack, all);
        expect(settled).toEqual(expected);
      }),
      {
        numRuns: 25,
        examples: [
          // More than are kept in place, emptied, and filled again.
          [
            [
              { what: 'deliver', count: 1_200 },
              { what: 'answer', command: 'ACK', places: new Array<number>(2_000).fill(0) },
              { what: 'deliver', count: 140 },
            ],
          ],
          [
            [
              { what: 'deliver', count: 1_200 },
              { what: 'deliver', count: 1_200 },
              { what: 'answer', command: 'ACK', places: new Array<number>(1_300).fill(0) },
            ],
          ],
        ],
      },
    );
  });
});
