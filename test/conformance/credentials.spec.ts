import { expect } from '@jest/globals';
import { ALL, choice, foreign, may, ownServerOnly, rule, should, SINCE_1_1 } from './rules.js';
import { type Headers } from '../support/wire.js';
import { target } from './target.js';

/** With users whose passcodes tell whether CONNECT is unescaped, and with named virtual hosts. */
const server = target('--users', 'alice:a:b', '--users', 'bob:a\\cb', '--vhosts', 'alpha', '--vhosts', 'beta*');

const open = async (frame: string) => {
  const peer = await server.open();
  peer.write(frame);
  return peer;
};

const alice = (headers: Headers = {}): Headers =>
  foreign ? headers : { login: 'alice', passcode: 'a:b', host: 'alpha', ...headers };

rule('33', SINCE_1_1, 'neither unescapes CONNECT nor escapes CONNECTED', async (version) => {
  ownServerOnly('the passcode has to be one with colons and backslashes');
  for (const [login, passcode] of [
    ['alice', 'a:b'],
    ['bob', 'a\\cb'],
  ]) {
    const peer = await open(
      `CONNECT\naccept-version:${version}\nlogin:${login}\npasscode:${passcode}\nhost:alpha\n\n\0`,
    );
    expect((await peer.frame()).command).toBe('CONNECTED');
  }
  const peer = await open(`CONNECT\naccept-version:${version}\nlogin:alice\npasscode:a\\cb\nhost:alpha\n\n\0`);
  await peer.refused();
});

choice('34', SINCE_1_1, 'does not unescape STOMP either', async (version) => {
  ownServerOnly('the passcode has to be one with a backslash');
  const peer = await open(`STOMP\naccept-version:${version}\nlogin:bob\npasscode:a\\cb\nhost:alpha\n\n\0`);

  expect((await peer.frame()).command).toBe('CONNECTED');
});

may('65', SINCE_1_1, 'rejects a virtual host that is not in its list, and takes those that are', async (version) => {
  ownServerOnly('the virtual hosts have to be known');
  for (const host of ['alpha', 'beta', 'beta-2']) {
    const peer = await open(server.connectFrame(version, alice({ host })));
    expect((await peer.frame()).command).toBe('CONNECTED');
  }
  const peer = await open(server.connectFrame(version, alice({ host: 'gamma' })));
  await peer.refused();
});

rule('66', ALL, 'takes login and passcode', async (version) => {
  const peer = await open(server.connectFrame(version, alice()));

  expect((await peer.frame()).command).toBe('CONNECTED');
});

choice('18 66', ['1.0'], 'takes login and passcode with the padding of the 1.0 examples', async () => {
  ownServerOnly('the passcode has to be known');
  const peer = await open('CONNECT\nlogin: alice\npasscode: a:b\nhost: alpha\n\n\0');

  expect((await peer.frame()).command).toBe('CONNECTED');
});

should('70', SINCE_1_1, 'rejects a wrong passcode with ERROR and closes', async (version) => {
  if (!foreign?.username) ownServerOnly('the server asks for no passcode, as far as STOMP_URL tells');
  const login = foreign ? decodeURIComponent(foreign.username) : 'alice';
  const peer = await open(server.connectFrame(version, alice({ login, passcode: 'wrong' })));

  await peer.refused();
});

choice('70', ALL, 'rejects missing and unknown credentials with ERROR and closes, in 1.0 as well', async (version) => {
  ownServerOnly('anonymous clients have to be unwelcome');
  for (const who of [
    {},
    { login: 'alice' },
    { login: 'mallory', passcode: 'a:b' },
    { login: 'alice', passcode: 'a' },
  ]) {
    const peer = await open(server.connectFrame(version, { host: 'alpha', ...(who as Headers) }));
    const error = await peer.refused();
    expect(error.header('message')).toBeTruthy();
  }
});
