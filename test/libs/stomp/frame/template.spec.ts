import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type Frame, FrameDecoder, type FrameError } from 'nestjs-stomp/frame';
import { fault, octets, plain, SINCE_1_1 } from './codec.js';

/** What a stream means, and how it ends. */
function read(version: '1.1' | '1.2', chunks: readonly Buffer[], limits = {}): unknown[] {
  const seen: unknown[] = [];
  const decoder = new FrameDecoder({
    version,
    ...limits,
    onFrame: (frame) => seen.push(plain(frame)),
    onHeartBeat: () => seen.push('beat'),
  });
  try {
    for (const chunk of chunks) decoder.push(chunk);
  } catch (error) {
    // The receipt is told where its line is there by then.
    const { code, message } = error as FrameError;
    seen.push({ code, message });
  }
  return seen;
}

/** Octet by octet no head is ever there as a whole, so each is scanned: what it means in one piece must be the same. */
const apart = (stream: Buffer): Buffer[] => [...stream].map((octet) => Buffer.of(octet));

/** An ACK without receipt and transaction by its id, any other frame as it is. */
function briefly(frame: Frame): unknown {
  const { command, headers } = frame;
  const more = ['receipt', 'transaction', 'content-length'].some((each) => headers.has(each));
  return command === 'ACK' && headers.has('id') && !more ? `ACK ${headers.get('id')}` : plain(frame);
}

/** The code of the fault that ends it, if any. */
function codeOf(step: () => void): string | undefined {
  try {
    step();
    return undefined;
  } catch (error) {
    return (error as FrameError).code;
  }
}

const name = fc.constantFrom(
  'destination',
  'content-type',
  'id',
  'receipt',
  'transaction',
  'x',
  'message-id',
  'expires',
);
const value = fc.constantFrom('', '/queue/a', '/queue/b', '1', '17-42', 'a:b', 'ä', 'x\\cy', 'x\r', 'text/plain', ' ');
const lines = fc.array(fc.tuple(name, value), { maxLength: 4 });
const command = fc.constantFrom('SEND', 'MESSAGE', 'ACK', 'ACK', 'RECEIPT', 'NACK');

/** Frames of one shape, in which some values change from one to the next. */
const alike = fc
  .record({ command, lines, length: fc.option(fc.constantFrom('', ' ', '+', '0'), { nil: undefined }) })
  .chain((shape) =>
    fc
      .array(fc.record({ change: fc.array(fc.tuple(fc.nat(3), value), { maxLength: 2 }), body: fc.string() }), {
        minLength: 2,
        maxLength: 6,
      })
      .map((frames) =>
        frames.map(({ change, body }) => {
          const own: string[][] = shape.lines.map(([key, text], at) => [
            key,
            change.find(([place]) => place === at)?.[1] ?? text,
          ]);
          const text = shape.command === 'ACK' || shape.command === 'RECEIPT' ? '' : body;
          if (shape.length !== undefined) own.push(['content-length', `${shape.length}${Buffer.byteLength(text)}`]);
          return `${shape.command}\n${own.map(([key, each]) => `${key}:${each}\n`).join('')}\n${text}\0`;
        }),
      ),
  );

const streams = fc.array(alike, { minLength: 1, maxLength: 4 }).map((groups) => octets(groups.flat().join('\n')));

describe.each(['1.1', '1.2'] as const)('frames of %s that look alike', (version) => {
  it('mean what they mean one by one', () => {
    fc.assert(
      fc.property(streams, (stream) => {
        expect(read(version, [stream])).toEqual(read(version, apart(stream)));
      }),
      { numRuns: 500 },
    );
  });

  it('mean what they mean one by one with an octet changed', () => {
    fc.assert(
      fc.property(streams, fc.nat(), fc.nat(255), (stream, at, octet) => {
        const changed = Buffer.from(stream);
        changed[at % stream.length] = octet;
        expect(read(version, [changed])).toEqual(read(version, apart(changed)));
      }),
      { numRuns: 500 },
    );
  });

  it('and are ACKs that ask for nothing besides are told of by their ids, with no frame, to who asks for that', () => {
    fc.assert(
      fc.property(streams, fc.nat(255), fc.nat(), fc.constantFrom(1, 2, 3), (stream, octet, at, taken) => {
        const changed = Buffer.from(stream);
        if (octet < 128) changed[at % stream.length] = octet;
        const seen: unknown[] = [];
        let asked = 0;
        const options = {
          version,
          onFrame: (frame: Frame) => seen.push(briefly(frame)),
          onAck: (bytes: Buffer, from: number, to: number) => {
            if (++asked % taken !== 0) return false;
            seen.push(`ACK ${bytes.toString('latin1', from, to)}`);
            return true;
          },
        };
        const decoder = new FrameDecoder(options);
        const frames: unknown[] = [];
        const apart = new FrameDecoder({ version, onFrame: (frame) => frames.push(briefly(frame)) });
        expect(codeOf(() => decoder.push(changed))).toBe(
          codeOf(() => changed.forEach((each) => apart.push(Buffer.of(each)))),
        );
        expect(seen).toEqual(frames);
      }),
      { numRuns: 500 },
    );
  });

  it('keep to the limits', () => {
    const same = 'SEND\ndestination:/queue/a\nx:1\n\nbody\0';
    for (const limits of [
      { maxHeader: 20 },
      { maxHeader: 30 },
      { maxHeaders: 2 },
      { maxBody: 8 },
      { maxFrame: 50 },
      { maxCommand: 4 },
    ]) {
      for (const next of [
        same,
        'SEND\ndestination:/queue/a\nx:1\n\nbody that is longer\0',
        'SEND\ndestination:/queue/a\nx:23456789012345678901234567890\n\nbody\0',
        'SEND\ndestination:/queue/a\nx:1\ny:2\n\nbody\0',
      ]) {
        const stream = octets(same + same.replace('x:1', 'x:2') + next);
        expect(read(version, [stream], limits)).toEqual(read(version, apart(stream), limits));
      }
    }
  });
});

it.each(SINCE_1_1)('a limit that is lowered holds for the next frame that looks alike [%s]', (version) => {
  const decoder = new FrameDecoder({ version, onFrame: () => undefined });
  const frame = octets('SEND\ndestination:/queue/a\n\nbody\0');
  decoder.push(Buffer.concat([frame, frame, frame]));
  decoder.limits.maxBody = 3;
  expect(() => decoder.push(frame)).toThrow(expect.objectContaining({ code: 'body-too-large' }));
});

it('a frame without a body is refused one, however many like it came before', () => {
  const frame = 'ACK\nid:0-1\n\n\0';
  expect(fault('1.2', `${frame.repeat(20)}ACK\nid:0-1\n\nbody\0`).code).toBe('body-forbidden');
});
