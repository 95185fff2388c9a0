import type { Done } from './broker.js';

interface Entry {
  readonly receipt: string;
  ready: boolean;
}

/**
 * The receipts that a session owes, in the order of its frames: one that holds early waits for those before it
 * (STOMP 1.2, RECEIPT).
 */
export class Receipts {
  private readonly owed: Entry[] = [];
  private onEmpty: (() => void) | undefined;

  /**
   * @param issue sends a RECEIPT
   * @param fail ends the session: what was promised cannot be kept
   */
  constructor(
    private readonly issue: (receipt: string) => void,
    private readonly fail: (error: Error, receipt: string | undefined) => void,
  ) {}

  /** A receipt whose promise holds already. */
  settled(receipt: string): void {
    if (this.owed.length === 0) this.issue(receipt);
    else this.owed.push({ receipt, ready: true });
  }

  /** A receipt whose promise is still to be kept; the function says that it was. */
  open(receipt: string): Done {
    const entry: Entry = { receipt, ready: false };
    this.owed.push(entry);
    return (error) => {
      if (error === undefined) {
        entry.ready = true;
        this.release();
        return;
      }
      // What comes after a broken promise is not confirmed either.
      const at = this.owed.indexOf(entry);
      if (at >= 0) this.owed.length = at;
      this.fail(error, receipt);
      this.release();
    };
  }

  /** Calls back once nothing is owed any more; only the latest that asks is told. */
  whenEmpty(callback: () => void): void {
    this.onEmpty = callback;
    this.release();
  }

  private release(): void {
    let ready = 0;
    while (this.owed[ready]?.ready === true) ready++;
    for (const entry of this.owed.splice(0, ready)) this.issue(entry.receipt);
    if (this.owed.length > 0) return;
    const callback = this.onEmpty;
    this.onEmpty = undefined;
    callback?.();
  }
}
