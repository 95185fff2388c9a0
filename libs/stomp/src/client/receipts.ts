import { ConnectionLostError, ReceiptTimeoutError, type ServerError, TooManyReceiptsError } from './errors.js';

/** Called once: when the server has confirmed the frame, or with the reason why that will not be known. */
export type Confirmed = (error?: Error) => void;

interface Entry {
  readonly confirmed: Confirmed;
  /** When its time is up, by `performance.now()`. */
  readonly due: number;
}

/**
 * The receipts that one connection waits for, each by its own id: that a receipt speaks for the frames before it too
 * (STOMP 1.2, RECEIPT) is not relied on.
 *
 * All wait equally long, so the oldest is due first, and one timer does for all.
 */
export class Receipts {
  private readonly waiting = new Map<string, Entry>();
  private timer: NodeJS.Timeout | undefined;

  /**
   * @param timeout in ms
   * @param most how many may be waited for
   * @param onChange told when the first one is waited for, and when the last one has come
   */
  constructor(
    private readonly timeout: number,
    private readonly most: number,
    private readonly onChange: () => void,
  ) {}

  get size(): number {
    return this.waiting.size;
  }

  /** @throws TooManyReceiptsError */
  makeRoom(): void {
    if (this.waiting.size >= this.most) throw new TooManyReceiptsError(this.most);
  }

  /** Waits for a receipt. */
  add(id: string, confirmed: Confirmed): void {
    this.waiting.set(id, { confirmed, due: performance.now() + this.timeout });
    if (this.timer === undefined) this.timer = setTimeout(this.expire, this.timeout);
    if (this.waiting.size === 1) this.onChange();
  }

  /** A RECEIPT has come, or an ERROR that names it. One that nobody waits for is not remarkable: it was too late. */
  settle(id: string, error?: ServerError): void {
    const entry = this.waiting.get(id);
    if (entry === undefined) return;
    this.waiting.delete(id);
    if (this.waiting.size === 0) this.onChange();
    entry.confirmed(error);
  }

  /** The connection is lost: none of them will come. */
  fail(reason: Error): void {
    clearTimeout(this.timer);
    const entries = [...this.waiting.values()];
    this.waiting.clear();
    if (entries.length === 0) return;
    const error = new ConnectionLostError(
      `the connection was lost before the receipt came, so whether the frame was processed is unknown: ${reason.message}`,
      reason,
    );
    for (const { confirmed } of entries) confirmed(error);
  }

  private readonly expire = (): void => {
    this.timer = undefined;
    const now = performance.now();
    for (const [id, { confirmed, due }] of this.waiting) {
      if (due - now > 1) {
        this.timer = setTimeout(this.expire, due - now);
        return;
      }
      this.waiting.delete(id);
      if (this.waiting.size === 0) this.onChange();
      confirmed(
        new ReceiptTimeoutError(
          `no receipt came within ${this.timeout} ms, so whether the frame was processed is unknown`,
        ),
      );
    }
  };
}
