/*
 * One process at a time: whoever has a store open, or wants it, listens on a socket of its own in its directory. A
 * socket ends with its process, however that ends, so that a lock of the dead is known for what it is.
 *
 * Each socket has a name that no other ever has, and gets it when it listens already: so whatever does not answer under
 * such a name is dead, and can be deleted by anybody without harm to one that has come meanwhile. A process has the
 * store once it has looked and seen no other socket but of the dead; of two that see each other the one whose name comes
 * first goes on. Who looks later sees the other one, and is told that it has the store: that is said from the very look
 * on that has shown nobody.
 */
import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { PRIVATE_DIRECTORY } from './files.js';

/** The longest path that a socket may have, in octets. */
const LONGEST = 100;
/** How long one that listens may take to say who it is, in ms. */
const PATIENCE = 2_000;
/** How often one is asked again that ended while it was asked. */
const QUESTIONS = 5;
/** How often a process that gave way tries again. */
const ATTEMPTS = 50;

/** What another process says: whether it has the store, or wants it. */
type Answer = { readonly has: boolean; readonly owner: string } | undefined;

export class Lock {
  private has = false;
  private readonly server: Server;
  /** Those who ask, until they have hung up. */
  private readonly asking = new Set<Socket>();

  private constructor() {
    this.server = createServer((socket) => {
      this.asking.add(socket);
      socket.on('error', () => undefined).on('close', () => this.asking.delete(socket));
      socket.end(`${this.has ? 'has' : 'wants'} ${process.pid}`);
    });
    this.server.unref();
  }

  /** @throws Error when another process has it */
  static async take(directory: string): Promise<Lock> {
    const real = fs.realpathSync(directory);
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const lock = new Lock();
      const owner = await (process.platform === 'win32' ? lock.takePipe(real) : lock.takeSocket(real));
      if (owner === undefined) return lock;
      await lock.release();
      if (owner.has) throw taken(directory, owner);
      await setTimeout(10 + Math.random() * 40);
    }
    throw new Error(`${directory} is being opened by other processes: a store belongs to one process at a time`);
  }

  /**
   * The same; undefined where nothing can be written, so that nobody else can take it either, but through another
   * mount of the file system.
   *
   * @throws Error when another process has it
   */
  static async takeIfWritable(directory: string): Promise<Lock | undefined> {
    try {
      return await Lock.take(directory);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EROFS') throw error;
    }
    await refuseIfTaken(directory);
    return undefined;
  }

  async release(): Promise<void> {
    this.leave();
    // Who has not hung up by then would keep the server open.
    for (const socket of this.asking) socket.destroy();
    if (this.server.listening) await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  /** Takes its name away; what is done once more does no harm. */
  private leave: () => void = () => undefined;

  /** @returns who is in the way */
  private async takeSocket(directory: string): Promise<Answer> {
    const place = join(directory, 'lock');
    makePlace(place);
    const door = openDoor(place);
    try {
      return await this.takeName(place, door.path);
    } finally {
      door.close();
    }
  }

  /** @param door a path of the same directory that is short enough for sockets in it */
  private async takeName(place: string, door: string): Promise<Answer> {
    const own = `p${randomBytes(4).toString('hex')}`;
    this.leave = () => fs.rmSync(join(place, own), { force: true });
    await this.listen(join(door, `${own}.new`));
    fs.renameSync(join(place, `${own}.new`), join(place, own));
    const passed = new Set([own]);
    for (;;) {
      const others = namesIn(place).filter((name) => !passed.has(name));
      if (others.length === 0) {
        this.has = true;
        return undefined;
      }
      for (const name of others) {
        const answer = await ask(join(door, name));
        if (answer === undefined) fs.rmSync(join(place, name), { force: true });
        else if (answer.has || name < own) return answer;
        // It will see this one, and give way.
        passed.add(name);
      }
    }
  }

  /** Windows has one name for it, which goes with its process. */
  private async takePipe(directory: string): Promise<Answer> {
    const path = `\\\\.\\pipe\\stomp-store-${digest(directory)}`;
    try {
      await this.listen(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
      return { has: true, owner: (await ask(path))?.owner ?? 'unknown' };
    }
    this.has = true;
    return undefined;
  }

  private listen(path: string): Promise<void> {
    return new Promise((resolve, reject) => this.server.once('error', reject).listen(path, resolve));
  }
}

function makePlace(place: string): void {
  try {
    fs.mkdirSync(place, PRIVATE_DIRECTORY);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

const namesIn = (place: string) =>
  fs.readdirSync(place).filter((name) => name.startsWith('p') && !name.endsWith('.new'));

const taken = (directory: string, answer: NonNullable<Answer>) =>
  new Error(
    answer === FORBIDDEN
      ? `${directory} may be in use: what is in ${join(directory, 'lock')} belongs to another user, and this one ` +
          `(uid ${process.getuid?.()}) may not ask it; run as the user that the store belongs to, or, if nothing ` +
          "runs on it, make all of it this user's, or delete that directory"
      : `${directory} is in use by process ${answer.owner}: a store belongs to one process at a time`,
  );

/** @throws Error when another process has the store */
async function refuseIfTaken(directory: string): Promise<void> {
  const place = join(fs.realpathSync(directory), 'lock');
  if (!fs.existsSync(place)) return;
  const door = openDoor(place);
  try {
    for (const name of namesIn(place)) {
      const answer = await ask(join(door.path, name));
      if (answer?.has) throw taken(directory, answer);
    }
  } finally {
    door.close();
  }
}

const digest = (directory: string) => createHash('sha256').update(directory).digest('hex').slice(0, 16);

/**
 * A way into the directory of a store's sockets that is short enough for them. Whichever it is, the sockets are in that
 * directory: processes that know it by other paths, or have other directories for what is temporary, see each other's.
 */
function openDoor(place: string): { readonly path: string; readonly close: () => void } {
  if (fits(place)) return { path: place, close: () => undefined };
  if (process.platform === 'linux') {
    const fd = fs.openSync(place, 'r');
    return { path: `/proc/self/fd/${fd}`, close: () => fs.closeSync(fd) };
  }
  const room = fs.mkdtempSync(join(tmpdir(), 'stomp-'));
  const close = () => fs.rmSync(room, { recursive: true, force: true });
  const path = join(room, 'lock');
  if (!fits(path)) {
    close();
    throw new Error(
      `the path of ${place} has ${Buffer.byteLength(place)} octets, and a socket in it would have more than ${LONGEST}: ` +
        `name a directory with a shorter path, or one for what is temporary in TMPDIR`,
    );
  }
  fs.symlinkSync(place, path);
  return { path, close };
}

const fits = (place: string) => Buffer.byteLength(join(place, 'p01234567.new')) <= LONGEST;

/** What the process says that listens there; undefined when there is none. */
async function ask(path: string): Promise<Answer> {
  for (let question = 0; question < QUESTIONS; question++) {
    const answer = await askOnce(path);
    if (answer !== 'ended') return answer;
  }
  return SILENT;
}

/** Somebody may be there, and nobody can say who. */
const SILENT: Answer = { has: true, owner: 'that does not answer' };
/** Somebody may be there, and may not be asked: the system looks at the rights before it tells whether anybody listens. */
const FORBIDDEN: Answer = { has: true, owner: 'of another user' };

/** @returns 'ended' when it took the question and ended before its answer: it gives way, closes, or has died */
function askOnce(path: string): Promise<Answer | 'ended'> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(path);
    const end = (answer: Answer | 'ended') => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(PATIENCE, () => end(SILENT));
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.on('error', ({ code }: NodeJS.ErrnoException) => {
      if (code === 'ECONNREFUSED' || code === 'ENOENT') end(undefined);
      else if (code === 'EACCES' || code === 'EPERM') end(FORBIDDEN);
      else end(code === 'ECONNRESET' || code === 'EPIPE' ? 'ended' : SILENT);
    });
    socket.on('end', () => {
      const [word, owner = ''] = text.split(' ');
      end(text === '' ? 'ended' : { has: word === 'has', owner });
    });
  });
}
