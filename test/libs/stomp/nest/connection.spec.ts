import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { readFileSync } from 'node:fs';
import { StompClient, StompConnection, StompContext, StompStatus, StompStrategy } from 'nestjs-stomp';
import { Certificates, type Pem } from '../../../support/certificates.js';
import {
  answerDisconnect,
  deadUrl,
  deliver,
  failure,
  gate,
  makeServer,
  PROMPT,
  settle,
  takeAndConfirm,
  watchWarnings,
  within,
} from '../../../support/client.js';
import { FaultProxy } from '../../../support/faults.js';
import {
  EventPattern,
  closeLater,
  last,
  named,
  prepare,
  proxy,
  rejection,
  Seen,
  serve,
} from '../../../support/nest.js';
import { describeEachPeer } from '../../../support/peers.js';

const certificates = new Certificates();
let authority: Pem;
let server: Pem;
beforeAll(() => {
  authority = certificates.authority();
  server = certificates.issue('server', authority);
});
afterAll(() => certificates.remove());

describeEachPeer('connections', (_peer, broker) => {
  /** Handlers that answer with what they get. */
  const echo = (queue: string) => {
    class Echo {
      @MessagePattern(queue) echo(@Payload() data: unknown) {
        return data;
      }
    }
    return Echo;
  };
  const proxied = async (tls?: { cert: Buffer; key: Buffer }) => {
    const faults = closeLater(await FaultProxy.listen(() => broker().dial(), tls));
    const { login, passcode, host } = broker().reach;
    return { faults, reach: { login, passcode, ...(host === undefined ? {} : { host }), url: faults.url } };
  };

  test('wrong credentials fail listen and the first message, with a clear error', async () => {
    const { app } = await prepare([echo(named('queue'))], { ...broker().reach, passcode: 'no-such-passcode' });
    const error = await failure(app.listen());
    expect(error.name).toBe('RefusedError');
    expect(error.message).not.toContain('no-such-passcode');
    const client = proxy(broker().reach, { passcode: 'no-such-passcode' });
    expect(await rejection(client.send('/queue/a', 1))).toMatchObject({ code: 'refused' });
    expect(await rejection(client.emit('/queue/a', 1))).toMatchObject({ code: 'refused' });
    await expect(client.connect()).rejects.toMatchObject({ code: 'refused' });
  });

  test('a client connects when it is first needed, and not before', async () => {
    const { faults, reach } = await proxied();
    const client = proxy(reach);
    expect(faults.size).toBe(0);
    expect(() => client.unwrap()).toThrow('Not initialized. Please call the "connect" method first.');
    await last(client.emit(named('queue'), 1));
    expect(faults.size).toBe(1);
    expect(client.unwrap()).toBeInstanceOf(StompClient);
  });

  test('status tells of connection, loss and end, on both sides; the listen callback is called once', async () => {
    const { faults, reach } = await proxied();
    const queue = named('queue');
    let listened = 0;
    const { app, strategy } = await serve(reach, [echo(queue)], {
      prepare: (_app, made) => {
        const listen = made.listen.bind(made);
        made.listen = (callback) => listen((error) => (listened++, callback(error)));
      },
    });
    const [served, called] = [new Seen<string>(), new Seen<string>()];
    strategy.status.subscribe(served.add);
    const client = proxy(reach);
    client.status.subscribe(called.add);
    expect(await last(client.send(queue, 1))).toBe(1);
    faults.cut();
    await Promise.all([served.count(3), called.count(3)]);
    expect(await last(client.send(queue, 2))).toBe(2);
    await client.close();
    await app.close();
    const all = [StompStatus.CONNECTED, StompStatus.RECONNECTING, StompStatus.CONNECTED, StompStatus.DISCONNECTED];
    expect(served.items).toEqual(all);
    expect(called.items).toEqual(all);
    expect(listened).toBe(1);
  });

  test("on gives the client's events, whether registered before the connection or after; unwrap gives the client", async () => {
    const queue = named('queue');
    const states = new Seen<string>();
    const { app, strategy } = await prepare([echo(queue)], broker().reach);
    expect(() => strategy.unwrap()).toThrow('Not initialized. Please call the "listen"');
    strategy.on('state', (state) => states.add(`server ${state}`));
    await app.listen();
    const client = proxy(broker().reach);
    client.on('state', (state) => states.add(`client ${state}`));
    await client.connect();
    expect(states.items).toEqual(['server connecting', 'server connected', 'client connecting', 'client connected']);
    expect(strategy.unwrap<StompClient>().subscriptions.size).toBe(1);
    expect(app.unwrap()).toBe(strategy.unwrap());
  });

  test('of a list of URLs the next is taken when one fails, at the start and after a loss', async () => {
    const [first, second] = [await proxied(), await proxied()];
    const queue = named('queue');
    const url = [await deadUrl(), first.faults.url, second.faults.url];
    await serve(first.reach, [echo(queue)], { url });
    const client = proxy(first.reach, { url });
    expect(await last(client.send(queue, 1))).toBe(1);
    expect([first.faults.size, second.faults.size]).toEqual([2, 0]);
    const status = new Seen<string>();
    client.status.subscribe(status.add);
    first.faults.down();
    await status.until('the loss', (items) => items.includes('reconnecting'));
    expect(await last(client.send(queue, 2))).toBe(2);
    expect([first.faults.size, second.faults.size]).toEqual([0, 2]);
  });

  test('TLS: the certificate is verified, and what does not hold is an error', async () => {
    const pem = { cert: readFileSync(server.cert), key: readFileSync(server.key) };
    const { reach } = await proxied(pem);
    const queue = named('queue');
    const tls = { ca: readFileSync(authority.cert) };
    await serve(reach, [echo(queue)], { tls });
    expect(await last(proxy(reach, { tls }).send(queue, 'secret'))).toBe('secret');
    const trusting = proxy(reach, { maxConnectionAttempts: 1 });
    expect(await rejection(trusting.send(queue, 1))).toMatchObject({ message: expect.stringContaining('certificate') });
  });

  test('a strategy and clients share a connection, which ends with the last of them', async () => {
    const { faults, reach } = await proxied();
    const connection = new StompConnection({ ...reach, reconnect: PROMPT });
    const queue = named('queue');
    const { app } = await serve({}, [echo(queue)], { connection });
    const [one, two] = [proxy({}, { connection }), proxy({}, { connection })];
    expect(await Promise.all([one, two].map((client) => last(client.send(queue, 'x'))))).toEqual(['x', 'x']);
    expect(faults.size).toBe(1);
    await one.close();
    expect(await last(two.send(queue, 'y'))).toBe('y');
    await two.close();
    expect(connection.client.state).toBe('connected');
    await app.close();
    expect(connection.client.state).toBe('disconnected');
  });

  test('any number of clients share a connection, without a warning of too many listeners', async () => {
    const warnings = watchWarnings();
    const connection = new StompConnection(broker().reach);
    const queue = named('queue');
    await serve({}, [echo(queue)], { connection });
    const clients = Array.from({ length: 20 }, () => proxy({}, { connection }));
    const numbers = clients.map((_client, n) => n);
    expect(await Promise.all(clients.map((client, n) => last(client.send(queue, n))))).toEqual(numbers);
    expect(warnings).toEqual([]);
  });

  test('a handler may ask others over the connection that its own messages come by', async () => {
    const connection = new StompConnection(broker().reach);
    const [work, question] = [named('queue', 'work'), named('queue', 'question')];
    const [seen, go] = [new Seen<number>(), gate()];
    const client = proxy({}, { connection, requestTimeout: 5_000 });
    class Worker {
      @EventPattern(work, { concurrency: 1, prefetch: 300 }) async work(@Payload() n: number) {
        await go.promise;
        seen.add(await last(client.send<number>(question, n)));
      }
    }
    await serve({}, [Worker], { connection });
    await serve(broker().reach, [echo(question)]);
    const sender = proxy(broker().reach);
    await sender.connect();
    const arrived = new Seen<string>();
    connection.client.on('frame', ({ command }) => {
      if (command === 'MESSAGE') arrived.add(command);
    });
    await Promise.all(Array.from({ length: 300 }, (_, n) => last(sender.emit(work, n))));
    await arrived.count(300);
    go.open();
    expect((await seen.count(300)).length).toBe(300);
  });

  test('messages that are emitted while there is no connection wait, and go out in their order', async () => {
    const { faults, reach } = await proxied();
    const queue = named('queue');
    const seen = new Seen<number>();
    class Handlers {
      @EventPattern(queue, { concurrency: 1 }) handle(@Payload() n: number) {
        seen.add(n);
      }
    }
    await serve(broker().reach, [Handlers]);
    const client = proxy(reach);
    await client.connect();
    faults.down();
    const status = new Seen<string>();
    client.status.subscribe(status.add);
    await status.until('the loss', (items) => items.includes('reconnecting'));
    const emitted = Promise.all([1, 2, 3].map((n) => last(client.emit(queue, n))));
    expect(client.waitingMessages).toBe(3);
    faults.up();
    await emitted;
    expect(await seen.count(3)).toEqual([1, 2, 3]);
    expect(client.waitingMessages).toBe(0);
  });
});

describe('without a broker', () => {
  test('the first connection fails fast by option, for a service and for a client', async () => {
    const url = await deadUrl();
    const { app } = await prepare([], { url, maxConnectionAttempts: 2 });
    await expect(app.listen()).rejects.toThrow('no connection could be made in 2 attempts');
    const client = proxy({ url }, { maxConnectionAttempts: 1 });
    await expect(client.connect()).rejects.toThrow('no connection could be made');
    expect(await rejection(client.emit('/queue/a', 1))).toMatchObject({ code: 'connect-failed' });
  });

  test('without the option a service tries on, says so in its log, and listens once there is one', async () => {
    const scripted = await makeServer();
    const { port, url } = scripted;
    await scripted.close();
    const { app, log } = await prepare([], { url });
    const listening = app.listen();
    const warned = async () => {
      while (log.warnings.length < 2) await new Promise(setImmediate);
    };
    await within('warnings', warned());
    expect(log.warnings[0]).toContain(`cannot connect to 127.0.0.1:${port}`);
    const again = await makeServer(port);
    const { peer } = await again.handshake('1.2');
    await listening;
    void peer
      .take('DISCONNECT', ({ command }) => command === 'DISCONNECT')
      .then((frame) => {
        peer.send('RECEIPT', { 'receipt-id': frame.header('receipt')! });
        peer.end();
      });
    await app.close();
  });

  test('offline: false fails at once; else the wait is bounded in messages, octets and age', async () => {
    const url = await deadUrl();
    const at = (offline: false | object) => proxy({ url }, { offline, reconnect: { initialDelay: 10_000 } });
    expect(await rejection(at(false).emit('/queue/a', 1))).toMatchObject({ code: 'not-connected' });
    const few = at({ maxMessages: 2 });
    void rejection(few.emit('/queue/a', 1));
    void rejection(few.send('/queue/a', 1));
    expect(await rejection(few.emit('/queue/a', 1))).toMatchObject({ message: expect.stringContaining('offline') });
    const small = at({ maxBytes: 10 });
    void rejection(small.emit('/queue/a', '123456'));
    expect(await rejection(small.emit('/queue/a', '123456'))).toMatchObject({ code: 'not-connected' });
    expect(await rejection(at({ maxAge: 20 }).emit('/queue/a', 1))).toMatchObject({
      message: 'there was no connection to the broker for 20 ms',
    });
  });

  test('requestTimeout limits the wait for a connection too', async () => {
    const client = proxy({ url: await deadUrl() }, { requestTimeout: 20, reconnect: { initialDelay: 10_000 } });
    expect(await rejection(client.send('/queue/a', 1))).toMatchObject({ code: 'not-connected' });
    expect(client.waitingMessages).toBe(0);
  });

  test('a request that was given up while it waited is never sent', async () => {
    const client = proxy({ url: await deadUrl() });
    const subscription = client.send('/queue/a', 1).subscribe({ error: () => undefined });
    expect(client.waitingMessages).toBe(1);
    subscription.unsubscribe();
    expect(client.waitingMessages).toBe(0);
  });

  test('close fails what waits, and may be called twice, and before anything else', async () => {
    const client = proxy({ url: await deadUrl() });
    const failed = rejection(client.emit('/queue/a', 1));
    await Promise.all([client.close(), client.close()]);
    expect(await failed).toMatchObject({ code: 'not-connected' });
    const strategy = new StompStrategy({});
    await Promise.all([strategy.close(), strategy.close()]);
  });

  test('a client that gave up tries anew with the next message', async () => {
    const scripted = await makeServer();
    const client = proxy({ url: scripted.url }, { reconnect: false, offline: {} });
    const states = gate();
    client.status.subscribe((status) => {
      if (status === 'disconnected') states.open();
    });
    const connecting = client.connect();
    const { peer } = await scripted.handshake('1.2');
    await connecting;
    peer.destroy();
    await states.promise;
    const emitted = last(client.emit('/queue/a', 1));
    const { peer: again } = await scripted.handshake('1.2');
    const frame = await again.take('SEND', ({ command }) => command === 'SEND');
    again.send('RECEIPT', { 'receipt-id': frame.header('receipt')! });
    await emitted;
    again.destroy();
  });

  test('a message that the broker refuses is an error of the emit or send that sent it', async () => {
    const scripted = await makeServer();
    const client = proxy({ url: scripted.url });
    for (const call of [client.emit('/queue/secret', 1), client.send('/queue/secret', 1)]) {
      const failed = rejection(call);
      const { peer } = await scripted.handshake('1.2');
      const frame = await peer.take('SEND', ({ command }) => command === 'SEND');
      const receipt = frame.header('receipt');
      peer.send('ERROR', { ...(receipt === undefined ? {} : { 'receipt-id': receipt }), message: 'access refused' });
      peer.end();
      expect(await failed).toMatchObject({ message: expect.stringContaining('access refused') });
    }
    expect(client.pendingRequests).toBe(0);
  });

  test('a request asks for no receipt: its reply says more, and an ERROR fails it with the connection', async () => {
    const scripted = await makeServer();
    const failed = rejection(proxy({ url: scripted.url }).send('/queue/secret', 1));
    const { peer } = await scripted.handshake('1.2', { server: 'nestjs-stomp/1.0.0' });
    const frame = await peer.take('SEND', ({ command }) => command === 'SEND');
    expect(frame.header('receipt')).toBeUndefined();
    peer.send('ERROR', { message: 'access refused' });
    peer.end();
    expect(await failed).toMatchObject({
      message: 'the connection to the broker was lost: the server sent an ERROR: "access refused"',
      cause: { code: 'server-error' },
    });
  });

  test('where a connection survives an ERROR, it fails the request that it is about and no other', async () => {
    const scripted = await makeServer();
    const client = proxy({ url: scripted.url });
    const [secret, open] = [rejection(client.send('/queue/secret', 1)), rejection(client.send('/queue/open', 1))];
    const { peer } = await scripted.handshake('1.2', { server: 'ActiveMQ/5.17.2' });
    const frame = await peer.take('SEND', ({ command }) => command === 'SEND');
    peer.send('ERROR', { 'receipt-id': frame.header('receipt')!, message: 'access refused' });
    expect(await secret).toMatchObject({ code: 'server-error', message: expect.stringContaining('access refused') });
    expect(client.pendingRequests).toBe(1);
    await Promise.all([client.close(), answerDisconnect(peer)]);
    expect(await open).toMatchObject({ message: 'Connection closed' });
  });

  test('a subscription that the broker refuses fails listen', async () => {
    class Handlers {
      @EventPattern('/queue/secret') handle() {}
    }
    const scripted = await makeServer();
    const { app } = await prepare([Handlers], { url: scripted.url });
    const failed = failure(app.listen());
    const { peer } = await scripted.handshake('1.2');
    const frame = await peer.take('SUBSCRIBE', ({ command }) => command === 'SUBSCRIBE');
    peer.send('ERROR', { 'receipt-id': frame.header('receipt')!, message: 'access refused' });
    peer.end();
    expect((await failed).message).toContain('access refused');
  });

  test('a prefetch that makes no sense fails listen, and names the handler', async () => {
    class Handlers {
      @EventPattern('/queue/a', { prefetch: 0 }) handle() {}
    }
    const scripted = await makeServer();
    const { app } = await prepare([Handlers], { url: scripted.url });
    const failed = failure(app.listen());
    const { peer } = await scripted.handshake('1.2');
    const answered = answerDisconnect(peer);
    expect((await failed).message).toBe(
      'the prefetch of the handler of "/queue/a" has to be a whole number, 1 or more',
    );
    await answered;
  });

  test('prefetch bounds the handlers that run where the broker does not heed it', async () => {
    const [seen, go] = [new Seen<number>(), gate()];
    class Handlers {
      @EventPattern('/queue/a', { prefetch: 2 }) async handle(@Ctx() context: StompContext) {
        seen.add(Number(context.getHeaders()['message-id']!.slice('id-'.length)));
        await go.promise;
      }
    }
    const scripted = await makeServer();
    const { app, strategy } = await prepare([Handlers], { url: scripted.url });
    const listening = app.listen();
    const { peer } = await scripted.handshake('1.2');
    const subscribe = await takeAndConfirm(peer, 'SUBSCRIBE');
    await listening;
    for (const n of [1, 2, 3, 4]) deliver(peer, subscribe.header('id')!, n);
    await settle(strategy.unwrap(), peer);
    expect(seen.items).toEqual([1, 2]);
    go.open();
    expect(await seen.count(4)).toEqual([1, 2, 3, 4]);
    peer.destroy();
  });

  test('the options of the connection go out with CONNECT', async () => {
    const scripted = await makeServer();
    const client = proxy(
      { url: scripted.url },
      {
        login: 'orders',
        passcode: 'secret',
        host: 'shop',
        heartbeat: { outgoing: 1_000, incoming: 2_000 },
        connectHeaders: { 'x-team': 'blue' },
        clientId: 'orders-1',
        headers: { 'not-in': 'CONNECT' },
      },
    );
    const connecting = client.connect();
    const { peer, connect } = await scripted.handshake('1.2');
    await connecting;
    expect(Object.fromEntries(connect.headers)).toEqual({
      'accept-version': '1.0,1.1,1.2',
      host: 'shop',
      login: 'orders',
      passcode: 'secret',
      'heart-beat': '1000,2000',
      'x-team': 'blue',
      'client-id': 'orders-1',
    });
    peer.destroy();
  });
});
