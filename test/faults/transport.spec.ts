import { expect, test } from '@jest/globals';
import { firstValueFrom, take, toArray } from 'rxjs';
import { makeServer, within } from '../support/client.js';
import { EventPattern, last, prepare, proxy, rejection, Seen } from '../support/nest.js';
import { type RawPeer } from '../support/raw.js';
import { type Headers, type RawFrame } from '../support/wire.js';

/*
 * Nest's client and server over this transport against servers that are broken or mean harm. Jest fails the test under
 * which a rejection is not handled or an exception not caught.
 */

const isSend = ({ command }: RawFrame) => command === 'SEND';

/** A client that has sent a request to a server that does with it what it likes. */
async function request() {
  const server = await makeServer();
  const client = proxy({ url: server.url });
  const opened = client.connect();
  const { peer } = await server.handshake('1.2');
  await opened;
  const replies = new Seen<unknown>();
  const ended = new Promise((resolve) => {
    client.send('/queue/a', 'x').subscribe({ next: replies.add, error: resolve, complete: () => resolve('complete') });
  });
  const subscribe = await peer.take('SUBSCRIBE', ({ command }) => command === 'SUBSCRIBE');
  const sent = await peer.take('SEND', isSend);
  const id = sent.header('correlation-id')!;
  const reply = (json: string, headers: Headers = {}) => {
    const own = { subscription: subscribe.header('id')!, 'message-id': 'm', destination: '/queue/r' };
    peer.send('MESSAGE', { ...own, 'correlation-id': id, 'content-type': 'application/json', ...headers }, json);
  };
  return { server, client, peer, replies, ended: within('end of the request', ended), reply };
}

test('replies to nobody and replies without an id change nothing for who waits', async () => {
  const { client, replies, ended, reply } = await request();
  for (let i = 0; i < 1000; i++) reply('"no"', { 'correlation-id': i % 2 === 0 ? `other.${i}` : '__proto__' });
  reply('"yes"');
  expect(await ended).toBe('complete');
  expect(replies.items).toEqual(['yes']);
  expect(client.pendingRequests).toBe(0);
});

test('a reply that comes again and again is given once', async () => {
  const { client, peer, replies, ended, reply } = await request();
  for (let i = 0; i < 1000; i++) reply(String(i));
  expect(await ended).toBe('complete');
  const next = client.emit('/queue/barrier', 1);
  const sent = await peer.take('SEND', isSend);
  peer.send('RECEIPT', { 'receipt-id': sent.header('receipt')! });
  await last(next);
  expect(replies.items).toEqual([0]);
});

test('a reply that cannot be read ends its request with an error, and only that', async () => {
  const { client, peer, ended, reply } = await request();
  const second = rejection(client.send('/queue/a', 'y'));
  await peer.take('SEND', isSend);
  peer.send('MESSAGE', {});
  reply('{"half":');
  expect(await ended).toMatchObject({ name: 'SyntaxError' });
  expect(client.pendingRequests).toBe(1);
  await client.close();
  expect(await second).toMatchObject({ message: 'Connection closed' });
});

test('replies without an end go to who asked until it has enough', async () => {
  const server = await makeServer();
  const client = proxy({ url: server.url });
  const got = firstValueFrom(client.send('/queue/a', 'x').pipe(take(3), toArray()));
  const { peer } = await server.handshake('1.2');
  const subscribe = await peer.take('SUBSCRIBE', ({ command }) => command === 'SUBSCRIBE');
  const id = (await peer.take('SEND', isSend)).header('correlation-id')!;
  const headers = { subscription: subscribe.header('id')!, 'message-id': 'm', 'correlation-id': id };
  for (let i = 0; i < 1000; i++) peer.send('MESSAGE', { ...headers, 'reply-state': 'next' }, String(i));
  expect(await within('replies', got)).toHaveLength(3);
  expect(client.pendingRequests).toBe(0);
});

const endings: [what: string, end: (peer: RawPeer) => void][] = [
  ['sends garbage', (peer) => peer.write('\u0001\u00ff\u0000')],
  ['sends ERRORs without an end', (peer) => peer.write('ERROR\nmessage:no\n\n\0'.repeat(10_000))],
  ['half closes', (peer) => peer.end()],
];

test.each(endings)('send and emit fail when the server %s, and the next server serves them', async (_, end) => {
  const { server, client, peer, ended } = await request();
  const emitted = rejection(client.emit('/queue/e', 1));
  await peer.take('SEND', isSend);
  end(peer);
  expect(await ended).toMatchObject({ message: expect.stringContaining('the connection to the broker was lost') });
  expect(await within('failure', emitted)).toMatchObject({ code: 'connection-lost' });
  expect(client.pendingRequests).toBe(0);

  const next = client.emit('/queue/e', 2);
  const good = await server.handshake('1.2');
  const sent = await good.peer.take('SEND', isSend);
  good.peer.send('RECEIPT', { 'receipt-id': sent.header('receipt')! });
  await within('receipt', last(next));
});

test('a service logs a flood of ERRORs in few lines and goes on', async () => {
  const server = await makeServer();
  const handled = new Seen<string>();
  class Handlers {
    @EventPattern('/queue/a') handle(body: string) {
      handled.add(body);
    }
  }
  const { app, log } = await prepare([Handlers], { url: server.url });
  const listening = app.listen();
  // One that goes on after an ERROR.
  const { peer } = await server.handshake('1.2', { server: 'ActiveMQ/5.18' });
  const subscribe = await peer.take('SUBSCRIBE', ({ command }) => command === 'SUBSCRIBE');
  const receipt = subscribe.header('receipt');
  if (receipt !== undefined) peer.send('RECEIPT', { 'receipt-id': receipt });
  await within('start', listening);
  const message = { subscription: subscribe.header('id')!, 'message-id': '1', ack: '1', destination: '/queue/a' };
  peer.send('MESSAGE', { subscription: message.subscription });
  peer.write('ERROR\nmessage:no\n\n\0'.repeat(20_000));
  peer.send('MESSAGE', { ...message, 'content-type': 'text/plain' }, 'after');
  await handled.until('after', (items) => items.includes('after'));
  const lines = log.errors.filter((line) => line.includes('the server sent an ERROR'));
  expect(lines.length).toBeGreaterThan(0);
  expect(lines.length).toBeLessThan(200);
});
