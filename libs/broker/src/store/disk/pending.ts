/*
 * What is to be written, in the order in which it was done, and who waits for it. It is taken in groups of a bounded size.
 * What was done together, in one turn of the event loop, goes into one group as long as that is large enough; what was
 * joined does in any case.
 */
import type { Done } from 'nestjs-stomp/server';
import type { Task } from './group.js';

/** The most octets of a group, but for a message that is larger by itself. */
export const GROUP_SIZE = 128 * 1024 * 1024;
/** Octets that something to be written takes besides a message. */
const TASK = 128;

/** Somebody who is to be told when it is safe. */
export interface Promised {
  readonly done: Done;
  /** Whether it goes on waiting where the disk fails: it asked for nothing that can be refused any more. */
  readonly patient: boolean;
  /** Of what it asked for. */
  readonly destination: string | undefined;
  /** So many tasks come before. */
  at: number;
}

/** What is written together, and who waits for it. */
export interface Batch {
  readonly tasks: readonly Task[];
  readonly waiting: Promised[];
}

export class Pending {
  /** Octets that wait. */
  octets = 0;
  private tasks: Task[] = [];
  private waiting: Promised[] = [];
  /** Where a turn has ended. */
  private ends: number[] = [];
  private turning = false;
  /** What belongs together: where each begins and ends. */
  private joins: { readonly start: number; readonly end: number }[] = [];
  private joining = false;

  /** @param most octets that are taken at a time */
  constructor(private readonly most: number) {}

  /** Whether there is nothing to be written. */
  get done(): boolean {
    return this.tasks.length === 0;
  }

  /** Whether nobody waits either. */
  get empty(): boolean {
    return this.done && this.waiting.length === 0;
  }

  add(task: Task): void {
    this.tasks.push(task);
    this.octets += sizeOf(task);
    if (this.turning) return;
    this.turning = true;
    queueMicrotask(() => {
      this.turning = false;
      this.ends.push(this.tasks.length);
    });
  }

  /** What is added by this is taken as a whole, unless it is more than twice of what is taken at a time. */
  join(work: () => void): void {
    if (this.joining) {
      work();
      return;
    }
    this.joining = true;
    const start = this.tasks.length;
    try {
      work();
    } finally {
      this.joining = false;
      const end = this.tasks.length;
      if (end - start > 1) this.joins.push({ start, end });
    }
  }

  /** Somebody waits for all that was added so far. */
  wait(done: Done, patient: boolean, destination: string | undefined): void {
    this.waiting.push({ done, patient, destination, at: this.tasks.length });
  }

  /** What is to be written next. */
  take(): Batch {
    if (this.octets <= this.most) return this.cut(this.tasks.length);
    let count = 0;
    let octets = 0;
    for (; count < this.tasks.length; count++) {
      octets += sizeOf(this.tasks[count]!);
      if (count > 0 && octets > this.most) break;
    }
    return this.cut(this.ends.findLast((end) => end > 0 && end <= count) ?? this.besides(count));
  }

  /** Lets go of messages that are gone before they were written. */
  prune(): void {
    const tasks: Task[] = [];
    // How many stay of the tasks before each place.
    const places = [0];
    for (const task of this.tasks) {
      if (task.kind !== 'push' || !task.entry.gone) tasks.push(task);
      places.push(tasks.length);
    }
    if (tasks.length === this.tasks.length) return;
    this.tasks = tasks;
    this.octets = tasks.reduce((sum, task) => sum + sizeOf(task), 0);
    this.ends = this.ends.map((end) => places[end]!);
    this.joins = this.joins.map(({ start, end }) => ({ start: places[start]!, end: places[end]! }));
    for (const one of this.waiting) one.at = places[one.at]!;
  }

  /** Nothing of it is to be written; tells who waited for it. */
  clear(): readonly Promised[] {
    return this.cut(this.tasks.length).waiting;
  }

  /** The place next to that one where nothing is parted that belongs together. */
  private besides(count: number): number {
    const parted = this.joins.find(({ start, end }) => start < count && count < end);
    if (parted === undefined) return count;
    if (parted.start > 0) return parted.start;
    const octets = this.tasks.slice(0, parted.end).reduce((sum, task) => sum + sizeOf(task), 0);
    return octets <= 2 * this.most ? parted.end : count;
  }

  private cut(count: number): Batch {
    const { tasks, waiting } = this;
    if (count === tasks.length) {
      this.tasks = [];
      this.waiting = [];
      this.ends = [];
      this.joins = [];
      this.octets = 0;
      return { tasks, waiting };
    }
    this.tasks = tasks.slice(count);
    this.octets = this.tasks.reduce((sum, task) => sum + sizeOf(task), 0);
    const joins = this.joins.filter(({ end }) => end > count);
    this.joins = joins.map(({ start, end }) => ({ start: Math.max(0, start - count), end: end - count }));
    this.ends = this.ends.filter((end) => end > count).map((end) => end - count);
    this.waiting = waiting.filter(({ at }) => at > count);
    for (const one of this.waiting) one.at -= count;
    return { tasks: tasks.slice(0, count), waiting: waiting.filter((one) => !this.waiting.includes(one)) };
  }
}

function sizeOf(task: Task): number {
  switch (task.kind) {
    case 'push':
      return task.entry.message.size + TASK;
    case 'keep':
      return (task.kept.message?.size ?? 0) + TASK;
    case 'copy':
      return task.record.length + TASK;
    default:
      return TASK;
  }
}
