import type { Delivery, Message } from 'nestjs-stomp/server';
import { Entry } from '../../destination/backlog.js';

const MOST = 0xffff;

/** How often a message was delivered, and how often that failed, as one number that only grows: u16 each. */
export const packCounts = ({ count, failures }: Entry): number =>
  Math.min(failures, MOST) * (MOST + 1) + Math.min(count, MOST);

/** What `packCounts` has made one of. */
export const unpackCounts = (packed: number) => ({ count: packed & MOST, failures: packed >>> 16 });

/** A message of a queue that may stand in the log. */
export class DiskEntry extends Entry {
  /** Its number in the log; 0 for one that has no place there. */
  seq = 0;
  /** Whether it stands in the log already, and not only among what is to be written. */
  written = false;
  /** Whether it counts among what waits in memory. */
  held = false;
  /** Whether it counts among what was handed out. */
  lent = false;
  /** Whether its count is among what is to be written. */
  counting = false;
  /** It is gone. */
  gone = false;

  constructor(
    order: number,
    message: Message,
    source: Delivery['source'],
    priority: number,
    /** Whether it has to survive. */
    readonly persistent: boolean,
  ) {
    super(order, message, source, priority);
  }
}
