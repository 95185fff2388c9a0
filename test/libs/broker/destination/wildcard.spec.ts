import { describe, expect, it } from '@jest/globals';
import { join, joinAll, leave, makeBroker, sendAll, textsOf } from '../../../support/broker.js';
import { Memory } from 'nestjs-stomp/server';
import { LocalEngine, MemoryStore, type Policy } from 'nestjs-stomp-broker';
import { type RawPeer } from '../../../support/raw.js';

const BY_ONE = { ack: 'client-individual', 'prefetch-count': '1' };
const said = (message: { header(name: string): string | undefined; text: string }) =>
  `${message.header('destination')} ${message.text}`;

describe('a subscription to queues by wildcards', () => {
  it.each([
    ['/queue/mail.*', ['mail.a', 'mail.b'], ['mail', 'mail.a.b', 'other.a']],
    ['/queue/mail.>', ['mail', 'mail.a', 'mail.a.b'], ['other', 'mails']],
    ['/queue/#.urgent', ['urgent', 'mail.urgent', 'mail.a.urgent'], ['urgent.mail']],
    ['/queue/*/a', ['mail/a', 'other/a'], ['a', 'mail/b']],
  ])(
    '%s takes from %j, whether they are there already or come later, and not from %j',
    async (pattern, takes, leaves) => {
      const [sender, reader] = (await joinAll(await makeBroker(), 2)) as [RawPeer, RawPeer];
      const send = async (when: string) => {
        for (const name of [...takes, ...leaves]) await sendAll(sender, `/queue/${name}`, [when]);
      };
      await sendAll(sender, `/queue/${takes[0]}`, ['early']);
      await sendAll(sender, `/queue/${leaves[0]}`, ['early']);
      await reader.subscribe(pattern);
      await send('late');
      const got = (await reader.rest()).filter(({ command }) => command === 'MESSAGE').map(said);
      expect(got).toEqual([`/queue/${takes[0]} early`, ...takes.map((name) => `/queue/${name} late`)]);
    },
  );

  it('competes with those that name a queue, and what it does not acknowledge goes to them', async () => {
    const broker = await makeBroker();
    const [sender, wild, plain] = (await joinAll(broker, 3)) as [RawPeer, RawPeer, RawPeer];
    await wild.subscribe('/queue/mail.*', BY_ONE);
    await plain.subscribe('/queue/mail.a', BY_ONE);
    await sendAll(sender, '/queue/mail.a', ['1', '2', '3']);
    const [first, second] = [await wild.message(), await plain.message()];
    expect([first.text, second.text]).toEqual(['1', '2']);
    await leave(wild);
    await plain.receipted('ACK', plain.reference(second));
    const again = await plain.message();
    expect([again.text, again.header('redelivered')]).toEqual(['1', 'true']);
  });

  it('has one credit for all its queues, and takes from each of them in turns', async () => {
    const [sender, reader] = (await joinAll(await makeBroker(), 2)) as [RawPeer, RawPeer];
    for (const queue of ['a', 'b', 'c']) await sendAll(sender, `/queue/mail.${queue}`, ['1', '2']);
    await reader.subscribe('/queue/mail.*', BY_ONE);
    const got: string[] = [];
    for (let n = 0; n < 6; n++) {
      const message = await reader.message();
      expect(textsOf(await reader.rest())).toEqual([]);
      got.push(said(message));
      await reader.receipted('ACK', reader.reference(message));
    }
    for (const queue of ['a', 'b', 'c']) {
      expect(got.filter((each) => each.startsWith(`/queue/mail.${queue} `))).toEqual([
        `/queue/mail.${queue} 1`,
        `/queue/mail.${queue} 2`,
      ]);
    }
    expect(new Set(got.slice(0, 3).map((each) => each.slice(0, -2))).size).toBeGreaterThan(1);
  });

  it('refuses to the dead letters of the queue that a message came from', async () => {
    const [sender, reader] = (await joinAll(await makeBroker(), 2)) as [RawPeer, RawPeer];
    await reader.subscribe('/queue/mail.*', { id: 'r', ack: 'client-individual' });
    await sendAll(sender, '/queue/mail.b', ['x']);
    await reader.receipted('NACK', { ...reader.reference(await reader.message()), requeue: 'false' });
    await reader.subscribe('/queue/DLQ.mail.b', { id: 'dead' });
    expect((await reader.message()).header('dead-letter-origin')).toBe('/queue/mail.b');
  });

  it('acknowledges in client mode what came from any of its queues, and in a transaction too', async () => {
    const broker = await makeBroker();
    const [sender, reader] = (await joinAll(broker, 2)) as [RawPeer, RawPeer];
    await reader.subscribe('/queue/mail.*', { ack: 'client' });
    for (const queue of ['a', 'b', 'a', 'c']) await sendAll(sender, `/queue/mail.${queue}`, [queue]);
    const [, , third] = await reader.messages(4);
    await reader.receipted('BEGIN', { transaction: 't' });
    reader.send('ACK', { ...reader.reference(third!), transaction: 't' });
    await reader.receipted('COMMIT', { transaction: 't' });
    await leave(reader);
    const next = await join(broker);
    await next.subscribe('/queue/mail.*');
    expect(textsOf(await next.rest())).toEqual(['c']);
  });

  it('takes what its selector takes, of every queue', async () => {
    const [sender, reader] = (await joinAll(await makeBroker(), 2)) as [RawPeer, RawPeer];
    await reader.subscribe('/queue/mail.*', { selector: 'n > 1' });
    for (const [queue, n] of [
      ['a', '1'],
      ['b', '2'],
      ['a', '3'],
    ] as const)
      await sendAll(sender, `/queue/mail.${queue}`, [n], { n });
    expect(await reader.texts(2)).toEqual(['2', '3']);
  });

  it('ends with its UNSUBSCRIBE: what comes then waits', async () => {
    const [sender, reader] = (await joinAll(await makeBroker(), 2)) as [RawPeer, RawPeer];
    await reader.subscribe('/queue/mail.*', { id: 'r' });
    await sendAll(sender, '/queue/mail.a', ['1']);
    expect(await reader.texts(1)).toEqual(['1']);
    await reader.receipted('UNSUBSCRIBE', { id: 'r' });
    for (const queue of ['a', 'b']) await sendAll(sender, `/queue/mail.${queue}`, ['2']);
    expect(textsOf(await reader.rest())).toEqual([]);
    for (const queue of ['a', 'b']) await reader.subscribe(`/queue/mail.${queue}`, { id: queue });
    expect(await reader.texts(2)).toEqual(['2', '2']);
  });

  it('sees nothing of what others keep for themselves: durable subscriptions and temporary queues', async () => {
    const [one, other, sender] = (await joinAll(await makeBroker(), 3)) as [RawPeer, RawPeer, RawPeer];
    await other.subscribe('/queue/#');
    await one.subscribe('/topic/news', { id: 'd', durable: 'true', 'auto-delete': 'false' });
    await one.receipted('UNSUBSCRIBE', { id: 'd' });
    await one.subscribe('/temp-queue/mine', { id: 't', ack: 'client', 'prefetch-count': '1' });
    await sendAll(one, '/temp-queue/mine', ['1', '2']);
    await sendAll(sender, '/topic/news', ['3']);
    expect(textsOf(await other.rest())).toEqual([]);
  });

  it('cannot browse', async () => {
    const peer = await join(await makeBroker());
    peer.send('SUBSCRIBE', { destination: '/queue/mail.*', id: '1', browser: 'true' });
    expect((await peer.refused()).header('message')).toBe('invalid header');
  });
});

describe('what a subscription by wildcards takes of memory', () => {
  const MOST = 16 * 2 ** 20;

  it.each<[string, Policy, (peer: RawPeer) => Promise<void>]>([
    [
      'takes queues along',
      { destination: '/queue/a' },
      async (peer) => {
        for (const id of ['1', '2', '3']) {
          await peer.subscribe(`/queue/gone.${id}`, { id, 'auto-delete': 'true' });
        }
        await peer.subscribe('/queue/gone.*', { id: 'wild' });
        for (const id of ['1', '2', '3']) await peer.receipted('UNSUBSCRIBE', { id });
      },
    ],
    [
      'leaves a queue of dead letters behind that is one of them',
      { destination: '/queue/#', maxDeliveries: 1 },
      async (peer) => {
        await peer.subscribe('/queue/#', { id: 'wild', ack: 'client-individual' });
        await sendAll(peer, '/queue/a', ['x']);
        await peer.message();
      },
    ],
  ])('is given back once by a connection that ends and %s', async (_what, policy, use) => {
    const memory = new Memory(MOST);
    const broker = await makeBroker({ memory, engine: new LocalEngine(new MemoryStore(), [policy], { memory }) });
    const peer = await join(broker);
    await use(peer);
    await leave(peer);
    // Exactly all of it is there again, a quarter for each session.
    const { upkeep } = memory;
    for (let session = 0; session < 4; session++) upkeep.take(0, MOST / 4);
    expect(() => upkeep.take(0, 1)).toThrow('too many subscriptions');
  });
});
