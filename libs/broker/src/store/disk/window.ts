import { type Message, unpackMessage } from 'nestjs-stomp/server';
import type { Catalog } from './catalog.js';
import type { Log } from './log.js';
import { HEAD, PUSH_HEAD, recordAt, TRANSIENT } from './record.js';

/** A message of a queue, as it stands in the log. */
export interface Stored {
  readonly message: Message;
  readonly priority: number;
  readonly expires: number;
  /** It need not survive: it is there because memory was short. */
  readonly transient: boolean;
  /** All of the record; to be used at once. */
  readonly record: Buffer;
}

/** What was written is not what stands there. */
export class DamagedError extends Error {
  override readonly name = 'DamagedError';

  constructor(
    /** Where it stands. */
    readonly where: { readonly file: number; readonly offset: number },
    /** What stands there; to be used at once. */
    readonly bytes: Buffer,
  ) {
    super(`the record at ${where.offset} is damaged`);
  }
}

/** Octets that are read at a time. */
const AHEAD = 256 * 1024;

/** A part of the log in memory: what is read in its order is mostly there already. */
export class Window {
  private readonly room = Buffer.allocUnsafeSlow(AHEAD);
  private file = 0;
  private from = 0;
  private bytes: Buffer = Buffer.alloc(0);

  constructor(private readonly log: Log) {}

  /**
   * The message of that number.
   *
   * @throws DamagedError
   * @throws Error when the disk does not give it
   */
  message(seq: number, catalog: Catalog): Stored {
    const where = catalog.get(seq)!;
    const record = this.read(where.file, where.offset, where.length);
    if (recordAt(record, 0, this.log.files.get(where.file)!.salt)?.end !== where.length) {
      throw new DamagedError(where, record);
    }
    return {
      message: unpackMessage(Buffer.from(record.subarray(HEAD + PUSH_HEAD))),
      priority: record[HEAD + 24]!,
      expires: record.readDoubleLE(HEAD + 16),
      transient: (record[HEAD + 25]! & TRANSIENT) !== 0,
      record,
    };
  }

  private read(file: number, offset: number, length: number): Buffer {
    if (this.file !== file || offset < this.from || offset + length > this.from + this.bytes.length) {
      const { log, room } = this;
      const { size } = log.files.get(file)!;
      // What was there is overwritten, also when this fails.
      this.file = 0;
      try {
        this.bytes = log.readers.read(file, offset, Math.max(length, Math.min(AHEAD, size - offset)), room);
      } catch {
        // Others behind it may be what cannot be read.
        this.bytes = log.readers.read(file, offset, length, room);
      }
      this.file = file;
      this.from = offset;
    }
    return this.bytes.subarray(offset - this.from, offset - this.from + length);
  }
}
