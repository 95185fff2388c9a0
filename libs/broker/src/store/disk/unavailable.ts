/** What the system says of a disk that is full, or of which this user has had enough. */
export const FULL = /^(ENOSPC|EDQUOT)$/;

/** There is no store in the directory, or this process cannot have it; the message says why, and what to do. */
export class StoreUnavailableError extends Error {
  override readonly name = 'StoreUnavailableError';
}

/** What the system says of a directory that cannot be used, in words that name it; any other error as it is. */
export function explain(error: unknown, directory: string): unknown {
  const { code, syscall, message } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return error;
  return new StoreUnavailableError(`${directory} cannot be used for a store: ${describe(code)}${message}`, {
    cause: error,
  });
}

function describe(code: string): string {
  switch (code) {
    case 'EACCES': {
      const uid = process.getuid?.();
      const user = uid === undefined ? 'this user' : `this user (uid ${uid})`;
      return `${user} may not read or write it; make all of it that user's, or name another directory; `;
    }
    case 'EROFS':
      return 'it is on a read-only file system; mount that for writing, or name another directory; ';
    case 'ENOTDIR':
    case 'EEXIST':
      return 'there is a file where a directory has to be; name another one; ';
    default:
      return '';
  }
}
