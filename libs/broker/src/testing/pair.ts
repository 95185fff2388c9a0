import { Duplex } from 'node:stream';

/** One end of a stream of which both ends are in this process. */
class End extends Duplex {
  other: End | undefined;
  private taken: (() => void) | undefined;

  constructor() {
    super({ allowHalfOpen: true });
  }

  override _read(): void {
    const taken = this.taken;
    this.taken = undefined;
    taken?.();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    const { other } = this;
    if (other === undefined || other.destroyed) callback(new Error('the other end is closed'));
    else if (other.push(chunk)) callback();
    // The other end is full: this write is done when it reads on.
    else other.taken = callback;
  }

  override _final(callback: () => void): void {
    this.other?.push(null);
    callback();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    const { other } = this;
    this.other = undefined;
    // As with a socket, the other end sees the connection break; in a turn of its own.
    if (other !== undefined && !other.destroyed) setImmediate(() => other.destroy());
    callback(error);
  }
}

/** Two connected streams, in place of a connection over the network. */
export function makePair(): [Duplex, Duplex] {
  const [one, two] = [new End(), new End()];
  one.other = two;
  two.other = one;
  return [one, two];
}
