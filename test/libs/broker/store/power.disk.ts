import { type StatsFs, statfsSync } from 'node:fs';

interface Change {
  /** Where bytes were written; where there are none, the file was cut off there. */
  readonly at: number;
  readonly bytes?: Buffer;
}

/** A file: what is safe of it, what it is for its process, and what lies between. */
class Inode {
  changes: Change[] = [];
  private settled = 0;

  constructor(
    public safe: Buffer = Buffer.alloc(0),
    public now: Buffer = safe,
  ) {}

  change(change: Change): void {
    this.changes.push(change);
    this.now = apply(this.now, change);
  }

  /** How many changes there have been. */
  get count(): number {
    return this.settled + this.changes.length;
  }

  /** So many of all changes are safe from now on. */
  settle(count: number): void {
    const covered = this.changes.splice(0, Math.max(0, count - this.settled));
    for (const change of covered) this.safe = apply(this.safe, change);
    this.settled += covered.length;
  }
}

function apply(before: Buffer, { at, bytes }: Change): Buffer {
  if (bytes === undefined)
    return Buffer.concat([before.subarray(0, at), Buffer.alloc(Math.max(0, at - before.length))]);
  const after = Buffer.alloc(Math.max(before.length, at + bytes.length));
  before.copy(after);
  bytes.copy(after, at);
  return after;
}

type Names = Map<string, Inode | 'directory'>;
type NameChange = (names: Names) => void;

const missing = (path: string) => Object.assign(new Error(`ENOENT: ${path}`), { code: 'ENOENT' });

/**
 * A disk in memory that knows what a sync has covered. A write, a rename or a deletion that none has covered may be lost
 * when the power fails, and a write may be torn.
 */
export class PowerDisk {
  /** How many files were made. */
  made = 0;
  private readonly names: Names;
  private pending: NameChange[] = [];
  private readonly open = new Map<number, Inode | 'directory'>();
  private handles = 0;

  constructor(
    private readonly root: string,
    private safe: Names = new Map<string, Inode | 'directory'>(),
  ) {
    this.names = new Map(safe);
  }

  /** What may be there when the power fails now. */
  lose(random: () => number): PowerDisk {
    const names = new Map(this.safe);
    for (const change of this.pending) if (random() < 0.5) change(names);
    const left: Names = new Map();
    for (const [name, inode] of names) left.set(name, inode === 'directory' ? inode : lost(inode, random));
    return new PowerDisk(this.root, left);
  }

  openSync(path: string, flags: string): number {
    let inode = path === this.root ? 'directory' : this.names.get(path);
    if (inode === undefined) {
      if (!flags.startsWith('w') && !flags.startsWith('a')) throw missing(path);
      const fresh = (inode = new Inode());
      this.made++;
      this.rename((names) => names.set(path, fresh));
    } else if (flags === 'wx') throw Object.assign(new Error(`EEXIST: ${path}`), { code: 'EEXIST' });
    else if (flags.startsWith('w') && inode !== 'directory') inode.change({ at: 0 });
    this.open.set(++this.handles, inode);
    return this.handles;
  }

  closeSync(fd: number): void {
    this.open.delete(fd);
  }

  read(
    fd: number,
    into: Buffer,
    at: number,
    length: number,
    position: number,
    done: (error: Error | null, got: number) => void,
  ): void {
    const got = this.readSync(fd, into, at, length, position);
    setImmediate(() => done(null, got));
  }

  readSync(fd: number, into: Buffer, at: number, length: number, position: number): number {
    return this.file(fd).now.copy(into, at, position, position + length);
  }

  writeSync(fd: number, bytes: Buffer, at: number, length: number, position: number): number {
    this.file(fd).change({ at: position, bytes: Buffer.from(bytes.subarray(at, at + length)) });
    return length;
  }

  ftruncateSync(fd: number, size: number): void {
    this.file(fd).change({ at: size });
  }

  /** What comes while it is under way is not part of it. */
  fdatasync(fd: number, done: (error: Error | null) => void): void {
    const inode = this.file(fd);
    const { count } = inode;
    setImmediate(() => {
      inode.settle(count);
      setImmediate(() => done(null));
    });
  }

  fdatasyncSync(fd: number): void {
    const inode = this.file(fd);
    inode.settle(inode.count);
  }

  fsyncSync(fd: number): void {
    if (this.open.get(fd) !== 'directory') return this.fdatasyncSync(fd);
    this.safe = new Map(this.names);
    this.pending = [];
  }

  renameSync(from: string, to: string): void {
    const inode = this.names.get(from);
    if (inode === undefined) throw missing(from);
    this.rename((names) => {
      names.delete(from);
      names.set(to, inode);
    });
  }

  rmSync(path: string): void {
    this.rename((names) => names.delete(path));
  }

  mkdirSync(path: string): void {
    this.rename((names) => names.set(path, 'directory'));
  }

  readdirSync(path: string): string[] {
    const names = [...this.names.keys()].filter((name) => name.startsWith(`${path}/`));
    return names.map((name) => name.slice(path.length + 1)).filter((name) => !name.includes('/'));
  }

  statSync(path: string): { readonly size: number } | undefined {
    if (path === this.root) return { size: 0 };
    const inode = this.names.get(path);
    if (inode === undefined) return undefined;
    return { size: inode === 'directory' ? 0 : inode.now.length };
  }

  statfsSync(): StatsFs {
    return statfsSync(this.root);
  }

  private rename(change: NameChange): void {
    change(this.names);
    this.pending.push(change);
  }

  private file(fd: number): Inode {
    const inode = this.open.get(fd);
    if (inode === undefined || inode === 'directory') throw new Error(`EBADF: ${fd}`);
    return inode;
  }
}

/** A file after power loss: each change that no sync covered is there, in part, or not at all. */
function lost({ safe, changes }: Inode, random: () => number): Inode {
  let bytes = safe;
  for (const change of changes) {
    const luck = random();
    if (luck < 0.4) bytes = apply(bytes, change);
    else if (luck < 0.7 && change.bytes !== undefined) {
      const part = Math.floor(random() * change.bytes.length);
      bytes = apply(bytes, { at: change.at, bytes: change.bytes.subarray(0, part) });
    }
  }
  return new Inode(bytes);
}
