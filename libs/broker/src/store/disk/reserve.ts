import { join } from 'node:path';
import { type FileSystem, PRIVATE_FILE, writeAll } from './files.js';
import { StoreUnavailableError } from './unavailable.js';

/** So much is kept free for what has to be written when the disk is full: acknowledgements, and what is under way. */
const MOST = 16 * 1024 * 1024;

/** Room on the disk that is taken beforehand, and given back when there is no other. */
export class Reserve {
  private readonly path: string;
  there = false;

  constructor(
    private readonly directory: string,
    private readonly fs: FileSystem,
  ) {
    this.path = join(directory, 'reserve');
  }

  /** How many octets it has; 0 when the disk does not say how large it is. */
  get size(): number {
    const { blocks, bsize } = this.look();
    return Math.min(MOST, Math.floor((blocks * bsize) / 32));
  }

  /** Octets that are free besides it; 0 when the disk does not say. */
  get free(): number {
    const { bavail, bsize } = this.look();
    return bavail * bsize;
  }

  /** Octets that it takes on the disk. */
  get taken(): number {
    return this.fs.statSync(this.path, { throwIfNoEntry: false })?.size ?? 0;
  }

  /** @throws StoreUnavailableError where it never can be there */
  check(): void {
    if (this.fs.statSync(this.path, { throwIfNoEntry: false })?.isFile() !== false) return;
    throw new StoreUnavailableError(
      `${this.path} is no file: the store keeps room for a full disk there, take it away`,
    );
  }

  /** Takes it, if there is more than twice the room; undefined when it is there, else why not. */
  take(): Error | undefined {
    if (this.there) return undefined;
    try {
      const { size, free } = this;
      if (this.taken !== size) {
        if (free < 2 * size) return Object.assign(new Error('no room is left'), { code: 'ENOSPC' });
        this.write(size);
      }
      this.there = true;
      return undefined;
    } catch (error) {
      this.release();
      return error as Error;
    }
  }

  /** Gives it back; tells whether that could be done. */
  release(): boolean {
    try {
      this.fs.rmSync(this.path, { force: true });
      this.there = false;
      return true;
    } catch {
      // The disk tells of its trouble where messages are written.
      return false;
    }
  }

  private look(): ReturnType<FileSystem['statfsSync']> {
    try {
      return this.fs.statfsSync(this.directory);
    } catch {
      return { bavail: 0, blocks: 0, bsize: 0 };
    }
  }

  private write(size: number): void {
    const fd = this.fs.openSync(this.path, 'w', PRIVATE_FILE);
    try {
      writeAll(this.fs, fd, Buffer.alloc(size), 0);
    } finally {
      this.fs.closeSync(fd);
    }
  }
}
