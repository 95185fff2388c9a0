import type { Frame } from '../frame/frame.js';
import { found, locate, SUBSCRIPTION } from './peek.js';
import type { Session } from './session.js';
import type { Subscription } from './subscription.js';

/** The subscriptions of a client, which outlive its connections. */
export class Subscriptions {
  readonly byId = new Map<string, Subscription>();
  // Most messages come for the subscription that the last one came for: it is found without making a string.
  private last: Subscription | undefined;
  private serials = 0;

  /** An id that is not in use. */
  nextId(): string {
    let id: string;
    do id = `s${++this.serials}`;
    while (this.byId.has(id));
    return id;
  }

  add(subscription: Subscription): void {
    this.byId.set(subscription.id, subscription);
  }

  remove(subscription: Subscription): void {
    if (this.byId.get(subscription.id) === subscription) this.byId.delete(subscription.id);
    if (this.last === subscription) this.last = undefined;
  }

  /** What a MESSAGE is for. */
  find(frame: Frame): Subscription | undefined {
    let id: string | undefined;
    if (locate(frame, SUBSCRIPTION)) {
      const { bytes } = frame.wire!;
      const last = this.last;
      if (last !== undefined && isSame(last.idBytes, bytes, found.start, found.end)) return last;
      id = bytes.toString('latin1', found.start, found.end);
    } else id = frame.headers.get('subscription');
    const subscription = id === undefined ? this.byDestination(frame) : this.byId.get(id);
    if (subscription !== undefined && id !== undefined) this.last = subscription;
    return subscription;
  }

  /**
   * Asks a new connection for all of them.
   *
   * @param failed told of each that cannot be written in the version of that connection
   */
  restore(session: Session, failed: (subscription: Subscription, error: Error) => void): void {
    for (const subscription of [...this.byId.values()]) {
      try {
        subscription.establish(session);
      } catch (error) {
        failed(subscription, error as Error);
      }
    }
  }

  /** The connection is lost. */
  lost(): void {
    for (const subscription of this.byId.values()) subscription.lost();
  }

  /** Waits for all handlers that run. */
  async drain(): Promise<void> {
    await Promise.all([...this.byId.values()].map((subscription) => subscription.drain()));
  }

  end(error?: Error): void {
    const all = [...this.byId.values()];
    this.byId.clear();
    this.last = undefined;
    for (const subscription of all) subscription.end(error);
  }

  /** A 1.0 server need not name the subscription. */
  private byDestination(frame: Frame): Subscription | undefined {
    const destination = frame.headers.get('destination');
    for (const subscription of this.byId.values()) if (subscription.destination === destination) return subscription;
    return undefined;
  }
}

function isSame(id: Buffer, bytes: Buffer, start: number, end: number): boolean {
  const length = end - start;
  if (id.length !== length) return false;
  let i = 0;
  while (i < length && id[i] === bytes[start + i]) i++;
  return i === length;
}
