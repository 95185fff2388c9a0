/*
 * Heart-beats of one connection (STOMP 1.2, Heart-beating).
 *
 * Sending: the peer wants data at least every n ms and may be strict about it, timers are late under load and the
 * network adds its own delay. So a beat goes out when nothing was written for half of n, and the timer looks at the
 * next moment at which that could be so.
 *
 * Watching: the peer is dead when nothing was read for n times the tolerance. When the timer fires after this
 * process was busy, the proof of life may be waiting in the kernel: so the socket is given one turn to be read
 * before judgement. While we do not read on purpose (back-pressure), silence proves nothing and time stands still.
 */

/** The longest delay that a timer takes; for a longer one it would fire at once, and again and again. */
const LONGEST = 2 ** 31 - 1;

const after = (ms: number, what: () => void): NodeJS.Timeout => setTimeout(what, Math.min(ms, LONGEST));

/** What heart-beats need of their connection. */
export interface HeartBeating {
  /** Write one EOL. */
  beat(): void;
  /** Nothing was heard for `silence` ms. */
  lost(silence: number): void;
}

export class HeartBeat {
  private wroteAt = 0;
  private readAt = 0;
  private sender: NodeJS.Timeout | undefined;
  private watcher: NodeJS.Timeout | undefined;
  private sendEvery = 0;
  private allowed = 0;
  private paused = false;

  constructor(private readonly peer: HeartBeating) {}

  /**
   * @param outgoing beat so that the peer hears something every so many ms; 0 for never
   * @param incoming the peer is lost after so many ms without a byte; 0 for never. The tolerance is in it already
   */
  start(outgoing: number, incoming: number): void {
    this.stop();
    const now = performance.now();
    this.wroteAt = this.readAt = now;
    this.sendEvery = outgoing / 2;
    this.allowed = incoming;
    if (outgoing > 0) this.sender = after(this.sendEvery, this.send);
    if (incoming > 0) this.watcher = after(incoming, this.watch);
  }

  stop(): void {
    clearTimeout(this.sender);
    clearTimeout(this.watcher);
    this.sender = this.watcher = undefined;
  }

  /** Bytes went out. */
  wrote(): void {
    if (this.sender !== undefined) this.wroteAt = performance.now();
  }

  /** Bytes came in; any byte is a sign of life. */
  read(): void {
    if (this.watcher !== undefined) this.readAt = performance.now();
  }

  /** We stop reading on purpose. */
  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    this.read();
  }

  private readonly send = (): void => {
    const due = this.wroteAt + this.sendEvery - performance.now();
    if (due <= 1) {
      this.wroteAt = performance.now();
      this.peer.beat();
    }
    this.sender = after(due <= 1 ? this.sendEvery : due, this.send);
  };

  private readonly watch = (): void => {
    setImmediate(() => {
      if (this.watcher === undefined) return;
      const silence = performance.now() - this.readAt;
      if (this.paused || silence < this.allowed) {
        this.watcher = after(this.paused ? this.allowed : this.allowed - silence, this.watch);
        return;
      }
      this.stop();
      this.peer.lost(Math.round(silence));
    });
  };
}

/** What one side can do and wants, in ms; 0 for "cannot" and "nothing". */
export interface HeartBeatOffer {
  readonly outgoing: number;
  readonly incoming: number;
}

/**
 * Reads a `heart-beat` header. None at all means 0,0.
 *
 * @returns undefined when it is malformed
 */
export function parseHeartBeat(header: string | undefined): HeartBeatOffer | undefined {
  if (header === undefined) return { outgoing: 0, incoming: 0 };
  const found = /^(\d+),(\d+)$/.exec(header.trim());
  if (found === null) return undefined;
  return { outgoing: Number(found[1]), incoming: Number(found[2]) };
}

/** The intervals of a connection between `ours` and `theirs`, in ms: what we send, what we may expect. */
export function agreeHeartBeat(ours: HeartBeatOffer, theirs: HeartBeatOffer): HeartBeatOffer {
  const agree = (can: number, wants: number) => (can === 0 || wants === 0 ? 0 : Math.max(can, wants));
  return { outgoing: agree(ours.outgoing, theirs.incoming), incoming: agree(theirs.outgoing, ours.incoming) };
}
