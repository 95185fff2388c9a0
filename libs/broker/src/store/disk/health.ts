import { StompError } from 'nestjs-stomp/server';
import type { FileSystem } from './files.js';
import { Reserve } from './reserve.js';
import { FULL } from './unavailable.js';

/** How long to wait before a disk that failed is tried again, in ms. */
export const RETRY = 250;

export interface HealthOwner {
  /** Whether nothing is being written, or waits to be written once more. */
  atRest(): boolean;
  report(line: string): void;
  /** It began to fail, or still does so. */
  failing(): void;
  /** There is room again. */
  recovered(): void;
}

/** Whether the disk takes what it is given, and the room that is kept for when it does not. */
export class Health {
  private readonly reserve: Reserve;
  /** What the disk said. */
  private trouble: string | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    directory: string,
    fs: FileSystem,
    private readonly owner: HealthOwner,
  ) {
    this.reserve = new Reserve(directory, fs);
  }

  get failing(): boolean {
    return this.trouble !== undefined;
  }

  /** Octets that are free. */
  get free(): number {
    return this.reserve.free;
  }

  /** Whether so many octets may be written though nobody has asked for it. */
  hasRoom(octets: number): boolean {
    return !this.failing && this.free - octets >= this.reserve.size;
  }

  /** @throws StoreUnavailableError where room never can be kept */
  check(): void {
    this.reserve.check();
  }

  /** Takes the room that is kept. */
  begin(): void {
    const why = this.reserve.take();
    if (why !== undefined) this.fail(why);
  }

  end(): void {
    clearTimeout(this.timer);
  }

  /**
   * The disk did not take something.
   *
   * @returns whether there is room now that was kept for that
   */
  fail(error: Error): boolean {
    const first = !this.failing;
    this.trouble = (error as NodeJS.ErrnoException).code ?? error.message;
    if (first) this.owner.report(`${this.error().message}: ${this.error().detail}`);
    this.owner.failing();
    this.arm();
    return this.reserve.there && this.reserve.release();
  }

  /** @throws StompError when nothing more can be kept at the moment */
  checkRoom(destination: string): void {
    if (this.failing) throw this.error(destination);
  }

  /** What there is to be told. */
  error(destination = 'the store'): StompError {
    const { trouble } = this;
    if (FULL.test(trouble ?? '')) {
      const room = `${Math.ceil((2 * this.reserve.size) / 1024)} KiB`;
      return new StompError(
        'disk full',
        `${destination} takes no persistent messages at the moment, the disk of the store is full: make room there, ` +
          `${room} at least, or try again later`,
      );
    }
    return new StompError(
      'store failed',
      `${destination} takes no persistent messages at the moment, the disk of the store fails (${trouble}): try again ` +
        'later, or mend the disk',
    );
  }

  private arm(): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.tryAgain();
    }, RETRY);
  }

  private tryAgain(): void {
    if (this.owner.atRest() && this.reserve.take() === undefined) {
      this.trouble = undefined;
      this.owner.report('there is room again: persistent messages are taken');
      this.owner.recovered();
      return;
    }
    this.owner.failing();
    this.arm();
  }
}
