import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Frame, FrameDecoder } from 'nestjs-stomp/frame';
import { Connection } from 'nestjs-stomp/wire';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { setImmediate as turn, setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { socketPair } from '../../../support/pair.js';

const quiet = { onFrame() {}, onFault() {}, onEnd() {}, onClose() {} };

/** Octets that no other frame has. */
const body = (seed: number, size: number) => {
  const start = createHash('sha256').update(String(seed)).digest();
  return Buffer.alloc(size, start);
};

it('slabs that are used again never carry the octets of another frame, whatever is sent when', async () => {
  const size = fc.oneof(fc.nat(200), fc.integer({ min: 3_900, max: 8_300 }), fc.integer({ min: 60_000, max: 140_000 }));
  const step = fc.record({ size, connection: fc.nat(2), turns: fc.nat(2), flush: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 60 }), async (steps) => {
      const pairs = await Promise.all([socketPair(), socketPair(), socketPair()]);
      const connections = pairs.map(([near]) => new Connection(near, quiet));
      const got = pairs.map(([, far]) => {
        const bodies: string[] = [];
        const decoder = new FrameDecoder({ onFrame: (frame) => bodies.push(frame.body.toString('hex')) });
        far.on('data', (chunk: Buffer) => decoder.push(chunk));
        return { bodies, ended: once(far, 'end') };
      });
      const sent: string[][] = [[], [], []];
      for (const [seed, { size, connection, turns, flush }] of steps.entries()) {
        const bytes = body(seed, size);
        sent[connection]!.push(bytes.toString('hex'));
        connections[connection]!.send(new Frame('SEND', { seed: String(seed) }, bytes));
        if (flush) connections[connection]!.flush();
        for (let i = 0; i < turns; i++) await turn();
      }
      for (const connection of connections) connection.end();
      await Promise.all(got.map(({ ended }) => ended));
      for (const [, far] of pairs) far.end();
      got.forEach(({ bodies }, index) => {
        expect(bodies.length).toBe(sent[index]!.length);
        bodies.forEach((each, at) => expect(each === sent[index]![at]).toBe(true));
      });
    }),
    { numRuns: 25 },
  );
}, 60_000);

/** Octets of all buffers that something still holds. */
function held(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().arrayBuffers;
}

it('what many connections at once have needed to send is used again, and let go of soon after', async () => {
  const pairs = await Promise.all(Array.from({ length: 200 }, () => socketPair()));
  for (const [, far] of pairs) far.resume();
  const connections = pairs.map(([near]) => new Connection(near, quiet));
  const frame = new Frame('SEND', {}, Buffer.alloc(4_000));
  /** Each connection fills slabs for itself: 60 KB of them. */
  const burst = async () => {
    for (const connection of connections) for (let i = 0; i < 15; i++) connection.send(frame);
    while (connections.some(({ buffered }) => buffered > 0)) await turn();
  };
  await burst();
  const once = held();
  await burst();
  expect(held() - once).toBeLessThan(2_000_000);
  const end = performance.now() + 10_000;
  while (held() > once - 10_000_000 && performance.now() < end) await setTimeout(100);
  expect(held()).toBeLessThan(once - 10_000_000);
  for (const connection of connections) connection.destroy();
}, 60_000);
