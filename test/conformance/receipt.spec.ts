import { expect } from '@jest/globals';
import { type Headers } from '../support/wire.js';
import { ALL, must, ONLY_1_2, rule, should, SINCE_1_1 } from './rules.js';
import { consume, publish, queue, refuses, topic } from './steps.js';
import { target } from './target.js';

const server = target();

must('131', ALL, 'receipts any frame but CONNECT, with the value it was asked with', async (version) => {
  const peer = await server.connect(version);
  const destination = queue();
  const receipted = async (command: string, headers: Headers = {}, body = '') => {
    const receipt = `${command} ž: a\\n ${version === '1.0' ? '' : '\n'}end`;
    expect((await peer.receipted(command, { ...headers, receipt }, body)).header('receipt-id')).toBe(receipt);
  };

  await receipted('SUBSCRIBE', { destination, id: '1', ack: 'client' });
  await receipted('SEND', { destination }, 'one');
  await receipted('ACK', peer.reference(await peer.message()));
  await receipted('SEND', { destination }, 'two');
  if (version !== '1.0') await receipted('NACK', peer.reference(await peer.message()));
  await receipted('BEGIN', { transaction: 'committed' });
  await receipted('COMMIT', { transaction: 'committed' });
  await receipted('BEGIN', { transaction: 'aborted' });
  await receipted('ABORT', { transaction: 'aborted' });
  await receipted('UNSUBSCRIBE', { id: '1' });
  await receipted('DISCONNECT');
});

must('131', ALL, 'receipts the frames of a transaction, with its COMMIT at the latest', async (version) => {
  const peer = await server.connect(version);
  const destination = queue();
  await publish(peer, destination, 'body');
  const [message] = await consume(peer, destination, 1, { ack: 'client' });

  await peer.receipted('BEGIN', { transaction: 'tx' });
  peer.send('SEND', { destination: topic(), transaction: 'tx', receipt: 'send' }, 'body');
  peer.send('ACK', { ...peer.reference(message ?? (await peer.frame())), transaction: 'tx', receipt: 'ack' });
  peer.send('COMMIT', { transaction: 'tx', receipt: 'commit' });

  for (const receipt of ['send', 'ack', 'commit']) await peer.receipt(receipt);
});

rule('132', SINCE_1_1, 'receipts a frame when it is processed', async (version) => {
  const [sender, receiver] = [await server.connect(version), await server.connect(version)];
  const destination = topic();

  for (let count = 0; count < 20; count++) {
    await receiver.subscribe(destination, { id: `${count}` });
    await publish(sender, destination, `body ${count}`);
    expect((await receiver.message()).text).toBe(`body ${count}`);
    await receiver.receipted('UNSUBSCRIBE', { id: `${count}` });
  }
  await publish(sender, destination, 'nobody listens');
  expect(await receiver.rest()).toEqual([]);
});

rule('132', SINCE_1_1, 'sends no RECEIPT for a frame that failed', async (version) => {
  const peer = await server.connect(version);

  peer.write('SEND\nreceipt:never\n\nbody\0');

  await peer.refused();
  await expect(peer.frame()).rejects.toThrow('connection closed');
});

rule('133', ONLY_1_2, 'receipts the frames of a connection in their order', async (version) => {
  const peer = await server.connect(version);
  const destination = queue();
  const ids = Array.from({ length: 30 }, (_, index) => `${index}`);

  const frames = ids.map((id, index) =>
    index % 3 === 0
      ? `SUBSCRIBE\nid:${id}\ndestination:${topic()}\nreceipt:${id}\n\n\0`
      : index % 3 === 1
        ? `SEND\ndestination:${destination}\nreceipt:${id}\n\nbody\0`
        : `BEGIN\ntransaction:${id}\nreceipt:${id}\n\n\0`,
  );
  peer.write(frames.join(''));

  for (const id of ids) expect((await peer.frame()).header('receipt-id')).toBe(id);
});

rule('133', ONLY_1_2, 'has processed all frames before the one that it receipts', async (version) => {
  const [sender, receiver] = [await server.connect(version), await server.connect(version)];
  const destination = queue();
  const bodies = Array.from({ length: 30 }, (_, index) => `${index}`);

  sender.write(bodies.map((body) => `SEND\ndestination:${destination}\n\n${body}\0`).join(''));
  await sender.receipted('BEGIN', { transaction: 'last' });

  await receiver.subscribe(destination);
  expect(await receiver.texts(30)).toEqual(bodies);
});

should('134', ONLY_1_2, 'goes on with what it received when the client has gone', async (version) => {
  const [sender, receiver] = [await server.connect(version), await server.connect(version)];
  const destination = queue();
  await receiver.subscribe(destination);
  const bodies = Array.from({ length: 200 }, (_, index) => `${index}`);

  sender.write(bodies.map((body) => `SEND\ndestination:${destination}\nreceipt:${body}\n\n${body}\0`).join(''));
  sender.end();

  expect(await receiver.texts(200)).toEqual(bodies);
});

rule('134', ONLY_1_2, 'does nothing of a frame that was cut off', async (version) => {
  const [sender, receiver] = [await server.connect(version), await server.connect(version)];
  const destination = queue();

  sender.write(`SEND\ndestination:${destination}\n\nwhole\0SEND\ndestination:${destination}\n\ncut o`);
  sender.end();
  await sender.closed();

  await receiver.subscribe(destination);
  expect(await receiver.texts(1)).toEqual(['whole']);
  expect(await receiver.rest()).toEqual([]);
});

rule('135', ALL, 'sends no RECEIPT that was not asked for, and none with a body', async (version) => {
  const peer = await server.connect(version);

  peer.send('SEND', { destination: topic() }, 'body');
  peer.send('BEGIN', { transaction: 'tx' });
  peer.send('ABORT', { transaction: 'tx' });
  const receipt = await peer.receipted('SEND', { destination: topic() }, 'body');

  expect(receipt.body).toHaveLength(0);
  expect(await peer.rest()).toEqual([]);
});

rule('132', SINCE_1_1, 'does nothing after the frame that failed', async (version) => {
  const destination = queue();
  const octets = `SEND\ndestination:${destination}\n\none\0NONSENSE\n\n\0SEND\ndestination:${destination}\n\ntwo\0`;

  await refuses(() => server.connect(version), octets);

  const receiver = await server.connect(version);
  await receiver.subscribe(destination);
  expect((await receiver.rest()).map(({ text }) => text)).toEqual(['one']);
});
