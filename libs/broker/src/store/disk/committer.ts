/*
 * Writes what was done: it is collected, and goes to the log as one group while nothing else is being written, so many
 * publishers share one sync, and what is done in one turn of the event loop stands or falls together.
 *
 *   add -> pending -> one group -> log -> synced: whoever waits is told
 */
import type { Done } from 'nestjs-stomp/server';
import type { Catalog } from './catalog.js';
import { Group, type Spot, type Task } from './group.js';
import { type Health, RETRY } from './health.js';
import type { Log, LogFile } from './log.js';
import { Pending, type Promised } from './pending.js';
import type { Publishers } from './publishers.js';

export interface CommitterOwner {
  readonly log: Log;
  readonly catalog: Catalog;
  /** Numbers of queues that are gone, of which messages are handed out still. */
  readonly dropped: ReadonlySet<number>;
  readonly health: Health;
  /** Those who wait until the disk has caught up. */
  readonly publishers: Publishers;
  report(line: string): void;
  /** A group stands in the log. */
  committed(): void;
}

export class Committer {
  /** Whether a group is under way. */
  writing = false;
  /** Whether nothing more is to come. */
  closing = false;
  private readonly pending: Pending;
  private readonly group: Group;
  private underWay: Promised[] = [];
  private scheduled = false;
  /** Whether some of it could not be written until the end. */
  private abandoned = false;
  private onIdle: (() => void) | undefined;

  /** @param together octets that are written together at most */
  constructor(
    private readonly owner: CommitterOwner,
    together: number,
  ) {
    this.pending = new Pending(together);
    this.group = new Group(owner.log, owner.catalog, owner.dropped);
  }

  /** Octets that wait to be written. */
  get octets(): number {
    return this.pending.octets;
  }

  add(task: Task): void {
    this.pending.add(task);
    if (this.scheduled || this.writing) return;
    this.scheduled = true;
    // All that comes in this turn goes together.
    setImmediate(() => {
      this.scheduled = false;
      this.flush();
    });
  }

  /** While nothing can be written: lets go of messages that are gone already. */
  prune(): void {
    this.pending.prune();
  }

  /** Does what has to stand in the log as a whole, or not at all. */
  join(work: () => void): void {
    this.pending.join(work);
  }

  /**
   * Calls back when all that was added so far is as safe as was promised, or cannot be made so.
   *
   * @param patient whether that waits where the disk fails
   * @param destination of what is asked for
   */
  sync(done: Done, patient: boolean, destination: string | undefined): void {
    if (!this.pending.done) this.pending.wait(done, patient, destination);
    else if (this.writing) this.underWay.push({ done, patient, destination, at: 0 });
    else done();
  }

  /** Writes what there is, or says that it cannot; tells whether nothing was given up. */
  async close(): Promise<boolean> {
    this.closing = true;
    if (!this.pending.empty || this.writing) {
      await new Promise<void>((resolve) => {
        this.onIdle = resolve;
        this.flush();
      });
    }
    return !this.abandoned;
  }

  private flush(): void {
    if (this.writing) return;
    if (this.pending.empty) {
      this.onIdle?.();
      this.onIdle = undefined;
      return;
    }
    const { tasks, waiting } = this.pending.take();
    this.underWay = waiting;
    this.writing = true;
    this.group.fill(tasks);
    if (this.group.spots.length === 0) this.complete();
    else this.write(false);
    this.owner.publishers.release();
  }

  private write(again: boolean): void {
    const { owner } = this;
    const { log, health } = owner;
    const { bytes, spots } = this.group;
    const records = spots.map(({ at }) => at);
    log.append(bytes, records, (error, file) => {
      if (file !== undefined) {
        for (const spot of spots) this.written(spot, file, file.size - bytes.length);
        // Where memory is short, the last to come are the first to leave it.
        for (const { task } of spots.toReversed()) {
          if (task.kind === 'push' && !task.entry.gone) task.backlog.page(task.entry);
        }
        this.complete();
        return;
      }
      // What was promised is held by the room that was kept for it.
      if (health.fail(error!)) {
        this.write(true);
        return;
      }
      const { underWay } = this;
      this.underWay = this.closing ? [] : underWay.filter(({ patient }) => patient);
      for (const one of underWay) if (!this.underWay.includes(one)) one.done(health.error(one.destination));
      if (this.closing) {
        this.abandoned = true;
        owner.report('the last changes, none of them confirmed, could not be written');
        for (const { done, destination } of this.pending.clear()) done(health.error(destination));
        this.complete();
        return;
      }
      if (!again) owner.report('what is not confirmed is tried again until it can be written');
      setTimeout(() => this.write(true), RETRY);
    });
  }

  private complete(): void {
    this.writing = false;
    this.group.empty();
    const { underWay } = this;
    this.underWay = [];
    for (const { done } of underWay) done();
    this.owner.committed();
    this.flush();
  }

  /** A record stands in the log. */
  private written({ task, at, length }: Spot, file: LogFile, base: number): void {
    const { catalog } = this.owner;
    switch (task.kind) {
      case 'push':
        catalog.set(task.entry.seq, file.number, base + at, length, task.entry.expires);
        return;
      case 'keep':
      case 'copy':
        if (task.seq > 0) catalog.set(task.seq, file.number, base + at, length, catalog.expires(task.seq));
        return;
      case 'remove':
      case 'drop':
        catalog.delete(task.seq);
    }
  }
}
