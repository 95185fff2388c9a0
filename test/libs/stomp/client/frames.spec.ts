import { expect, it } from '@jest/globals';
import { type Frame } from 'nestjs-stomp/client';
import {
  connectPair,
  deliver,
  failure,
  makeClient,
  makeServer,
  settle,
  stateOf,
  takeAndConfirm,
} from '../../../support/client.js';

it('the event "frame" tells of any frame that the server sends, before it is dealt with', async () => {
  const server = await makeServer();
  const client = makeClient({ url: server.url, reconnect: false });
  client.on('error', () => undefined);
  const seen: string[] = [];
  client.on('frame', ({ command, headers }: Frame) =>
    seen.push(`${command} ${headers.get('n') ?? ''} ${client.state}`),
  );
  const opened = client.connect();
  const { peer } = await server.handshake('1.2', { n: '1' });
  await opened;
  client.subscribe('/queue/a', ({ headers }) => void seen.push(`handler ${headers.get('n')}`), {
    id: 's',
    receipt: false,
  });
  await takeAndConfirm(peer, 'SUBSCRIBE');
  peer.send('RECEIPT', { 'receipt-id': 'nobody', n: '2' });
  peer.send('MESSAGE', { subscription: 's', 'message-id': '1', destination: '/queue/a', n: '3' }, 'x');
  peer.send('MESSAGE', { subscription: 'nobody', 'message-id': '2', destination: '/queue/a', n: '4' });
  peer.send('ERROR', { message: 'bye', n: '5' });
  await stateOf(client, 'disconnected');
  expect(seen).toEqual([
    'CONNECTED 1 connecting',
    'RECEIPT 2 connected',
    'MESSAGE 3 connected',
    'handler 3',
    'MESSAGE 4 connected',
    'ERROR 5 connected',
  ]);
});

it('the frame of a refusal is told, too', async () => {
  const server = await makeServer();
  const client = makeClient({ url: server.url });
  const commands: string[] = [];
  client.on('frame', ({ command }: Frame) => commands.push(command));
  const opened = failure(client.connect());
  const peer = await server.accept();
  peer.send('ERROR', { message: 'no' });
  await opened;
  expect(commands).toEqual(['ERROR']);
});

it('a listener may read all of a frame, and what the handler gets is the same', async () => {
  const { client, peer } = await connectPair();
  const bodies: string[] = [];
  client.on('frame', (frame: Frame) => {
    if (frame.command === 'MESSAGE') bodies.push(frame.body.toString(), JSON.stringify(frame.headers.toObject()));
  });
  client.subscribe('/queue/a', (message) => void bodies.push(message.text, message.id), { id: 's' });
  await takeAndConfirm(peer, 'SUBSCRIBE');
  deliver(peer, 's', 1);
  await settle(client, peer);
  expect(bodies).toEqual([
    'm1',
    '{"subscription":"s","message-id":"id-1","destination":"/queue/a","ack":"ack-1"}',
    'm1',
    'id-1',
  ]);
});

it('a listener may disconnect in the middle of it', async () => {
  const server = await makeServer();
  const client = makeClient({ url: server.url });
  client.once('frame', () => void client.disconnect());
  const opened = failure(client.connect());
  await server.handshake('1.2');
  expect((await opened).message).toContain('disconnected before it was connected');
  await client.disconnect();
  expect(client.state).toBe('disconnected');
});

it.each(['frame', 'handler'] as const)('frames behind one at which a %s disconnects do no harm', async (where) => {
  const { client, peer } = await connectPair();
  const texts: string[] = [];
  const leave = () => void client.disconnect({ deadline: 0 });
  client.subscribe(
    '/queue/a',
    ({ text }) => {
      texts.push(text);
      if (where === 'handler') leave();
    },
    { id: 's' },
  );
  await takeAndConfirm(peer, 'SUBSCRIBE');
  if (where === 'frame') client.once('frame', leave);
  for (let i = 1; i <= 5; i++) deliver(peer, 's', i);
  await stateOf(client, 'disconnected');
  expect(texts.length).toBeGreaterThan(0);
  expect(texts).toEqual(['m1', 'm2', 'm3', 'm4', 'm5'].slice(0, texts.length));
});
