import { afterAll, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { Certificates } from '../../../support/certificates.js';
import { RawPeer } from '../../../support/raw.js';
import { handshake, TestBroker, TestServer, watch } from '../../../support/server.js';

const certificates = new Certificates();
const ca = certificates.authority();
const files = certificates.issue('server', ca);
const tls = { cert: readFileSync(files.cert), key: readFileSync(files.key) };
afterAll(() => certificates.remove());

const dial = async (port: number, host?: string) => watch(await RawPeer.connect(port, host));

describe('a listener', () => {
  it('takes a free port for 0, and tells where it is', async () => {
    const { server } = new TestServer(new TestBroker());
    expect(server.urls).toEqual([]);
    const one = await server.listen({ port: 0 });
    const two = await server.listen({ port: 0, host: '::1' });
    expect(one.url).toBe(`stomp://127.0.0.1:${one.port}`);
    expect(two.url).toBe(`stomp://[::1]:${two.port}`);
    expect(server.urls).toEqual([one.url, two.url]);
    for (const [port, host] of [
      [one.port, '127.0.0.1'],
      [two.port, '::1'],
    ] as const) {
      expect((await handshake(await dial(port, host))).command).toBe('CONNECTED');
    }
  });

  it('on every interface hears IPv4 and IPv6; IPv4 addresses look like what they are', async () => {
    const server = new TestServer(new TestBroker());
    const { port } = await server.server.listen({ port: 0, host: '::' });
    for (const host of ['127.0.0.1', '::1']) await handshake(await dial(port, host));
    expect([...server.server.sessions].map(({ address }) => address)).toEqual(['127.0.0.1', '::1']);
  });

  it('rejects when the port is in use; the server can listen elsewhere', async () => {
    const other = createServer();
    await once(other.listen(0, '127.0.0.1'), 'listening');
    const { server } = new TestServer(new TestBroker());
    const { port } = other.address() as AddressInfo;
    await expect(server.listen({ port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await server.listen({ port: 0 });
    other.close();
  });

  it('speaks TLS when it has a certificate', async () => {
    const { server } = new TestServer(new TestBroker());
    const { port, url } = await server.listen({ port: 0, tls });
    expect(url).toBe(`stomp+tls://127.0.0.1:${port}`);
    const socket = connectTls({ port, host: '127.0.0.1', ca: readFileSync(ca.cert) });
    const peer = watch(new RawPeer(socket));
    await handshake(peer);
    expect([...server.sessions][0]?.address).toBe('127.0.0.1');
  });

  it('answers a client that has ended its side, over TLS as well', async () => {
    const broker = new TestBroker(false);
    const { server } = new TestServer(broker);
    const { port } = await server.listen({ port: 0, tls });
    const peer = watch(new RawPeer(connectTls({ port, host: '127.0.0.1', ca: readFileSync(ca.cert) })));
    await handshake(peer);
    peer.send('SEND', { destination: '/queue/a', receipt: 'r' });
    await broker.untilSent(1);
    peer.end();
    const { session, done } = broker.sent[0]!;
    while (session.connected) await setImmediate();
    done!();
    await peer.receipt('r');
    await peer.closed();
  });

  it('survives a client that speaks plain text to TLS, and logs it', async () => {
    const lines: string[] = [];
    const log = { level: 2, log: (_level: number, line: string) => void lines.push(line) };
    const { server } = new TestServer(new TestBroker(), { log });
    const { port } = await server.listen({ port: 0, tls });
    const peer = await dial(port);
    peer.write('CONNECT\naccept-version:1.2\nhost:h\n\n\0');
    await peer.closed().catch(() => undefined);
    expect(lines.join()).toContain('127.0.0.1 TLS handshake failed');
    watch(new RawPeer(connectTls({ port, host: '127.0.0.1', ca: readFileSync(ca.cert) })));
  });
});

describe('maxConnections', () => {
  it('answers one more with ERROR, and takes another once there is room', async () => {
    const server = new TestServer(new TestBroker(), { maxConnections: 2 });
    const port = await server.listen();
    const [first] = [await dial(port), await dial(port)];
    await handshake(first);
    const third = await dial(port);
    const error = await third.refused();
    expect(error.header('message')).toBe('too many connections');
    expect(error.text).toContain('2 connections');
    first.end();
    await first.closed();
    await handshake(await dial(port));
  });

  it('cuts a refused client that goes on talking', async () => {
    const port = await new TestServer(new TestBroker(), { maxConnections: 0 }).listen();
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    const talk = setInterval(() => socket.write('\n'), 20);
    // What it writes after the cut fails: only the end of the connection is of interest.
    socket.on('error', () => undefined).resume();
    await new Promise((resolve) => socket.on('close', resolve));
    clearInterval(talk);
  });
});

describe('admits', () => {
  it('turns an address away without an answer', async () => {
    const asked: string[] = [];
    const admits = (address: string) => asked.push(address) > 1;
    const server = new TestServer(new TestBroker(), { admits });
    const port = await server.listen();
    const refused = await dial(port);
    await refused.closed().catch(() => undefined);
    expect(refused.received).toHaveLength(0);
    await handshake(await dial(port));
    expect(asked).toEqual(['127.0.0.1', '127.0.0.1']);
  });
});

describe('close', () => {
  it('stops listening, tells every session why, and waits until they are over', async () => {
    const broker = new TestBroker();
    const server = new TestServer(broker);
    const port = await server.listen();
    const connected = await dial(port);
    await handshake(connected);
    const opening = await dial(port);
    opening.write('CONN');
    const inMemory = (await server.connect()).peer;
    await broker.until('three sessions', () => server.server.sessions.size === 3);
    const closed = server.server.close();
    for (const peer of [connected, opening, inMemory]) {
      expect((await peer.refused()).header('message')).toBe('server is shutting down');
      peer.end();
    }
    await closed;
    expect(server.server.sessions.size).toBe(0);
    expect(server.server.urls).toEqual([]);
    await expect(RawPeer.connect(port)).rejects.toThrow('ECONNREFUSED');
  });

  it('cuts off at the deadline whoever does not end', async () => {
    const server = new TestServer(new TestBroker());
    const peer = await server.dial();
    const began = performance.now();
    await server.server.close(50);
    expect(performance.now() - began).toBeLessThan(1_500);
    await peer.take('ERROR', ({ command }) => command === 'ERROR');
  });

  it('does not wait for TLS handshakes that never come', async () => {
    const { server } = new TestServer(new TestBroker());
    const { port } = await server.listen({ port: 0, tls });
    const peer = await dial(port);
    await expect(server.close(50)).resolves.toBeUndefined();
    await peer.closed().catch(() => undefined);
  });

  it('can be asked for more than once, also at the same time', async () => {
    const server = new TestServer(new TestBroker());
    const peer = await server.dial();
    const all = Promise.all([server.server.close(), server.server.close()]);
    await peer.refused();
    peer.end();
    await all;
    await server.server.close();
  });
});
