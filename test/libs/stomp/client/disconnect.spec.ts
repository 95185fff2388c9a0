import { describe, expect, it } from '@jest/globals';
import { ConnectionLostError, NotConnectedError, type StompMessage } from 'nestjs-stomp/client';
import {
  answerDisconnect,
  connectPair,
  deliver,
  failure,
  gate,
  makeClient,
  settle,
  stateOf,
  takeAndConfirm,
  watchErrors,
  watchStates,
  within,
} from '../../../support/client.js';
import { type RawPeer } from '../../../support/raw.js';

const take = (peer: RawPeer, command: string) => peer.take(command, (got) => got.command === command);

const commandsOf = (peer: RawPeer) =>
  [...peer.received.toString().matchAll(/(?:^|\0\n*)([A-Z]+)\n/g)].map(([, command]) => command);

describe('disconnect', () => {
  it('sends what was sent before, then DISCONNECT, and closes after the receipt', async () => {
    const { client, peer } = await connectPair();
    const states = watchStates(client);
    client.send('/queue/a', 'last words');
    const left = client.disconnect({ deadline: 60_000 });
    await takeAndConfirm(peer, 'DISCONNECT');
    await peer.closed();
    peer.end();
    await left;
    expect(commandsOf(peer)).toEqual(['CONNECT', 'SEND', 'DISCONNECT']);
    expect(states).toEqual([
      { state: 'disconnecting', reason: undefined },
      { state: 'disconnected', reason: undefined },
    ]);
    expect([client.version, client.server, client.sessionId, client.writable]).toEqual([
      ...[undefined, undefined, undefined, false],
    ]);
  });

  it('still takes the receipts of what was published before', async () => {
    const { client, peer } = await connectPair();
    const published = client.publish('/queue/a', 'x');
    const left = client.disconnect();
    await takeAndConfirm(peer, 'SEND');
    await published;
    await answerDisconnect(peer);
    await left;
  });

  it('is done once, however often it is called', async () => {
    const { client, peer } = await connectPair();
    const left = [client.disconnect(), client.disconnect()];
    await answerDisconnect(peer);
    await Promise.all(left);
    await client.disconnect();
    expect(commandsOf(peer)).toEqual(['CONNECT', 'DISCONNECT']);
  });

  it('does nothing to a client that is not connected', async () => {
    const client = makeClient();
    const states = watchStates(client);
    await client.disconnect();
    expect(states).toEqual([]);
  });

  it('is what `await using` does', async () => {
    const { client, peer } = await connectPair();
    const left = client[Symbol.asyncDispose]();
    await answerDisconnect(peer);
    await left;
    expect(client.state).toBe('disconnected');
  });

  it('cuts the connection at the deadline when no receipt comes', async () => {
    const { client, peer } = await connectPair();
    const started = performance.now();
    const left = client.disconnect({ deadline: 50 });
    await take(peer, 'DISCONNECT');
    await within('disconnect', left);
    expect(performance.now() - started).toBeGreaterThan(48);
    await peer.closed();
    expect(client.state).toBe('disconnected');
  });

  it('says DISCONNECT even where the deadline is at once', async () => {
    const { client, peer } = await connectPair();
    await within('disconnect', client.disconnect({ deadline: 0 }));
    await take(peer, 'DISCONNECT');
  });

  it('takes a server that hangs up instead of confirming for what it is', async () => {
    const { client, peer } = await connectPair();
    const errors = watchErrors(client);
    const left = client.disconnect();
    await take(peer, 'DISCONNECT');
    peer.end();
    await within('disconnect', left);
    expect(errors).toEqual([]);
    expect(client.reason).toBeUndefined();
  });

  it('never fails, not even by an ERROR', async () => {
    const { client, peer } = await connectPair();
    const errors = watchErrors(client);
    const left = client.disconnect();
    await take(peer, 'DISCONNECT');
    peer.send('ERROR', { message: 'no' });
    await within('disconnect', left);
    expect(errors.map(({ message }) => message)).toEqual([expect.stringContaining('no')]);
    expect(client.state).toBe('disconnected');
  });

  it('fails what still waits for a receipt', async () => {
    const { client, peer } = await connectPair();
    const published = failure(client.publish('/queue/a', 'x'));
    const left = client.disconnect();
    await answerDisconnect(peer);
    await left;
    expect(await published).toBeInstanceOf(ConnectionLostError);
  });
});

describe('handlers that run', () => {
  async function running(ack: 'auto' | 'client' | 'client-individual') {
    const pair = await connectPair();
    const [started, end] = [gate(), gate()];
    const texts: string[] = [];
    const handler = async (message: StompMessage) => {
      texts.push(message.text);
      started.open();
      await end.promise;
      if (pair.client.state !== 'disconnected') await pair.client.publish('/queue/result', message.text);
    };
    pair.client.subscribe('/queue/a', handler, { id: 's', ack, concurrency: 1 });
    await takeAndConfirm(pair.peer, 'SUBSCRIBE');
    deliver(pair.peer, 's', 1);
    await within('MESSAGE', started.promise);
    return { ...pair, end, texts };
  }

  it.each(['client', 'client-individual'] as const)(
    'may finish, send and acknowledge before DISCONNECT, in %s mode; no further one starts',
    async (ack) => {
      const { client, peer, end, texts } = await running(ack);
      deliver(peer, 's', 2);
      const left = client.disconnect();
      await settleStates(client);
      deliver(peer, 's', 3);
      end.open();
      await takeAndConfirm(peer, 'SEND');
      await take(peer, 'ACK');
      await answerDisconnect(peer);
      await left;
      expect(texts).toEqual(['m1']);
      expect(commandsOf(peer)).toEqual(['CONNECT', 'SUBSCRIBE', 'SEND', 'ACK', 'DISCONNECT']);
    },
  );

  it('in auto mode take what has come in, as it would be lost', async () => {
    const { client, peer, end, texts } = await running('auto');
    deliver(peer, 's', 2);
    await settle(client, peer);
    const left = client.disconnect();
    end.open();
    for (let i = 0; i < 2; i++) await takeAndConfirm(peer, 'SEND');
    await answerDisconnect(peer);
    await left;
    expect(texts).toEqual(['m1', 'm2']);
  });

  it('are not waited for beyond the deadline', async () => {
    const { client, peer, end } = await running('client');
    const left = client.disconnect({ deadline: 50 });
    await take(peer, 'DISCONNECT');
    await within('disconnect', left);
    end.open();
    expect(commandsOf(peer)).toEqual(['CONNECT', 'SUBSCRIBE', 'DISCONNECT']);
  });

  it('may disconnect the client themselves', async () => {
    const { client, peer } = await connectPair();
    client.subscribe('/queue/a', () => void client.disconnect(), { id: 's', ack: 'client' });
    await takeAndConfirm(peer, 'SUBSCRIBE');
    deliver(peer, 's', 1);
    await take(peer, 'ACK');
    await answerDisconnect(peer);
    await stateOf(client, 'disconnected');
  });

  it('do not hold up a disconnect whose connection is lost meanwhile longer than they run', async () => {
    const { client, peer, end } = await running('client');
    const states = watchStates(client);
    const left = client.disconnect();
    peer.destroy();
    end.open();
    await within('disconnect', left);
    expect(states.map(({ state }) => state)).toEqual(['disconnecting', 'disconnected']);
  });

  it('and subscriptions end with the client', async () => {
    const { client, peer } = await connectPair();
    const subscription = client.subscribe('/queue/a', () => undefined);
    await takeAndConfirm(peer, 'SUBSCRIBE');
    const left = client.disconnect();
    expect(() => client.subscribe('/queue/b', () => undefined)).toThrow(NotConnectedError);
    await answerDisconnect(peer);
    await left;
    expect([subscription.active, client.subscriptions.size]).toEqual([false, 0]);
  });
});

describe('after disconnect', () => {
  it('the client does not come back by itself', async () => {
    const { client, server, peer } = await connectPair();
    const left = client.disconnect();
    await answerDisconnect(peer);
    await left;
    expect(() => client.send('/queue/a', 'x')).toThrow('the client is not connected (disconnected)');
    // Another client takes the next connection, so there is none before it.
    const other = makeClient({ url: server.url, login: 'other' });
    const opened = other.connect();
    expect((await server.handshake('1.2')).connect.header('login')).toBe('other');
    await opened;
  });

  it('the client can be connected again, without its old subscriptions', async () => {
    const { client, server, peer } = await connectPair();
    client.subscribe('/queue/a', () => undefined);
    await takeAndConfirm(peer, 'SUBSCRIBE');
    const left = client.disconnect();
    await answerDisconnect(peer);
    await left;
    const texts: string[] = [];
    client.subscribe('/queue/b', ({ text }) => void texts.push(text), { id: 'b' });
    const opened = client.connect();
    const { peer: next } = await server.handshake('1.1');
    await opened;
    expect((await takeAndConfirm(next, 'SUBSCRIBE')).header('destination')).toBe('/queue/b');
    deliver(next, 'b', 1);
    await settle(client, next);
    expect([client.version, texts]).toEqual(['1.1', ['m1']]);
    expect(next.received.toString()).not.toContain('/queue/a');
  });
});

/** Lets the client go on as far as it can by itself. */
async function settleStates(client: { state: string }): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
  expect(client.state).toBe('disconnecting');
}
