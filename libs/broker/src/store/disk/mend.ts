/*
 * What becomes of damage when a store is opened: it is set aside in `damaged`, never thrown away, and told of.
 */
import { join } from 'node:path';
import { cutFile, makeDirectory, putFile } from './files.js';
import { type Log, nameOf } from './log.js';
import { HEAD } from './record.js';
import { type Damage, describeDamage } from './recovery.js';

const STAYS = 'it stays where it is, there is no room to set it aside';

/** Takes damage out of the way; returns what is to be told of it. */
export function mend(log: Log, damage: Damage): string {
  const { kind, file, from, to, bytes } = damage;
  const path = join(log.directory, nameOf(file));
  const tell = (more?: string) => (more === undefined ? describeDamage(damage) : `${describeDamage(damage)}; ${more}`);
  switch (kind) {
    case 'unreadable':
    case 'group':
      return tell();
    case 'torn': {
      if (from === 0) {
        log.fs.rmSync(path, { force: true });
        return tell();
      }
      // Where all of it seems to be there, a look at it may be worth while.
      const whole = to - from >= HEAD && HEAD + bytes.readUInt32LE(8) <= to - from;
      const kept = whole ? setAside(log, `${nameOf(file)}-${from}`, bytes) : undefined;
      cutFile(log.fs, path, from);
      return tell(kept);
    }
    case 'strange': {
      const kept = setAside(log, nameOf(file), bytes);
      if (kept !== STAYS) log.fs.rmSync(path, { force: true });
      return tell(kept);
    }
    case 'record':
    case 'senseless':
      return tell(setAside(log, `${nameOf(file)}-${from}`, bytes));
  }
}

/** Keeps bytes that are not to be served; tells what became of them. */
export function setAside({ fs, directory }: Pick<Log, 'fs' | 'directory'>, name: string, bytes: Buffer): string {
  try {
    makeDirectory(fs, join(directory, 'damaged'));
    putFile(fs, join(directory, 'damaged', name), bytes);
    return `set aside in damaged/${name}`;
  } catch {
    return STAYS;
  }
}
