import { expect, it } from '@jest/globals';
import { inspect } from 'node:util';
import { StompClient, type StompMessage } from 'nestjs-stomp/client';
import {
  connectPair,
  deadUrl,
  deliver,
  failure,
  makeClient,
  makeServer,
  settle,
  stateOf,
  takeAndConfirm,
  watchErrors,
  watchWarnings,
} from '../../../support/client.js';

const SECRET = 'hunter2-s3cret';
const TLS_SECRET = 'tls-s3cret-passphrase';

/** Everything that printing an object can show, in its own way of being printed and without. */
function prints(value: unknown): string {
  const deep = { depth: 20, showHidden: true, maxArrayLength: null, maxStringLength: null, getters: true };
  const texts = [
    inspect(value),
    inspect(value, deep),
    inspect(value, { ...deep, customInspect: false, getters: false }),
  ];
  if (value instanceof Error) texts.push(value.message, value.stack ?? '', String(value));
  texts.push(String(JSON.stringify(value)));
  return texts.join('\n');
}

const secretive = { login: 'anna', passcode: SECRET, tls: { passphrase: TLS_SECRET } };

function expectNoSecret(...values: unknown[]): void {
  for (const value of values) {
    const text = prints(value);
    expect(text).not.toContain(SECRET);
    expect(text).not.toContain(TLS_SECRET);
    // As bytes, too.
    expect(text).not.toContain(Buffer.from(SECRET).toString('hex', 0, 8).replace(/../g, '$& ').trim());
  }
}

const withSecret = (url: string) => url.replace('//', `//anna:${SECRET}@`);

it('a client never shows its passcode, whatever its state', async () => {
  const server = await makeServer();
  const client = makeClient({ url: withSecret(server.url), ...secretive });
  expectNoSecret(client);
  const opened = client.connect();
  expectNoSecret(client);
  const { peer, connect } = await server.handshake('1.2');
  await opened;
  expect(connect.header('passcode')).toBe(SECRET);
  const messages: StompMessage[] = [];
  const subscription = client.subscribe('/queue/a', (message) => void messages.push(message), { id: 's' });
  await takeAndConfirm(peer, 'SUBSCRIBE');
  deliver(peer, 's', 1);
  const transaction = client.begin();
  await settle(client, peer);
  expect(messages).toHaveLength(1);
  expectNoSecret(client, subscription, transaction, messages[0], client.url);
  peer.destroy();
  await stateOf(client, 'connecting');
  expectNoSecret(client, client.reason);
});

it('its prints tell what is of use', async () => {
  const { client, server } = await connectPair();
  expect(inspect(client)).toContain("state: 'connected'");
  expect(JSON.parse(JSON.stringify(client))).toEqual({ state: 'connected', url: server.url, version: '1.2' });
  const subscription = client.subscribe('/queue/a', () => undefined, { id: 's' });
  const said = { id: 's', destination: '/queue/a', ack: 'auto', active: true };
  expect(JSON.parse(JSON.stringify(subscription))).toEqual(said);
  expect(inspect(subscription)).toBe(inspect(said));
  expect(JSON.parse(JSON.stringify(client.begin()))).toEqual({ id: 't1', open: true });
});

it('no event and no error shows it', async () => {
  const server = await makeServer();
  const told: unknown[] = [];
  const tell = (client: StompClient) => {
    for (const name of ['state', 'attempt', 'retry', 'error'] as const) {
      client.on(name, (...values: unknown[]) => told.push(...values));
    }
    return client;
  };
  const reconnect = { initialDelay: 1, maxDelay: 1, maxAttempts: 2 };

  const dead = withSecret(await deadUrl());
  told.push(await failure(tell(makeClient({ url: dead, ...secretive, reconnect })).connect()));
  const tls = withSecret(server.url).replace('stomp:', 'stomp+tls:');
  told.push(await failure(tell(makeClient({ url: tls, connectTimeout: 20, reconnect: false })).connect()));
  const refused = failure(tell(makeClient({ url: withSecret(server.url), ...secretive })).connect());
  for (;;) {
    const peer = await server.accept();
    if (!/^CONNECT/.test((await peer.frame().catch(() => undefined))?.command ?? '')) continue;
    peer.send('ERROR', { message: 'Access refused for anna' });
    break;
  }
  told.push(await refused);
  expect(told.length).toBeGreaterThan(10);
  expectNoSecret(...told);
});

it.each([
  { url: `stomp://anna:${SECRET}%@localhost` },
  { url: `http://anna:${SECRET}@localhost` },
  { url: `stomp://anna:${SECRET}@local host` },
  { url: `anna:${SECRET}@localhost` },
  { passcode: SECRET, heartbeat: { outgoing: -1 } },
])('options that are refused do not show it: %#', (options) => {
  let thrown: unknown;
  try {
    new StompClient(options);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(TypeError);
  expectNoSecret(thrown);
});

it.each([`${SECRET}\n`, `\0${SECRET}`, () => `${SECRET}\r`])(
  'nor does one that cannot be sent: %#',
  async (passcode) => {
    const server = await makeServer();
    expectNoSecret(await failure(makeClient({ url: server.url, login: 'anna', passcode }).connect()));
  },
);

it('warnings do not show it', async () => {
  const warnings = watchWarnings();
  const server = await makeServer();
  const client = makeClient({ url: withSecret(server.url), ...secretive, reconnect: false });
  const opened = client.connect();
  const { peer } = await server.handshake('1.2');
  await opened;
  peer.send('ERROR', { message: 'bye' });
  await stateOf(client, 'disconnected');
  expect(warnings.length).toBeGreaterThan(0);
  expectNoSecret(...warnings);
});

it('errors are still told with their causes', async () => {
  const { client, peer } = await connectPair('1.2', { reconnect: false });
  const errors = watchErrors(client);
  peer.write('MESSAGE\nno header\n\n\0');
  await stateOf(client, 'disconnected');
  expect(errors[0]).toMatchObject({ code: 'protocol-error', cause: expect.objectContaining({ name: 'FrameError' }) });
});
