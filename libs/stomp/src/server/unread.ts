/*
 * What waits for clients that do not read, or do not acknowledge: octets in the buffers of their sockets, and messages
 * of topics. It counts in the memory for messages, so that publishers are slowed. But a client that takes nothing at all
 * would hold them up for ever: where such take too much, they are sent away.
 */
import { StompError } from './error.js';
import type { Memory } from './memory.js';
import type { Message } from './message.js';
import type { Session } from './session.js';

/** What may wait for clients that stand still while memory is full, as a part of the limit. */
const SHARE = 1 / 4;
/** How long they may take nothing then, in ms. */
const STILL = 10_000;

/** What waits for one client. */
export class Lag {
  octets = 0;
  /** Whether it took something since the last look. */
  moved = true;

  constructor(
    readonly session: Session,
    private readonly unread: Unread,
  ) {}

  /** So many more octets wait for its socket; fewer, if negative. */
  buffer(octets: number): void {
    this.add(octets);
    this.unread.add(octets);
  }

  /** A message waits until the client can take it. */
  keep(message: Message): void {
    this.add(message.size);
    this.unread.share(message, 1);
  }

  /** Such a message waits no longer. */
  drop(message: Message): void {
    this.add(-message.size);
    this.unread.share(message, -1);
  }

  private add(octets: number): void {
    this.octets += octets;
    if (octets < 0) this.moved = true;
    if (this.octets === 0) this.unread.lags.delete(this);
    else if (this.octets === octets) this.unread.lags.add(this);
  }
}

/** What waits for all clients of a server. */
export class Unread {
  /** Those for whom something waits. */
  readonly lags = new Set<Lag>();
  private octets = 0;
  /** For how many clients each message waits: it is there once. */
  private readonly shared = new Map<Message, number>();
  /** Since when it is watched who stands still; 0 for not at all. */
  private since = 0;

  constructor(private readonly memory: Memory) {}

  add(octets: number): void {
    this.octets += octets;
    this.memory.move(octets);
  }

  share(message: Message, readers: 1 | -1): void {
    const before = this.shared.get(message) ?? 0;
    const after = before + readers;
    if (after === 0) this.shared.delete(message);
    else this.shared.set(message, after);
    if (before === 0) this.add(message.size);
    else if (after === 0) this.add(-message.size);
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
    for (const lag of this.lags) lag.moved = false;
  }

  /** Memory is full no longer. */
  rest(): void {
    this.since = 0;
  }

  private sendAway(most: number): void {
    let left = this.octets;
    const still = [...this.lags].filter(({ moved }) => !moved).sort((one, other) => other.octets - one.octets);
    for (const { octets, session } of still) {
      if (left <= most) break;
      left -= octets;
      session.refuse(
        new StompError(
          'slow consumer',
          `${octets} octets wait for this client, and it has taken nothing for ${STILL} ms while memory is full (max-memory)`,
        ),
      );
    }
  }
}
