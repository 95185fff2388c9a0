import { describe, expect, test } from '@jest/globals';
import { Writable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { Output } from '../../../apps/printer/src/output.js';

/** A stream that is done with what is written when the test says so. */
class Held extends Writable {
  readonly chunks: string[] = [];
  readonly callbacks: ((error?: Error) => void)[] = [];

  override _write(chunk: Buffer, _encoding: string, callback: (error?: Error) => void): void {
    this.chunks.push(chunk.toString());
    this.callbacks.push(callback);
  }
}

function make(): { stream: Held; output: Output<string>; written: string[] } {
  const stream = new Held();
  const written: string[] = [];
  return { stream, written, output: new Output<string>(stream, (items) => void written.push(...items)) };
}

const MIB = 1024 * 1024;

describe('lines on their way out', () => {
  test('of one turn of the event loop are one write, each with its LF', async () => {
    const { stream, output } = make();
    output.add(Buffer.from('a'), '1');
    output.add(Buffer.from(''), '2');
    output.add(undefined, '3');
    output.add(Buffer.from('b'), '4');
    await setImmediate();
    expect(stream.chunks).toEqual(['a\n\nb\n']);
  });

  test('are told of, in their order, once the stream is done with them and no sooner', async () => {
    const { stream, output, written } = make();
    output.add(Buffer.from('a'), '1');
    output.add(undefined, 'not printed');
    await setImmediate();
    output.add(undefined, 'not printed either');
    await setImmediate();
    expect(written).toEqual([]);
    stream.callbacks.shift()!();
    await setImmediate();
    stream.callbacks.shift()?.();
    expect(written).toEqual(['1', 'not printed', 'not printed either']);
  });

  test('are no more than a bounded number of octets', async () => {
    const { stream, output } = make();
    output.add(Buffer.alloc(MIB / 2), '1');
    expect(output.full).toBe(false);
    output.add(Buffer.alloc(MIB / 2), '2');
    expect(output.full).toBe(true);
    let room = false;
    const waiting = output.room().then(() => (room = true));
    await setImmediate();
    expect(room).toBe(false);
    stream.callbacks.shift()!();
    await waiting;
    expect(output.waits).toBe(true);
    const empty = output.empty();
    await setImmediate();
    stream.callbacks.shift()!();
    await empty;
    expect(output.waits).toBe(false);
  });

  test('whoever waits for a stream that breaks need not wait longer, and nothing counts as written', async () => {
    const { stream, output, written } = make();
    output.add(Buffer.alloc(MIB), '1');
    const waiting = [output.room(), output.empty()];
    stream.callbacks.shift()!(new Error('gone'));
    await Promise.all(waiting);
    expect((await output.failed).message).toBe('gone');
    expect(written).toEqual([]);
    output.add(Buffer.from('a'), '2');
    await output.empty();
  });
});
