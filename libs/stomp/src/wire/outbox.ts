/*
 * Bytes on their way out, collected over one turn of the event loop.
 *
 * Small pieces are copied together into slabs, large ones go by reference between them; a flush hands the list to
 * the stream in one go. An idle connection holds no slab.
 */
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';

const SMALL = 4 * 1024;
const LARGE = 64 * 1024;
/** From this size on a piece is passed by reference: cheaper than its copy, dearer than that of a smaller one. */
const BY_REFERENCE = 8 * 1024;
/** The most slabs of a size that wait for the next writer. */
const MOST = 1_024;
/** For so many ms they wait. */
const WAIT = 1_000;

/** Slabs of one size, those that are free: as many as there were in use at a time of late. */
class Slabs {
  private readonly free: Buffer[] = [];
  /** So many were not used since it was looked at last. */
  private spare = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly size: number) {}

  take(): Buffer {
    const slab = this.free.pop() ?? Buffer.allocUnsafeSlow(this.size);
    this.spare = Math.min(this.spare, this.free.length);
    return slab;
  }

  give(slab: Buffer): void {
    if (this.free.length === MOST) return;
    this.free.push(slab);
    this.timer ??= setTimeout(() => this.look(), WAIT).unref();
  }

  private look(): void {
    this.timer = undefined;
    this.free.splice(0, this.spare);
    this.spare = this.free.length;
    if (this.spare > 0) this.timer = setTimeout(() => this.look(), WAIT).unref();
  }
}

const small = new Slabs(SMALL);
const large = new Slabs(LARGE);

function take(size: number): Buffer {
  if (size <= SMALL) return small.take();
  return size <= LARGE ? large.take() : Buffer.allocUnsafeSlow(size);
}

function give(slab: Buffer): void {
  if (slab.length === SMALL) small.give(slab);
  else if (slab.length === LARGE) large.give(slab);
}

export class Outbox {
  /** The slab at hand; valid after `room`. */
  slab: Buffer | undefined;
  /** Where the next byte goes in `slab`. */
  at = 0;
  private start = 0;
  private pieces: Buffer[] = [];
  private slabs: Buffer[] = [];
  private gathered = 0;
  private wanted = SMALL;
  private readonly recycles: boolean;
  private readonly stream: Writable;

  constructor(stream: Writable) {
    this.stream = stream;
    // A kernel socket is done with a buffer when the write calls back; any other stream may hand it on.
    this.recycles = stream instanceof Socket;
  }

  /** Bytes collected and not yet flushed. */
  get size(): number {
    return this.gathered + this.at - this.start;
  }

  /** Makes room for `size` contiguous bytes at `at` in the slab, which it returns. */
  room(size: number): Buffer {
    const slab = this.slab;
    if (slab !== undefined && this.at + size <= slab.length) return slab;
    this.cut();
    const next = take(Math.max(size, slab === undefined ? this.wanted : LARGE));
    this.slabs.push(next);
    this.slab = next;
    this.at = this.start = 0;
    return next;
  }

  /** Appends bytes that will not change any more. */
  add(bytes: Buffer): void {
    const size = bytes.length;
    if (size === 0) return;
    if (size >= BY_REFERENCE) {
      this.cut();
      this.pieces.push(bytes);
      this.gathered += size;
      return;
    }
    bytes.copy(this.room(size), this.at);
    this.at += size;
  }

  /** Appends text as UTF-8. */
  text(text: string): void {
    // First of all the room: it may move `at`.
    const slab = this.room(text.length * 3);
    this.at += slab.write(text, this.at);
  }

  /** Hands what was collected to the stream, and tells the owner when the stream is finished with it. */
  flush(owner: { written(): void }): void {
    this.cut();
    const { pieces, slabs, gathered, stream } = this;
    if (pieces.length === 0) return;
    this.pieces = [];
    this.slabs = [];
    this.slab = undefined;
    this.at = this.start = this.gathered = 0;
    this.wanted = gathered <= SMALL ? SMALL : LARGE;
    const written = () => {
      if (this.recycles) for (const slab of slabs) give(slab);
      owner.written();
    };
    if (pieces.length === 1) {
      stream.write(pieces[0], written);
      return;
    }
    stream.cork();
    const last = pieces.length - 1;
    for (let i = 0; i < last; i++) stream.write(pieces[i]);
    stream.write(pieces[last], written);
    stream.uncork();
  }

  /** Forgets what was collected: the stream is gone. */
  clear(): void {
    for (const slab of this.slabs) give(slab);
    this.pieces = [];
    this.slabs = [];
    this.slab = undefined;
    this.at = this.start = this.gathered = 0;
  }

  private cut(): void {
    const { slab, start, at } = this;
    if (slab === undefined || at === start) return;
    this.pieces.push(start === 0 && at === slab.length ? slab : slab.subarray(start, at));
    this.gathered += at - start;
    this.start = at;
  }
}
