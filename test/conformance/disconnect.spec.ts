import { expect } from '@jest/globals';
import { ALL, choice, ONLY_1_0, rule, SINCE_1_1 } from './rules.js';
import { queue, topic } from './steps.js';
import { target } from './target.js';

const server = target();

rule('127', ONLY_1_0, 'ends the connection at DISCONNECT, and receipts it when asked', async (version) => {
  const [plain, polite] = [await server.connect(version), await server.connect(version)];

  plain.send('DISCONNECT');
  await plain.closed();

  await polite.receipted('DISCONNECT');
  await polite.closed();
});

rule('128', SINCE_1_1, 'receipts DISCONNECT, sends nothing after it, and ends the connection', async (version) => {
  const peer = await server.connect(version);
  const destination = topic();
  await peer.subscribe(destination);

  await peer.receipted('DISCONNECT', { receipt: 'bye' });
  peer.end();
  await peer.closed();

  await expect(peer.frame()).rejects.toThrow('connection closed');
});

choice('129', ALL, 'does not process a frame that comes after DISCONNECT', async (version) => {
  const [sender, receiver] = [await server.connect(version), await server.connect(version)];
  const destination = queue();

  sender.write(
    `SEND\ndestination:${destination}\n\nbefore\0DISCONNECT\n\n\0SEND\ndestination:${destination}\n\nafter\0`,
  );
  await sender.closed();

  await receiver.subscribe(destination);
  expect(await receiver.texts(1)).toEqual(['before']);
  expect(await receiver.rest()).toEqual([]);
});

rule(
  '130',
  SINCE_1_1,
  'receipts DISCONNECT once all frames before it are done, and closes only then',
  async (version) => {
    const [sender, receiver] = [await server.connect(version), await server.connect(version)];
    const destination = queue();
    await receiver.subscribe(destination);
    const numbers = Array.from({ length: 50 }, (_, index) => `${index}`);

    const sends = numbers.map((number) => `SEND\ndestination:${destination}\nreceipt:${number}\n\n${number}\0`);
    sender.write(`${sends.join('')}DISCONNECT\nreceipt:bye\n\n\0`);

    for (const number of [...numbers, 'bye']) expect((await sender.frame()).header('receipt-id')).toBe(number);
    await sender.closed();
    expect(await receiver.texts(50)).toEqual(numbers);
  },
);

rule('130', SINCE_1_1, 'sends what a client has coming that asks to go and closes its own side', async (version) => {
  const peer = await server.connect(version);
  const destination = topic();
  await peer.subscribe(destination);
  const body = 'x'.repeat(1_000_000);

  peer.send('SEND', { destination, receipt: 'sent' }, body);
  peer.send('DISCONNECT', { receipt: 'bye' });
  peer.end();

  await peer.receipt('sent');
  await peer.receipt('bye');
  await peer.closed();
});
