import type { Writable } from 'node:stream';

/** From so many octets on that wait to be written nothing more is taken. */
const HIGH = 1024 * 1024;
/** So many are written without waiting for the end of the turn. */
const FLUSH_AT = 64 * 1024;

const LF = Buffer.from('\n');

/**
 * Lines on their way out: those of one turn of the event loop are written together. Each comes with an item of which
 * is told when it is written.
 */
export class Output<Item> {
  /** Resolves with the reason when nothing can be written any more. */
  readonly failed: Promise<NodeJS.ErrnoException>;
  private pieces: Buffer[] = [];
  private items: Item[] = [];
  private gathered = 0;
  private writing = 0;
  private scheduled = false;
  private broken = false;
  private waiting: { readonly holds: () => boolean; readonly resolve: () => void }[] = [];

  /** @param written told of the items whose lines are written, in their order */
  constructor(
    private readonly stream: Writable,
    private readonly written: (items: readonly Item[]) => void,
  ) {
    this.failed = new Promise((resolve) => stream.on('error', resolve));
    void this.failed.then(() => {
      this.broken = true;
      this.settle();
    });
  }

  /** Whether the reader does not keep up. */
  get full(): boolean {
    return this.gathered + this.writing >= HIGH;
  }

  /** Whether something is not written yet. */
  get waits(): boolean {
    return this.items.length > 0 || this.gathered + this.writing > 0;
  }

  /** Appends a line; without one the item only keeps its place. */
  add(line: Buffer | undefined, item: Item): void {
    if (line !== undefined) {
      this.pieces.push(line, LF);
      this.gathered += line.length + 1;
    }
    this.items.push(item);
    if (this.gathered >= FLUSH_AT) this.flush();
    else if (!this.scheduled) {
      this.scheduled = true;
      setImmediate(() => this.flush());
    }
  }

  /** Resolves once there is room for more, or never will be. */
  room(): Promise<void> {
    return this.until(() => !this.full);
  }

  /** Resolves once all is written, or cannot be. */
  empty(): Promise<void> {
    return this.until(() => !this.waits);
  }

  private flush(): void {
    this.scheduled = false;
    const { pieces, items, gathered } = this;
    if (items.length === 0 || this.broken) return;
    this.pieces = [];
    this.items = [];
    this.gathered = 0;
    this.writing += gathered;
    this.stream.write(Buffer.concat(pieces, gathered), (error) => {
      this.writing -= gathered;
      if (error == null) this.written(items);
      this.settle();
    });
  }

  private until(holds: () => boolean): Promise<void> {
    if (this.broken || holds()) return Promise.resolve();
    return new Promise((resolve) => this.waiting.push({ holds, resolve }));
  }

  private settle(): void {
    this.waiting = this.waiting.filter(({ holds, resolve }) => {
      if (!this.broken && !holds()) return true;
      resolve();
      return false;
    });
  }
}
