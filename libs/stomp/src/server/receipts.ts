import { escapeHeader, escapingOf } from '../frame/escape.js';
import type { Frame } from '../frame/frame.js';
import type { Version } from '../frame/version.js';
import type { Broker, Done } from './broker.js';

/** Who owes receipts. */
interface Promising {
  /** Sends a RECEIPT. */
  issueReceipt(receipt: string): void;
  /** Ends the session: what was promised cannot be kept. */
  breakPromise(error: Error, receipt?: string): void;
}

interface Entry {
  readonly receipt: string;
  ready: boolean;
}

/**
 * The receipt that a frame asks for.
 *
 * @throws FrameError when no RECEIPT of this version can name it
 */
export function receiptOf(frame: Frame, version: Version | undefined): string | undefined {
  const { wire } = frame;
  // What the decoder has found without reading the other headers is what every version can name.
  if (wire !== undefined && wire.plain && wire.keyStart > 0 && frame.command === 'SEND') {
    return wire.bytes.toString('latin1', wire.keyStart, wire.keyEnd);
  }
  const receipt = frame.headers.get('receipt');
  if (receipt !== undefined) escapeHeader(receipt, escapingOf(version), false);
  return receipt;
}

/**
 * The receipts that a session owes, in the order of its frames: one that holds early waits for those before it
 * (STOMP 1.2, RECEIPT).
 */
export class Receipts {
  private readonly owed: Entry[] = [];
  private onEmpty: (() => void) | undefined;

  constructor(
    private readonly session: Promising,
    private readonly broker: Broker,
  ) {}

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

  /** Told when something holds, or cannot be kept; with a receipt the client is told, too. */
  promise(receipt: string | undefined): Done {
    if (receipt !== undefined) return this.open(receipt);
    return (error) => {
      if (error !== undefined) this.session.breakPromise(error);
    };
  }

  /** A receipt, if one is asked for, of what has to be safe first. */
  whenSafe(receipt: string | undefined): void {
    if (receipt === undefined) return;
    if (this.broker.sync === undefined) {
      this.settled(receipt);
      return;
    }
    const done = this.open(receipt);
    try {
      this.broker.sync(done);
    } catch (error) {
      // Or the session would wait for this promise, and never end.
      done(error as Error);
    }
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
