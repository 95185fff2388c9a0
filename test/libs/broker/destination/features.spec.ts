import { afterEach, describe, expect, it } from '@jest/globals';
import { type Policy, LocalEngine, MemoryStore, StompBroker } from 'nestjs-stomp-broker';
import { handshake, openPair } from '../../../support/server.js';
import { type RawPeer } from '../../../support/raw.js';
import { type Headers, type Version } from '../../../support/wire.js';

const brokers: StompBroker[] = [];
afterEach(async () => {
  await Promise.all(brokers.splice(0).map((broker) => broker.close(100)));
});

async function makeBroker(policies: readonly Policy[] = []): Promise<StompBroker> {
  const broker = new StompBroker({ engine: new LocalEngine(new MemoryStore(), policies) });
  brokers.push(broker);
  await broker.start();
  return broker;
}

async function connect(broker: StompBroker, version: Version = '1.2', headers: Headers = {}): Promise<RawPeer> {
  const { peer } = openPair(broker);
  await handshake(peer, version, headers);
  return peer;
}

describe('a queue', () => {
  it('delivers by priority, and in order within one', async () => {
    const peer = await connect(await makeBroker());
    for (const [priority, body] of [
      ['1', 'a'],
      ['9', 'b'],
      ['', 'c'],
      ['9', 'd'],
      ['4', 'e'],
    ] as const)
      await peer.receipted('SEND', { destination: '/queue/a', priority }, body);
    await peer.subscribe('/queue/a');
    expect(await peer.texts(5)).toEqual(['b', 'd', 'c', 'e', 'a']);
  });
  it('browses', async () => {
    const peer = await connect(await makeBroker());
    for (const body of ['a', 'b']) await peer.receipted('SEND', { destination: '/queue/a' }, body);
    await peer.subscribe('/queue/a', { browser: 'true', id: 'b' });
    const got = await peer.messages(3);
    expect(got.map(({ text }) => text)).toEqual(['a', 'b', '']);
    expect(got[2]!.header('browser')).toBe('end');
    await peer.subscribe('/queue/a');
    expect(await peer.texts(2)).toEqual(['a', 'b']);
  });
  it('groups stay with a consumer', async () => {
    const broker = await makeBroker();
    const one = await connect(broker);
    const two = await connect(broker);
    await one.subscribe('/queue/a', { ack: 'client-individual' });
    await two.subscribe('/queue/a', { ack: 'client-individual' });
    const pub = await connect(broker);
    for (const [g, body] of [
      ['x', '1'],
      ['y', '2'],
      ['x', '3'],
      ['x', '4'],
      ['y', '5'],
    ])
      await pub.receipted('SEND', { destination: '/queue/a', JMSXGroupID: g! }, body);
    expect(await one.texts(3)).toEqual(['1', '3', '4']);
    expect(await two.texts(2)).toEqual(['2', '5']);
  });
  it('drops expired, refuses when full', async () => {
    const broker = await makeBroker([
      { destination: '/queue/full', maxLength: 2 },
      { destination: '/queue/x', deadLetterExpired: true },
    ]);
    const peer = await connect(broker);
    await peer.receipted('SEND', { destination: '/queue/x', expires: String(Date.now() - 1) }, 'old');
    await peer.receipted('SEND', { destination: '/queue/x' }, 'new');
    await peer.subscribe('/queue/x');
    expect(await peer.texts(1)).toEqual(['new']);
    await peer.subscribe('/queue/DLQ.x');
    const [dead] = await peer.messages(1);
    expect(dead!.header('dead-letter-reason')).toBe('expired');
    await peer.receipted('SEND', { destination: '/queue/full' }, '1');
    await peer.receipted('SEND', { destination: '/queue/full' }, '2');
    peer.send('SEND', { destination: '/queue/full', receipt: 'r' }, '3');
    expect((await peer.refused()).header('receipt-id')).toBe('r');
  });
  it('schedules', async () => {
    const peer = await connect(await makeBroker());
    await peer.subscribe('/queue/a');
    await peer.receipted(
      'SEND',
      { destination: '/queue/a', AMQ_SCHEDULED_DELAY: '50', AMQ_SCHEDULED_PERIOD: '10', AMQ_SCHEDULED_REPEAT: '2' },
      'late',
    );
    await peer.receipted('SEND', { destination: '/queue/a', 'x-delay': '20' }, 'sooner');
    await peer.receipted('SEND', { destination: '/queue/a' }, 'now');
    expect(await peer.texts(5)).toEqual(['now', 'sooner', 'late', 'late', 'late']);
  });
  it('wildcard, composite, virtual', async () => {
    const peer = await connect(await makeBroker());
    await peer.subscribe('/queue/a.*', { id: 'w' });
    await peer.receipted('SEND', { destination: '/queue/a.b' }, '1');
    expect(await peer.texts(1)).toEqual(['1']);
    await peer.subscribe('/topic/t', { id: 't' });
    await peer.receipted('SEND', { destination: '/queue/a.c,/topic/t' }, '2');
    expect((await peer.messages(2)).map((m) => m.header('destination')).sort()).toEqual(['/queue/a.c', '/topic/t']);
    await peer.subscribe('/queue/Consumer.A.VirtualTopic.o', { id: 'v' });
    await peer.receipted('UNSUBSCRIBE', { id: 'v' });
    await peer.receipted('SEND', { destination: '/topic/VirtualTopic.o' }, '3');
    await peer.subscribe('/queue/Consumer.A.VirtualTopic.o', { id: 'v2' });
    const [m] = await peer.messages(1);
    expect(m!.text).toBe('3');
    expect(m!.header('original-destination')).toBe('/topic/VirtualTopic.o');
  });
});
describe('a topic', () => {
  it('retains, durable', async () => {
    const broker = await makeBroker();
    const peer = await connect(broker, '1.2', { 'client-id': 'c' });
    await peer.receipted('SEND', { destination: '/topic/a', retain: 'true' }, 'kept');
    await peer.subscribe('/topic/#', { id: 'x' });
    expect(await peer.texts(1)).toEqual(['kept']);
    await peer.receipted('UNSUBSCRIBE', { id: 'x' });
    await peer.subscribe('/topic/d', { id: 'd', 'activemq.subscriptionName': 's' });
    await peer.receipted('UNSUBSCRIBE', { id: 'd' });
    await peer.receipted('SEND', { destination: '/topic/d' }, 'm');
    await peer.subscribe('/topic/d', { id: 'd', 'activemq.subscriptionName': 's' });
    expect(await peer.texts(1)).toEqual(['m']);
    await peer.receipted('UNSUBSCRIBE', { id: 'd', 'activemq.subscriptionName': 's' });
    await peer.receipted('SEND', { destination: '/topic/d' }, 'n');
    await peer.subscribe('/topic/d', { id: 'd', 'activemq.subscriptionName': 's' });
    expect(await peer.rest()).toEqual([]);
  });
  it('reply without subscribe, advisory', async () => {
    const broker = await makeBroker();
    const peer = await connect(broker);
    const sys = await connect(broker);
    await sys.subscribe('/topic/$SYS/#');
    const all = await connect(broker);
    await all.subscribe('/topic/#');
    const service = await connect(broker);
    await service.subscribe('/queue/s');
    await peer.receipted('SEND', { destination: '/queue/s', 'reply-to': '/temp-queue/r' }, 'q');
    const [request] = await service.messages(1);
    await service.receipted('SEND', { destination: request!.header('reply-to')! }, 'a');
    const [reply] = await peer.messages(1);
    expect(reply!.header('subscription')).toBe('/temp-queue/r');
    expect((await sys.messages(1))[0]!.text).toContain('subscribed');
    expect(
      (await all.rest()).map((frame) => frame.header('destination')).filter((name) => name?.includes('$')),
    ).toEqual([]);
  });
});
