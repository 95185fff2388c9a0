import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { makeClient } from '../support/client.js';
import { Program } from '../support/program.js';
import { RawPeer } from '../support/raw.js';
import { handshake, watch } from '../support/server.js';
import { type Version } from '../support/wire.js';

let program: Program;
let url = '';

beforeAll(async () => {
  program = Program.start('echo', '0');
  url = (await program.line(/^listening (stomp:\/\/\S+)$/))[1]!;
});
afterAll(async () => {
  expect(await program.stop()).toEqual({ code: 0, signal: null });
});

const connect = async (version: Version) => {
  const peer = watch(await RawPeer.connect(Number(new URL(url).port)));
  await handshake(peer, version);
  return peer;
};

it('the echo server fits in 30 lines, and is what the README shows', () => {
  const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
  const source = read('examples/echo.mjs').trimEnd();
  expect(source.split('\n').length).toBeLessThanOrEqual(30);
  expect(read('README.md')).toContain(`\`\`\`js\n${source}\n\`\`\``);
});

it.each(['1.0', '1.1', '1.2'] as const)(
  'over STOMP %s a client gets back what it sends, and nobody else does',
  async (version) => {
    const [peer, other] = [await connect(version), await connect(version)];
    await peer.subscribe('/any/where', { id: 'x' });
    await peer.subscribe('/any/where', { id: 'y', ack: 'client' });
    await peer.subscribe('/elsewhere', { id: 'z' });
    await other.subscribe('/any/where', { id: 'x' });
    await peer.receipted('SEND', { destination: '/any/where', color: 'red' }, 'hello');
    const got = await peer.messages(2);
    expect(got.map((message) => [message.header('subscription'), message.header('color'), message.text])).toEqual([
      ['x', 'red', 'hello'],
      ['y', 'red', 'hello'],
    ]);
    await peer.receipted('ACK', peer.reference(got[1]!));
    expect(await other.rest()).toEqual([]);
    expect(await peer.rest()).toEqual([]);
  },
);

it('more than fits the sockets comes back whole, though the client reads none of it at first', async () => {
  const peer = await connect('1.2');
  await peer.subscribe('/a');
  peer.pause();
  const body = 'x'.repeat(100_000);
  for (let index = 0; index < 30; index++) peer.send('SEND', { destination: '/a' }, `${index} ${body}`);
  peer.resume();
  const texts = await peer.texts(30);
  expect(texts.map((text) => text.split(' ')[0])).toEqual(Array.from({ length: 30 }, (_, index) => String(index)));
});

it('a StompClient gets back what it publishes', async () => {
  const client = makeClient({ url });
  await client.connect();
  const subscription = client.subscribe('/queue/a');
  await client.publish('/queue/a', 'héllo €');
  for await (const message of subscription) {
    expect(message.text).toBe('héllo €');
    break;
  }
});
