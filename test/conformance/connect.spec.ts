import { expect } from '@jest/globals';
import { type Headers, type RawFrame, type Version } from '../support/wire.js';
import { ALL, choice, foreign, may, must, ONLY_1_0, rule, should, SINCE_1_1 } from './rules.js';
import { echo, queue, refuses, topic } from './steps.js';
import { target } from './target.js';

const server = target();

/** Opens a connection with this frame, and returns the first frame that comes back. */
async function answer(connect: string): Promise<RawFrame> {
  const peer = await server.open();
  peer.write(connect);
  return peer.frame();
}

/** The version in CONNECTED when the client offers these. */
async function agreed(acceptVersion: string): Promise<string | undefined> {
  const connected = await answer(server.connectFrame('1.2', { 'accept-version': acceptVersion }));
  expect(connected.command).toBe('CONNECTED');
  return connected.header('version');
}

rule('59', ONLY_1_0, 'answers CONNECT with CONNECTED and a session', async (version) => {
  const connected = await answer(server.connectFrame(version));

  expect(connected.command).toBe('CONNECTED');
  expect(connected.header('session')).toBeTruthy();
});

must('60', SINCE_1_1, 'handles STOMP as CONNECT', async (version) => {
  const connected = await answer(server.connectFrame(version, {}, 'STOMP'));

  expect([connected.command, connected.header('version')]).toEqual(['CONNECTED', version]);
});

choice('64', SINCE_1_1, 'accepts a CONNECT without host', async (version) => {
  const { login, passcode } = server.credentials(version);
  const who = login === undefined ? '' : `login:${login}\npasscode:${passcode}\n`;

  const connected = await answer(`CONNECT\naccept-version:${version}\n${who}\n\0`);

  expect(connected.command).toBe('CONNECTED');
});

may('65', SINCE_1_1, 'takes a host that it does not know', async (version) => {
  const connected = await answer(server.connectFrame(version, { host: 'no.such.host.example' }));

  expect(connected.command).toBe('CONNECTED');
});

may('66', ALL, 'takes login, passcode and heart-beat even if it needs none', async (version) => {
  const who: Headers = foreign ? {} : { login: 'anyone', passcode: 'any:thing' };

  const connected = await answer(server.connectFrame(version, { 'heart-beat': '0,0', ...who }));

  expect(connected.command).toBe('CONNECTED');
});

must('67', SINCE_1_1, 'says the version on CONNECTED', async (version) => {
  expect(await agreed(version)).toBe(version);
});

may('68', SINCE_1_1, 'names a session of its own for each connection, itself and its heart-beats', async (version) => {
  const first = await answer(server.connectFrame(version));
  const second = await answer(server.connectFrame(version));

  expect(first.header('session')).toBeTruthy();
  expect(first.header('session')).not.toBe(second.header('session'));
  expect(first.header('server')).toBeTruthy();
  expect(first.header('heart-beat')).toMatch(/^\d+,\d+$/);
});

must('69', SINCE_1_1, 'writes its name as name, version and comments', async (version) => {
  const connected = await answer(server.connectFrame(version));

  expect(connected.header('server') ?? 'absent').toMatch(/^[^\s/]+(?:\/[^\s/]+)?(?: +.*)?$/);
});

should('70', SINCE_1_1, 'rejects a connection with ERROR and closes', async (version) => {
  const peer = await server.open();

  peer.write(server.connectFrame(version, { 'accept-version': '0.9' }));

  await peer.refused();
});

rule('71', SINCE_1_1, 'reads accept-version as a list of incrementing versions', async (version) => {
  expect(await agreed(version === '1.1' ? '1.0,1.1' : '1.0,1.1,1.2')).toBe(version);
});

rule('72', ONLY_1_0, 'takes a CONNECT without accept-version for 1.0', async (version) => {
  const peer = await server.connect(version);

  const message = await echo(peer, 'foo:a\\cb\n');

  expect(message.lines).toContain('foo:a\\cb');
  expect((await answer(server.connectFrame(version))).header('version') ?? '1.0').toBe('1.0');
});

rule('73', SINCE_1_1, 'uses the highest common version whatever the order of accept-version', async (version) => {
  const lists =
    version === '1.1'
      ? ['1.1,1.0', '1.0,1.1,2.0', '2.0,1.1', '1.1,1.1']
      : ['1.2,1.1,1.0', '1.1,1.2,1.0', '1.0,1.2,2.0'];

  for (const list of lists) expect([list, await agreed(list)]).toEqual([list, version]);
});

choice('73', SINCE_1_1, 'reads a list with blanks in it', async (version) => {
  expect(await agreed(version === '1.1' ? '1.0, 1.1' : ' 1.0 , 1.1 , 1.2 ')).toBe(version);
});

must('74', SINCE_1_1, 'sends ERROR and closes when there is no common version', async (version) => {
  const offers: Record<Version, string> = { '1.0': '', '1.1': '2.0,2.1', '1.2': '1.3' };

  await refuses(() => server.open(), server.connectFrame(version, { 'accept-version': offers[version] }));
});

rule('75', SINCE_1_1, 'lists its versions in that ERROR', async (version) => {
  const [error] = await refuses(() => server.open(), server.connectFrame(version, { 'accept-version': '9.9' }));

  expect(error?.header('version')?.split(',').sort()).toEqual(['1.0', '1.1', '1.2']);
  expect(error?.header('content-type')).toMatch(/^text\/plain/);
  expect(error?.text).toMatch(/^Supported protocol versions are .*1\.0.*1\.1.*1\.2/);
});

choice('77', ALL, 'answers any frame before CONNECT with ERROR and closes', async (version) => {
  await refuses(
    () => server.open(),
    `SEND\ndestination:${topic()}\n\nbody\0`,
    `SUBSCRIBE\nid:1\ndestination:${topic()}\nversion:${version}\n\n\0`,
    'BEGIN\ntransaction:tx\n\n\0',
    'DISCONNECT\nreceipt:1\n\n\0',
    'NONSENSE\n\n\0',
  );
});

choice('77', ALL, 'does nothing of what a refused frame before CONNECT asks for', async (version) => {
  const destination = queue();

  await refuses(() => server.open(), `SEND\ndestination:${destination}\n\nstray\0${server.connectFrame(version)}`);

  const peer = await server.connect(version);
  await peer.subscribe(destination);
  expect(await peer.rest()).toEqual([]);
});

choice('78', ALL, 'answers a second CONNECT with ERROR and closes', async (version) => {
  await refuses(() => server.connect(version), server.connectFrame(version));
  if (version !== '1.0') await refuses(() => server.connect(version), server.connectFrame(version, {}, 'STOMP'));
});

rule('79', ALL, 'sends no RECEIPT for CONNECT', async (version) => {
  const peer = await server.connect(version, { receipt: 'never' });

  expect(await peer.rest()).toEqual([]);
});
