import { Delivery, type Done, type Message } from 'nestjs-stomp/server';

/** A message of a queue, from its arrival until it is acknowledged. */
export class Entry extends Delivery {
  /**
   * @param order its place in the queue: lower goes first
   */
  constructor(
    readonly order: number,
    message: Message,
    source: Delivery['source'],
  ) {
    super(message, source);
  }
}

/**
 * What a queue needs of its store: the messages that wait, and those that were handed out and not acknowledged.
 */
export interface Backlog {
  /** How many messages wait. */
  readonly length: number;
  /** Adds a message behind all others. */
  push(message: Message, source: Delivery['source']): Entry;
  /** Takes the first that waits; it stays in the store until `remove`. */
  shift(): Entry | undefined;
  /** Puts one that was taken back into its place. */
  restore(entry: Entry): void;
  /** Forgets one that was taken: it is acknowledged. */
  remove(entry: Entry): void;
  /** Forgets one that was put back and waits: its acknowledgement came late. */
  cancel(entry: Entry): void;
  /** Calls back when all that was pushed and removed so far is as safe as the store makes it. */
  sync(done: Done): void;
}
