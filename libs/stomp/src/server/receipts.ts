import type { Done } from './broker.js';

/** Who owes receipts. */
interface Promising {
  /** Sends a RECEIPT. */
  issueReceipt(receipt: string): void;
  /** Ends the session: what was promised cannot be kept. */
  breakPromise(error: Error, receipt: string): void;
}

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

  constructor(private readonly session: Promising) {}

  /** A receipt whose promise holds already. */
  settled(receipt: string): void {
    if (this.owed.length === 0) this.session.issueReceipt(receipt);
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
      this.session.breakPromise(error, receipt);
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
    for (const entry of this.owed.splice(0, ready)) this.session.issueReceipt(entry.receipt);
    if (this.owed.length > 0) return;
    const callback = this.onEmpty;
    this.onEmpty = undefined;
    callback?.();
  }
}
