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

describe('virtual hosts', () => {
  const kinds = [
    ['/temp-queue/r', 'made by reply-to'],
    ['/temp-queue/r', 'subscribed to'],
    ['/temp-topic/r', 'subscribed to'],
  ] as const;

  it.each(kinds)('keep the replies to %s, %s, apart, whatever they call themselves', async (name, way) => {
    // Two of them come by one entry of the list.
    const broker = await makeBroker({ vhosts: ['one', '*.test', 'two'] });
    const worlds = await Promise.all(
      ['one', 'two', 'a.test'].map(async (host) => {
        const [asker, server] = [await join(broker, '1.2', { host }), await join(broker, '1.2', { host })];
        await server.subscribe('/queue/service');
        if (way === 'subscribed to') await asker.subscribe(name, { id: name });
        await sendAll(asker, '/queue/service', [`question of ${host}`], { 'reply-to': name });
        const request = await server.message();
        expect(request.text).toBe(`question of ${host}`);
        return { host, asker, server, replyTo: request.header('reply-to')! };
      }),
    );
    // Each server answers to all of the names.
    for (const { host, server } of worlds) {
      for (const { replyTo } of worlds) await sendAll(server, replyTo, [`answer of ${host}`]);
    }
    for (const { host, asker } of worlds) {
      const got = (await asker.rest()).filter(({ command }) => command === 'MESSAGE');
      expect(got.map((message) => [message.header('subscription'), message.text])).toEqual([
        [name, `answer of ${host}`],
      ]);
    }
  });

  it('lead the replies of a glob to the one who asked, from every host of it', async () => {
    const broker = await makeBroker({ vhosts: ['*.test'] });
    const [asker, server] = [
      await join(broker, '1.2', { host: 'a.test' }),
      await join(broker, '1.2', { host: 'b.test' }),
    ];
    await server.subscribe('/queue/service');
    await sendAll(asker, '/queue/service', ['question'], { 'reply-to': '/temp-queue/r' });
    await sendAll(server, (await server.message()).header('reply-to')!, ['answer']);
    expect(await asker.texts(1)).toEqual(['answer']);
  });
});

describe('a temporary topic', () => {
  /** A session with subscriptions to one, and what others send to in answer. */
  const topic = async (...ids: string[]) => {
    const { broker, asker, server } = await question();
    for (const id of ids) await asker.subscribe('/temp-topic/r', { id });
    await sendAll(asker, '/queue/service', ['question'], { 'reply-to': '/temp-topic/r' });
    return { broker, asker, server, replyTo: (await server.message()).header('reply-to')! };
  };

  it('brings each reply to every subscription of its session, and to nobody else', async () => {
    const { broker, asker, server, replyTo } = await topic('1', '2');
    const other = await join(broker);
    await other.subscribe('/temp-topic/r', { id: 'same name' });
    await other.subscribe('/topic/#', { id: 'all' });
    await sendAll(server, replyTo, ['answer', 'and another']);
    const got = (await asker.messages(4)).map((message) => `${message.header('subscription')} ${message.text}`);
    expect(got.sort()).toEqual(['1 and another', '1 answer', '2 and another', '2 answer']);
    expect(textsOf(await other.rest())).toEqual(['barrier']);
  });

  // Each by itself: a list of them would be one subscription.
  const PATTERNS = ['#', '>', '*', '*/*', '*.*.*', '/*/*', '/#', '#.#', '*/temp-topic/*', '/*/r', '/topic/>'];

  it('is what no pattern of others stands for, whoever sends to it, and with retain too', async () => {
    const { broker, asker, server, replyTo } = await topic('1');
    const spy = await join(broker);
    for (const pattern of PATTERNS) await spy.subscribe(pattern);
    await sendAll(asker, '/temp-topic/r', ['to myself'], { retain: 'true' });
    await sendAll(server, replyTo, ['answer'], { retain: 'true' });
    await asker.receipted('BEGIN', { transaction: 't' });
    asker.send('SEND', { destination: '/temp-topic/r', transaction: 't' }, 'in a transaction');
    await asker.receipted('COMMIT', { transaction: 't' });
    await sendAll(asker, '/topic/seen,/temp-topic/r', ['in a list']);
    expect(await asker.texts(4)).toEqual(['to myself', 'answer', 'in a transaction', 'in a list']);
    const seen = (await spy.rest()).filter(({ text }) => text !== 'barrier').map((each) => each.header('destination'));
    expect(seen).toEqual(['/topic/seen']);
  });

  it('fills no durable subscription to a pattern, and no queue that is fed by one', async () => {
    const { broker, asker, server, replyTo } = await topic('1');
    const spy = await join(broker);
    for (const [at, pattern] of PATTERNS.entries()) {
      await spy.subscribe(pattern, { 'durable-subscription-name': `spy ${at}` });
      await spy.subscribe(pattern, { 'x-queue-name': 'spies' });
    }
    await sendAll(server, replyTo, ['answer'], { retain: 'true' });
    expect(await asker.texts(1)).toEqual(['answer']);
    expect((await spy.rest()).filter(({ text }) => text === 'answer')).toEqual([]);
  });

  it('leaves nothing behind that a pattern finds later', async () => {
    const { broker, asker, server, replyTo } = await topic('1');
    await sendAll(server, replyTo, ['answer'], { retain: 'true' });
    await sendAll(server, replyTo, ['later answer'], { retain: 'true', 'x-delay': '20' });
    expect(await asker.texts(2)).toEqual(['answer', 'later answer']);
    const spy = await join(broker);
    for (const pattern of PATTERNS) await spy.subscribe(pattern);
    await leave(asker);
    for (const pattern of PATTERNS) await spy.subscribe(pattern);
    expect((await spy.rest()).filter(({ text }) => text !== 'barrier')).toEqual([]);
  });

  it('keeps nothing for who subscribes later', async () => {
    const { asker, server, replyTo } = await topic();
    await sendAll(server, replyTo, ['early'], { retain: 'true' });
    await asker.subscribe('/temp-topic/r');
    await sendAll(server, replyTo, ['late']);
    expect(await asker.texts(1)).toEqual(['late']);
  });

  it('cannot be subscribed to by what others know of it', async () => {
    const { broker, asker, replyTo } = await topic('1');
    expect(await refusal(await join(broker), replyTo)).toBe('access refused');
    expect(await refusal(asker, replyTo)).toBe('access refused');
  });

  it('is gone with its connection: answers come to nothing', async () => {
    const { broker, asker, server, replyTo } = await topic('1');
    await leave(asker);
    await sendAll(server, replyTo, ['late']);
    const next = await join(broker);
    await next.subscribe('/temp-topic/r');
    expect(textsOf(await next.rest())).toEqual([]);
  });

  it('is answered at the COMMIT of a transaction', async () => {
    const { asker, server, replyTo } = await topic('1');
    await server.receipted('BEGIN', { transaction: 't' });
    server.send('SEND', { destination: replyTo, transaction: 't' }, 'answer');
    expect(textsOf(await server.rest())).toEqual([]);
    expect(textsOf(await asker.rest())).toEqual([]);
    await server.receipted('COMMIT', { transaction: 't' });
    expect(await asker.texts(1)).toEqual(['answer']);
  });
});
