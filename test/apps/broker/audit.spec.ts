import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { AuditEvent } from 'nestjs-stomp-broker';
import { Flood } from '../../../apps/broker/src/flood.js';
import { Certificates, type Pem } from '../../support/certificates.js';
import { deadUrl } from '../../support/client.js';
import { as, Files, serve } from '../../support/stompserver.js';

// Each test runs whole processes, maybe beside others that do.
jest.setTimeout(120_000);

const files = new Files();
afterAll(() => files.remove());

type Line = Record<string, unknown>;

/** A broker with an audit log, and how to end it and read that. */
async function audited(...options: string[]) {
  const log = files.make('');
  const server = await serve('--audit-log', log, ...options);
  const lines = async () => {
    await server.program.stop();
    const text = readFileSync(log, 'utf8');
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Line);
  };
  return { ...server, lines };
}

/** Until the other side has ended or cut the connection. */
async function gone(socket: Socket): Promise<void> {
  socket.on('error', () => undefined).resume();
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
}

describe('a refused connection is a line of the audit log', () => {
  it('where its address may not connect', async () => {
    const { port, lines } = await audited('--deny', '127.0.0.1');
    await gone(connectTcp(port, '127.0.0.1'));
    const refused = { event: 'connection refused', address: '127.0.0.1', error: 'address not allowed' };
    expect(await lines()).toEqual([expect.objectContaining(refused)]);
  });

  it.each(['--max-per-address', '--max-connections'])('where it is one too many for %s', async (limit) => {
    const { connect, open, lines } = await audited('--users', 'ann:one', limit, '1');
    await connect(as('ann', 'one'));
    await (await open()).refused();
    expect(await lines()).toEqual([
      expect.objectContaining({ event: 'connected', user: 'ann' }),
      expect.objectContaining({
        event: 'connection refused',
        address: '127.0.0.1',
        error: 'too many connections',
        reason: expect.stringContaining('1 connections, the limit') as unknown,
      }),
    ]);
  });

  it('where it wants a virtual host that there is not', async () => {
    const { refusal, lines } = await audited('--users', 'ann:one', '--vhosts', 'example.com');
    await refusal({ ...as('ann', 'hunter2'), host: 'elsewhere\u202e' });
    const [line, ...others] = await lines();
    expect(line).toMatchObject({ event: 'connection refused', address: '127.0.0.1', error: 'unknown virtual host' });
    expect(line!.reason).toBe('the virtual host "elsewhere\\u202e" does not exist here');
    expect(others).toEqual([]);
  });

  it('with the login that it came with, but no token that stands there, which no log shows either', async () => {
    const token = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl';
    const server = await audited('--users', 'ann:one', '--verbose', '5');
    for (const login of ['ann', token]) await server.refusal(as(login, 'two'));
    expect((await server.lines()).map(({ user }) => user)).toEqual(['ann', '(a token)']);
    expect(server.program.stderr).toContain('"login": ***');
    expect(server.program.stderr).not.toContain('eyJ');
  });

  it('where it says nothing in time, or no STOMP: without what was said, a passcode maybe', async () => {
    const { open, lines } = await audited('--users', 'ann:one', '--login-timeout', '300');
    await (await open()).refused();
    const wrong = await open();
    wrong.write('CONNECT\npasscode-hunter2\n\n\0');
    await wrong.refused();
    const web = await open();
    web.write('GET / HTTP/1.1\r\n\r\n');
    await web.closed().catch(() => undefined);
    expect((await lines()).map(({ error, reason }) => [error, reason])).toEqual([
      ['login timeout', 'no session was opened within 300 ms'],
      ['malformed frame', 'header-malformed'],
      ['malformed frame', 'not-stomp'],
    ]);
  });

  it('where a proxy does not say whose it is', async () => {
    const { open, lines } = await audited('--users', 'ann:one', '--proxy-protocol', '127.0.0.1');
    const peer = await open();
    peer.write('CONNECT\n\n\0');
    await peer.closed().catch(() => undefined);
    const refused = { event: 'connection refused', address: '127.0.0.1', error: 'malformed PROXY header' };
    expect(await lines()).toEqual([expect.objectContaining(refused)]);
  });
});

describe('a client certificate that does not count is a line of the audit log', () => {
  const certificates = new Certificates();
  let ca: Pem;
  let own: Pem;
  let known: Pem;
  let crl: string;
  const shown: Record<string, Pem | undefined> = { missing: undefined };
  beforeAll(() => {
    ca = certificates.authority();
    own = certificates.issue('server', ca);
    known = certificates.issue('ann', ca);
    shown.unknown = certificates.issue('eve', certificates.authority('other'));
    shown.expired = certificates.issue('old', ca, undefined, { days: -1 });
    shown.revoked = certificates.issue('revoked', ca);
    crl = certificates.revoke(ca, shown.revoked);
  });
  afterAll(() => certificates.remove());

  const secure = (...options: string[]) =>
    audited('--certfile', own.cert, '--keyfile', own.key, '--cafile', ca.cert, '--cert-user', 'cn', ...options);
  const read = (pem: Pem | undefined) => pem && { cert: readFileSync(pem.cert), key: readFileSync(pem.key) };

  const reasons = {
    missing: 'a client certificate is demanded, and none was shown',
    unknown: 'the client certificate is vouched for by no trusted authority',
    expired: 'the client certificate has expired',
    revoked: 'the client certificate was revoked',
  };

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('over %s: missing, unknown, expired, revoked', async (version) => {
    const [plain, listed] = [await secure('--tls', 'strict'), await secure('--tls', 'strict', '--crlfile', crl)];
    for (const [what, { port }] of [
      ['missing', plain],
      ['unknown', plain],
      ['expired', plain],
      ['revoked', listed],
    ] as const) {
      const options = { servername: 'localhost', ca: readFileSync(ca.cert), maxVersion: version };
      await gone(connectTls({ port, host: '127.0.0.1', ...options, ...read(shown[what]) }));
    }
    const refused = (what: keyof typeof reasons) =>
      expect.objectContaining({
        event: 'connection refused',
        address: '127.0.0.1',
        error: 'TLS handshake failed',
        reason: reasons[what],
      }) as unknown;
    expect(await plain.lines()).toEqual([refused('missing'), refused('unknown'), refused('expired')]);
    expect(await listed.lines()).toEqual([refused('revoked')]);
  });

  it('a client that is cut off in its handshake, to make room for others, was refused', async () => {
    const { port, lines } = await secure('--tls', 'strict', '--max-pending-logins', '1');
    const [one, two] = [connectTcp(port, '127.0.0.1'), connectTcp(port, '127.0.0.1')];
    await Promise.race([gone(one), gone(two)]);
    for (const socket of [one, two]) socket.resetAndDestroy();
    const error = 'too many connections';
    expect(await lines()).toEqual([
      expect.objectContaining({ event: 'connection refused', address: '127.0.0.1', error }),
    ]);
  });

  it('with the address that a proxy says, not its own', async () => {
    const { port, lines } = await secure('--tls', 'strict', '--proxy-protocol', '127.0.0.1');
    const tcp = connectTcp(port, '127.0.0.1');
    tcp.write('PROXY TCP4 192.0.2.7 127.0.0.1 50312 61613\r\n');
    const options = { servername: 'localhost', ca: readFileSync(ca.cert) };
    await gone(connectTls({ socket: tcp, ...options, ...read(shown.expired) }));
    expect(await lines()).toEqual([expect.objectContaining({ address: '192.0.2.7', reason: reasons.expired })]);
  });

  it('with the address of each, where the proxy uses one port towards two addresses of the broker', async () => {
    const { port, lines } = await secure('--tls', 'strict', '--proxy-protocol', '127.0.0.1', '--host', '0.0.0.0');
    const localPort = Number(new URL(await deadUrl()).port);
    const open = async (host: string, client: string) => {
      const tcp = connectTcp({ port, host, localAddress: '127.0.0.1', localPort });
      await once(tcp, 'connect');
      tcp.write(`PROXY TCP4 ${client} 127.0.0.1 50312 61613\r\n`);
      return tcp;
    };
    const [one, two] = [await open('127.0.0.1', '192.0.2.7'), await open('127.0.0.2', '192.0.2.8')];
    const options = { servername: 'localhost', ca: readFileSync(ca.cert) };
    const socket = connectTls({ socket: one, ...options, ...read(known) });
    socket.write('CONNECT\naccept-version:9\nhost:h\n\n\0');
    await gone(socket);
    two.destroy();
    expect(await lines()).toEqual([expect.objectContaining({ address: '192.0.2.7', error: 'no common version' })]);
  });

  it('a client that goes away in the middle of a handshake was not refused', async () => {
    const { port, lines } = await secure('--tls', 'strict');
    const socket = connectTcp(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.resetAndDestroy();
    await gone(socket);
    await gone(connectTls({ port, host: '127.0.0.1', servername: 'localhost', ca: readFileSync(ca.cert) }));
    expect(await lines()).toEqual([expect.objectContaining({ reason: reasons.missing })]);
  });
});

describe('a flood', () => {
  const total = (lines: readonly Line[]) => lines.reduce((sum, { count = 1 }) => sum + (count as number), 0);

  it('of connections that may not be is summed up, and nothing else is', async () => {
    const { port, connect, lines } = await audited('--users', 'ann:one', '--max-per-address', '1');
    const ann = await connect(as('ann', 'one'));
    for (let times = 0; times < 20; times++) {
      await Promise.all(Array.from({ length: 50 }, () => gone(connectTcp(port, '127.0.0.1'))));
    }
    ann.end();
    await ann.closed();
    const [first, ...others] = await lines();
    expect(first).toMatchObject({ event: 'connected' });
    expect(others).toHaveLength(51);
    expect(others.at(-1)).toMatchObject({ address: '127.0.0.1', error: 'too many connections', count: 950 });
  });

  it('of wrong virtual hosts, or of logins as nobody, is summed up, however they differ', async () => {
    const server = await audited('--allow-anonymous', '--users', 'ann:one', '--vhosts', 'v');
    for (let times = 0; times < 60; times++) {
      await server.refusal({ host: `h${times}` });
      (await server.connect({ host: 'v' })).end();
      (await server.connect({ ...as('ann', 'one'), host: 'v' })).end();
    }
    const lines = await server.lines();
    const of = (event: string, user?: string) => lines.filter((line) => line.event === event && line.user === user);
    for (const some of [of('connection refused'), of('connected')]) {
      expect(some).toHaveLength(51);
      expect(total(some)).toBe(60);
    }
    expect(of('connected', 'ann')).toHaveLength(60);
  });

  it('of changes of the user on one connection is summed up, and credentials of the same user are no line', async () => {
    const { connect, lines } = await audited('--users', 'ann:one bob:two');
    const peer = await connect(as('ann', 'one'));
    const refresh = async (...who: Parameters<typeof as>) =>
      peer.receipted('SEND', { destination: '/session/refresh', ...as(...who) });
    for (let times = 0; times < 100; times++) await refresh('ann', 'one');
    for (let times = 0; times < 30; times++) {
      await refresh('bob', 'two');
      await refresh('ann', 'one');
    }
    const [first, ...others] = await lines();
    expect(first).toMatchObject({ event: 'connected', user: 'ann' });
    expect(others.map(({ event }) => event)).toEqual(Array.from({ length: 51 }, () => 'user changed'));
    expect(others[0]).toMatchObject({ user: 'bob', address: '127.0.0.1', session: first!.session });
    expect(total(others)).toBe(60);
  });

  describe('from very many addresses', () => {
    afterEach(() => {
      jest.useRealTimers();
    });

    it('takes a thousand lines a minute, however many there are, and none is left out of the sums', () => {
      jest.useFakeTimers();
      const passed: (AuditEvent & { count?: number })[] = [];
      const flood = new Flood((event) => passed.push(event));
      for (let minute = 1; minute <= 2; minute++) {
        for (let at = 0; at < 100_000; at++) {
          const address = `10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`;
          flood.take({ event: 'connection refused', address, error: 'address not allowed', reason: 'it is not' });
        }
        expect(passed.length).toBeLessThanOrEqual(1_000 * minute);
        jest.advanceTimersByTime(60_000);
        expect(passed.length).toBeLessThanOrEqual(1_001 * minute);
        expect(total(passed as unknown as Line[])).toBe(100_000 * minute);
      }
    });

    it('of one network of IPv6 is one', () => {
      jest.useFakeTimers();
      const passed: AuditEvent[] = [];
      const flood = new Flood((event) => passed.push(event));
      for (let at = 0; at < 1_000; at++) {
        flood.take({ event: 'connection refused', address: `2001:db8::${at.toString(16)}`, error: 'e', reason: 'r' });
      }
      flood.flush();
      expect(passed).toHaveLength(51);
    });
  });
});
