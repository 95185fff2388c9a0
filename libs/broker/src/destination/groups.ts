import type { Entry } from './backlog.js';

/** How many groups a queue remembers; beyond that the ones that were used least recently begin anew. */
const MOST = 10_000;

/** Which consumer of a queue gets the messages of which group (JMSXGroupID). */
export class Groups<Consumer extends object> {
  private readonly owners = new Map<string, Consumer>();
  /** The same, by consumer: many may leave a queue of many groups at once. */
  private readonly own = new Map<Consumer, Set<string>>();

  /** Whether that consumer may have a message. */
  admits({ group }: Pick<Entry, 'group'>, consumer: Consumer): boolean {
    if (group === undefined) return true;
    const owner = this.owners.get(group);
    return owner === undefined || owner === consumer;
  }

  /**
   * A consumer gets a message, and with it what comes after it in its group.
   *
   * @returns the group that is forgotten for that
   */
  claim(group: string, consumer: Consumer): string | undefined {
    this.owners.delete(group);
    this.owners.set(group, consumer);
    const own = this.own.get(consumer);
    if (own === undefined) this.own.set(consumer, new Set([group]));
    else own.add(group);
    if (this.owners.size <= MOST) return undefined;
    const oldest = this.owners.keys().next().value!;
    this.close(oldest);
    return oldest;
  }

  /** The group is over: its next message may go to anybody. */
  close(group: string): void {
    const owner = this.owners.get(group);
    if (owner === undefined) return;
    this.owners.delete(group);
    this.own.get(owner)?.delete(group);
  }

  /** A consumer has left; tells which groups were its own. */
  leave(consumer: Consumer): Iterable<string> {
    const own = this.own.get(consumer) ?? [];
    this.own.delete(consumer);
    for (const group of own) this.owners.delete(group);
    return own;
  }
}
