import { expect, it } from '@jest/globals';
import { encodeFrame, Frame, FrameDecoder, FrameError, type Version } from 'nestjs-stomp/frame';
import { numbers } from '../../../support/random.js';
import { ALL, octets } from './codec.js';

/** How long each version is fuzzed, and from which seed: `FUZZ_MS=60000 FUZZ_SEED=1 npm test -- frame/fuzz`. */
const MILLISECONDS = Number(process.env.FUZZ_MS ?? 1_500);
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);

const LIMITS = { maxCommand: 64, maxHeader: 256, maxHeaders: 8, maxBody: 2048 };

const CORPUS = [
  octets('CONNECT\r\naccept-version:1.0,1.1,1.2\r\nhost:h\r\nlogin:a:b\r\n\r\n\0\n'),
  octets('SUBSCRIBE\nid:0\ndestination:/queue/ü\nack:client\nreceipt:1\n\n\0\n\n\n'),
  encodeFrame(new Frame('SEND', { destination: '/a', 'x\\:\n': 'y\\:\n' }, Buffer.alloc(300, 'a\0b')), {
    version: '1.1',
  }),
  octets('MESSAGE\nmessage-id:\\c1\ncontent-length:3\n\n\0\0\0\0SEND\n\nno length\0'),
];
const INTERESTING = [0, 10, 13, 32, 48, 57, 58, 92, 99, 110, 127, 128, 192, 237, 255];

function mutated(random: (below: number) => number): Buffer {
  let bytes = Buffer.concat(Array.from({ length: 1 + random(3) }, () => CORPUS[random(CORPUS.length)]!));
  for (let times = random(6); times > 0; times--) {
    const at = random(bytes.length + 1);
    const octet = random(2) === 0 ? random(256) : INTERESTING[random(INTERESTING.length)]!;
    const until = at + random(20);
    switch (random(5)) {
      case 0:
        if (at < bytes.length) bytes[at] = octet;
        break;
      case 1:
        bytes = Buffer.concat([bytes.subarray(0, at), Buffer.alloc(1 + random(400), octet), bytes.subarray(at)]);
        break;
      case 2:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(until)]);
        break;
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, until), bytes.subarray(at)]);
        break;
      default:
        bytes = Buffer.from(bytes.subarray(0, at));
    }
  }
  return bytes;
}

/** Feeds the octets in random pieces; tells what came of them. */
function feed(bytes: Buffer, version: Version | undefined, random: (below: number) => number): string[] {
  const seen: string[] = [];
  const decoder = new FrameDecoder({
    ...(version === undefined ? {} : { version }),
    ...LIMITS,
    onFrame: (frame) => {
      seen.push(JSON.stringify([frame.command, [...frame.headers], frame.body.toString('latin1')]));
      expect(frame.command.length).toBeLessThanOrEqual(LIMITS.maxCommand);
      expect(frame.headers.size).toBeLessThanOrEqual(LIMITS.maxHeaders);
      expect(frame.body.length).toBeLessThanOrEqual(LIMITS.maxBody);
    },
  });
  try {
    for (let at = 0; at < bytes.length;) {
      const size = 1 + random(random(3) === 0 ? 4 : 1000);
      decoder.push(Buffer.from(bytes.subarray(at, at + size)));
      at += size;
    }
  } catch (error) {
    if (!(error instanceof FrameError)) throw error;
    expect(decoder.fault).toBe(error);
    seen.push(error.code);
  }
  return seen;
}

it.each([undefined, ...ALL])(
  'mutated octets (version %s) give frames within the limits or a FrameError, the same however they are cut',
  (version) => {
    const until = performance.now() + MILLISECONDS;
    let round = 0;
    try {
      for (; performance.now() < until; round++) {
        const random = numbers(SEED + round);
        const bytes = mutated(random);
        expect(feed(bytes, version, random)).toEqual(feed(bytes, version, () => 999));
      }
    } catch (error) {
      throw new Error(`seed ${SEED + round} (FUZZ_SEED=${SEED + round})`, { cause: error });
    }
    expect(round).toBeGreaterThan(0);
  },
  MILLISECONDS + 20_000,
);

it('keeps nothing of a frame that was refused, nor of many that were taken', () => {
  const collect = (globalThis as { gc?: () => void }).gc ?? (() => undefined);
  const held = () => {
    collect();
    return process.memoryUsage().arrayBuffers;
  };
  const random = numbers(SEED);
  const decoders = ALL.map((version) => new FrameDecoder({ version, onFrame: () => undefined }));
  const before = held();
  for (let i = 0; i < 50_000; i++) {
    for (const decoder of decoders)
      decoder.push(Buffer.from(`SEND\na:${random(10)}\n\n${'x'.repeat(random(2000))}\0\n`));
  }
  expect(held() - before).toBeLessThan(128 * 1024 * 1024);
});
