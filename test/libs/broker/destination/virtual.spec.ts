import { describe, expect, it } from '@jest/globals';
import { LocalEngine, MemoryStore, type Policy } from 'nestjs-stomp-broker';
import { join, joinAll, leave, makeBroker, sendAll, textsOf } from '../../../support/broker.js';
import { type RawPeer } from '../../../support/raw.js';

const TOPIC = '/topic/VirtualTopic.orders';
const queueOf = (consumer: string) => `/queue/Consumer.${consumer}.VirtualTopic.orders`;
const BY_ONE = { ack: 'client-individual', 'prefetch-count': '1' };

describe('a virtual topic', () => {
  it('gives each of its queues every message; the consumers of one queue share them', async () => {
    const [sender, first, second, other] = (await joinAll(await makeBroker(), 4)) as [
      RawPeer,
      RawPeer,
      RawPeer,
      RawPeer,
    ];
    for (const consumer of [first, second]) await consumer.subscribe(queueOf('A'), BY_ONE);
    await other.subscribe(queueOf('B'));
    await sendAll(sender, TOPIC, ['1', '2', '3', '4']);
    const [one, two] = [await first.message(), await second.message()];
    expect([one.text, two.text]).toEqual(['1', '2']);
    await first.receipted('ACK', first.reference(one));
    expect(await first.texts(1)).toEqual(['3']);
    expect(await other.texts(4)).toEqual(['1', '2', '3', '4']);
  });

  it('gives a consumer in the place of one that was lost what that one did not acknowledge, and other queues nothing', async () => {
    const broker = await makeBroker();
    const [sender, lost, other] = (await joinAll(broker, 3)) as [RawPeer, RawPeer, RawPeer];
    await lost.subscribe(queueOf('A'), { ack: 'client-individual' });
    await other.subscribe(queueOf('B'));
    await sendAll(sender, TOPIC, ['1', '2']);
    const [, two] = await lost.messages(2);
    await lost.receipted('ACK', lost.reference(two!));
    await leave(lost);
    const next = await join(broker);
    await next.subscribe(queueOf('A'));
    const again = await next.message();
    expect([again.text, again.header('redelivered')]).toEqual(['1', 'true']);
    expect(textsOf(await next.rest())).toEqual([]);
    expect(textsOf(await other.rest())).toEqual(['1', '2']);
  });

  it('has a message of an aborted transaction nowhere, and one of a committed transaction everywhere', async () => {
    const [sender, a, b] = (await joinAll(await makeBroker(), 3)) as [RawPeer, RawPeer, RawPeer];
    await a.subscribe(queueOf('A'));
    await b.subscribe(queueOf('B'));
    for (const [transaction, end] of [
      ['aborted', 'ABORT'],
      ['committed', 'COMMIT'],
    ] as const) {
      await sender.receipted('BEGIN', { transaction });
      sender.send('SEND', { destination: TOPIC, transaction }, transaction);
      await sender.receipted(end, { transaction });
    }
    expect([textsOf(await a.rest()), textsOf(await b.rest())]).toEqual([['committed'], ['committed']]);
  });

  it('may be one of a list of destinations', async () => {
    const [sender, reader] = (await joinAll(await makeBroker(), 2)) as [RawPeer, RawPeer];
    await reader.subscribe(queueOf('A'));
    await sendAll(sender, `/queue/other,${TOPIC}`, ['1']);
    const message = await reader.message();
    expect([message.text, message.header('original-destination')]).toEqual(['1', TOPIC]);
  });

  it('has its queues chosen from by selectors, each for itself', async () => {
    const [sender, some, all] = (await joinAll(await makeBroker(), 3)) as [RawPeer, RawPeer, RawPeer];
    await some.subscribe(queueOf('A'), { selector: 'n > 1' });
    await all.subscribe(queueOf('B'));
    for (const n of ['1', '2']) await sendAll(sender, TOPIC, [n], { n });
    expect(await some.texts(1)).toEqual(['2']);
    expect(await all.texts(2)).toEqual(['1', '2']);
  });

  it('fills a queue that nobody comes for no further than the policy of that queue says', async () => {
    const policy: Policy = {
      destination: '/queue/Consumer.#',
      maxLength: 2,
      overflow: 'drop-oldest',
      deadLetter: false,
    };
    const broker = await makeBroker({ engine: new LocalEngine(new MemoryStore(), [policy]) });
    const peer = await join(broker);
    await sendAll(peer, queueOf('A'), ['made by a SEND']);
    await sendAll(peer, TOPIC, ['1', '2', '3']);
    await peer.subscribe(queueOf('A'));
    expect(textsOf(await peer.rest())).toEqual(['2', '3']);
  });
});
