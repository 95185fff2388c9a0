/*
 * The rules of the specification that are a client's to keep, by their numbers. What the other files of this folder
 * show in depth stands here once for each version.
 */
import { expect, it } from '@jest/globals';
import { setTimeout as pause } from 'node:timers/promises';
import { NotConnectedError, ProtocolError, RefusedError, ServerError, type StompMessage } from 'nestjs-stomp/client';
import {
  answerDisconnect,
  connectPair,
  deliver,
  failure,
  gate,
  makeClient,
  makeServer,
  stateOf,
  takeAndConfirm,
  within,
} from '../../../support/client.js';
import { type RawPeer } from '../../../support/raw.js';
import { type Headers, type RawFrame, type Version } from '../../../support/wire.js';

const ALL: readonly Version[] = ['1.0', '1.1', '1.2'];
const SINCE_1_1: readonly Version[] = ['1.1', '1.2'];

function rule(numbers: string, versions: readonly Version[], text: string, test: (version: Version) => Promise<void>) {
  for (const version of versions) it(`${numbers} [${version}] ${text}`, () => test(version));
}

const take = (peer: RawPeer, command: string) => peer.take(command, (got) => got.command === command);

/** The commands of the frames that have come in, in their order. */
const commandsOf = (peer: RawPeer) =>
  [...peer.received.toString().matchAll(/(?:^|\0\n*)([A-Z]+)\n/g)].map(([, command]) => command);

/** What a client says that offers this version alone. */
async function greetingOf(version: Version): Promise<RawFrame> {
  return (await connectPair(version, { versions: [version], login: 'anna', passcode: 's3cret' })).connect;
}

/** What a client makes of this CONNECTED frame. */
async function welcomed(version: Version, headers: Headers) {
  const server = await makeServer();
  const client = makeClient({ url: server.url, versions: [version], reconnect: false });
  const opened = client.connect();
  opened.catch(() => undefined);
  await server.handshake(version, headers);
  return { client, opened };
}

/** A connection on which the client beats that often, as agreed, and the server need not. */
const beating = (version: Version, interval: number) =>
  connectPair(version, { heartbeat: { outgoing: interval, incoming: 0 } }, { 'heart-beat': `0,${interval}` });

rule('20', SINCE_1_1, 'text and headers are UTF-8, both ways', async (version) => {
  const { client, peer } = await connectPair(version);
  client.send('/queue/ü', 'Grüße €😀', { headers: { größe: 'Zoë' } });
  const sent = await take(peer, 'SEND');
  expect([sent.header('destination'), sent.header('größe'), sent.text]).toEqual(['/queue/ü', 'Zoë', 'Grüße €😀']);
  expect(sent.header('content-length')).toBe(String(Buffer.byteLength('Grüße €😀')));

  const got = gate<StompMessage>();
  client.subscribe('/queue/ü', got.open, { id: 's' });
  await takeAndConfirm(peer, 'SUBSCRIBE');
  const headers = { subscription: 's', 'message-id': '1', destination: '/queue/ü', größe: 'Zoë' };
  peer.send('MESSAGE', headers, 'Grüße €😀');
  const message = await within('MESSAGE', got.promise);
  expect([message.destination, message.headers.get('größe'), message.text]).toEqual(['/queue/ü', 'Zoë', 'Grüße €😀']);
});

rule('22', ALL, 'the client sends client commands only', async (version) => {
  const { client, peer } = await connectPair(version);
  const subscription = client.subscribe('/queue/a', () => undefined, { ack: 'client', id: 's' });
  await takeAndConfirm(peer, 'SUBSCRIBE');
  deliver(peer, 's', 1);
  await take(peer, 'ACK');
  const transaction = client.begin();
  transaction.send('/queue/a', 'x');
  transaction.abort();
  void subscription.unsubscribe();
  await takeAndConfirm(peer, 'UNSUBSCRIBE');
  const left = client.disconnect();
  await answerDisconnect(peer);
  await left;
  expect(commandsOf(peer)).toEqual([
    ...['CONNECT', 'SUBSCRIBE', 'ACK', 'BEGIN', 'SEND', 'ABORT', 'UNSUBSCRIBE', 'DISCONNECT'],
  ]);
});

rule('22', ALL, 'a server that sends anything else is left', async (version) => {
  const { client, peer } = await connectPair(version, { reconnect: false });
  peer.send('SEND', { destination: '/queue/a' });
  const reason = await stateOf(client, 'disconnected');
  expect(reason).toBeInstanceOf(ProtocolError);
  expect(reason?.message).toContain('"SEND"');
  await peer.closed();
});

rule('50', SINCE_1_1, 'a body without content-type is bytes, as they came', async (version) => {
  const { client, peer } = await connectPair(version);
  const got = gate<StompMessage>();
  client.subscribe('/queue/a', got.open, { id: 's' });
  await takeAndConfirm(peer, 'SUBSCRIBE');
  const body = Buffer.from([0xff, 0x00, 0xfe, 0x0a, 0x80]);
  const headers = { subscription: 's', 'message-id': '1', destination: '/queue/a', 'content-length': '5' };
  peer.send('MESSAGE', headers, body);
  expect((await within('MESSAGE', got.promise)).body).toEqual(body);
});

rule('59', ['1.0'], 'login and passcode open the session that CONNECTED names', async (version) => {
  const { client, connect } = await connectPair(version, { login: 'anna', passcode: 's3cret' }, { session: 'abc' });
  expect([connect.header('login'), connect.header('passcode')]).toEqual(['anna', 's3cret']);
  expect([client.version, client.sessionId]).toEqual(['1.0', 'abc']);
});

rule('61 79', ALL, 'opens with CONNECT rather than STOMP, and asks for no receipt', async (version) => {
  const connect = await greetingOf(version);
  expect(connect.command).toBe('CONNECT');
  expect(connect.header('receipt')).toBeUndefined();
});

rule('62', ALL, 'sets accept-version', async (version) => {
  expect((await greetingOf(version)).header('accept-version')).toBe(version);
});

rule('63', ALL, 'sets host', async (version) => {
  expect((await greetingOf(version)).header('host')).toBe('127.0.0.1');
});

rule('66', SINCE_1_1, 'sets login, passcode and heart-beat', async (version) => {
  const connect = await greetingOf(version);
  expect([connect.header('login'), connect.header('passcode')]).toEqual(['anna', 's3cret']);
  expect(connect.header('heart-beat')).toBe('0,0');
});

rule('71', ['1.2'], 'lists the versions upwards, whatever the order of the option', async (version) => {
  const { connect } = await connectPair(version, { versions: ['1.2', '1.0', '1.1'] });
  expect(connect.header('accept-version')).toBe('1.0,1.1,1.2');
});

rule('76', ALL, 'goes by the rules of the version in CONNECTED', async (version) => {
  const { client, peer } = await connectPair(version);
  expect(client.version).toBe(version);
  client.send('/queue/a', 'x', { headers: { path: 'C:\\new' } });
  const [line] = (await take(peer, 'SEND')).lines.filter((text) => text.startsWith('path'));
  expect(line).toBe(version === '1.0' ? 'path:C:\\new' : 'path:C\\c\\\\new');
});

rule('76', SINCE_1_1, 'a CONNECTED without version means 1.0, and a version not offered an end', async (version) => {
  const { client, opened } = await welcomed(version, { version: '1.0' });
  const error = await failure(opened);
  expect(error.message).toContain(`the server chose STOMP "1.0", which was not offered: ${version}`);
  expect(client.state).toBe('disconnected');
  const older = await connectPair('1.0', { versions: ['1.0', version] });
  expect(older.client.version).toBe('1.0');
});

rule('80', SINCE_1_1, 'heart-beat is two whole numbers, and nothing else is taken for it', async (version) => {
  const { connect } = await connectPair(version, { heartbeat: { outgoing: 1234, incoming: 0 } });
  expect(connect.header('heart-beat')).toBe('1234,0');
  for (const malformed of ['', '1', '1;2', '-1,1', '1,x', '1,2,3']) {
    const { opened } = await welcomed(version, { 'heart-beat': malformed });
    expect((await failure(opened)).message).toContain('heart-beat');
  }
});

rule('81', SINCE_1_1, 'no heart-beat header in CONNECTED means none at all', async (version) => {
  const quiet = await connectPair(version, { heartbeat: { outgoing: 5, incoming: 5 } });
  const { peer } = await beating(version, 5);
  await peer.beats(6);
  expect(commandsOf(quiet.peer)).toEqual(['CONNECT']);
  expect(quiet.peer.received.toString()).toMatch(/\0\n?$/);
  expect(quiet.client.state).toBe('connected');
});

rule('82 83 84 85', SINCE_1_1, 'each direction is agreed on by itself', async (version) => {
  // The client can beat and the server wants it; the server cannot, however much the client wants it to.
  const heartbeat = { outgoing: 5, incoming: 5 };
  const { client, peer } = await connectPair(version, { heartbeat, heartbeatTolerance: 1 }, { 'heart-beat': '0,20' });
  const [first, second, third] = await peer.beats(3);
  // Every 20 ms, the larger of the two: sent after half of that, so two beats are no less than one interval apart.
  expect(third! - first!).toBeGreaterThan(15);
  expect(second).toBeGreaterThan(first!);
  await peer.beats(3);
  expect(client.state).toBe('connected');

  // The other way round.
  const other = await connectPair(
    version,
    { heartbeat, heartbeatTolerance: 1, reconnect: false },
    { 'heart-beat': '20,0' },
  );
  const reason = await stateOf(other.client, 'disconnected');
  expect(reason?.message).toContain('heart-beat missed');
  expect(other.peer.received.toString()).toMatch(/\0\n?$/);
});

rule('86', SINCE_1_1, 'something comes at least as often as agreed on', async (version) => {
  const { peer } = await beating(version, 1_000);
  const beats = await peer.beats(3);
  for (let i = 1; i < beats.length; i++) expect(beats[i]! - beats[i - 1]!).toBeLessThanOrEqual(1_000);
});

rule('86', SINCE_1_1, 'a frame in time does for a beat', async (version) => {
  const { client, peer } = await beating(version, 400);
  for (let i = 0; i < 20; i++) {
    client.send('/queue/a', 'busy');
    await take(peer, 'SEND');
    await pause(20);
  }
  // Twenty frames, each with the one EOL that ends it, and nothing in between.
  expect(peer.received.toString()).not.toMatch(/\0\n\n/);
});

rule('87 88', SINCE_1_1, 'a beat is a single line feed', async (version) => {
  const { peer } = await beating(version, 10);
  const before = peer.received.length;
  await peer.beats(4);
  expect(peer.received.subarray(before).toString()).toMatch(/^\n{4,}$/);
});

rule('89', SINCE_1_1, 'any octet is a sign of life, part of a frame too', async (version) => {
  const heartbeat = { outgoing: 0, incoming: 400 };
  const { client, peer } = await connectPair(version, { heartbeat }, { 'heart-beat': '400,0' });
  const got = gate<StompMessage>();
  client.subscribe('/queue/a', got.open, { id: 's' });
  await takeAndConfirm(peer, 'SUBSCRIBE');
  peer.write('MESSAGE\nsubscription:s\nmessage-id:1\ndestination:/queue/a\n\n');
  for (const octet of 'twelve octet') {
    await pause(80);
    peer.write(octet);
  }
  peer.write('\0');
  expect((await within('MESSAGE', got.promise)).text).toBe('twelve octet');
  expect(client.state).toBe('connected');
});

rule('90', SINCE_1_1, 'silence means the end after the interval and a margin, never before', async (version) => {
  const started = performance.now();
  const heartbeat = { outgoing: 0, incoming: 60 };
  const { client } = await connectPair(version, { heartbeat, reconnect: false }, { 'heart-beat': '60,0' });
  const reason = await stateOf(client, 'disconnected');
  expect(reason?.message).toContain('heart-beat missed');
  expect(performance.now() - started).toBeGreaterThanOrEqual(89);
});

rule(
  '92',
  ['1.0'],
  'there are no heart-beats, whatever a server says; line feeds between frames are legal',
  async () => {
    const quiet = await connectPair('1.0', { heartbeat: { outgoing: 5, incoming: 5 } }, { 'heart-beat': '5,5' });
    const { peer } = await beating('1.2', 5);
    await peer.beats(6);
    expect(quiet.peer.received.toString()).toMatch(/\0\n?$/);
    expect(quiet.client.state).toBe('connected');
    quiet.peer.write('\n\n\n');
    const published = quiet.client.publish('/queue/a');
    await takeAndConfirm(quiet.peer, 'SEND');
    await published;
  },
);

rule('100 101', ALL, 'each SUBSCRIBE has an id, and each another', async (version) => {
  const { client, peer } = await connectPair(version);
  for (let i = 0; i < 3; i++) client.subscribe('/queue/a', () => undefined);
  client.subscribe('/queue/a', () => undefined, { id: 's5' });
  client.subscribe('/queue/a', () => undefined);
  client.subscribe('/queue/a', () => undefined);
  const ids = new Set<string | undefined>();
  for (let i = 0; i < 6; i++) ids.add((await takeAndConfirm(peer, 'SUBSCRIBE')).header('id'));
  expect(ids.size).toBe(6);
  expect(ids).not.toContain(undefined);
  expect(() => client.subscribe('/queue/b', () => undefined, { id: 's5' })).toThrow('"s5" is in use');
});

rule('119', ALL, 'acknowledges what it has processed', async (version) => {
  const { client, peer } = await connectPair(version);
  client.subscribe('/queue/a', () => undefined, { ack: 'client', id: 's' });
  await takeAndConfirm(peer, 'SUBSCRIBE');
  deliver(peer, 's', 1);
  const ack = await take(peer, 'ACK');
  expect(Object.fromEntries(ack.headers)).toMatchObject(version === '1.2' ? { id: 'ack-1' } : { 'message-id': 'id-1' });
});

rule('119', SINCE_1_1, 'tells of what it has not processed', async (version) => {
  const { client, peer } = await connectPair(version);
  client.on('error', () => undefined);
  const refuse = () => {
    throw new Error('no');
  };
  client.subscribe('/queue/a', refuse, { ack: 'client', id: 's' });
  await takeAndConfirm(peer, 'SUBSCRIBE');
  deliver(peer, 's', 1);
  const nack = await take(peer, 'NACK');
  expect(Object.fromEntries(nack.headers)).toEqual(
    version === '1.2' ? { id: 'ack-1' } : { 'message-id': 'id-1', subscription: 's' },
  );
});

rule('124', ALL, 'each transaction has an id of its own', async (version) => {
  const { client, peer } = await connectPair(version);
  const ids = new Set<string | undefined>();
  for (let i = 0; i < 3; i++) {
    const transaction = client.begin();
    if (i === 1) transaction.abort();
    ids.add((await take(peer, 'BEGIN')).header('transaction'));
  }
  expect(ids.size).toBe(3);
});

rule('127 128', ALL, 'DISCONNECT asks for a receipt, and the socket is closed after it', async (version) => {
  const { client, peer } = await connectPair(version);
  const left = client.disconnect({ deadline: 60_000 });
  const farewell = await take(peer, 'DISCONNECT');
  expect(farewell.header('receipt')).toBeDefined();
  const others = await beating('1.2', 5);
  await others.peer.beats(4);
  // Time enough to close, but the receipt has not come.
  expect(client.state).toBe('disconnecting');
  await expect(Promise.race([peer.closed(), others.peer.beat().then(() => 'open')])).resolves.toBe('open');
  peer.send('RECEIPT', { 'receipt-id': farewell.header('receipt')! });
  await peer.closed();
  peer.end();
  await left;
});

rule('129', ALL, 'no frame follows DISCONNECT', async (version) => {
  const { client, peer } = await connectPair(version);
  const kept: StompMessage[] = [];
  const got = gate();
  const keep = (message: StompMessage) => {
    kept.push(message);
    got.open();
  };
  client.subscribe('/queue/a', keep, { ack: 'client', id: 's', manual: true });
  await takeAndConfirm(peer, 'SUBSCRIBE');
  deliver(peer, 's', 1);
  await within('MESSAGE', got.promise);
  const left = client.disconnect();
  const farewell = await take(peer, 'DISCONNECT');
  expect(() => client.send('/queue/a', 'late')).toThrow(NotConnectedError);
  expect(() => client.begin()).toThrow(NotConnectedError);
  await expect(client.publish('/queue/a', 'late')).rejects.toThrow(NotConnectedError);
  expect(() => client.subscribe('/queue/a', () => undefined)).toThrow(NotConnectedError);
  expect(kept[0]!.ack()).toBe(false);
  deliver(peer, 's', 2);
  peer.send('RECEIPT', { 'receipt-id': farewell.header('receipt')! });
  await peer.closed();
  peer.end();
  await left;
  expect(commandsOf(peer).at(-1)).toBe('DISCONNECT');
});

rule('147', ALL, 'an ERROR may come at any time: instead of CONNECTED', async (version) => {
  const server = await makeServer();
  const client = makeClient({ url: server.url, versions: [version] });
  const opened = failure(client.connect());
  const peer = await server.accept();
  await take(peer, 'CONNECT');
  peer.send('ERROR', { message: 'wrong passcode' });
  expect(await opened).toBeInstanceOf(RefusedError);
  await peer.closed();
});

rule(
  '147',
  ALL,
  'an ERROR may come at any time: between frames, and while a receipt is waited for',
  async (version) => {
    const { client, peer } = await connectPair(version, { reconnect: false });
    client.on('error', () => undefined);
    const published = failure(client.publish('/queue/a', 'x'));
    const { headers } = await take(peer, 'SEND');
    peer.send('ERROR', { message: 'no such queue', 'receipt-id': Object.fromEntries(headers).receipt! });
    expect(await published).toBeInstanceOf(ServerError);
    expect(client.reason).toBeInstanceOf(ServerError);
    await peer.closed();
  },
);

rule('147', ALL, 'a close without ERROR is survived', async (version) => {
  const { client, server, peer } = await connectPair(version);
  peer.end();
  await server.handshake(version);
  await stateOf(client, 'connected');
});
