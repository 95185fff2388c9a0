import { expect } from '@jest/globals';
import { type RawPeer } from '../support/raw.js';
import { type RawFrame, type Version } from '../support/wire.js';
import { ALL, choice, may, must, ONLY_1_0, ONLY_1_1, ONLY_1_2, rule, should, SINCE_1_1 } from './rules.js';
import { consume, leave, publish, queue, refuses } from './steps.js';
import { target } from './target.js';

const server = target();

interface Consuming {
  peer: RawPeer;
  destination: string;
  messages: RawFrame[];
}

/** A consumer, on a queue of its own, that has these bodies and has acknowledged none. */
async function consuming(version: Version, ack: string, ...bodies: string[]): Promise<Consuming> {
  const peer = await server.connect(version);
  const destination = queue();
  await publish(peer, destination, ...bodies);
  const messages = await consume(peer, destination, bodies.length, { ack });
  return { peer, destination, messages };
}

/** What the next consumer of a queue gets, up to a message that is sent when `count` have come. */
async function left(version: Version, destination: string, count: number): Promise<string[]> {
  const next = await server.connect(version);
  await next.subscribe(destination);
  const bodies = await next.texts(count);
  await publish(next, destination, 'sentinel');
  const last = await next.texts(1);
  expect(last).toEqual(['sentinel']);
  return bodies;
}

/** The message at this place. */
function at(messages: RawFrame[], index: number): RawFrame {
  const message = messages[index];
  if (message === undefined) throw new Error(`no message ${index}`);
  return message;
}

rule('111', ONLY_1_0, 'takes an ACK by message-id alone', async (version) => {
  const { peer, destination, messages } = await consuming(version, 'client', 'body');

  await peer.receipted('ACK', { 'message-id': at(messages, 0).header('message-id') ?? '' });
  await leave(peer);

  expect(await left(version, destination, 0)).toEqual([]);
});

rule('111', ONLY_1_0, 'answers an ACK without message-id with ERROR', async (version) => {
  const { peer } = await consuming(version, 'client', 'body');

  peer.send('ACK', { subscription: '1', id: '1' });

  await peer.refused();
});

must('112', ONLY_1_1, 'takes ACK and NACK by message-id and subscription', async (version) => {
  const { peer, destination, messages } = await consuming(version, 'client-individual', 'one', 'two');

  await peer.receipted('ACK', peer.reference(at(messages, 0)));
  await peer.receipted('NACK', peer.reference(at(messages, 1)));
  await peer.receipted('ACK', peer.reference(await peer.message()));
  await leave(peer);

  expect(await left(version, destination, 0)).toEqual([]);
});

must('112', ONLY_1_1, 'answers ACK and NACK without message-id with ERROR', async (version) => {
  for (const command of ['ACK', 'NACK']) {
    const { peer, messages } = await consuming(version, 'client', 'body');
    const { 'message-id': id = '', subscription = '' } = peer.reference(at(messages, 0));
    peer.send(command, { subscription, id });
    await peer.refused();
  }
});

must('112', ONLY_1_1, 'answers ACK and NACK without subscription with ERROR', async (version) => {
  for (const command of ['ACK', 'NACK']) {
    const { peer, messages } = await consuming(version, 'client', 'body');
    const { 'message-id': id = '' } = peer.reference(at(messages, 0));
    peer.send(command, { 'message-id': id });
    await peer.refused();
  }
});

choice('112', ['1.0', '1.1'], 'finds the message by message-id even if the subscription is wrong', async (version) => {
  const { peer, destination, messages } = await consuming(version, 'client', 'body');
  const id = at(messages, 0).header('message-id') ?? '';

  await peer.receipted('ACK', { 'message-id': id, subscription: 'wrong' });
  await leave(peer);

  expect(await left(version, destination, 0)).toEqual([]);
});

must('113', ONLY_1_2, 'takes ACK and NACK by the ack header of the message', async (version) => {
  const { peer, destination, messages } = await consuming(version, 'client-individual', 'one', 'two');

  await peer.receipted('ACK', { id: at(messages, 0).header('ack') ?? '' });
  await peer.receipted('NACK', { id: at(messages, 1).header('ack') ?? '' });
  await peer.receipted('ACK', { id: (await peer.message()).header('ack') ?? '' });
  await leave(peer);

  expect(await left(version, destination, 0)).toEqual([]);
});

must('113', ONLY_1_2, 'answers ACK and NACK without id with ERROR', async (version) => {
  for (const command of ['ACK', 'NACK']) {
    const { peer, messages } = await consuming(version, 'client', 'body');
    const [message] = messages;
    peer.send(command, {
      'message-id': message?.header('message-id') ?? '',
      subscription: message?.header('subscription') ?? '',
      ack: message?.header('ack') ?? '',
    });
    await peer.refused();
  }
});

rule('114', SINCE_1_1, 'acknowledges, in mode client, the message and all before it', async (version) => {
  const { peer, destination, messages } = await consuming(version, 'client', 'one', 'two', 'three');

  await peer.receipted('ACK', peer.reference(at(messages, 1)));
  peer.destroy();

  expect(await left(version, destination, 1)).toEqual(['three']);
});

rule('114', SINCE_1_1, 'acknowledges nothing of another subscription', async (version) => {
  const { peer, destination } = await consuming(version, 'client', 'earlier');
  const other = queue();
  await publish(peer, other, 'later');
  const [later] = await consume(peer, other, 1, { ack: 'client' });

  await peer.receipted('ACK', peer.reference(at(later ? [later] : [], 0)));
  peer.destroy();

  expect(await left(version, destination, 1)).toEqual(['earlier']);
  expect(await left(version, other, 0)).toEqual([]);
});

must('115', SINCE_1_1, 'acknowledges, in mode client-individual, that one message', async (version) => {
  const { peer, destination, messages } = await consuming(version, 'client-individual', 'one', 'two', 'three');

  await peer.receipted('ACK', peer.reference(at(messages, 2)));
  await peer.receipted('ACK', peer.reference(at(messages, 0)));
  peer.destroy();

  expect(await left(version, destination, 1)).toEqual(['two']);
});

rule('116', SINCE_1_1, 'rejects one message by NACK in mode client-individual', async (version) => {
  const { peer, destination, messages } = await consuming(version, 'client-individual', 'one', 'two', 'three');

  await peer.receipted('NACK', peer.reference(at(messages, 1)));
  const again = await peer.message();
  for (const message of [at(messages, 0), again, at(messages, 2)]) await peer.receipted('ACK', peer.reference(message));
  await leave(peer);

  expect(again.text).toBe('two');
  expect(await left(version, destination, 0)).toEqual([]);
});

rule('116', SINCE_1_1, 'rejects the message and all before it by NACK in mode client', async (version) => {
  const { peer, destination, messages } = await consuming(version, 'client', 'zero', 'one', 'two', 'three');

  await peer.receipted('ACK', peer.reference(at(messages, 0)));
  await peer.receipted('NACK', peer.reference(at(messages, 2)));
  expect((await peer.texts(2)).sort()).toEqual(['one', 'two']);
  await peer.receipted('ACK', peer.reference(at(messages, 3)));
  peer.destroy();

  expect((await left(version, destination, 2)).sort()).toEqual(['one', 'two']);
});

choice('117', ALL, 'delivers a message again after NACK, to whoever listens', async (version) => {
  const { peer, destination, messages } = await consuming(version, 'client', 'body');
  const other = await server.connect(version);
  await other.subscribe(destination);

  await peer.receipted('NACK', peer.reference(at(messages, 0)));

  const again = await Promise.any([peer.message(), other.message()]);
  expect([again.text, again.header('redelivered')]).toEqual(['body', 'true']);
});

may('118', ALL, 'delivers again what was not acknowledged when the connection failed', async (version) => {
  for (const ack of version === '1.0' ? ['client'] : ['client', 'client-individual']) {
    const { peer, destination } = await consuming(version, ack, 'one', 'two');
    peer.destroy();
    expect(await left(version, destination, 2)).toEqual(['one', 'two']);
  }
});

choice('118', ALL, 'says on each MESSAGE whether it was delivered before', async (version) => {
  const { peer, destination, messages } = await consuming(version, 'client', 'body');
  peer.destroy();
  const next = await server.connect(version);

  const [again] = await consume(next, destination, 1, { ack: 'client' });

  expect(at(messages, 0).header('redelivered')).toBe('false');
  expect(again?.header('redelivered')).toBe('true');
});

choice('118', ALL, 'takes an ACK that comes after UNSUBSCRIBE', async (version) => {
  const peer = await server.connect(version);
  const destination = queue();
  await publish(peer, destination, 'body');
  const [message] = await consume(peer, destination, 1, { id: 'mine', ack: 'client' });

  await peer.receipted('UNSUBSCRIBE', { id: 'mine' });
  await peer.receipted('ACK', peer.reference(at(message ? [message] : [], 0)));
  await leave(peer);

  expect(await left(version, destination, 0)).toEqual([]);
});

choice('120', ALL, 'answers the ACK of an unknown message with ERROR and closes', async (version) => {
  for (const command of ['ACK', 'NACK']) {
    const { peer } = await consuming(version, 'client', 'body');
    peer.send(command, { id: 'unknown', 'message-id': 'unknown', subscription: 'unknown' });
    await peer.refused();
  }
});

choice('120', ALL, 'answers the second ACK of a message with ERROR and closes', async (version) => {
  const { peer, messages } = await consuming(version, 'client', 'body');
  await peer.receipted('ACK', peer.reference(at(messages, 0)));

  peer.send('ACK', peer.reference(at(messages, 0)));

  await peer.refused();
});

choice('120', ALL, 'answers the ACK of an auto subscription with ERROR and closes', async (version) => {
  const { peer, messages } = await consuming(version, 'auto', 'body');
  const message = at(messages, 0);

  peer.send('ACK', {
    id: message.header('ack') ?? message.header('message-id') ?? '',
    'message-id': message.header('message-id') ?? '',
    subscription: message.header('subscription') ?? '',
  });

  await peer.refused();
});

choice('120', ALL, 'lets no connection acknowledge a message of another', async (version) => {
  const { peer, destination, messages } = await consuming(version, 'client', 'body');

  await refuses(
    () => server.connect(version),
    `ACK\n${Object.entries(peer.reference(at(messages, 0)))
      .map(([name, value]) => `${name}:${value}\n`)
      .join('')}\n\0`,
  );
  peer.destroy();

  expect(await left(version, destination, 1)).toEqual(['body']);
});

should('121', ALL, 'makes an ACK with a transaction part of it', async (version) => {
  for (const [end, remaining] of [
    ['COMMIT', []],
    ['ABORT', ['body']],
  ] as const) {
    const { peer, destination, messages } = await consuming(version, 'client', 'body');
    await peer.receipted('BEGIN', { transaction: 'tx' });
    peer.send('ACK', { ...peer.reference(at(messages, 0)), transaction: 'tx' });
    await peer.receipted(end, { transaction: 'tx' });
    await leave(peer);

    expect([end, await left(version, destination, remaining.length)]).toEqual([end, remaining]);
  }
});

should('121', SINCE_1_1, 'makes a NACK with a transaction part of it', async (version) => {
  const { peer, messages } = await consuming(version, 'client', 'body');
  await peer.receipted('BEGIN', { transaction: 'tx' });
  peer.send('NACK', { ...peer.reference(at(messages, 0)), transaction: 'tx' });
  expect(await peer.rest()).toEqual([]);

  await peer.receipted('COMMIT', { transaction: 'tx' });

  expect((await peer.message()).text).toBe('body');
});

choice(
  '121',
  ALL,
  'leaves a message with its consumer, to be acknowledged, when the transaction is aborted',
  async (version) => {
    const { peer, destination, messages } = await consuming(version, 'client', 'body');
    await peer.receipted('BEGIN', { transaction: 'tx' });
    peer.send('ACK', { ...peer.reference(at(messages, 0)), transaction: 'tx' });
    await peer.receipted('ABORT', { transaction: 'tx' });

    await peer.receipted('ACK', peer.reference(at(messages, 0)));
    await leave(peer);

    expect(await left(version, destination, 0)).toEqual([]);
  },
);
