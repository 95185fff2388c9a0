import { dirname } from 'node:path';

/** Octets that a disk writes as a whole, or not at all. */
const SECTOR = 512;

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

  copy(): Inode {
    const copy = new Inode(this.safe, this.now);
    copy.changes = [...this.changes];
    return copy;
  }

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

type Place = Inode | 'directory';
type Names = Map<string, Place>;
/** What is under some names of one directory from then on; nothing where that is undefined. */
type NameChange = readonly (readonly [string, Place | undefined])[];

function rename(names: Names, change: NameChange): void {
  for (const [path, place] of change) {
    if (place === undefined) names.delete(path);
    else names.set(path, place);
  }
}

const missing = (path: string) => Object.assign(new Error(`ENOENT: ${path}`), { code: 'ENOENT' });

/**
 * A disk in memory that knows what a sync has covered. A write, a rename or a deletion that none has covered may be lost
 * when the power fails, and a write may be torn.
 */
export class PowerDisk {
  /** How many files were made. */
  made = 0;
  private readonly names: Names;
  private readonly open = new Map<number, { readonly path: string; readonly place: Place }>();
  private handles = 0;

  constructor(
    private readonly root: string,
    private readonly safe: Names = new Map<string, Place>(),
    private pending: readonly NameChange[] = [],
  ) {
    this.names = new Map(safe);
    for (const change of pending) rename(this.names, change);
  }

  /** What may be there when the power fails now. */
  lose(random: () => number): PowerDisk {
    const names = new Map(this.safe);
    for (const change of this.pending) if (random() < 0.5) rename(names, change);
    const left: Names = new Map();
    // What is in a directory that is gone is gone; those above come first.
    for (const [path, place] of [...names].sort(([one], [other]) => one.length - other.length)) {
      const above = dirname(path);
      if (above !== this.root && left.get(above) !== 'directory') continue;
      left.set(path, place === 'directory' ? place : lost(place, random));
    }
    return new PowerDisk(this.root, left);
  }

  /** What is there when the process is killed now: all that it did, and it is no safer than before. */
  kill(): PowerDisk {
    const copies = new Map<Place, Place>([['directory', 'directory']]);
    const copy = (place: Place): Place => {
      const known = copies.get(place) ?? (place as Inode).copy();
      copies.set(place, known);
      return known;
    };
    const safe: Names = new Map([...this.safe].map(([path, place]) => [path, copy(place)]));
    const pending = this.pending.map((change) =>
      change.map(([path, place]) => [path, place === undefined ? undefined : copy(place)] as const),
    );
    return new PowerDisk(this.root, safe, pending);
  }

  openSync(path: string, flags: string): number {
    let place = path === this.root ? 'directory' : this.names.get(path);
    if (place === undefined) {
      if (!flags.startsWith('w') && !flags.startsWith('a')) throw missing(path);
      place = new Inode();
      this.made++;
      this.rename([[path, place]]);
    } else if (flags === 'wx') throw Object.assign(new Error(`EEXIST: ${path}`), { code: 'EEXIST' });
    else if (flags.startsWith('w') && place !== 'directory') place.change({ at: 0 });
    this.open.set(++this.handles, { path, place });
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

  /** Of a directory: what is called how in it, and not what is in those below. */
  fsyncSync(fd: number): void {
    const { path, place } = this.open.get(fd)!;
    if (place !== 'directory') return this.fdatasyncSync(fd);
    const here = (change: NameChange) => dirname(change[0]![0]) === path;
    for (const change of this.pending) if (here(change)) rename(this.safe, change);
    this.pending = this.pending.filter((change) => !here(change));
  }

  renameSync(from: string, to: string): void {
    const place = this.names.get(from);
    if (place === undefined) throw missing(from);
    this.rename([
      [from, undefined],
      [to, place],
    ]);
  }

  rmSync(path: string): void {
    this.rename([[path, undefined]]);
  }

  mkdirSync(path: string): void {
    this.rename([[path, 'directory']]);
  }

  readdirSync(path: string): string[] {
    const names = [...this.names.keys()].filter((name) => name.startsWith(`${path}/`));
    return names.map((name) => name.slice(path.length + 1)).filter((name) => !name.includes('/'));
  }

  statSync(path: string): { readonly size: number; isFile(): boolean; isDirectory(): boolean } | undefined {
    const inode = path === this.root ? 'directory' : this.names.get(path);
    if (inode === undefined) return undefined;
    const isDirectory = inode === 'directory';
    return { size: isDirectory ? 0 : inode.now.length, isFile: () => !isDirectory, isDirectory: () => isDirectory };
  }

  /** There is room, and little of it is kept in reserve. */
  statfsSync(): { readonly bavail: number; readonly blocks: number; readonly bsize: number } {
    return { bavail: 2 ** 20, blocks: 32, bsize: 4096 };
  }

  private rename(change: NameChange): void {
    rename(this.names, change);
    this.pending = [...this.pending, change];
  }

  private file(fd: number): Inode {
    const place = this.open.get(fd)?.place;
    if (place === undefined || place === 'directory') throw new Error(`EBADF: ${fd}`);
    return place;
  }
}

/**
 * A file after power loss. What no sync has covered was on its way: of each sector there is what it held at some moment
 * since, and the file is as long as it was at some moment.
 */
function lost({ safe, changes }: Inode, random: () => number): Inode {
  const moments = [safe];
  for (const change of changes) moments.push(apply(moments.at(-1)!, change));
  const draw = () => moments[Math.floor(random() * moments.length)]!;
  // Mostly it is the same moment for all of it, or for all up to some place.
  const [before, after] = [draw(), draw()];
  const scattered = random() < 0.3;
  const turn = Math.floor(random() * Math.max(before.length, after.length));
  const bytes = Buffer.alloc(random() < 0.5 ? after.length : draw().length);
  for (let at = 0; at < bytes.length; at += SECTOR) {
    const held = scattered ? draw() : at + SECTOR <= turn ? after : before;
    bytes.set(held.subarray(at, Math.min(at + SECTOR, bytes.length)), at);
  }
  return new Inode(bytes);
}
