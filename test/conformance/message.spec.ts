import { expect } from '@jest/globals';
import { type RawPeer } from '../support/raw.js';
import { type Version } from '../support/wire.js';
import { ALL, choice, must, ONLY_1_2, rule, should, SINCE_1_1 } from './rules.js';
import { consume, echo, publish, queue, relay, topic } from './steps.js';
import { target } from './target.js';

const server = target();

/** A session of each version. */
const sessions = async (): Promise<Array<[Version, RawPeer]>> => [
  ['1.0', await server.connect('1.0')],
  ['1.1', await server.connect('1.1')],
  ['1.2', await server.connect('1.2')],
];

must('136', ALL, 'says the destination as it was on SEND', async (version) => {
  const peer = await server.connect(version);

  for (const destination of [queue(), topic(), `${queue()}/with/slashes`]) {
    const message = await relay(peer, peer, '', 'body', destination);
    expect(message.header('destination')).toBe(destination);
  }
});

must('137', ALL, 'gives each message an id of its own', async (version) => {
  const peer = await server.connect(version);
  const [first, second] = [queue(), queue()];
  await peer.subscribe(first, { id: '1' });
  await peer.subscribe(second, { id: '2' });

  await publish(peer, first, ...Array.from({ length: 10 }, () => 'same'));
  await publish(peer, second, ...Array.from({ length: 10 }, () => 'same'));

  const ids = (await peer.messages(20)).map((message) => message.header('message-id'));
  expect(ids).not.toContain(undefined);
  expect(ids).not.toContain('');
  expect(new Set(ids).size).toBe(20);
});

must('138', ALL, 'says the subscription that the message is for', async (version) => {
  const peer = await server.connect(version);
  const destination = topic();
  await peer.subscribe(destination, { id: 'first: one' });
  await peer.subscribe(destination, { id: '0' });

  await publish(peer, destination, 'body');

  const messages = await peer.messages(2);
  expect(messages.map((message) => message.header('subscription')).sort()).toEqual(['0', 'first: one']);
});

must('139', ONLY_1_2, 'puts an ack header on messages of client and client-individual', async (version) => {
  const peer = await server.connect(version);
  for (const ack of ['client', 'client-individual']) {
    const destination = queue();
    await publish(peer, destination, 'one', 'two');
    const acks = (await consume(peer, destination, 2, { ack })).map((message) => message.header('ack'));
    expect(acks).not.toContain(undefined);
    expect(new Set(acks).size).toBe(2);
  }
});

choice('139', ALL, 'puts an ack header nowhere else', async (version) => {
  const peer = await server.connect(version);
  for (const ack of version === '1.2' ? ['auto'] : ['auto', 'client']) {
    const destination = queue();
    await publish(peer, destination, 'body');
    const [message] = await consume(peer, destination, 1, { ack });
    expect(message?.headers.map(([name]) => name)).not.toContain('ack');
  }
});

should('140', SINCE_1_1, 'says content-length and content-type of a body', async (version) => {
  const peer = await server.connect(version);

  const message = await echo(peer, 'content-type:text/plain\n', 'größe');

  expect([message.header('content-length'), message.header('content-type')]).toEqual(['7', 'text/plain']);
});

choice('140', ALL, 'keeps receipt and transaction of the SEND to itself', async (version) => {
  const peer = await server.connect(version);
  const destination = topic();
  await peer.subscribe(destination);

  await peer.receipted('BEGIN', { transaction: 'tx' });
  peer.send('SEND', { destination, transaction: 'tx', receipt: 'sent', foo: 'bar' }, 'body');
  peer.send('COMMIT', { transaction: 'tx' });
  await peer.receipt('sent');

  const message = await peer.message();
  expect(message.header('foo')).toBe('bar');
  expect(message.headers.filter(([name]) => ['receipt', 'transaction'].includes(name))).toEqual([]);
});

choice('141', ALL, 'lets no header of the sender stand for one of its own', async (version) => {
  const peer = await server.connect(version);
  const destination = queue();
  await peer.subscribe(destination, { id: 'mine', ack: 'client' });
  const forged = { subscription: 'forged', 'message-id': 'forged', ack: 'forged', redelivered: 'forged' };

  peer.send('SEND', { ...forged, destination }, 'body');

  const message = await peer.message();
  expect(message.header('subscription')).toBe('mine');
  expect(message.headers.filter(([, value]) => value === 'forged')).toEqual([]);
  await peer.receipted('ACK', peer.reference(message));
});

rule('142', SINCE_1_1, 'encodes a message by the version of each subscriber', async (version) => {
  const sender = await server.connect(version);
  const destination = topic();
  const peers = await sessions();
  for (const [, peer] of peers) await peer.subscribe(destination);

  sender.write(`SEND\ndestination:${destination}\ncolon\\\\:a\\cb\\\\c\n\nbody\0`);

  for (const [subscriber, peer] of peers) {
    const expected = subscriber === '1.0' ? 'colon\\:a:b\\c' : 'colon\\\\:a\\cb\\\\c';
    expect([subscriber, (await peer.message()).lines]).toEqual([subscriber, expect.arrayContaining([expected])]);
  }
});

rule('142', ['1.0'], 'encodes a message of a 1.0 sender by the version of each subscriber', async (version) => {
  const sender = await server.connect(version);
  const destination = topic();
  const peers = await sessions();
  for (const [, peer] of peers) await peer.subscribe(destination);

  sender.write(`SEND\ndestination:${destination}\nfoo:a:b\\c\\n\n\nbody\0`);

  for (const [subscriber, peer] of peers) {
    const expected = subscriber === '1.0' ? 'foo:a:b\\c\\n' : 'foo:a\\cb\\\\c\\\\n';
    expect([subscriber, (await peer.message()).lines]).toEqual([subscriber, expect.arrayContaining([expected])]);
  }
});

choice('142', SINCE_1_1, 'never breaks the frame of a 1.0 subscriber with what 1.0 cannot say', async (version) => {
  const sender = await server.connect(version);
  const receiver = await server.connect('1.0');

  const message = await relay(sender, receiver, 'foo:a\\nb\nco\\clon:1\nsafe:yes\n\\n\\n:2\n');

  expect(message.header('safe')).toBe('yes');
  expect(message.text).toBe('body');
  expect(message.header('b')).toBeUndefined();
  expect(message.header('foo') ?? 'dropped').toMatch(/^(?:dropped|a.?b)$/);
  expect(message.header('co')).toBeUndefined();
});
