import { describe, expect, it } from '@jest/globals';
import { type StompClient, type StompMessage, type SubscribeOptions } from 'nestjs-stomp/client';
import { connectPair, deliver, settle, takeAndConfirm, within } from '../../../support/client.js';
import { type RawPeer } from '../../../support/raw.js';
import { type Headers } from '../../../support/wire.js';

/** Handlers that end when the test says so. */
async function held(options: SubscribeOptions) {
  const pair = await connectPair();
  const started: string[] = [];
  const waiting: (() => void)[] = [];
  let tell: () => void = () => undefined;
  const handler = (message: StompMessage) => {
    started.push(message.text);
    tell();
    return new Promise<void>((resolve) => waiting.push(resolve));
  };
  const subscription = pair.client.subscribe('/queue/a', handler, { id: 's', ...options });
  await takeAndConfirm(pair.peer, 'SUBSCRIBE');
  return {
    ...pair,
    subscription,
    started,
    /** Ends the handler that has run longest. */
    finish: () => waiting.shift()!(),
    untilStarted: (count: number) =>
      within(
        `${count} handlers`,
        new Promise<void>((resolve) => {
          tell = () => started.length >= count && resolve();
          tell();
        }),
      ),
  };
}

const names = (count: number) => Array.from({ length: count }, (_, i) => `m${i + 1}`);
const MIB = 1024 * 1024;

/** Sends messages of 1 KiB, or of that many octets, and tells how many of them the client reads. */
async function readOf(
  client: StompClient,
  peer: RawPeer,
  count: number,
  octets = 1024,
  headers: Headers = {},
): Promise<number> {
  let frames = 0;
  client.on('frame', ({ command }) => {
    if (command === 'MESSAGE') frames++;
  });
  const body = 'x'.repeat(octets);
  for (let i = 1; i <= count; i++) deliver(peer, 's', i, body, headers);
  // It has read all that it will once it has read nothing for long.
  for (let idle = 0, before = -1; idle < 200; before = frames) {
    await new Promise(setImmediate);
    idle = frames === before && frames > 0 ? idle + 1 : 0;
  }
  return frames;
}

describe('concurrency', () => {
  it('is 10,000 by default: whoever sends without end fills no memory', async () => {
    const { client, peer, started } = await held({ buffer: 10 });
    expect(await readOf(client, peer, 12_000, 1)).toBe(10_010);
    expect(started).toHaveLength(10_000);
  });

  it('is what the server was asked to send ahead, whether it heeds that or not', async () => {
    const { client, peer, started } = await held({ ack: 'client-individual', prefetch: 5, buffer: 10 });
    expect(await readOf(client, peer, 300)).toBe(15);
    expect(started).toHaveLength(5);
  });

  it.each([1, 3])('of %i is kept, and the order of the messages', async (concurrency) => {
    const { client, peer, started, finish, untilStarted } = await held({ concurrency });
    for (let i = 1; i <= 10; i++) deliver(peer, 's', i);
    await settle(client, peer);
    for (let ended = 0; ended <= 10 - concurrency; ended++) {
      await untilStarted(concurrency + ended);
      expect(started).toEqual(names(concurrency + ended));
      if (ended < 10 - concurrency) finish();
    }
  });

  it('goes on after a handler that fails', async () => {
    const { client, peer } = await connectPair();
    client.on('error', () => undefined);
    const texts: string[] = [];
    const handler = ({ text }: StompMessage) => {
      texts.push(text);
      return text === 'm3' ? undefined : Promise.reject(new Error(text));
    };
    client.subscribe('/queue/a', handler, { id: 's', concurrency: 1 });
    await takeAndConfirm(peer, 'SUBSCRIBE');
    for (let i = 1; i <= 4; i++) deliver(peer, 's', i);
    await settle(client, peer);
    await settle(client, peer);
    expect(texts).toEqual(names(4));
  });
});

describe('a slow consumer', () => {
  it('stops the reading of its connection once its buffer is full, and starts it again', async () => {
    const { client, peer, started, finish, untilStarted } = await held({ concurrency: 1, buffer: 10 });
    // One in the handler, ten that wait.
    expect(await readOf(client, peer, 3_000)).toBe(11);
    expect(started).toHaveLength(1);
    for (let i = 1; i < 3_000; i++) {
      await untilStarted(i);
      finish();
    }
    await untilStarted(3_000);
  });

  it('counts octets, too: a few large messages fill the buffer', async () => {
    const { client, peer, started } = await held({ concurrency: 1, buffer: 1_000_000 });
    expect(await readOf(client, peer, 12, MIB)).toBe(5);
    expect(started).toHaveLength(1);
  });

  it('counts headers as well as bodies', async () => {
    const { client, peer } = await held({ concurrency: 1, buffer: 1_000_000 });
    const headers = Object.fromEntries(Array.from({ length: 128 }, (_, i) => [`h${i}`, 'x'.repeat(8 * 1024)]));
    expect(await readOf(client, peer, 12, 1, headers)).toBe(5);
  });

  it('holds up no receipt that somebody waits for, and be it the handler itself', async () => {
    const { client, peer } = await connectPair();
    const handled: string[] = [];
    const handler = async ({ text }: StompMessage) => {
      await client.publish('/queue/b', text);
      handled.push(text);
    };
    client.subscribe('/queue/a', handler, { id: 's', concurrency: 1, buffer: 2 });
    await takeAndConfirm(peer, 'SUBSCRIBE');
    for (let i = 1; i <= 12; i++) deliver(peer, 's', i);
    for (let i = 1; i <= 12; i++) expect((await takeAndConfirm(peer, 'SEND')).text).toBe(`m${i}`);
    await settle(client, peer);
    expect(handled).toEqual(names(12));
  });

  it('takes messages while receipts are waited for only up to a bound', async () => {
    const { client, peer, started } = await held({ concurrency: 1, buffer: 10 });
    client.publish('/queue/b').catch(() => undefined);
    expect(await readOf(client, peer, 3_000)).toBe(161);
    expect(started).toHaveLength(1);
  });

  it('that iterates gets all in order, however small its buffer', async () => {
    const { client, peer } = await connectPair();
    const subscription = client.subscribe('/queue/a', { id: 's', buffer: 1 });
    await takeAndConfirm(peer, 'SUBSCRIBE');
    for (let i = 1; i <= 500; i++) deliver(peer, 's', i);
    const texts: string[] = [];
    for await (const { text } of subscription) {
      texts.push(text);
      if (texts.length === 500) break;
      if (texts.length % 7 === 0) await new Promise(setImmediate);
    }
    expect(texts).toEqual(names(500));
  });

  it('that unsubscribes does not leave the connection stopped', async () => {
    const { client, peer, subscription } = await held({ concurrency: 1, buffer: 1, ack: 'client' });
    for (let i = 1; i <= 50; i++) deliver(peer, 's', i);
    void subscription.unsubscribe();
    await takeAndConfirm(peer, 'UNSUBSCRIBE');
    const texts: string[] = [];
    client.subscribe('/queue/b', ({ text }) => void texts.push(text), { id: 'b' });
    await takeAndConfirm(peer, 'SUBSCRIBE');
    deliver(peer, 'b', 51);
    await settle(client, peer);
    expect(texts).toEqual(['m51']);
  });

  it.each(['a loop', 'a handler'])('in an auto subscription with %s that is left does not, either', async (what) => {
    const { client, peer } = await connectPair();
    const options = { id: 's', buffer: 1, concurrency: 1 };
    const stuck = () => new Promise<void>(() => undefined);
    const subscription =
      what === 'a loop' ? client.subscribe('/queue/a', options) : client.subscribe('/queue/a', stuck, options);
    await takeAndConfirm(peer, 'SUBSCRIBE');
    for (let i = 1; i <= 3; i++) deliver(peer, 's', i);
    await settle(client, peer);
    const left = subscription.unsubscribe();
    await takeAndConfirm(peer, 'UNSUBSCRIBE');
    await left;
    const iterator = client.subscribe('/queue/b', { id: 'b', receipt: false })[Symbol.asyncIterator]();
    await takeAndConfirm(peer, 'SUBSCRIBE');
    // Nobody waits for a receipt now, so a connection that is stopped would stay so.
    deliver(peer, 'b', 1);
    expect((await within('MESSAGE', iterator.next())).value?.text).toBe('m1');
  });
});
