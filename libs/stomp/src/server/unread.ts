/*
 * What waits for clients that do not read, or do not acknowledge: octets in the buffers of their sockets, and messages
 * of topics, those included that were sent and wait for their acknowledgement. It counts in the memory for messages, so
 * that publishers are slowed. But a client that takes nothing at all would hold them up for ever: where such take too
 * much, they are sent away. One subscription that is not acknowledged is enough: that others move is no excuse.
 * What is only kept for acknowledgements that come late is let go of.
 */
import { StompError } from './error.js';
import type { Memory } from './memory.js';
import type { Message } from './message.js';
import type { Session } from './session.js';

/** What may wait for clients that stand still while memory is full, as a part of the limit. */
const SHARE = 1 / 4;
/** How long they may take nothing then, in ms. */
const STILL = 10_000;
/** Where fewer octets wait in the buffer of a socket the client has read all, but for heart-beats and the like. */
const PIECE = 16 * 1024;
/** Octets that the place of a message takes at each who waits for it, though the message is there once. */
const PLACE = 64;

/** What waits for one client, or for the acknowledgements of one of its subscriptions. */
export class Lag {
  octets = 0;
  /** Whether something of it was taken since the last look. */
  moved = true;
  /** Whether nothing of it waited at the last look. */
  fresh = false;
  /** Lets go of it, where nobody has to be sent away for that. */
  letGo: (() => void) | undefined = undefined;
  private buffered = 0;

  constructor(
    readonly session: Session,
    private readonly unread: Unread,
  ) {
    unread.lags.add(this);
  }

  /** Whether nothing of it was taken since the last look, though it could have been. */
  get still(): boolean {
    const { session, octets, letGo } = this;
    if (octets === 0) return false;
    if (letGo !== undefined) return true;
    if (this.moved || this.fresh || session.lag!.moved) return false;
    return this === session.lag ? octets >= PIECE : !session.deaf;
  }

  /** A part of it, which moves by itself. */
  part(): Lag {
    return new Lag(this.session, this.unread);
  }

  /** Nobody waits for anything any more. */
  close(): void {
    this.unread.lags.delete(this);
  }

  /** So many more octets wait for its socket; fewer, if negative. */
  buffer(octets: number): void {
    if (octets < 0 && this.buffered >= PIECE) this.moved = true;
    this.buffered += octets;
    this.octets += octets;
    this.unread.add(octets);
  }

  /** A message waits until the client can take it, or has acknowledged it. */
  keep(message: Message): void {
    this.octets += message.size + PLACE;
    this.unread.share(message, 1);
  }

  /** Such a message waits no longer. */
  drop(message: Message): void {
    this.octets -= message.size + PLACE;
    this.unread.share(message, -1);
  }
}

/** What waits for all clients of a server. */
export class Unread {
  /** Of all clients that are there, and of their subscriptions. */
  readonly lags = new Set<Lag>();
  private octets = 0;
  /** Since when it is watched who stands still; 0 for not at all. */
  private since = 0;

  constructor(private readonly memory: Memory) {}

  add(octets: number): void {
    this.octets += octets;
    this.memory.move(octets);
  }

  /** A message waits for one client more, or fewer: it is there once, but for its places. */
  share(message: Message, readers: 1 | -1): void {
    const before = message.readers;
    // Its own to know: a map of messages, young and gone in a moment, made the garbage collector keep their bodies.
    message.readers += readers;
    const size = before === 0 || message.readers === 0 ? message.size : 0;
    this.add(readers * (size + PLACE));
  }

  /** While memory is full: sends those away that stand still, who hold most first. */
  look(): void {
    const most = this.memory.most * SHARE;
    if (this.octets <= most) {
      this.since = 0;
      return;
    }
    const now = performance.now();
    if (this.since > 0) {
      if (now - this.since < STILL) return;
      this.sendAway(most);
    }
    this.since = now;
    for (const lag of this.lags) {
      lag.moved = false;
      lag.fresh = lag.octets === 0;
    }
  }

  /** Memory is full no longer. */
  rest(): void {
    this.since = 0;
  }

  private sendAway(most: number): void {
    let left = this.octets;
    const still = [...this.lags].filter((lag) => lag.still).sort((one, other) => other.octets - one.octets);
    for (const { octets, session, letGo } of still) {
      if (left <= most) break;
      left -= octets;
      if (letGo !== undefined) {
        letGo();
        continue;
      }
      session.refuse(
        new StompError(
          'slow consumer',
          `${octets} octets wait for this client, and it has read and acknowledged nothing of them for ${STILL} ms while memory is full (max-memory)`,
        ),
      );
    }
  }
}
