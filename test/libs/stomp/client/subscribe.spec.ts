import { describe, expect, it } from '@jest/globals';
import {
  ConnectionLostError,
  NotConnectedError,
  ReceiptTimeoutError,
  ServerError,
  type StompClient,
  type StompMessage,
  type SubscribeOptions,
} from 'nestjs-stomp/client';
import {
  answerDisconnect,
  connectPair,
  deliver,
  failure,
  makeClient,
  makeServer,
  settle,
  stateOf,
  takeAndConfirm,
  watchErrors,
  within,
} from '../../../support/client.js';
import { type RawPeer } from '../../../support/raw.js';
import { type RawFrame } from '../../../support/wire.js';

const take = (peer: RawPeer, command: string) => peer.take(command, (got) => got.command === command);
const ignore = () => undefined;
const headersOf = ({ headers }: RawFrame) => Object.fromEntries(headers.filter(([name]) => name !== 'receipt'));

/** The bodies of the messages that a handler is given. */
function collect(client: StompClient, destination: string, options?: SubscribeOptions) {
  const texts: string[] = [];
  const subscription = client.subscribe(destination, (message) => void texts.push(message.text), options);
  return { texts, subscription };
}

describe('SUBSCRIBE', () => {
  it('says destination, id and mode, and asks for a receipt', async () => {
    const { client, peer } = await connectPair();
    const subscription = client.subscribe('/queue/a', ignore);
    const frame = await take(peer, 'SUBSCRIBE');
    expect(headersOf(frame)).toEqual({ destination: '/queue/a', id: subscription.id, ack: 'auto' });
    expect(frame.header('receipt')).toBeDefined();
    expect(client.subscriptions.get(subscription.id)).toBe(subscription);
  });

  it.each(['auto', 'client', 'client-individual'] as const)('asks for %s', async (ack) => {
    const { client, peer } = await connectPair();
    client.subscribe('/queue/a', { ack });
    expect((await take(peer, 'SUBSCRIBE')).header('ack')).toBe(ack);
  });

  it('carries further headers and the prefetch, and none that replaces its own', async () => {
    const { client, peer } = await connectPair();
    const own = { id: 'evil', destination: '/queue/evil', ack: 'client', receipt: 'r', 'content-length': 9 };
    client.subscribe('/queue/a', ignore, { id: 's', prefetch: 7, headers: { ...own, selector: "region = 'EU'" } });
    expect(headersOf(await take(peer, 'SUBSCRIBE'))).toEqual({
      id: 's',
      destination: '/queue/a',
      ack: 'auto',
      selector: "region = 'EU'",
      'prefetch-count': '7',
      'activemq.prefetchSize': '7',
    });
  });

  it('needs no receipt', async () => {
    const { client, peer } = await connectPair();
    await client.subscribe('/queue/a', ignore, { receipt: false }).ready;
    expect((await take(peer, 'SUBSCRIBE')).header('receipt')).toBeUndefined();
  });

  it.each<[string, string, SubscribeOptions]>([
    ['destination', '', {}],
    ['ack', '/queue/a', { ack: 'AUTO' as 'auto' }],
    ['buffer', '/queue/a', { buffer: 0 }],
    ['concurrency', '/queue/a', { concurrency: 0 }],
    ['prefetch', '/queue/a', { prefetch: -1 }],
  ])('is refused by name where an option makes no sense: %s', async (name, destination, options) => {
    const { client } = await connectPair();
    expect(() => client.subscribe(destination, ignore, options)).toThrow(TypeError);
    expect(() => client.subscribe(destination, ignore, options)).toThrow(name);
    expect(client.subscriptions.size).toBe(0);
  });

  it('waits for the connection when there is none yet', async () => {
    const server = await makeServer();
    const client = makeClient({ url: server.url });
    const { texts, subscription } = collect(client, '/queue/a');
    const opened = client.connect();
    const { peer } = await server.handshake('1.2');
    await opened;
    await takeAndConfirm(peer, 'SUBSCRIBE');
    await subscription.ready;
    deliver(peer, subscription.id, 1);
    await settle(client, peer);
    expect(texts).toEqual(['m1']);
  });
});

describe('ready', () => {
  it('resolves with the receipt', async () => {
    const { client, peer } = await connectPair();
    const { ready } = client.subscribe('/queue/a', ignore);
    await takeAndConfirm(peer, 'SUBSCRIBE');
    await within('ready', ready);
  });

  it('waits for the next connection where one is lost before the receipt', async () => {
    const { client, server, peer } = await connectPair();
    const { ready } = client.subscribe('/queue/a', ignore);
    await take(peer, 'SUBSCRIBE');
    peer.destroy();
    await takeAndConfirm((await server.handshake('1.2')).peer, 'SUBSCRIBE');
    await within('ready', ready);
  });

  it('fails with what the server has against it, which ends that subscription and no other', async () => {
    const { client, server, peer } = await connectPair();
    client.on('error', ignore);
    const good = client.subscribe('/queue/a', ignore);
    await takeAndConfirm(peer, 'SUBSCRIBE');
    const bad = client.subscribe('/queue/forbidden');
    const refused = failure(bad.ready);
    const loop = failure(bad[Symbol.asyncIterator]().next());
    const { headers } = await take(peer, 'SUBSCRIBE');
    peer.send('ERROR', { message: 'forbidden', 'receipt-id': Object.fromEntries(headers).receipt! });
    expect(await refused).toBeInstanceOf(ServerError);
    expect(await loop).toBe(await refused);
    expect([good.active, bad.active]).toEqual([true, false]);
    const { peer: next } = await server.handshake('1.2');
    expect((await takeAndConfirm(next, 'SUBSCRIBE')).header('id')).toBe(good.id);
    await settle(client, next);
    expect(next.received.toString()).not.toContain('forbidden');
  });

  it('fails when no receipt comes in time; the subscription stands', async () => {
    const { client, peer } = await connectPair('1.2', { receiptTimeout: 20 });
    const { texts, subscription } = collect(client, '/queue/a');
    expect(await failure(subscription.ready)).toBeInstanceOf(ReceiptTimeoutError);
    await take(peer, 'SUBSCRIBE');
    deliver(peer, subscription.id, 1);
    peer.send('ERROR', { message: 'bye' });
    client.on('error', ignore);
    await stateOf(client, 'connecting');
    expect(texts).toEqual(['m1']);
  });

  it('fails when the subscription ends before', async () => {
    const client = makeClient();
    const subscription = client.subscribe('/queue/a', ignore);
    await subscription.unsubscribe();
    expect(await failure(subscription.ready)).toBeInstanceOf(NotConnectedError);
  });
});

describe('messages', () => {
  it('go to the subscription that they are for, in their order', async () => {
    const { client, peer } = await connectPair();
    const [a, b] = [collect(client, '/queue/a'), collect(client, '/queue/a')];
    for (let i = 0; i < 2; i++) await takeAndConfirm(peer, 'SUBSCRIBE');
    for (const number of [1, 2, 3, 4, 5, 6]) deliver(peer, (number % 3 === 0 ? a : b).subscription.id, number);
    await settle(client, peer);
    expect([a.texts, b.texts]).toEqual([
      ['m3', 'm6'],
      ['m1', 'm2', 'm4', 'm5'],
    ]);
  });

  it.each(['s:1', 's\\n', ' s ', 'sö', 'toString'])('find the subscription with the id "%s"', async (id) => {
    const { client, peer } = await connectPair();
    const { texts } = collect(client, '/queue/a', { id });
    expect((await takeAndConfirm(peer, 'SUBSCRIBE')).header('id')).toBe(id);
    deliver(peer, id, 1);
    deliver(peer, id, 2);
    await settle(client, peer);
    expect(texts).toEqual(['m1', 'm2']);
  });

  it('of a 1.0 server that names no subscription are told by their destination', async () => {
    const { client, peer } = await connectPair('1.0');
    const [a, b] = [collect(client, '/queue/a'), collect(client, '/queue/b')];
    for (let i = 0; i < 2; i++) await takeAndConfirm(peer, 'SUBSCRIBE');
    peer.send('MESSAGE', { 'message-id': '1', destination: '/queue/b' }, 'for b');
    peer.send('MESSAGE', { 'message-id': '2', destination: '/queue/a' }, 'for a');
    await settle(client, peer);
    expect([a.texts, b.texts]).toEqual([['for a'], ['for b']]);
  });

  it('that belong to nobody are told by "unhandled" and do no harm', async () => {
    const { client, peer } = await connectPair();
    const { texts } = collect(client, '/queue/a', { id: 's' });
    await takeAndConfirm(peer, 'SUBSCRIBE');
    deliver(peer, 'nobody', 1);
    await settle(client, peer);
    const strays: StompMessage[] = [];
    client.on('unhandled', (message) => strays.push(message));
    deliver(peer, 'nobody', 2);
    peer.send('MESSAGE', { 'message-id': '3', destination: '/queue/elsewhere' }, 'm3');
    deliver(peer, 's', 4);
    await settle(client, peer);
    expect(strays.map(({ text }) => text)).toEqual(['m2', 'm3']);
    expect(strays[0]?.subscription).toBeUndefined();
    expect([strays[0]?.ack(), strays[0]?.nack()]).toEqual([false, false]);
    expect(texts).toEqual(['m4']);
  });

  it('tell what they are', async () => {
    const { client, peer } = await connectPair();
    const got: StompMessage[] = [];
    const subscription = client.subscribe('/queue/a', (message) => void got.push(message), { id: 's' });
    await takeAndConfirm(peer, 'SUBSCRIBE');
    const headers = { subscription: 's', 'message-id': 'i:1', destination: '/queue/a', kind: 'x' };
    peer.send('MESSAGE', headers, '{"ä":1}');
    peer.send('MESSAGE', { ...headers, 'content-type': 'text/plain;charset=iso-8859-1' }, Buffer.of(0xe4));
    await settle(client, peer);
    expect(got[0]).toMatchObject({ destination: '/queue/a', id: 'i:1', subscription });
    expect(got[0]!.headers.get('kind')).toBe('x');
    expect(got[0]!.json()).toEqual({ ä: 1 });
    expect(got[1]!.text).toBe('ä');
    expect(() => got[1]!.json()).toThrow(SyntaxError);
  });
});

describe('the async iterator', () => {
  async function iterate(options: SubscribeOptions = {}) {
    const pair = await connectPair();
    const subscription = pair.client.subscribe('/queue/a', { id: 's', ...options });
    await takeAndConfirm(pair.peer, 'SUBSCRIBE');
    return { ...pair, subscription };
  }

  it('gives the messages in their order, whether they wait or are waited for', async () => {
    const { client, peer, subscription } = await iterate();
    for (const number of [1, 2]) deliver(peer, 's', number);
    await settle(client, peer);
    const texts: string[] = [];
    for await (const message of subscription) {
      texts.push(message.text);
      if (texts.length < 5) deliver(peer, 's', texts.length + 2);
      else break;
    }
    expect(texts).toEqual(['m1', 'm2', 'm3', 'm4', 'm5']);
  });

  it('unsubscribes when the loop is left', async () => {
    const { peer, subscription } = await iterate();
    deliver(peer, 's', 1);
    for await (const _message of subscription) break;
    expect((await takeAndConfirm(peer, 'UNSUBSCRIBE')).header('id')).toBe('s');
    expect(subscription.active).toBe(false);
  });

  it('unsubscribes when the loop throws', async () => {
    const { peer, subscription } = await iterate();
    deliver(peer, 's', 1);
    const loop = async () => {
      for await (const message of subscription) throw new Error(message.text);
    };
    expect((await failure(loop())).message).toBe('m1');
    await takeAndConfirm(peer, 'UNSUBSCRIBE');
  });

  it('serves several that ask at a time, each message once', async () => {
    const { peer, subscription } = await iterate();
    const iterator = subscription[Symbol.asyncIterator]();
    const asked = [iterator.next(), iterator.next(), iterator.next()];
    for (const number of [1, 2, 3]) deliver(peer, 's', number);
    const got = await within('messages', Promise.all(asked));
    expect(got.map(({ value }) => (value as StompMessage).text)).toEqual(['m1', 'm2', 'm3']);
  });

  it('ends when the client disconnects; what an auto subscription has taken is still given out', async () => {
    const { client, peer, subscription } = await iterate();
    for (const number of [1, 2]) deliver(peer, 's', number);
    await settle(client, peer);
    const left = client.disconnect();
    await answerDisconnect(peer);
    await left;
    const texts: string[] = [];
    for await (const message of subscription) texts.push(message.text);
    expect(texts).toEqual(['m1', 'm2']);
  });

  it('ends without what will come again, in the other modes', async () => {
    const { client, peer, subscription } = await iterate({ ack: 'client' });
    for (const number of [1, 2]) deliver(peer, 's', number);
    await settle(client, peer);
    const left = client.disconnect();
    await answerDisconnect(peer);
    await left;
    for await (const message of subscription) throw new Error(`${message.text} cannot be acknowledged any more`);
  });

  it('goes on over a reconnection; what waited to be acknowledged comes again, not twice', async () => {
    const { client, server, peer, subscription } = await iterate({ ack: 'client-individual' });
    for (const number of [1, 2, 3]) deliver(peer, 's', number);
    await settle(client, peer);
    const iterator = subscription[Symbol.asyncIterator]();
    const first = (await iterator.next()).value as StompMessage;
    peer.destroy();
    await stateOf(client, 'connecting');
    expect(first.ack()).toBe(false);
    const { peer: next } = await server.handshake('1.2');
    await takeAndConfirm(next, 'SUBSCRIBE');
    for (const number of [1, 2, 3]) deliver(next, 's', number + 10);
    await settle(client, next);
    for (const text of ['m11', 'm12', 'm13']) {
      const { value } = await iterator.next();
      expect((value as StompMessage).text).toBe(text);
      expect((value as StompMessage).ack()).toBe(true);
      await take(next, 'ACK');
    }
  });

  it('is not there where there is a handler', async () => {
    const { client } = await connectPair();
    expect(() => client.subscribe('/queue/a', ignore)[Symbol.asyncIterator]()).toThrow(TypeError);
  });

  it('ends with the reason when the client gives up, once', async () => {
    const { client, peer } = await connectPair('1.2', { reconnect: false });
    client.on('error', ignore);
    const iterator = client.subscribe('/queue/a')[Symbol.asyncIterator]();
    const asked = [failure(iterator.next()), iterator.next()];
    peer.destroy();
    expect(await asked[0]).toBeInstanceOf(ConnectionLostError);
    await expect(asked[1]).resolves.toEqual({ done: true, value: undefined });
    await expect(iterator.next()).resolves.toEqual({ done: true, value: undefined });
  });
});

describe('after a reconnection', () => {
  it('subscriptions are made again with the same ids and headers, in their order', async () => {
    const { client, server, peer } = await connectPair();
    const subscriptions = [
      client.subscribe('/queue/a', ignore, { ack: 'client', headers: { selector: 'x = 1' }, prefetch: 5 }),
      client.subscribe('/topic/b', ignore, { id: 'mine', receipt: false }),
      client.subscribe('/topic/gone', ignore),
    ];
    const before: object[] = [];
    for (let i = 0; i < 3; i++) before.push(headersOf(await takeAndConfirm(peer, 'SUBSCRIBE')));
    void subscriptions[2]!.unsubscribe();
    await takeAndConfirm(peer, 'UNSUBSCRIBE');
    peer.destroy();
    const { peer: next } = await server.handshake('1.2');
    const after: object[] = [];
    for (let i = 0; i < 2; i++) after.push(headersOf(await takeAndConfirm(next, 'SUBSCRIBE')));
    expect(after).toEqual(before.slice(0, 2));
    await settle(client, next);
    expect(next.received.toString()).not.toContain('gone');
    expect([...client.subscriptions.values()]).toEqual(subscriptions.slice(0, 2));
  });

  it('they are made before a listener of "connected" sends anything', async () => {
    const { client, server, peer } = await connectPair();
    client.subscribe('/queue/a', ignore);
    await takeAndConfirm(peer, 'SUBSCRIBE');
    client.on('state', (state) => {
      if (state === 'connected') client.send('/queue/a', 'hello again');
    });
    peer.destroy();
    const { peer: next } = await server.handshake('1.2');
    expect((await next.frame()).command).toBe('SUBSCRIBE');
    expect((await next.frame()).command).toBe('SEND');
  });

  it('one that the new version cannot carry is dropped and reported, the others stand', async () => {
    const { client, server, peer } = await connectPair('1.2');
    const errors = watchErrors(client);
    const lost = client.subscribe('/queue/a\nb', ignore);
    const kept = client.subscribe('/queue/c', ignore);
    for (let i = 0; i < 2; i++) await takeAndConfirm(peer, 'SUBSCRIBE');
    peer.destroy();
    const { peer: next } = await server.handshake('1.0');
    expect((await takeAndConfirm(next, 'SUBSCRIBE')).header('id')).toBe(kept.id);
    expect([lost.active, kept.active]).toEqual([false, true]);
    expect(errors).toEqual([expect.objectContaining({ code: 'header-unencodable' })]);
  });
});

describe('unsubscribe', () => {
  async function subscribed(options: SubscribeOptions = {}) {
    const pair = await connectPair();
    const { texts, subscription } = collect(pair.client, '/queue/a', { id: 's', ...options });
    await takeAndConfirm(pair.peer, 'SUBSCRIBE');
    return { ...pair, texts, subscription };
  }

  it('resolves once the server has confirmed it; messages on the way have no handler any more', async () => {
    const { client, peer, texts, subscription } = await subscribed();
    deliver(peer, 's', 1);
    await settle(client, peer);
    const left = subscription.unsubscribe();
    expect(subscription.unsubscribe()).toBe(left);
    expect([subscription.active, client.subscriptions.size]).toEqual([false, 0]);
    deliver(peer, 's', 2);
    const frame = await takeAndConfirm(peer, 'UNSUBSCRIBE');
    expect(headersOf(frame)).toEqual({ id: 's' });
    await within('receipt', left);
    expect(texts).toEqual(['m1']);
  });

  it('frees the id at once', async () => {
    const { client, peer, subscription } = await subscribed();
    void subscription.unsubscribe();
    const again = collect(client, '/queue/a', { id: 's' });
    await takeAndConfirm(peer, 'UNSUBSCRIBE');
    await takeAndConfirm(peer, 'SUBSCRIBE');
    deliver(peer, 's', 1);
    await settle(client, peer);
    expect(again.texts).toEqual(['m1']);
  });

  it('carries further headers, and none that replaces its own', async () => {
    const { peer, subscription } = await subscribed();
    void subscription.unsubscribe({ headers: { durable: true, id: 'evil', receipt: 'r' } });
    expect(headersOf(await takeAndConfirm(peer, 'UNSUBSCRIBE'))).toEqual({ id: 's', durable: 'true' });
  });

  it('is done when the connection goes, unless its headers ask for more', async () => {
    const one = await subscribed();
    const left = one.subscription.unsubscribe();
    await take(one.peer, 'UNSUBSCRIBE');
    one.peer.destroy();
    await within('unsubscribe', left);

    const other = await subscribed();
    const failed = failure(other.subscription.unsubscribe({ headers: { durable: true } }));
    await take(other.peer, 'UNSUBSCRIBE');
    other.peer.destroy();
    expect(await failed).toBeInstanceOf(ConnectionLostError);
  });

  it('without a connection is done at once, unless its headers ask for more', async () => {
    const client = makeClient();
    await client.subscribe('/queue/a', ignore).unsubscribe();
    const durable = client.subscribe('/queue/a', ignore);
    expect(await failure(durable.unsubscribe({ headers: { durable: true } }))).toBeInstanceOf(NotConnectedError);
    expect(client.subscriptions.size).toBe(0);
  });

  it('fails with what the server has against it', async () => {
    const { client, peer, subscription } = await subscribed();
    client.on('error', ignore);
    const failed = failure(subscription.unsubscribe());
    const { headers } = await take(peer, 'UNSUBSCRIBE');
    peer.send('ERROR', { message: 'no such subscription', 'receipt-id': Object.fromEntries(headers).receipt! });
    expect(await failed).toBeInstanceOf(ServerError);
  });

  it('of one does not touch another of the same destination', async () => {
    const { client, peer, subscription } = await subscribed();
    const other = collect(client, '/queue/a', { id: 'other' });
    await takeAndConfirm(peer, 'SUBSCRIBE');
    void subscription.unsubscribe();
    await takeAndConfirm(peer, 'UNSUBSCRIBE');
    deliver(peer, 'other', 1);
    await settle(client, peer);
    expect(other.texts).toEqual(['m1']);
  });

  it('is what `await using` does', async () => {
    const { peer, subscription } = await subscribed();
    const left = subscription[Symbol.asyncDispose]();
    await takeAndConfirm(peer, 'UNSUBSCRIBE');
    await left;
  });
});
