import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { formatStompUrl, parseStompUrl, STOMP_PORT, STOMP_TLS_PORT } from 'nestjs-stomp/wire';

describe('a URL', () => {
  it.each([
    ['stomp://localhost', { secure: false, host: 'localhost', port: STOMP_PORT }],
    ['stomp+tls://localhost', { secure: true, host: 'localhost', port: STOMP_TLS_PORT }],
    ['stomp+ssl://h:1', { secure: true, host: 'h', port: 1 }],
    ['STOMP://h:61613/', { secure: false, host: 'h', port: 61613 }],
    ['stomp://[::1]:61613', { secure: false, host: '::1', port: 61613 }],
    ['stomp+tls://[2001:db8::1]', { secure: true, host: '2001:db8::1', port: STOMP_TLS_PORT }],
    ['stomp://guest@h', { secure: false, host: 'h', port: STOMP_PORT, login: 'guest' }],
    [
      'stomp://u%40x:p%3A%2F%23%3F@h/%2F',
      { secure: false, host: 'h', port: STOMP_PORT, login: 'u@x', passcode: 'p:/#?', vhost: '/' },
    ],
    ['stomp://h/a%20b/c', { secure: false, host: 'h', port: STOMP_PORT, vhost: 'a b/c' }],
    ['stomp://u:a:b@h', { secure: false, host: 'h', port: STOMP_PORT, login: 'u', passcode: 'a:b' }],
  ])('%s says where the server is', (url, address) => {
    expect(parseStompUrl(url)).toEqual(address);
  });

  it.each([
    '',
    'h',
    'localhost:61613',
    '//h',
    'http://u:hush@h',
    'stomp://',
    'stomp:///v',
    'stomp://u:hush@',
    'stomp:h',
    'stomp://u:hush@h:99999',
    'stomp://u:hush@h:port',
    'stomp://u:hush@[::1',
    'stomp://u:hush%@h',
    'stomp://u:hush%ff@h',
    'stomp://u:hu/sh@h',
    'stomp://u:1#hush@h',
    'stomp://u:1?hush@h',
    'stomp://h/v?hush=1',
    'stomp://u:hush@h/%zz',
  ])('%j is refused, with no word of the passcode', (url) => {
    let error: unknown;
    try {
      parseStompUrl(url);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toMatch(/URL/);
    expect((error as Error).message).not.toMatch(/hush/);
    expect((error as Error).cause).toBeUndefined();
  });

  it('of any login, passcode and vhost, percent-encoded, comes back as it was', () => {
    const text = fc.string({ unit: 'binary', minLength: 1 }).filter((s) => s !== '.' && s !== '..');
    fc.assert(
      fc.property(text, text, text, fc.integer({ min: 1, max: 65535 }), (login, passcode, vhost, port) => {
        const [user, word, path] = [login, passcode, vhost].map(encodeURIComponent);
        expect(parseStompUrl(`stomp://${user}:${word}@h:${port}/${path}`)).toEqual({
          secure: false,
          host: 'h',
          port,
          login,
          passcode,
          vhost,
        });
      }),
    );
  });

  it('of any text gives an address or a TypeError that does not show the text', () => {
    const piece = fc.constantFrom(
      'stomp',
      '+tls',
      '://',
      ':',
      '@',
      '/',
      '[',
      ']',
      '%',
      '#',
      '?',
      'hush',
      '0',
      '\n',
      '\0',
      'ü',
    );
    fc.assert(
      fc.property(
        fc.array(piece).map((pieces) => `stomp://u:hush${pieces.join('')}`),
        (url) => {
          try {
            expect(typeof parseStompUrl(url).host).toBe('string');
          } catch (error) {
            expect(error).toBeInstanceOf(TypeError);
            expect((error as Error).message).not.toMatch(/hush/);
          }
        },
      ),
    );
  });
});

it.each([
  [{ secure: false, host: '127.0.0.1', port: 61613 }, 'stomp://127.0.0.1:61613'],
  [{ secure: true, host: '::', port: 1 }, 'stomp+tls://[::]:1'],
])('a listener is shown as a URL that can be read again', (address, url) => {
  expect(formatStompUrl(address)).toBe(url);
  expect(parseStompUrl(url)).toEqual(address);
});
