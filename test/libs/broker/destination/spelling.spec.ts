import { describe, expect, it } from '@jest/globals';
import { AccessRules, type Rule } from 'nestjs-stomp-broker';
import { join, joinAll, makeBroker, sendAll, textsOf } from '../../../support/broker.js';
import { type RawPeer } from '../../../support/raw.js';
import { type Headers } from '../../../support/wire.js';
import { Embedded } from '../../../support/embedded.js';

const ANYCAST: Headers = { 'destination-type': 'ANYCAST' };
const MULTICAST: Headers = { 'destination-type': 'MULTICAST' };

/** Says who was asked for what. */
async function watched() {
  const asked: string[] = [];
  const broker = await makeBroker({
    admission: {
      connect: () => Promise.resolve(),
      use: (_session, destination, action) => Promise.resolve(void asked.push(`${action} ${destination}`)),
    },
  });
  return { broker, asked };
}

const refusal = async (peer: RawPeer, command: string, headers: Headers) => {
  peer.send(command, { id: 'refused', ...headers });
  return (await peer.refused()).header('message');
};

describe('an address of Artemis', () => {
  it('is a queue with destination-type:ANYCAST, and a topic of its own with MULTICAST or without a word', async () => {
    const [sender, one, two] = (await joinAll(await makeBroker(), 3)) as [RawPeer, RawPeer, RawPeer];
    for (const peer of [one, two]) {
      await peer.subscribe('orders', { id: 'queue', 'subscription-type': 'ANYCAST' });
      await peer.subscribe('orders', { id: 'topic', 'subscription-type': 'MULTICAST' });
      await peer.subscribe('orders', { id: 'plain' });
    }
    // In turns, so that what was granted to one is not taken for the other.
    for (const n of ['1', '2']) {
      await sendAll(sender, 'orders', [`any ${n}`], ANYCAST);
      await sendAll(sender, 'orders', [`many ${n}`], MULTICAST);
      await sendAll(sender, 'orders', [`plain ${n}`]);
    }
    const seen = async (peer: RawPeer) =>
      (await peer.rest())
        .filter(({ command }) => command === 'MESSAGE')
        .map((message) => `${message.header('subscription')} ${message.text} of ${message.header('destination')}`);
    const topic = ['many 1', 'plain 1', 'many 2', 'plain 2'];
    const both = topic.flatMap((text) => [`topic ${text} of orders`, `plain ${text} of orders`]).sort();
    expect((await seen(one)).sort()).toEqual([...both, 'queue any 1 of orders'].sort());
    expect((await seen(two)).sort()).toEqual([...both, 'queue any 2 of orders'].sort());
  });

  it('of type ANYCAST is the queue that others know by its prefix, and needs the same rights', async () => {
    const { broker, asked } = await watched();
    const peer = await join(broker);
    await sendAll(peer, 'orders', ['1'], ANYCAST);
    await peer.receipted('BEGIN', { transaction: 't' });
    peer.send('SEND', { destination: 'orders', transaction: 't', ...ANYCAST }, '2');
    await peer.receipted('COMMIT', { transaction: 't' });
    await peer.subscribe('/queue/orders');
    expect(await peer.texts(2)).toEqual(['1', '2']);
    await peer.subscribe('orders', { 'subscription-type': 'ANYCAST' });
    expect(asked).toEqual(['send /queue/orders', 'subscribe /queue/orders', 'subscribe /queue/orders']);
  });

  it('of type ANYCAST is refused to whom the rules refuse the queue, also when they change in an open transaction', async () => {
    const rules: Rule[] = [{ destination: '#', allow: ['read', 'write', 'manage'] }];
    const secret: Rule = { destination: '/queue/secret', deny: ['read', 'write'] };
    const named: Rule = { destination: 'secret', allow: ['read', 'write'] };
    const embedded = await Embedded.start({ users: { ann: 'a' }, rules: { rules: [...rules, named] } });
    const enter = () => embedded.connect({ login: 'ann', passcode: 'a' });
    const [topic, queue] = [await enter(), await enter()];
    for (const [peer, headers] of [[topic, MULTICAST] as const, [queue, ANYCAST] as const]) {
      await peer.receipted('BEGIN', { transaction: 't' });
      peer.send('SEND', { destination: 'secret', transaction: 't', ...headers }, 'x');
      expect(textsOf(await peer.rest())).toEqual([]);
    }
    embedded.app.get(AccessRules, { strict: false }).set({ rules: [...rules, named, secret] });
    await embedded.broker.review();
    expect((await queue.refused()).header('message')).toBe('access refused');
    await topic.receipted('COMMIT', { transaction: 't' });
    const asked = { destination: 'secret', 'subscription-type': 'ANYCAST' };
    expect(await refusal(topic, 'SUBSCRIBE', asked)).toBe('access refused');
  });

  it('may name a queue that collects the messages of a topic, and is sent to', async () => {
    const { broker, asked } = await watched();
    const [peer, other] = [await join(broker), await join(broker)];
    await peer.subscribe('news::mine', { id: 'a' });
    await peer.receipted('UNSUBSCRIBE', { id: 'a' });
    await sendAll(other, 'news', ['1']);
    await sendAll(other, 'news::mine', ['2']);
    await sendAll(other, 'elsewhere::mine', ['3'], ANYCAST);
    await peer.subscribe('news::mine', { id: 'b' });
    expect(await peer.texts(3)).toEqual(['1', '2', '3']);
    await peer.receipted('UNSUBSCRIBE', { id: 'b' });
    await sendAll(other, 'news', ['4']);
    await peer.subscribe('any::mine', { 'subscription-type': 'ANYCAST' });
    expect(await peer.texts(1)).toEqual(['4']);
    expect(asked).toEqual([
      'subscribe news',
      'subscribe /queue/mine',
      'send news',
      'send /queue/mine',
      'send /queue/mine',
      'subscribe /queue/mine',
    ]);
  });

  it.each<[string, Headers]>([
    ['without the name of its queue', { destination: 'news::' }],
    ['without its own name', { destination: '::mine' }],
    ['without any name', { destination: '', ...ANYCAST }],
  ])('%s is refused', async (_what, headers) => {
    const broker = await makeBroker();
    for (const command of ['SEND', 'SUBSCRIBE']) {
      expect(await refusal(await join(broker), command, headers)).toBe('invalid destination');
    }
  });
});

describe('a prefix', () => {
  it.each([
    ['/queue/a', MULTICAST],
    ['/topic/a', ANYCAST],
    ['/topic/a,/queue/a', ANYCAST],
  ])('that says something else than the header is refused: %s with %o', async (destination, headers) => {
    const broker = await makeBroker();
    for (const command of ['SEND', 'SUBSCRIBE']) {
      expect(await refusal(await join(broker), command, { destination, ...headers })).toBe('invalid header');
    }
  });

  it('may stand beside a header that says the same, or something that Artemis does not know', async () => {
    const peer = await join(await makeBroker());
    await peer.subscribe('/queue/a');
    await sendAll(peer, '/queue/a', ['1'], ANYCAST);
    await sendAll(peer, '/queue/a', ['2'], { 'destination-type': 'queue' });
    expect(await peer.texts(2)).toEqual(['1', '2']);
  });

  it('leaves two colons in a name alone', async () => {
    const peer = await join(await makeBroker());
    await peer.subscribe('/queue/Foo::Bar', { id: '1' });
    await peer.subscribe('/queue/Bar', { id: '2' });
    await sendAll(peer, '/queue/Foo::Bar', ['1']);
    expect((await peer.message()).header('subscription')).toBe('1');
  });
});
