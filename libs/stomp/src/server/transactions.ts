import { quote } from '../frame/error.js';
import type { Frame } from '../frame/frame.js';
import { StompError } from './error.js';
import type { Memory } from './memory.js';
import type { Message } from './message.js';
import { keyOf } from './routes.js';
import { Budget, Transaction, type TransactionLimits } from './transaction.js';

/** The open transactions of one session. */
export class Transactions {
  // Made when there is one: few sessions ever need it.
  private byId: Map<string, Transaction> | undefined;
  private readonly budget: Budget;

  /** @param most how many may be open at a time */
  constructor(
    private readonly most: number,
    limits: TransactionLimits,
    memory: Memory | undefined,
  ) {
    this.budget = new Budget(limits, memory);
  }

  /** Whether one is open. */
  get open(): boolean {
    return this.byId !== undefined && this.byId.size > 0;
  }

  /** The messages in them: the last one to each destination. */
  get messages(): Iterable<Message> {
    const messages = new Map<string, Message>();
    for (const { operations } of this.byId?.values() ?? []) {
      for (const each of operations) if ('message' in each) messages.set(keyOf('send', each.message), each.message);
    }
    return messages.values();
  }

  /** @throws StompError when it is open already, or one too many */
  begin(id: string): void {
    if (this.byId?.has(id) === true) {
      throw new StompError('transaction exists', `the transaction ${quote(id)} is open already in this session`);
    }
    this.byId ??= new Map();
    if (this.byId.size >= this.most) {
      throw new StompError('too many transactions', `a session has at most ${this.most} open`);
    }
    this.byId.set(id, new Transaction(id, this.budget));
  }

  /**
   * The one that a frame is part of, if any.
   *
   * @throws StompError when that is not open
   */
  of(frame: Frame): Transaction | undefined {
    const id = frame.headers.get('transaction');
    return id === undefined ? undefined : this.find(id);
  }

  /**
   * The one of that id, which is open no longer.
   *
   * @throws StompError when it was not
   */
  take(id: string): Transaction {
    const transaction = this.find(id);
    this.byId?.delete(id);
    return transaction;
  }

  /** Aborts all of them. */
  abort(): void {
    for (const transaction of this.byId?.values() ?? []) transaction.abort();
    this.byId = undefined;
  }

  /** @throws StompError when none of that id is open */
  find(id: string): Transaction {
    const transaction = this.byId?.get(id);
    if (transaction !== undefined) return transaction;
    throw new StompError('unknown transaction', `no transaction ${quote(id)} is open in this session: BEGIN it first`);
  }
}
