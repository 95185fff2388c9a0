import { Lock } from './lock.js';
import { FILE_SIZE, Log } from './log.js';
import { describeFormat, formatOf, makeFormat } from './directory.js';
import type { FileSystem } from './files.js';
import { explain, StoreUnavailableError } from './unavailable.js';

/** A store that no broker runs on, while it is looked at. */
export class Visit {
  private constructor(
    readonly log: Log,
    private readonly lock: Lock | undefined,
  ) {}

  /**
   * Keeps a store from all others, until the end.
   *
   * @param damaged told of a file `format` that is damaged
   * @param changes whether it is to be changed; what is only looked at may be on a read-only file system
   * @throws StoreUnavailableError
   */
  static async begin(
    fs: FileSystem,
    directory: string,
    damaged: (line: string) => void,
    changes = false,
  ): Promise<Visit> {
    try {
      const format = formatOf(fs, directory);
      if (format === 'none')
        throw new Error(
          `${directory} is no store: it holds no file \`format\`, or an empty one; a broker that starts on it puts it there`,
        );
      const lock = await (changes ? Lock.take(directory) : Lock.takeIfWritable(directory));
      if (changes) makeFormat(fs, directory, damaged);
      else if (format === 'damaged') damaged(describeFormat(fs, directory));
      return new Visit(new Log(directory, 'always', fs, FILE_SIZE), lock);
    } catch (error) {
      const cause = explain(error, directory) as Error;
      throw cause instanceof StoreUnavailableError ? cause : new StoreUnavailableError(cause.message, { cause });
    }
  }

  async end(): Promise<void> {
    try {
      this.log.close();
    } finally {
      await this.lock?.release();
    }
  }
}
