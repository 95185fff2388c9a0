import { closeSync, openSync, readSync } from 'node:fs';
import { OptionsError } from './options.error.js';

/** The most that a configuration or users file may hold, in bytes: 1 MiB. */
export const maxFileSize = 1024 * 1024;

const reasons: Record<string, string> = {
  ENOENT: 'there is no such file',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
};

/**
 * Reads a small text file whole, as UTF-8 without its byte order mark.
 *
 * @param label how errors name the file, for example `users file /etc/stompserver/users`
 * @throws OptionsError when the file cannot be read, is larger than {@link maxFileSize} or is not UTF-8
 */
export function readOptionFile(path: string, label: string): string {
  const bytes = readBounded(path, label);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new OptionsError([`${label}: is not UTF-8 text: save it as UTF-8`]);
  }
}

/** Why a file cannot be read, in words where there are some. */
export function describeCause(error: unknown): string {
  const { code = 'unknown error' } = error as NodeJS.ErrnoException;
  return reasons[code] ?? code;
}

/** Reads up to one byte more than allowed, so that an endless file (a device, a pipe) is refused and not awaited. */
function readBounded(path: string, label: string): Buffer {
  const buffer = Buffer.allocUnsafe(maxFileSize + 1);
  let length = 0;
  try {
    const file = openSync(path, 'r');
    try {
      for (let count = -1; count !== 0; length += count) {
        count = readSync(file, buffer, length, buffer.length - length, null);
      }
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw new OptionsError([`${label}: cannot be read: ${describeCause(error)}`]);
  }
  if (length > maxFileSize) {
    throw new OptionsError([`${label}: is larger than ${maxFileSize} bytes, the most that is read`]);
  }
  return buffer.subarray(0, length);
}
