import type { Done, Memory, Message } from 'nestjs-stomp/server';
import type { Backlog } from '../destination/backlog.js';

/** Something besides the messages of queues that has to be there after a restart. */
export interface Kept {
  readonly kind: 'queue' | 'feed' | 'durable' | 'retained' | 'scheduled';
  /** What tells it from others of its kind. */
  readonly key: string;
  /** What it is made again of; JSON can say it. */
  readonly about: Readonly<Record<string, unknown>>;
  readonly message?: Message | undefined;
}

/**
 * Where the local engine keeps the messages of its queues. What is done in one turn of the event loop is kept as a
 * whole, or not at all, unless it is much; what is done in one `join` always is.
 */
export interface Store {
  /**
   * Makes the store ready.
   *
   * @param memory of the server: told what messages take that the store has to keep there
   * @returns the names of the queues that are there from before
   */
  open(memory?: Memory): Promise<readonly string[]>;
  /**
   * The backlog of a queue; the same one each time, until it is dropped.
   *
   * @param about what the queue is made again of after a restart
   */
  backlog(queue: string, about?: Kept['about']): Backlog;
  /** So many octets of messages are there as a whole or not at all after a crash, when they were added in one `join`. */
  readonly together: number;
  /** Does what has to be there as a whole or not at all after a crash, however much else is done in this turn. */
  join(work: () => void): void;
  /** Forgets a queue and all that it holds. */
  drop(queue: string): void;
  /** Keeps a thing, in place of the one of that kind and key. */
  keep(kept: Kept): void;
  /** Forgets a thing. */
  forget(kind: Kept['kind'], key: string): void;
  /** What is kept, as it was when the store was opened. */
  kept(): Iterable<Kept>;
  /** Does what may have been done before the process was killed: messages that it adds may have been handed out. */
  redo(work: () => Promise<void>): Promise<void>;
  /** What is kept cannot be used: it is set aside where that can be done, told of with the reason, and forgotten. */
  refuse(kept: Kept, why: string): void;
  /** Tells the operator. */
  report(line: string): void;
  /**
   * Whether a message to that destination can be kept.
   *
   * @throws StompError when not at the moment
   */
  checkRoom(destination: string): void;
  /**
   * Calls back when all that was done so far is as safe as the store makes it, or cannot be made so.
   *
   * @param patient it is not told of a disk that fails, but waits: what was done cannot be refused any more
   * @param destination of what the caller asks for
   */
  sync(done: Done, patient?: boolean, destination?: string): void;
  /** Ends it, when all that was promised is safe. */
  close(): Promise<void>;
}
