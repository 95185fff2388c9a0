/** What a throttle stops and starts. */
export interface Pausable {
  pause(): void;
  resume(): void;
}

/** How much fuller than its limit a buffer may get while receipts are waited for. */
export const BURST = 16;

/**
 * Decides when a connection is not read, because messages come in faster than they are taken.
 *
 * One connection carries messages and receipts in one stream, so whoever stops reading messages stops the receipts
 * too; and a consumer that waits for a receipt before it takes the next message would wait for itself. So while
 * receipts are waited for, a full buffer may go on filling, up to a bound that nothing passes.
 */
export class Throttle {
  private readonly full = new Set<object>();
  private readonly crammed = new Set<object>();
  private stopped = false;
  private resuming = false;

  /**
   * @param connection what is paused and resumed
   * @param expecting whether receipts are waited for
   */
  constructor(
    private readonly connection: Pausable,
    private readonly expecting: () => boolean,
  ) {}

  /** A buffer tells how full it is, as a part of its limit. */
  report(buffer: object, fill: number): void {
    if (fill >= 1) this.full.add(buffer);
    else if (fill <= 0.5) this.full.delete(buffer);
    if (fill >= BURST) this.crammed.add(buffer);
    else this.crammed.delete(buffer);
    this.update();
  }

  /** Something that the decision depends on has changed. */
  update(): void {
    const stop = this.mustStop();
    if (stop === this.stopped) return;
    if (stop) {
      this.stopped = true;
      this.connection.pause();
    } else if (!this.resuming) {
      this.resuming = true;
      // Not at once: whoever makes room is about to take a message, and those behind it must not overtake it.
      queueMicrotask(this.resume);
    }
  }

  private readonly resume = (): void => {
    this.resuming = false;
    if (!this.stopped || this.mustStop()) return;
    this.stopped = false;
    this.connection.resume();
  };

  private mustStop(): boolean {
    return this.crammed.size > 0 || (this.full.size > 0 && !this.expecting());
  }
}
