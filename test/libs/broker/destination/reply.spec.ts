import { describe, expect, it } from '@jest/globals';
import { join, joinAll, leave, makeBroker, sendAll, textsOf } from '../../../support/broker.js';
import { type RawPeer } from '../../../support/raw.js';
import { type Version } from '../../../support/wire.js';

/** Somebody who asks, somebody who answers, and the destination that the question names for the answer. */
async function question(version: Version = '1.2', kind = '/queue/service') {
  const broker = await makeBroker();
  const server = await join(broker);
  const asker = await join(broker, version);
  await server.subscribe(kind);
  const ask = async (name = 'r') => {
    await sendAll(asker, kind, ['question'], { 'reply-to': `/temp-queue/${name}` });
    return (await server.message()).header('reply-to')!;
  };
  return { broker, asker, server, ask };
}

const refusal = async (peer: RawPeer, destination: string) => {
  peer.send('SUBSCRIBE', { id: 'thief', destination, receipt: 'r' });
  return (await peer.refused()).header('message');
};

describe('who names a temporary queue in reply-to', () => {
  it.each(['1.0', '1.1', '1.2'] as const)(
    'over STOMP %s gets the replies with the name of the queue as subscription, without a SUBSCRIBE',
    async (version) => {
      const { asker, server, ask } = await question(version);
      const replyTo = await ask();
      expect(replyTo).toMatch(/^\/reply-queue\/./);
      await sendAll(server, replyTo, ['answer', 'and another']);
      const [answer, another] = await asker.messages(2);
      expect(answer!.text).toBe('answer');
      expect(answer!.header('subscription')).toBe('/temp-queue/r');
      expect(another!.text).toBe('and another');
    },
  );

  it('may ask over a topic too', async () => {
    const { asker, server, ask } = await question('1.2', '/topic/service');
    await sendAll(server, await ask(), ['answer']);
    expect(await asker.texts(1)).toEqual(['answer']);
  });

  it('may ask many times, in several names', async () => {
    const { asker, server, ask } = await question();
    for (const name of ['r', 's', 'r', 's']) {
      await sendAll(server, await ask(name), [name]);
      const answer = await asker.message();
      expect([answer.header('subscription'), answer.text]).toEqual([`/temp-queue/${name}`, name]);
    }
  });

  it('may subscribe to it: then the replies come to that subscription alone', async () => {
    const { asker, server, ask } = await question();
    for (const when of ['before', 'after']) {
      if (when === 'before') await asker.subscribe('/temp-queue/r', { id: 'mine' });
      const replyTo = await ask();
      if (when === 'after') await asker.subscribe('/temp-queue/r', { id: 'mine' });
      await sendAll(server, replyTo, ['1', '2', '3', '4']);
      const got = await asker.messages(4);
      expect(got.map((message) => message.header('subscription'))).toEqual(Array(4).fill('mine'));
      await asker.receipted('UNSUBSCRIBE', { id: 'mine' });
    }
  });

  it('may end what came without a SUBSCRIBE like any subscription', async () => {
    const { asker, server, ask } = await question();
    const replyTo = await ask();
    await asker.receipted('UNSUBSCRIBE', { id: '/temp-queue/r' });
    await sendAll(server, replyTo, ['answer']);
    expect(textsOf(await asker.rest())).toEqual([]);
    await asker.subscribe('/temp-queue/r');
    expect(await asker.texts(1)).toEqual(['answer']);
  });

  it('has as many of them as subscriptions, and no more', async () => {
    const broker = await makeBroker({ maxSubscriptions: 2 });
    const peer = await join(broker);
    for (const name of ['1', '2', '3']) {
      peer.send('SEND', { destination: '/queue/a', 'reply-to': `/temp-queue/${name}` }, 'x');
    }
    expect((await peer.refused()).header('message')).toBe('too many subscriptions');
  });

  it('names other destinations as they are', async () => {
    const { asker, server } = await question();
    for (const replyTo of ['/queue/mine', '/topic/t', '/temp-queue/', 'anything']) {
      await sendAll(asker, '/queue/service', ['question'], { 'reply-to': replyTo });
      expect((await server.message()).header('reply-to')).toBe(replyTo);
    }
  });
});

describe('a temporary queue', () => {
  it('is another one for each session', async () => {
    const { broker, asker, server, ask } = await question();
    const other = await join(broker);
    await other.subscribe('/temp-queue/r');
    await sendAll(server, await ask(), ['answer']);
    await sendAll(other, '/temp-queue/r', ['own']);
    expect(await asker.texts(1)).toEqual(['answer']);
    expect(await other.texts(1)).toEqual(['own']);
    expect(textsOf(await asker.rest())).toEqual([]);
    expect(textsOf(await other.rest())).toEqual([]);
  });

  it('cannot be consumed by anybody else, by any of its names', async () => {
    const { broker, asker, server, ask } = await question();
    const replyTo = await ask();
    await asker.receipted('UNSUBSCRIBE', { id: '/temp-queue/r' });
    const name = replyTo.slice('/reply-queue/'.length);
    const thief = await join(broker);
    expect(await refusal(thief, replyTo)).toBe('access refused');
    const others = await joinAll(broker, 1);
    for (const [index, destination] of [`/queue/${name}`, `/amq/queue/${name}`, `/temp-queue/${name}`].entries()) {
      await others[0]!.subscribe(destination, { id: String(index) });
    }
    await sendAll(server, replyTo, ['secret']);
    expect(textsOf(await others[0]!.rest())).toEqual([]);
    await asker.subscribe('/temp-queue/r');
    expect(await asker.texts(1)).toEqual(['secret']);
  });

  it('cannot be consumed by its owner under the name that others have for it', async () => {
    const { asker, ask } = await question();
    expect(await refusal(asker, await ask())).toBe('access refused');
  });

  it('is gone with its connection, with all that waited in it and all that was refused there', async () => {
    const { broker, asker, server, ask } = await question();
    await asker.subscribe('/temp-queue/r', { id: 'x', ack: 'client-individual' });
    const replyTo = await ask();
    await sendAll(server, replyTo, ['refused', 'unacknowledged']);
    const [refused] = await asker.messages(2);
    await asker.receipted('NACK', { ...asker.reference(refused!), requeue: 'false' });
    const name = replyTo.slice('/reply-queue/'.length);
    await leave(asker);
    await sendAll(server, replyTo, ['late']);
    const next = await join(broker);
    await next.subscribe('/temp-queue/r', { id: 'r' });
    await next.subscribe(`/queue/DLQ.${name}`, { id: 'dead' });
    expect(textsOf(await next.rest())).toEqual([]);
  });

  it('is out of reach from another virtual host', async () => {
    const broker = await makeBroker({ vhosts: ['one', 'two'] });
    const asker = await join(broker, '1.2', { host: 'one' });
    await asker.subscribe('/queue/service');
    await sendAll(asker, '/queue/service', ['question'], { 'reply-to': '/temp-queue/r' });
    const replyTo = (await asker.message()).header('reply-to')!;
    await sendAll(await join(broker, '1.2', { host: 'two' }), replyTo, ['from another world']);
    expect(textsOf(await asker.rest())).toEqual([]);
    await sendAll(await join(broker, '1.2', { host: 'one' }), replyTo, ['answer']);
    expect(await asker.texts(1)).toEqual(['answer']);
  });
});
