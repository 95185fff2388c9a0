import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { encodeFrame, Frame, FrameDecoder, FrameError, type Version } from 'nestjs-stomp/frame';
import { ALL, cut, decode, octets, plain } from './codec.js';

/** A stream of frames and heart-beats with all that may be cut in the middle. */
const CORPUS: Record<Version, string> = {
  '1.0':
    'CONNECT\nlogin:a:b\n\n\0\n\nSEND\nx: padded \nü:\\n\n\nbo\ndy\0SEND\ncontent-length:5\n\na\0\n\0b\0\n\0\nACK\n\n\0',
  '1.1':
    'SEND\na\\cb:\\n\\\\ü😀\nr:x\ry\r\n\n日本\0\n\nMESSAGE\ncontent-length:6\n\n\0a\n\n\0\0\0\nRECEIPT\nreceipt-id:1\n\n\0\n',
  '1.2':
    'SEND\r\na\\rb:\\n\\c\\\\😀\r\ncontent-length:4\r\n\r\n\0\r\n\0\0\r\n\r\n\nERROR\nmessage:\r\n\n日\r\n本\0ACK\nid:1\n\r\n\0\n',
};

/** Frames and heart-beats, in their order. */
function record(version: Version, chunks: readonly Buffer[]): unknown[] {
  const seen: unknown[] = [];
  const decoder = new FrameDecoder({
    version,
    onFrame: (frame) => seen.push(plain(frame)),
    onHeartBeat: () => seen.push('beat'),
  });
  for (const chunk of chunks) decoder.push(chunk);
  expect(decoder.partial).toBe(false);
  return seen;
}

describe.each(ALL)('a stream of %s', (version) => {
  const stream = octets(CORPUS[version]);
  const whole = record(version, [stream]);

  it('means the same wherever it is cut in two', () => {
    expect(whole.length).toBeGreaterThan(3);
    for (let at = 0; at <= stream.length; at++) expect(record(version, cut(stream, at))).toEqual(whole);
  });

  it('means the same wherever it is cut in three', () => {
    for (let one = 0; one < stream.length; one++) {
      for (let two = one; two < Math.min(stream.length, one + 8); two++) {
        expect(record(version, cut(stream, one, two))).toEqual(whole);
      }
    }
  });

  it('means the same octet by octet, with empty chunks between', () => {
    const chunks = [...stream].flatMap((octet) => [Buffer.of(octet), Buffer.alloc(0)]);
    expect(record(version, chunks)).toEqual(whole);
  });

  it('has the same fault wherever it is cut', () => {
    const faulty = Buffer.concat([stream, octets('SEND\nreceipt:77\nno colon\n\n\0')]);
    for (let at = 0; at <= faulty.length; at++) {
      expect(() => record(version, cut(faulty, at))).toThrow(
        expect.objectContaining({ code: 'header-malformed', receipt: '77' }),
      );
    }
  });
});

const text = fc.string({ unit: 'binary', maxLength: 12 });
const hostile = fc.oneof(
  text,
  fc.string({ unit: fc.constantFrom('\n', '\r', ':', '\\', '\0', ' ', '\t', 'c', 'n', 'r', 'ü', '\ud800', '\udc00') }),
  fc.constantFrom('content-type', '__proto__', 'constructor', 'destination', 'receipt', ''),
);
const frames = fc.array(
  fc.record({
    command: fc.constantFrom('SEND', 'MESSAGE', 'ERROR'),
    headers: fc.array(fc.tuple(hostile, hostile), { maxLength: 6 }),
    body: fc.uint8Array({ maxLength: 3000 }),
  }),
  { minLength: 1, maxLength: 4 },
);
const cuts = fc.array(fc.nat(), { maxLength: 12 });

/** What comes out of 1.0, which loses the blanks around a value. */
const trimmed = (version: Version, value: string) =>
  version === '1.0' ? value.replace(/^[ \t]+|[ \t]+$/g, '') : value;

describe.each(ALL)('any frames of %s', (version) => {
  it('come back as they were, however they are cut, or are refused: nothing can be injected', () => {
    fc.assert(
      fc.property(frames, cuts, (given, places) => {
        const sent: Array<(typeof given)[number]> = [];
        const chunks: Buffer[] = [];
        for (const each of given) {
          try {
            chunks.push(encodeFrame(new Frame(each.command, each.headers, each.body), { version }));
            sent.push(each);
          } catch (error) {
            if (!(error instanceof FrameError)) throw error;
            // 1.2 can carry all but these.
            if (version === '1.2')
              expect(each.headers.some(([n, v]) => n === '' || /[\0\p{Cs}]/u.test(n + '|' + v))).toBe(true);
          }
        }
        const stream = Buffer.concat(chunks);
        const edges = places.map((place) => place % (stream.length + 1)).sort((a, b) => a - b);
        const got = decode(version, cut(stream, ...edges));
        expect(
          got.map((frame) => ({
            command: frame.command,
            headers: [...frame.headers].filter(([name]) => name !== 'content-length'),
            body: frame.body.toString('hex'),
          })),
        ).toEqual(
          sent.map(({ command, headers, body }) => ({
            command,
            headers: headers
              .filter(([name]) => name !== 'content-length')
              .map(([name, value]) => [name, trimmed(version, value)]),
            body: Buffer.from(body).toString('hex'),
          })),
        );
      }),
    );
  });

  it('have no header but those given when they open a connection', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('CONNECT', 'STOMP', 'CONNECTED'),
        fc.array(fc.tuple(hostile, hostile)),
        (command, headers) => {
          let wire: Buffer;
          try {
            wire = encodeFrame(new Frame(command, headers), { version });
          } catch (error) {
            if (error instanceof FrameError) return;
            throw error;
          }
          expect(decode(undefined, wire).map((frame) => [...frame.headers])).toEqual([headers]);
        },
      ),
    );
  });
});
