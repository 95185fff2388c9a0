/*
 * Messages that are written in one turn with something else: those of a transaction, one for a list of destinations, one
 * whose time has come.
 * In that turn nobody could be asked but one after the other, while everybody else waits. So those who write and have
 * selectors are asked before, in turns, for as long as there is anybody who was not.
 */
import type { Message, Session } from 'nestjs-stomp/server';
import type { TopicReader } from './reader.js';

/** What those who write a message have answered ahead. */
export interface Answered {
  /** So many, the first of its readers. */
  readonly asked: number;
  /** Those of them that want it. */
  readonly takers: readonly TopicReader[];
}

/** A message that is still to come. */
interface Expected {
  /** What readers of the topic see of it. */
  readonly make: () => Message;
  /** The same, once somebody wants it. */
  own: Message | undefined;
  takers: TopicReader[];
}

/** What is known of the messages that are to come to one topic. */
export class Answers {
  /** By what was sent. */
  private readonly expected = new Map<Message, Expected>();
  /** Those who were asked about all of them. */
  private asked: readonly TopicReader[] = [];

  /** @param publisher undefined where it has gone */
  constructor(private readonly publisher: Session | undefined) {}

  /** Whether one of them has not come yet. */
  get open(): boolean {
    return this.expected.size > 0;
  }

  /** @param make the message as the topic's readers see it; what was answered holds for that one */
  expect(message: Message, make: () => Message): void {
    this.expected.set(message, { make, own: undefined, takers: [] });
  }

  /** What those who were not asked yet are to be asked; nothing where all of them were. */
  *questions(readers: readonly TopicReader[]): Generator<() => void> {
    const added = this.added(readers);
    if (added.length === 0) return;
    for (const [message, one] of this.expected) {
      const own = one.own ?? one.make();
      for (const reader of added) {
        yield () => {
          if (!reader.wants(own, this.publisher)) return;
          one.own = own;
          one.takers.push(reader);
        };
      }
      // There may be many, and each has its headers twice.
      message.detach();
    }
    this.asked = readers;
  }

  /**
   * The message has come: what readers see of it, and what was answered. Whoever came since the last answer is asked now.
   *
   * @param readers those who write and have selectors
   */
  take(message: Message, readers: readonly TopicReader[]): (Answered & { readonly own: Message }) | undefined {
    const one = this.expected.get(message);
    if (one === undefined) return undefined;
    this.expected.delete(message);
    const own = one.own ?? one.make();
    if (readers === this.asked) return { own, asked: readers.length, takers: one.takers };
    const there = new Set(readers);
    const takers = [
      ...one.takers.filter((reader) => there.has(reader)),
      ...this.added(readers).filter((reader) => reader.wants(own, this.publisher)),
    ];
    return { own, asked: readers.length, takers };
  }

  private added(readers: readonly TopicReader[]): readonly TopicReader[] {
    if (readers === this.asked) return [];
    if (this.asked.length === 0) return readers;
    const asked = new Set(this.asked);
    return readers.filter((reader) => !asked.has(reader));
  }
}
