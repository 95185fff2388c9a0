import { describe, expect, it } from '@jest/globals';
import { DEFAULT_LIMITS, FrameDecoder, FrameError } from 'nestjs-stomp/frame';
import { ALL, decode, fault, octets } from './codec.js';

const MIB = 1024 * 1024;

it('limits are what was promised, unless told otherwise', () => {
  expect(DEFAULT_LIMITS).toEqual({
    maxCommand: 1024,
    maxHeader: 10 * 1024,
    maxHeaders: 1000,
    maxBody: 16 * MIB,
    maxFrame: Infinity,
  });
  expect(new FrameDecoder({ onFrame: () => undefined }).limits).toEqual(DEFAULT_LIMITS);
});

describe.each(ALL)('in version %s', (version) => {
  it('a command of 1 KiB is taken, one octet more refused before its line has ended', () => {
    expect(decode(version, `${'X'.repeat(1024)}\n\n\0`)).toHaveLength(1);
    expect(fault(version, 'X'.repeat(1025)).code).toBe('command-too-long');
  });

  it('a header line of 10 KiB is taken, one octet more refused before it has ended', () => {
    expect(decode(version, `SEND\na:${'x'.repeat(10 * 1024 - 2)}\n\n\0`)).toHaveLength(1);
    expect(fault(version, `SEND\na:${'x'.repeat(10 * 1024 - 1)}`).code).toBe('header-too-long');
    expect(fault(version, `SEND\n${'x'.repeat(10 * 1024 + 1)}`).code).toBe('header-too-long');
  });

  it('1,000 headers are taken, one more is refused before the head has ended', () => {
    expect(decode(version, `SEND\n${'a:b\n'.repeat(1000)}\n\0`)[0]!.headers.size).toBe(1000);
    expect(fault(version, `SEND\n${'a:b\n'.repeat(1001)}`).code).toBe('headers-too-many');
  });

  it('a counted body of 16 MiB is taken, one octet more refused by its announcement', () => {
    const frames = decode(version, [`SEND\ncontent-length:${16 * MIB}\n\n`, Buffer.alloc(16 * MIB, 'x'), '\0']);
    expect(frames[0]!.body.length).toBe(16 * MIB);
    expect(fault(version, `SEND\ncontent-length:${16 * MIB + 1}\n\n`).code).toBe('body-too-large');
  });

  it('an uncounted body of 16 MiB is taken, one octet more refused before its end', () => {
    const body = Buffer.alloc(16 * MIB, 'x');
    expect(decode(version, ['SEND\n\n', body, '\0'])[0]!.body.length).toBe(16 * MIB);
    expect(() => decode(version, ['SEND\n\n', body, 'x'])).toThrow(expect.objectContaining({ code: 'body-too-large' }));
  });

  it('each limit is an option', () => {
    const limits = { maxCommand: 4, maxHeader: 5, maxHeaders: 2, maxBody: 3 };
    expect(decode(version, 'SEND\na:bcd\nb:cde\n\nabc\0', limits)).toHaveLength(1);
    expect(fault(version, 'SENDS', limits).code).toBe('command-too-long');
    expect(fault(version, 'SEND\na:bcde', limits).code).toBe('header-too-long');
    expect(fault(version, 'SEND\na:b\na:b\na:b\n', limits).code).toBe('headers-too-many');
    expect(fault(version, 'SEND\n\nabcd', limits).code).toBe('body-too-large');
  });

  it('maxFrame counts from the command to the end of the body', () => {
    const counted = 'SEND\ncontent-length:3\n\nabc';
    expect(decode(version, `${counted}\0`, { maxFrame: counted.length })).toHaveLength(1);
    expect(fault(version, 'SEND\ncontent-length:3\n\n', { maxFrame: counted.length - 1 }).code).toBe('frame-too-large');
    const uncounted = 'SEND\na:b\n\nabc';
    expect(decode(version, `${uncounted}\0`, { maxFrame: uncounted.length })).toHaveLength(1);
    expect(fault(version, uncounted, { maxFrame: uncounted.length - 1 }).code).toBe('frame-too-large');
    expect(fault(version, 'SEND\na:bcdefg', { maxFrame: 10 }).code).toBe('frame-too-large');
  });
});

it('the error names the thing and its limit, and the frames before it have been given out', () => {
  const seen: string[] = [];
  const decoder = new FrameDecoder({ version: '1.2', maxBody: 10, onFrame: (frame) => seen.push(frame.command) });
  expect(() => decoder.push(octets('ACK\n\n\0SEND\nreceipt:r\\c1\ncontent-length:11\n\n'))).toThrow(
    new FrameError('body-too-large', 'the body is longer than 10 octets, the limit'),
  );
  expect(decoder.fault?.receipt).toBe('r:1');
  expect(seen).toEqual(['ACK']);
});

it('limits may be changed between two frames', () => {
  const decoder = new FrameDecoder({ version: '1.2', maxBody: 1, onFrame: () => (decoder.limits.maxBody = 4) });
  decoder.push(octets('SEND\n\na\0SEND\n\nabcd\0'));
  expect(() => decoder.push(octets('SEND\n\nabcde\0'))).toThrow(FrameError);
});

describe('what a peer can make us do costs time in proportion to what it sends', () => {
  /** Octets looked at, or copied, per octet that came: counted, as time would depend on the machine. */
  function work(bytes: Buffer, size: number): number {
    let touched = 0;
    const copy = watching(Buffer.prototype as object, 'copy', (copied) => (touched += copied as number));
    const concat = watching(Buffer, 'concat', (made) => (touched += (made as Buffer).length));
    try {
      const decoder = new FrameDecoder({ version: '1.0', onFrame: (frame) => frame.headers.size });
      for (let at = 0; at < bytes.length; at += size) decoder.push(bytes.subarray(at, at + size));
    } finally {
      copy();
      concat();
    }
    return touched / bytes.length;
  }

  /** Watches the results of a method; returns what ends that. */
  function watching(owner: object, name: string, watch: (result: unknown) => void): () => void {
    const methods = owner as Record<string, (...values: unknown[]) => unknown>;
    const own = methods[name]!;
    methods[name] = function (this: unknown, ...values) {
      const result = own.apply(this, values);
      watch(result);
      return result;
    };
    return () => (methods[name] = own);
  }

  it.each([
    ['a head of 1,000 headers', octets(`SEND\n${'name:some value\n'.repeat(1000)}\n\0`)],
    ['a body of 64 KiB', octets(`SEND\n\n${'x'.repeat(64 * 1024)}\0`)],
    ['line feeds', Buffer.alloc(64 * 1024, '\n')],
  ])('%s in single octets', (_, bytes) => {
    expect(work(bytes, 1)).toBeLessThan(5);
  });

  it('a line of 10 KiB in single octets is looked at once', () => {
    const bytes = octets(`SEND\na:${'x'.repeat(10_000)}`);
    const elapsed = (length: number, times: number) => {
      const started = process.cpuUsage();
      for (let i = 0; i < times; i++)
        decode(
          '1.2',
          [...bytes.subarray(0, length)].map((octet) => Buffer.of(octet)),
        );
      const { user, system } = process.cpuUsage(started);
      return user + system;
    };
    elapsed(10_000, 2);
    // The same number of octets as one line or as twenty: a quadratic scan takes ten times as long.
    expect(elapsed(10_000, 5)).toBeLessThan(5 * elapsed(500, 100) + 50_000);
  });

  it('long runs of blanks around, and inside, 1.0 values', () => {
    const bytes = octets(`SEND\n${`a:x${' '.repeat(10_000)}x\n`.repeat(1000)}\n\0`);
    const started = process.cpuUsage();
    const [frame] = decode('1.0', bytes);
    expect(frame!.headers.get('a')).toHaveLength(10_002);
    // Quadratic time would be minutes.
    expect(process.cpuUsage(started).user).toBeLessThan(5_000_000);
  });
});
