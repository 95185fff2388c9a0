import { expect } from '@jest/globals';
import { type RawPeer } from '../support/raw.js';
import { ALL, choice, must, ONLY_1_2, rule, SINCE_1_1 } from './rules.js';
import { consume, leave, publish, queue, refuses, topic } from './steps.js';
import { target } from './target.js';

const server = target();

/** Begins a transaction and sends these bodies in it. */
async function begin(peer: RawPeer, transaction: string, destination: string, ...bodies: string[]): Promise<void> {
  await peer.receipted('BEGIN', { transaction });
  for (const body of bodies) peer.send('SEND', { destination, transaction }, body);
}

must('122', ALL, 'answers BEGIN, COMMIT and ABORT without transaction with ERROR and closes', async (version) => {
  await refuses(
    () => server.connect(version),
    'BEGIN\n\n\0',
    'COMMIT\n\n\0',
    'ABORT\n\n\0',
    'BEGIN\nTransaction:tx\n\n\0',
  );
});

rule('123', ALL, 'does all of a transaction at COMMIT, in order', async (version) => {
  const [sender, receiver] = [await server.connect(version), await server.connect(version)];
  const [first, second] = [topic(), topic()];
  await receiver.subscribe(first);
  await receiver.subscribe(second);

  await begin(sender, 'tx', first, 'one', 'two');
  sender.send('SEND', { destination: second, transaction: 'tx' }, 'three');
  await sender.rest();
  expect(await receiver.rest()).toEqual([]);

  await sender.receipted('COMMIT', { transaction: 'tx' });
  expect((await receiver.texts(3)).sort()).toEqual(['one', 'three', 'two']);
});

rule('123', ALL, 'keeps the order of the messages of a transaction', async (version) => {
  const [sender, receiver] = [await server.connect(version), await server.connect(version)];
  const destination = queue();
  const bodies = Array.from({ length: 20 }, (_, index) => `body ${index}`);
  await receiver.subscribe(destination);

  await begin(sender, 'tx', destination, ...bodies);
  await sender.receipted('COMMIT', { transaction: 'tx' });

  expect(await receiver.texts(20)).toEqual(bodies);
});

rule('123', ALL, 'drops all of a transaction at ABORT', async (version) => {
  const [sender, receiver] = [await server.connect(version), await server.connect(version)];
  const destination = queue();
  await publish(sender, destination, 'to be acknowledged');
  const [message] = await consume(sender, destination, 1, { ack: 'client' });

  await begin(sender, 'tx', destination, 'never');
  sender.send('ACK', { ...sender.reference(message ?? (await sender.frame())), transaction: 'tx' });
  await sender.receipted('ABORT', { transaction: 'tx' });
  await leave(sender);

  await receiver.subscribe(destination);
  expect(await receiver.texts(1)).toEqual(['to be acknowledged']);
  expect(await receiver.rest()).toEqual([]);
});

rule('123', ALL, 'keeps transactions of one connection apart', async (version) => {
  const [sender, receiver] = [await server.connect(version), await server.connect(version)];
  const destination = queue();
  await receiver.subscribe(destination);

  await begin(sender, 'kept', destination, 'kept');
  await begin(sender, 'dropped', destination, 'dropped');
  await sender.receipted('ABORT', { transaction: 'dropped' });
  await sender.receipted('COMMIT', { transaction: 'kept' });

  expect(await receiver.texts(1)).toEqual(['kept']);
  expect(await receiver.rest()).toEqual([]);
});

must('124', ONLY_1_2, 'answers BEGIN of a transaction that is open with ERROR and closes', async (version) => {
  await refuses(() => server.connect(version), 'BEGIN\ntransaction:tx\n\n\0BEGIN\ntransaction:tx\n\n\0');
});

rule('124', ALL, 'lets an id be used again after COMMIT and after ABORT', async (version) => {
  const [sender, receiver] = [await server.connect(version), await server.connect(version)];
  const destination = queue();
  await receiver.subscribe(destination);

  for (const end of ['COMMIT', 'ABORT', 'COMMIT']) {
    await begin(sender, 'tx', destination, end);
    await sender.receipted(end, { transaction: 'tx' });
  }

  expect(await receiver.texts(2)).toEqual(['COMMIT', 'COMMIT']);
  expect(await receiver.rest()).toEqual([]);
});

rule('124', ALL, 'lets two connections use the same id', async (version) => {
  const [one, other, receiver] = [
    await server.connect(version),
    await server.connect(version),
    await server.connect(version),
  ];
  const destination = queue();
  await receiver.subscribe(destination);

  await begin(one, 'tx', destination, 'of one');
  await begin(other, 'tx', destination, 'of the other');
  await one.receipted('ABORT', { transaction: 'tx' });
  await other.receipted('COMMIT', { transaction: 'tx' });

  expect(await receiver.texts(1)).toEqual(['of the other']);
  expect(await receiver.rest()).toEqual([]);
});

rule('125', SINCE_1_1, 'aborts what is open at DISCONNECT', async (version) => {
  const [sender, receiver] = [await server.connect(version), await server.connect(version)];
  const destination = queue();
  await begin(sender, 'tx', destination, 'never');

  await leave(sender);

  await publish(receiver, destination, 'sentinel');
  await receiver.subscribe(destination);
  expect(await receiver.texts(1)).toEqual(['sentinel']);
  expect(await receiver.rest()).toEqual([]);
});

rule('125', SINCE_1_1, 'aborts what is open when the connection fails, acknowledgements too', async (version) => {
  const [sender, receiver] = [await server.connect(version), await server.connect(version)];
  const destination = queue();
  await publish(sender, destination, 'to be acknowledged');
  const [message] = await consume(sender, destination, 1, { ack: 'client' });
  await begin(sender, 'tx', destination, 'never');
  sender.send('ACK', { ...sender.reference(message ?? (await sender.frame())), transaction: 'tx' });
  await sender.rest();

  sender.destroy();

  await receiver.subscribe(destination);
  expect(await receiver.texts(1)).toEqual(['to be acknowledged']);
  expect(await receiver.rest()).toEqual([]);
});

must('126', ONLY_1_2, 'answers COMMIT and ABORT of an unknown transaction with ERROR and closes', async (version) => {
  await refuses(
    () => server.connect(version),
    'COMMIT\ntransaction:unknown\n\n\0',
    'ABORT\ntransaction:unknown\n\n\0',
    'BEGIN\ntransaction:tx\n\n\0COMMIT\ntransaction:tx\n\n\0COMMIT\ntransaction:tx\n\n\0',
  );
});

choice('126', ALL, 'answers any frame that names an unknown transaction with ERROR and closes', async (version) => {
  await refuses(
    () => server.connect(version),
    'COMMIT\ntransaction:unknown\n\n\0',
    'ABORT\ntransaction:unknown\n\n\0',
    `SEND\ndestination:${queue()}\ntransaction:unknown\n\nbody\0`,
  );
  for (const command of ['ACK', 'NACK']) {
    const peer = await server.connect(version);
    const destination = queue();
    await publish(peer, destination, 'body');
    const [message] = await consume(peer, destination, 1, { ack: 'client' });
    peer.send(command, { ...peer.reference(message ?? (await peer.frame())), transaction: 'unknown' });
    await peer.refused();
  }
});

choice('126', ALL, 'knows no transaction of another connection', async (version) => {
  const owner = await server.connect(version);
  await owner.receipted('BEGIN', { transaction: 'of another connection' });

  await refuses(() => server.connect(version), 'COMMIT\ntransaction:of another connection\n\n\0');

  await owner.receipted('COMMIT', { transaction: 'of another connection' });
});
