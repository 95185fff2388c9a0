import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { FrameDecoder } from '../frame/decoder.js';
import { encodeHead } from '../frame/encoder.js';
import type { FrameError } from '../frame/error.js';
import type { Frame } from '../frame/frame.js';
import type { FrameLimits } from '../frame/limits.js';
import type { Version } from '../frame/version.js';
import { HeartBeat } from './heartbeat.js';
import { Outbox } from './outbox.js';

/** What a connection tells its owner. */
export interface ConnectionHandler {
  /** A frame came in. Called while bytes are read, in order. */
  onFrame(frame: Frame): void;
  /** @internal See {@link FrameDecoderOptions.onAck}. */
  onAck?(bytes: Buffer, from: number, to: number): boolean;
  /** The frames of one piece that came from the stream have been given out. */
  onRead?(): void;
  /** The peer's bytes break the grammar or a limit; nothing more is read. */
  onFault(error: FrameError): void;
  /** The peer will send nothing more, and all that it sent has been given out; with what TLS said of it, if anything. */
  onEnd(error?: Error): void;
  /** The connection is gone. Called once, last. */
  onClose(error: Error | undefined): void;
  /** So many more bytes wait for the peer than after the last flush; fewer, if negative. */
  onBuffered?(bytes: number): void;
  /** The peer takes bytes again after `writable` was false. */
  onDrain?(): void;
  /** Nothing was heard for longer than was agreed on; the connection is given up unless this does otherwise. */
  onSilence?(milliseconds: number): void;
}

export interface ConnectionOptions extends FrameLimits {
  /** Bytes that may wait for the peer before `writable` turns false; 1 MiB by default. */
  highWaterMark?: number;
}

/** How long a connection that was ended waits for the peer to end it too, in ms. */
const LINGER = 2_000;
/** From so many collected bytes on a flush does not wait for the end of the turn. */
const FLUSH_AT = 256 * 1024;
const KEEP_ALIVE = 60_000;
const EOL = '\n';
const END = '\0\n';

// Connections that have something to flush at the end of this turn of the event loop.
let dirty: Connection[] = [];

function flushAll(): void {
  const connections = dirty;
  dirty = [];
  for (const connection of connections) connection.flush();
}

/**
 * A stream that speaks frames: what comes in is decoded, what goes out is collected and written once per turn of
 * the event loop, heart-beats go both ways. It works over any Duplex.
 */
export class Connection {
  /** @internal Where a hot path writes bytes of its own; call `touch` afterwards. */
  readonly outbox: Outbox;
  private readonly decoder: FrameDecoder;
  // Where one was agreed on.
  private heartBeat: HeartBeat | undefined;
  private readonly highWaterMark: number;
  private scheduled = false;
  private blocked = false;
  /** Bytes of which the handler was told that they wait for the peer. */
  private told = 0;
  private pauses = 0;
  /** When the first octet of a frame came that is not complete yet; 0 when there is none. */
  private begun = 0;
  private ended = false;
  private closing = false;
  private closed = false;
  private error: Error | undefined;
  private linger: NodeJS.Timeout | undefined;

  /**
   * @param stream open already; owned by the connection from now on. A net.Socket should have been made with
   *   `allowHalfOpen`, so that what the peer sent before its FIN can still be answered
   */
  constructor(
    readonly stream: Duplex,
    private readonly handler: ConnectionHandler,
    options: ConnectionOptions = {},
  ) {
    this.highWaterMark = options.highWaterMark ?? 1024 * 1024;
    this.outbox = new Outbox(stream);
    this.decoder = new FrameDecoder({
      ...options,
      onFrame: (frame) => {
        this.begun = 0;
        this.handler.onFrame(frame);
      },
      onAck: (bytes, from, to) => this.handler.onAck?.(bytes, from, to) === true,
    });
    if (stream instanceof Socket) {
      stream.setNoDelay(true);
      stream.setKeepAlive(true, KEEP_ALIVE);
    }
    stream.on('data', (chunk: Buffer) => this.read(chunk));
    stream.on('end', () => this.finish());
    stream.on('error', (error: Error) => (this.error ??= error));
    stream.on('close', () => this.gone());
  }

  /** The version agreed on: from now on frames are read and written by its rules. */
  get version(): Version | undefined {
    return this.decoder.version;
  }

  set version(version: Version | undefined) {
    this.decoder.version = version;
  }

  /** The decoder's limits, which may be changed at any time. */
  get limits(): Required<FrameLimits> {
    return this.decoder.limits;
  }

  /** Bytes that wait for the peer to take them. */
  get buffered(): number {
    return this.outbox.size + this.stream.writableLength;
  }

  /** For how long the peer has been sending one frame, in ms; 0 while nothing is read of it. */
  get frameAge(): number {
    return this.begun === 0 || this.pauses > 0 ? 0 : performance.now() - this.begun;
  }

  /** Bytes kept of a frame that is not complete yet. */
  get gathered(): number {
    return this.decoder.gathered;
  }

  /** The most that this frame can come to, in bytes. */
  get expected(): number {
    return this.decoder.expected;
  }

  /** Whether nothing is read at the moment. */
  get paused(): boolean {
    return this.pauses > 0;
  }

  /** Whether the peer keeps up. Once this was false, `onDrain` tells when it is true again. */
  get writable(): boolean {
    if (this.outbox.size + this.told < this.highWaterMark) return true;
    this.blocked = true;
    return false;
  }

  /** Whether frames can still be sent. */
  get open(): boolean {
    return !this.closing && !this.closed;
  }

  /**
   * Sends a frame at the end of this turn of the event loop. On a connection that is closing or closed it does
   * nothing.
   *
   * @throws FrameError when the version cannot carry the frame; nothing of it is sent
   */
  send(frame: Frame, contentLength = true): void {
    if (!this.open) return;
    const head = encodeHead(frame, { version: this.version, contentLength });
    this.outbox.text(head);
    this.outbox.add(frame.body);
    this.outbox.text(END);
    this.touch();
  }

  /** @internal Something was added to the outbox. */
  touch(): void {
    if (this.outbox.size >= FLUSH_AT) this.flush();
    else if (!this.scheduled) {
      this.scheduled = true;
      if (dirty.push(this) === 1) setImmediate(flushAll);
    }
  }

  /** Writes what was collected now. */
  flush(): void {
    this.scheduled = false;
    if (this.closed || this.outbox.size === 0) return;
    this.heartBeat?.wrote();
    this.outbox.flush(this);
    this.tell(this.stream.writableLength);
  }

  /**
   * Starts heart-beats as agreed on.
   *
   * @param outgoing the peer is to hear something every so many ms; 0 for never
   * @param incoming the peer has to be heard every so many ms; 0 for never
   * @param tolerance the peer is lost after `incoming` times this
   */
  startHeartBeat(outgoing: number, incoming: number, tolerance: number): void {
    this.heartBeat?.stop();
    this.heartBeat = undefined;
    if (outgoing === 0 && incoming === 0) return;
    this.heartBeat = new HeartBeat(this);
    if (this.pauses > 0) this.heartBeat.pause();
    this.heartBeat.start(outgoing, incoming * tolerance);
  }

  /** Reads no further until `resume` has been called as often as this. Heart-beats to the peer go on. */
  pause(): void {
    if (++this.pauses > 1) return;
    this.decoder.pause();
    this.stream.pause();
    this.heartBeat?.pause();
  }

  resume(): void {
    if (--this.pauses > 0 || this.closed) return;
    this.heartBeat?.resume();
    if (this.begun > 0) this.begun = performance.now();
    this.decode(() => this.decoder.resume());
    if (this.pauses > 0) return;
    this.stream.resume();
    this.finishWhenRead();
  }

  /**
   * Ends the connection: what was sent goes out, then our FIN; what the peer still sends is dropped, so that it can
   * read our last words; when it does not end its side within two seconds, the connection is cut.
   */
  end(): void {
    if (!this.open) return;
    this.closing = true;
    this.heartBeat?.stop();
    this.flush();
    this.stream.end();
    this.stream.resume();
    this.linger = setTimeout(() => this.stream.destroy(), LINGER);
  }

  /** Cuts the connection at once. What was not written is lost. */
  destroy(error?: Error): void {
    this.error ??= error;
    this.closing = true;
    this.stream.destroy();
  }

  private read(chunk: Buffer): void {
    if (this.closing) return;
    this.heartBeat?.read();
    this.decode(() => this.decoder.push(chunk));
  }

  private decode(step: () => void): void {
    if (this.decoder.fault !== undefined) return;
    try {
      step();
    } catch (error) {
      const fault = this.decoder.fault;
      if (fault === undefined || error !== fault) throw error;
      if (this.open) this.handler.onFault(fault);
    }
    if (this.begun === 0 && this.decoder.partial) this.begun = performance.now();
    this.handler.onRead?.();
  }

  private finish(): void {
    this.ended = true;
    this.finishWhenRead();
  }

  private finishWhenRead(): void {
    if (!this.ended || this.pauses > 0) return;
    if (this.open) this.handler.onEnd(this.error);
    else this.stream.end();
  }

  /** @internal The peer is to hear something. */
  beat(): void {
    if (!this.open) return;
    this.outbox.text(EOL);
    this.touch();
  }

  /** @internal The peer was silent for so many ms. */
  lost(silence: number): void {
    if (this.handler.onSilence !== undefined) this.handler.onSilence(silence);
    else this.destroy(new Error(`nothing was heard from the peer for ${silence} ms`));
  }

  /** @internal The stream is done with what was flushed. */
  written(): void {
    this.tell(this.stream.writableLength);
    // A stream that broke calls back, too.
    if (this.blocked && this.stream.writable && this.buffered < this.highWaterMark / 2) {
      this.blocked = false;
      this.handler.onDrain?.();
    }
  }

  private tell(waiting: number): void {
    if (waiting === this.told || this.closed) return;
    const more = waiting - this.told;
    this.told = waiting;
    this.handler.onBuffered?.(more);
  }

  private gone(): void {
    if (this.closed) return;
    this.tell(0);
    this.closed = true;
    clearTimeout(this.linger);
    this.heartBeat?.stop();
    this.outbox.clear();
    this.handler.onClose(this.error);
  }
}
