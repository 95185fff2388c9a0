import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect as connectTcp, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { Certificates } from '../../support/certificates.js';
import { RawPeer, unique } from '../../support/raw.js';
import { handshake, watch } from '../../support/server.js';
import { serve, serveIn, type Served } from '../../support/serve.js';
import { type Headers } from '../../support/wire.js';

// Each test runs whole processes, maybe beside others that do.
jest.setTimeout(120_000);

/** So that a process's memory is what the broker keeps: what V8 sets aside for new objects differs by its release. */
const SMALL_YOUNG = { NODE_OPTIONS: '--max-semi-space-size=4' };

const directories: string[] = [];

afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

const queue = () => unique('/queue/limits');
const titleOf = async (peer: RawPeer) => (await peer.refused()).header('message');
const textOf = async (peer: RawPeer) => (await peer.refused()).text.trim();

/** The first octets of a client of TLS. */
async function clientHello(): Promise<Buffer> {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const client = connectTls((listener.address() as AddressInfo).port, '127.0.0.1').on('error', () => undefined);
  try {
    const [socket] = (await once(listener, 'connection')) as [Socket];
    const [octets] = (await once(socket, 'data')) as [Buffer];
    return octets;
  } finally {
    client.destroy();
    listener.close();
  }
}

describe('a frame', () => {
  it('is refused over --max-command, --max-header, --max-headers and --max-body before it is all there', async () => {
    const server = await serve(
      '--max-command',
      '16',
      '--max-header',
      '128',
      '--max-headers',
      '10',
      '--max-body',
      '100',
    );
    for (const [octets, text] of [
      [`${'S'.repeat(17)}\n`, 'the command line is longer than 16 octets, the limit'],
      [`SEND\nlong:${'x'.repeat(128)}\n`, 'a header line is longer than 128 octets, the limit'],
      [`SEND\n${'a:b\n'.repeat(11)}`, 'the frame has more than 10 headers, the limit'],
      [`SEND\ndestination:/queue/a\n\n${'x'.repeat(101)}`, 'the body is longer than 100 octets, the limit'],
    ] as const) {
      const peer = await server.connect();
      peer.write(octets);
      expect(await textOf(peer)).toBe(text);
    }
    await (await server.connect()).receipted('SEND', { destination: queue() }, 'x');
  });

  it('that comes a byte at a time has to be there within --frame-timeout; beats between frames are no frame', async () => {
    const server = await serve('--frame-timeout', '300');
    const [slow, quiet] = [await server.connect(), await server.connect()];
    const refused = slow.refused();
    quiet.write('\n\n');
    const drip = setInterval(() => {
      slow.write('x');
      quiet.write('\n');
    }, 10);
    slow.write('SEND\ndestination:/queue/a\nheader:');
    try {
      const error = await refused;
      expect(error.header('message')).toBe('frame timeout');
      expect(error.text).toContain('300 ms');
    } finally {
      clearInterval(drip);
    }
    await quiet.receipted('SEND', { destination: queue() }, 'x');
  });
});

describe('a client that has not logged in', () => {
  it('is read --max-unauthenticated bytes of its frame, and has --login-timeout, however busy it is', async () => {
    const server = await serve('--max-unauthenticated', '300', '--login-timeout', '500');
    const long = await server.open();
    long.write(`CONNECT\naccept-version:1.2\nhost:h\npad:${'x'.repeat(300)}\n\n\0`);
    expect(await textOf(long)).toBe('the frame is longer than 300 octets, the limit');
    const slow = await server.open();
    const refused = titleOf(slow);
    slow.write('CONNECT\nx:');
    const drip = setInterval(() => slow.write('y'), 50);
    try {
      expect(await refused).toBe('login timeout');
    } finally {
      clearInterval(drip);
    }
  });

  it('has as long for the header of the PROXY protocol, and as long for the handshake of TLS', async () => {
    const certificates = new Certificates();
    try {
      const { cert, key } = certificates.issue('server', certificates.authority());
      const tls = ['--tls', 'true', '--certfile', cert, '--keyfile', key];
      for (const options of [['--proxy-protocol', '127.0.0.1'], tls, [...tls, '--proxy-protocol', '127.0.0.1']]) {
        const server = await serve('--login-timeout', '300', ...options);
        const socket = connectTcp(server.port, '127.0.0.1')
          .on('error', () => undefined)
          .resume();
        if (options.length > tls.length) socket.write('PROXY TCP4 192.0.2.7 127.0.0.1 50312 61613\r\n');
        await new Promise<void>((resolve, reject) => {
          const late = setTimeout(() => reject(new Error('it is still open')), 5_000);
          socket.on('close', () => {
            clearTimeout(late);
            resolve();
          });
        });
      }
    } finally {
      certificates.remove();
    }
  });

  it('makes room for others, the most silent one first, when there are more than --max-pending-logins', async () => {
    const server = await serve('--max-pending-logins', '2', '--login-timeout', '600000');
    const [one, two] = [await server.open(), await server.open()];
    const three = await server.connect();
    expect(await textOf(one)).toBe('2 connections have not logged in, the limit: try again later');
    await handshake(two);
    // Those who have logged in count no longer.
    const more = [await server.open(), await server.open()];
    await three.receipted('SEND', { destination: queue() }, 'x');
    for (const peer of more) await handshake(peer);
  });

  it('makes room among those of the address that has the most, also where all of these have spoken', async () => {
    // It takes a second or more to see that a passcode is wrong.
    const users = ['--users', 'bob:$2b$14$lipCPlXxG9AKLDBfdnWpwOdQXwHXWDT5STX.mirlrBIH1cyp6/Yxi'];
    const server = await serve('--max-pending-logins', '4', '--login-timeout', '600000', '--verbose', '4', ...users);
    const silent = await server.open('127.0.0.2');
    const guessers: RawPeer[] = [];
    for (const login of ['ann', 'tom', 'sue']) {
      const guesser = await server.open('127.0.0.3');
      guesser.send('CONNECT', { 'accept-version': '1.2', host: 'h', login, passcode: 'guess' });
      guessers.push(guesser);
    }
    const { program } = server;
    await program.until('three have spoken', () => program.stderr.split('received "CONNECT"').length > 3);
    const stranger = await server.open('127.0.0.4');
    expect(await textOf(guessers[2]!)).toBe('4 connections have not logged in, the limit: try again later');
    for (const peer of [stranger, silent]) await handshake(peer, '1.2', { login: 'bob', passcode: 'secret' });
  });

  it('counts from its TCP connection on where it has to speak TLS', async () => {
    const certificates = new Certificates();
    try {
      const ca = certificates.authority();
      const { cert, key } = certificates.issue('server', ca);
      const tls = ['--tls', 'true', '--certfile', cert, '--keyfile', key];
      const server = await serve(...tls, '--max-pending-logins', '2');
      const idle = Array.from({ length: 3 }, () => connectTcp(server.port, '127.0.0.1').on('error', () => undefined));
      await Promise.all(idle.map((socket) => once(socket, 'connect')));
      await once(idle[0]!.resume(), 'close');
      const peer = watch(new RawPeer(connectTls({ port: server.port, host: '127.0.0.1', rejectUnauthorized: false })));
      await handshake(peer);
      for (const socket of idle) socket.destroy();
    } finally {
      certificates.remove();
    }
  });

  it('and speaks HTTP is told so in HTTP, at once', async () => {
    const server = await serve('--login-timeout', '600000', '--verbose', '2');
    for (const request of ['GET / HTTP/1.1\r\nHost: a\r\n\r\n', 'POST /a?b HTTP/1.0\r\n', 'PRI * HTTP/2.0\r\n\r\n']) {
      const browser = await server.open();
      browser.write(request);
      await browser.closed();
      const answer = browser.received.toString();
      expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n.*\r\nconnection: close\r\n\r\n.*STOMP/s);
    }
    await server.program.says(/refused: the peer speaks HTTP/);
  });
});

describe('connections', () => {
  it('are at most --max-connections in all, and --max-per-address from one address', async () => {
    const server = await serve('--max-connections', '3', '--max-per-address', '2');
    const [one, other] = [await server.connect(), await server.connect()];
    expect(await textOf(await server.open())).toBe('your address has 2 connections, the limit: try again later');
    await handshake(await server.open('127.0.0.2'));
    expect(await textOf(await server.open('127.0.0.3'))).toBe(
      'the server has 3 connections, the limit: try again later',
    );
    for (const peer of [one, other]) {
      await peer.receipted('DISCONNECT');
      await peer.closed();
      peer.end();
    }
    // The server may still be taking note that they have gone.
    for (;;) {
      const peer = await server.open();
      peer.send('CONNECT', { 'accept-version': '1.2', host: 'h' });
      if ((await peer.frame()).command === 'CONNECTED') break;
    }
  });

  it('from all IPv6 addresses of a network (/64) count as from one', async () => {
    const server = await serve('--max-per-address', '1', '--proxy-protocol', '127.0.0.1');
    const from = async (address: string) => {
      const peer = await server.open();
      peer.write(`PROXY TCP6 ${address} ::1 50312 61613\r\n`);
      return peer;
    };
    await handshake(await from('2001:db8:0:1::1'));
    expect(await textOf(await from('2001:db8:0:1:ffff::2'))).toContain('your address has 1 connections, the limit');
    await handshake(await from('2001:db8:0:2::1'));
  });

  it('that their clients end before they have said anything are over at once, and counted no longer', async () => {
    const certificates = new Certificates();
    try {
      const { cert, key } = certificates.issue('server', certificates.authority());
      const only = ['--max-per-address', '1', '--login-timeout', '600000'];
      const [plain, tls, proxied] = await Promise.all([
        serve(...only),
        serve(...only, '--tls', 'true', '--certfile', cert, '--keyfile', key),
        serve(...only, '--proxy-protocol', '127.0.0.2'),
      ]);
      const hello = await clientHello();
      for (const [server, octets, from] of [
        [plain, '', undefined],
        [plain, 'CONNECT\naccept-', undefined],
        [tls, '', undefined],
        [tls, hello.subarray(0, 3), undefined],
        [tls, hello.subarray(0, hello.length / 2), undefined],
        [tls, hello, undefined],
        [proxied, '', '127.0.0.2'],
        [proxied, 'PROXY TCP4 192.', '127.0.0.2'],
      ] as const) {
        // The second one is refused where the first one still counts.
        for (let times = 0; times < 2; times++) {
          const socket = connectTcp({ port: server.port, host: '127.0.0.1', localAddress: from, allowHalfOpen: true });
          const received: Buffer[] = [];
          const answered = once(
            socket.on('data', (chunk) => received.push(chunk)),
            'data',
          );
          const over = once(socket, 'close', { signal: AbortSignal.timeout(5_000) });
          socket.write(octets);
          if (octets === hello) await answered;
          socket.end();
          await over;
          expect(Buffer.concat(received).subarray(0, 2).toString('hex')).toBe(octets === hello ? '1603' : '');
        }
      }
    } finally {
      certificates.remove();
    }
  });

  it('are at most --max-per-user of one user, by whatever address', async () => {
    const server = await serve('--max-per-user', '1', '--users', 'ann:one bob:two');
    const ann = await server.connect({ login: 'ann', passcode: 'one' });
    const error = await server.refusal({ login: 'ann', passcode: 'one' });
    expect(error.text).toBe('this user has 1 connections, the limit: try again later\n');
    expect((await server.refusal({ login: 'ann', passcode: 'wrong' })).text).not.toContain('connections');
    await server.connect({ login: 'bob', passcode: 'two' });
    await ann.receipted('DISCONNECT');
    await ann.closed();
    await server.connect({ login: 'ann', passcode: 'one' });
  });

  it('are at most --max-per-user also of a user whose credentials live connections send', async () => {
    const server = await serve('--max-per-user', '1', '--users', 'ann:one bob:two', '--allow-anonymous');
    const refresh = { destination: '/session/refresh', login: 'ann', passcode: 'one' };
    const ann = await server.connect({ login: 'ann', passcode: 'one' });
    await ann.receipted('SEND', refresh);
    const nobody = await server.connect();
    nobody.send('SEND', refresh);
    expect((await nobody.refused()).text).toContain('this user has 1 connections, the limit');
    await ann.receipted('DISCONNECT');
    await ann.closed();
    const bob = await server.connect({ login: 'bob', passcode: 'two' });
    await bob.receipted('SEND', refresh);
    expect((await server.refusal({ login: 'ann', passcode: 'one' })).text).toContain('the limit');
    await server.connect({ login: 'bob', passcode: 'two' });
  });
});

describe('one connection', () => {
  let server: Served;
  const options = ['--max-subscriptions', '2', '--max-unacknowledged', '2', '--max-transactions', '2'];

  it('has at most --max-subscriptions, --max-transactions, and frames and bytes in these', async () => {
    server = await serve(...options, '--max-transaction-frames', '3', '--max-transaction-bytes', '2000');
    const refusal = async (act: (peer: RawPeer) => void) => {
      const peer = await server.connect();
      act(peer);
      return textOf(peer);
    };
    const begin = (peer: RawPeer, count: number) => {
      for (let n = 0; n < count; n++) peer.send('BEGIN', { transaction: `t${n}` });
    };
    expect(
      await refusal((peer) => {
        for (const id of ['1', '2', '3']) peer.send('SUBSCRIBE', { id, destination: '/topic/a' });
      }),
    ).toBe('a session has at most 2 subscriptions here');
    expect(await refusal((peer) => begin(peer, 3))).toBe('a session has at most 2 open');
    expect(
      await refusal((peer) => {
        begin(peer, 1);
        for (let n = 0; n < 4; n++) peer.send('SEND', { destination: '/queue/a', transaction: 't0' }, 'x');
      }),
    ).toBe('a transaction holds at most 3 frames: commit earlier');
    // Both transactions count: a session has one budget.
    expect(
      await refusal((peer) => {
        begin(peer, 2);
        for (const transaction of ['t0', 't1']) {
          peer.send('SEND', { destination: '/queue/a', transaction }, 'x'.repeat(1000));
        }
      }),
    ).toBe('the transactions of a session hold at most 2000 octets: commit earlier');
  });

  it('gives back what its transactions held: over and over it may hold as much', async () => {
    server = await serve('--max-transaction-bytes', '2000');
    const peer = await server.connect();
    for (const how of ['COMMIT', 'ABORT', 'COMMIT', 'ABORT']) {
      await peer.receipted('BEGIN', { transaction: 't' });
      peer.send('SEND', { destination: '/topic/a', transaction: 't' }, 'x'.repeat(1200));
      await peer.receipted(how, { transaction: 't' });
    }
  });

  it('has at most --max-unacknowledged messages of a subscription, whatever prefetch it asks for', async () => {
    server = await serve(...options);
    const peer = await server.connect();
    const destination = queue();
    await peer.subscribe(destination, { id: '1', ack: 'client-individual', 'prefetch-count': '100' });
    for (let n = 0; n < 5; n++) await peer.receipted('SEND', { destination }, `m${n}`);
    const [first] = await peer.messages(2);
    expect((await peer.rest()).filter(({ command }) => command === 'MESSAGE')).toEqual([]);
    peer.send('ACK', peer.reference(first!));
    expect(await peer.texts(1)).toEqual(['m2']);
  });

  it('that does not read holds --max-outbound and no more: its queue keeps the rest for others', async () => {
    server = await serve('--max-outbound', '64KiB');
    const destination = queue();
    const [deaf, publisher, reader] = [await server.connect(), await server.connect(), await server.connect()];
    await deaf.subscribe(destination);
    deaf.pause();
    const body = 'x'.repeat(64 * 1024);
    // More than the kernel takes on both sides.
    for (let n = 0; n < 400; n++) publisher.send('SEND', { destination }, body);
    await publisher.receipted('SEND', { destination }, body);
    await reader.subscribe(destination, { ack: 'client', 'prefetch-count': '20' });
    expect(await reader.messages(20)).toHaveLength(20);
  });
});

describe('destinations', () => {
  it('are at most so long, so deep, and queues so many', async () => {
    const server = await serve('--max-destination', '40', '--max-destination-depth', '3', '--max-queues', '2');
    const refusal = async (destination: string, command = 'SEND', headers: Headers = {}) => {
      const peer = await server.connect();
      peer.send(command, { destination, id: '1', ...headers }, '');
      return textOf(peer);
    };
    const long = `/queue/${'x'.repeat(34)}`;
    for (const command of ['SEND', 'SUBSCRIBE']) {
      expect(await refusal(long, command)).toBe('the destination is longer than 40 characters, the limit');
      expect(await refusal('/topic/a.b/c.d', command)).toContain('has 4 levels, parted by dots and slashes: 3 is');
    }
    expect(await refusal('/queue/a', 'SUBSCRIBE', { 'x-dead-letter-routing-key': 'a.b.c.d' })).toContain('4 levels');
    for (const kind of ['queue', 'topic']) {
      const reply = (name: string) => refusal('/topic/a', 'SEND', { 'reply-to': `/temp-${kind}/${name}` });
      expect(await reply('x'.repeat(40))).toBe('the reply-to is longer than 40 characters, the limit');
      expect(await reply('a.b.c.d')).toContain('the reply-to has 4 levels, parted by dots and slashes: 3 is the limit');
    }
    const durable = { 'durable-subscription-name': 'a.b.c' };
    expect(await refusal('/topic/a', 'SUBSCRIBE', durable)).toContain('has 4 levels');
    const peer = await server.connect();
    for (const id of ['a.b.c', 'x'.repeat(34)]) {
      // One of another name was granted before: that says nothing of this one.
      const [other, lasting] = [await server.connect(), { durable: 'true', 'auto-delete': 'false' }];
      await other.subscribe('/topic/a', { id: 'short', ...lasting });
      other.send('SUBSCRIBE', { destination: '/topic/a', id, ...lasting });
      expect(await textOf(other)).toMatch(/has 4 levels|longer than 40 characters/);
    }
    await peer.subscribe('/topic/a', { id: 'short', durable: 'true', 'auto-delete': 'false' });
    await peer.receipted('UNSUBSCRIBE', { id: 'short', durable: 'true', 'auto-delete': 'false' });
    for (const name of ['a', 'b', 'a']) await peer.receipted('SEND', { destination: `/queue/${name}` }, 'x');
    const full = 'there are 2 queues, the limit: those that are empty and not used go by themselves';
    expect(await refusal('/queue/c')).toBe(full);
    expect(await refusal('/temp-queue/c', 'SUBSCRIBE')).toBe(full);
    expect(await refusal('/topic/c', 'SUBSCRIBE', { durable: 'true', 'auto-delete': 'false' })).toBe(full);
    // Topics without subscribers are nothing that could be counted.
    await peer.receipted('SEND', { destination: '/topic/c' }, 'x');
  });

  it('of one session alone are at most 10,000, however it names them', async () => {
    const server = await serve();
    const [peer, other] = [await server.connect(), await server.connect()];
    for (let n = 0; n < 5_000; n++) {
      peer.send('SEND', { destination: `/temp-topic/${n}` }, 'x');
      peer.send('SEND', { destination: '/topic/a', 'reply-to': `/temp-topic/of replies ${n}` }, 'x');
    }
    await peer.receipted('SEND', { destination: '/temp-topic/0' }, 'one of them');
    await other.receipted('SEND', { destination: '/temp-topic/0' }, 'one of its own');
    peer.send('SEND', { destination: '/temp-topic/one too many' }, 'x');
    const error = await peer.refused();
    expect([error.header('message'), error.text.trim()]).toEqual([
      'too many destinations',
      'a session has at most 10000 temporary destinations, as long as it lasts: use one for many answers, told apart by ' +
        'their correlation-id',
    ]);
    const next = await server.connect();
    for (const command of ['SEND', 'SUBSCRIBE']) {
      await next.receipted(command, { destination: '/temp-topic/one too many', id: '1' });
    }
  });

  it('of one session alone have at most a mebi of characters in their temporary names', async () => {
    const server = await serve();
    const peer = await server.connect();
    const send = (n: number) => peer.send('SEND', { destination: `/temp-topic/${n}.`.padEnd(1_024, 'x') }, 'x');
    for (let n = 0; n < 1_024; n++) send(n);
    await peer.receipted('SEND', { destination: '/temp-topic/0.'.padEnd(1_024, 'x') }, 'one of them');
    for (let n = 1_024; n < 1_100; n++) send(n);
    const error = await peer.refused();
    expect([error.header('message'), error.text.trim()]).toEqual([
      'too many destinations',
      'the temporary destinations of a session have at most 1048576 characters in their names together',
    ]);
  });
});

describe('messages that wait for their time', () => {
  it('are at most 1,000,000: a transaction with more of them is refused as a whole', async () => {
    const server = await serve('--max-transaction-frames', '20000');
    const [peer, other] = [await server.connect(), await server.connect()];
    await other.receipted('SEND', { destination: '/queue/first', 'x-delay': '3600000' }, 'x');
    await other.subscribe('/queue/now');
    const destination = Array.from({ length: 100 }, (_, n) => `/queue/${n}`).join(',');
    peer.send('BEGIN', { transaction: 't' });
    peer.send('SEND', { destination: '/queue/now', transaction: 't' }, 'of the transaction');
    for (let n = 0; n < 10_000; n++) peer.send('SEND', { destination, 'x-delay': '1', transaction: 't' }, 'x');
    peer.send('COMMIT', { transaction: 't' });
    const error = await peer.refused();
    expect([error.header('message'), error.text.trim()]).toEqual([
      'too many scheduled messages',
      'at most 1000000 messages wait for their time, and 1 does already',
    ]);
    await other.receipted('SEND', { destination: '/queue/now' }, 'another');
    expect((await other.rest()).map(({ text }) => text)).toEqual(['another']);
  });
});

describe('subscriptions', () => {
  const destination = '/topic/a';
  const headers = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, n) => [`x${n}`, 'y'.repeat(10_000)]));
  const like = (terms: number) => Array.from({ length: terms }, (_, n) => `a LIKE '%${n}%b%a%'`).join(' OR ');

  it('may take a quarter of the memory, 16 MiB at least, and those of a session a quarter of that', async () => {
    const server = await serve('--max-memory', '1MiB');
    const own =
      'subscriptions take memory, those of a session may take 4194304 octets here: have fewer of them, or fewer and ' +
      'shorter headers, spread them over more connections, or give the server more memory for messages (max-memory)';
    const attempts: [Headers, number][] = [
      [headers(70), 3],
      [{ selector: like(350) }, 6],
      [{}, 4_000],
    ];
    for (const [more, most] of attempts) {
      const peer = await server.connect();
      for (let n = 0; n <= most; n++) peer.send('SUBSCRIBE', { id: `${n}`, destination, ...more });
      const error = await peer.refused();
      expect([error.header('message'), error.text]).toEqual(['too many subscriptions', expect.stringContaining(own)]);
    }
    // What has ended takes nothing.
    const peer = await server.connect();
    for (let n = 0; n < 10; n++) {
      await peer.subscribe(destination, { id: 'one', ...headers(100) });
      await peer.receipted('UNSUBSCRIBE', { id: 'one' });
    }
    const others = [];
    for (let n = 0; n < 5; n++) {
      others.push(await server.connect());
      await others[n]!.subscribe(destination, { id: 'one', ...headers(160) });
    }
    peer.send('SUBSCRIBE', { id: 'two', destination, ...headers(60) });
    expect((await peer.refused()).text).toContain('subscriptions take memory, all may take 16777216 octets here');
    others[0]!.end();
    await others[0]!.closed();
    await (await server.connect()).subscribe(destination, headers(60));
    await others[1]!.receipted('SEND', { destination: '/queue/a' }, 'still here');
  });

  it('that are durable take memory for their selectors while they are away, too', async () => {
    const server = await serve('--max-memory', '1MiB');
    const durable = (n: number) => ({ 'durable-subscription-name': `d${n}`, selector: like(350) });
    const refusal = async () => {
      for (let n = 0; n < 30; n++) {
        const peer = await server.connect();
        peer.send('SUBSCRIBE', { id: '1', destination, receipt: 'r', ...durable(n) });
        const answer = await peer.frame();
        peer.end();
        await peer.closed();
        if (answer.command === 'ERROR') return answer.text;
      }
      return 'none';
    };
    expect(await refusal()).toContain('those from an address may take 8388608 octets here');
    const peer = await server.connect();
    for (let n = 0; n < 5; n++) {
      await peer.subscribe(destination, { id: `${n}`, ...durable(n) });
      await peer.receipted('UNSUBSCRIBE', { id: `${n}`, ...durable(n), destination });
    }
    expect(await refusal()).toContain('those from an address may take');
  });

  const collect = (peer: RawPeer, queue: string, name: (n: number) => string, headers: Headers = {}) => {
    for (let n = 0; n < 1_000; n++) {
      peer.send('SUBSCRIBE', { id: '1', destination: name(n), 'x-queue-name': queue, ...headers });
      peer.send('UNSUBSCRIBE', { id: '1' });
    }
  };

  it('make a queue collect from at most 1,000 topics, however many there were before', async () => {
    const server = await serve();
    const [peer, other] = [await server.connect(), await server.connect()];
    collect(peer, 'a', (n) => `/topic/${n}`);
    for (const name of ['a', 'b']) await peer.subscribe('/topic/7', { 'x-queue-name': name });
    peer.send('SUBSCRIBE', { id: '1', destination: '/topic/another', 'x-queue-name': 'a' });
    const error = await peer.refused();
    expect([error.header('message'), error.text.trim()]).toEqual([
      'too many topics',
      'a queue collects from at most 1000 topics: subscribe to a pattern of them, or name another queue',
    ]);
    await other.subscribe('/queue/a');
    for (const topic of ['another', '7']) await other.receipted('SEND', { destination: `/topic/${topic}` }, topic);
    expect(await other.texts(1)).toEqual(['7']);
  });

  it('take memory for the topics that queues collect from, until these go', async () => {
    const server = await serve('--max-memory', '1MiB');
    const peer = await server.connect();
    for (let n = 0; n < 20; n++) {
      collect(peer, `short ${n}`, (topic) => `/topic/${topic}`, { 'x-expires': '1' });
      await peer.receipted('SEND', { destination: '/topic/none' }, 'x');
    }
    for (let n = 0; n < 20; n++) collect(peer, `${n}`, (topic) => `/topic/${topic}`);
    expect((await peer.refused()).text).toContain('those from an address may take 8388608 octets here');
  });

  it('to patterns take memory for each level, those that are durable while they are away, too', async () => {
    const server = await serve('--max-memory', '1MiB');
    const pattern = (n: number) => `/topic/*.${n}${'.a'.repeat(125)}`;
    const peer = await server.connect();
    for (let n = 0; n < 60; n++) peer.send('SUBSCRIBE', { id: `${n}`, destination: pattern(n) });
    expect((await peer.refused()).text).toContain('those of a session may take 4194304 octets here');
    const durable = (name: string) => ({ id: '1', 'durable-subscription-name': name });
    const next = await server.connect();
    for (let n = 0; n < 250; n++) {
      await next.subscribe(pattern(n), durable('one'));
      await next.receipted('UNSUBSCRIBE', { destination: pattern(n), ...durable('one') });
    }
    for (let n = 0; n < 250; n++) {
      next.send('SUBSCRIBE', { destination: pattern(n), ...durable(`${n}`) });
      next.send('UNSUBSCRIBE', { id: '1' });
    }
    expect((await next.refused()).text).toContain('those from an address may take 8388608 octets here');
  });

  it('by patterns take memory at each queue', async () => {
    const server = await serve('--max-memory', '1MiB');
    const [maker, reader] = [await server.connect(), await server.connect()];
    for (let n = 0; n < 300; n++) maker.send('SEND', { destination: `/queue/a.${n}`, 'x-expires': '60000' }, 'x');
    await maker.receipted('SEND', { destination: '/queue/b' }, 'x');
    for (let n = 0; n < 20; n++) reader.send('SUBSCRIBE', { id: `${n}`, destination: '/queue/a.#', ack: 'client' });
    expect((await reader.refused()).header('message')).toBe('too many subscriptions');
    // So do those that are there before the queues: who makes these is not to blame.
    const early = await server.connect();
    for (let n = 0; n < 20; n++) await early.subscribe('/queue/c.#', { id: `${n}`, ack: 'client' });
    for (let n = 0; n < 300; n++) maker.send('SEND', { destination: `/queue/c.${n}`, 'x-expires': '60000' }, 'x');
    expect((await early.refused()).header('message')).toBe('too many subscriptions');
    await maker.receipted('SEND', { destination: '/queue/b' }, 'still here');
  });

  it.each([
    ['/topic/', 300],
    ['/queue/', 60],
  ])('with selectors that take long hold up nobody else (%s)', async (kind, count) => {
    const server = await serve();
    const name = unique(`${kind}selected`);
    const [reader, publisher, witness] = [await server.connect(), await server.connect(), await server.connect()];
    for (let n = 0; n < count; n++) reader.send('SUBSCRIBE', { id: `${n}`, destination: name, selector: like(4) });
    await reader.subscribe(name, { id: 'all', selector: 'n IS NOT NULL' });
    const worst = await (async () => {
      const texts = reader.texts(20);
      for (let n = 0; n < 20; n++)
        publisher.send('SEND', { destination: name, n: `${n}`, a: 'ab'.repeat(4_000) }, `${n}`);
      let [longest, over] = [0, false];
      void texts.finally(() => (over = true));
      while (!over) {
        const start = performance.now();
        await witness.receipted('SEND', { destination: '/queue/witness', expires: '1' }, 'x');
        longest = Math.max(longest, performance.now() - start);
      }
      expect(await texts).toEqual(Array.from({ length: 20 }, (_, n) => `${n}`));
      return longest;
    })();
    // All of them take seconds.
    expect(worst).toBeLessThan(1_500);
  });
});

describe('memory', () => {
  const SIZE = 16 * 1024;
  const COUNT = 200;
  const body = (n: number) => `${n}`.padEnd(SIZE, '.');
  const numberOf = (text: string) => Number(text.slice(0, 8).replace(/\.+$/, ''));

  it('is held to --max-memory: publishers are slowed, not killed, consumers go on, and then all of them', async () => {
    const server = await serve('--max-memory', '1MiB');
    const destination = queue();
    const publisher = await server.open();
    await handshake(publisher, '1.2', { 'heart-beat': '0,200' });
    for (let n = 0; n < COUNT; n++) publisher.send('SEND', { destination, receipt: `r${n}` }, body(n));
    await server.program.says(/messages take 1048576 octets, the limit of memory: publishers are held up/);
    // It is not dead to the server, nor the server to it.
    await publisher.beats(2);

    const looker = await server.connect();
    await looker.subscribe(destination, { browser: 'true' });
    await looker.receipted('BEGIN', { transaction: 'after it' });
    const seen = looker.received.toString().split('\nMESSAGE\n').length - 1;
    expect(seen).toBeGreaterThan(0);
    expect(seen).toBeLessThanOrEqual(1 + 2 ** 20 / SIZE);

    const consumer = await server.connect();
    await consumer.subscribe(destination);
    const got = (await consumer.texts(COUNT)).map(numberOf);
    expect(got).toEqual(Array.from({ length: COUNT }, (_, n) => n));
    await publisher.receipt(`r${COUNT - 1}`);
    await server.program.says(/memory is free again: publishers go on/);
  });

  it('is freed by acknowledgements that stand behind messages on the same connection', async () => {
    const server = await serve('--max-memory', '1MiB');
    const destination = queue();
    const both = await server.connect();
    await both.subscribe(destination, { id: '1', ack: 'client-individual', 'prefetch-count': '1' });
    // Past the limit, but by less than one client's share of what is kept for those who are read on.
    const count = 66;
    for (let n = 0; n < count; n++) both.send('SEND', { destination }, body(n));
    await server.program.says(/publishers are held up/);
    for (let n = 0; n < count; n++) {
      const message = await both.message();
      expect(numberOf(message.text)).toBe(n);
      both.send('ACK', both.reference(message));
    }
  });

  // One may still acknowledge, the other one commit: so both have to be read on when memory is full.
  it.each([
    ['owes an acknowledgement', {}],
    ['has a transaction open', { transaction: 't' }],
  ])('is not overrun by a client that %s: it may send an eighth more, and others go on', async (_, headers) => {
    const most = 16 * 2 ** 20;
    const server = await serve('--max-memory', `${most}`);
    const destination = queue();
    const flood = await server.connect({ 'heart-beat': '0,0' });
    const owed = queue();
    await flood.subscribe(owed, { ack: 'client-individual' });
    await flood.receipted('SEND', { destination: owed }, 'owed');
    const message = await flood.message();
    if ('transaction' in headers) {
      await flood.receipted('ACK', flood.reference(message));
      await flood.receipted('BEGIN', headers);
    }
    const refused = flood.refused();
    for (let n = 0; n < 64; n++) flood.send('SEND', { destination, ...headers }, Buffer.alloc(2 ** 20, n));
    const error = await refused;
    expect(error.header('message')).toBe('memory is full');
    expect(error.text).toMatch(/the limit \(max-memory\) is 16777216, and this client .* acknowledge or commit before/);
    const [, taken] = /^messages take (\d+) octets/.exec(error.text)!;
    expect(Number(taken)).toBeLessThanOrEqual(most * (1 + 1 / 8) + 2 * 2 ** 20);

    const consumer = await server.connect();
    // What it owed is there again, and what was in its transaction is gone.
    await consumer.subscribe('transaction' in headers ? destination : owed, { ack: 'client-individual' });
    const other = await server.connect();
    await other.receipted('SEND', { destination: 'transaction' in headers ? destination : owed }, 'other');
    const texts = await consumer.texts('transaction' in headers ? 1 : 2);
    expect(texts).toEqual('transaction' in headers ? ['other'] : ['owed', 'other']);
  });

  it('is not overrun by many such clients either; ACK, COMMIT and ABORT of theirs still count', async () => {
    const most = 2 ** 20;
    const server = await serve('--max-memory', `${most}`);
    const destination = queue();
    const owed = queue();
    const clients = await Promise.all(Array.from({ length: 8 }, () => server.connect({ 'heart-beat': '0,0' })));
    const messages = [];
    for (const client of clients) {
      await client.subscribe(owed, { ack: 'client-individual', 'prefetch-count': '1' });
      await client.receipted('SEND', { destination: owed }, 'x'.repeat(40_000));
      messages.push(await client.message());
      await client.receipted('BEGIN', { transaction: 't' });
      client.send('SEND', { destination, transaction: 't' }, 'y'.repeat(40_000));
    }
    const publisher = await server.connect();
    for (let n = 0; n < COUNT; n++) publisher.send('SEND', { destination }, body(n));
    await server.program.says(/publishers are held up/);
    // Each adds a message, as far as there is room for all of them: none has used up a share of its own.
    const floods = clients.slice(2);
    const errors: string[] = [];
    for (const flood of floods) {
      flood.send('SEND', { destination }, 'z'.repeat(100_000));
      flood.send('SEND', { destination }, 'z'.repeat(10));
      flood.send('ACK', { ...flood.reference(messages[clients.indexOf(flood)]!), receipt: 'acknowledged' });
      await flood.receipt('acknowledged').catch(async () => errors.push((await flood.refused()).text));
    }
    expect(errors.length).toBeGreaterThan(0);
    for (const error of errors) {
      expect(error).toContain('and clients that may still acknowledge');
      expect(Number(/^messages take (\d+)/.exec(error)![1])).toBeLessThanOrEqual(most * 1.25 + 120_000);
    }
    const [one, two] = clients as [RawPeer, RawPeer];
    await one.receipted('ACK', one.reference(messages[0]!));
    await one.receipted('COMMIT', { transaction: 't' });
    await two.receipted('ACK', two.reference(messages[1]!));
    await two.receipted('ABORT', { transaction: 't' });
  });

  it.each<Headers>([{}, { passcode: 'x' }, { 'reply-to': '/temp-queue/a' }])(
    'counts the headers of messages, also of those that are not passed on as they came: %j',
    async (more) => {
      const server = await serve('--max-memory', '8MiB');
      const peer = await server.connect();
      // A megabyte each.
      const head = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`h${n}`, 'y'.repeat(10_000)]));
      for (let n = 0; n < 9; n++) peer.send('SEND', { destination: queue(), ...head, ...more }, 'x');
      await server.program.says(/messages take 8388608 octets, the limit of memory: publishers are held up/);
    },
  );

  it.each([
    ['small ones', 'SEND\ndestination:/queue/a\n\nx\0'],
    [
      'ones with headers that the broker reads',
      'SEND\ndestination:/queue/a\nreply-url:http://a/b\npriority:4\n\n{"id":1}\0',
    ],
    ['ones with many headers', `SEND\ndestination:/queue/a\nu:a:b\n${'abc:\n'.repeat(990)}\nx\0`],
  ])('by its default is enough for as many messages as publishers have: %s', async (_, frame) => {
    const server = await serveIn({ NODE_OPTIONS: '--max-old-space-size=100 --max-semi-space-size=4' });
    const socket = connectTcp(server.port, '127.0.0.1').resume();
    socket.write('CONNECT\naccept-version:1.2\nhost:h\n\n\0');
    const block = frame.repeat(Math.ceil(100_000 / frame.length));
    let held = false;
    const full = server.program.says(/the limit of memory: publishers are held up/).then(() => (held = true));
    while (!held) if (!socket.write(block)) await Promise.race([once(socket, 'drain'), full]);
    await (await server.connect()).receipted('BEGIN', { transaction: 't' });
    socket.destroy();
  });

  it('keeps of what a client names no more than that, whatever stood beside it', async () => {
    const server = await serveIn(SMALL_YOUNG);
    const peer = await server.connect();
    const head = Object.fromEntries(Array.from({ length: 400 }, (_, n) => [`h${n}`, 'y'.repeat(10_000)]));
    await peer.receipted('BEGIN', { transaction: 'before', ...head });
    const before = server.program.memory;
    // Of 320 MB of headers.
    for (let n = 0; n < 80; n++) await peer.receipted('BEGIN', { transaction: `transaction number ${n}`, ...head });
    expect(server.program.memory - before).toBeLessThan(100);
  });

  it('counts the place of a message at each of many who do not acknowledge, though the message is there once', async () => {
    const server = await serve('--max-memory', '8MiB');
    const destination = unique('/topic/limits');
    for (let n = 0; n < 2; n++) {
      const reader = await server.connect();
      for (let id = 0; id < 1_000; id++)
        reader.send('SUBSCRIBE', { destination, id: `${id}`, ack: 'client-individual', 'prefetch-count': '1' });
      await reader.receipted('BEGIN', { transaction: 't' });
    }
    const publisher = await server.connect();
    // Of 300 octets each, at 2,000 subscriptions.
    for (let n = 0; n < 200; n++) publisher.send('SEND', { destination }, 'x');
    await server.program.says(/messages take 8388608 octets, the limit of memory: publishers are held up/);
  });

  it('is not filled with copies of a queue for those who look through it, and do not read', async () => {
    const server = await serveIn(SMALL_YOUNG);
    const [publisher, watcher, looker] = [await server.connect(), await server.connect(), await server.connect()];
    const destination = queue();
    const some = `SEND\ndestination:${destination}\n\nx\0`.repeat(1_000);
    for (let n = 0; n < 50; n++) publisher.write(some);
    await publisher.receipted('BEGIN', { transaction: 't' });
    await watcher.subscribe('/topic/$SYS/subscriptions');
    const before = server.program.memory;
    looker.pause();
    for (let n = 0; n < 500; n++) looker.send('SUBSCRIBE', { destination, id: `${n}`, browser: 'true' });
    await watcher.messages(500);
    // 50,000 places of 8 octets, 500 times, would be 200 MB.
    expect(server.program.memory - before).toBeLessThan(80);
  });

  it('counts frames that are not complete: those who stop in the middle take turns, and lose them', async () => {
    const server = await serveIn(SMALL_YOUNG, '--max-memory', '16MiB', '--max-body', '2MiB', '--verbose', '2');
    const before = server.program.memory;
    const stuck = await Promise.all(Array.from({ length: 120 }, () => server.connect({ 'heart-beat': '0,0' })));
    const started = Buffer.concat([
      Buffer.from(`SEND\ndestination:${queue()}\ncontent-length:${2 ** 21}\n\n`),
      Buffer.alloc(1.9 * 2 ** 20, 'x'),
    ]);
    for (const peer of stuck) peer.write(started);

    // Meanwhile messages that are small go their way.
    const destination = queue();
    const [publisher, consumer] = [await server.connect(), await server.connect()];
    await consumer.subscribe(destination);
    let over = false;
    const lost = server.program.says(/ERROR memory is full: of a frame/).finally(() => (over = true));
    for (let n = 0; !over; n++) {
      await publisher.receipted('SEND', { destination }, `${n}`);
      expect(await consumer.texts(1)).toEqual([`${n}`]);
    }
    await lost;
    const error = await Promise.any(stuck.map((peer) => peer.refused()));
    expect(error.header('message')).toBe('memory is full');
    expect(error.text).toMatch(/^of a frame of up to 2097\d+ octets only \d+ were there, .*\(max-memory\)/);
    // All that they have sent would be 228 MiB.
    expect(server.program.peakMemory - before).toBeLessThan(100);
    for (const peer of stuck) peer.destroy();
    await publisher.receipted('SEND', { destination }, Buffer.alloc(2 ** 21));
  });

  it('is no reason to send those away who get on with their frames, however many they are', async () => {
    const size = 2 ** 18;
    const server = await serve('--max-memory', '1MiB', '--max-body', `${size}`);
    const destination = queue();
    const publishers = await Promise.all(Array.from({ length: 40 }, () => server.connect()));
    const consumer = await server.connect();
    await consumer.subscribe(destination);
    const halves = publishers.map((_, n) => Buffer.alloc(size / 2, n + 1));
    publishers.forEach((peer, n) => {
      peer.write(`SEND\ndestination:${destination}\ncontent-length:${size}\nreceipt:r\n\n`);
      peer.write(halves[n]!);
    });
    // None of them is complete, and they are more than there is room for; those who wait are alive.
    await consumer.receipted('BEGIN', { transaction: 't' });
    publishers.forEach((peer, n) => peer.write(Buffer.concat([halves[n]!, Buffer.of(0)])));
    await Promise.all(publishers.map((peer) => peer.receipt('r')));
    const got = await consumer.messages(publishers.length);
    const complete = got.filter(({ body }) => body.length === size && body.every((octet) => octet === body[0]));
    expect(new Set(complete.map(({ body }) => body[0])).size).toBe(publishers.length);
  });

  // Copies in the buffers of sockets in one case, in the other messages that wait in the topic.
  it.each([
    ['read', {}, '[{"destination":"/topic/#","slow-consumer":"drop-oldest","max-waiting":1024}]'],
    ['acknowledge', { ack: 'client', 'prefetch-count': '1' }, '[]'],
  ])(
    'counts what waits for clients that do not %s: publishers are slowed, then those are sent away',
    async (_, how, policies) => {
      const server = await serveIn(SMALL_YOUNG, '--max-memory', '16MiB', '--verbose', '2', '--policies', policies);
      const before = server.program.memory;
      const count = 40;
      const open = () => Promise.all(Array.from({ length: count }, () => server.connect({ 'heart-beat': '0,0' })));
      const [still, floods] = [await open(), await open()];
      const topics = still.map(() => unique('/topic/limits'));
      for (const [n, peer] of still.entries()) {
        await peer.subscribe(topics[n]!, how);
        if (!('ack' in how)) peer.pause();
      }
      const [other, consumer] = [await server.connect(), await server.connect()];
      const destination = queue();
      await consumer.subscribe(destination, { ack: 'client', 'prefetch-count': '1' });
      // More than the kernel takes, where they do not read.
      const body = Buffer.alloc(4096, 'x');
      for (const [n, peer] of floods.entries()) {
        for (let sent = 0; sent < 2000; sent++) peer.send('SEND', { destination: topics[n]! }, body);
      }
      await server.program.says(/publishers are held up/);
      for (let n = 0; n < 10; n++) other.send('SEND', { destination, receipt: `r${n}` }, `${n}`);
      await server.program.says(/ERROR slow consumer: \d+ octets wait for this client, .* \(max-memory\)/);
      await server.program.says(/memory is free again: publishers go on/);
      await other.receipt('r9');
      for (let n = 0; n < 10; n++) {
        const message = await consumer.message();
        expect(message.text).toBe(`${n}`);
        consumer.send('ACK', consumer.reference(message));
      }
      // All that was sent would be 313 MiB.
      expect(server.program.peakMemory - before).toBeLessThan(150);
      for (const peer of [...still, ...floods]) peer.destroy();
    },
  );
});

describe('messages that were sent and wait for an acknowledgement', () => {
  it('count once, though their subscription is forgotten before a COMMIT acknowledges them', async () => {
    const server = await serve('--max-memory', '1MiB');
    const [reader, sender] = [await server.connect(), await server.connect()];
    const [topic, last, body] = [unique('/topic/held'), queue(), 'x'.repeat(64 * 1024)];
    await reader.subscribe(topic, { id: 'held', ack: 'client-individual' });
    for (let n = 0; n < 14; n++) sender.send('SEND', { destination: topic }, body);
    reader.send('BEGIN', { transaction: 't' });
    for (const message of await reader.messages(14)) {
      reader.send('ACK', { id: message.header('ack')!, transaction: 't' });
    }
    // So many later ones that their own acknowledgements are not waited for any more.
    const ids = Array.from({ length: 101 }, (_, n) => `late${n}`);
    for (const id of ids) await reader.subscribe(`${topic}.late`, { id, ack: 'client' });
    await reader.subscribe(last, { id: 'last', ack: 'client' });
    sender.send('SEND', { destination: `${topic}.late` }, 'x');
    sender.send('SEND', { destination: last }, 'returned');
    await reader.messages(ids.length + 1);
    for (const id of ['held', ...ids, 'last']) reader.send('UNSUBSCRIBE', { id });
    await sender.subscribe(last);
    expect((await sender.message()).text).toBe('returned');
    await reader.receipted('COMMIT', { transaction: 't' });

    const consumer = await server.connect();
    await consumer.subscribe(last, { id: 'other' });
    for (let n = 0; n < 40; n++) await sender.receipted('SEND', { destination: `${topic}.none`, n: `${n}` }, body);
    const publisher = await server.connect();
    const busy = queue();
    for (let n = 0; n < 20; n++) publisher.send('SEND', { destination: busy, receipt: `${n}` }, body);
    await consumer.subscribe(busy, { id: 'busy' });
    await publisher.receipt('19');
    await publisher.receipted('SEND', { destination: busy }, body);
  });

  const MOST = 2 ** 21;
  const body = Buffer.alloc(2 ** 16, 'x');
  const HELD = /publishers are held up/;
  const FREE = /memory is free again: publishers go on/;

  it('count in --max-memory where they are of a topic: publishers are slowed, and all of them come', async () => {
    const server = await serve('--max-memory', `${MOST}`);
    const destination = unique('/topic/limits');
    const [publisher, consumer] = [await server.connect(), await server.connect()];
    await consumer.subscribe(destination, { id: '1', ack: 'client' });
    const count = 90;
    for (let n = 0; n < count; n++) publisher.send('SEND', { destination, receipt: `r${n}` }, body);
    await server.program.says(HELD);
    const got = (await consumer.rest()).filter(({ command }) => command === 'MESSAGE');
    expect(got.length).toBeGreaterThan(0);
    expect(got.length).toBeLessThanOrEqual(1 + MOST / body.length);
    consumer.send('ACK', consumer.reference(got.at(-1)!));
    await server.program.says(FREE);
    for (let n = got.length; n < count; n++) {
      const message = await consumer.message();
      expect(message.body).toHaveLength(body.length);
      consumer.send('ACK', consumer.reference(message));
    }
    await publisher.receipt(`r${count - 1}`);
  });

  it('count where they are of a queue of the durable store, which has others on disk', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'limits-'));
    directories.push(directory);
    const server = await serve('--data-dir', directory, '--max-memory', `${MOST}`);
    const destination = queue();
    const [publisher, consumer] = [await server.connect(), await server.connect()];
    const count = 90;
    const headers = { destination, persistent: 'true' };
    // While they wait they take no memory that is bounded.
    for (let n = 0; n < count; n++) await publisher.receipted('SEND', headers, body);
    await consumer.subscribe(destination, { id: '1', ack: 'client' });
    const messages = await consumer.messages(count);
    await server.program.says(HELD);
    for (let n = 0; n < count; n++) publisher.send('SEND', { ...headers, receipt: `r${n}` }, body);
    await consumer.receipted('ACK', consumer.reference(messages.at(-2)!));
    await server.program.says(FREE);
    await publisher.receipt('r0');
  });

  it('go with their client after a while in which it acknowledges none of that topic, whatever else it does', async () => {
    const server = await serve('--max-memory', `${MOST}`, '--verbose', '2');
    const [large, small] = [unique('/topic/limits'), unique('/topic/limits')];
    const [publisher, consumer] = [await server.connect(), await server.connect()];
    await consumer.subscribe(large, { id: '1', ack: 'client-individual' });
    await consumer.subscribe(small, { id: '2', ack: 'client-individual' });
    for (let n = 0; n < 90; n++) publisher.send('SEND', { destination: large, receipt: `r${n}` }, body);
    await server.program.says(HELD);
    const gone = server.program.says(/ERROR slow consumer: \d+ octets wait .* acknowledged nothing .*\(max-memory\)/);
    const busy = async (): Promise<string> => {
      for (;;) {
        consumer.send('SEND', { destination: small }, 'x');
        const message = await consumer.take('small MESSAGE', (got) => got.header('destination') === small);
        consumer.send('ACK', consumer.reference(message));
      }
    };
    await expect(busy()).rejects.toThrow('ERROR instead of small MESSAGE: slow consumer');
    await gone;
    await publisher.receipt('r89');
  });

  it.each([
    ['as long as their client may still acknowledge them', true],
    ['until nothing else makes room: then their client is not waited for any more, and stays', false],
  ])('count after others have had them %s', async (_, goes) => {
    const server = await serve('--max-memory', `${MOST}`);
    const destination = queue();
    const [publisher, consumer, other] = [await server.connect(), await server.connect(), await server.connect()];
    const few = 8;
    for (let round = 0; round < 3; round++) {
      await consumer.subscribe(destination, { id: `${round}`, ack: 'client' });
      for (let n = 0; n < few; n++) publisher.send('SEND', { destination }, body);
      await consumer.messages(few);
      await other.subscribe(destination, { id: `${round}`, ack: 'client' });
      consumer.send('UNSUBSCRIBE', { id: `${round}` });
      const messages = await other.messages(few);
      await other.receipted('ACK', other.reference(messages.at(-1)!));
      await other.receipted('UNSUBSCRIBE', { id: `${round}` });
    }
    const elsewhere = queue();
    for (let n = 0; n < 12; n++) publisher.send('SEND', { destination: elsewhere, receipt: `r${n}` }, body);
    await server.program.says(HELD);
    if (goes) consumer.destroy();
    await server.program.says(FREE);
    await publisher.receipt('r11');
    if (!goes) await consumer.receipted('SEND', { destination: queue() }, 'still here');
  });
});

describe('the log', () => {
  it('is not filled by those who are refused: of more than --max-log-lines a second only the number is said', async () => {
    const server = await serve('--deny', '127.0.0.1', '--verbose', '2', '--max-log-lines', '20');
    for (let n = 0; n < 200; n++) await (await server.open()).closed().catch(() => undefined);
    const counts = () => {
      const lines = server.program.stderr.split('\n');
      const said = lines.filter((line) => line.includes('the address is not allowed')).length;
      const left = lines.flatMap((line) => /(\d+) lines more in a second were left out/.exec(line)?.[1] ?? []);
      return { said, left: left.reduce((sum, count) => sum + Number(count), 0), seconds: left.length };
    };
    await server.program.until('all of them said or counted', () => counts().said + counts().left === 200);
    expect(counts().left).toBeGreaterThan(0);
  });

  it('says nothing of lines that are left out where none of them would be written', async () => {
    const server = await serve('--deny', '127.0.0.1', '--verbose', '0', '--max-log-lines', '20');
    // What is left out of a second is said when it is over.
    for (const began = performance.now(); performance.now() - began < 2_500;) {
      await (await server.open()).closed().catch(() => undefined);
    }
    expect(server.program.stderr).toBe('');
  });

  it('holds no stack of whatever clients do wrong, and no control characters of theirs', async () => {
    const server = await serve('--verbose', '5', '--users', 'ann:one');
    const evil = 'x\u001b[31m\u0007\u009b2J\rINFO forged\u202e';
    const attempts = [
      `CONNECT\naccept-version:1.2\nhost:h\nlogin:${evil}\npasscode:y\n\n\0`,
      `${evil}\n\n\0`,
      `CONNECT\nno colon ${evil}\n\n\0`,
      'CONNECT\naccept-version:9\n\n\0',
      '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
      `GET /${evil.replace(/\s/g, '')} HTTP/1.1\r\n\r\n`,
      `CONNECT\naccept-version:1.2\nhost:h\nlogin:ann\npasscode:one\n\n\0SEND\ndestination:/queue/${evil.replace('\r', '')}\n\n\0`,
      `CONNECT\naccept-version:1.2\nhost:h\nlogin:ann\npasscode:one\n\n\0SUBSCRIBE\nid:${evil.replace('\r', '')}\ndestination:/queue/a\nselector:((\n\n\0`,
      'CONNECT\naccept-version:1.2\nhost:h\nlogin:ann\npasscode:one\n\n\0COMMIT\ntransaction:none\n\n\0',
    ];
    for (const octets of attempts) {
      const peer = await server.open();
      peer.write(octets);
      await peer.closed();
      peer.end();
    }
    await server.program.stop();
    const log = server.program.stderr;
    expect(log).toContain('unknown transaction');
    expect(log).not.toMatch(/^\s+at /m);
    // eslint-disable-next-line no-control-regex -- that is what must not be there
    expect(log).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    expect(log).not.toMatch(/^INFO forged/m);
  });
});
