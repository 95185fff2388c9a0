import { describe, expect, it } from '@jest/globals';
import { LocalEngine, MemoryStore } from 'nestjs-stomp-broker';
import type { Frame, Session } from 'nestjs-stomp/server';
import { type Headers } from '../../../support/wire.js';
import { join, leave, makeBroker, sendAll } from '../../../support/broker.js';

const TOPIC = '/topic/news';

describe.each<[dialect: string, connect: Headers, subscribe: Headers]>([
  ['RabbitMQ', {}, { id: 'mine', durable: 'true', 'auto-delete': 'false' }],
  ['ActiveMQ', { 'client-id': 'c' }, { id: '1', 'activemq.subscriptionName': 'mine' }],
  ['Artemis', { 'client-id': 'c' }, { id: '1', 'durable-subscription-name': 'mine' }],
])('a durable subscription in the words of %s', (_dialect, connect, subscribe) => {
  it('with no-local does not keep what its own session sends, and is another one without', async () => {
    const broker = await makeBroker();
    const [own, other] = [await join(broker, '1.2', connect), await join(broker)];
    await own.subscribe(TOPIC, { ...subscribe, 'no-local': 'true' });
    await sendAll(own, TOPIC, ['own']);
    await sendAll(other, TOPIC, ['other']);
    expect(await own.texts(1)).toEqual(['other']);
    await leave(own);
    if (connect['client-id'] !== undefined) await sendAll(await join(broker, '1.2', connect), TOPIC, ['own, later']);
    await sendAll(other, TOPIC, ['while away']);
    const again = await join(broker, '1.2', connect);
    await again.subscribe(TOPIC, { ...subscribe, 'no-local': 'true' });
    expect(await again.texts(1)).toEqual(['while away']);
    await again.receipted('UNSUBSCRIBE', { id: subscribe.id! });
    await sendAll(other, TOPIC, ['of the old one']);
    await again.subscribe(TOPIC, subscribe);
    await sendAll(again, TOPIC, ['own, wanted']);
    expect(await again.texts(1)).toEqual(['own, wanted']);
  });

  it('keeps what comes while its client is away, in order, and once', async () => {
    const broker = await makeBroker();
    const sender = await join(broker);
    const first = await join(broker, '1.2', connect);
    await first.subscribe(TOPIC, subscribe);
    await sendAll(sender, TOPIC, ['1']);
    expect(await first.texts(1)).toEqual(['1']);
    await leave(first);
    await sendAll(sender, TOPIC, ['2', '3']);
    const second = await join(broker, '1.2', connect);
    await second.subscribe(TOPIC, subscribe);
    expect(await second.texts(2)).toEqual(['2', '3']);
    expect(await second.rest()).toEqual([]);
  });

  it('is not deleted by an UNSUBSCRIBE of its id alone, but by one that says so', async () => {
    const broker = await makeBroker();
    const sender = await join(broker);
    const peer = await join(broker, '1.2', connect);
    await peer.subscribe(TOPIC, subscribe);
    await peer.receipted('UNSUBSCRIBE', { id: subscribe.id! });
    await sendAll(sender, TOPIC, ['kept']);
    await peer.subscribe(TOPIC, subscribe);
    expect(await peer.texts(1)).toEqual(['kept']);
    await peer.receipted('UNSUBSCRIBE', subscribe);
    await sendAll(sender, TOPIC, ['lost']);
    await peer.subscribe(TOPIC, subscribe);
    expect(await peer.rest()).toEqual([]);
  });

  it('is shared by those who subscribe under the same name: each message goes to one of them', async () => {
    const broker = await makeBroker();
    const [one, two] = [await join(broker, '1.2', connect), await join(broker, '1.2', connect)];
    await one.subscribe(TOPIC, subscribe);
    await two.subscribe(TOPIC, subscribe);
    await sendAll(await join(broker), TOPIC, ['1', '2', '3', '4']);
    expect([...(await one.texts(2)), ...(await two.texts(2))].sort()).toEqual(['1', '2', '3', '4']);
    expect([...(await one.rest()), ...(await two.rest())]).toEqual([]);
  });

  it('takes what its selector takes; with another selector it is another one', async () => {
    const broker = await makeBroker();
    const sender = await join(broker);
    const peer = await join(broker, '1.2', connect);
    await peer.subscribe(TOPIC, { ...subscribe, selector: 'n > 1' });
    await peer.receipted('UNSUBSCRIBE', { id: subscribe.id! });
    for (const n of ['1', '2']) await sendAll(sender, TOPIC, [n], { n });
    await peer.subscribe(TOPIC, { ...subscribe, selector: 'n > 1' });
    expect(await peer.texts(1)).toEqual(['2']);
    await peer.receipted('UNSUBSCRIBE', { id: subscribe.id! });
    await sendAll(sender, TOPIC, ['3'], { n: '3' });
    await peer.subscribe(TOPIC, { ...subscribe, selector: 'n > 2' });
    expect(await peer.rest()).toEqual([]);
  });

  it('is neither changed nor deleted while somebody else uses it', async () => {
    const broker = await makeBroker();
    const [one, two, three] = [
      await join(broker, '1.2', connect),
      await join(broker, '1.2', connect),
      await join(broker, '1.2', connect),
    ];
    await one.subscribe(TOPIC, subscribe);
    await two.subscribe(TOPIC, subscribe);
    two.send('UNSUBSCRIBE', subscribe);
    expect((await two.refused()).header('message')).toBe('durable subscription in use');
    three.send('SUBSCRIBE', { destination: TOPIC, ...subscribe, selector: 'a = 1' });
    expect((await three.refused()).header('message')).toBe('durable subscription in use');
    await sendAll(await join(broker), TOPIC, ['still']);
    expect(await one.texts(1)).toEqual(['still']);
  });

  it('has no control characters in its name, which its dead letters are named after', async () => {
    const broker = await makeBroker();
    for (const mark of ['\n', '\r', '\u0001', '\u007f']) {
      const peer = await join(broker, '1.2', connect);
      const named = Object.entries(subscribe).map(([name, value]) => [name, value.replace('mine', `mine${mark}`)]);
      peer.send('SUBSCRIBE', { destination: TOPIC, receipt: 'r', ...(Object.fromEntries(named) as Headers) });
      const error = await peer.refused();
      expect([error.header('message'), error.header('receipt-id')]).toEqual(['invalid header', 'r']);
      expect(error.text).toContain('control characters');
    }
  });

  it('begins with what is retained, once, and with what of that its selector takes', async () => {
    const broker = await makeBroker();
    const sender = await join(broker);
    await sendAll(sender, TOPIC, ['kept'], { retain: 'true', kind: 'a' });
    await sendAll(sender, TOPIC, ['missed']);
    const reader = await join(broker, '1.2', connect);
    await reader.subscribe(TOPIC, subscribe);
    await sendAll(sender, TOPIC, ['later']);
    expect(await reader.texts(2)).toEqual(['kept', 'later']);
    await leave(reader);
    const again = await join(broker, '1.2', connect);
    await again.subscribe(TOPIC, subscribe);
    await sendAll(sender, TOPIC, ['last']);
    expect(await again.texts(1)).toEqual(['last']);
    await again.receipted('UNSUBSCRIBE', { id: subscribe.id! });
    await again.subscribe(TOPIC, { ...subscribe, selector: "kind = 'b'" });
    await sendAll(sender, TOPIC, ['of its kind'], { kind: 'b' });
    expect(await again.texts(1)).toEqual(['of its kind']);
  });

  it('gives back what was not acknowledged, marked as redelivered', async () => {
    const broker = await makeBroker();
    const first = await join(broker, '1.2', connect);
    await first.subscribe(TOPIC, { ...subscribe, ack: 'client-individual' });
    await sendAll(await join(broker), TOPIC, ['1', '2']);
    const [one] = await first.messages(2);
    await first.receipted('ACK', first.reference(one!));
    await leave(first);
    const second = await join(broker, '1.2', connect);
    await second.subscribe(TOPIC, subscribe);
    const message = await second.message();
    expect([message.text, message.header('redelivered'), message.header('destination')]).toEqual(['2', 'true', TOPIC]);
  });
});

it('messages that expire in a durable subscription become dead letters of its name, whatever its client is called', async () => {
  const policies = [{ destination: '/topic/#', timeToLive: 1, deadLetterExpired: true }];
  const broker = await makeBroker({ engine: new LocalEngine(new MemoryStore(), policies) });
  const sender = await join(broker);
  const client = await join(broker, '1.2', { 'client-id': 'a\\nb\u0001c' });
  await client.subscribe(TOPIC, { id: '1', 'activemq.subscriptionName': 'mine, /queue/b' });
  await leave(client);
  await sender.subscribe('/queue/DLQ.mine, /queue/b');
  await sendAll(sender, TOPIC, ['old']);
  expect(await sender.texts(1)).toEqual(['old']);
});

it('another client-id is another owner', async () => {
  const broker = await makeBroker();
  const headers = { id: '1', 'activemq.subscriptionName': 'same' };
  const one = await join(broker, '1.2', { 'client-id': 'one' });
  const two = await join(broker, '1.2', { 'client-id': 'two' });
  await one.subscribe(TOPIC, headers);
  await two.subscribe(TOPIC, headers);
  await sendAll(await join(broker), TOPIC, ['both']);
  expect([await one.texts(1), await two.texts(1)]).toEqual([['both'], ['both']]);
});

it('another user who claims the same client-id is another owner', async () => {
  const admission = {
    connect: (session: { user: unknown }, frame: { headers: { get(name: string): string | undefined } }) => {
      session.user = frame.headers.get('login');
      return Promise.resolve();
    },
    use: () => Promise.resolve(),
  };
  const broker = await makeBroker({ admission });
  const headers = { id: '1', 'activemq.subscriptionName': 'same' };
  const [one, two] = [
    await join(broker, '1.2', { login: 'one', 'client-id': 'c' }),
    await join(broker, '1.2', { login: 'two', 'client-id': 'c' }),
  ];
  await one.subscribe(TOPIC, headers);
  await two.subscribe(TOPIC, headers);
  await sendAll(one, TOPIC, ['both']);
  expect([await one.texts(1), await two.texts(1)]).toEqual([['both'], ['both']]);
});

it('a topic kept in a queue by x-queue-name goes there under all topics that it is subscribed to by', async () => {
  const broker = await makeBroker();
  const peer = await join(broker);
  await peer.subscribe('/topic/a', { id: 'a', 'x-queue-name': 'mine' });
  await peer.subscribe('/topic/b', { id: 'b', 'x-queue-name': 'mine' });
  await peer.receipted('UNSUBSCRIBE', { id: 'a' });
  await peer.receipted('UNSUBSCRIBE', { id: 'b' });
  await sendAll(peer, '/topic/a', ['1']);
  await sendAll(peer, '/topic/b', ['2']);
  await peer.subscribe('/queue/mine', { id: 'q' });
  expect(await peer.texts(2)).toEqual(['1', '2']);
});

it('a topic kept in a queue by x-queue-name begins there with what is retained, once', async () => {
  const broker = await makeBroker();
  const sender = await join(broker);
  await sendAll(sender, TOPIC, ['kept'], { retain: 'true' });
  for (const expected of ['kept', 'later']) {
    const reader = await join(broker);
    await reader.subscribe(TOPIC, { 'x-queue-name': 'own' });
    if (expected === 'later') await sendAll(sender, TOPIC, ['later']);
    expect(await reader.texts(1)).toEqual([expected]);
    await leave(reader);
  }
});

it('a durable subscription with no-local knows its user by name, whatever else is known of each session', async () => {
  const admission = {
    connect: (session: Session, frame: Frame) => {
      session.user = { name: frame.headers.get('login') };
      return Promise.resolve();
    },
    use: () => Promise.resolve(),
  };
  const broker = await makeBroker({ admission });
  const ann = { login: 'ann', 'client-id': 'c' };
  const reader = { id: '1', 'durable-subscription-name': 'mine', 'no-local': 'true' };
  const first = await join(broker, '1.2', ann);
  await first.subscribe(TOPIC, reader);
  await leave(first);
  await sendAll(await join(broker, '1.2', ann), TOPIC, ['own']);
  await sendAll(await join(broker, '1.2', { ...ann, login: 'bob' }), TOPIC, ['of another']);
  const again = await join(broker, '1.2', ann);
  await again.subscribe(TOPIC, reader);
  expect(await again.texts(1)).toEqual(['of another']);
});

describe('a temporary topic', () => {
  it.each<Headers>([
    { durable: 'true', 'auto-delete': 'false' },
    { 'activemq.subscriptionName': 'mine' },
    { 'durable-subscription-name': 'mine' },
    { 'x-queue-name': 'mine' },
  ])('ends with its session, so nothing that outlives it is made by %o', async (headers) => {
    const broker = await makeBroker();
    const peer = await join(broker, '1.2', { 'client-id': 'c' });
    await peer.subscribe('/temp-topic/a', { id: 'plain' });
    await sendAll(peer, '/temp-topic/a', ['for now']);
    expect(await peer.texts(1)).toEqual(['for now']);
    peer.send('SUBSCRIBE', { destination: '/temp-topic/a', id: 'lasting', receipt: 'r', ...headers });
    const error = await peer.refused();
    expect([error.header('message'), error.header('receipt-id')]).toEqual(['invalid header', 'r']);
    expect(error.text).toContain('a temporary topic ends with its session');
  });
});
