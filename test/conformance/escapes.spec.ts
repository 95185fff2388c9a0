import { expect } from '@jest/globals';
import { type RawFrame } from '../support/wire.js';
import { ALL, choice, must, ONLY_1_0, ONLY_1_1, ONLY_1_2, rule, SINCE_1_1 } from './rules.js';
import { echo, refuses, relay, topic } from './steps.js';
import { target } from './target.js';

const server = target();

const send = (line: string): string => `SEND\ndestination:${topic()}\n${line}\n\nbody\0`;

rule('24', ONLY_1_0, 'knows no escapes: backslashes are plain octets', async (version) => {
  const sender = await server.connect(version);
  const literal = 'foo:a\\nb\\cc\\\\d\\re\\tf\\';

  expect((await echo(sender, `${literal}\n`)).lines).toContain(literal);

  const receiver = await server.connect('1.2');
  const message = await relay(sender, receiver, `${literal}\n`);
  expect(message.header('foo')).toBe('a\\nb\\cc\\\\d\\re\\tf\\');
});

must('25', ONLY_1_1, 'decodes \\n, \\c and \\\\ in names and values', async (version) => {
  const sender = await server.connect(version);
  const [plain, receiver] = [await server.connect('1.0'), await server.connect('1.2')];
  const lines = 'colon:a\\cb\nback\\\\slash:a\\\\b\n';

  expect((await relay(sender, plain, lines)).lines).toEqual(expect.arrayContaining(['colon:a:b', 'back\\slash:a\\b']));
  const message = await relay(sender, receiver, 'line\\nfeed:a\\nb\n');
  expect(message.header('line\nfeed')).toBe('a\nb');
});

must('26', ONLY_1_1, 'refuses every other escape, \\r too', async (version) => {
  await refuses(
    () => server.connect(version),
    ...['\\r', '\\t', '\\N', '\\C', '\\ ', '\\0'].map((bad) => send(`foo:a${bad}b`)),
  );
});

must('27', ONLY_1_2, 'decodes \\r, \\n, \\c and \\\\ in names and values', async (version) => {
  const sender = await server.connect(version);
  const [plain, unreturned] = [await server.connect('1.0'), await server.connect('1.1')];
  const lines = 'colon:a\\cb\nback\\\\slash:a\\\\b\n';

  const message = await relay(sender, plain, lines);

  expect(message.lines).toEqual(expect.arrayContaining(['colon:a:b', 'back\\slash:a\\b']));
  expect((await relay(sender, unreturned, 'return:a\\rb\n')).lines).toContain('return:a\rb');
  const echoed = await echo(sender, 'line\\n\\rfeed:a\\n\\rb\n');
  expect(echoed.header('line\n\rfeed')).toBe('a\n\rb');
});

must('28', ONLY_1_2, 'refuses undefined escapes such as \\t', async (version) => {
  await refuses(
    () => server.connect(version),
    ...['\\t', '\\N', '\\R', '\\C', '\\ ', '\\0'].map((bad) => send(`foo:a${bad}b`)),
  );
});

must('29', SINCE_1_1, 'encodes what has to be escaped, as the version says', async (version) => {
  const [plain, sender] = [await server.connect('1.0'), await server.connect('1.2')];
  const receiver = await server.connect(version);

  const fromPlain = await relay(plain, receiver, 'foo:a:b\\c\rd\n');
  const fromSender = await relay(sender, receiver, 'n\\nm:a\\nb\n');

  expect(fromPlain.lines).toContain(version === '1.2' ? 'foo:a\\cb\\\\c\\rd' : 'foo:a\\cb\\\\c\rd');
  expect(fromSender.lines).toContain('n\\nm:a\\nb');
});

rule('30', SINCE_1_1, 'refuses a lone backslash at the end of a name or value', async (version) => {
  await refuses(() => server.connect(version), send('foo:bar\\'), send('foo\\:bar'), send('foo:\\\\\\'));
});

rule('31', SINCE_1_1, 'decodes in one pass from left to right', async (version) => {
  const sender = await server.connect(version);
  const receiver = await server.connect('1.0');

  const message = await relay(sender, receiver, 'foo:a\\\\nb\\\\\\\\c\\\\\\cd\n');

  expect(message.lines).toContain('foo:a\\nb\\\\c\\:d');
});

rule('32', SINCE_1_1, 'applies escapes to header names, too', async (version) => {
  const peer = await server.connect(version);

  const message = await echo(peer, 'a\\cb\\\\c\\nd:value\n');

  expect(message.header('a:b\\c\nd')).toBe('value');
  await refuses(() => server.connect(version), send('f\\too:bar'));
});

choice('35', SINCE_1_1, 'needs no escapes in an ERROR before the version is known', async (version) => {
  const frames = [
    'CONNECT\naccept-version:9:9\nhost:a:b\\c\n\n\0',
    `SEND\ndestination:a:b\\c\nversion:${version}\nreceipt:a:b\\c\n\n\0`,
    'A:B\\C\n\n\0',
  ];
  for (const error of await refuses(() => server.open(), ...frames)) {
    const unsafe = (line: string) => line.includes('\\') || line.split(':').length !== 2;
    expect(error.lines.filter((line) => !line.startsWith('receipt-id:')).filter(unsafe)).toEqual([]);
  }
});

rule('36', ONLY_1_0, 'never lets a line feed in a header make another header', async (version) => {
  const sender = await server.connect('1.2');
  const receiver = await server.connect(version);

  const message = await relay(sender, receiver, 'foo:a\\ninjected:1\na\\nforged:2\nsafe:3\n');

  expect(message.header('injected')).toBeUndefined();
  expect(message.header('forged')).toBeUndefined();
  expectIntact(message);
});

choice(
  '37',
  ONLY_1_1,
  'passes a CR inside a value on raw, and never lets one at its end harm the frame',
  async (version) => {
    const sender = await server.connect('1.2');
    const receiver = await server.connect(version);

    const message = await relay(sender, receiver, 'foo:a\\rb\nend:a\\r\nsafe:3\n');

    expect(message.lines).toContain('foo:a\rb');
    expectIntact(message);
  },
);

rule('24 25 27', ALL, 'gives RECEIPT the id as it was meant', async (version) => {
  const peer = await server.connect(version);
  const receipt = version === '1.0' ? 'a\\nb\\cc' : 'a\\\\b\\cc';

  peer.write(`SEND\ndestination:${topic()}\nreceipt:${receipt}\n\nbody\0`);

  expect((await peer.frame()).lines).toContain(`receipt-id:${receipt}`);
});

function expectIntact(message: RawFrame): void {
  expect([message.header('safe'), message.text]).toEqual(['3', 'body']);
}
