import { afterEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { encodeFrame, Frame, type FrameError } from 'nestjs-stomp/frame';
import { Connection, type ConnectionOptions } from 'nestjs-stomp/wire';
import { EventEmitter, once } from 'node:events';
import { Duplex, duplexPair, PassThrough } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { socketPair } from '../../../support/pair.js';
import { DEADLINE, RawPeer } from '../../../support/raw.js';

const connections: Connection[] = [];
afterEach(() => {
  for (const connection of connections.splice(0)) connection.destroy();
});

/** A connection over a stream, and what it told its owner, in order. */
function open(stream: Duplex, options: ConnectionOptions = {}) {
  const events: string[] = [];
  const emitter = new EventEmitter();
  const note = (event: string) => {
    events.push(event);
    emitter.emit('event');
  };
  const owner = {
    onFrame: ({ command, body }: Frame) => note(`${command} ${body.toString()}`),
    onFault: (error: FrameError) => note(`fault ${error.code}`),
    onEnd: () => note('end'),
    onClose: (error: Error | undefined) => note(error === undefined ? 'close' : `close: ${error.message}`),
    onDrain: () => note('drain'),
  };
  const connection = new Connection(stream, owner, options);
  connection.version = '1.2';
  connections.push(connection);
  const until = async (event: string) => {
    const signal = AbortSignal.timeout(DEADLINE);
    while (!events.includes(event)) await once(emitter, 'event', { signal });
  };
  return { connection, events, until, owner };
}

/** A stream that notes what is written, one entry per write that would reach the kernel; `hold` keeps it back. */
class Sink extends Duplex {
  readonly writes: Buffer[] = [];
  hold = false;
  private held: (() => void) | undefined;

  override _read(): void {}

  override _write(chunk: Buffer, _: string, done: () => void): void {
    this.accept(chunk, done);
  }

  override _writev(chunks: Array<{ chunk: Buffer }>, done: () => void): void {
    this.accept(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  release(): void {
    this.hold = false;
    this.held?.();
  }

  get text(): string {
    return Buffer.concat(this.writes).toString();
  }

  private accept(bytes: Buffer, done: () => void): void {
    this.writes.push(Buffer.from(bytes));
    if (this.hold) this.held = done;
    else done();
  }
}

/** Both ends of a stream that can do with one piece at a time, each in a turn of its own. */
function oneByOne(): readonly [near: Duplex, far: Duplex] {
  const far = new PassThrough();
  const near = new Duplex({
    read() {},
    write(chunk: Buffer, _, done) {
      setImmediate(() => (far.write(chunk) ? done() : far.once('drain', () => done())));
    },
  });
  return [near, far];
}

const send = (body: string | Buffer) => new Frame('SEND', {}, body);

describe('what is sent', () => {
  it('in one turn of the event loop goes out in one write at its end, in order', async () => {
    const sink = new Sink();
    const { connection } = open(sink);
    for (let i = 0; i < 100; i++) connection.send(send(String(i)));
    expect(sink.writes).toHaveLength(0);
    await turn();
    await turn();
    expect(sink.writes).toHaveLength(1);
    expect([...sink.text.matchAll(/\n\n(\d+)\0\n/g)].map((found) => Number(found[1]))).toEqual([...Array(100).keys()]);
    connection.send(send('later'));
    await turn();
    await turn();
    expect(sink.writes).toHaveLength(2);
  });

  it('on many connections goes out in the same turn', async () => {
    const sinks = Array.from({ length: 5 }, () => new Sink());
    for (const sink of sinks) open(sink).connection.send(send('x'));
    await turn();
    await turn();
    expect(sinks.map((sink) => sink.writes.length)).toEqual([1, 1, 1, 1, 1]);
  });

  it('keeps its order where large bodies go by reference between small ones', async () => {
    const sink = new Sink();
    const { connection } = open(sink);
    const bodies = [10, 100_000, 3, 8192, 8191, 5000, 1, 300_000, 2].map((size, i) => Buffer.alloc(size, 97 + i));
    for (const body of bodies) connection.send(send(body));
    connection.flush();
    await turn();
    await turn();
    const frames = bodies.map((body) => `SEND\ncontent-length:${body.length}\n\n${body.toString()}\0\n`);
    expect(sink.text === frames.join('')).toBe(true);
  });

  it('does not wait for the end of the turn when it is a lot', () => {
    const sink = new Sink();
    const { connection } = open(sink);
    for (let i = 0; i < 100; i++) connection.send(send('x'.repeat(4000)));
    expect(sink.writes.length).toBeGreaterThan(0);
  });

  it('and cannot be carried throws, and leaves nothing behind', async () => {
    const sink = new Sink();
    const { connection } = open(sink);
    connection.version = '1.0';
    connection.send(send('a'));
    expect(() => connection.send(new Frame('SEND', { a: 'b\nc' }))).toThrow(/line feed/);
    connection.send(send('b'));
    await turn();
    await turn();
    expect(sink.text).toBe('SEND\ncontent-length:1\n\na\0\nSEND\ncontent-length:1\n\nb\0\n');
  });

  it('is limited by the peer: writable turns false, and onDrain tells when it is true again', async () => {
    const sink = new Sink();
    const { connection, events, until } = open(sink, { highWaterMark: 10_000 });
    sink.hold = true;
    connection.send(send('x'.repeat(9_000)));
    expect(connection.writable).toBe(true);
    connection.send(send('x'.repeat(2_000)));
    expect(connection.writable).toBe(false);
    expect(connection.buffered).toBeGreaterThan(11_000);
    await turn();
    await turn();
    expect(connection.writable).toBe(false);
    expect(events).toEqual([]);
    sink.release();
    await until('drain');
    expect(connection.writable).toBe(true);
    expect(connection.buffered).toBe(0);
  });

  describe.each<[over: string, pair: () => Promise<readonly [near: Duplex, far: Duplex]>]>([
    ['TCP', socketPair],
    ['memory', () => Promise.resolve(duplexPair())],
    ['a stream that takes its pieces one by one', () => Promise.resolve(oneByOne())],
  ])('over %s to a peer that reads now and then', (_over, pair) => {
    it('is never more than its limit and one frame, and all of it comes, however it is sent', async () => {
      const size = fc.oneof(
        fc.nat(200),
        fc.integer({ min: 3_900, max: 8_300 }),
        fc.integer({ min: 9_000, max: 70_000 }),
      );
      const step = fc.record({ size, flush: fc.boolean(), turn: fc.boolean(), read: fc.boolean() });
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 80 }), async (steps) => {
          const [near, far] = await pair();
          let got = 0;
          far.on('data', (chunk: Buffer) => (got += chunk.length)).pause();
          const emitter = new EventEmitter();
          const highWaterMark = 20_000;
          const handler = {
            onFrame() {},
            onFault() {},
            onEnd() {},
            onClose() {},
            onDrain: () => emitter.emit('drain'),
          };
          const connection = new Connection(near, handler, { highWaterMark });
          connections.push(connection);
          let sent = 0;
          for (const { size, flush, turn: wait, read } of steps) {
            if (!connection.writable) {
              const drained = once(emitter, 'drain', { signal: AbortSignal.timeout(DEADLINE) });
              far.resume();
              await drained;
              expect(connection.writable).toBe(true);
            }
            expect(connection.buffered).toBeLessThan(highWaterMark);
            const frame = send(Buffer.alloc(size));
            connection.send(frame);
            sent += encodeFrame(frame).length;
            if (flush) connection.flush();
            if (read) far.resume();
            else far.pause();
            if (wait) await turn();
          }
          far.resume();
          const signal = AbortSignal.timeout(DEADLINE);
          while (got < sent) await once(far, 'data', { signal });
          while (connection.buffered > 0) await turn();
          expect(got).toBe(sent);
          expect(connection.writable).toBe(true);
          connection.destroy();
          far.destroy();
        }),
        { numRuns: 30 },
      );
    });
  });

  it('after the end is dropped', async () => {
    const sink = new Sink();
    const { connection } = open(sink);
    connection.send(send('a'));
    connection.end();
    expect(connection.open).toBe(false);
    connection.send(send('b'));
    await turn();
    expect(sink.text).toBe('SEND\ncontent-length:1\n\na\0\n');
    connection.destroy();
    await once(sink, 'close');
    expect(() => connection.send(send('c'))).not.toThrow();
  });
});

describe('what is received', () => {
  it('comes as frames, then the end, then the close, over any stream', async () => {
    const [near, far] = duplexPair();
    const { connection, events, until } = open(near);
    far.write('SEND\n\na\0\nSEND\n\nb');
    far.end('\0');
    await until('end');
    connection.end();
    await until('close');
    expect(events).toEqual(['SEND a', 'SEND b', 'end', 'close']);
  });

  it('waits while paused, and each pause needs its resume', async () => {
    const [near, far] = duplexPair();
    const { connection, events, until } = open(near);
    connection.pause();
    connection.pause();
    far.end('SEND\n\na\0SEND\n\nb\0');
    await turn();
    connection.resume();
    await turn();
    expect(events).toEqual([]);
    connection.resume();
    await until('end');
    expect(events).toEqual(['SEND a', 'SEND b', 'end']);
  });

  it('stops in the middle of a chunk when a frame asks for it', async () => {
    const [near, far] = duplexPair();
    const { connection, events, until, owner } = open(near);
    const { onFrame } = owner;
    owner.onFrame = (frame) => {
      onFrame(frame);
      connection.pause();
    };
    far.write('SEND\n\na\0SEND\n\nb\0SEND\n\nc\0');
    far.end();
    await until('SEND a');
    await turn();
    expect(events).toEqual(['SEND a']);
    connection.resume();
    expect(events).toEqual(['SEND a', 'SEND b']);
    connection.resume();
    expect(events).toEqual(['SEND a', 'SEND b', 'SEND c']);
    connection.resume();
    await until('end');
    expect(events.at(-1)).toBe('end');
  });

  it('and breaks the grammar is told once, after the frames before it', async () => {
    const [near, far] = duplexPair();
    const { connection, events, until } = open(near);
    far.write('SEND\n\na\0SEND\nbad\n\n\0SEND\n\nb\0');
    far.write('SEND\n\nc\0');
    await until('fault header-malformed');
    await turn();
    connection.pause();
    connection.resume();
    expect(events.slice(0, 2)).toEqual(['SEND a', 'fault header-malformed']);
    expect(events.filter((event) => event.startsWith('SEND'))).toEqual(['SEND a']);
    expect(events.filter((event) => event.startsWith('fault'))).toHaveLength(1);
  });

  it('is not given out any more once the connection was ended', async () => {
    const [near, far] = duplexPair();
    const { connection, events } = open(near);
    connection.end();
    far.end('SEND\n\na\0');
    far.resume();
    await once(near, 'close');
    expect(events).toEqual(['close']);
  });
});

describe('over TCP', () => {
  it('a peer that has sent its FIN is still answered', async () => {
    const [near, far] = await socketPair();
    const peer = new RawPeer(far);
    peer.version = '1.2';
    const { connection, until } = open(near);
    peer.write('SEND\n\na\0');
    peer.end();
    await until('end');
    connection.send(new Frame('RECEIPT', { 'receipt-id': '1' }));
    connection.end();
    await peer.receipt('1');
    await peer.closed();
    await until('close');
  });

  it('the last words reach a peer that is still sending', async () => {
    const [near, far] = await socketPair();
    const peer = new RawPeer(far);
    peer.version = '1.2';
    const { connection, until } = open(near);
    peer.write(Buffer.concat([Buffer.from('SEND\n\na\0SEND\n\n'), Buffer.alloc(1_000_000, 'x')]));
    await until('SEND a');
    connection.send(new Frame('ERROR', { message: 'no' }));
    connection.end();
    expect((await peer.refused()).header('message')).toBe('no');
    peer.end();
    await until('close');
  });

  it('a peer that does not end its side is cut after a while', async () => {
    const [near, far] = await socketPair();
    far.resume();
    const { connection, until } = open(near);
    connection.end();
    await once(far, 'end');
    await until('close');
    expect(near.destroyed).toBe(true);
    far.destroy();
  });

  it('destroy cuts at once, tells why, and tells it once', async () => {
    const [near, far] = await socketPair();
    far.resume();
    const { connection, events, until } = open(near);
    connection.send(send('x'));
    connection.destroy(new Error('enough'));
    connection.destroy(new Error('again'));
    await until('close: enough');
    expect(events).toEqual(['close: enough']);
    expect(connection.open).toBe(false);
    far.destroy();
  });

  it('a reset by the peer is a close with its reason', async () => {
    const [near, far] = await socketPair();
    const { until } = open(near);
    far.resetAndDestroy();
    await until('close: read ECONNRESET');
  });
});
