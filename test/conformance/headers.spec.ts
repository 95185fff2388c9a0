import { expect } from '@jest/globals';
import { type Headers, type Version } from '../support/wire.js';
import { ALL, ONLY_1_0, ONLY_1_1, ONLY_1_2, may, must, rule, SINCE_1_1 } from './rules.js';
import { consume, publish, queue, refuses, topic } from './steps.js';
import { target } from './target.js';

const server = target();

/** The headers that each client frame must have in this version, with values that would do. */
const required = (version: Version): Record<string, Headers> => {
  const acknowledgement: Record<Version, Headers> = {
    '1.0': { 'message-id': 'unknown' },
    '1.1': { 'message-id': 'unknown', subscription: 'unknown' },
    '1.2': { id: 'unknown' },
  };
  const id: Headers = version === '1.0' ? {} : { id: '1' };
  return {
    SEND: { destination: topic() },
    SUBSCRIBE: { destination: topic(), ...id },
    UNSUBSCRIBE: { id: 'unknown' },
    ACK: acknowledgement[version],
    ...(version === '1.0' ? {} : { NACK: acknowledgement[version] }),
    BEGIN: { transaction: 'tx' },
    COMMIT: { transaction: 'unknown' },
    ABORT: { transaction: 'unknown' },
  };
};

/** Each client frame of this version with one of its required headers left out. */
function incomplete(version: Version): string[] {
  return Object.entries(required(version)).flatMap(([command, headers]) =>
    Object.keys(headers).map((left) => {
      const lines = Object.entries(headers).filter(([name]) => name !== left);
      return `${command}\n${lines.map(([name, value]) => `${name}:${value}\n`).join('')}\n\0`;
    }),
  );
}

must('148', ONLY_1_2, 'demands the headers that each frame must have', async (version) => {
  await refuses(() => server.connect(version), ...incomplete(version));
});

must(
  '149',
  ONLY_1_1,
  'demands message-id and subscription on ACK and NACK, and what else a frame must have',
  async (version) => {
    await refuses(() => server.connect(version), ...incomplete(version));
  },
);

must('150', ONLY_1_0, 'demands the few headers that a 1.0 frame must have', async (version) => {
  await refuses(() => server.connect(version), ...incomplete(version));
});

must('148 149 150', ALL, 'writes the headers that each of its own frames must have', async (version) => {
  const peer = await server.open();
  const destination = queue();
  peer.write(server.connectFrame(version));
  const connected = await peer.frame();
  await publish(peer, destination, 'body');

  await peer.subscribe(destination, { id: 'mine', ack: 'client' });
  const message = await peer.message();
  const receipt = await peer.receipted('BEGIN', { transaction: 'tx' });

  const names = message.headers.map(([name]) => name);
  expect(connected.header(version === '1.0' ? 'session' : 'version')).toBeTruthy();
  expect(names).toEqual(expect.arrayContaining(['destination', 'message-id', 'subscription']));
  expect(receipt.header('receipt-id')).toBeTruthy();
  if (version === '1.2') expect(names).toContain('ack');
  if (version === '1.1') expect(names).not.toContain('ack');
});

rule('149', ONLY_1_1, 'needs no ack header on MESSAGE, as ACK names message-id and subscription', async (version) => {
  const peer = await server.connect(version);
  const destination = queue();
  await publish(peer, destination, 'body');
  const [message] = await consume(peer, destination, 1, { id: 'mine', ack: 'client' });

  expect(message?.headers.map(([name]) => name)).not.toContain('ack');
  await peer.receipted('ACK', { 'message-id': message?.header('message-id') ?? '', subscription: 'mine' });
});

rule('150', ONLY_1_0, 'needs no id on SUBSCRIBE', async (version) => {
  const peer = await server.connect(version);
  const destination = topic();
  await peer.receipted('SUBSCRIBE', { destination });

  await publish(peer, destination, 'body');

  expect((await peer.message()).text).toBe('body');
});

may('151', SINCE_1_1, 'takes headers that it does not know on any frame', async (version) => {
  const peer = await server.open();
  const destination = queue();
  const extra: Headers = { 'x-unknown': 'value' };

  peer.write(server.connectFrame(version, extra));
  expect((await peer.frame()).command).toBe('CONNECTED');
  await peer.receipted('SUBSCRIBE', { destination, id: '1', ack: 'client-individual', ...extra });
  await peer.receipted('BEGIN', { transaction: 'tx', ...extra });
  peer.send('SEND', { destination, transaction: 'tx', ...extra }, 'body');
  await peer.receipted('COMMIT', { transaction: 'tx', ...extra });
  const message = await peer.message();
  expect(message.header('x-unknown')).toBe('value');
  await peer.receipted('NACK', { ...peer.reference(message), ...extra });
  await peer.receipted('ACK', { ...peer.reference(await peer.message()), ...extra });
  await peer.receipted('BEGIN', { transaction: 'tx', ...extra });
  await peer.receipted('ABORT', { transaction: 'tx', ...extra });
  await peer.receipted('UNSUBSCRIBE', { id: '1', ...extra });
  await peer.receipted('DISCONNECT', extra);
});
