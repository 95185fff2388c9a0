import { expect } from '@jest/globals';
import { type RawFrame, type Version } from '../support/wire.js';
import { ALL, choice, must, ONLY_1_2, rule, should, SINCE_1_1 } from './rules.js';
import { queue, refuses, topic } from './steps.js';
import { target } from './target.js';

const server = target();

/** One faulty frame of each kind, with these header lines in it. */
const faults = (lines = ''): string[] => [
  `NONSENSE\n${lines}\n\0`,
  `SEND\n${lines}\nno destination\0`,
  `SEND\ndestination:${queue()}\ntransaction:unknown\n${lines}\n\0`,
  `SUBSCRIBE\nid:1\n${lines}\n\0`,
  `UNSUBSCRIBE\nid:unknown\n${lines}\n\0`,
  `ACK\nid:unknown\nmessage-id:unknown\nsubscription:1\n${lines}\n\0`,
  `COMMIT\ntransaction:unknown\n${lines}\n\0`,
];

const errors = (version: Version, lines?: string): Promise<RawFrame[]> =>
  refuses(() => server.connect(version), ...faults(lines));

must('143', ONLY_1_2, 'closes the connection right after ERROR', async (version) => {
  for (const octets of faults()) {
    const peer = await server.connect(version);
    peer.write(octets);
    await peer.refused();
    await expect(peer.frame()).rejects.toThrow('connection closed');
  }
});

must('143', ['1.1'], 'closes the connection after the ERROR of a SEND or SUBSCRIBE', async (version) => {
  await refuses(() => server.connect(version), 'SEND\n\nbody\0', `SUBSCRIBE\ndestination:${topic()}\n\n\0`);
});

choice('143', ['1.0', '1.1'], 'closes the connection after any ERROR, in 1.0 and 1.1 as well', async (version) => {
  await errors(version);
});

choice('143', ALL, 'has processed what came before the faulty frame', async (version) => {
  const [sender, receiver] = [await server.connect(version), await server.connect(version)];
  const destination = queue();
  await receiver.subscribe(destination);

  sender.write(`SEND\ndestination:${destination}\nreceipt:1\n\nbefore\0NONSENSE\n\n\0`);

  await sender.receipt('1');
  await sender.refused();
  expect(await receiver.texts(1)).toEqual(['before']);
});

should('144', ALL, 'says what is wrong in a message header', async (version) => {
  for (const error of await errors(version)) {
    expect(error.header('message')?.trim()).toBeTruthy();
    expect(error.header('message')).not.toContain('\n');
  }
});

choice('144', ALL, 'explains it in the body, and never with a stack trace', async (version) => {
  for (const error of await errors(version)) {
    expect(error.text.trim()).not.toBe('');
    expect(error.text).not.toMatch(/^\s+at .+:\d+/m);
  }
});

should('145', SINCE_1_1, 'names the receipt of the faulty frame', async (version) => {
  for (const error of await errors(version, 'receipt:of the fault\\c\\\\\n')) {
    expect(error.header('receipt-id')).toBe('of the fault:\\');
  }
});

rule('145', ALL, 'has no receipt-id when the faulty frame had no receipt', async (version) => {
  for (const error of await errors(version)) expect(error.header('receipt-id')).toBeUndefined();
});

choice('145', ALL, 'names the receipt in 1.0, and of a frame before CONNECT, as well', async (version) => {
  const frame = `SEND\ndestination:${topic()}\nreceipt:early\n\nbody\0`;
  const [early] = await refuses(() => server.open(), frame);
  const [late] = await refuses(() => server.connect(version), 'SEND\nreceipt:late\n\nbody\0');

  expect([early?.header('receipt-id'), late?.header('receipt-id')]).toEqual(['early', 'late']);
});

should('146', SINCE_1_1, 'says content-length and content-type of the body', async (version) => {
  for (const error of await errors(version)) {
    if (error.body.length === 0) continue;
    expect(error.header('content-length')).toBe(String(error.body.length));
    expect(error.header('content-type')).toBeTruthy();
  }
});

choice('146', ALL, 'writes its explanations as text/plain', async (version) => {
  for (const error of await errors(version)) expect(error.header('content-type')).toMatch(/^text\/plain\b/);
});
