import { describe, expect, test } from '@jest/globals';
import { Frame, type StompMessage } from 'nestjs-stomp/client';
import { renderer } from '../../../apps/printer/src/render.js';

function message(body: string | Buffer, headers: Record<string, string> = {}): StompMessage {
  const frame = new Frame('MESSAGE', headers, body);
  return { frame, headers: frame.headers, body: frame.body } as StompMessage;
}

describe('bodies', () => {
  test('are written as they are where no terminal reads them', () => {
    const body = Buffer.from([0x1b, 0x5b, 0x32, 0x4a, 0xff, 0x00]);
    expect(renderer(false, false)(message(body))).toEqual(body);
  });

  test('cannot command a terminal: control characters are escaped, text is left alone', () => {
    const render = renderer(false, true);
    expect(String(render(message('\u001b[2J\u0007 \r \u007f \u009b31m \0')))).toBe(
      '\\u001b[2J\\u0007 \\u000d \\u007f \\u009b31m \\u0000',
    );
    expect(String(render(message('a\tb\nžluť 🚀\\')))).toBe('a\tb\nžluť 🚀\\');
    // Text that runs backwards, or starts a line where there is none, shows what is not there.
    expect(String(render(message('a\u202egpj.exe\u2066\u2028\u2029\u0085\u200f\ufeff')))).toBe(
      'a\\u202egpj.exe\\u2066\\u2028\\u2029\\u0085\\u200f\\ufeff',
    );
    // C1 as a single octet is no UTF-8.
    expect(String(render(message(Buffer.from([0x9b, 0x41]))))).toBe('\ufffdA');
  });
});

describe('JSON', () => {
  const json = (...args: Parameters<typeof message>) =>
    JSON.parse(String(renderer(true, false)(message(...args)))) as unknown;

  test('holds headers, and the body as text where it is UTF-8', () => {
    expect(json('žluť\n"🚀"', { destination: '/queue/a', 'x:y': 'z' })).toEqual({
      headers: { destination: '/queue/a', 'x:y': 'z' },
      body: 'žluť\n"🚀"',
    });
    expect(json('', {})).toEqual({ headers: {}, body: '' });
  });

  test('holds the body in base64 where it is none, or says so', () => {
    expect(json(Buffer.from([0xff, 0xfe]))).toEqual({ headers: {}, bodyBase64: '//4=' });
    const headers = { 'content-type': 'text/plain; charset="utf-16le"' };
    expect(json(Buffer.from('a', 'utf16le'), headers)).toEqual({ headers, bodyBase64: 'YQA=' });
  });

  test('is one line, means the same on a terminal and cannot command it', () => {
    const text = 'a\n\u001b[2J\u009b31m\u007f\u202eb\u2028';
    const line = String(renderer(true, true)(message(text)));
    expect(line).not.toMatch(/[\p{Cc}\u2028\u202e]/u);
    expect(JSON.parse(line)).toEqual({ headers: {}, body: text });
  });
});
