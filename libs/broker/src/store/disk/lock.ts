/*
 * One process at a time: whoever has a store open listens on a socket in its directory. It ends with its process,
 * however that ends, so that a lock of the dead is known for what it is.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The longest path that a socket may have. */
const LONGEST = 100;

export class Lock {
  private constructor(private readonly server: Server) {}

  /** @throws Error when another process has it */
  static async take(directory: string): Promise<Lock> {
    const path = socketOf(fs.realpathSync(directory));
    for (let attempt = 0; attempt < 3; attempt++) {
      const server = createServer((socket) => socket.on('error', () => undefined).end(String(process.pid)));
      server.unref();
      try {
        await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve));
        return new Lock(server);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
        const owner = await askOwner(path);
        if (owner !== undefined) {
          throw new Error(`${directory} is in use by process ${owner}: a store belongs to one process at a time`, {
            cause: error,
          });
        }
        fs.rmSync(path, { force: true });
      }
    }
    throw new Error(`${directory} is being opened by other processes: a store belongs to one process at a time`);
  }

  release(): Promise<void> {
    return new Promise((resolve) => this.server.close(() => resolve()));
  }
}

function socketOf(directory: string): string {
  const name = `stomp-store-${createHash('sha256').update(directory).digest('hex').slice(0, 16)}`;
  if (process.platform === 'win32') return `\\\\.\\pipe\\${name}`;
  const path = join(directory, 'lock');
  return path.length <= LONGEST ? path : join(tmpdir(), name);
}

/** The process that listens there; undefined when none does. */
function askOwner(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(path);
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.on('error', () => resolve(undefined));
    socket.on('end', () => resolve(text));
  });
}
