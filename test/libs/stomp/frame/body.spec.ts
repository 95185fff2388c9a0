import { expect } from '@jest/globals';
import { encodeFrame, Frame } from 'nestjs-stomp/frame';
import { ALL, decode, fault, octets, one, rule, SINCE_1_1 } from './codec.js';

const BODIES = ['SEND', 'MESSAGE', 'ERROR'];
const NO_BODY = [
  ...['CONNECT', 'STOMP', 'SUBSCRIBE', 'UNSUBSCRIBE', 'ACK', 'NACK', 'BEGIN', 'COMMIT', 'ABORT', 'DISCONNECT'],
  ...['CONNECTED', 'RECEIPT'],
];

rule('38', ALL, 'without content-length the body ends at the first NUL', (version) => {
  expect(decode(version, 'SEND\n\nab\0ACK\n\n\0').map((frame) => frame.body.toString())).toEqual(['ab', '']);
});

rule('39', ALL, 'content-length octets are read, NULs too', (version) => {
  expect(one(version, 'SEND\ncontent-length:5\n\na\0\0\nb\0').body).toBe('a\0\0\nb');
});

rule('40', ALL, 'another octet than NUL after the counted ones is malformed', (version) => {
  expect(fault(version, 'SEND\ncontent-length:2\n\nabc\0').code).toBe('body-unterminated');
  expect(fault(version, 'SEND\ncontent-length:0\n\n\n\0').code).toBe('body-unterminated');
});

rule('41', ALL, 'a body with a NUL is never written without content-length', (version) => {
  const frame = new Frame('SEND', { destination: '/a' }, 'a\0b');
  expect(encodeFrame(frame, { version }).toString()).toContain('\ncontent-length:3\n');
  expect(() => encodeFrame(frame, { version, contentLength: false })).toThrow(
    expect.objectContaining({ code: 'body-unencodable' }),
  );
});

rule('42', ALL, 'a body is written with its content-length, whatever the frame says of it', (version) => {
  for (const command of BODIES) {
    const frame = new Frame(command, { 'content-length': '99', a: 'b' }, 'body');
    expect(encodeFrame(frame, { version }).toString()).toBe(`${command}\na:b\ncontent-length:4\n\nbody\0\n`);
    frame.body = '';
    expect(encodeFrame(frame, { version }).toString()).toBe(`${command}\na:b\n\n\0\n`);
  }
});

rule('43', ALL, 'content-length counts octets, not characters', (version) => {
  expect(one(version, octets('SEND\ncontent-length:4\n\n😀\0')).body).toBe('\xf0\x9f\x98\x80');
  expect(encodeFrame(new Frame('SEND', {}, 'aü😀'), { version }).toString()).toContain('content-length:7\n');
});

rule('44', ALL, 'content-length:0 is taken on any frame', (version) => {
  for (const command of [...BODIES, ...NO_BODY]) {
    expect(one(version, `${command}\ncontent-length:0\n\n\0`).body).toBe('');
  }
});

rule('45', ALL, 'a content-length that is no count of octets is malformed', (version) => {
  for (const bad of ['', '-1', '+1', '1.0', '0x1', '1e3', '1 1', 'one', '१', '9'.repeat(30), '9007199254740992']) {
    expect(fault(version, `SEND\ncontent-length:${bad}\n\nx\0`).code).toBe('content-length-invalid');
  }
  expect(one(version, 'SEND\ncontent-length:0003\n\nabc\0').body).toBe('abc');
});

rule('46', SINCE_1_1, 'only SEND, MESSAGE and ERROR have a body', (version) => {
  for (const command of NO_BODY) {
    expect(fault(version, `${command}\n\nbody\0`).code).toBe('body-forbidden');
    expect(fault(version, `${command}\ncontent-length:4\n\n`).code).toBe('body-forbidden');
  }
  for (const command of BODIES) expect(one(version, `${command}\n\nbody\0`).body).toBe('body');
});

rule('48 49', ALL, 'text is given a content type that is a MIME type', (version) => {
  const frame = new Frame('SEND', { destination: '/a' }).setText('hello');
  const [sent] = decode(version, encodeFrame(frame, { version }));
  expect(sent!.headers.get('content-type')).toBe('text/plain');
  expect(sent!.text).toBe('hello');
});

rule('51', ALL, 'text is UTF-8 unless the content type names another charset', (version) => {
  const read = (type: string, body: Uint8Array) => {
    const wire = encodeFrame(new Frame('SEND', type === '' ? {} : { 'content-type': type }, body), { version });
    return decode(version, wire)[0]!.text;
  };
  expect(read('text/plain', Buffer.from('ü'))).toBe('ü');
  expect(read('', Buffer.from('ü'))).toBe('ü');
  expect(read('text/plain;charset=ISO-8859-1', Buffer.of(0xfc, 0x80))).toBe('ü\x80');
  expect(read('application/json; charset="utf-16le"', Buffer.from('ü', 'utf16le'))).toBe('ü');
});

rule('53', ALL, 'a body may hold anything that looks like a frame', (version) => {
  const body = 'SEND\r\na:b\n\nx\0\n\r\n\n\nACK\n\n\0';
  const wire = encodeFrame(new Frame('SEND', {}, body), { version });
  expect(decode(version, Buffer.concat([wire, wire])).map((frame) => frame.body.toString())).toEqual([body, body]);
});
