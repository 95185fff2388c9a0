/*
 * What stands in a store's directory besides its log: of which format it is, and how it was left.
 */
import { join } from 'node:path';
import { type FileSystem, putFile, syncDirectory } from './files.js';
import { numberOf } from './log.js';

const FORMAT = 'nestjs-stomp store 2\n';
/** It has no list of its files: whoever knows no other must not change them once there is one. */
const BEFORE = 'nestjs-stomp store 1\n';
/** The file that a store leaves which was ended properly: what is numbered above what it says was not handed out. */
const CLOSED = 'closed';

/**
 * Makes the directory a store of this format.
 *
 * @throws Error when it is not, and cannot become one
 */
export function makeFormat(fs: FileSystem, directory: string): void {
  const path = join(directory, 'format');
  if (isStore(fs, directory)) {
    if (readText(fs, path) !== BEFORE) return;
    try {
      putFile(fs, path, [Buffer.from(FORMAT)]);
    } catch {
      // The disk may be full: that room is kept for such cases, and taken again when there is more.
      fs.rmSync(join(directory, 'reserve'), { force: true });
      putFile(fs, path, [Buffer.from(FORMAT)]);
    }
    return;
  }
  if (othersIn(fs, directory).length > 0) {
    throw new Error(`${directory} holds other files: name a directory of the store's own, or an empty one`);
  }
  putFile(fs, path, [Buffer.from(FORMAT)]);
}

/** The names of what stands in the directory and is none of a store's. */
export function othersIn(fs: FileSystem, directory: string): string[] {
  const own = /^(lock|lost\+found|(format|files|closed)(\.new)?|reserve|damaged)$/;
  return fs.readdirSync(directory).filter((name) => !own.test(name) && numberOf(name) === undefined);
}

/**
 * Whether there is a store, of this format or the one before.
 *
 * @throws Error when it is one of another format
 */
export function isStore(fs: FileSystem, directory: string): boolean {
  const known = readText(fs, join(directory, 'format'));
  if (known === FORMAT || known === BEFORE) return true;
  // Lost or empty, it is put there again: whatever is there can be read as of this format.
  if (known === undefined || known === '') return false;
  const what = JSON.stringify(known.slice(0, 40).trim());
  throw new Error(`${directory} is of another format, ${what}: this version reads ${FORMAT.trim()} and older`);
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
