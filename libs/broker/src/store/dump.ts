import fs from 'node:fs';
import type { Message } from 'nestjs-stomp/server';
import { DURABLE, readDestination } from '../destination/name.js';
import { matches } from '../destination/pattern.js';
import { Contents } from './disk/contents.js';
import { unpackCounts } from './disk/entry.js';
import { describeOrphans } from './disk/mend.js';
import { type Damage, describeDamage } from './disk/recovery.js';
import { Visit } from './disk/visit.js';
import { Window } from './disk/window.js';

/** A message that a store holds. */
export interface StoredMessage {
  /** Where it waits: in a queue, for a durable subscription, for its time, or for whoever subscribes. */
  readonly kind: 'queue' | 'durable' | 'retained' | 'scheduled';
  /** The virtual host. */
  readonly vhost: string;
  /** The queue, the durable subscription, the topic, or the number of what is scheduled. */
  readonly name: string;
  readonly message: Message;
  /** How often it was delivered, as far as that was written down; 0 for none. */
  readonly deliveries: number;
}

export interface ReadStoreOptions {
  /** Only messages to it, or of such a queue; with wildcards, as in a subscription. */
  readonly destination?: string | undefined;
  /** Told of the progress, when it takes long. */
  readonly report?: ((line: string) => void) | undefined;
  /** Told of what is damaged, and left out. */
  readonly damaged?: ((line: string) => void) | undefined;
}

/**
 * The messages of a store in a directory, queue by queue, each in the order in which it is handed out; nothing is
 * changed.
 *
 * @throws StoreUnavailableError when there is no store, or another process has it
 * @throws StompError when the destination is none
 */
export async function* readStore(
  directory: string,
  { destination, report = () => undefined, damaged = () => undefined }: ReadStoreOptions = {},
): AsyncGenerator<StoredMessage, void, undefined> {
  const wanted = destination === undefined ? undefined : readDestination(destination).name;
  const isWanted = (queue: string | undefined, { destination }: Message) =>
    wanted === undefined ||
    (queue !== undefined && matches(wanted, queue)) ||
    matches(wanted, readDestination(destination).name);
  const visit = await Visit.begin(fs, directory, damaged);
  try {
    // Of a write that was cut off nothing was confirmed.
    const tell = (found: Damage) => (found.kind === 'torn' ? report : damaged)(describeDamage(found));
    const contents = await new Contents().read(visit.log, tell, report);
    const window = new Window(visit.log);
    for (const [seq, { kind, key, message }] of contents.things()) {
      const [vhost, name] = place(key);
      if (kind === 'queue') {
        // As they are handed out: by priority, then in their order.
        const waiting = [...contents.messages(seq)].sort((a, b) => b.priority - a.priority || a.seq - b.seq);
        const durable = name.startsWith(DURABLE);
        const where = {
          kind: durable ? ('durable' as const) : kind,
          vhost,
          // What stands before it tells whose it is.
          name: durable ? name.slice(name.lastIndexOf('\0') + 1) : name,
        };
        for (const each of waiting) {
          try {
            const { message } = window.message(each.seq, contents.catalog);
            if (!isWanted(durable ? undefined : name, message)) continue;
            yield { ...where, message, deliveries: unpackCounts(contents.counts.get(each.seq) ?? 0).count };
          } catch (error) {
            damaged(`a message of ${where.kind} ${where.name} cannot be read: ${(error as Error).message}`);
          }
        }
      } else if (
        (kind === 'retained' || kind === 'scheduled') &&
        message !== undefined &&
        isWanted(undefined, message)
      ) {
        yield { kind, vhost, name, message, deliveries: 0 };
      }
    }
    for (const [, waiting] of contents.orphans()) damaged(describeOrphans(waiting.length, new Set()));
  } finally {
    await visit.end();
  }
}

/** The virtual host that a key says, and what it calls there. */
function place(key: string): [string, string] {
  const at = key.indexOf('\0');
  return [key.slice(0, at), key.slice(at + 1)];
}
