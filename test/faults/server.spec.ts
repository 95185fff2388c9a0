import { beforeEach, describe, expect, test } from '@jest/globals';
import { setImmediate as turn } from 'node:timers/promises';
import { type StompClient, type StompClientOptions } from 'nestjs-stomp/client';
import { answerDisconnect, failure, makeClient, makeServer, settle, stateOf, within } from '../support/client.js';
import { DEADLINE, type RawPeer } from '../support/raw.js';
import { type ScriptedServer } from '../support/scripted.js';

/*
 * The client library against servers that are broken or mean harm. Jest fails the test under which a rejection is not
 * handled or an exception not caught.
 */

/** As much as breaks any limit that the clients here have. */
const ENDLESS = 128 * 1024;
const LIMITS = { maxBody: 64 * 1024, maxHeaders: 50 };

let server: ScriptedServer;
/** What others, before this, have left open in this process. */
let before: { sockets: number; timers: number };

/** How many of those keep the process alive. */
const alive = (kind: RegExp): number => process.getActiveResourcesInfo().filter((name) => kind.test(name)).length;
const sockets = () => alive(/TCP/);
const timers = () => alive(/Timeout/);

beforeEach(async () => {
  before = { sockets: sockets(), timers: timers() };
  server = await makeServer();
});

/** Waits for what no event tells of. */
async function until(holds: () => boolean): Promise<void> {
  const due = performance.now() + DEADLINE;
  while (!holds() && performance.now() < due) await turn();
}

const patient = (options: StompClientOptions = {}): StompClient =>
  makeClient({ url: server.url, ...LIMITS, reconnect: { initialDelay: 5, maxDelay: 20, jitter: 0 }, ...options });

/** The next connection, whose CONNECT is answered with these octets. */
async function answer(octets: string): Promise<RawPeer> {
  const peer = await server.accept();
  await peer.take('CONNECT', ({ command }) => command === 'CONNECT');
  peer.write(octets);
  return peer;
}

/** Goes on as with any server, disconnects, and leaves no timer and no socket behind. */
async function endsWell(client: StompClient, peer: RawPeer): Promise<void> {
  await settle(client, peer);
  const left = client.disconnect();
  await answerDisconnect(peer);
  await within('end', left);
  await server.close();
  await until(() => sockets() <= before.sockets && timers() <= before.timers);
  expect(sockets()).toBeLessThanOrEqual(before.sockets);
  expect(timers()).toBeLessThanOrEqual(before.timers);
}

describe('a server that never gets as far as CONNECTED', () => {
  const late = /did not answer CONNECT within 400 ms/;
  const attacks: [what: string, octets: string, why: RegExp][] = [
    ['garbage', '\u0001\u00ff\u0000\u0000garbage\u0000', /malformed frame/],
    ['an answer of HTTP', 'HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n\0', /malformed frame|instead of/],
    [
      'a MESSAGE',
      'MESSAGE\nsubscription:s1\nmessage-id:1\ndestination:/queue/a\n\n\0',
      /"MESSAGE" instead of CONNECTED/,
    ],
    ['a command without an end', 'C'.repeat(ENDLESS), /malformed frame/],
    ['a header without an end', `CONNECTED\na:${'b'.repeat(ENDLESS)}`, /malformed frame/],
    ['headers without an end', `CONNECTED\n${'a:b\n'.repeat(ENDLESS / 4)}`, /malformed frame/],
    ['a body without an end', `CONNECTED\nversion:1.2\n\n${'b'.repeat(ENDLESS)}`, /malformed frame/],
    ['a huge content-length', 'CONNECTED\nversion:1.2\ncontent-length:99999999999999\n\n', /malformed frame/],
    ['a version that was not offered', 'CONNECTED\nversion:9\n\n\0', /"9", which was not offered/],
    ['a negative heart-beat', 'CONNECTED\nversion:1.2\nheart-beat:-1,-1\n\n\0', /heart-beat header/],
    ['a heart-beat of words', 'CONNECTED\nversion:1.2\nheart-beat:often,always\n\n\0', /heart-beat header/],
    ['a heart-beat of one number', 'CONNECTED\nversion:1.2\nheart-beat:1000\n\n\0', /heart-beat header/],
    ['half a CONNECTED', 'CONNECTED\nvers', late],
    ['nothing but ends of lines', '\n'.repeat(1000), late],
    ['nothing at all', '', late],
  ];

  test.each(attacks)('but sends %s: connect says so in the end, and works again', async (_, octets, why) => {
    const client = patient({ connectedTimeout: why === late ? 400 : DEADLINE });
    const failed = failure(client.connect({ maxAttempts: 2 }));
    await answer(octets);
    await answer(octets);
    const error = await failed;
    expect(error).toMatchObject({ code: 'connect-failed', message: expect.stringMatching(why) });
    expect(error.message.length).toBeLessThan(1000);

    const opened = client.connect();
    const { peer } = await server.handshake('1.2');
    await opened;
    await endsWell(client, peer);
  });
});

describe('a server that breaks the rules once it is connected', () => {
  const error = 'ERROR\nmessage:no\n\n\0';
  const attacks: [what: string, attack: (peer: RawPeer) => void, why: RegExp][] = [
    ['garbage', (peer) => peer.write('\u0001\u00ff\u0000'), /malformed frame/],
    ['CONNECTED again', (peer) => peer.write('CONNECTED\nversion:1.2\n\n\0'), /"CONNECTED" frame: it may not/],
    ['a frame of clients', (peer) => peer.write('SEND\ndestination:/queue/a\n\n\0'), /"SEND" frame: it may not/],
    ['a command without an end', (peer) => peer.write('M'.repeat(ENDLESS)), /malformed frame/],
    ['a header without an end', (peer) => peer.write(`MESSAGE\na:${'b'.repeat(ENDLESS)}`), /malformed frame/],
    ['headers without an end', (peer) => peer.write(`MESSAGE\n${'a:b\n'.repeat(ENDLESS / 4)}`), /malformed frame/],
    ['a body without an end', (peer) => peer.write(`MESSAGE\n\n${'b'.repeat(ENDLESS)}`), /malformed frame/],
    ['a huge content-length', (peer) => peer.write('MESSAGE\ncontent-length:99999999999999\n\n'), /malformed frame/],
    ['a negative content-length', (peer) => peer.write('MESSAGE\ncontent-length:-1\n\n\0'), /malformed frame/],
    ['an escape that there is not', (peer) => peer.write('MESSAGE\nsubscription:\\x\n\n\0'), /malformed frame/],
    ['ERRORs without an end', (peer) => peer.write(error.repeat(10_000)), /the server sent an ERROR: "no"/],
    [
      'RECEIPTs after an ERROR',
      (peer) => peer.write(`${error}RECEIPT\nreceipt-id:r1\n\n\0RECEIPT\nreceipt-id:r2\n\n\0`),
      /the server sent an ERROR: "no"/,
    ],
    ['no more, and half closes', (peer) => peer.end(), /the server closed the connection/],
    ['no more, and is gone', (peer) => peer.destroy(), /the connection was lost|closed the connection/],
    [
      'half a frame, and half closes',
      (peer) => {
        peer.write('RECEIPT\nreceipt-id:r1');
        peer.end();
      },
      /the server closed the connection/,
    ],
  ];

  test.each(attacks)('and sends %s: what waits fails, and the next server is taken', async (_, attack, why) => {
    const client = patient();
    const errors: Error[] = [];
    const attempts: string[] = [];
    client.on('error', (what) => errors.push(what)).on('attempt', ({ url }) => attempts.push(url));
    const opened = client.connect();
    const first = await server.handshake('1.2');
    await opened;
    client.subscribe('/queue/a', () => undefined, { ack: 'client-individual' });
    const published = failure(client.publish('/queue/a', 'x'));
    await first.peer.take('SEND', ({ command }) => command === 'SEND');
    attack(first.peer);
    expect(await published).toMatchObject({
      code: 'connection-lost',
      message: expect.stringMatching(/whether the frame was processed is unknown/),
    });
    await stateOf(client, 'connecting');
    expect(client.reason?.message).toMatch(why);
    expect(errors.length).toBeLessThan(2);

    const connected = stateOf(client, 'connected');
    const { peer } = await server.handshake('1.2');
    await connected;
    await peer.take('SUBSCRIBE', ({ command }) => command === 'SUBSCRIBE');
    expect(attempts).toHaveLength(2);
    await endsWell(client, peer);
  });
});

describe('a server that is odd, but no worse', () => {
  const oddities: [what: string, octets: string][] = [
    [
      'RECEIPTs for nothing',
      'RECEIPT\nreceipt-id:r99\n\n\0RECEIPT\n\n\0RECEIPT\nreceipt-id:__proto__\n\n\0'.repeat(1000),
    ],
    ['MESSAGEs for nobody', 'MESSAGE\nsubscription:__proto__\nmessage-id:1\ndestination:/q\n\nx\0'.repeat(5000)],
    ['MESSAGEs without any header', 'MESSAGE\n\n\0'.repeat(1000)],
    ['headers of the language', 'MESSAGE\n__proto__:x\nconstructor:y\nsubscription:toString\n\n\0'],
    ['ends of lines without an end', '\n'.repeat(1024 * 1024)],
  ];

  test.each(oddities)('and sends %s: the connection goes on', async (_, octets) => {
    const client = patient();
    const opened = client.connect();
    const { peer } = await server.handshake('1.2');
    await opened;
    peer.write(octets);
    await endsWell(client, peer);
  });

  const huge = '9'.repeat(400);
  const beats: [what: string, header: string][] = [
    ['1 ms', '1,1'],
    ['400 digits', `${huge},${huge}`],
    ['more than timers can wait', '4294967296,4294967296'],
  ];

  test.each(beats)('and wants heart-beats of %s: it gets none more often than was offered', async (_, header) => {
    const client = patient({ heartbeat: { outgoing: 20_000, incoming: 20_000 } });
    const opened = client.connect();
    const { peer } = await server.handshake('1.2', { 'heart-beat': header });
    await opened;
    const beats = () => peer.received.toString().match(/(?<=\0\n)\n+/g) ?? [];
    for (let i = 0; i < 20; i++) await settle(client, peer);
    expect(beats()).toEqual([]);
    await endsWell(client, peer);
  });

  test('and sends an octet at a time: each frame is taken', async () => {
    const client = patient();
    const opened = client.connect();
    const peer = await answer('');
    await peer.drip('CONNECTED\nversion:1.2\n\n\0');
    peer.version = '1.2';
    await within('CONNECTED', opened);
    const got: string[] = [];
    client.subscribe('/queue/a', ({ text }) => void got.push(text), { id: 'a' });
    await peer.drip('MESSAGE\nsubscription:a\nmessage-id:1\ndestination:/queue/a\n\nhello\0');
    await settle(client, peer);
    expect(got).toEqual(['hello']);
    await endsWell(client, peer);
  });

  test('and names neither message nor acknowledgement: the handler runs, and nothing throws', async () => {
    const client = patient();
    const errors: Error[] = [];
    client.on('error', (error) => errors.push(error));
    const opened = client.connect();
    const { peer } = await server.handshake('1.2');
    await opened;
    const got: string[] = [];
    client.subscribe('/queue/a', ({ id, text }) => void got.push(id + text), { id: 'a', ack: 'client-individual' });
    peer.write('MESSAGE\nsubscription:a\ndestination:/queue/a\n\none\0MESSAGE\nsubscription:a\n\ntwo\0');
    await settle(client, peer);
    expect(got).toEqual(['one', 'two']);
    await endsWell(client, peer);
  });

  test('and never answers: publish and disconnect come to their ends by time', async () => {
    const client = patient({ receiptTimeout: 30 });
    const opened = client.connect();
    await server.handshake('1.2');
    await opened;
    expect(await failure(client.publish('/queue/a', 'x'))).toMatchObject({ code: 'receipt-timeout' });
    await within('end', client.disconnect({ deadline: 20 }));
    expect(client.state).toBe('disconnected');
  });
});

test('a server that ends each connection right after CONNECTED is asked ever less often', async () => {
  const client = patient({ reconnect: { initialDelay: 1, factor: 2, maxDelay: 60_000, jitter: 0 } });
  const delays: number[] = [];
  client.on('retry', ({ delay }) => delays.push(delay));
  client.subscribe('/queue/a', () => undefined);
  const opened = client.connect();
  for (let i = 0; i < 7; i++) (await answer('CONNECTED\nversion:1.2\n\n\0')).end();
  await opened;
  const { peer } = await server.handshake('1.2');
  await stateOf(client, 'connected');
  expect(delays).toEqual([1, 2, 4, 8, 16, 32, 64]);
  await endsWell(client, peer);
});
