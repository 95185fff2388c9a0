import { expect } from '@jest/globals';
import { encodeFrame, Frame, type Version } from 'nestjs-stomp/frame';
import { ALL, fault, one, rule, SINCE_1_1 } from './codec.js';

const value = (version: Version | undefined, text: string) => one(version, `SEND\na:${text}\n\n\0`).headers[0]![1];
const written = (version: Version | undefined, command: string, name: string, text: string) =>
  encodeFrame(new Frame(command, [[name, text]]), { version })
    .toString()
    .split('\n')[1];
const refused = expect.objectContaining({ name: 'FrameError', code: 'header-unencodable' });

rule('24', ['1.0'], 'there are no escapes', (version) => {
  expect(value(version, '\\n\\c\\\\\\r\\t\\')).toBe('\\n\\c\\\\\\r\\t\\');
  expect(written(version, 'SEND', 'a', 'b\\n:')).toBe('a:b\\n:');
});

rule('25', ['1.1'], '\\n, \\c and \\\\ are decoded', (version) => {
  expect(value(version, 'a\\nb\\cc\\\\d')).toBe('a\nb:c\\d');
});

rule('26', ['1.1'], 'any other escape is fatal, \\r too', (version) => {
  for (const bad of ['\\r', '\\t', '\\0', '\\N', '\\ü', '\\ ', '\\:']) {
    expect(fault(version, `SEND\na:${bad}\n\n\0`).code).toBe('escape-undefined');
  }
});

rule('27', ['1.2'], '\\r, \\n, \\c and \\\\ are decoded', (version) => {
  expect(value(version, 'a\\rb\\nc\\cd\\\\e')).toBe('a\rb\nc:d\\e');
});

rule('28', ['1.2'], 'any other escape is fatal', (version) => {
  for (const bad of ['\\t', '\\0', '\\R', '\\ü', '\\:']) {
    expect(fault(version, `SEND\na:${bad}\n\n\0`).code).toBe('escape-undefined');
  }
});

rule('29', SINCE_1_1, 'what needs an escape is written with one', (version) => {
  expect(written(version, 'SEND', 'a', 'b\n:\\c')).toBe('a:b\\n\\c\\\\c');
  expect(written(version, 'SEND', 'a', 'b\rc')).toBe(version === '1.2' ? 'a:b\\rc' : 'a:b\rc');
});

rule('30', SINCE_1_1, 'a lone backslash at the end of a name or a value is fatal', (version) => {
  for (const line of ['a:b\\', 'a\\:b', 'a\\:', 'a:\\\\\\']) {
    expect(fault(version, `SEND\n${line}\nc:d\n\n\0`).code).toBe('escape-undefined');
  }
  expect(fault('1.2', 'SEND\na:b\\\r\n\n\0').code).toBe('escape-undefined');
});

rule('31', SINCE_1_1, 'decoding is one pass from left to right', (version) => {
  expect(value(version, '\\\\n\\\\\\n\\\\c')).toBe('\\n\\\n\\c');
});

rule('32', SINCE_1_1, 'names are escaped too', (version) => {
  expect(one(version, 'SEND\na\\cb\\n\\\\:c\n\n\0').headers).toEqual([['a:b\n\\', 'c']]);
  expect(written(version, 'SEND', 'a:b\n\\', 'c')).toBe('a\\cb\\n\\\\:c');
});

rule('33 34', ALL, 'CONNECT, STOMP and CONNECTED are neither escaped nor unescaped', (version) => {
  for (const agreed of [undefined, version]) {
    for (const command of ['CONNECT', 'STOMP', 'CONNECTED']) {
      const headers = [['passcode', 'a\\cb:c\\t']] as const;
      expect(one(agreed, `${command}\npasscode:a\\cb:c\\t\n\n\0`).headers).toEqual(headers);
      expect(written(agreed, command, 'passcode', 'a\\cb:c\\t')).toBe('passcode:a\\cb:c\\t');
    }
  }
});

rule('35', SINCE_1_1, 'an ERROR before a version is agreed on holds nothing that needs an escape', () => {
  expect(written(undefined, 'ERROR', 'message', 'no: not \\you')).toBe('message:no: not \\you');
  for (const bad of ['a\nb', 'a\rb']) expect(() => written(undefined, 'ERROR', 'message', bad)).toThrow(refused);
});

rule('36', ALL, 'what would be a header of its own is refused where there is no escape for it', (version) => {
  const commands = version === '1.0' ? ['SEND', 'CONNECT', 'CONNECTED'] : ['CONNECT', 'STOMP', 'CONNECTED'];
  for (const command of commands) {
    expect(() => written(version, command, 'a', 'b\ninjected:c')).toThrow(refused);
    expect(() => written(version, command, 'a\ninjected', 'c')).toThrow(refused);
    expect(() => written(version, command, 'a:b', 'c')).toThrow(refused);
  }
});

rule('36', ALL, 'the refusal names the header and never the value, which may be a passcode', (version) => {
  const connect = new Frame('CONNECT', { passcode: 'sec\nret' });
  expect(() => encodeFrame(connect, { version })).toThrow(/"passcode" has a line feed/);
  expect(() => encodeFrame(connect, { version })).not.toThrow(/sec|ret"/);
});

rule('37', ['1.1'], 'a carriage return is written raw, and refused at the end of a name or value', (version) => {
  expect(written(version, 'SEND', 'a', 'b\rc')).toBe('a:b\rc');
  expect(() => written(version, 'SEND', 'a', 'b\r')).toThrow(refused);
});
