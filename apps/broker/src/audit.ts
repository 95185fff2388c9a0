import { createWriteStream, fstatSync, openSync, statSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { Audit } from 'nestjs-stomp-broker';
import { escapeJson } from 'nestjs-stomp-command';
import { FileWatch } from './files.js';
import { Flood } from './flood.js';

/** Octets that may wait for a slow disk; what comes then is dropped, and said so. */
const MOST_WAITING = 16 * 1024 * 1024;

interface Opened {
  readonly stream: Writable;
  /** Which file it is, whatever its name. */
  readonly inode: number | undefined;
}

/**
 * A record of what was decided: a line of JSON for each event, in which no control character stands as itself. A file
 * that somebody has moved away, as logrotate does, is made anew within half a second. A flood of refusals is summed up.
 */
export class AuditLog {
  private opened: Opened;
  private dropped = 0;
  private readonly flood = new Flood((event) => this.append(event));
  private readonly files = new FileWatch(() => this.reopen());

  /**
   * @param file - is stderr
   * @param failed told when the file cannot be written
   * @throws Error when it cannot be opened
   */
  constructor(
    private readonly file: string,
    private readonly failed: (error: Error) => void,
  ) {
    this.opened = this.open();
    if (file !== '-') this.files.watch([file]);
  }

  readonly write: Audit = this.flood.take;

  /** Goes on in the file that has the name now. What was written before is in the one that had it. */
  reopen(): void {
    const { stream, inode } = this.opened;
    if (inode === undefined) return;
    try {
      if (statSync(this.file, { throwIfNoEntry: false })?.ino === inode) return;
      this.opened = this.open();
      stream.end();
    } catch (error) {
      this.failed(error as Error);
    }
  }

  /** Writes what waits, the sums among it, and no more. */
  async close(): Promise<void> {
    this.files.stop();
    this.flood.flush();
    const { stream, inode } = this.opened;
    if (inode !== undefined) await finished(stream.end()).catch(this.failed);
  }

  private append(event: object): void {
    const { stream } = this.opened;
    if (stream.writableLength > MOST_WAITING) {
      this.dropped++;
      return;
    }
    const line = { time: new Date().toISOString(), ...event, ...(this.dropped > 0 && { dropped: this.dropped }) };
    this.dropped = 0;
    stream.write(`${escapeJson(JSON.stringify(line))}\n`);
  }

  private open(): Opened {
    if (this.file === '-') return { stream: process.stderr, inode: undefined };
    const fd = openSync(this.file, 'a', 0o600);
    return { stream: createWriteStream(this.file, { fd }).on('error', this.failed), inode: fstatSync(fd).ino };
  }
}
