import { expect, it } from '@jest/globals';
import { encodeFrame, Frame, FrameDecoder } from 'nestjs-stomp/frame';
import { ALL, decode, fault, octets, one, plain, rule, SINCE_1_1 } from './codec.js';

rule('1', ALL, 'a frame is a command, header lines, a blank line, a body and a NUL', (version) => {
  const wire = 'SEND\ndestination:/queue/a\nx:y\n\nbody\0';
  const frame = {
    command: 'SEND',
    headers: [
      ['destination', '/queue/a'],
      ['x', 'y'],
    ] as const,
    body: 'body',
  };

  expect(one(version, wire)).toEqual(frame);
  expect(encodeFrame(new Frame(frame.command, frame.headers, frame.body), { version, contentLength: false })).toEqual(
    octets(`${wire}\n`),
  );
});

rule('2', ['1.0', '1.1'], 'a carriage return is no part of the end of line', (version) => {
  expect(one(version, 'SEND\r\na:b\n\n\0').command).toBe('SEND\r');
  expect(fault(version, 'SEND\na:b\n\r\n\0').code).toBe('header-malformed');
});

rule('3', ['1.2'], 'an end of line is LF or CR LF, mixed at will', (version) => {
  for (const eols of ['\r\n|\r\n|\r\n', '\r\n|\n|\n', '\n|\r\n|\n', '\n|\n|\r\n']) {
    const [command, header, blank] = eols.split('|');
    const wire = `SEND${command}a:b${header}${blank}body\0\r\n`;
    expect(decode(version, wire + wire).map(plain)).toEqual(
      Array(2).fill({ command: 'SEND', headers: [['a', 'b']], body: 'body' }),
    );
  }
});

rule('4', ['1.2'], 'the carriage return before a line feed is no part of the value', (version) => {
  expect(one(version, 'SEND\r\na:b\r\nc:\r\n\r\n\0').headers).toEqual([
    ['a', 'b'],
    ['c', ''],
  ]);
});

rule('5', ['1.0', '1.1'], 'a carriage return before a line feed is data once a version is agreed on', (version) => {
  expect(one(version, 'SEND\na:b\r\n\n\0').headers).toEqual([['a', 'b\r']]);
  expect(one(undefined, 'CONNECT\r\na:b\r\n\r\n\0')).toEqual({ command: 'CONNECT', headers: [['a', 'b']], body: '' });
});

rule('6', ['1.2'], 'a carriage return inside a header is malformed', (version) => {
  for (const line of ['a:b\rc', 'a\r:b', '\ra:b', 'a:b\r\r', 'a:\rb\r']) {
    expect(fault(version, `SEND\n${line}\n\n\0`).code).toBe('header-malformed');
  }
});

it.each([undefined, ...ALL])('a NUL inside a header is malformed, wherever the chunk ends; version %s', (version) => {
  for (const line of ['a:b\0c', 'a:\0', '\0a:b', 'a\0:b', 'a:b\0\0ACK']) {
    const head = octets(`SEND\nx:y\n${line}\nreceipt:r\n\n`);
    for (let cut = 0; cut <= head.length; cut++) {
      const read = () => decode(version, [head.subarray(0, cut), head.subarray(cut), octets('\0')]);
      expect(read).toThrow('a NUL stands inside the header');
    }
    expect(() => encodeFrame(new Frame('SEND', { 'a\0': 'b' }), { version })).toThrow('has a NUL');
    expect(() => encodeFrame(new Frame('SEND', { a: 'b\0' }), { version })).toThrow('has a NUL');
  }
  // What another broker passes on all the same does not end the connection.
  expect(one(version, 'MESSAGE\na:b\0c\n\n\0').headers).toEqual([['a', 'b\0c']]);
  // Heads that look like the ones before are not scanned byte by byte.
  const heads = ['1', '2', '3', '4'].map((n) => `SEND\ndestination:/a\nn:${n}\n\n\0`).join('');
  expect(fault(version, `${heads}SEND\ndestination:/a\nn:5\0\n\n\0`).message).toContain(
    'NUL stands inside the header "n"',
  );
});

rule('7', ALL, 'any number of ends of line, and stray NULs, may stand between frames', (version) => {
  for (const between of ['', '\n', '\n\n\n', '\r\n\r\n', '\0\n\0', '\n'.repeat(5000)]) {
    expect(decode(version, `${between}ACK\n\n\0${between}ACK\n\n\0${between}`)).toHaveLength(2);
  }
});

rule('8', ALL, 'a frame may have no header', (version) => {
  expect(one(version, 'DISCONNECT\n\n\0')).toEqual({ command: 'DISCONNECT', headers: [], body: '' });
  expect(encodeFrame(new Frame('DISCONNECT'), { version })).toEqual(octets('DISCONNECT\n\n\0\n'));
});

rule('9', ALL, 'frames may come octet by octet, or many in one read', (version) => {
  const frame = octets('SEND\nnäme:välue\ncontent-length:4\n\na\0ü\0');
  const stream = Buffer.concat([frame, octets('\n'), frame, frame]);
  const whole = decode(version, stream).map(plain);

  expect(whole).toHaveLength(3);
  expect(
    decode(
      version,
      [...stream].map((octet) => Buffer.of(octet)),
    ).map(plain),
  ).toEqual(whole);
});

rule('10', ALL, 'a header without a name is malformed', (version) => {
  expect(fault(version, 'SEND\n:value\n\n\0').code).toBe('header-malformed');
  expect(() => encodeFrame(new Frame('SEND', [['', 'value']]), { version })).toThrow(
    expect.objectContaining({ code: 'header-unencodable' }),
  );
});

rule('11', ALL, 'a header line without a colon is malformed', (version) => {
  const { code, message } = fault(version, 'SEND\na:b\nsecret\n\n\0');
  expect({ code, message }).toEqual({ code: 'header-malformed', message: 'header line 2 has no colon' });
});

rule('12', SINCE_1_1, 'a value may be empty', (version) => {
  expect(one(version, 'SEND\nfoo:\n\n\0').headers).toEqual([['foo', '']]);
});

rule('13', ['1.0'], 'a value may hold a colon; an empty one and UTF-8 are taken', (version) => {
  expect(one(version, 'SEND\na:b:c\nd:\ne:ü\n\n\0').headers).toEqual([
    ['a', 'b:c'],
    ['d', ''],
    ['e', 'ü'],
  ]);
});

rule('14 15', ALL, 'name and value are parted at the first colon; a raw one in a value is taken', (version) => {
  expect(one(version, 'SEND\na:b:c::\n\n\0').headers).toEqual([['a', 'b:c::']]);
});

rule('15', SINCE_1_1, 'names and values are written without a raw colon', (version) => {
  const wire = encodeFrame(new Frame('SEND', [['a:b', 'c:d']]), { version });
  expect(wire.toString()).toBe('SEND\na\\cb:c\\cd\n\n\0\n');
});

rule('16', SINCE_1_1, 'commands and names are case sensitive', (version) => {
  expect(one(version, 'send\n\n\0').command).toBe('send');
  const [frame] = decode(version, 'SEND\nDestination:/a\nContent-Length:1\n\nbody\0');
  expect(frame!.headers.get('destination')).toBeUndefined();
  expect(frame!.headers.get('Destination')).toBe('/a');
  expect(frame!.body.toString()).toBe('body');
});

rule('17', SINCE_1_1, 'blanks around names and values stay', (version) => {
  expect(one(version, 'SEND\n foo : bar \t\n\n\0').headers).toEqual([[' foo ', ' bar \t']]);
  expect(encodeFrame(new Frame('SEND', [[' foo ', ' bar ']]), { version }).toString()).toContain('\n foo : bar \n');
});

rule('18', ['1.0'], 'blanks around a value go', (version) => {
  expect(one(version, 'SEND\nlogin: \tme and you \t\ncontent-length: 2 \n\na\0\0')).toEqual({
    command: 'SEND',
    headers: [
      ['login', 'me and you'],
      ['content-length', '2'],
    ],
    body: 'a\0',
  });
});

rule('19', SINCE_1_1, 'commands and headers that are not UTF-8 are malformed', (version) => {
  for (const bad of [[0xff], [0xc3], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80]]) {
    const text = Buffer.from(bad);
    const around = (before: string, after: string) => Buffer.concat([octets(before), text, octets(after)]);
    for (const wire of [around('SEND\na:', '\n\n\0'), around('SEND\na', ':b\n\n\0'), around('S', '\n\n\0')]) {
      expect(fault(version, wire).code).toBe('utf8-invalid');
    }
  }
});

rule('20', SINCE_1_1, 'headers are UTF-8 both ways', (version) => {
  const headers = [['naïve', '日本語 😀 \u0001\ufeff']] as const;
  const wire = encodeFrame(new Frame('SEND', headers), { version });
  expect(wire.includes(octets('naïve:日本語 😀'))).toBe(true);
  expect(one(version, wire).headers).toEqual(headers);
});

rule('54', ALL, 'the first of repeated headers counts; all stay in their order', (version) => {
  const [frame] = decode(version, 'SEND\nfoo:World\nfoo:Hello\ncontent-length:1\ncontent-length:9\n\nx\0');
  expect(frame!.headers.get('foo')).toBe('World');
  expect([...frame!.headers].slice(0, 2)).toEqual([
    ['foo', 'World'],
    ['foo', 'Hello'],
  ]);
  expect(frame!.body.toString()).toBe('x');
});

rule('91', ALL, 'an end of line between frames is a heart-beat, the one that ends a frame is not', (version) => {
  const seen: string[] = [];
  const decoder = new FrameDecoder({
    version,
    onFrame: (frame) => seen.push(frame.command),
    onHeartBeat: () => seen.push('beat'),
  });
  decoder.push(octets('\nACK\n\n\0\n\n\r\nNACK\n\n\0BEGIN\n\n\0\n'));
  decoder.push(octets('\n'));
  expect(seen).toEqual(['beat', 'ACK', 'beat', 'beat', 'NACK', 'BEGIN', 'beat']);
});
