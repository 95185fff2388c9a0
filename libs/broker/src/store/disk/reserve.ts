import fs from 'node:fs';
import { join } from 'node:path';

/** So much is kept free for what has to be written when the disk is full: acknowledgements, and what is under way. */
const MOST = 16 * 1024 * 1024;

/** Room on the disk that is taken beforehand, and given back when there is no other. */
export class Reserve {
  private readonly path: string;
  there = false;

  constructor(private readonly directory: string) {
    this.path = join(directory, 'reserve');
  }

  /** Takes it, if there is more than twice the room; tells whether it is there. */
  take(): boolean {
    if (this.there) return true;
    try {
      const { bavail, blocks, bsize } = fs.statfsSync(this.directory);
      const size = Math.min(MOST, Math.floor((blocks * bsize) / 32));
      const had = fs.statSync(this.path, { throwIfNoEntry: false })?.size ?? 0;
      if (had !== size) {
        if (bavail * bsize < 2 * size) return false;
        fs.writeFileSync(this.path, Buffer.alloc(size));
      }
      this.there = true;
    } catch {
      this.release();
    }
    return this.there;
  }

  release(): void {
    this.there = false;
    fs.rmSync(this.path, { force: true });
  }
}
