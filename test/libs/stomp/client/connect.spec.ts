import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type Duplex, PassThrough } from 'node:stream';
import { type AddressInfo } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import {
  ConnectFailedError,
  ProtocolError,
  RefusedError,
  StompClient,
  type StompClientOptions,
} from 'nestjs-stomp/client';
import { Certificates } from '../../../support/certificates.js';
import {
  connectPair,
  failure,
  gate,
  makeClient,
  makeServer,
  stateOf,
  takeAndConfirm,
  watchErrors,
  watchStates,
  within,
} from '../../../support/client.js';
import { RawPeer } from '../../../support/raw.js';
import { type ScriptedServer } from '../../../support/scripted.js';
import { type Headers, type RawFrame } from '../../../support/wire.js';

const take = (peer: RawPeer, command: string) => peer.take(command, (got) => got.command === command);

/** The first frame of a client with these options. */
async function greeting(options: StompClientOptions, credentials = '', path = ''): Promise<RawFrame> {
  const server = await makeServer();
  const client = makeClient({ url: server.url.replace('//', `//${credentials}`) + path, ...options });
  const opened = client.connect();
  const { connect } = await server.handshake('1.2');
  await opened;
  return connect;
}

const said = (connect: RawFrame, ...names: string[]) => names.map((name) => connect.header(name));

/** A connection attempt that the test answers, and the promise of `connect`. */
async function attempt(options: StompClientOptions = {}) {
  const server = await makeServer();
  const client = makeClient({ url: server.url, ...options });
  const opened = client.connect();
  opened.catch(() => undefined);
  const peer = await server.accept();
  await take(peer, 'CONNECT');
  return { server, client, opened, peer };
}

const refuse = async (server: ScriptedServer, headers: Headers, body = '') => {
  const peer = await server.accept();
  await take(peer, 'CONNECT');
  peer.send('ERROR', headers, body);
};

describe('the CONNECT frame', () => {
  it('offers all versions and heart-beats of ten seconds unless told otherwise', async () => {
    const { raw } = await greeting({});
    expect(raw.toString().replace(/\n$/, '')).toBe(
      'CONNECT\naccept-version:1.0,1.1,1.2\nhost:127.0.0.1\nheart-beat:10000,10000\n\n\0',
    );
  });

  it.each([
    [['1.0'], '1.0'],
    [['1.2', '1.1'], '1.1,1.2'],
    [['1.2', '1.2'], '1.2'],
  ] as const)('offers %j as %s', async (versions, offer) => {
    const server = await makeServer();
    void makeClient({ url: server.url, versions }).connect();
    const peer = await server.accept();
    expect((await take(peer, 'CONNECT')).header('accept-version')).toBe(offer);
    peer.write(`CONNECTED\nversion:${versions[0]}\n\n\0`);
  });

  it('carries credentials as they are, without escapes', async () => {
    const { lines } = await greeting({ login: 'a:b', passcode: 'c\\d:e\\n' });
    expect(lines).toContain('login:a:b');
    expect(lines).toContain('passcode:c\\d:e\\n');
  });

  it('takes credentials and the virtual host from the URL, percent-decoded', async () => {
    const connect = await greeting({}, 'anna%40home:p%3Aw%2F%C3%BC@', '/%2F');
    expect(said(connect, 'login', 'passcode', 'host')).toEqual(['anna@home', 'p:w/ü', '/']);
  });

  it('prefers the options to the URL', async () => {
    const connect = await greeting({ login: 'bob', passcode: 'other', host: 'v2' }, 'anna:secret@', '/v1');
    expect(said(connect, 'login', 'passcode', 'host')).toEqual(['bob', 'other', 'v2']);
  });

  it('never sends the passcode of the URL with the login of the options', async () => {
    expect(said(await greeting({ login: 'bob' }, 'anna:secret@'), 'login', 'passcode')).toEqual(['bob', undefined]);
    expect(said(await greeting({ passcode: 'new' }, 'anna:old@'), 'login', 'passcode')).toEqual(['anna', 'new']);
  });

  it('carries further headers, of which none replaces one of the protocol', async () => {
    const headers = { 'client-id': 'c1', host: 'evil', 'accept-version': '9', login: 'x', receipt: 'r' };
    const connect = await greeting({ headers });
    expect(connect.headers.map(([name]) => name)).toEqual(['accept-version', 'host', 'heart-beat', 'client-id']);
    expect(connect.header('host')).toBe('127.0.0.1');
  });

  it.each([
    ['login', { login: 'a\nadmin:true' }],
    ['passcode', { passcode: 'pass\r\nword' }],
    ['host', { host: 'v\0' }],
    ['note', { headers: { note: 'a\nb' } }],
    ['login', { login: 'a', headers: { 'x\nlogin': 'b' } }],
  ])('cannot be given a line of its own by %s', async (name, options) => {
    const server = await makeServer();
    const client = makeClient({ url: server.url, ...options });
    const error = await failure(client.connect());
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toContain(name);
    expect(error.message).not.toContain('word');
    expect((await server.accept()).received.toString()).toBe('');
    expect(client.state).toBe('disconnected');
  });
});

describe('a passcode function', () => {
  it('is asked at each connection', async () => {
    let asked = 0;
    const passcode = () => Promise.resolve(`token-${++asked}`);
    const { server, peer, client, connect } = await connectPair('1.2', { login: 'anna', passcode });
    expect(connect.header('passcode')).toBe('token-1');
    peer.destroy();
    expect((await server.handshake('1.2')).connect.header('passcode')).toBe('token-2');
    await stateOf(client, 'connected');
  });

  it('that fails counts as a failed attempt', async () => {
    let asked = 0;
    const passcode = () => {
      if (++asked < 3) throw new Error('no token yet');
      return 'token';
    };
    const { connect } = await connectPair('1.2', { passcode });
    expect(connect.header('passcode')).toBe('token');
    expect(asked).toBe(3);

    const error = await failure(
      makeClient({ passcode: () => Promise.reject(new TypeError('down')), reconnect: false }).connect(),
    );
    expect(error.message).toContain('the passcode could not be had: down');
  });

  it('that never answers does not hold up disconnect', async () => {
    const asked = gate();
    const client = makeClient({
      passcode: () => {
        asked.open();
        return new Promise<string>(() => undefined);
      },
    });
    const opened = failure(client.connect());
    await asked.promise;
    await within('disconnect', client.disconnect());
    expect((await opened).message).toContain('disconnected before it was connected');
  });
});

describe('what is slow', () => {
  it('to connect is given up after connectTimeout, and the stream closed that comes too late', async () => {
    const late = gate<Duplex>();
    const client = makeClient({ dial: () => late.promise, connectTimeout: 20, reconnect: false });
    const error = await failure(client.connect());
    expect(error).toBeInstanceOf(ConnectFailedError);
    expect(error.message).toContain('no answer in 20 ms');
    const stream = new PassThrough();
    late.open(stream);
    await once(stream, 'close');
  });

  it('in its TLS handshake is given up, too', async () => {
    const server = await makeServer();
    const url = server.url.replace('stomp:', 'stomp+tls:');
    const error = await failure(makeClient({ url, connectTimeout: 50, reconnect: false }).connect());
    expect(error.message).toContain(`cannot connect to 127.0.0.1:${server.port}: no answer in 50 ms`);
  });

  it('to answer CONNECT is given up after connectedTimeout', async () => {
    const { client, server, opened } = await attempt({ connectedTimeout: 50 });
    const peer = await server.accept();
    expect(client.state).toBe('connecting');
    await take(peer, 'CONNECT');
    peer.write('CONNECTED\nversion:1.2\n\n\0');
    await opened;

    const silent = await attempt({ connectedTimeout: 20, reconnect: false });
    expect((await failure(silent.opened)).message).toContain('did not answer CONNECT within 20 ms');
  });
});

describe('a refusal', () => {
  it('of credentials ends the search', async () => {
    const { client, opened, peer } = await attempt();
    const states = watchStates(client);
    peer.send('ERROR', { message: 'Bad CONNECT' }, 'Access refused for user anna\nsee the log');
    const error = await failure(opened);
    expect(error).toBeInstanceOf(RefusedError);
    expect(error).toMatchObject({ code: 'refused', transient: false });
    expect((error as RefusedError).frame.headers.get('message')).toBe('Bad CONNECT');
    expect(error.message).toContain('Access refused for user anna');
    expect(error.message).not.toContain('\n');
    expect(client.reason).toBe(error);
    expect(states).toEqual([{ state: 'disconnected', reason: error.message }]);
    await peer.closed();
  });

  it('ends the search even where the list of URLs goes on', async () => {
    const [first, second] = [await makeServer(), await makeServer()];
    const opened = failure(makeClient({ url: [first.url, second.url] }).connect());
    await refuse(first, { message: 'Bad CONNECT' });
    expect(await opened).toBeInstanceOf(RefusedError);
  });

  it('does not when onRefused says so', async () => {
    const refusals: RefusedError[] = [];
    const onRefused = (error: RefusedError) => refusals.push(error) < 3;
    const server = await makeServer();
    const client = makeClient({ url: server.url, reconnect: { initialDelay: 1, onRefused } });
    const opened = failure(client.connect());
    for (let i = 1; i <= 3; i++) await refuse(server, { message: `no ${i}` });
    expect((await opened).message).toContain('no 3');
    expect(refusals).toHaveLength(3);
  });

  it.each(['server is shutting down', 'Too many connections', 'starting, try again later', 'vhost unavailable'])(
    'that says "%s" is passing',
    async (message) => {
      const server = await makeServer();
      const client = makeClient({ url: server.url });
      const opened = client.connect();
      await refuse(server, { message });
      await server.handshake('1.2');
      await opened;
    },
  );

  it('of a client that was connected ends the client and its subscriptions', async () => {
    const { client, server, peer } = await connectPair();
    const errors = watchErrors(client);
    const subscription = client.subscribe('/queue/a');
    await takeAndConfirm(peer, 'SUBSCRIBE');
    const loop = subscription[Symbol.asyncIterator]();
    const next = failure(loop.next());
    peer.destroy();
    await refuse(server, { message: 'Bad CONNECT' });
    expect(await stateOf(client, 'disconnected')).toBeInstanceOf(RefusedError);
    expect(await next).toBeInstanceOf(RefusedError);
    await expect(loop.next()).resolves.toEqual({ done: true, value: undefined });
    expect(subscription.active).toBe(false);
    expect(client.subscriptions.size).toBe(0);
    expect(errors).toEqual([client.reason]);
  });
});

describe('an answer to CONNECT', () => {
  it.each([
    ['of a version not offered', 'CONNECTED\nversion:1.1\n\n\0', 'STOMP "1.1", which was not offered: 1.2'],
    ['of a version that there is not', 'CONNECTED\nversion:2.0\n\n\0', 'STOMP "2.0"'],
    ['without a version, when 1.0 was not offered', 'CONNECTED\nsession:x\n\n\0', 'STOMP "1.0"'],
    ['whose heart-beat makes no sense', 'CONNECTED\nversion:1.2\nheart-beat:soon\n\n\0', 'heart-beat'],
    ['that is another frame', 'MESSAGE\nmessage-id:1\n\n\0', 'with "MESSAGE" instead of CONNECTED'],
    ['that is no frame', 'HTTP/1.1 400 Bad Request\r\n\r\n\0', 'HTTP'],
    ['with a header line that is none', 'CONNECTED\nversion\n\n\0', 'malformed'],
    ['that goes on and on', `CONNECTED\nversion:1.2\n\n${'x'.repeat(70_000)}`, 'malformed'],
  ])('%s fails the attempt', async (_what, octets, text) => {
    const { client, opened, peer } = await attempt({
      versions: ['1.2'],
      reconnect: { initialDelay: 1, maxAttempts: 1 },
    });
    peer.write(octets);
    const error = await failure(opened);
    expect(error).toBeInstanceOf(ConnectFailedError);
    expect((error as ConnectFailedError).errors[0]).toBeInstanceOf(ProtocolError);
    expect(error.message).toContain(text);
    expect(client.state).toBe('disconnected');
  });

  it('may come octet by octet, with carriage returns', async () => {
    const { client, opened, peer } = await attempt();
    await peer.drip('\nCONNECTED\r\nversion:1.2\r\nserver:Any/1.0\r\nsession:a:b\\n\r\n\r\n\0');
    await opened;
    expect([client.version, client.server, client.sessionId]).toEqual(['1.2', 'Any/1.0', 'a:b\\n']);
  });

  it('may be followed by an ERROR in the same segment', async () => {
    const { client, server, peer } = await attempt();
    const errors = watchErrors(client);
    peer.write('CONNECTED\nversion:1.2\n\n\0ERROR\nmessage:on second thoughts\n\n\0');
    await server.handshake('1.2');
    await stateOf(client, 'connected');
    expect(errors.map(({ message }) => message)).toEqual([expect.stringContaining('on second thoughts')]);
  });

  it('that is the end of the connection fails the attempt', async () => {
    const { opened, peer } = await attempt({ reconnect: false });
    peer.end();
    expect((await failure(opened)).message).toContain('the server closed the connection');
  });
});

describe('a connected client', () => {
  it('says where and to whom', async () => {
    const server = await makeServer();
    const client = makeClient({ url: server.url.replace('//', '//anna:secret@') });
    expect([client.url, client.version, client.server, client.sessionId, client.writable]).toEqual([
      ...[undefined, undefined, undefined, undefined, false],
    ]);
    const opened = client.connect();
    await server.handshake('1.1', { server: 'Any/1.0', session: 's-1' });
    await opened;
    expect([client.url, client.version, client.server, client.sessionId, client.writable]).toEqual([
      ...[server.url, '1.1', 'Any/1.0', 's-1', true],
    ]);
  });

  it('is connected once, however often it is asked to', async () => {
    const server = await makeServer();
    const client = makeClient({ url: server.url });
    const opened = [client.connect(), client.connect()];
    await server.handshake('1.2');
    await Promise.all(opened);
    await client.connect();
    expect(client.state).toBe('connected');
  });
});

describe('over TLS', () => {
  const certificates = new Certificates();
  let server: ReturnType<typeof createTlsServer>;
  let ca: Buffer;
  const url = (host: string) => `stomp+tls://${host}:${(server.address() as AddressInfo).port}`;

  beforeAll(async () => {
    const authority = certificates.authority();
    const { cert, key } = certificates.issue('server', authority, ['DNS:localhost']);
    ca = readFileSync(authority.cert);
    server = createTlsServer({ cert: readFileSync(cert), key: readFileSync(key) }, (socket) => {
      const peer = new RawPeer(socket);
      void take(peer, 'CONNECT').then(
        () => peer.write('CONNECTED\nversion:1.2\n\n\0'),
        () => undefined,
      );
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
  });

  afterAll(() => {
    server.close();
    certificates.remove();
  });

  it.each(['stomp+tls', 'stomp+ssl'])('%s:// connects to a server whose certificate holds', async (scheme) => {
    const client = makeClient({ url: url('localhost').replace('stomp+tls', scheme), tls: { ca } });
    await client.connect();
    expect(client.url).toBe(url('localhost'));
  });

  it('a certificate that nobody vouches for is not accepted', async () => {
    const error = await failure(makeClient({ url: url('localhost'), reconnect: false }).connect());
    expect(error.message).toMatch(/cannot connect to localhost.*(certificate|self.signed)/);
  });

  it('nor one for another name', async () => {
    const error = await failure(makeClient({ url: url('127.0.0.1'), tls: { ca }, reconnect: false }).connect());
    expect(error.message).toContain('cannot connect to 127.0.0.1');
    expect(error.message).toMatch(/altnames/i);
  });

  it('unless that is asked for', async () => {
    await makeClient({ url: url('127.0.0.1'), tls: { rejectUnauthorized: false } }).connect();
  });
});

describe('options that make no sense are refused by name:', () => {
  it.each<[string, StompClientOptions]>([
    ['url', { url: [] }],
    ['scheme', { url: 'http://localhost' }],
    ['percent', { url: 'stomp://anna:100%@localhost' }],
    ['versions', { versions: [] }],
    ['heartbeat.outgoing', { heartbeat: { outgoing: -1 } }],
    ['heartbeat.incoming', { heartbeat: { incoming: 1.5 } }],
    ['heartbeatTolerance', { heartbeatTolerance: 0.5 }],
    ['connectTimeout', { connectTimeout: -1 }],
    ['connectedTimeout', { connectedTimeout: Number.NaN }],
    ['receiptTimeout', { receiptTimeout: '5' as unknown as number }],
    ['maxReceipts', { maxReceipts: 0 }],
    ['highWaterMark', { highWaterMark: 0 }],
    ['reconnect.initialDelay', { reconnect: { initialDelay: -1 } }],
    ['reconnect.maxDelay', { reconnect: { maxDelay: -1 } }],
    ['reconnect.factor', { reconnect: { factor: 0.5 } }],
    ['reconnect.jitter', { reconnect: { jitter: 2 } }],
    ['reconnect.maxAttempts', { reconnect: { maxAttempts: 0 } }],
  ])('%s', (name, options) => {
    expect(() => new StompClient(options)).toThrow(TypeError);
    expect(() => new StompClient(options)).toThrow(name);
  });

  it('undefined counts as not given', () => {
    const options = { url: undefined, heartbeat: undefined, reconnect: undefined, receiptTimeout: undefined };
    expect(() => new StompClient(options as unknown as StompClientOptions)).not.toThrow();
  });
});
