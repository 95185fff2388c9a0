import type { Message, Session } from 'nestjs-stomp/server';
import { isPattern, matcher } from './pattern.js';
import { inTurns } from './slice.js';

/** How many messages, and octets of them, are kept; beyond that the oldest go. */
const MOST = 100_000;
const MOST_OCTETS = 64 * 1024 * 1024;

interface Kept {
  readonly message: Message;
  readonly expires: number;
}

/** The last message of each topic that was sent with `retain:true`, for those who subscribe later. */
export class Retained {
  private readonly kept = new Map<string, Kept>();
  private octets = 0;

  /** @param onForget told of each that is not kept any more */
  constructor(private readonly onForget: (topic: string) => void) {}

  /** @param expires a moment in ms since 1970; 0 for never */
  keep(topic: string, message: Message, expires: number): void {
    this.forget(topic);
    // A message without a body says that there is nothing to be kept any more.
    if (message.length === 0) return;
    message.detach();
    this.kept.set(topic, { message, expires });
    this.octets += message.size;
    while (this.kept.size > MOST || this.octets > MOST_OCTETS) this.forget(this.kept.keys().next().value!);
  }

  /**
   * Looks for the topics that a name stands for and that something is kept for: of a pattern in turns, and those that come
   * meanwhile are among them.
   *
   * @param found told of them in the order of what is kept
   */
  search(name: string, session: Session, found: (topics: Iterable<string>) => void): void {
    if (!isPattern(name)) {
      found([name]);
      return;
    }
    const [fits, topics] = [matcher(name), new Set<string>()];
    const look = (topic: string) => {
      if (!fits(topic)) return;
      topics.delete(topic);
      topics.add(topic);
    };
    inTurns(session, this.kept.keys(), look, () => found(topics));
  }

  /** What is kept for them. */
  of(topics: Iterable<string>): Message[] {
    return [...topics].flatMap((topic) => this.live(topic));
  }

  private live(topic: string): Message[] {
    const kept = this.kept.get(topic);
    if (kept === undefined) return [];
    if (kept.expires === 0 || kept.expires > Date.now()) return [kept.message];
    this.forget(topic);
    return [];
  }

  private forget(topic: string): void {
    const kept = this.kept.get(topic);
    if (kept === undefined) return;
    this.kept.delete(topic);
    this.octets -= kept.message.size;
    this.onForget(topic);
  }
}
