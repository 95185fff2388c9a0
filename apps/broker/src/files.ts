import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';

/** How often a file is looked at, in ms. */
const INTERVAL = 500;

/**
 * Calls back whenever one of some files has changed: written to, replaced by another of its name, made or taken away, or
 * behind a symbolic link that leads elsewhere now. Files are looked at in turns, which no file system and no editor can
 * evade.
 */
export class FileWatch {
  /** What each file was like when it was last looked at. */
  private readonly seen = new Map<string, string>();
  private readonly timer: NodeJS.Timeout;
  private looking = false;

  constructor(private readonly changed: () => void) {
    this.timer = setInterval(() => void this.look(), INTERVAL).unref();
  }

  /** Looks at these files from now on, and no others. */
  watch(paths: readonly string[]): void {
    for (const path of this.seen.keys()) if (!paths.includes(path)) this.seen.delete(path);
    for (const path of paths) if (!this.seen.has(path)) this.seen.set(path, markNow(path));
  }

  stop(): void {
    clearInterval(this.timer);
    this.seen.clear();
  }

  private async look(): Promise<void> {
    if (this.looking) return;
    this.looking = true;
    let changes = 0;
    for (const path of [...this.seen.keys()]) {
      const mark = markOf(await stat(path, { bigint: true }).catch(() => undefined));
      const before = this.seen.get(path);
      if (before === undefined || before === mark) continue;
      this.seen.set(path, mark);
      changes++;
    }
    this.looking = false;
    if (changes > 0) this.changed();
  }
}

/** Whether there is a text file whose last line has no line break. */
export function isUnended(path: string): boolean {
  try {
    const { size } = statSync(path);
    if (size === 0) return false;
    const fd = openSync(path, 'r');
    try {
      const last = Buffer.alloc(1);
      return readSync(fd, last, 0, 1, size - 1) === 1 && last.toString('latin1') !== '\n';
    } finally {
      closeSync(fd);
    }
  } catch {
    // Whoever reads it is told why that cannot be done.
    return false;
  }
}

/** At once: what comes after this line is a change. */
const markNow = (path: string) => {
  try {
    return markOf(statSync(path, { bigint: true, throwIfNoEntry: false }));
  } catch {
    return markOf(undefined);
  }
};

const markOf = (found: { ino: bigint; size: bigint; mtimeNs: bigint; ctimeNs: bigint } | undefined): string =>
  found === undefined ? 'none' : `${found.ino} ${found.size} ${found.mtimeNs} ${found.ctimeNs}`;
