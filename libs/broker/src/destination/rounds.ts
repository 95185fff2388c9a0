/*
 * The way of messages to the readers of a topic some of which have selectors. To ask many of them, or long ones, takes
 * long: then the publisher is not read, and the rest of the round is done in turns of the event loop of its own, so that
 * everybody else goes on in between and heart-beats are in time. Each reader gets the messages in their order. Queues that
 * are fed by the topic are asked first, and those that want a message get it in one turn: it is written for all of them
 * or for none.
 */
import type { Done, Message, Session } from 'nestjs-stomp/server';
import type { Answered } from './answers.js';
import type { TopicReader } from './reader.js';
import { isOver, later, spend } from './slice.js';
import { onceAll } from './tally.js';
import type { Topics } from './topics.js';

/** One message on its way. */
interface Round {
  readonly message: Message;
  readonly publisher: Session | undefined;
  /** Told once by each reader, and once at the end of the round. */
  readonly done: Done | undefined;
  /** Those that write come first. */
  readers: readonly TopicReader[];
  /** Of the topics, when the readers were found. */
  version: number;
  /** So many were asked. */
  at: number;
  /** Those of them that are to write it. */
  takers: TopicReader[];
  /** Octets that it takes while it waits for another turn. */
  held: number;
}

const NONE: Answered = { asked: 0, takers: [] };

export class Rounds {
  private readonly open: Round[] = [];
  private readonly held = new Set<Session>();

  /**
   * @param occupy told of so many octets more, or fewer, of messages that are under way
   * @param onOver told when no round is under way any more
   */
  constructor(
    private readonly topics: Topics,
    private readonly name: string,
    private readonly occupy: (octets: number) => void,
    private readonly onOver?: () => void,
  ) {}

  /** Whether a message is on its way. */
  get busy(): boolean {
    return this.open.length > 0;
  }

  /**
   * @param readers those that write first
   * @param together it stands or falls with what else this turn does, an ACK or the end of its delay: so it is written in
   * this turn; with what was answered ahead, if anybody was asked
   * @param done told when the message is as safe with all of them as was promised
   */
  begin(
    message: Message,
    publisher: Session | undefined,
    readers: readonly TopicReader[],
    together: boolean | Answered,
    done: Done | undefined,
  ): void {
    const { asked, takers } = typeof together === 'object' ? together : NONE;
    const round: Round = {
      message,
      publisher,
      done: done && onceAll(readers.length - asked + takers.length + 1, done),
      readers,
      version: this.topics.version,
      at: asked,
      takers: [...takers],
      held: 0,
    };
    if (together !== false) keep(round);
    this.topics.underWay.add(this);
    if (this.open.push(round) === 1) this.go();
    if (this.open.at(-1) === round) {
      message.detach();
      round.held = message.size;
      this.occupy(round.held);
    }
    if (publisher === undefined || this.held.has(publisher)) return;
    if (this.open.length === 0) {
      if (!isOver()) return;
      later(() => this.resume());
    }
    this.held.add(publisher);
    publisher.waitFor(this);
  }

  /** It is the end: what is to be written is written at once. */
  finish(): void {
    this.topics.underWay.delete(this);
    for (const round of this.open.splice(0)) {
      this.occupy(-round.held);
      this.refresh(round);
      keep(round);
    }
  }

  /** A publisher is gone; what it has sent is not. */
  forget(publisher: Session): void {
    this.held.delete(publisher);
  }

  private go(): void {
    if (!this.busy) return;
    for (let round; (round = this.open[0]) !== undefined; this.open.shift()) {
      if (!this.pass(round)) {
        later(() => this.resume());
        return;
      }
      this.occupy(-round.held);
    }
    this.topics.underWay.delete(this);
    this.onOver?.();
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
    for (;;) {
      this.refresh(round);
      const reader = round.readers[round.at];
      if (reader?.keeps !== true) write(round);
      if (reader === undefined) break;
      round.at++;
      if (ask(reader, round) && round.at < round.readers.length) return false;
    }
    round.done?.();
    return true;
  }

  /** Who has left since the round began gets nothing more. */
  private refresh(round: Round): void {
    const { topics } = this;
    if (round.version === topics.version) return;
    const there = new Set(topics.match(this.name));
    const { readers, at, takers, done } = round;
    round.readers = [...readers.slice(0, at), ...readers.slice(at).filter((reader) => there.has(reader))];
    round.takers = takers.filter((reader) => there.has(reader));
    const gone = readers.length + takers.length - round.readers.length - round.takers.length;
    for (let left = gone; left > 0; left--) done?.();
    round.version = topics.version;
  }
}

/** Asks a reader, which has the message then if it wants it; tells whether others are to have their turn after that. */
function ask(reader: TopicReader, round: Round): boolean {
  const since = reader.selects ? performance.now() : 0;
  if (!reader.wants(round.message, round.publisher)) round.done?.();
  else if (reader.keeps) round.takers.push(reader);
  else hand(reader, round);
  return reader.selects && spend(since);
}

/** Asks all that write and are still to be asked, and those that want it do so. */
function keep(round: Round): void {
  while (round.readers[round.at]?.keeps === true) ask(round.readers[round.at++]!, round);
  write(round);
}

/** All that want to write it do so. */
function write(round: Round): void {
  for (const reader of round.takers) hand(reader, round);
  round.takers = [];
}

function hand(reader: TopicReader, { message, publisher, done }: Round): void {
  try {
    reader.take(message, publisher, done);
  } catch (error) {
    done?.(error as Error);
    publisher?.refuse(error as Error);
  }
}
