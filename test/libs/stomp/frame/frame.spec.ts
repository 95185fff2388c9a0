import { describe, expect, it } from '@jest/globals';
import { encodeFrame, Frame, FrameHeaders } from 'nestjs-stomp/frame';
import { decode, octets } from './codec.js';

describe('headers', () => {
  it('are made of pairs, an object, a map or other headers', () => {
    const pairs = [
      ['a', '1'],
      ['b', 'true'],
    ] as const;
    const map = new Map(pairs);
    for (const init of [pairs, { a: 1, b: true, c: undefined }, map, new FrameHeaders(pairs)]) {
      expect([...new FrameHeaders(init)]).toEqual(pairs);
    }
    expect(new FrameHeaders().size).toBe(0);
  });

  it('set leaves one entry at the place of the first, add appends, delete takes all', () => {
    const headers = new FrameHeaders([
      ['a', '1'],
      ['b', '2'],
      ['a', '3'],
      ['a', '4'],
    ]);
    expect(headers.set('a', '5').add('b', '6').set('c', '7').size).toBe(4);
    expect([...headers]).toEqual([
      ['a', '5'],
      ['b', '2'],
      ['b', '6'],
      ['c', '7'],
    ]);
    expect(headers.get('b')).toBe('2');
    expect(headers.delete('b')).toBe(true);
    expect(headers.delete('b')).toBe(false);
    expect(headers.has('b')).toBe(false);
    expect([...headers.entries()]).toEqual([
      ['a', '5'],
      ['c', '7'],
    ]);
  });

  it('are case-sensitive, and an empty value is there', () => {
    const headers = new FrameHeaders({ a: '' });
    expect([headers.has('a'), headers.get('a'), headers.has('A')]).toEqual([true, '', false]);
  });

  it('a copy is of its own', () => {
    const headers = new FrameHeaders({ a: '1' });
    headers.copy().set('a', '2').set('b', '3');
    expect([...headers]).toEqual([['a', '1']]);
  });

  it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'length'])(
    '%s is a name like any other',
    (name) => {
      expect(new FrameHeaders().get(name)).toBeUndefined();
      const [frame] = decode('1.2', encodeFrame(new Frame('SEND', [[name, 'x']]), { version: '1.2' }));
      expect(frame!.headers.get(name)).toBe('x');
      const object = frame!.headers.toObject();
      expect(Object.keys(object)).toEqual([name]);
      expect(Object.getPrototypeOf(object)).toBeNull();
      expect(object[name]).toBe('x');
      expect(({} as Record<string, unknown>).x).toBeUndefined();
    },
  );

  it('as an object have the first entry of each name', () => {
    expect({
      ...new FrameHeaders([
        ['a', ''],
        ['a', '2'],
        ['b', '3'],
      ]).toObject(),
    }).toEqual({ a: '', b: '3' });
  });
});

describe('a frame', () => {
  it('is built of a command, headers and a body of text or bytes', () => {
    expect(new Frame('SEND').body.length).toBe(0);
    expect([...new Frame('SEND').headers]).toEqual([]);
    expect(new Frame('SEND', {}, 'ü').body).toEqual(Buffer.of(0xc3, 0xbc));
    expect(new Frame('SEND', {}, new Uint8Array([1, 2, 3]).subarray(1)).body).toEqual(Buffer.of(2, 3));
  });

  it('that was received can be changed and sent on', () => {
    const [frame] = decode('1.1', 'MESSAGE\na\\cb:c\nd:e\ncontent-length:3\n\nx\0y\0');
    frame!.command = 'SEND';
    frame!.headers.set('d', 'f\r');
    frame!.headers.delete('content-length');
    frame!.body = 'longer';
    expect(encodeFrame(frame!, { version: '1.2' }).toString()).toBe(
      'SEND\na\\cb:c\nd:f\\r\ncontent-length:6\n\nlonger\0\n',
    );
    frame!.headers = new FrameHeaders({ only: 'this' });
    expect([...frame!.headers]).toEqual([['only', 'this']]);
  });

  it('that was copied does not change with its copy', () => {
    const [frame] = decode('1.2', ['SEND\na:b\n\nin p', 'ieces\0']);
    const copy = frame!.copy();
    copy.command = 'MESSAGE';
    copy.headers.set('a', 'c');
    copy.body = 'other';
    expect([frame!.command, frame!.headers.get('a'), frame!.body.toString()]).toEqual(['SEND', 'b', 'in pieces']);
    expect(copy.body.toString()).toBe('other');
  });

  it.each(['', 'send', 'SEND\n', 'SEND\nx:y', 'SEND X', 'SEND\0', 'SËND'])(
    'is not written with the command %j',
    (command) => {
      expect(() => encodeFrame(new Frame(command))).toThrow(expect.objectContaining({ code: 'command-malformed' }));
    },
  );

  it('goes out in one piece that ends with NUL LF', () => {
    expect(encodeFrame(new Frame('SEND', { a: 'b' }, 'c'))).toEqual(octets('SEND\na:b\ncontent-length:1\n\nc\0\n'));
  });
});
