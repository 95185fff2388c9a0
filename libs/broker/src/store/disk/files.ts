/*
 * What the store asks of files, and what has to be done so that it survives power loss: a file's data is safe once the
 * file is synced, that it is there, or gone, or called so once its directory is.
 */
import { dirname, resolve } from 'node:path';

/** The part of node:fs that a store uses; tests put disks in its place that fail, or lose power. */
export interface FileSystem {
  openSync(path: string, flags: string, mode?: number): number;
  closeSync(fd: number): void;
  read(
    fd: number,
    into: Buffer,
    at: number,
    length: number,
    position: number,
    done: (error: Error | null, got: number) => void,
  ): void;
  readSync(fd: number, into: Buffer, at: number, length: number, position: number): number;
  writeSync(fd: number, bytes: Buffer, at: number, length: number, position: number): number;
  ftruncateSync(fd: number, size: number): void;
  fdatasync(fd: number, done: (error: Error | null) => void): void;
  fdatasyncSync(fd: number): void;
  fsyncSync(fd: number): void;
  renameSync(from: string, to: string): void;
  rmSync(path: string, options: { force: true }): void;
  mkdirSync(path: string, mode?: number): void;
  readdirSync(path: string): string[];
  statSync(
    path: string,
    options: { throwIfNoEntry: false },
  ): { readonly size: number; isFile(): boolean; isDirectory(): boolean } | undefined;
  statfsSync(path: string): { readonly bavail: number; readonly blocks: number; readonly bsize: number };
}

/** What is made for a store is for the user alone that the broker runs as: messages may be anything. */
export const PRIVATE_FILE = 0o600;
export const PRIVATE_DIRECTORY = 0o700;
/** Octets that are read at a time. */
const PIECE = 4 * 1024 * 1024;
/** The most octets that are written at a time: Node takes no more than 2 GiB. */
const MOST = 1024 * 1024 * 1024;
/** Where a piece cannot be read, so much at a time is tried. */
const BLOCK = 4096;

/** Makes it safe that files were made, renamed or deleted there; Windows does so by itself. */
export function syncDirectory(fs: FileSystem, directory: string): void {
  if (process.platform === 'win32') return;
  const fd = fs.openSync(directory, 'r');
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** Makes what a file holds safe, whoever wrote it. */
export function syncFile(fs: FileSystem, path: string): void {
  const fd = fs.openSync(path, 'r+');
  try {
    fs.fdatasyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** What the system says of a file that is lost with its place, not for want of rights; EUCLEAN has no name in Node. */
const BROKEN = /^(EIO|ELOOP|ENXIO|ENODEV|Unknown system error -117)$/;

/**
 * Why nothing of a file can be read, in words; undefined when something can be.
 *
 * @throws Error where that is a matter of rights, or of this process
 */
export function whyShut(fs: FileSystem, path: string): string | undefined {
  try {
    const found = fs.statSync(path, { throwIfNoEntry: false });
    if (found === undefined) return 'is a link to a file that is not there';
    if (found.isDirectory()) return 'is a directory';
    if (!found.isFile()) return 'is no file';
    fs.closeSync(fs.openSync(path, 'r'));
    return undefined;
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (BROKEN.test(code)) return `cannot be opened (${code})`;
    throw error;
  }
}

/** Makes a directory, and those above it as any other, that are safe when this returns. */
export function makeDirectory(fs: FileSystem, directory: string, mode?: number): void {
  if (fs.statSync(directory, { throwIfNoEntry: false }) !== undefined) return;
  const above = dirname(resolve(directory));
  makeDirectory(fs, above);
  fs.mkdirSync(directory, mode);
  syncDirectory(fs, above);
}

/**
 * Writes a file that is there as a whole, and safe, when this returns; or not at all.
 *
 * @param pieces of it, each written before the next one is asked for
 */
export function putFile(fs: FileSystem, path: string, pieces: Iterable<Buffer>): void {
  const draft = `${path}.new`;
  const fd = fs.openSync(draft, 'w', PRIVATE_FILE);
  try {
    try {
      let position = 0;
      for (const piece of pieces) {
        writeAll(fs, fd, piece, position);
        position += piece.length;
      }
      fs.fdatasyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    fs.renameSync(draft, path);
  } catch (error) {
    fs.rmSync(draft, { force: true });
    throw error;
  }
  syncDirectory(fs, dirname(path));
}

export function writeAll(fs: FileSystem, fd: number, bytes: Buffer, position: number): void {
  let at = 0;
  while (at < bytes.length) at += fs.writeSync(fd, bytes, at, Math.min(bytes.length - at, MOST), position + at);
}

/** Cuts a file off; what was behind that place does not come back. */
export function cutFile(fs: FileSystem, path: string, size: number): void {
  const fd = fs.openSync(path, 'r+');
  try {
    fs.ftruncateSync(fd, size);
    fs.fdatasyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** A file in memory. */
export interface Whole {
  readonly bytes: Buffer;
  /** What the disk does not give. */
  readonly unreadable: readonly { from: number; to: number }[];
}

/**
 * What a file holds, with zeros in place of what the disk does not give.
 *
 * @param room gives as many octets, where it is put
 */
export async function readWhole(
  fs: FileSystem,
  path: string,
  room = (size: number) => Buffer.allocUnsafe(size),
): Promise<Whole> {
  const fd = fs.openSync(path, 'r');
  try {
    const size = fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    const bytes = room(size);
    const unreadable: { from: number; to: number }[] = [];
    for (let at = 0; at < bytes.length;) {
      const got = await readPiece(fs, fd, bytes, at, PIECE);
      if (got > 0) at += got;
      else {
        const end = Math.min(at + PIECE, bytes.length);
        for (; at < end; at += BLOCK) {
          if ((await readPiece(fs, fd, bytes, at, BLOCK)) > 0) continue;
          const to = Math.min(at + BLOCK, end);
          const before = unreadable.at(-1);
          if (before?.to === at) before.to = to;
          else unreadable.push({ from: at, to });
          bytes.fill(0, at, to);
        }
        at = end;
      }
    }
    return { bytes, unreadable };
  } finally {
    fs.closeSync(fd);
  }
}

/** How much was read; 0 when nothing could be. */
function readPiece(fs: FileSystem, fd: number, into: Buffer, at: number, most: number): Promise<number> {
  const length = Math.min(most, into.length - at);
  return new Promise((done) => fs.read(fd, into, at, length, at, (error, got) => done(error === null ? got : 0)));
}
