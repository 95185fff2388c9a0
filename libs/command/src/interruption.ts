/** The wish that the program end, told by SIGINT or SIGTERM. */
export class Interruption {
  private readonly controller = new AbortController();
  private readonly listener = (name: NodeJS.Signals): void => this.interrupt(name);
  private timer: NodeJS.Timeout | undefined;
  private giveUp!: () => void;
  /** Resolves when the time is up that the program has after the first signal: `grace` ms, or until the second one. */
  readonly over = new Promise<void>((resolve) => (this.giveUp = resolve));
  /** The signal that came first. */
  name: NodeJS.Signals | undefined;

  /** @param grace in ms */
  constructor(private readonly grace: number) {
    process.on('SIGINT', this.listener).on('SIGTERM', this.listener);
  }

  /** Aborted by the first signal. */
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** From now on a signal ends the process at once. */
  dispose(): void {
    clearTimeout(this.timer);
    process.off('SIGINT', this.listener).off('SIGTERM', this.listener);
  }

  private interrupt(name: NodeJS.Signals): void {
    if (this.name !== undefined) {
      this.giveUp();
      return;
    }
    this.name = name;
    this.timer = setTimeout(this.giveUp, this.grace);
    this.controller.abort();
  }
}
