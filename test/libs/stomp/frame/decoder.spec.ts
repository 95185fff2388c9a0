import { describe, expect, it } from '@jest/globals';
import { FrameDecoder, FrameError, type FrameDecoderOptions } from 'nestjs-stomp/frame';
import { ALL, fault, octets } from './codec.js';

/** A decoder, and the bodies that it has given out. */
function open(options: Partial<FrameDecoderOptions> = {}) {
  const seen: string[] = [];
  const decoder: FrameDecoder = new FrameDecoder({
    version: '1.2',
    ...options,
    onFrame: (frame) => {
      seen.push(frame.body.toString());
      options.onFrame?.(frame);
    },
  });
  return { decoder, seen };
}

const send = (body: string) => octets(`SEND\n\n${body}\0`);

describe('pause and resume', () => {
  it('called in onFrame, pause keeps back what comes after, in its order', () => {
    const { decoder, seen } = open({ onFrame: () => decoder.pause() });
    decoder.push(Buffer.concat([send('a'), send('b'), send('c')]));
    decoder.push(send('d'));
    expect(seen).toEqual(['a']);
    for (const last of ['b', 'c', 'd']) {
      decoder.resume();
      expect(seen.at(-1)).toBe(last);
    }
    decoder.resume();
    expect(seen).toEqual(['a', 'b', 'c', 'd']);
  });

  it('keeps a frame that is cut into pieces while it waits', () => {
    const { decoder, seen } = open();
    decoder.pause();
    for (const octet of Buffer.concat([send('a'), send('b')])) decoder.push(Buffer.of(octet));
    expect(seen).toEqual([]);
    decoder.resume();
    expect(seen).toEqual(['a', 'b']);
  });

  it('resume in onFrame goes on after that frame, not inside it', () => {
    const order: string[] = [];
    const { decoder } = open({
      onFrame: ({ body }) => {
        order.push(`<${body.toString()}`);
        decoder.pause();
        decoder.resume();
        order.push(`${body.toString()}>`);
      },
    });
    decoder.push(Buffer.concat([send('a'), send('b')]));
    expect(order).toEqual(['<a', 'a>', '<b', 'b>']);
  });

  it('a push in onFrame is decoded after what is at hand', () => {
    const { decoder, seen } = open({ onFrame: ({ body }) => body.toString() === 'a' && decoder.push(send('c')) });
    decoder.push(Buffer.concat([send('a'), send('b')]));
    expect(seen).toEqual(['a', 'b', 'c']);
  });

  it('a version set in onFrame holds from the next frame on', () => {
    const values: Array<string | undefined> = [];
    const decoder: FrameDecoder = new FrameDecoder({
      onFrame: ({ command, headers }) => {
        values.push(headers.get('a'));
        if (command === 'CONNECTED') decoder.version = '1.2';
      },
    });
    decoder.push(octets('CONNECTED\na:b\\nc\n\n\0MESSAGE\na:b\\nc\n\n\0'));
    expect(values).toEqual(['b\\nc', 'b\nc']);
  });

  it('an error that onFrame throws comes out of push, and decoding goes on behind that frame', () => {
    const { decoder, seen } = open({
      onFrame: ({ body }) => {
        if (body.toString() === 'bad') throw new Error('from the handler');
      },
    });
    expect(() => decoder.push(Buffer.concat([send('bad'), send('b')]))).toThrow('from the handler');
    expect(decoder.fault).toBeUndefined();
    decoder.push(send('c'));
    expect(seen).toEqual(['bad', 'b', 'c']);
  });
});

describe('after a fault', () => {
  it('each push and each resume throws that same error, and no frame comes any more', () => {
    const { decoder, seen } = open();
    const errors = [octets('SEND\nbad\n\n\0SEND\n\nx\0'), send('y'), octets('\n')].map((chunk) => {
      try {
        decoder.push(chunk);
      } catch (error) {
        return error;
      }
      return undefined;
    });
    expect(errors[0]).toBeInstanceOf(FrameError);
    expect(new Set([...errors, decoder.fault]).size).toBe(1);
    expect(() => decoder.resume()).toThrow(decoder.fault);
    expect(seen).toEqual([]);
  });

  it('met on resume, it comes out of resume', () => {
    const { decoder } = open();
    decoder.pause();
    decoder.push(octets('SEND\nbad\n\n\0'));
    expect(decoder.fault).toBeUndefined();
    expect(() => decoder.resume()).toThrow(FrameError);
  });

  it('no frame that has begun is told after one that has ended', () => {
    const { decoder } = open();
    expect(decoder.partial).toBe(false);
    decoder.push(octets('SEND\n'));
    expect(decoder.partial).toBe(true);
    decoder.push(octets('\nbody'));
    expect(decoder.partial).toBe(true);
    decoder.push(octets('\0\n'));
    expect(decoder.partial).toBe(false);
  });
});

describe.each(ALL)('the receipt of a faulty frame of %s', (version) => {
  it.each([
    ['a bad line before it', 'SEND\nbad\nreceipt:r1\n\n\0'],
    ['a bad line behind it', 'SEND\nreceipt:r1\nbad\n\n\0'],
    ['too long a line', `SEND\nreceipt:r1\na:${'x'.repeat(11_000)}`],
    ['too many headers, itself the last', `SEND\n${'some-longer-name:with a value\n'.repeat(999)}receipt:r1\na:b\nc`],
    ['a bad content-length', 'SEND\ncontent-length:x\nreceipt:r1\n\n'],
    ['too large a body', 'SEND\nreceipt:r1\ncontent-length:99999999\n\n'],
    ['a body that does not end', 'SEND\ncontent-length:1\nreceipt:r1\n\nabc'],
    ['invalid UTF-8', Buffer.concat([octets('SEND\na:'), Buffer.of(255), octets('\nreceipt:r1\n\n\0')])],
    ['a second receipt', 'SEND\nreceipt:r1\nreceipt:r2\nbad\n\n\0'],
  ])('is in the error: %s', (_, wire) => {
    const bytes = octets(wire);
    expect(fault(version, bytes).receipt).toBe('r1');
    const decoder = new FrameDecoder({ version, onFrame: () => undefined });
    expect(() => {
      for (const octet of bytes) decoder.push(Buffer.of(octet));
    }).toThrow(FrameError);
    // Octet by octet a line behind the fault has not come yet.
    expect([undefined, 'r1']).toContain(decoder.fault!.receipt);
  });

  it('is not looked for in the body, in the next frame or in names like it', () => {
    for (const rest of [
      '\nreceipt:r1\n\n\0',
      '\n\0SEND\nreceipt:r1\n\n\0',
      'receipt-id:r1\n\n\0',
      'receipts:r1\n\n\0',
    ]) {
      expect(fault(version, `SEND\nbad\n${rest}`).receipt).toBeUndefined();
    }
  });

  it('is none where it cannot be read', () => {
    const wire = Buffer.concat([octets('SEND\nreceipt:'), Buffer.of(255), octets('\nbad\n\n\0')]);
    expect(fault(version, wire).receipt).toBeUndefined();
  });
});

it('a frame without a body that is given one is refused with its receipt', () => {
  expect(fault('1.2', 'SUBSCRIBE\nreceipt:r1\ncontent-length:3\n\n').receipt).toBe('r1');
  expect(fault('1.2', 'SUBSCRIBE\nreceipt:r1\n\nabc').receipt).toBe('r1');
});

it('errors show no value of a header', () => {
  for (const line of ['passcode:sec\rret', ':secret', 'secret', 'passcode:sec\\tret', '\rpasscode:secret']) {
    expect(fault('1.2', `SEND\n${line}\n\n\0`).message).not.toMatch(/sec|ret"/);
  }
});

it('a body that came in one piece is a view of its chunk', () => {
  const seen: Buffer[] = [];
  const chunk = octets('SEND\n\nbody\0');
  new FrameDecoder({ onFrame: (frame) => seen.push(frame.body) }).push(chunk);
  expect(seen[0]!.buffer).toBe(chunk.buffer);
  expect(seen[0]!.byteOffset).toBe(chunk.byteOffset + 6);
});

it('takes any Uint8Array', () => {
  const bytes = new Uint8Array(octets('xxSEND\n\nbody\0xx')).subarray(2, 13);
  const seen: string[] = [];
  new FrameDecoder({ onFrame: (frame) => seen.push(frame.body.toString()) }).push(bytes);
  expect(seen).toEqual(['body']);
});
