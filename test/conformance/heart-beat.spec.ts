import { expect } from '@jest/globals';
import { type RawPeer } from '../support/raw.js';
import { type Headers, type Version } from '../support/wire.js';
import { choice, may, must, ONLY_1_0, ONLY_1_1, ONLY_1_2, ownServerOnly, rule, should, SINCE_1_1 } from './rules.js';
import { echo, refuses, topic } from './steps.js';
import { target } from './target.js';

const server = target('--heartbeat-out', '100', '--heartbeat-in', '100');

/** How late, in milliseconds, a beat may be seen by a busy machine. */
const MARGIN = 150;

interface Beating {
  peer: RawPeer;
  /** What the server can send, and what it wants, as CONNECTED says. */
  sends: number;
  wants: number;
}

/** A session with this heart-beat header, in which a beat takes no longer than a test can wait. */
async function beating(version: Version, heartBeat?: string): Promise<Beating> {
  const headers: Headers = heartBeat === undefined ? {} : { 'heart-beat': heartBeat };
  const peer = await server.open();
  peer.write(server.connectFrame(version, headers));
  const connected = await peer.take('CONNECTED', ({ command }) => command === 'CONNECTED');
  const [sends = 0, wants = 0] = (connected.header('heart-beat') ?? '0,0').split(',').map(Number);
  const [can = 0, asks = 0] = (heartBeat ?? '0,0').split(',').map(Number);
  const slow = (mine: number, its: number) => mine > 0 && (its === 0 || its > 1000);
  if (version !== '1.0' && (slow(can, wants) || slow(asks, sends))) {
    ownServerOnly(`its heart-beat of ${sends},${wants} is off or too slow to be waited for`);
  }
  return { peer, sends, wants };
}

/** Waits while another session gets eight beats: longer than our server bears a silence of its own period. */
async function meanwhile(version: Version): Promise<void> {
  const { peer } = await beating(version, '0,100');
  await peer.beats(8);
}

const gaps = (times: number[]): number[] => times.slice(1).map((time, index) => time - (times[index] ?? 0));

must('80', SINCE_1_1, 'refuses a heart-beat that is not two numbers', async (version) => {
  const values = ['abc', '100', '1,2,3', '-1,0', '0,-1', '1.5,0', 'a,b', ',', '', '100;100'];

  await refuses(() => server.open(), ...values.map((value) => server.connectFrame(version, { 'heart-beat': value })));
});

must('80', SINCE_1_1, 'writes its own heart-beat as two numbers', async (version) => {
  const peer = await server.open();

  peer.write(server.connectFrame(version, { 'heart-beat': '0,0' }));

  expect((await peer.frame()).header('heart-beat') ?? '0,0').toMatch(/^\d+,\d+$/);
});

must('81', SINCE_1_1, 'takes a missing header for 0,0: it neither beats nor waits for beats', async (version) => {
  const { peer } = await beating(version);
  const octets = peer.received.length;

  await meanwhile(version);

  expect(peer.received).toHaveLength(octets);
  expect(await peer.rest()).toEqual([]);
});

choice('82', SINCE_1_1, 'says in CONNECTED what it can send and what it wants, as its options say', async (version) => {
  ownServerOnly('its options have to be known');
  const { sends, wants } = await beating(version, '500,700');

  expect([sends, wants]).toEqual([100, 100]);
});

rule('83', SINCE_1_1, 'wants no beats of a client that cannot send them', async (version) => {
  const { peer } = await beating(version, '0,0');

  await meanwhile(version);

  expect(await peer.rest()).toEqual([]);
});

rule('83 90', SINCE_1_1, 'never gives a client up before the larger of both periods', async (version) => {
  for (const can of [1, 300]) {
    const started = performance.now();
    const { peer, wants } = await beating(version, `${can},0`);
    const ended = await peer.closed();
    expect(wants).toBeGreaterThan(0);
    expect(ended - started).toBeGreaterThanOrEqual(Math.max(can, wants));
  }
});

rule('84', SINCE_1_1, 'sends no beats to a client that wants none', async (version) => {
  const { peer } = await beating(version, '0,0');
  const octets = peer.received.length;

  await meanwhile(version);

  expect(peer.received).toHaveLength(octets);
});

rule('84', SINCE_1_1, 'beats at the larger of both periods', async (version) => {
  for (const wanted of [1, 500]) {
    const { peer, sends } = await beating(version, `0,${wanted}`);
    const period = Math.max(sends, wanted);
    const times = await peer.beats(5);
    const average = ((times.at(-1) ?? 0) - (times[0] ?? 0)) / 4;
    expect(sends).toBeGreaterThan(0);
    expect(average).toBeGreaterThan(period * 0.4);
    expect(average).toBeLessThan(period + MARGIN);
  }
});

rule('85', SINCE_1_1, 'treats both directions apart', async (version) => {
  const sending = await beating(version, '300,0');
  const octets = sending.peer.received.length;
  const receiving = await beating(version, '0,300');

  await sending.peer.closed();
  await receiving.peer.beats(5);

  expect(sending.peer.received.subarray(octets).toString()).not.toMatch(/^\n/);
  expect(await receiving.peer.rest()).toEqual([]);
});

must('86', SINCE_1_1, 'sends something at least once in each period', async (version) => {
  const { peer, sends } = await beating(version, '0,400');

  const times = await peer.beats(5);

  expect(Math.max(...gaps(times))).toBeLessThan(Math.max(sends, 400) + MARGIN);
});

must('86', SINCE_1_1, 'takes frames for signs of life', async (version) => {
  const { peer } = await beating(version, '500,100');

  for (let count = 0; count < 15; count++) {
    await peer.beat();
    peer.send('SEND', { destination: topic() }, 'alive');
  }

  expect(await peer.rest()).toEqual([]);
});

must('87', ONLY_1_1, 'beats with a single LF', async (version) => {
  const { peer } = await beating(version, '0,100');
  const octets = peer.received.length;

  await peer.beats(3);

  expect(peer.received.subarray(octets).toString()).toMatch(/^\n{3,}$/);
});

must('87 88', SINCE_1_1, 'takes an EOL of the client as a beat', async (version) => {
  const { peer } = await beating(version, '500,100');

  for (let count = 0; count < 15; count++) {
    await peer.beat();
    peer.write(version === '1.2' && count % 2 === 1 ? '\r\n' : '\n');
  }

  expect(await peer.rest()).toEqual([]);
});

must('88', ONLY_1_2, 'beats with an EOL', async (version) => {
  const { peer } = await beating(version, '0,100');
  const octets = peer.received.length;

  await peer.beats(3);

  expect(peer.received.subarray(octets).toString()).toMatch(/^(?:\r?\n){3,}$/);
});

rule('89', SINCE_1_1, 'takes any octet for a sign of life, one inside a frame too', async (version) => {
  const { peer } = await beating(version, '500,100');
  const destination = topic();
  await peer.subscribe(destination);

  const frame = `SEND\ndestination:${destination}\n\nslowly but alive`;
  peer.write(frame.slice(0, -15));
  for (const octet of frame.slice(-15)) {
    peer.write(octet);
    await peer.beat();
  }
  peer.write('\0');

  expect((await peer.message()).text).toBe('slowly but alive');
});

may('90', SINCE_1_1, 'gives up a client that has gone silent', async (version) => {
  const { peer } = await beating(version, '100,0');

  await peer.closed();
});

should('90', SINCE_1_1, 'allows a margin before it gives a silent client up', async (version) => {
  const started = performance.now();
  const { peer, wants } = await beating(version, '300,0');

  const ended = await peer.closed();

  expect(ended - started).toBeGreaterThan(Math.max(300, wants) * 1.1);
});

rule('91', SINCE_1_1, 'beats between frames, never inside one', async (version) => {
  const { peer } = await beating(version, '0,100');
  const body = Buffer.alloc(1 << 20, 'x');

  for (let count = 0; count < 8; count++) {
    const message = await echo(peer, `content-length:${body.length}\n`, body);
    expect(message.body.equals(body)).toBe(true);
    await peer.beat();
  }
});

rule('91', SINCE_1_1, 'takes EOLs inside a body for body, and those around the frame for beats', async (version) => {
  const { peer } = await beating(version, '500,100');
  const destination = topic();
  await peer.subscribe(destination);

  peer.write(`\n\n\nSEND\ndestination:${destination}\n\n\n\nbody\n\n\0\n\n\n`);

  expect((await peer.message()).text).toBe('\n\nbody\n\n');
});

rule('92', ONLY_1_0, 'neither beats nor waits for beats, and still skips EOLs', async (version) => {
  const { peer } = await beating(version);
  const octets = peer.received.length;

  await meanwhile('1.2');

  expect(peer.received).toHaveLength(octets);
  peer.write('\n\n\n');
  expect(await peer.rest()).toEqual([]);
});

choice('92', ONLY_1_0, 'answers the heart-beat of a 1.0 client with 0,0 or not at all', async (version) => {
  const { peer, sends, wants } = await beating(version, '100,100');

  await meanwhile('1.2');

  expect([sends, wants]).toEqual([0, 0]);
  expect(await peer.rest()).toEqual([]);
});
