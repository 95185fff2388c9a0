/*
 * Text through all three programs: stomper, stompserver, printer.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Certificates, type Pem } from '../support/certificates.js';
import type { Program } from '../support/program.js';
import { start } from '../support/programs.js';

const LINES = 20_000;
/** What a process may use, in MiB: Node and Nest take some 100 of them. */
const MEMORY = 256;

const words = [
  'plain words',
  'žluťoučký kůň',
  'naïve – “quoted”',
  '日本語テキスト',
  '🚀🔥👩‍👩‍👧',
  'Ελληνικά',
  'مرحبا',
  'a:b\\c\t\u0001',
];

/** A line of text that no other number has, up to some 1,000 octets long. */
function line(number: number): string {
  const word = words[number % words.length]!;
  return `${number} ${word} ${'x'.repeat(number % 97 === 0 ? 1000 : number % 89)} ${words[(number * 5) % words.length]}`;
}

async function startBroker(...options: string[]): Promise<{ broker: Program; port: string }> {
  const broker = start('stompserver', '--host', '127.0.0.1', ...options);
  const [, port] = await broker.line(/^listening stomp\S*:(\d+)$/);
  return { broker, port: port! };
}

/** Waits for as many lines, for as long as some come. */
async function printed(printer: Program, count: number): Promise<void> {
  while (printer.stdout.length < count) {
    const next = Math.min(count, printer.stdout.length + 1_000);
    await printer.until(`${next} lines`, () => printer.stdout.length >= next);
  }
}

describe(`${LINES} lines come out as they went in, in their order, in bounded memory`, () => {
  const certificates = new Certificates();
  let ca: Pem;
  let server: Pem;
  let client: Pem;
  beforeAll(() => {
    ca = certificates.authority();
    server = certificates.issue('server', ca);
    client = certificates.issue('client', ca);
  });
  afterAll(() => certificates.remove());

  const files = (pem: Pem) => ['--cafile', ca.cert, '--certfile', pem.cert, '--keyfile', pem.key];
  test.each([
    ['in clear text', () => [], () => []],
    ['over TLS', () => ['--tls=true', ...files(server)], () => ['--tls=true', '--cafile', ca.cert]],
    [
      'over TLS that asks both for certificates',
      () => ['--tls=strict', ...files(server)],
      () => ['--tls=strict', ...files(client)],
    ],
  ])(
    '%s',
    async (_how, serverOptions, clientOptions) => {
      const { broker, port } = await startBroker('--port', '0', ...serverOptions());
      const options = ['--topic', '/queue/text', '--port', port, ...clientOptions()];
      const printer = start('printer', '--count', `${LINES}`, ...options);
      const stomper = start('stomper', ...options);
      const lines = Array.from({ length: LINES }, (_, number) => line(number));
      for (const text of lines.slice(0, -1)) stomper.stdin.write(`${text}\n`);
      await printed(printer, LINES - 1);
      for (const program of [broker, printer, stomper]) expect(program.peakMemory).toBeLessThan(MEMORY);

      stomper.stdin.end(lines.at(-1));
      expect(await stomper.exited).toEqual({ code: 0, signal: null });
      expect(await printer.exited).toEqual({ code: 0, signal: null });
      expect(printer.stdout.length).toBe(LINES);
      expect(printer.stdout.findIndex((text, i) => text !== lines[i])).toBe(-1);
      expect([stomper.stderr, printer.stderr]).toEqual(['', '']);
    },
    120_000,
  );
});

test('a broker that is killed and started again: both go on, and nothing is lost but what it held', async () => {
  const { broker, port } = await startBroker('--port', '0');
  const options = ['--topic', '/queue/text', '--port', port];
  const printer = start('printer', ...options);
  const stomper = start('stomper', ...options);
  const write = (from: number, to: number) => {
    for (let i = from; i < to; i++) stomper.stdin.write(`${line(i)}\n`);
  };
  const settled = LINES / 4;
  write(0, settled);
  await printed(printer, settled);
  write(settled, LINES / 2);
  await printed(printer, settled + 100);
  broker.signal('SIGKILL');
  await broker.exited;
  write(LINES / 2, LINES);
  stomper.stdin.end();
  await stomper.says(/connecting again/);
  await printer.says(/connecting again/);
  await startBroker('--port', port);
  // Exit code 0: every line has its receipt.
  expect(await stomper.exited).toEqual({ code: 0, signal: null });
  await printer.line(new RegExp(`^${LINES - 1} `));

  // What came is what was sent, in its order, but for one step: where the new broker took over.
  const numbers = printer.stdout.map((text) => Number(text.split(' ', 1)[0]));
  expect(printer.stdout.findIndex((text, i) => text !== line(numbers[i]!))).toBe(-1);
  const steps = numbers.flatMap((number, i) => (i > 0 && number !== numbers[i - 1]! + 1 ? [i] : []));
  expect(numbers[0]).toBe(0);
  expect(numbers.at(-1)).toBe(LINES - 1);
  expect(steps.length).toBeLessThanOrEqual(1);
  // Before it is all that the old broker delivered. What is missing between, it had confirmed and still held.
  const before = steps[0] ?? numbers.length;
  expect(before).toBeGreaterThanOrEqual(settled + 100);
  // Behind it is all that was not confirmed by then, some of it for the second time, and all that followed.
  expect(numbers.slice(before)).toEqual(
    Array.from({ length: numbers.length - before }, (_, i) => LINES - numbers.length + before + i),
  );
}, 120_000);

test('a broker that is gone for good: after a signal it says how many lines were confirmed, and fails', async () => {
  const { broker, port } = await startBroker('--port', '0');
  const options = ['--topic', '/queue/text', '--port', port];
  const printer = start('printer', ...options);
  const stomper = start('stomper', ...options);
  for (let i = 0; i < LINES; i++) stomper.stdin.write(`${line(i)}\n`);
  await printed(printer, 100);
  broker.signal('SIGKILL');
  await stomper.says(/connecting again/);
  stomper.stdin.write('one more\n'); // Even if all the others were confirmed.
  stomper.signal('SIGTERM');
  expect((await stomper.exited).code).toBe(1);
  expect(stomper.stderr).toMatch(/ended by SIGTERM: \d+ lines confirmed by the broker/);
}, 60_000);
