import fs from 'node:fs';
import type { Catalog } from './disk/catalog.js';
import { Contents } from './disk/contents.js';
import { findLiving, type Living } from './disk/living.js';
import { type Log, nameOf } from './disk/log.js';
import { mend, mendOrphans } from './disk/mend.js';
import { Kind, Writer } from './disk/record.js';
import { Reserve } from './disk/reserve.js';
import { FULL } from './disk/unavailable.js';
import { Visit } from './disk/visit.js';

/** So much is written at a time. */
const SLICE = 1024 * 1024;
/** Room for what is written besides records. */
const BESIDES = 64 * 1024;

/**
 * Rewrites the log of a store in a directory to what is needed of it: file by file, each deleted once what it holds is
 * safe elsewhere, so that it may be killed at any moment. What is damaged is set aside, as at a start of the broker.
 *
 * @param report told of the progress, when it takes long, and of damage
 * @returns the octets of the log
 * @throws StoreUnavailableError when there is no store that can be written, or another process has it
 * @throws Error when the disk is full, with how much room is needed, or fails; what was done until then stays done
 */
export async function compactStore(
  directory: string,
  report: (line: string) => void = () => undefined,
): Promise<{ before: number; after: number }> {
  const visit = await Visit.begin(fs, directory, report, true);
  const { log } = visit;
  const reserve = new Reserve(directory, fs);
  const reserved = reserve.taken > 0;
  try {
    log.settleNewest();
    const stuck = new Set<number>();
    const contents = await new Contents().read(
      log,
      (damage) => {
        const { text, stays } = mend(log, damage);
        report(text);
        if (stays) stuck.add(damage.file);
      },
      report,
    );
    log.giveBack();
    log.putList();
    for (const [seq] of contents.things()) for (const _ of contents.messages(seq));
    const gone = (seq: number) => contents.catalog.delete(seq);
    const adopt = () => 'they stay, and go back into it at the next start of the broker';
    for (const line of mendOrphans(log, contents, gone, adopt)) report(line);
    const before = size(log);
    let done = 0;
    let told = performance.now();
    const known = { log, catalog: contents.catalog, counts: contents.counts };
    let leftover = Math.min(...contents.stale, ...stuck);
    const shut = Math.max(0, ...log.shut);
    if (shut > 0) report(`${nameOf(shut)} stays, and so does what is older: nothing of it can be read`);
    for (const file of [...log.files.values()]) {
      // What it says is gone must not stand behind it, or it would come again once it can be read.
      if (file.number <= shut) continue;
      const { bytes } = await log.readers.readFile(file.number);
      // More than all of it is never needed. Some disks do not say how large they are.
      if (reserve.size > 0 && reserve.free < file.size + BESIDES) {
        let needed = BESIDES;
        for await (const slice of findLiving(bytes, file, known, leftover))
          for (const { from, to } of slice) needed += to - from;
        makeRoom(reserve, needed, nameOf(file.number));
      }
      const writer = new Writer();
      let group: Living[] = [];
      const flush = async () => {
        if (group.length > 0) await append(log, contents.catalog, writer, bytes, group);
        group = [];
      };
      let octets = 0;
      for await (const slice of findLiving(bytes, file, known, leftover)) {
        group.push(...slice);
        for (const { from, to } of slice) octets += to - from;
        if (octets < SLICE) continue;
        octets = 0;
        await flush();
      }
      await flush();
      if (stuck.has(file.number) || (contents.catalog.live.get(file.number) ?? 0) > 0) {
        leftover = Math.min(leftover, file.number);
        report(`${nameOf(file.number)} stays: it has records that cannot be read, or set aside`);
      } else log.remove(file.number);
      done += file.size;
      if (performance.now() - told < 1_000) continue;
      told = performance.now();
      report(`compacting: ${Math.floor((100 * done) / before)} % of ${Math.ceil(before / 1_000_000)} MB`);
    }
    return { before, after: size(log) };
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    if (!FULL.test(code)) throw error;
    throw new Error(`the disk is full (${message}): ${STAYS}`, { cause: error });
  } finally {
    try {
      log.close();
      // Where there is no room for it any more a broker says so.
      if (reserved) reserve.take();
    } finally {
      await visit.end();
    }
  }
}

const STAYS = 'make room there, and run it once more; nothing is lost, and what was done until now stays done';

/**
 * Makes use of what is reserved, where there is no other room.
 *
 * @throws Error when that is not enough either: then it is left alone
 */
function makeRoom(reserve: Reserve, needed: number, name: string): void {
  const { free, taken } = reserve;
  if (free >= needed) return;
  if (free + taken < needed) {
    const kib = (octets: number) => `${Math.ceil(octets / 1024)} KiB`;
    throw new Error(
      `the disk is full: to move what counts of ${name} takes ${kib(needed)}, and ${kib(free)} are free besides ` +
        `${kib(taken)} that are reserved: ${STAYS}`,
    );
  }
  reserve.release();
}

const size = (log: Log) => [...log.files.values()].reduce((sum, file) => sum + file.size, 0);

/** Copies records to the end of the log, as a group; they are safe when this is done. */
function append(log: Log, catalog: Catalog, writer: Writer, bytes: Buffer, records: readonly Living[]): Promise<void> {
  writer.reset();
  const group = writer.begin(Kind.group);
  const places = records.map(({ from, to }) => {
    const at = writer.length;
    writer.raw(bytes.subarray(from, to));
    return at;
  });
  writer.end(group);
  return new Promise((resolve, reject) => {
    log.append(writer.written, places, (error, file) => {
      if (file === undefined) return reject(error!);
      for (const [index, { seq, from, to }] of records.entries()) {
        if (seq === 0) continue;
        const at = file.size - writer.length + places[index]!;
        catalog.set(seq, file.number, at, to - from, catalog.expires(seq));
      }
      resolve();
    });
  });
}
