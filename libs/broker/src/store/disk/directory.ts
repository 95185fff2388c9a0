/*
 * What stands in a store's directory besides its log: of which format it is, and how it was left.
 */
import { join } from 'node:path';
import { type FileSystem, putFile, syncDirectory } from './files.js';
import { MAGIC, numberOf } from './log.js';

const FILE = 'format';
const FORMAT = 'nestjs-stomp store 2\n';
/** It has no list of its files: whoever knows no other must not change them once there is one. */
const BEFORE = 'nestjs-stomp store 1\n';
/** The file that a store leaves which was ended properly: what is numbered above what it says was not handed out. */
const CLOSED = 'closed';

/** What every version has written there. */
const WRITTEN = /^nestjs-stomp store \d+\n$/;

/**
 * Makes the directory a store of this format.
 *
 * @param report told of a file `format` that is damaged
 * @throws Error when it is not, and cannot become one
 */
export function makeFormat(fs: FileSystem, directory: string, report: (line: string) => void): void {
  const path = join(directory, FILE);
  const format = formatOf(fs, directory);
  switch (format) {
    case 'this':
      return;
    case 'none':
      if (othersIn(fs, directory).length > 0) {
        throw new Error(`${directory} holds other files: name a directory of the store's own, or an empty one`);
      }
      putFile(fs, path, [Buffer.from(FORMAT)]);
      return;
    case 'damaged':
      report(`${describeFormat(fs, directory)}; it is written again`);
  }
  try {
    putFile(fs, path, [Buffer.from(FORMAT)]);
  } catch {
    // The disk may be full: that room is kept for such cases, and taken again when there is more.
    fs.rmSync(join(directory, 'reserve'), { force: true });
    putFile(fs, path, [Buffer.from(FORMAT)]);
  }
}

/** The names of what stands in the directory and is none of a store's. */
export function othersIn(fs: FileSystem, directory: string): string[] {
  const own = /^(lock|lost\+found|(format|files|closed)(\.new)?|reserve|damaged)$/;
  return fs.readdirSync(directory).filter((name) => !own.test(name) && numberOf(name) === undefined);
}

/**
 * Of which format a store is: this one, or the one before; `none` where that was lost, or none is there, and `damaged`
 * where the file says nothing that any version has written, but the log is one of this format.
 *
 * @throws Error when it is one of another format
 */
export function formatOf(fs: FileSystem, directory: string): 'this' | 'before' | 'none' | 'damaged' {
  const known = readText(fs, join(directory, FILE));
  if (known === FORMAT) return 'this';
  if (known === BEFORE) return 'before';
  // Lost or empty, it is put there again: whatever is there can be read as of this format.
  if (known === undefined || known === '') return 'none';
  if (!WRITTEN.test(known) && hasLog(fs, directory)) return 'damaged';
  throw new Error(
    `${directory} is of another format, ${quote(known)}: this version reads ${FORMAT.trim()} and older; where no newer ` +
      `version ever ran on it, that file is damaged: delete ${join(directory, FILE)}, the next start writes it again`,
  );
}

/** What is to be told of a file `format` that is damaged. */
export const describeFormat = (fs: FileSystem, directory: string): string =>
  `format: the file is damaged, it says ${quote(readText(fs, join(directory, FILE)) ?? '')}, and the log shows ` +
  `${JSON.stringify(FORMAT.trim())}`;

const quote = (text: string) => JSON.stringify(text.slice(0, 40).trim());

/** Whether there are files of a log, and all of them begin as those of this format do. */
function hasLog(fs: FileSystem, directory: string): boolean {
  const logs = fs.readdirSync(directory).filter((name) => numberOf(name) !== undefined);
  return logs.length > 0 && logs.every((name) => readText(fs, join(directory, name))?.startsWith(MAGIC) === true);
}

/**
 * How the last process left it that had the store: what is numbered up to there may have been handed out and not given
 * back. Undefined when it ended in no order, and all may have been. Asked twice, it is undefined.
 */
export function takeEnd(fs: FileSystem, directory: string): number | undefined {
  const text = readText(fs, join(directory, CLOSED));
  if (text === undefined) return undefined;
  fs.rmSync(join(directory, CLOSED), { force: true });
  syncDirectory(fs, directory);
  return Number(text) || 0;
}

export function putEnd(fs: FileSystem, directory: string, doubtful: number): void {
  try {
    putFile(fs, join(directory, CLOSED), [Buffer.from(String(doubtful))]);
  } catch {
    // Without it more is doubtful than has to be.
  }
}

function readText(fs: FileSystem, path: string): string | undefined {
  if (fs.statSync(path, { throwIfNoEntry: false }) === undefined) return undefined;
  const fd = fs.openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(1024);
    return bytes.toString('utf8', 0, fs.readSync(fd, bytes, 0, bytes.length, 0));
  } finally {
    fs.closeSync(fd);
  }
}
