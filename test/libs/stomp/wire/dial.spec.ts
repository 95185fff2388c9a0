import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { dial, type DialOptions } from 'nestjs-stomp/wire';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { connect as connectTls, createServer as createTlsServer, type TlsOptions, type TLSSocket } from 'node:tls';
import { Certificates, type Pem } from '../../../support/certificates.js';

const certificates = new Certificates();
const servers: Server[] = [];
const sockets = new Set<Socket>();
let ca: Pem;
let localhost: Pem;
let elsewhere: Pem;
let client: Pem;

beforeAll(() => {
  ca = certificates.authority();
  localhost = certificates.issue('localhost', ca);
  elsewhere = certificates.issue('elsewhere', ca, ['DNS:elsewhere.test']);
  client = certificates.issue('somebody', ca);
});
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  for (const server of servers.splice(0)) server.close();
});
afterAll(() => certificates.remove());

const pem = ({ cert, key }: Pem) => ({ cert: readFileSync(cert), key: readFileSync(key) });
const trusted = () => ({ ca: readFileSync(ca.cert) });

async function listen(server: Server): Promise<number> {
  servers.push(server);
  const keep = (socket: Socket) => sockets.add(socket.on('error', () => undefined));
  server
    .on('connection', keep)
    .on('secureConnection', keep)
    .on('tlsClientError', () => undefined);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return (server.address() as AddressInfo).port;
}

const secure = (certificate: Pem, options: TlsOptions = {}) =>
  listen(createTlsServer({ ...pem(certificate), ...options }, (socket) => socket.write('hello')));

async function connect(port: number, isSecure: boolean, options: DialOptions = {}, host = '127.0.0.1') {
  const socket = await dial({ secure: isSecure, host, port }, options);
  sockets.add(socket.on('error', () => undefined));
  return socket;
}

const first = async (socket: Socket) => String(((await once(socket, 'data')) as [Buffer])[0]);

describe('over TCP', () => {
  it('gives a socket that still waits to be read', async () => {
    const port = await listen(createServer((socket) => socket.write('hello')));
    expect(await first(await connect(port, false))).toBe('hello');
  });

  it('a refused connection names the address and the reason', async () => {
    const server = createServer();
    const port = await listen(server);
    server.close();
    await once(server, 'close');
    await expect(connect(port, false)).rejects.toThrow(`cannot connect to 127.0.0.1:${port}: connect ECONNREFUSED`);
  });

  it('an unknown host is named', async () => {
    await expect(connect(61613, false, {}, 'nowhere.invalid')).rejects.toThrow(
      /^cannot connect to nowhere\.invalid:61613: /,
    );
  });

  it('an IPv6 address is shown in brackets', async () => {
    await expect(connect(1, false, {}, '::1')).rejects.toThrow(/^cannot connect to \[::1\]:1: /);
  });

  it('one that is given up beforehand is not begun', async () => {
    const port = await listen(createServer());
    await expect(connect(port, false, { signal: AbortSignal.abort() })).rejects.toThrow('given up');
    expect(sockets.size).toBe(0);
  });
});

describe('over TLS', () => {
  it('takes a server whose certificate and name hold', async () => {
    const port = await secure(localhost);
    const socket = (await connect(port, true, { tls: trusted() }, 'localhost')) as TLSSocket;
    expect(socket.authorized).toBe(true);
    expect(await first(socket)).toBe('hello');
  });

  it('takes one by its address, too', async () => {
    const port = await secure(localhost);
    expect(await first(await connect(port, true, { tls: trusted() }))).toBe('hello');
  });

  it('refuses one that nobody vouches for', async () => {
    await expect(connect(await secure(localhost), true)).rejects.toThrow(/certificate|issuer/i);
  });

  it('refuses one that vouches for itself', async () => {
    await expect(connect(await secure(ca), true)).rejects.toThrow(/self-signed/);
  });

  it('says so where no TLS is spoken', async () => {
    const port = await listen(createServer((socket) => socket.write('ERROR\nmessage:what is this\n\n\0')));
    await expect(connect(port, true)).rejects.toThrow(
      `cannot connect to 127.0.0.1:${port}: what answers there does not speak TLS: use its port for TLS`,
    );
  });

  it('refuses one of another name', async () => {
    const port = await secure(elsewhere);
    await expect(connect(port, true, { tls: trusted() }, 'localhost')).rejects.toThrow(/altnames|does not match/i);
  });

  it('shows its own certificate where one is given', async () => {
    const server = createTlsServer({ ...pem(localhost), ...trusted(), requestCert: true }, (socket) =>
      socket.write(String(socket.getPeerCertificate().subject.CN)),
    );
    const port = await listen(server);
    const socket = await connect(port, true, { tls: { ...trusted(), ...pem(client) } });
    expect(await first(socket)).toBe('somebody');
  });

  it('is cut off without one where the server wants one', async () => {
    const port = await secure(localhost, { ...trusted(), requestCert: true, maxVersion: 'TLSv1.2' });
    await expect(connect(port, true, { tls: trusted() })).rejects.toThrow(/^cannot connect to /);
  });

  it('refuses TLS 1.1', async () => {
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
    const port = await secure(localhost, old);
    await expect(connect(port, true, { tls: trusted() })).rejects.toThrow(/^cannot connect to .*(version|alert)/);
    // The server does speak 1.1, to whoever asks for it.
    const lenient = connectTls({ port, host: '127.0.0.1', ...trusted(), ...old });
    sockets.add(lenient);
    await once(lenient, 'secureConnect');
    expect(lenient.getProtocol()).toBe('TLSv1.1');
  });

  it('gives up a server that does not answer in time', async () => {
    const port = await listen(createServer());
    await expect(connect(port, true, { connectTimeout: 50 })).rejects.toThrow(
      `cannot connect to 127.0.0.1:${port}: no answer in 50 ms`,
    );
  });

  it('gives up at once when told so', async () => {
    const server = createServer();
    const port = await listen(server);
    const giveUp = new AbortController();
    const dialed = connect(port, true, { signal: giveUp.signal });
    server.once('connection', () => giveUp.abort());
    await expect(dialed).rejects.toThrow(`the connection to 127.0.0.1:${port} was given up`);
  });

  it('a server that closes in the handshake is told from one that refuses', async () => {
    const port = await listen(createServer((socket) => socket.destroy()));
    await expect(connect(port, true)).rejects.toThrow(/^cannot connect to 127\.0\.0\.1:\d+: /);
  });
});
