/*
 * What stands in a store's directory besides its log: of which format it is, and how it was left.
 */
import { join } from 'node:path';
import { type FileSystem, putFile, syncDirectory } from './files.js';

const FORMAT = 'nestjs-stomp store 1\n';
/** The file that a store leaves which was ended properly: what is numbered above what it says was not handed out. */
const CLOSED = 'closed';

/** @throws Error when the directory is not, and cannot become, a store of this format */
export function makeFormat(fs: FileSystem, directory: string): void {
  if (isStore(fs, directory)) return;
  const own = /^(lock|lost\+found|format(\.new)?|reserve|closed|damaged|\d{8,}\.log)$/;
  if (fs.readdirSync(directory).some((name) => !own.test(name))) {
    throw new Error(`${directory} holds other files: name a directory of the store's own, or an empty one`);
  }
  putFile(fs, join(directory, 'format'), [Buffer.from(FORMAT)]);
}

/**
 * Whether there is a store.
 *
 * @throws Error when it is one of another format
 */
export function isStore(fs: FileSystem, directory: string): boolean {
  const known = readText(fs, join(directory, 'format'));
  // Lost or empty, it is put there again: there is one format.
  if (known === undefined || known === '' || known === FORMAT) return known === FORMAT;
  const what = JSON.stringify(known.slice(0, 40).trim());
  throw new Error(`${directory} is of another format, ${what}: this version reads ${FORMAT.trim()}`);
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
