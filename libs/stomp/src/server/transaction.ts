import type { Operation } from './broker.js';
import { StompError } from './error.js';
import type { Subscription } from './subscription.js';

/** A delivery that is acknowledged inside a transaction: still pending until COMMIT. */
interface Held {
  readonly subscription: Subscription;
  readonly number: number;
  readonly operation: Operation & { readonly outcome: unknown };
}

/** The bounds of one transaction. */
export interface TransactionLimits {
  /** Frames in it; 10,000 by default. */
  readonly maxTransactionFrames: number;
  /** Octets of the messages in it; 64 MiB by default. */
  readonly maxTransactionBytes: number;
}

/** A transaction in progress: what it holds is done at COMMIT, in the order of the frames, or not at all. */
export class Transaction {
  readonly operations: Operation[] = [];
  readonly held: Held[] = [];
  /** Receipts that the frames in it asked for: they hold when COMMIT does. */
  readonly receipts: string[] = [];
  private bytes = 0;

  constructor(
    readonly id: string,
    private readonly limits: TransactionLimits,
  ) {}

  /**
   * @param size octets that it adds
   * @throws StompError when the transaction grows over its bounds
   */
  add(operation: Operation, size: number): void {
    const { maxTransactionFrames, maxTransactionBytes } = this.limits;
    this.bytes += size;
    if (this.operations.length >= maxTransactionFrames) {
      throw new StompError(
        'transaction too large',
        `a transaction holds at most ${maxTransactionFrames} frames: commit earlier`,
      );
    }
    if (this.bytes > maxTransactionBytes) {
      throw new StompError(
        'transaction too large',
        `a transaction holds at most ${maxTransactionBytes} octets: commit earlier`,
      );
    }
    this.operations.push(operation);
  }

  hold(held: Held): void {
    this.add(held.operation, 0);
    this.held.push(held);
    const delivery = held.subscription.pending.get(held.number);
    // A late acknowledgement does not bind a message that somebody else has by now.
    if (delivery?.holder === held.subscription) delivery.transaction = this;
  }

  /** Its acknowledgements hold; what one of them refuses is free to be delivered, and answered, again. */
  complete(): void {
    for (const { subscription, number } of this.held) {
      const delivery = subscription.pending.get(number);
      if (delivery?.transaction === this) delivery.transaction = undefined;
      subscription.pending.remove(number);
    }
  }

  /** Puts its acknowledgements back as they were. */
  abort(): void {
    for (const { subscription, number } of this.held) {
      const delivery = subscription.pending.get(number);
      if (delivery?.transaction === this) subscription.release(delivery);
    }
  }
}
