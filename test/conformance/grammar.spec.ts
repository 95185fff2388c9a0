import { expect } from '@jest/globals';
import { ALL, choice, may, must, ONLY_1_0, ONLY_1_1, ONLY_1_2, rule, SINCE_1_1 } from './rules.js';
import { echo, queue, refuses, relay, topic } from './steps.js';
import { target } from './target.js';

const server = target();

rule('1', ALL, 'reads and writes command, headers, blank line, body, NULL and EOLs', async (version) => {
  const peer = await server.connect(version);

  const message = await echo(peer, 'foo:bar\n', 'hello');

  expect(message.raw.toString()).toMatch(/^MESSAGE\r?\n(?:[^\n:]+:[^\n]*\n)+\r?\nhello\0(?:\r?\n)*$/);
  expect(message.header('foo')).toBe('bar');
});

rule('2', ['1.0', '1.1'], 'ends its lines with a single LF, without CR', async (version) => {
  const peer = await server.connect(version);

  await echo(peer, 'foo:bar\n');

  expect(peer.received.includes('\r')).toBe(false);
});

must('3', ONLY_1_2, 'accepts CR LF as EOL everywhere, mixed with LF too', async (version) => {
  const peer = await server.connect(version);
  const destination = topic();
  await peer.subscribe(destination);

  peer.write(`SEND\r\ndestination:${destination}\r\nfoo:bar\r\n\r\none\0\r\n`);
  peer.write(`SEND\ndestination:${destination}\r\nfoo:bar\n\r\ntwo\0\n\r\n`);
  peer.write(`\r\nSEND\r\ndestination:${destination}\nfoo:bar\r\n\nthree\0`);

  const messages = await peer.messages(3);
  expect(messages.map(({ text }) => text)).toEqual(['one', 'two', 'three']);
  expect(messages.map((message) => message.header('foo'))).toEqual(['bar', 'bar', 'bar']);
});

rule('4', ONLY_1_2, 'takes the CR before LF as part of the EOL, never of the last value', async (version) => {
  const peer = await server.connect(version);

  const message = await echo(peer, 'first:1\r\nlast:2\r\n');

  expect([message.header('first'), message.header('last')]).toEqual(['1', '2']);
});

rule('5', ONLY_1_0, 'keeps a CR inside a value', async (version) => {
  const peer = await server.connect(version);

  const message = await echo(peer, 'foo:a\rb\n');

  expect(message.header('foo')).toBe('a\rb');
});

rule('5', ONLY_1_1, 'keeps the CR before LF as the last octet of the value', async (version) => {
  const sender = await server.connect(version);
  const receiver = await server.connect('1.2');

  const message = await relay(sender, receiver, 'foo:bar\r\n');

  expect(message.lines).toContain('foo:bar\\r');
});

choice('5', ALL, 'strips the CR before LF from CONNECT, when the version is not known yet', async (version) => {
  const peer = await server.open();
  const headers = Object.entries(server.credentials(version)).map(([name, value]) => `${name}:${value}\r\n`);

  peer.write(`CONNECT\r\naccept-version:${version}\r\n${headers.join('')}\r\n\0`);

  const connected = await peer.frame();
  expect(connected.command).toBe('CONNECTED');
  expect(connected.header('version') ?? '1.0').toBe(version);
});

rule('6', ONLY_1_2, 'refuses a CR in a name or value that is not before LF', async (version) => {
  const frame = (line: string) => `SEND\ndestination:${topic()}\n${line}\n\nbody\0`;

  await refuses(() => server.connect(version), frame('foo:a\rb'), frame('f\roo:bar'), frame('foo:bar\r\r'));
});

rule('7', ALL, 'skips any number of EOLs after NULL', async (version) => {
  const peer = await server.connect(version);
  const destination = topic();
  await peer.subscribe(destination);

  for (const eols of [0, 1, 2, 100]) {
    peer.write(`SEND\ndestination:${destination}\n\nbefore ${eols}\0${'\n'.repeat(eols)}`);
  }

  expect(await peer.texts(4)).toEqual(['before 0', 'before 1', 'before 2', 'before 100']);
});

choice('7', ALL, 'skips stray NULLs and EOLs between frames', async (version) => {
  const peer = await server.connect(version);
  const destination = topic();
  await peer.subscribe(destination);

  peer.write(`\0\n\0\0SEND\ndestination:${destination}\n\none\0\0\n\n\0SEND\ndestination:${destination}\n\ntwo\0`);

  expect(await peer.texts(2)).toEqual(['one', 'two']);
});

choice('7', ALL, 'ends each of its frames with NULL LF', async (version) => {
  const peer = await server.connect(version);

  const receipt = await peer.receipted('SEND', { destination: topic() }, 'body');
  const message = await echo(peer, '');
  peer.write('NONSENSE\n\n\0');
  const error = await peer.refused();

  for (const { raw } of [receipt, message, error]) expect(raw.subarray(-2)).toEqual(Buffer.from('\0\n'));
});

rule('8', ALL, 'takes a frame without headers', async (version) => {
  const peer = await server.connect(version);

  peer.write('DISCONNECT\n\n\0');
  peer.end();

  await peer.closed();
  await expect(peer.frame()).rejects.toThrow('connection closed');
});

rule('9', ALL, 'reads frames that arrive octet by octet', async (version) => {
  const peer = await server.open();
  const destination = topic();
  const escaped = version === '1.0' ? 'a:b' : 'a\\cb\\\\';
  const subscribe = `SUBSCRIBE\nid:1\ndestination:${destination}\n\n\0`;
  const counted = `SEND\ndestination:${destination}\nfoo:${escaped}ž\ncontent-length:6\n\n€\0\n\n\0`;

  await peer.drip(server.connectFrame(version));
  await peer.drip(`\n${subscribe}\n\n${counted}SEND\ndestination:${destination}\n\nl1\n\nl3\0\n`);

  await peer.take('CONNECTED', ({ command }) => command === 'CONNECTED');
  const first = await peer.message();
  const second = await peer.message();
  expect(first.header('foo')).toBe(version === '1.0' ? 'a:bž' : 'a:b\\ž');
  expect(first.body).toEqual(Buffer.from('€\0\n\n'));
  expect(second.text).toBe('l1\n\nl3');
});

rule('9', ALL, 'reads a frame that arrives in two pieces, split at any octet', async (version) => {
  const peer = await server.connect(version);
  const destination = topic();
  await peer.subscribe(destination);
  const eol = version === '1.2' ? '\r\n' : '\n';
  const escaped = version === '1.0' ? 'a:b' : 'a\\cb';
  const lines = ['SEND', `destination:${destination}`, `foo:${escaped}€`, 'content-length:5', '', 'é\0\n.\0\n'];
  const octets = Buffer.from(lines.join(eol));

  for (let at = 1; at < octets.length; at++) {
    peer.write(octets.subarray(0, at));
    await new Promise(setImmediate);
    peer.write(octets.subarray(at));
    const message = await peer.message();
    expect([at, message.header('foo'), message.text]).toEqual([at, 'a:b€', 'é\0\n.']);
  }
});

rule('9', ALL, 'reads many frames that arrive at once', async (version) => {
  const peer = await server.connect(version);
  const destination = topic();
  await peer.subscribe(destination);
  const bodies = Array.from({ length: 500 }, (_, index) => `body ${index}`);

  peer.write(bodies.map((body) => `SEND\ndestination:${destination}\n\n${body}\0`).join(''));

  expect(await peer.texts(500)).toEqual(bodies);
});

rule('10', ALL, 'refuses a header without a name', async (version) => {
  await refuses(() => server.connect(version), `SEND\ndestination:${topic()}\n:value\n\nbody\0`);
});

rule('11', ALL, 'refuses a header line without a colon', async (version) => {
  await refuses(() => server.connect(version), `SEND\ndestination:${topic()}\nvalue\n\nbody\0`);
});

rule('12', SINCE_1_1, 'takes an empty header value and passes it on', async (version) => {
  const peer = await server.connect(version);

  const message = await echo(peer, 'foo:\nbar:1\n');

  expect([message.header('foo'), message.header('bar')]).toEqual(['', '1']);
});

rule('13', ONLY_1_0, 'takes colons as part of a value', async (version) => {
  const peer = await server.connect(version);

  const message = await echo(peer, 'foo:a:b::c:\n');

  expect(message.header('foo')).toBe('a:b::c:');
});

choice('13', ONLY_1_0, 'takes an empty value, and UTF-8', async (version) => {
  const peer = await server.connect(version);

  const message = await echo(peer, 'empty:\ngreeting:Grüß Gott €\n');

  expect([message.header('empty'), message.header('greeting')]).toEqual(['', 'Grüß Gott €']);
});

rule('14', ALL, 'parts name and value at the first colon', async (version) => {
  const sender = await server.connect(version);
  const receiver = await server.connect('1.0');

  const message = await relay(sender, receiver, version === '1.0' ? 'foo:a:b\n' : 'foo:a\\cb\n');

  expect(message.lines).toContain('foo:a:b');
});

rule('15', SINCE_1_1, 'writes no raw colon in a name or value', async (version) => {
  const peer = await server.connect(version);

  const message = await echo(peer, 'a\\cb:c\\cd\n');

  expect(message.lines).toContain('a\\cb:c\\cd');
  expect(message.lines.filter((line) => line.split(':').length !== 2)).toEqual([]);
});

choice('15', SINCE_1_1, 'accepts a raw colon in a received value', async (version) => {
  const peer = await server.connect(version);

  const message = await echo(peer, 'foo:a:b:c\n');

  expect(message.lines).toContain('foo:a\\cb\\cc');
});

rule('16', SINCE_1_1, 'tells commands and header names apart by case', async (version) => {
  await refuses(
    () => server.connect(version),
    `send\ndestination:${topic()}\n\nbody\0`,
    `SEND\nDestination:${topic()}\n\nbody\0`,
  );
  const peer = await server.connect(version);
  const message = await echo(peer, 'Foo:1\nfoo:2\nFOO:3\n');
  expect([message.header('Foo'), message.header('foo'), message.header('FOO')]).toEqual(['1', '2', '3']);
});

must('17', SINCE_1_1, 'never trims or pads header names and values', async (version) => {
  const peer = await server.connect(version);

  const message = await echo(peer, 'foo: bar \n spaced : \t\n');

  expect(message.lines).toEqual(expect.arrayContaining(['foo: bar ', ' spaced : \t']));
});

choice(
  '18',
  ONLY_1_0,
  'trims the blanks around a value, as the examples of the specification pad it',
  async (version) => {
    const peer = await server.connect(version);
    const destination = topic();

    await peer.subscribe(` ${destination} `);
    peer.write(`SEND\ndestination: ${destination}\nfoo: bar \n\nbody\0`);

    const message = await peer.message();
    expect([message.header('destination'), message.header('foo')]).toEqual([destination, 'bar']);
  },
);

rule('19', SINCE_1_1, 'reads and writes commands and headers in UTF-8, and refuses what is not', async (version) => {
  const peer = await server.connect(version);
  const message = await echo(peer, 'schlüssel:Wert €😀\n');
  expect(message.lines).toContain('schlüssel:Wert €😀');

  const broken = ['foo:caf\xe9', 'caf\xe9:foo', 'foo:\xc0\xaf', 'foo:\xed\xa0\x80', 'foo:\xff'];
  for (const line of broken) {
    const victim = await server.connect(version);
    victim.write(Buffer.from(`SEND\ndestination:${topic()}\n${line}\n\nbody\0`, 'latin1'));
    await victim.refused();
  }
});

must('20', SINCE_1_1, 'supports UTF-8 in headers, destinations and bodies', async (version) => {
  const peer = await server.connect(version);
  const destination = `${topic()}-größe-日本`;

  const message = await relay(peer, peer, 'content-type:text/plain\nfoo:€\n', 'žluťoučký 🐎', destination);

  expect([message.header('destination'), message.header('foo')]).toEqual([destination, '€']);
  expect(message.text).toBe('žluťoučký 🐎');
});

rule('21', ALL, 'knows the client commands of the version', async (version) => {
  const peer = await server.connect(version);
  const [destination, id] = [queue(), 'subscription'];
  const commands = ['ACK', ...(version === '1.0' ? [] : ['NACK'])];

  await peer.receipted('SUBSCRIBE', { destination, id, ack: 'client' });
  for (const command of commands) {
    await peer.receipted('BEGIN', { transaction: 'tx' });
    peer.send('SEND', { destination, transaction: 'tx' }, command);
    await peer.receipted('COMMIT', { transaction: 'tx' });
    await peer.receipted(command, peer.reference(await peer.message()));
  }
  await peer.receipted('BEGIN', { transaction: 'tx' });
  await peer.receipted('ABORT', { transaction: 'tx' });
  await peer.receipted('UNSUBSCRIBE', { id });
  await peer.receipted('DISCONNECT');
});

rule('21', SINCE_1_1, 'knows STOMP as the other name of CONNECT', async (version) => {
  const peer = await server.open();

  peer.write(server.connectFrame(version, {}, 'STOMP'));

  expect((await peer.frame()).command).toBe('CONNECTED');
});

choice('21', ONLY_1_0, 'lets a 1.0 client NACK, which the version does not have', async (version) => {
  const peer = await server.connect(version);
  const destination = queue();
  await peer.subscribe(destination, { ack: 'client' });
  await peer.receipted('SEND', { destination }, 'body');
  const message = await peer.message();

  await peer.receipted('NACK', peer.reference(message));

  expect((await peer.message()).text).toBe('body');
});

choice('22', ALL, 'refuses the commands of a server from a client', async (version) => {
  const headers = `destination:${topic()}\nmessage-id:1\nsubscription:1\nreceipt-id:1\nversion:${version}\n`;
  const frames = ['CONNECTED', 'MESSAGE', 'RECEIPT', 'ERROR'].map((command) => `${command}\n${headers}\n\0`);

  await refuses(() => server.connect(version), ...frames);
});

may('23', SINCE_1_1, 'answers an unknown command with ERROR and closes', async (version) => {
  await refuses(
    () => server.connect(version),
    'NONSENSE\nfoo:bar\n\nbody\0',
    'SENDING\n\n\0',
    '*\n\n\0',
    ' SEND\n\n\0',
  );
});
