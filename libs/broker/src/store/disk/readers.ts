/*
 * The files of a log as they are read: a few stay open, and one at a time is read as a whole.
 */
import { type FileSystem, readWhole, type Whole } from './files.js';

/** The most files that stay open. */
const OPEN = 32;

export class Readers {
  /** Those that are open, the one opened first comes first. */
  private readonly open = new Map<number, number>();
  /** One file after the other is read into the same memory. */
  private room = Buffer.alloc(0);

  /**
   * @param pathOf where the file of a number is
   * @param usual octets that files mostly have in the end
   */
  constructor(
    private readonly fs: FileSystem,
    private readonly pathOf: (number: number) => string,
    private readonly usual: number,
  ) {}

  /**
   * Octets from a file.
   *
   * @param room where they are put, if they fit
   */
  read(number: number, offset: number, length: number, room: Buffer): Buffer {
    const bytes = length <= room.length ? room.subarray(0, length) : Buffer.allocUnsafe(length);
    const fd = this.hold(number);
    let at = 0;
    while (at < length) {
      const got = this.fs.readSync(fd, bytes, at, length - at, offset + at);
      if (got === 0) break;
      at += got;
    }
    return bytes.subarray(0, at);
  }

  /** All that a file holds; to be used before another one is read so. */
  readFile(number: number): Promise<Whole> {
    return readWhole(this.fs, this.pathOf(number), (size) => {
      if (size > this.room.length) {
        this.room = Buffer.allocUnsafeSlow(Math.max(size, Math.min(this.usual, 2 * this.room.length)));
      }
      return this.room.subarray(0, size);
    });
  }

  /** Opens a file, unless it is open. */
  hold(number: number): number {
    const known = this.open.get(number);
    if (known !== undefined) return known;
    if (this.open.size >= OPEN) this.closeOldest();
    const path = this.pathOf(number);
    let fd: number;
    try {
      fd = this.fs.openSync(path, 'r');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EMFILE' || this.open.size === 0) throw error;
      // What is held for reading is enough for any of them.
      this.closeOldest();
      fd = this.fs.openSync(path, 'r');
    }
    this.open.set(number, fd);
    return fd;
  }

  close(number: number): void {
    const fd = this.open.get(number);
    if (fd === undefined) return;
    this.open.delete(number);
    this.fs.closeSync(fd);
  }

  closeAll(): void {
    for (const number of [...this.open.keys()]) this.close(number);
  }

  private closeOldest(): void {
    this.close(this.open.keys().next().value!);
  }
}
