import { Lock } from './lock.js';
import { FILE_SIZE, Log } from './log.js';
import { isStore } from './directory.js';
import type { FileSystem } from './files.js';

/** There is no store in the directory, or this process cannot have it; the message says why. */
export class StoreUnavailableError extends Error {
  override readonly name = 'StoreUnavailableError';
}

/** A store that no broker runs on, while it is looked at. */
export class Visit {
  private constructor(
    readonly log: Log,
    private readonly lock: Lock,
  ) {}

  /**
   * Keeps a store from all others, until the end.
   *
   * @throws StoreUnavailableError
   */
  static async begin(fs: FileSystem, directory: string): Promise<Visit> {
    try {
      if (!isStore(fs, directory)) throw new Error(`${directory} is no store: it holds no file that is called format`);
      return new Visit(new Log(directory, 'always', fs, FILE_SIZE), await Lock.take(directory));
    } catch (cause) {
      throw new StoreUnavailableError((cause as Error).message, { cause });
    }
  }

  async end(): Promise<void> {
    this.log.close();
    await this.lock.release();
  }
}
