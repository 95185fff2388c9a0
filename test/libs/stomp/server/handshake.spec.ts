import { describe, expect, it } from '@jest/globals';
import { type Broker, type Frame, PRODUCT, type Session, StompError } from 'nestjs-stomp/server';
import { handshake, TestBroker, TestServer } from '../../../support/server.js';

/** A broker that decides about clients as told. */
class Doorkeeper extends TestBroker implements Broker {
  constructor(readonly connect: (session: Session, frame: Frame) => void | Promise<void>) {
    super();
  }
}

describe('CONNECT', () => {
  it.each(['CONNECT', 'STOMP'])('is answered with CONNECTED as %s too', async (command) => {
    const { peer, session } = new TestServer(new TestBroker()).open();
    expect(session.connected).toBe(false);
    peer.write(`${command}\naccept-version:1.0,1.1,1.2\nhost:h\nheart-beat:0,0\n\n\0`);
    const connected = await peer.frame();
    expect(connected.command).toBe('CONNECTED');
    expect(Object.fromEntries(connected.headers)).toEqual({
      version: '1.2',
      session: session.id,
      server: PRODUCT,
      'heart-beat': '10000,10000',
    });
    expect(session.connected).toBe(true);
    expect(session.version).toBe('1.2');
  });

  it('tells the name and the heart-beats of the options', async () => {
    const server = new TestServer(new TestBroker(), { server: 'mine/1', heartbeat: { outgoing: 7 } });
    const connected = await handshake(server.open().peer);
    expect(connected.header('server')).toBe('mine/1');
    expect(connected.header('heart-beat')).toBe('7,10000');
  });

  it('with a request-id is answered with that as response-id, and with none otherwise', async () => {
    const server = new TestServer(new TestBroker());
    const connected = await handshake(server.open().peer, '1.2', { 'request-id': 'r 1' });
    expect(connected.header('response-id')).toBe('r 1');
    expect((await handshake(server.open().peer)).header('response-id')).toBeUndefined();
  });

  it('gives each session an id of its own', async () => {
    const server = new TestServer(new TestBroker());
    const ids = await Promise.all([1, 2, 3].map(async () => (await server.connect()).session.id));
    expect(new Set(ids).size).toBe(3);
  });

  it.each([
    ['1.0, 1.1', '1.1'],
    ['1.2,1.1,1.0', '1.2'],
    ['9.9,1.1', '1.1'],
    [undefined, '1.0'],
  ])('with accept-version %s agrees on %s', async (accepted, version) => {
    const { peer } = new TestServer(new TestBroker()).open();
    peer.write(`CONNECT\n${accepted === undefined ? '' : `accept-version:${accepted}\n`}host:h\n\n\0`);
    expect((await peer.frame()).header('version')).toBe(version);
  });

  it('without a common version is answered with ERROR that lists the versions, and closed', async () => {
    const { peer } = new TestServer(new TestBroker()).open();
    peer.write('CONNECT\naccept-version:2.0,3.1\nhost:h\n\n\0');
    const error = await peer.refused();
    expect(error.header('version')).toBe('1.0,1.1,1.2');
    expect(error.header('content-type')).toBe('text/plain');
    expect(error.text).toContain('1.0 1.1 1.2');
  });

  it('with a receipt is answered with CONNECTED and no RECEIPT', async () => {
    const { peer } = new TestServer(new TestBroker()).open();
    expect((await handshake(peer, '1.2', { receipt: 'r' })).command).toBe('CONNECTED');
    await peer.receipted('BEGIN', { transaction: 't' });
    expect(peer.received.toString()).not.toContain('receipt-id:r\n');
  });

  it('with a malformed heart-beat is refused', async () => {
    const { peer } = new TestServer(new TestBroker()).open();
    peer.write('CONNECT\naccept-version:1.2\nhost:h\nheart-beat:1000\n\n\0');
    expect((await peer.refused()).header('message')).toBe('malformed heart-beat');
  });

  it('may not come twice', async () => {
    const { peer } = await new TestServer(new TestBroker()).connect();
    peer.write('CONNECT\naccept-version:1.2\nhost:h\n\n\0');
    expect((await peer.refused()).header('message')).toBe('already connected');
  });

  it('has to come first: any other frame is refused, the connection closed', async () => {
    const broker = new TestBroker();
    const { peer } = new TestServer(broker).open();
    peer.write('SEND\ndestination:/queue/a\nreceipt:r\n\nbody\0CONNECT\naccept-version:1.2\nhost:h\n\n\0');
    const error = await peer.refused();
    expect(error.header('message')).toBe('not connected');
    expect(error.header('receipt-id')).toBe('r');
    expect(broker.asked).toEqual([]);
    expect(peer.received.toString()).not.toContain('CONNECTED');
  });

  it('of 1.0 has the blanks around its values taken off, and the first of repeated headers counts', async () => {
    const seen: (string | undefined)[] = [];
    const broker = new Doorkeeper((_session, { headers }) => {
      seen.push(headers.get('login'), headers.get('passcode'));
    });
    const { peer } = new TestServer(broker).open();
    peer.write('CONNECT\nlogin: first \npasscode: one\nlogin: second\npasscode: two\n\n\0');
    await peer.frame();
    expect(seen).toEqual(['first', 'one']);
  });
});

describe('the broker', () => {
  it('lets a client in, at once or later; nothing is read before it has decided', async () => {
    let admit = () => {};
    let knocked = () => {};
    const atTheDoor = new Promise<void>((resolve) => (knocked = resolve));
    const broker = new Doorkeeper(() => {
      setImmediate(knocked);
      return new Promise((resolve) => (admit = resolve));
    });
    const { peer } = new TestServer(broker).open();
    peer.write('CONNECT\naccept-version:1.2\nhost:h\n\n\0SEND\ndestination:/a\nreceipt:r\n\nbody\0');
    await atTheDoor;
    expect(peer.received).toHaveLength(0);
    expect(broker.asked).toEqual([]);
    admit();
    expect((await peer.frame()).command).toBe('CONNECTED');
    await peer.receipt('r');
    expect(broker.bodies).toEqual(['body']);
  });

  it.each(['at once', 'later'])('refuses a client %s with the words of its error', async (when) => {
    const broker = new Doorkeeper(() => {
      const error = new StompError('go away', 'there is no room', { reason: 'full' });
      if (when === 'later') return Promise.reject(error);
      throw error;
    });
    const { peer } = new TestServer(broker).open();
    peer.write('CONNECT\naccept-version:1.2\nhost:h\nreceipt:r\n\n\0SEND\ndestination:/a\n\nbody\0');
    const error = await peer.refused();
    expect(error.header('message')).toBe('go away');
    expect(error.header('reason')).toBe('full');
    expect(error.text).toBe('there is no room\n');
    expect(broker.asked).toEqual([]);
  });

  it('that throws something else makes an ERROR that gives nothing away', async () => {
    const lines: string[] = [];
    const log = { level: 0, log: (_level: number, line: string) => void lines.push(line) };
    const broker = new Doorkeeper(() => {
      throw new TypeError('database secret at 10.0.0.1');
    });
    const { peer } = new TestServer(broker, { log }).open();
    peer.write('CONNECT\naccept-version:1.2\nhost:h\n\n\0');
    expect((await peer.refused()).header('message')).toBe('internal error');
    expect(peer.received.toString()).not.toMatch(/secret|TypeError|\.ts/);
    expect(lines.join()).toContain('database secret');
  });

  it('is told once when a session is over', async () => {
    const broker = new TestBroker();
    const { peer, session } = await new TestServer(broker).connect();
    peer.end();
    await peer.closed();
    expect(broker.gone).toEqual([session]);
    expect(session.connected).toBe(false);
  });
});

describe('virtual hosts', () => {
  const vhostOf = async (vhosts: string[] | undefined, headers: Record<string, string>) => {
    const { peer, session } = new TestServer(new TestBroker(), { vhosts }).open();
    peer.send('CONNECT', { 'accept-version': '1.2', ...headers });
    const answer = await peer.frame();
    return answer.command === 'CONNECTED' ? session.vhost : answer.header('message');
  };

  it('are one world by default, whatever host is named', async () => {
    expect(await vhostOf(undefined, { host: 'a' })).toBe('*');
    expect(await vhostOf(undefined, { host: '' })).toBe('*');
    expect(await vhostOf(undefined, {})).toBe('*');
  });

  it('are found by name or glob, in any case, a name before a glob', async () => {
    const vhosts = ['*.test', 'a?.example', 'x.test', '*.example.org'];
    expect(await vhostOf(vhosts, { host: 'one.TEST' })).toBe('*.test');
    expect(await vhostOf(vhosts, { host: 'ab.example' })).toBe('a?.example');
    expect(await vhostOf(vhosts, { host: 'X.test' })).toBe('x.test');
    expect(await vhostOf(vhosts, { host: 'a.b.example.org' })).toBe('*.example.org');
  });

  it.each(['', 'b', 'ab', 'aab', 'abab', 'bbaab', 'a.b', 'ab*b'])('are found for %j as globs say', async (host) => {
    const found = async (glob: string) => (await vhostOf([glob, '*'], { host })) === glob;
    for (const glob of ['*b', 'a*', '*a*', 'a*b', '*ab*b', '**b**', '?*b', '*?b', '?', '??', 'a?a?', 'a*a*b*']) {
      const pattern = new RegExp(`^${glob.replaceAll('*', '.*').replaceAll('?', '.')}$`);
      expect(`${glob}: ${await found(glob)}`).toBe(`${glob}: ${pattern.test(host)}`);
    }
  });

  it('are looked for in a moment, however long the host is, and however many asterisks a glob has', async () => {
    const { peer } = new TestServer(new TestBroker(), { vhosts: ['*.eu.*.eu.*.eu.*.example.com'] }).open();
    const began = performance.now();
    peer.send('CONNECT', { 'accept-version': '1.2', host: '.eu'.repeat(500) });
    expect((await peer.refused()).header('message')).toBe('unknown virtual host');
    expect(performance.now() - began).toBeLessThan(1_000);
  });

  it('are refused when unknown: dots and other signs of the glob stand for themselves', async () => {
    for (const host of ['', 'test', 'abc.example', 'x1test', 'a.example.organic']) {
      expect(await vhostOf(['*.test', 'a?.example', 'x.test', '*.example.org'], { host })).toBe('unknown virtual host');
    }
    expect(await vhostOf(['a(b'], { host: 'a(b' })).toBe('a(b');
  });

  it('take a client that names none into the first', async () => {
    expect(await vhostOf(['one', 'two'], {})).toBe('one');
  });
});
