import { expect } from '@jest/globals';
import { ALL, choice, may, must, ONLY_1_0, ONLY_1_2, rule, should, SINCE_1_1 } from './rules.js';
import { echo, queue, refuses, relay, topic } from './steps.js';
import { target } from './target.js';

const server = target();

const everyOctet = Buffer.from(Array.from({ length: 256 }, (_, octet) => octet));

rule('38', ALL, 'ends a body without content-length at the first NULL', async (version) => {
  const peer = await server.connect(version);
  const destination = topic();
  await peer.subscribe(destination);

  peer.write(`SEND\ndestination:${destination}\n\nabc\0SEND\ndestination:${destination}\n\n\0`);
  peer.write(`SEND\ndestination:${destination}\n\ndef\0`);

  expect(await peer.texts(3)).toEqual(['abc', '', 'def']);
});

must('39', ALL, 'reads as many octets as content-length says, NULLs included', async (version) => {
  const peer = await server.connect(version);

  const message = await echo(peer, 'content-length:6\n', 'a\0\0b\n\0');

  expect(message.text).toBe('a\0\0b\n\0');
});

rule('40', ALL, 'refuses another octet than NULL after the counted ones', async (version) => {
  const frame = (length: number) => `SEND\ndestination:${topic()}\ncontent-length:${length}\n\nhello\0`;

  await refuses(() => server.connect(version), frame(4), frame(0));
});

must('41', SINCE_1_1, 'writes content-length when the body contains NULL', async (version) => {
  const peer = await server.connect(version);

  const message = await echo(peer, 'content-length:3\n', 'a\0b');

  expect([message.header('content-length'), message.text]).toEqual(['3', 'a\0b']);
});

should('42', ALL, 'writes content-length on MESSAGE and ERROR with a body', async (version) => {
  const peer = await server.connect(version);

  const message = await echo(peer, '', 'hello');
  peer.write('NONSENSE\n\n\0');
  const error = await peer.refused();

  expect(message.header('content-length')).toBe('5');
  expect(error.header('content-length')).toBe(String(error.body.length));
});

choice('42', ALL, 'writes content-length exactly when there is a body', async (version) => {
  const peer = await server.connect(version);
  await echo(peer, 'content-length:0\n', '');

  const bodyless = peer.received.toString().split('\0');

  expect(bodyless.filter((frame) => frame.includes('\ncontent-length:'))).toEqual([]);
  expect(bodyless.map((frame) => frame.trimStart().split('\n')[0])).toEqual(['CONNECTED', 'RECEIPT', 'MESSAGE', '']);
});

rule('43', ALL, 'counts octets, not characters', async (version) => {
  const peer = await server.connect(version);

  const uncounted = await echo(peer, '', 'é€😀');
  const counted = await echo(peer, 'content-length:9\n', 'é€😀');

  expect([uncounted.header('content-length'), uncounted.text]).toEqual(['9', 'é€😀']);
  expect([counted.header('content-length'), counted.text]).toEqual(['9', 'é€😀']);
});

may('44', ONLY_1_2, 'accepts content-length on any frame, 0 on those without a body', async (version) => {
  const peer = await server.open();
  const none = { 'content-length': '0' };
  const destination = queue();

  peer.write(server.connectFrame(version, none));
  expect((await peer.frame()).command).toBe('CONNECTED');
  await peer.receipted('SUBSCRIBE', { destination, id: '1', ack: 'client', ...none });
  await peer.receipted('BEGIN', { transaction: 'tx', ...none });
  peer.send('SEND', { destination, transaction: 'tx', ...none });
  await peer.receipted('COMMIT', { transaction: 'tx', ...none });
  await peer.receipted('ACK', { ...peer.reference(await peer.message()), ...none });
  await peer.receipted('UNSUBSCRIBE', { id: '1', ...none });
  await peer.receipted('DISCONNECT', none);
});

rule('45', ALL, 'refuses a content-length that is not a number of octets', async (version) => {
  const lengths = ['abc', '-1', '+5', '5.0', '0x5', '5e0', '5 5', '5,5', '99999999999999999999999'];
  const frames = lengths.map((length) => `SEND\ndestination:${topic()}\ncontent-length:${length}\n\nhello\0`);

  await refuses(() => server.connect(version), ...frames);
});

must('46', SINCE_1_1, 'refuses a body on any frame but SEND', async (version) => {
  const heads = [
    `SUBSCRIBE\nid:1\ndestination:${topic()}\n`,
    'UNSUBSCRIBE\nid:1\n',
    'BEGIN\ntransaction:tx\n',
    'COMMIT\ntransaction:tx\n',
    'ABORT\ntransaction:tx\n',
    'ACK\nid:1\nmessage-id:1\nsubscription:1\n',
    'NACK\nid:1\nmessage-id:1\nsubscription:1\n',
    'DISCONNECT\n',
  ];

  await refuses(() => server.connect(version), ...heads.map((head) => `${head}\nbody\0`));
});

rule('47', ONLY_1_0, 'ignores the body of SUBSCRIBE and sends RECEIPT without one', async (version) => {
  const peer = await server.connect(version);
  const destination = topic();

  const receipt = await peer.receipted('SUBSCRIBE', { destination }, 'body');

  expect(receipt.body).toHaveLength(0);
  await peer.receipted('SEND', { destination }, 'hello');
  expect((await peer.message()).text).toBe('hello');
});

should('48', SINCE_1_1, 'says the content-type of MESSAGE and ERROR bodies', async (version) => {
  const peer = await server.connect(version);

  const message = await echo(peer, 'content-type:application/json\n', '{}');
  peer.write('NONSENSE\n\n\0');
  const error = await peer.refused();

  expect(message.header('content-type')).toBe('application/json');
  expect(error.header('content-type')).toBeTruthy();
});

must('49', ONLY_1_2, 'names its own content types as MIME types', async (version) => {
  const peer = await server.connect(version);

  peer.write('NONSENSE\n\n\0');

  const error = await peer.refused();
  expect(error.header('content-type')).toMatch(/^[\w.+-]+\/[\w.+-]+(?: *; *[\w-]+=[^;]+)*$/);
});

rule('51', SINCE_1_1, 'writes its own text in the encoding that it names', async (version) => {
  const peer = await server.connect(version);

  peer.write('UNSINN €\n\n\0');

  const error = await peer.refused();
  expect(error.header('content-type')).toMatch(/^text\/plain(?: *; *charset=utf-8)?$/i);
  expect(() => new TextDecoder('utf-8', { fatal: true }).decode(error.body)).not.toThrow();
});

rule('51', SINCE_1_1, 'never changes the content-type of a sender, nor the encoding of its text', async (version) => {
  const peer = await server.connect(version);
  const latin = Buffer.from('Größe', 'latin1');

  for (const type of ['text/plain;charset=iso-8859-1', 'text/plain', 'application/json; charset=ISO-8859-1']) {
    const message = await echo(peer, `content-type:${type}\n`, latin);
    expect([message.header('content-type'), message.body]).toEqual([type, latin]);
  }
});

rule('52', ALL, 'passes the body on octet for octet', async (version) => {
  const peer = await server.connect(version);
  const big = Buffer.concat(Array.from({ length: 4096 }, () => everyOctet));

  const small = await echo(peer, `content-length:${everyOctet.length}\n`, everyOctet);
  const large = await echo(peer, `content-type:text/plain\ncontent-length:${big.length}\n`, big);

  expect(small.body.equals(everyOctet)).toBe(true);
  expect(large.body.equals(big)).toBe(true);
});

rule('53', ALL, 'takes line feeds, blank lines and whole frames as body', async (version) => {
  const peer = await server.connect(version);
  const nested = `\n\r\n\nSEND\ndestination:${topic()}\ncontent-length:1000\n\nDISCONNECT\n\n\r\n`;

  const message = await echo(peer, '', nested);

  expect(message.text).toBe(nested);
});

rule('53', ALL, 'keeps the EOLs that end a body', async (version) => {
  const [sender, receiver] = [await server.connect(version), await server.connect(version)];

  const message = await relay(sender, receiver, '', 'line\n\n');

  expect(message.text).toBe('line\n\n');
});
