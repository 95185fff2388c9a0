import { randomUUID } from 'node:crypto';
import type { Cron } from 'croner';
import { type Message, StompError } from 'nestjs-stomp/server';
import { readTerms, SCHEDULE_HEADERS, type Timing } from '../destination/dialect.js';

/** How many messages may wait for their time. */
const MOST = 1_000_000;
/** The longest time that a timer can wait, in ms. */
const LONGEST = 2 ** 31 - 1;

/** Where a message goes when its time has come: the name of a queue, or of a topic. */
export interface Target {
  readonly kind: 'queue' | 'topic';
  readonly name: string;
}

/** A message that waits for its time. */
export interface Job {
  readonly id: string;
  readonly message: Message;
  readonly to: Target;
  /** The moment in ms since 1970. */
  readonly due: number;
  /** How often it is delivered after that. */
  readonly left: number;
  /** It is the time of a cron expression, to be followed by another. */
  readonly recurs: boolean;
}

export interface ScheduleOwner {
  /** The time of a message has come; it gets one of its own each time. */
  release(message: Message, to: Target): void;
  /** A job is there, or has changed. */
  keep(job: Job): void;
  forget(job: Job): void;
}

/**
 * Messages that are to be delivered later: after a delay, again and again at a period, or as a cron expression says.
 * A heap of jobs, the next one on top, and one timer for all.
 */
export class Schedule {
  private readonly heap: Job[] = [];
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly owner: ScheduleOwner) {}

  /** @throws StompError when too many messages wait */
  add(message: Message, { delay, repeat, cron }: Timing, to: Target): void {
    this.checkRoom(1);
    message.detach();
    if (cron === undefined)
      this.keep({ id: randomUUID(), message, to, due: Date.now() + delay, left: repeat, recurs: false });
    else this.recur(randomUUID(), message, to, cron);
  }

  /** Takes a job up again that was kept. */
  recover(job: Job): void {
    this.push(job);
  }

  /** @throws StompError when not that many more messages can wait */
  checkRoom(messages: number): void {
    if (this.heap.length + messages <= MOST) return;
    throw new StompError('too many scheduled messages', `${MOST} messages wait for their time already, the limit`);
  }

  /** Forgets everything. */
  clear(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.heap.length = 0;
  }

  private keep(job: Job): void {
    this.owner.keep(job);
    this.push(job);
  }

  private recur(id: string, message: Message, to: Target, cron: Cron): void {
    const due = cron.nextRun()?.getTime();
    if (due !== undefined) this.keep({ id, message, to, due, left: 0, recurs: true });
  }

  private run(job: Job): void {
    const { message, to, left } = job;
    this.owner.forget(job);
    const { delay = 0, period = 0, repeat = 0, cron } = readTerms(message).timing ?? {};
    if (job.recurs) {
      const once = { id: randomUUID(), message, to, due: Date.now() + delay, left: repeat, recurs: false };
      if (delay === 0) this.run(once);
      else this.keep(once);
      if (cron !== undefined) this.recur(job.id, message, to, cron);
      return;
    }
    this.owner.release(message.readdress(message.destination, DONE), to);
    if (left > 0) this.keep({ ...job, due: Date.now() + period, left: left - 1 });
  }

  private push(job: Job): void {
    const { heap } = this;
    let at = heap.push(job) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]!.due <= job.due) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = job;
    if (at === 0) this.arm();
  }

  private pop(): Job {
    const { heap } = this;
    const top = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.due < heap[child]!.due) child++;
      if (heap[child]!.due >= last.due) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return top;
  }

  private arm(): void {
    clearTimeout(this.timer);
    const first = this.heap[0];
    if (first === undefined) return;
    this.timer = setTimeout(this.fire, Math.min(LONGEST, Math.max(0, first.due - Date.now())));
  }

  private readonly fire = (): void => {
    const now = Date.now();
    while (this.heap.length > 0 && this.heap[0]!.due <= now) this.run(this.pop());
    this.arm();
  };
}

const DONE = Object.fromEntries(SCHEDULE_HEADERS.map((name) => [name, undefined]));
