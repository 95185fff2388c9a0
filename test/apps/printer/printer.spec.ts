import { describe, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { answerDisconnect, takeAndConfirm } from '../../support/client.js';
import type { Program } from '../../support/program.js';
import { script, start } from '../../support/programs.js';
import type { RawPeer } from '../../support/raw.js';
import type { ScriptedServer } from '../../support/scripted.js';
import type { Headers, RawFrame } from '../../support/wire.js';

interface Subscribed {
  readonly program: Program;
  readonly peer: RawPeer;
  readonly server: ScriptedServer;
  readonly subscribe: RawFrame;
  /** Sends messages, numbered from 1, to the subscription. */
  readonly deliver: (bodies: readonly (string | Buffer)[], headers?: Headers) => void;
}

async function subscribed(...options: string[]): Promise<Subscribed> {
  const server = await script();
  const program = start('printer', '--topic', '/queue/a', '--port', `${server.port}`, ...options);
  const { peer } = await server.handshake('1.2');
  const subscribe = await takeAndConfirm(peer, 'SUBSCRIBE');
  let number = 0;
  const deliver: Subscribed['deliver'] = (bodies, headers = {}) => {
    for (const body of bodies) {
      const id = `${++number}`;
      const own = {
        subscription: subscribe.header('id')!,
        'message-id': id,
        destination: '/queue/a',
        ack: `ack-${id}`,
      };
      peer.send('MESSAGE', { ...own, 'content-length': `${Buffer.byteLength(body)}`, ...headers }, body);
    }
  };
  return { program, peer, server, subscribe, deliver };
}

const lines = (program: Program, count: number) =>
  program.until(`${count} lines`, () => program.stdout.length >= count);

const acknowledged = async (peer: RawPeer): Promise<string | undefined> =>
  (await peer.take('ACK', ({ command }) => command === 'ACK')).header('id');

describe('messages', () => {
  test('are printed one a line, as they come', async () => {
    const { program, subscribe, deliver } = await subscribed();
    expect(subscribe.header('destination')).toBe('/queue/a');
    expect(subscribe.header('ack')).toBe('auto');
    deliver(['žlutý 🚀', '', ' x\t']);
    await lines(program, 3);
    expect(program.stdout).toEqual(['žlutý 🚀', '', ' x\t']);
    expect(program.stderr).toBe('');
  });

  test('are printed as JSON with their headers', async () => {
    const { program, deliver } = await subscribed('--json');
    deliver(['a\nb', Buffer.from([0xff])], { x: '1' });
    await lines(program, 2);
    const [text, bytes] = program.stdout.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(text).toEqual({ headers: expect.objectContaining({ x: '1', 'message-id': '1' }) as unknown, body: 'a\nb' });
    expect(bytes).toEqual({ headers: expect.objectContaining({ 'message-id': '2' }) as unknown, bodyBase64: '/w==' });
  });

  test.each([
    ['text/*', ['plain', 'charset', 'upper', 'html']],
    ['TEXT/plain', ['plain', 'charset', 'upper']],
    ['text/plain;*utf-8', ['charset']],
    ['text/plain; charset=UTF-8', ['charset']],
    ['text/????', ['html']],
    ['*', ['plain', 'charset', 'upper', 'html', 'none', 'json']],
  ])('are only those that --type %s matches', async (pattern, expected) => {
    const { program, deliver } = await subscribed('--type', pattern);
    deliver(['plain'], { 'content-type': 'text/plain' });
    deliver(['charset'], { 'content-type': 'text/plain;charset=utf-8' });
    deliver(['upper'], { 'content-type': 'Text/PLAIN' });
    deliver(['html'], { 'content-type': 'text/html' });
    deliver(['none']);
    deliver(['json'], { 'content-type': 'application/json' });
    deliver(['charset'], { 'content-type': 'text/plain ; charset=utf-8' });
    const wanted = pattern === 'text/????' ? expected : [...expected, 'charset'];
    await lines(program, wanted.length);
    expect(program.stdout).toEqual(wanted);
  });

  test('are told apart by --type however a hostile header is made', async () => {
    const { program, deliver } = await subscribed('--type', 'text/*x');
    const since = performance.now();
    for (let i = 0; i < 300; i++) deliver(['odd'], { 'content-type': `text/${' '.repeat(8_000 + i)}x` });
    await lines(program, 300);
    expect(performance.now() - since).toBeLessThan(6_000);
  });
});

describe('--count', () => {
  test('ends after exactly as many; what came after the last one is left to others', async () => {
    const { program, peer, subscribe, deliver } = await subscribed('--count', '2', '--type', 'text/plain');
    expect(subscribe.header('ack')).toBe('client-individual');
    expect(subscribe.header('prefetch-count')).toBe('2');
    deliver(['other'], { 'content-type': 'text/html' });
    deliver(['1', '2', '3', '4'], { 'content-type': 'text/plain' });
    expect([await acknowledged(peer), await acknowledged(peer), await acknowledged(peer)]).toEqual([
      'ack-1',
      'ack-2',
      'ack-3',
    ]);
    await answerDisconnect(peer);
    expect(await program.exited).toEqual({ code: 0, signal: null });
    expect(program.stdout).toEqual(['1', '2']);
    expect(peer.received.includes('ack-4')).toBe(false);
  });

  test('that is not reached is a failure', async () => {
    const { program, peer, deliver } = await subscribed('--count', '5');
    deliver(['1', '2', '3']);
    await lines(program, 3);
    program.signal('SIGINT');
    await answerDisconnect(peer);
    expect((await program.exited).code).toBe(1);
    expect(program.stderr).toBe('printer: ended by SIGINT after 3 of 5 messages\n');
  });
});

describe('--ack', () => {
  test('client acknowledges the last of those that were printed', async () => {
    const { program, peer, subscribe, deliver } = await subscribed('--ack', 'Client');
    expect(subscribe.header('ack')).toBe('client');
    deliver(['1', '2']);
    await lines(program, 2);
    let last: string | undefined;
    while (last !== 'ack-2') last = await acknowledged(peer);
  });

  test('a message that cannot be printed is not acknowledged', async () => {
    const { program, peer, deliver } = await subscribed('--ack', 'client-individual');
    deliver(['1']);
    expect(await acknowledged(peer)).toBe('ack-1');
    program.closeStdout();
    deliver(['2']);
    await answerDisconnect(peer);
    await program.exited;
    expect(peer.received.includes('ack-2')).toBe(false);
  });
});

describe('the end', () => {
  test('of whoever reads it is quiet', async () => {
    const { program, peer, deliver } = await subscribed();
    deliver(['1']);
    await lines(program, 1);
    program.closeStdout();
    deliver(['2']);
    await answerDisconnect(peer);
    expect(await program.exited).toEqual({ code: 0, signal: null });
    expect(program.stderr).toBe('');
  });

  test.each(['SIGINT', 'SIGTERM'] as const)(
    'by %s prints what the broker has sent, and disconnects',
    async (signal) => {
      const { program, peer, deliver } = await subscribed();
      deliver(['1']);
      await lines(program, 1);
      program.signal(signal);
      const leaving = await peer.take('UNSUBSCRIBE', ({ command }) => command === 'UNSUBSCRIBE');
      deliver(['2']);
      peer.send('RECEIPT', { 'receipt-id': leaving.header('receipt')! });
      await answerDisconnect(peer);
      expect(await program.exited).toEqual({ code: 0, signal: null });
      expect(program.stdout).toEqual(['1', '2']);
    },
  );

  test('by a login that is refused', async () => {
    const server = await script();
    const program = start('printer', '--topic=/q', `--port=${server.port}`, '--user=me', '--password=geheim');
    const peer = await server.accept();
    await peer.take('CONNECT', ({ command }) => command === 'CONNECT');
    peer.send('ERROR', { message: 'login refused' });
    peer.end();
    expect((await program.exited).code).toBe(1);
    expect(program.stderr).toMatch(/^printer: the server refused the connection: .*login refused.*\n$/);
    expect(program.stderr).not.toContain('geheim');
  });

  test('by a subscription that is refused', async () => {
    const server = await script();
    const program = start('printer', '--topic=/q', `--port=${server.port}`);
    const { peer } = await server.handshake('1.2');
    const subscribe = await peer.take('SUBSCRIBE', ({ command }) => command === 'SUBSCRIBE');
    peer.send('ERROR', { message: 'no rights', 'receipt-id': subscribe.header('receipt')! });
    peer.end();
    expect((await program.exited).code).toBe(1);
    expect(program.stderr).toMatch(/^printer: .*no rights/);
  });
});

test('a connection that is lost is made again, and the destination subscribed to again', async () => {
  const { program, peer, server, deliver } = await subscribed();
  deliver(['1']);
  await lines(program, 1);
  peer.destroy();
  const again = (await server.handshake('1.2')).peer;
  const subscribe = await takeAndConfirm(again, 'SUBSCRIBE');
  expect(subscribe.header('destination')).toBe('/queue/a');
  again.send('MESSAGE', { subscription: subscribe.header('id')!, 'message-id': 'x', destination: '/queue/a' }, '2');
  await lines(program, 2);
  expect(program.stdout).toEqual(['1', '2']);
  expect(program.stderr).toMatch(/connecting again\n[^]*printer: connected to stomp:\/\/localhost:\d+\n$/);
});

describe('options', () => {
  test.each([
    ['no destination', [], /--topic <destination>' not specified/],
    ['a count that is no number', ['--topic=/q', '--count', '-1'], /--count "-1": it is a whole number, 1 or more/],
    ['a mode that there is not', ['--topic=/q', '--ack', 'none'], /--ack "none": it is auto, client or/],
    ['an empty pattern', ['--topic=/q', '--type='], /--type: it is a pattern/],
  ])('%s: exit code 2 and one line', async (_what, options, message) => {
    const program = start('printer', ...options);
    expect(await program.exited).toEqual({ code: 2, signal: null });
    expect(program.stderr).toMatch(message);
    expect(program.stderr).toMatch(/^printer: .*; see printer --help\n$/);
  });

  test('--help explains each of them with an example', async () => {
    const program = start('printer', '--help');
    expect((await program.exited).code).toBe(0);
    const help = program.stdout.join('\n');
    for (const option of ['topic', 'type', 'count', 'json', 'ack', 'host', 'url', 'password-file', 'tls']) {
      expect(help).toMatch(new RegExp(`^ +--${option}\\b[^]*?e\\.g\\.`, 'm'));
    }
  });

  test('the title of the process hides them', async () => {
    const { program } = await subscribed('--user', 'me', '--password', 'geheim');
    expect(readFileSync(`/proc/${program.pid}/cmdline`, 'utf8').replaceAll('\0', '')).toBe('printer');
  });
});

describe('on a terminal', () => {
  const text = 'a\u202egpj.exe\u2028\u0085\u001b[2J\u0007\tžluť';
  const shown = 'a\\u202egpj.exe\\u2028\\u0085\\u001b[2J\\u0007';

  /** Runs the program in a terminal of its own; what is to be seen there comes by `seen`, once it has ended. */
  async function inTerminal(...options: string[]) {
    const server = await script();
    const program = `${process.execPath} apps/printer/bin/printer.js --topic /queue/a --port ${server.port}`;
    const terminal = spawn('script', ['-qfec', [program, ...options].join(' '), '/dev/null']);
    const chunks: Buffer[] = [];
    terminal.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    const seen = once(terminal, 'close').then(() => Buffer.concat(chunks).toString('utf8'));
    return { server, seen };
  }

  test.each([
    ['bodies', [], `${shown}\tžluť\r\n`],
    ['headers and bodies as JSON', ['--json'], `"x":"${shown}\\tžluť"`],
  ])('nothing of a message commands it or misleads who reads: %s', async (_what, options, expected) => {
    const { server, seen } = await inTerminal('--count', '1', ...options);
    const { peer } = await server.handshake('1.2');
    const subscription = (await takeAndConfirm(peer, 'SUBSCRIBE')).header('id')!;
    const headers = { subscription, 'message-id': '1', destination: '/queue/a', ack: '1', x: text };
    peer.send('MESSAGE', { ...headers, 'content-length': `${Buffer.byteLength(text)}` }, text);
    await peer.take('ACK', ({ command }) => command === 'ACK');
    await answerDisconnect(peer);
    const all = await seen;
    expect(all).toContain(expected);
    expect(all.replace(/\r\n|\t/g, '')).not.toMatch(/[\p{Cc}\u2028\u202e]/u);
  });

  test('nor does what the broker has to say', async () => {
    const { server, seen } = await inTerminal();
    const peer = await server.accept();
    peer.version = '1.2';
    peer.send('ERROR', { message: text }, text);
    peer.end();
    const all = await seen;
    expect(all).toContain('gpj.exe');
    // The program itself clears the line that it writes on.
    expect(all.replaceAll('\r\u001b[K', '').replace(/\r\n/g, '')).not.toMatch(/[\p{Cc}\u2028\u202e]/u);
  });
});

test('elsewhere than on a terminal bodies are written as they are', async () => {
  const { program, deliver } = await subscribed();
  deliver(['a\u202egpj.exe\u0085\u001b[2J\u0007']);
  await lines(program, 1);
  expect(program.stdout).toEqual(['a\u202egpj.exe\u0085\u001b[2J\u0007']);
});
