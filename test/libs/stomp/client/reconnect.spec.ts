import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { once } from 'node:events';
import {
  type ConnectAttempt,
  ConnectFailedError,
  ConnectionLostError,
  type ConnectRetry,
  NotConnectedError,
  type ReconnectOptions,
  type StompClient,
  type StompClientOptions,
} from 'nestjs-stomp/client';
import { backOff } from '../../../../libs/stomp/src/client/connector.js';
import {
  answerDisconnect,
  connectPair,
  deadUrl,
  failure,
  gate,
  makeClient,
  makeServer,
  PROMPT,
  settle,
  stateOf,
  watchErrors,
  watchStates,
  watchWarnings,
  within,
} from '../../../support/client.js';

function watchAttempts(client: StompClient): ConnectAttempt[] {
  const attempts: ConnectAttempt[] = [];
  client.on('attempt', (attempt) => attempts.push(attempt));
  return attempts;
}

function watchRetries(client: StompClient): ConnectRetry[] {
  const retries: ConnectRetry[] = [];
  client.on('retry', (retry) => retries.push(retry));
  return retries;
}

/** A client to whom every server refuses the connection, at once and without a port. */
function makeUnlucky(reconnect: ReconnectOptions, options: StompClientOptions = {}) {
  return makeClient({ dial: () => Promise.reject(new Error('nobody there')), reconnect, ...options });
}

const eventOf = (client: StompClient, name: 'attempt' | 'retry') =>
  within(name, once(client, name) as Promise<[ConnectAttempt & ConnectRetry]>);

describe('the list of URLs', () => {
  it('is tried in turn, and the first that answers is taken', async () => {
    const [dead, server, spare] = [await deadUrl(), await makeServer(), await makeServer()];
    const client = makeClient({ url: [dead, server.url, spare.url] });
    const attempts = watchAttempts(client);
    const opened = client.connect();
    await server.handshake('1.2');
    await opened;
    expect(client.url).toBe(server.url);
    expect(attempts).toEqual([
      { url: dead, attempt: 1 },
      { url: server.url, attempt: 1 },
    ]);
  });

  it('is gone on with after a loss, from the server behind the lost one', async () => {
    const [first, second, third] = [await makeServer(), await makeServer(), await makeServer()];
    const client = makeClient({ url: [first.url, second.url, third.url] });
    const opened = client.connect();
    const { peer } = await first.handshake('1.2');
    await opened;
    const attempts = watchAttempts(client);
    peer.destroy();
    const next = await second.handshake('1.1');
    await stateOf(client, 'connected');
    expect([client.url, client.version]).toEqual([second.url, '1.1']);
    next.peer.destroy();
    const last = await third.handshake('1.2');
    await stateOf(client, 'connected');
    last.peer.destroy();
    await first.handshake('1.2');
    await stateOf(client, 'connected');
    expect(attempts.map(({ url }) => url)).toEqual([second.url, third.url, first.url]);
  });

  it('begins with the first again when the client was disconnected', async () => {
    const [first, second] = [await makeServer(), await makeServer()];
    const client = makeClient({ url: [first.url, second.url] });
    for (let i = 0; i < 2; i++) {
      const opened = client.connect();
      const { peer } = await first.handshake('1.2');
      await opened;
      const left = client.disconnect();
      await answerDisconnect(peer);
      await left;
    }
    expect(client.url).toBe(first.url);
  });
});

describe('the wait between attempts', () => {
  it('grows by the factor up to maxDelay', async () => {
    const client = makeUnlucky({ initialDelay: 1, factor: 2, maxDelay: 6, jitter: 0, maxAttempts: 6 });
    const retries = watchRetries(client);
    await failure(client.connect());
    expect(retries.map(({ delay }) => delay)).toEqual([1, 2, 4, 6, 6]);
    expect(retries.map(({ attempt }) => attempt)).toEqual([2, 3, 4, 5, 6]);
    expect(retries[0]?.reason?.message).toBe('nobody there');
  });

  it('is what was announced, at least', async () => {
    const client = makeUnlucky({ initialDelay: 30, factor: 1, jitter: 0, maxAttempts: 4 });
    const times: number[] = [];
    client.on('attempt', () => times.push(performance.now()));
    await failure(client.connect());
    expect(times).toHaveLength(4);
    for (let i = 1; i < 4; i++) expect(times[i]! - times[i - 1]!).toBeGreaterThan(28);
  });

  it('is initialDelay * factor^waits, no more than maxDelay, less a random part of up to jitter', () => {
    const options = { initialDelay: 250, factor: 2, maxDelay: 30_000, maxAttempts: 1, onRefused: () => false };
    expect([0, 1, 2, 6, 7, 2_000].map((waits) => backOff({ ...options, jitter: 0 }, waits))).toEqual([
      ...[250, 500, 1_000, 16_000, 30_000, 30_000],
    ]);
    expect([0, 0.5, 1].map((random) => backOff({ ...options, jitter: 0.5 }, 2, random))).toEqual([1_000, 750, 500]);
    expect(backOff({ ...options, jitter: 1 }, 0, 1)).toBe(0);
  });

  it('is never less than that, nor more', () => {
    const upTo = (max: number) => fc.double({ min: 0, max, noNaN: true });
    fc.assert(
      fc.property(
        fc.record({ initialDelay: upTo(1e9), maxDelay: upTo(2 ** 31 - 1), factor: upTo(100), jitter: upTo(1) }),
        fc.nat(5_000),
        (given, waits) => {
          const options = { ...given, factor: given.factor + 1, maxAttempts: 1, onRefused: () => false };
          const delay = backOff(options, waits);
          const most = Math.min(
            given.maxDelay,
            given.initialDelay * Math.min(options.factor ** waits, Number.MAX_VALUE),
          );
          expect(delay).toBeLessThanOrEqual(Math.ceil(most));
          expect(delay).toBeGreaterThanOrEqual(Math.floor(most * (1 - given.jitter)) - 1);
        },
      ),
    );
  });

  it('differs from client to client', async () => {
    const delays = new Set<number>();
    for (let i = 0; i < 20; i++) {
      const client = makeUnlucky({ initialDelay: 100_000, maxDelay: 100_000 });
      client.connect().catch(() => undefined);
      const [{ delay }] = await eventOf(client, 'retry');
      expect(delay).toBeGreaterThanOrEqual(50_000);
      expect(delay).toBeLessThanOrEqual(100_000);
      delays.add(delay);
    }
    expect(delays.size).toBeGreaterThan(1);
  });

  it('never is too long for a timer, which would make it none at all', async () => {
    const client = makeUnlucky({ initialDelay: 1e12, maxDelay: Number.POSITIVE_INFINITY, jitter: 0 });
    client.connect().catch(() => undefined);
    const [{ delay }] = await eventOf(client, 'retry');
    expect(delay).toBe(2 ** 31 - 1);
  });

  it('goes on to grow with a server that greets and hangs up', async () => {
    const server = await makeServer();
    const client = makeClient({
      url: server.url,
      reconnect: { initialDelay: 1, factor: 3, maxDelay: 1_000, jitter: 0 },
    });
    const retries = watchRetries(client);
    const opened = client.connect();
    for (let i = 0; i < 5; i++) (await server.handshake('1.2')).peer.destroy();
    await server.handshake('1.2');
    await opened;
    await stateOf(client, 'connected');
    expect(retries.map(({ delay }) => delay)).toEqual([1, 3, 9, 27, 81]);
  });

  it('starts afresh after a connection that has lasted longer than maxDelay', async () => {
    const server = await makeServer();
    const client = makeClient({ url: server.url, reconnect: { initialDelay: 2, factor: 5, maxDelay: 10, jitter: 0 } });
    const retries = watchRetries(client);
    const opened = client.connect();
    const { peer } = await server.handshake('1.2');
    await opened;
    peer.destroy();
    const { peer: next } = await server.handshake('1.2');
    await stateOf(client, 'connected');
    // Attempts of another client, which take longer than maxDelay.
    await failure(makeUnlucky({ initialDelay: 15, maxDelay: 15, jitter: 0, maxAttempts: 3 }).connect());
    next.destroy();
    await server.handshake('1.2');
    await stateOf(client, 'connected');
    expect(retries.at(-1)?.delay).toBe(2);
  });
});

describe('attempts', () => {
  it('end when maxAttempts of them have failed, with the reason of each URL', async () => {
    const urls = [await deadUrl(), await deadUrl()];
    const client = makeClient({ url: urls, reconnect: { ...PROMPT, maxAttempts: 3 } });
    const attempts = watchAttempts(client);
    const error = await failure(client.connect());
    expect(error).toBeInstanceOf(ConnectFailedError);
    expect(error).toMatchObject({ code: 'connect-failed' });
    expect(error.message).toContain('no connection could be made in 3 attempts');
    expect((error as ConnectFailedError).errors).toHaveLength(2);
    for (const [at, url] of urls.entries()) {
      expect((error as ConnectFailedError).errors[at]?.message).toContain(url.replace('stomp://', ''));
    }
    expect(attempts.map(({ attempt }) => attempt)).toEqual([1, 1, 2, 2, 3, 3]);
    expect(client.state).toBe('disconnected');
    expect(client.reason).toBe(error);
  });

  it('are as many as connect asks for', async () => {
    const client = makeUnlucky(PROMPT);
    const attempts = watchAttempts(client);
    await failure(client.connect({ maxAttempts: 2 }));
    expect(attempts).toHaveLength(2);
  });

  it('are one where reconnect is off', async () => {
    const client = makeClient({ dial: () => Promise.reject(new Error('nobody there')), reconnect: false });
    const attempts = watchAttempts(client);
    expect((await failure(client.connect())).message).toBe('no connection could be made: nobody there');
    expect(attempts).toHaveLength(1);
  });

  it('go on until a server is there, by default', async () => {
    const port = Number(new URL(await deadUrl()).port);
    const client = makeClient({ url: `stomp://127.0.0.1:${port}` });
    const opened = client.connect();
    for (let i = 0; i < 10; i++) await eventOf(client, 'retry');
    const server = await makeServer(port);
    await server.handshake('1.2');
    await opened;
  });

  it('that all failed after a loss end the client, and say so', async () => {
    const { client, server, peer } = await connectPair('1.2', { reconnect: { ...PROMPT, maxAttempts: 2 } });
    const errors = watchErrors(client);
    await server.close();
    peer.destroy();
    const reason = await stateOf(client, 'disconnected');
    expect(reason).toBeInstanceOf(ConnectFailedError);
    expect(errors).toEqual([reason]);
    expect(() => client.send('/queue/a')).toThrow(reason?.message);
  });
});

describe('disconnect during the search', () => {
  it('ends a wait', async () => {
    const client = makeUnlucky({ initialDelay: 1e6, maxDelay: 1e6 });
    const opened = failure(client.connect());
    await eventOf(client, 'retry');
    const attempts = watchAttempts(client);
    await within('disconnect', client.disconnect());
    expect(await opened).toBeInstanceOf(NotConnectedError);
    expect(client.state).toBe('disconnected');
    expect(client.reason).toBeUndefined();
    expect(attempts).toEqual([]);
  });

  it('ends an attempt to connect', async () => {
    const dialled = gate<AbortSignal>();
    const client = makeClient({
      dial: (_address, { signal }) => {
        dialled.open(signal);
        return new Promise(() => undefined);
      },
    });
    const opened = failure(client.connect());
    const signal = await dialled.promise;
    await within('disconnect', client.disconnect());
    expect(await opened).toBeInstanceOf(NotConnectedError);
    expect(signal.aborted).toBe(true);
  });

  it('ends the wait for CONNECTED, and the connection', async () => {
    const server = await makeServer();
    const client = makeClient({ url: server.url });
    const opened = failure(client.connect());
    const peer = await server.accept();
    await peer.take('CONNECT', ({ command }) => command === 'CONNECT');
    await within('disconnect', client.disconnect());
    expect(await opened).toBeInstanceOf(NotConnectedError);
    await peer.closed();
  });

  it('ends the search after a loss, and the client can be connected again', async () => {
    const { client, server, peer } = await connectPair('1.2', { reconnect: { initialDelay: 1e6, maxDelay: 1e6 } });
    const retry = eventOf(client, 'retry');
    peer.destroy();
    await retry;
    await within('disconnect', client.disconnect());
    const opened = client.connect();
    await server.handshake('1.2');
    await opened;
  });

  it('may be called by a listener, before the first attempt', async () => {
    const asked: string[] = [];
    const passcode = () => {
      asked.push('passcode');
      return 'x';
    };
    const client = makeUnlucky(PROMPT, { passcode });
    const attempts = watchAttempts(client);
    client.once('state', () => void client.disconnect());
    expect(await failure(client.connect())).toBeInstanceOf(NotConnectedError);
    await client.disconnect();
    expect(attempts).toEqual([]);
    expect(asked).toEqual([]);
    expect(client.state).toBe('disconnected');
  });

  it('may be called by a listener that is told of the loss', async () => {
    const { client, peer } = await connectPair();
    const [attempts, retries] = [watchAttempts(client), watchRetries(client)];
    client.once('state', () => void client.disconnect());
    peer.destroy();
    await stateOf(client, 'disconnected');
    await client.disconnect();
    expect([attempts, retries]).toEqual([[], []]);
  });
});

describe('the state', () => {
  it('is told in order, with reasons', async () => {
    const server = await makeServer();
    const client = makeClient({ url: server.url });
    expect(client.state).toBe('disconnected');
    const states = watchStates(client);
    const opened = client.connect();
    const { peer } = await server.handshake('1.2');
    await opened;
    peer.end();
    const { peer: next } = await server.handshake('1.2');
    await stateOf(client, 'connected');
    next.send('ERROR', { message: 'out of memory' });
    const { peer: last } = await server.handshake('1.2');
    await stateOf(client, 'connected');
    const left = client.disconnect();
    await answerDisconnect(last);
    await left;
    expect(states).toEqual([
      { state: 'connecting', reason: undefined },
      { state: 'connected', reason: undefined },
      { state: 'connecting', reason: 'the server closed the connection' },
      { state: 'connected', reason: undefined },
      { state: 'connecting', reason: expect.stringContaining('out of memory') },
      { state: 'connected', reason: undefined },
      { state: 'disconnecting', reason: undefined },
      { state: 'disconnected', reason: undefined },
    ]);
  });

  it('is disconnected, for that reason, where a lost connection stays lost', async () => {
    const { client, peer } = await connectPair('1.2', { reconnect: false });
    const errors = watchErrors(client);
    peer.destroy();
    const reason = await stateOf(client, 'disconnected');
    expect(reason).toBeInstanceOf(ConnectionLostError);
    expect(client.reason).toBe(reason);
    expect(errors).toEqual([reason]);
  });

  it.each(['state', 'attempt', 'retry', 'frame'] as const)(
    'goes on when a listener of "%s" throws, which is reported',
    async (name) => {
      const server = await makeServer();
      const client = makeClient({ url: [await deadUrl(), await deadUrl()], reconnect: { ...PROMPT, maxAttempts: 2 } });
      const wanted = makeClient({ url: server.url });
      for (const each of [client, wanted]) {
        each.on(name, () => {
          throw new Error(`no ${name}`);
        });
      }
      const [errors, others] = [watchErrors(client), watchErrors(wanted)];
      const opened = wanted.connect();
      await server.handshake('1.2');
      await opened;
      expect(await failure(client.connect())).toBeInstanceOf(ConnectFailedError);
      const all = [...errors, ...others].map(({ message }) => message);
      expect(new Set(all)).toEqual(new Set([`no ${name}`]));
    },
  );

  it('goes on when a listener of "error" throws: that becomes a warning', async () => {
    const { client, server, peer } = await connectPair();
    client.on('error', () => {
      throw new Error('no errors, please');
    });
    const warnings = watchWarnings();
    peer.send('ERROR', { message: 'out of memory' });
    await server.handshake('1.2');
    await stateOf(client, 'connected');
    expect(warnings).toEqual(['no errors, please']);
  });

  it('without a listener of "error", errors become warnings and are not thrown', async () => {
    const { client, server, peer } = await connectPair();
    const warnings = watchWarnings();
    peer.send('ERROR', { message: 'out of memory' });
    await server.handshake('1.2');
    await stateOf(client, 'connected');
    expect(warnings).toEqual([expect.stringContaining('out of memory')]);
  });

  it('tells of a flood of errors in few warnings, and how many it left out', async () => {
    const { client, peer } = await connectPair('1.2', {}, { server: 'ActiveMQ/5.17' });
    const warnings = watchWarnings();
    for (let n = 0; n < 1_000; n++) peer.send('ERROR', { message: `no ${n}` });
    await settle(client, peer);
    expect(warnings.length).toBeLessThan(500);
    // What is left out is told of with the next one, a second later.
    for (const begun = performance.now(); performance.now() < begun + 1_000;) await new Promise(setImmediate);
    peer.send('ERROR', { message: 'the last one' });
    await settle(client, peer);
    expect(warnings.at(-1)).toMatch(/the last one/);
    const untold = warnings.map((text) => Number(/\((\d+) more were not told of\)/.exec(String(text))?.[1] ?? 0));
    expect(untold.reduce((sum, count) => sum + count, warnings.length)).toBe(1_001);
  });
});

describe('connect while the client', () => {
  it('looks for a server again resolves when it has one', async () => {
    const { client, server, peer } = await connectPair();
    const lost = stateOf(client, 'connecting');
    peer.destroy();
    await lost;
    const again = client.connect();
    await server.handshake('1.2');
    await again;
    expect(client.state).toBe('connected');
  });

  it('disconnects connects it afterwards', async () => {
    const { client, server, peer } = await connectPair();
    const left = client.disconnect();
    const again = client.connect();
    await answerDisconnect(peer);
    await left;
    await server.handshake('1.2');
    await again;
    expect(client.state).toBe('connected');
  });
});
