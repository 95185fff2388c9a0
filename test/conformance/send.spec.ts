import { expect } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { ALL, choice, must, rule, SINCE_1_1 } from './rules.js';
import { echo, queue, refuses, relay, topic } from './steps.js';
import { target } from './target.js';

const server = target();

rule('93', ALL, 'answers a SEND without destination with ERROR and closes', async (version) => {
  await refuses(() => server.connect(version), 'SEND\n\nbody\0', 'SEND\nfoo:bar\ncontent-length:4\n\nbody\0');
});

must('94', SINCE_1_1, 'answers a SEND that it cannot process with ERROR and closes', async (version) => {
  await refuses(() => server.connect(version), `SEND\ndestination:${queue()}\ntransaction:unknown\n\nbody\0`);
});

must('95', SINCE_1_1, 'passes the headers of the user through', async (version) => {
  const peer = await server.connect(version);
  const headers = [
    'foo:bar',
    'X-Upper-Case:1',
    'dotted.name:2',
    'empty:',
    'blank in name:3',
    'correlation-id:4',
    '_:5',
  ];

  const message = await echo(peer, headers.map((line) => `${line}\n`).join(''));

  expect(message.lines).toEqual(expect.arrayContaining(headers));
});

choice('95', ['1.0'], 'passes the headers of the user through in 1.0 as well', async (version) => {
  const peer = await server.connect(version);

  const message = await echo(peer, 'foo:bar\nX-Upper-Case:1\n');

  expect(message.lines).toEqual(expect.arrayContaining(['foo:bar', 'X-Upper-Case:1']));
});

rule('96', ALL, 'takes a destination as it is', async (version) => {
  const peer = await server.connect(version);
  const name = randomUUID();
  const destinations = [
    `/queue/${name}`,
    `/queue/${name}/a/b.c`,
    `/topic/${name} with blanks?&=%20+#1`,
    `/queue/Ä€-${name}`,
  ];

  for (const destination of destinations) {
    const message = await relay(peer, peer, '', 'body', destination);
    expect(message.header('destination')).toBe(destination);
  }
});

choice('96', ALL, 'takes a name without /queue/ or /topic/ for a topic', async (version) => {
  const peer = await server.connect(version);
  const destination = `opaque-${randomUUID()}`;
  await peer.subscribe(destination, { id: 'one' });
  await peer.subscribe(destination, { id: 'two' });

  peer.send('SEND', { destination }, 'body');

  const messages = await peer.messages(2);
  expect(messages.map((message) => message.header('destination'))).toEqual([destination, destination]);
});

rule('96', ALL, 'gives a message of a queue to one consumer, whoever else listens', async (version) => {
  const [sender, ...consumers] = [
    await server.connect(version),
    await server.connect(version),
    await server.connect(version),
  ];
  const destination = queue();
  for (const consumer of consumers) await consumer.subscribe(destination);

  for (let count = 0; count < 10; count++) await sender.receipted('SEND', { destination }, `body ${count}`);

  const got = [await consumers[0]?.rest(), await consumers[1]?.rest()].map(
    (frames) => frames?.map(({ text }) => text) ?? [],
  );
  expect(got.flat().sort()).toEqual(Array.from({ length: 10 }, (_, count) => `body ${count}`));
});

rule('97', ALL, 'delivers the SEND of a transaction only after COMMIT', async (version) => {
  const [sender, receiver] = [await server.connect(version), await server.connect(version)];
  const destination = topic();
  await receiver.subscribe(destination);

  await sender.receipted('BEGIN', { transaction: 'tx' });
  sender.send('SEND', { destination, transaction: 'tx' }, 'in the transaction');
  await sender.receipted('SEND', { destination }, 'outside');
  expect(await receiver.texts(1)).toEqual(['outside']);
  expect(await receiver.rest()).toEqual([]);

  await sender.receipted('COMMIT', { transaction: 'tx' });
  expect(await receiver.texts(1)).toEqual(['in the transaction']);
});
