import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { agreeHeartBeat, Connection, HeartBeat, parseHeartBeat } from 'nestjs-stomp/wire';
import { once } from 'node:events';
import { socketPair } from '../../../support/pair.js';

describe('the heart-beat header', () => {
  it.each([
    [undefined, { outgoing: 0, incoming: 0 }],
    ['0,0', { outgoing: 0, incoming: 0 }],
    ['500,1000', { outgoing: 500, incoming: 1000 }],
    ['12345678901,0', { outgoing: 12_345_678_901, incoming: 0 }],
    [' 500,0 ', { outgoing: 500, incoming: 0 }],
  ])('81 82 %j is understood', (header, offer) => {
    expect(parseHeartBeat(header)).toEqual(offer);
  });

  it.each(['', '1', ',', '1,', '1,2,3', '-1,0', '1.5,0', '1e3,0', '0x1,0', 'a,b', '1;2', '1, 2'])(
    '80 %j is malformed',
    (header) => {
      expect(parseHeartBeat(header)).toBeUndefined();
    },
  );

  it.each([
    // client can, client wants, server can, server wants: to the server, to the client
    [0, 0, 0, 0, 0, 0],
    [500, 0, 0, 1000, 1000, 0],
    [1000, 0, 0, 500, 1000, 0],
    [0, 0, 0, 500, 0, 0],
    [500, 0, 0, 0, 0, 0],
    [0, 300, 200, 0, 0, 300],
    [0, 200, 300, 0, 0, 300],
    [0, 200, 0, 0, 0, 0],
    [500, 0, 700, 600, 600, 0],
    [100, 200, 300, 400, 400, 300],
  ])('83 84 85 %d,%d with %d,%d', (cx, cy, sx, sy, toServer, toClient) => {
    const client = { outgoing: cx, incoming: cy };
    const server = { outgoing: sx, incoming: sy };
    expect(agreeHeartBeat(client, server)).toEqual({ outgoing: toServer, incoming: toClient });
    expect(agreeHeartBeat(server, client)).toEqual({ outgoing: toClient, incoming: toServer });
  });
});

describe('on a clock of its own', () => {
  let beats: number[];
  let lost: number[];
  let lostAt: number | undefined;
  let heart: HeartBeat;
  const now = () => Math.round(performance.now());

  beforeEach(() => {
    jest.useFakeTimers();
    beats = [];
    lost = [];
    lostAt = undefined;
    const zero = now();
    heart = new HeartBeat({
      beat: () => beats.push(now() - zero),
      lost: (silence) => {
        lost.push(silence);
        lostAt = now() - zero;
      },
    });
  });

  afterEach(() => {
    heart.stop();
    jest.useRealTimers();
  });

  it('86 87 88 an idle sender beats well before a strict peer gives it up', () => {
    heart.start(1000, 0);
    jest.advanceTimersByTime(10_000);
    const gaps = beats.map((at, index) => at - (beats[index - 1] ?? 0));
    expect(beats.length).toBeGreaterThanOrEqual(10);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(800);
  });

  it('86 a frame in time replaces the beat', () => {
    heart.start(1000, 0);
    for (let i = 0; i < 50; i++) {
      jest.advanceTimersByTime(400);
      heart.wrote();
    }
    expect(beats).toEqual([]);
    jest.advanceTimersByTime(800);
    expect(beats).toHaveLength(1);
  });

  it('86 whatever is written when, the peer never waits for the whole interval', () => {
    heart.start(1000, 0);
    let wrote = 0;
    for (let at = 1; at <= 20_000; at++) {
      jest.advanceTimersByTime(1);
      if (beats.at(-1) === at) wrote = at;
      if ((at * at) % 977 === 0) {
        heart.wrote();
        wrote = at;
      }
      expect(at - wrote).toBeLessThan(1000);
    }
  });

  it('85 no beat goes out, and nobody is watched, where it was not agreed on', () => {
    heart.start(0, 0);
    jest.advanceTimersByTime(1_000_000);
    expect([beats, lost]).toEqual([[], []]);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('90 a silent peer is lost after its interval times the tolerance, once, and not before', () => {
    heart.start(0, 1500);
    jest.advanceTimersByTime(1499);
    expect(lost).toEqual([]);
    jest.advanceTimersByTime(10_000);
    expect(lost).toHaveLength(1);
    expect(lost[0]).toBeGreaterThanOrEqual(1500);
    expect(lostAt).toBeLessThan(1600);
  });

  it('89 any octet shows life', () => {
    heart.start(0, 1500);
    for (let i = 0; i < 20; i++) {
      jest.advanceTimersByTime(1400);
      heart.read();
    }
    expect(lost).toEqual([]);
    jest.advanceTimersByTime(1600);
    expect(lost).toHaveLength(1);
  });

  it('while we do not read on purpose silence proves nothing', () => {
    heart.start(0, 1500);
    heart.pause();
    jest.advanceTimersByTime(60_000);
    expect(lost).toEqual([]);
    heart.resume();
    jest.advanceTimersByTime(1499);
    expect(lost).toEqual([]);
    jest.advanceTimersByTime(2000);
    expect(lost).toHaveLength(1);
  });

  it('a process that was busy looks at the socket once before it judges', () => {
    heart.start(0, 1500);
    // What was waiting in the kernel is read in the same turn of the event loop in which the late timer fires.
    setTimeout(() => setImmediate(() => heart.read()), 1499);
    jest.advanceTimersByTime(1500);
    expect(lost).toEqual([]);
    jest.advanceTimersByTime(1400);
    expect(lost).toEqual([]);
  });

  it('a stopped one is quiet', () => {
    heart.start(100, 100);
    heart.stop();
    expect(jest.getTimerCount()).toBe(0);
  });

  it('intervals beyond what a timer takes do not make it spin', () => {
    heart.start(9_999_999_999, 9_999_999_999);
    jest.advanceTimersByTime(100_000);
    expect([beats, lost]).toEqual([[], []]);
    expect(jest.getTimerCount()).toBe(2);
    const set = jest.spyOn(globalThis, 'setTimeout');
    jest.advanceTimersByTime(100_000);
    expect(set).not.toHaveBeenCalled();
    set.mockRestore();
  });
});

describe('on a socket', () => {
  it('an idle connection sends ends of line and nothing else', async () => {
    const [near, far] = await socketPair();
    const connection = new Connection(near, { onFrame() {}, onFault() {}, onEnd() {}, onClose() {} });
    connection.startHeartBeat(20, 0, 1);
    const chunks: Buffer[] = [];
    while (Buffer.concat(chunks).length < 3) chunks.push(((await once(far, 'data')) as [Buffer])[0]);
    expect(Buffer.concat(chunks).toString()).toMatch(/^\n+$/);
    far.destroy();
    connection.destroy();
  });

  it('a peer that falls silent is given up, with an error that says so', async () => {
    const [near, far] = await socketPair();
    const closed = new Promise<Error | undefined>((resolve) => {
      const connection = new Connection(near, { onFrame() {}, onFault() {}, onEnd() {}, onClose: resolve });
      connection.startHeartBeat(0, 30, 1.5);
    });
    expect((await closed)?.message).toMatch(/^nothing was heard from the peer for \d+ ms$/);
    far.destroy();
  });

  it('a peer that drips half a frame is alive', async () => {
    const [near, far] = await socketPair();
    let over = false;
    const frame = new Promise<string>((resolve) => {
      const connection = new Connection(near, {
        onFrame: ({ body }) => resolve(body.toString()),
        onFault() {},
        onEnd() {},
        onClose: () => (over = true),
      });
      connection.startHeartBeat(0, 500, 1.5);
    });
    far.write('SEND\n\n');
    const started = performance.now();
    while (performance.now() - started < 1500) {
      far.write('x');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(over).toBe(false);
    far.write('\0');
    expect(await frame).toMatch(/^x+$/);
    near.destroy();
    far.destroy();
  });
});
