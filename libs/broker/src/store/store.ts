import type { Backlog } from '../destination/backlog.js';

/** Where the local engine keeps the messages of its queues. */
export interface Store {
  /**
   * Makes the store ready.
   *
   * @returns the names of the queues that hold messages from before
   */
  open(): Promise<readonly string[]>;
  /** The backlog of a queue; the same one each time, until it is dropped. */
  backlog(queue: string): Backlog;
  /** Forgets a queue and all that it holds. */
  drop(queue: string): void;
  /** Ends it, when all that was promised is safe. */
  close(): Promise<void>;
}
