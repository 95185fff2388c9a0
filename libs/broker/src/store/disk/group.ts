/*
 * What is to be written, as a group of records.
 */
import { packMessage } from 'nestjs-stomp/server';
import type { DiskBacklog } from '../disk.backlog.js';
import type { Kept } from '../store.js';
import type { Catalog } from './catalog.js';
import { type DiskEntry, packCounts } from './entry.js';
import type { Log } from './log.js';
import { GROUPED, HEAD, Kind, KIND, TRANSIENT, Writer } from './record.js';

/** Something to be written. */
export type Task =
  | { readonly kind: 'push'; readonly backlog: DiskBacklog; readonly entry: DiskEntry }
  | { readonly kind: 'remove'; readonly seq: number }
  | { readonly kind: 'drop'; readonly seq: number }
  | { readonly kind: 'count'; readonly entry: DiskEntry }
  | { readonly kind: 'keep'; readonly seq: number; readonly kept: Kept }
  | { readonly kind: 'copy'; readonly seq: number; readonly from: number; readonly record: Buffer };

/** Where a record of a group stands in it. */
export interface Spot {
  readonly task: Task;
  readonly at: number;
  readonly length: number;
}

export class Group {
  private readonly writer = new Writer();
  spots: readonly Spot[] = [];

  /** @param dropped numbers of queues that are gone, of which messages are handed out still */
  constructor(
    private readonly log: Log,
    private readonly catalog: Catalog,
    private readonly dropped: ReadonlySet<number>,
  ) {}

  get bytes(): Buffer {
    return this.writer.written;
  }

  /** Puts those of the tasks into it that still matter. */
  fill(tasks: readonly Task[]): void {
    const { writer } = this;
    const group = writer.begin(Kind.group);
    const spots: Spot[] = [];
    for (const task of withoutDeadCopies(tasks)) {
      const at = writer.length;
      if (!this.encode(task)) continue;
      writer.end(at);
      spots.push({ task, at, length: writer.length - at });
    }
    writer.end(group);
    this.spots = spots;
  }

  empty(): void {
    this.writer.reset();
    this.spots = [];
  }

  private encode(task: Task): boolean {
    const { writer } = this;
    switch (task.kind) {
      case 'push': {
        const { entry, backlog } = task;
        // Gone before it was written; or its queue is.
        if (entry.gone || backlog.seq === 0) return false;
        entry.written = true;
        writer.begin(Kind.push);
        const flags = (entry.persistent ? 0 : TRANSIENT) | (entry.group === undefined ? 0 : GROUPED);
        writer.number(entry.seq).number(backlog.seq).number(entry.expires).octet(entry.priority).octet(flags);
        packMessage(entry.message, writer);
        return true;
      }
      case 'keep': {
        writer.begin(Kind.keep);
        const { kind, key, about, message } = task.kept;
        const text = Buffer.from(JSON.stringify({ kind, key, about }));
        writer.number(task.seq).count(text.length).raw(text);
        if (message !== undefined) packMessage(message, writer);
        return true;
      }
      case 'remove':
        writer.begin(Kind.remove);
        writer.number(task.seq).count(this.catalog.get(task.seq)?.file ?? this.log.head);
        return true;
      case 'drop':
        writer.begin(Kind.drop);
        writer.number(task.seq);
        return true;
      case 'count':
        task.entry.counting = false;
        if (task.entry.gone || !task.entry.written || !task.entry.persistent) return false;
        writer.begin(Kind.count);
        writer.number(task.entry.seq).count(packCounts(task.entry));
        return true;
      case 'copy':
        if (task.seq > 0 && this.catalog.get(task.seq)?.file !== task.from) return false;
        if (this.dropped.size > 0 && this.dropped.has(queueOf(task.record))) {
          // It would outlive what says that its queue is gone.
          this.catalog.delete(task.seq);
          return false;
        }
        writer.raw(task.record);
        return true;
    }
  }
}

/** The number of the queue that a message stands in; 0 for any other record. */
const queueOf = (record: Buffer): number => (record[KIND] === Kind.push ? record.readDoubleLE(HEAD + 8) : 0);

/** A copy behind the record that says that its message is gone would bring it back. */
function withoutDeadCopies(tasks: readonly Task[]): readonly Task[] {
  if (!tasks.some(({ kind }) => kind === 'copy')) return tasks;
  const gone = new Set<number>();
  for (const task of tasks) if (task.kind === 'remove' || task.kind === 'drop') gone.add(task.seq);
  return tasks.filter((task) => task.kind !== 'copy' || task.seq === 0 || !gone.has(task.seq));
}
