/*
 * Looks at a store that no broker runs on, and changes nothing of it.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import { Contents } from './disk/contents.js';
import { othersIn } from './disk/directory.js';
import { hasList } from './disk/list.js';
import { DAMAGED, describeOrphans, destinationsOf, isAside } from './disk/mend.js';
import { describeDamage } from './disk/recovery.js';
import { Visit } from './disk/visit.js';
import { Window } from './disk/window.js';
import type { Kept } from './store.js';

/** So many other files are named. */
const NAMES = 5;

/** What a look at a store has shown. */
export interface StoreCheck {
  /** Files of the log, and the octets in them. */
  readonly files: number;
  readonly octets: number;
  /** Of those, what is needed: the rest is given back in time, or by {@link compactStore}. */
  readonly living: number;
  /** Messages that wait in queues and for durable subscriptions. */
  readonly messages: number;
  /** Records that say that a message, or something else, is gone: acknowledgements mostly. */
  readonly removals: number;
  /** What is kept besides messages, by its kind; a durable subscription counts among the queues too. */
  readonly kept: Readonly<Record<Kept['kind'], number>>;
  /** A line for each part that is damaged, with its file and the place in it. */
  readonly damage: readonly string[];
  /** Lines about what is no damage: a write that was cut off, of which nothing was confirmed. */
  readonly notes: readonly string[];
}

/**
 * Reads all of a store in a directory, verifies every checksum, and changes nothing.
 *
 * @param report told of the progress, when it takes long
 * @throws StoreUnavailableError when there is no store, or another process has it
 */
export async function checkStore(
  directory: string,
  report: (line: string) => void = () => undefined,
): Promise<StoreCheck> {
  const damage: string[] = [];
  const visit = await Visit.begin(fs, directory, (line) => damage.push(line));
  try {
    const notes: string[] = [];
    const contents = await new Contents().read(
      visit.log,
      (found) => {
        const known = isAside(visit.log, found) ? '; it was set aside before, and stays until the file is cleaned' : '';
        (found.kind === 'torn' ? notes : damage).push(`${describeDamage(found)}${known}`);
      },
      report,
    );
    const kept = { queue: 0, feed: 0, durable: 0, retained: 0, scheduled: 0 };
    let messages = 0;
    for (const [seq, { kind }] of contents.things()) {
      kept[kind]++;
      for (const _ of contents.messages(seq)) messages++;
    }
    const window = new Window(visit.log);
    for (const [, waiting] of contents.orphans()) {
      damage.push(describeOrphans(waiting.length, destinationsOf(window, contents, waiting)));
    }
    const aside = fs.existsSync(join(directory, DAMAGED)) ? fs.readdirSync(join(directory, DAMAGED)).length : 0;
    if (aside > 0) notes.push(`${DAMAGED} holds what was set aside before, ${aside} files`);
    const others = othersIn(fs, directory).sort();
    if (others.length > 0) {
      const more = others.length > NAMES ? ` and ${others.length - NAMES} more` : '';
      notes.push(`none of the store's, and left alone: ${others.slice(0, NAMES).join(', ')}${more}`);
    }
    const files = [...visit.log.files.values()];
    if (files.length > 0 && !hasList(fs, directory)) {
      notes.push('there is no list of the files: one that is missing is not noticed; a broker that starts writes it');
    }
    const octets = files.reduce((sum, { size }) => sum + size, 0);
    const living = [...contents.catalog.live.values()].reduce((sum, size) => sum + size, 0);
    return { files: files.length, octets, living, messages, removals: contents.removals, kept, damage, notes };
  } finally {
    await visit.end();
  }
}
