import { describe, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { answerDisconnect } from '../../support/client.js';
import type { Program } from '../../support/program.js';
import { script, start, startIn } from '../../support/programs.js';
import type { RawPeer } from '../../support/raw.js';
import type { RawFrame } from '../../support/wire.js';

const send = (peer: RawPeer): Promise<RawFrame> => peer.take('SEND', ({ command }) => command === 'SEND');

async function sends(peer: RawPeer, count: number): Promise<RawFrame[]> {
  const got: RawFrame[] = [];
  while (got.length < count) got.push(await send(peer));
  return got;
}

function confirm(peer: RawPeer, ...frames: RawFrame[]): void {
  for (const frame of frames) peer.send('RECEIPT', { 'receipt-id': frame.header('receipt')! });
}

async function connected(...options: string[]): Promise<{ program: Program; peer: RawPeer; port: number }> {
  const server = await script();
  const program = start('stomper', '--topic', '/queue/a', '--port', `${server.port}`, ...options);
  const { peer } = await server.handshake('1.2');
  return { program, peer, port: server.port };
}

describe('each line', () => {
  test('that is not empty is a message, its bytes as they are, and ends with LF, CR LF or the input', async () => {
    const { program, peer } = await connected();
    program.stdin.end(Buffer.from('žlutý 🚀\n\n  \r\n\r\na\rb\t\u0000:\\\n\nlast'));
    const frames = await sends(peer, 4);
    expect(frames.map(({ text }) => text)).toEqual(['žlutý 🚀', '  ', 'a\rb\t\u0000:\\', 'last']);
    for (const frame of frames) {
      expect(frame.header('destination')).toBe('/queue/a');
      expect(frame.header('content-type')).toBe('text/plain');
      expect(frame.header('content-length')).toBe(String(frame.body.length));
    }
    confirm(peer, ...frames);
    await answerDisconnect(peer);
    expect(await program.exited).toEqual({ code: 0, signal: null });
    expect(program.stdout).toEqual([]);
    expect(program.stderr).toBe('');
  });

  test('carries the media type and the headers that were asked for', async () => {
    const { program, peer } = await connected(
      '--type',
      'text/csv',
      '--header',
      'a=1=2:3',
      '--header',
      'persistent=true',
    );
    program.stdin.write('x\n');
    const frame = await send(peer);
    expect(frame.header('content-type')).toBe('text/csv');
    expect(frame.header('a')).toBe('1=2:3');
    expect(frame.header('persistent')).toBe('true');
  });

  test('asks for a receipt, without waiting for the one before, and all receipts are waited for', async () => {
    const { program, peer } = await connected();
    program.stdin.end('1\n2\n3\n');
    const frames = await sends(peer, 3);
    expect(new Set(frames.map((frame) => frame.header('receipt'))).size).toBe(3);
    // In whatever order they come.
    confirm(peer, frames[2]!, frames[0]!);
    expect(peer.received.includes('DISCONNECT')).toBe(false);
    confirm(peer, frames[1]!);
    await answerDisconnect(peer);
    expect((await program.exited).code).toBe(0);
  });
});

describe('a connection that is lost', () => {
  test('is made again; what was not confirmed is sent again, and only that', async () => {
    const server = await script();
    const program = start('stomper', '--topic', '/queue/a', '--port', `${server.port}`);
    const first = (await server.handshake('1.2')).peer;
    program.stdin.write('1\n2\n3\n');
    const frames = await sends(first, 3);
    confirm(first, frames[1]!);
    first.destroy();
    await program.says(/connecting again/);
    program.stdin.end('4\n');
    const second = (await server.handshake('1.2')).peer;
    const again = await sends(second, 3);
    expect(again.map(({ text }) => text)).toEqual(['1', '3', '4']);
    confirm(second, ...again);
    await answerDisconnect(second);
    expect((await program.exited).code).toBe(0);
  });

  test('input is read on only as far as a bounded buffer', async () => {
    const server = await script();
    const program = start('stomper', '--topic', '/queue/a', '--port', `${server.port}`);
    program.stdin.write('begin\n');
    const { peer } = await server.handshake('1.2');
    await send(peer);
    peer.destroy();
    const block = Buffer.alloc(1024 * 1024, `${'x'.repeat(1023)}\n`);
    let taken = 0;
    for (let i = 0; i < 40; i++) program.stdin.write(block, () => taken++);
    // In these attempts and the waits between them, all of the input could have been read.
    for (let i = 0; i < 5; i++) (await server.accept()).destroy();
    expect(taken).toBeLessThan(8);
    expect(program.peakMemory).toBeLessThan(250);
  });

  test('a broker that answers time and again with ERROR is believed in the end', async () => {
    const server = await script();
    const program = start('stomper', '--topic', '/queue/a', '--port', `${server.port}`);
    program.stdin.write('1\n');
    for (let i = 0; i < 3; i++) {
      const { peer } = await server.handshake('1.2');
      await send(peer);
      peer.send('ERROR', { message: 'not today' });
      peer.end();
    }
    expect((await program.exited).code).toBe(1);
    expect(program.stderr).toMatch(/not today.*3 times in a row\n/);
    expect(program.stderr).toMatch(/0 lines confirmed by the broker, 1 line not confirmed/);
  });
});

describe('what cannot succeed ends at once, with 1 and a clear line', () => {
  test('a login that is refused; no password is shown', async () => {
    const server = await script();
    const program = startIn(
      { STOMP_PASSWORD: 'geheim' },
      'stomper',
      '--topic=/q',
      `--port=${server.port}`,
      '--user=me',
    );
    program.stdin.write('1\n');
    const peer = await server.accept();
    const connect = await peer.take('CONNECT', ({ command }) => command === 'CONNECT');
    expect(connect.header('passcode')).toBe('geheim');
    peer.send('ERROR', { message: 'login refused' });
    peer.end();
    expect((await program.exited).code).toBe(1);
    expect(program.stderr).toMatch(/^stomper: the server refused the connection: .*login refused/);
    expect(program.stderr).not.toContain('geheim');
  });

  test('a message that is refused; it says how many were not confirmed', async () => {
    const { program, peer } = await connected();
    program.stdin.write('1\n2\n3\n');
    const frames = await sends(peer, 3);
    confirm(peer, frames[0]!);
    peer.send('ERROR', { message: 'no rights', 'receipt-id': frames[1]!.header('receipt')! });
    peer.end();
    expect((await program.exited).code).toBe(1);
    expect(program.stderr).toMatch(/no rights/);
    expect(program.stderr).toMatch(/1 line confirmed by the broker, 2 lines not confirmed, the rest of the input not/);
  });

  test('a line that is too long; those before it are sent and waited for', async () => {
    const { program, peer } = await connected('--max-line', '10');
    program.stdin.write('short\n\n0123456789\n');
    program.stdin.write('0123456789a');
    const frames = await sends(peer, 2);
    expect(frames.map(({ text }) => text)).toEqual(['short', '0123456789']);
    await program.says(/stomper: line 4 is longer than 10 octets: split it, or raise --max-line\n/);
    confirm(peer, ...frames);
    await answerDisconnect(peer);
    expect((await program.exited).code).toBe(1);
    expect(program.stderr).toMatch(/2 lines confirmed by the broker, the rest of the input not read/);
  });
});

describe('a signal', () => {
  test.each(['SIGINT', 'SIGTERM'] as const)('%s ends reading; receipts are waited for', async (signal) => {
    const { program, peer } = await connected();
    program.stdin.write('1\n2\nbegun');
    const frames = await sends(peer, 2);
    program.signal(signal);
    confirm(peer, ...frames);
    await answerDisconnect(peer);
    expect((await program.exited).code).toBe(1);
    expect(program.stderr).toBe(
      `stomper: ended by ${signal}: 2 lines confirmed by the broker, the rest of the input not read\n`,
    );
  });

  test('the second one ends waiting, and it says what is not confirmed', async () => {
    const { program, peer } = await connected();
    program.stdin.end('1\n2\n3\n');
    const frames = await sends(peer, 3);
    expect(frames).toHaveLength(3);
    program.signal('SIGTERM');
    program.signal('SIGINT');
    expect(await program.exited).toEqual({ code: 1, signal: null });
    expect(program.stderr).toMatch(
      /stomper: ended by SIG\w+: 0 lines confirmed by the broker, 3 lines not confirmed\n$/,
    );
  });
});

describe('options', () => {
  test.each([
    ['no destination', [], /--topic <destination>' not specified/],
    ['an unknown option, without what may be a password', ['--topic=/q', '--pasword=geheim'], /'--pasword'/],
    ['an argument, without what may be a password', ['--topic=/q', 'geheim'], /only options are taken/],
    ['a word that --tls does not know', ['--topic=/q', '--tls=maybe'], /--tls "maybe"/],
    [
      'a header that another option sets',
      ['--topic=/q', '--persistent', '--header', 'persistent=false'],
      /--header persistent: it is what --persistent says/,
    ],
    ['a header without a value', ['--topic=/q', '--header', 'a'], /--header "a": it is written name=value/],
    ['a header that is not free', ['--topic=/q', '--header', 'receipt=1'], /--header receipt: it is set by stomper/],
    ['a type that is no media type', ['--topic=/q', '--type=no mime'], /--type "no mime": it is a media type/],
    ['a limit that is no number', ['--topic=/q', '--max-line', '1k'], /--max-line "1k": it is a whole number/],
  ])('%s: exit code 2 and one line', async (_what, options, message) => {
    const program = start('stomper', ...options);
    expect(await program.exited).toEqual({ code: 2, signal: null });
    expect(program.stderr).toMatch(message);
    expect(program.stderr).toMatch(/^stomper: .*; see stomper --help\n$/);
    expect(program.stderr).not.toContain('geheim');
  });

  test('--help explains each of them with an example', async () => {
    const program = start('stomper', '--help');
    expect((await program.exited).code).toBe(0);
    const help = program.stdout.join('\n');
    for (const option of ['topic', 'type', 'header', 'max-line', 'host', 'url', 'password-file', 'tls', 'cafile']) {
      expect(help).toMatch(new RegExp(`^ +--${option} <[^]*?e\\.g\\.`, 'm'));
    }
  });

  test('--version', async () => {
    const program = start('stomper', '--version');
    expect((await program.exited).code).toBe(0);
    expect(program.stdout).toEqual([expect.stringMatching(/^\d+\.\d+\.\d+/)]);
  });

  test('the title of the process hides them', async () => {
    const { program } = await connected('--user', 'me', '--password', 'geheim');
    const title = readFileSync(`/proc/${program.pid}/cmdline`, 'utf8').replaceAll('\0', '');
    expect(title).toBe('stomper');
  });
});
