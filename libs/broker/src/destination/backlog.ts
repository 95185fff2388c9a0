import { Delivery, type Done, type Message, type Session } from 'nestjs-stomp/server';
import { ORDINARY, readTerms } from './dialect.js';
import type { Slice } from './slice.js';

/** Octets that a queue's own books of a message take, roughly. */
const BOOKS = 384;

/** A message of a queue, from its arrival until it is acknowledged. */
export class Entry extends Delivery {
  /** 0 to 9; those of a higher one go first. */
  readonly priority: number;
  /** The moment at which it expires, in ms since 1970; 0 for never. */
  expires: number;
  /** Messages of one group go to one consumer. */
  readonly group: string | undefined;
  /** Octets that it keeps in memory, roughly, as it was when it came. */
  readonly size: number;
  /** How many of its deliveries count towards the limit: it was refused, or its consumer broke. */
  failures = 0;

  /**
   * @param order its place among those of its priority: lower goes first
   */
  constructor(
    readonly order: number,
    message: Message,
    source: Delivery['source'],
    priority: number,
  ) {
    super(message, source);
    this.priority = priority;
    this.size = message.size + BOOKS;
    const terms = message.special ? readTerms(message) : ORDINARY;
    this.expires = terms.expires;
    this.group = terms.group;
  }
}

/** How far a consumer that does not take everything has looked. */
export interface Cursor {
  /**
   * It has to look at everything again.
   *
   * @param from at this message and those of its priority that come after it only
   */
  reset(from?: Pick<Entry, 'priority' | 'order'>): void;
  /** Nobody looks any more. */
  close(): void;
}

/** What has expired. */
export interface Sweep {
  /** Whether somebody wants them: else those that are on disk are forgotten without being read. */
  readonly wanted: boolean;
  /** Whether one is to be taken: it gets the moment at which it expires, in ms since 1970; 0 for never. */
  accepts(expires: number): boolean;
  /** One that was to be taken stays, for the disk does not give it at the moment. */
  missed(): void;
}

/** What a queue has to know of messages that are there from before a restart. */
export interface Recovered {
  /** Some of them expire. */
  readonly expiring: boolean;
  /** Some of them belong to groups. */
  readonly grouped: boolean;
  /** Of their bodies. */
  readonly octets: number;
}

/**
 * What a queue needs of its store: the messages that wait, those of higher priority first and else in the order of
 * their arrival, and those that were handed out and not acknowledged.
 */
export interface Backlog {
  /** How many messages wait. */
  readonly length: number;
  /**
   * How long to wait, in ms, where the disk does not give at the moment what comes next: that keeps its place, and what
   * is behind it waits. 0 where it is not so.
   */
  readonly stalled: number;
  /** How many messages the disk has not given, and that do not wait any more: they are back after a restart. */
  readonly withheld: number;
  /** Undefined where nothing is from before. */
  readonly recovered: Recovered | undefined;
  /** Who settles what was there from before; to be set before anything is taken. */
  source: Delivery['source'];
  /** Adds a message behind all others of its priority. */
  push(message: Message, source: Delivery['source']): Entry;
  /**
   * Takes the first that waits; it stays in the store until `remove`. Undefined where none does, where the disk does
   * not give it at the moment, or so many cannot be read, and are passed over, that the rest has to wait for another
   * turn: then some wait still.
   */
  shift(): Entry | undefined;
  /** A cursor at the beginning. */
  cursor(): Cursor;
  /**
   * Takes the first that waits and is accepted. What was looked at once and not accepted is not looked at again with
   * that cursor, but for messages that were put back. Where the slice is over before one is found, the next call goes
   * on from there; so it does where the disk does not give the next one at the moment.
   */
  take(cursor: Cursor, accepts: (entry: Entry) => boolean, slice: Slice): Entry | undefined;
  /**
   * Takes those that wait and are accepted, from the cursor on until there are no more, or the slice is over. What the
   * disk does not give at the moment stays.
   */
  sweep(cursor: Cursor, sweep: Sweep, slice: Slice): Entry[];
  /** Forgets all that wait. */
  clear(): void;
  /**
   * All that wait at this moment, in their order, and are there still when it is their turn; what is on disk is read then.
   * Undefined where the disk does not give one: at the moment, where `stalled` says so, then it is the next one too.
   */
  values(): IterableIterator<Entry | undefined>;
  /** Whether messages of it may stand in the chunks that they came in, and are to be taken out. */
  loose: boolean;
  /** Takes those out that waited at the last call already; tells whether others have come. */
  detach(): boolean;
  /** Puts one that was taken back into its place. */
  restore(entry: Entry): void;
  /** Remembers how often one that was taken was delivered: it comes back, at once or later. */
  count(entry: Entry): void;
  /** Forgets one that was taken: it is acknowledged. */
  remove(entry: Entry): void;
  /** Forgets one that was put back and waits: its acknowledgement came late. Tells whether it was there. */
  cancel(entry: Entry): boolean;
  /**
   * Calls back when all that was pushed and removed so far is as safe as the store makes it.
   *
   * @param destination of what the caller asks for
   * @param entry what that is, where it is that alone
   */
  sync(done: Done, destination?: string, entry?: Entry): void;
  /** Calls back when the queue itself is as safe as the store makes it, whatever it holds. */
  syncName(done: Done): void;
  /** A publisher has added to it: where the store is behind, it is not read until the store has caught up. */
  hold(publisher: Session): void;
}
