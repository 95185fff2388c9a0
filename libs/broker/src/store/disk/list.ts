/*
 * The list of the files that the log is made of, and how large each is at least: a file that somebody deleted, or cut off
 * where a group ends, has no wrong checksum to show for it. The list never says more than what is safe: a file is
 * there before it is listed, and listed no more before it goes.
 */
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { type FileSystem, putFile, readWhole, syncDirectory } from './files.js';

const NAME = 'files';

/** Octets that are there at least, by the number of the file. */
export type Sizes = ReadonlyMap<number, number>;

/**
 * Puts the list in place of the one before; tells whether it stands. Where it does not, that before may stand still.
 */
export function putList(fs: FileSystem, directory: string, sizes: Sizes): boolean {
  const text = [...sizes].map(([number, size]) => `${number} ${size}\n`).join('');
  try {
    putFile(fs, join(directory, NAME), [Buffer.from(`${text}${sumOf(text)}`)]);
    return true;
  } catch {
    // The disk tells of its trouble where messages are written; without a list less is noticed.
    return false;
  }
}

/** Deletes the list; it does not come back. */
export function dropList(fs: FileSystem, directory: string): void {
  fs.rmSync(join(directory, `${NAME}.new`), { force: true });
  fs.rmSync(join(directory, NAME), { force: true });
  syncDirectory(fs, directory);
}

export const hasList = (fs: FileSystem, directory: string): boolean =>
  fs.statSync(join(directory, NAME), { throwIfNoEntry: false }) !== undefined;

/** The list; of one that is damaged what stands there. */
export async function readList(fs: FileSystem, directory: string): Promise<Sizes | Buffer> {
  if (!hasList(fs, directory)) return new Map();
  const { bytes } = await readWhole(fs, join(directory, NAME));
  const lines = bytes.toString('latin1').split(/(?<=\n)/);
  const sum = lines.pop();
  if (sum !== sumOf(lines.join(''))) return bytes;
  return new Map(lines.map((line) => line.split(' ').map(Number) as [number, number]));
}

/** A checksum, and the end of the list. */
const sumOf = (text: string): string => `${crc32(text).toString(16).padStart(8, '0')}\n`;
