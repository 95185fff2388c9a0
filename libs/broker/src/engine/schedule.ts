import { randomUUID } from 'node:crypto';
import { Memory, type Message, StompError } from 'nestjs-stomp/server';
import { nextTime } from '../destination/cron.js';
import { readTerms, SCHEDULE_HEADERS, type Timing } from '../destination/dialect.js';
import { later, spend } from '../destination/slice.js';

/** How many messages may wait for their time. */
const MOST = 1_000_000;
/** How often it is looked at the clock, in ms: it may have been set. */
const LOOK = 60_000;
/** A clock that is back by so many ms was set. */
const SET_BACK = 1_000;

/** Where a message goes when its time has come. */
export interface Target {
  readonly kind: 'queue' | 'topic';
  readonly name: string;
  /** What a queue is made again of, if it has gone by then. */
  readonly about?: object;
  /** Of a topic: the id of the session that sent it. */
  readonly publisher?: string | undefined;
  /** It is a dead letter of a topic, and waits for nothing but to be asked about. */
  readonly dead?: boolean;
}

const AT_ONCE: Timing = { delay: 0, fixed: false, period: 0, repeat: 0, cron: undefined };

/** A message that waits for its time. */
export interface Job {
  readonly id: string;
  /** It has the id of its next delivery, so that one that comes again after a kill has the same. */
  readonly message: Message;
  readonly to: Target;
  /** The moment in ms since 1970. */
  readonly due: number;
  /** How often it is delivered after that; -1 without end. */
  readonly left: number;
  /** It is the time of a cron expression, to be followed by another. */
  readonly recurs: boolean;
  /** It is a moment that the publisher named, not one so many ms after another. */
  readonly fixed?: boolean;
}

/** A job in its place among the others. */
interface Waiting {
  readonly job: Job;
  readonly size: number;
  due: number;
  /** Of those that are due at the same moment the first to come is the first to go. */
  readonly serial: number;
}

export interface ScheduleOwner {
  /** The time of a message has come: `go` is told, in this turn or a later one, when nothing about it takes long any more. */
  prepare(message: Message, to: Target, go: () => void): void;
  /** The time of a message has come; it gets one of its own each time. */
  release(message: Message, to: Target): void;
  /** A job is there, or has changed. */
  keep(job: Job): void;
  forget(job: Job): void;
  /** Does what has to be there as a whole or not at all after a crash. */
  join(work: () => void): void;
}

/**
 * Messages that are to be delivered later: after a delay, again and again at a period, or as a cron expression says.
 * A heap of jobs, the next one on top, and one timer for all.
 */
export class Schedule {
  private readonly heap: Waiting[] = [];
  private timer: NodeJS.Timeout | undefined;
  private serials = 0;
  /** It is at what is due, or goes on with it in another turn. */
  private firing = false;
  /** The next one, as it is to be delivered, once it is prepared. */
  private ready: { readonly job: Job; readonly message: Message } | undefined;
  /** When the clock of the day was 0, by the one that nobody sets. */
  private zero = performance.now() - Date.now();

  /** @param memory is told what the messages take */
  constructor(
    private readonly owner: ScheduleOwner,
    private readonly memory = new Memory(),
  ) {}

  /** Whether one more message may wait. */
  get free(): boolean {
    return this.heap.length < MOST;
  }

  /** Delivers a message as soon as nothing about it takes long any more; until then it is kept as one that waits. */
  addNow(message: Message, to: Target): void {
    this.add(message, AT_ONCE, to);
  }

  /** @throws StompError when too many messages wait */
  add(message: Message, { delay, fixed, repeat, cron }: Timing, to: Target): void {
    this.checkRoom(1);
    this.follow();
    message.detach();
    const id = randomUUID();
    if (cron === undefined) this.keep({ id, message, to, due: Date.now() + delay, left: repeat, recurs: false, fixed });
    else this.recur(id, message, to, cron);
  }

  /** Takes a job up again that was kept; to be followed by `catchUp`. */
  recover(job: Job): void {
    this.push(job);
  }

  /** @throws StompError when not that many more messages can wait */
  checkRoom(messages: number): void {
    const { length } = this.heap;
    if (length + messages <= MOST) return;
    const already = length === 1 ? '1 does' : `${length} do`;
    throw new StompError(
      'too many scheduled messages',
      `at most ${MOST} messages wait for their time, and ${already} already`,
    );
  }

  /** Forgets everything. */
  clear(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    for (const { size } of this.heap) this.memory.add(-size);
    this.heap.length = 0;
  }

  private keep(job: Job): void {
    this.owner.keep(job);
    this.push(job);
  }

  private recur(id: string, message: Message, to: Target, cron: string): void {
    this.keep({ id, message, to, due: nextTime(cron), left: 0, recurs: true });
  }

  /** What comes of a job is written before the job goes: whatever happens in between, nothing is lost. */
  private run(job: Job): void {
    // It is in neither place for a moment.
    this.owner.join(() => this.move(job));
  }

  private move(job: Job): void {
    const { message, to, left } = job;
    const { expires, timing } = readTerms(message);
    const { delay = 0, period = 0, repeat = 0, cron } = timing ?? {};
    if (job.recurs) {
      this.keep({ id: randomUUID(), message, to, due: Date.now() + delay, left: repeat, recurs: false });
      if (cron === undefined) this.owner.forget(job);
      else this.recur(job.id, renew(message), to, cron);
      return;
    }
    const { ready } = this;
    this.ready = undefined;
    this.owner.release(ready?.job === job ? ready.message : deliverable(message), to);
    // A period begins when the one before it has ended: what is late is not caught up with.
    const due = Date.now() + period;
    // What nobody would get any more ends: of a repetition without end it is the only end.
    if (left === 0 || (expires > 0 && expires <= due)) this.owner.forget(job);
    else this.keep({ ...job, message: renew(message), due, left: left < 0 ? left : left - 1, fixed: false });
  }

  private push(job: Job): void {
    const { heap } = this;
    const { size } = job.message;
    this.memory.add(size);
    const waiting = { job, size, due: job.due, serial: this.serials++ };
    let at = heap.push(waiting) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (precedes(heap[parent]!, waiting)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = waiting;
    if (at === 0) this.arm();
  }

  private pop(): Waiting {
    const { heap } = this;
    const top = heap[0]!;
    this.memory.add(-top.size);
    const last = heap.pop()!;
    if (heap.length > 0) this.sink(0, last);
    return top;
  }

  /** Puts it where it belongs, in that place or below. */
  private sink(at: number, waiting: Waiting): void {
    const { heap } = this;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && precedes(heap[child + 1]!, heap[child]!)) child++;
      if (precedes(waiting, heap[child]!)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = waiting;
  }

  /**
   * Looks whether the clock was set back. What waits for some time, not for a moment, would wait for so much longer. Where
   * it was set forward, or the machine slept, nothing is later than it was to be.
   */
  private follow(): void {
    const zero = performance.now() - Date.now();
    const back = zero - this.zero;
    this.zero = zero;
    if (back < SET_BACK) return;
    const { heap } = this;
    for (const waiting of heap) if (!waiting.job.recurs && waiting.job.fixed !== true) waiting.due -= back;
    for (let at = heap.length >> 1; at-- > 0;) this.sink(at, heap[at]!);
  }

  private arm(): void {
    if (this.firing) return;
    clearTimeout(this.timer);
    const first = this.heap[0];
    if (first === undefined) return;
    this.timer = setTimeout(this.fire, Math.min(LOOK, Math.max(0, first.due - Date.now())));
  }

  /** Delivers all that is due by now, and waits for the rest. */
  catchUp(): Promise<void> {
    const now = Date.now();
    // It was set when they were recovered.
    clearTimeout(this.timer);
    this.firing = true;
    return new Promise((resolve) => {
      const go = () => {
        if (!this.release(now, go)) return;
        this.rest();
        resolve();
      };
      go();
    });
  }

  private readonly fire = (): void => {
    this.firing = true;
    this.follow();
    if (this.release(Date.now(), this.fire)) this.rest();
  };

  private rest(): void {
    this.firing = false;
    this.arm();
  }

  /**
   * Delivers what is due by a moment, for as long as a turn has time for it: all may be due at once, and each may be for
   * many. Tells whether that was all.
   *
   * @param again called in another turn where it was not
   */
  private release(until: number, again: () => void): boolean {
    for (let first; (first = this.heap[0]) !== undefined && first.due <= until;) {
      const since = performance.now();
      if (!this.prepare(first.job, again)) return false;
      this.run(this.pop().job);
      if (!spend(since)) continue;
      later(again);
      return false;
    }
    return true;
  }

  /** Whether a job can be run in this turn; else that goes on when it can. */
  private prepare(job: Job, again: () => void): boolean {
    if (job.recurs || this.ready?.job === job) return true;
    const { to } = job;
    const message = deliverable(job.message);
    let waits = false;
    this.owner.prepare(message, to, () => {
      this.ready = { job, message };
      if (waits) again();
    });
    waits = this.ready?.job !== job;
    return !waits;
  }
}

const precedes = (one: Waiting, other: Waiting) =>
  one.due === other.due ? one.serial < other.serial : one.due < other.due;

/** It has the id that it was kept with. */
const deliverable = (message: Message) => message.readdress(message.destination, DONE, message.id);

const renew = (message: Message) => message.readdress(message.destination);

const DONE = Object.fromEntries(SCHEDULE_HEADERS.map((name) => [name, undefined]));
