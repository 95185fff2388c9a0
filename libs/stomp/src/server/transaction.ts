import type { Operation } from './broker.js';
import type { Memory } from './memory.js';
import { StompError } from './error.js';
import type { Session } from './session.js';
import type { Delivery, Outcome } from './pending.js';
import type { Subscription } from './subscription.js';

/** Octets that an acknowledgement, or a receipt, takes besides what is the client's, roughly. */
const ANSWER = 128;

/** A delivery that is acknowledged inside a transaction: still pending until COMMIT. */
interface Held {
  readonly subscription: Subscription;
  readonly number: number;
  readonly operation: Extract<Operation, { readonly outcome: Outcome }>;
}

/** The bounds of one transaction. */
export interface TransactionLimits {
  /** Frames in it; 10,000 by default. */
  readonly maxTransactionFrames: number;
  /** Octets of the messages, acknowledgements and receipts in all open transactions of a session; 64 MiB by default. */
  readonly maxTransactionBytes: number;
}

/** What the open transactions of one session hold. */
export class Budget {
  bytes = 0;

  constructor(
    readonly limits: TransactionLimits,
    private readonly memory: Memory | undefined,
  ) {}

  /** So many more octets; fewer, if negative. */
  add(size: number): void {
    this.bytes += size;
    this.memory?.add(size);
  }
}

/** A transaction in progress: what it holds is done at COMMIT, in the order of the frames, or not at all. */
export class Transaction {
  readonly operations: Operation[] = [];
  readonly held: Held[] = [];
  /** Receipts that the frames in it asked for: they hold when COMMIT does. */
  readonly receipts: string[] = [];
  /** Octets of what it holds. */
  private bytes = 0;

  /** @param budget what the transactions of its session hold in all */
  constructor(
    readonly id: string,
    private readonly budget: Budget,
  ) {}

  /**
   * @param size octets that it adds
   * @throws StompError when the transaction grows over its bounds
   */
  add(operation: Operation, size: number): void {
    const { maxTransactionFrames } = this.budget.limits;
    if (this.operations.length >= maxTransactionFrames) {
      throw new StompError(
        'transaction too large',
        `a transaction holds at most ${maxTransactionFrames} frames: commit earlier`,
      );
    }
    this.occupy(size);
    this.operations.push(operation);
  }

  /**
   * A frame in it asked for a receipt.
   *
   * @throws StompError when the transaction grows over its bounds
   */
  promise(receipt: string): void {
    this.occupy(ANSWER + receipt.length);
    this.receipts.push(receipt);
  }

  /**
   * An answer came, which may be one to many deliveries.
   *
   * @throws StompError when the transaction grows over its bounds
   */
  answer({ headers }: Outcome): void {
    this.occupy(headers?.characters ?? 0);
  }

  /**
   * What the answer says of one delivery.
   *
   * @throws StompError when the transaction grows over its bounds
   */
  hold(held: Held): void {
    this.add(held.operation, ANSWER);
    this.held.push(held);
    const delivery = held.subscription.pending.get(held.number);
    // A late acknowledgement does not bind a message that somebody else has by now.
    if (delivery?.holder === held.subscription) delivery.transaction = this;
  }

  /** Does its parts one after the other; those behind one that is refused are not done. */
  perform(session: Session): void {
    const held = this.held.values();
    for (const operation of this.operations) {
      if ('message' in operation) {
        operation.route.send(operation.message, session, undefined);
        continue;
      }
      const { subscription, number } = held.next().value!;
      this.unbind(subscription.pending.get(number));
      subscription.settle(number, operation.outcome);
    }
  }

  /** Its acknowledgements hold; what one of them refuses is free to be delivered, and answered, again. */
  complete(): void {
    this.budget.add(-this.bytes);
    for (const { subscription, number } of this.held) {
      this.unbind(subscription.pending.get(number));
      subscription.remove(number);
    }
  }

  /** Puts its acknowledgements back as they were. */
  abort(): void {
    this.budget.add(-this.bytes);
    for (const { subscription, number } of this.held) {
      const delivery = subscription.pending.get(number);
      subscription.pending.reopen(number);
      if (delivery?.transaction === this) subscription.release(delivery);
    }
  }

  private occupy(octets: number): void {
    const { maxTransactionBytes } = this.budget.limits;
    if (this.budget.bytes + octets > maxTransactionBytes) {
      throw new StompError(
        'transaction too large',
        `the transactions of a session hold at most ${maxTransactionBytes} octets: commit earlier`,
      );
    }
    this.bytes += octets;
    this.budget.add(octets);
  }

  private unbind(delivery: Delivery | undefined): void {
    if (delivery?.transaction === this) delivery.transaction = undefined;
  }
}
