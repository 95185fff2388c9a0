/*
 * The way of messages to the readers of a topic some of which have selectors. To ask many of them, or long ones, takes
 * long: then the publisher is not read, and the rest of the round is done in turns of the event loop of its own, so that
 * everybody else goes on in between and heart-beats are in time. Each reader gets the messages in their order. Queues that
 * are fed by the topic get each in the turn that it is sent in.
 */
import type { Done, Message, Session } from 'nestjs-stomp/server';
import type { TopicReader } from './reader.js';
import { isOver, later, spend } from './slice.js';
import type { Topics } from './topics.js';

/** One message on its way. */
interface Round {
  readonly message: Message;
  readonly publisher: Session | undefined;
  /** Told once by each reader, and once at the end of the round. */
  readonly done: Done | undefined;
  readers: readonly TopicReader[];
  /** Of the topics, when the readers were found. */
  version: number;
  at: number;
}

export class Rounds {
  private readonly open: Round[] = [];
  private readonly held = new Set<Session>();

  constructor(
    private readonly topics: Topics,
    private readonly name: string,
  ) {}

  /** @param done told when the message is as safe with all of them as was promised */
  begin(
    message: Message,
    publisher: Session | undefined,
    readers: readonly TopicReader[],
    done: Done | undefined,
  ): void {
    const all = done && onceAll(readers.length + 1, done);
    // What is written stands or falls with what else this turn does: an ACK, the end of a message's delay.
    for (const reader of readers) if (reader.keeps) hand(reader, message, publisher, all);
    const round = {
      message,
      publisher,
      done: all,
      readers: readers.filter(({ keeps }) => !keeps),
      version: this.topics.version,
      at: 0,
    };
    if (this.open.push(round) === 1) this.go();
    if (publisher === undefined || this.held.has(publisher)) return;
    if (this.open.length === 0) {
      if (!isOver()) return;
      later(() => this.resume());
    }
    this.held.add(publisher);
    publisher.waitFor(this);
  }

  /** A publisher is gone; what it has sent is not. */
  forget(publisher: Session): void {
    this.held.delete(publisher);
  }

  private go(): void {
    for (let round; (round = this.open[0]) !== undefined; this.open.shift()) {
      if (!this.pass(round)) {
        later(() => this.resume());
        return;
      }
    }
  }

  private resume(): void {
    this.go();
    if (this.open.length > 0) return;
    for (const publisher of [...this.held]) {
      this.held.delete(publisher);
      publisher.goOn(this);
    }
  }

  /** Goes on with a round; tells whether it is over. */
  private pass(round: Round): boolean {
    const { message, publisher, done } = round;
    while ((this.refresh(round), round.at < round.readers.length)) {
      const reader = round.readers[round.at++]!;
      if (hand(reader, message, publisher, done) && round.at < round.readers.length) return false;
    }
    done?.();
    return true;
  }

  /** Who has left since the round began gets nothing more. */
  private refresh(round: Round): void {
    const { topics } = this;
    if (round.version === topics.version) return;
    const there = new Set(topics.match(this.name));
    const { readers, at, done } = round;
    round.readers = [...readers.slice(0, at), ...readers.slice(at).filter((reader) => there.has(reader))];
    for (let gone = readers.length - round.readers.length; gone > 0; gone--) done?.();
    round.version = topics.version;
  }
}

/** Tells whether others are to have their turn after that. */
function hand(reader: TopicReader, message: Message, publisher: Session | undefined, done: Done | undefined): boolean {
  const since = reader.selects ? performance.now() : 0;
  try {
    reader.take(message, publisher, done);
  } catch (error) {
    done?.(error as Error);
    publisher?.refuse(error as Error);
  }
  return reader.selects && spend(since);
}

/** What tells `done` when it was called so often, with the first error of all. */
function onceAll(calls: number, done: Done): Done {
  let left = calls;
  let failed: Error | undefined;
  return (error) => {
    failed ??= error;
    if (--left === 0) done(failed);
  };
}
