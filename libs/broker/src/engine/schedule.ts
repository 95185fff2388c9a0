import type { Cron } from 'croner';
import { Memory, type Message, StompError } from 'nestjs-stomp/server';
import { SCHEDULE_HEADERS, type Timing } from '../destination/dialect.js';

/** How many messages may wait for their time. */
const MOST = 1_000_000;
/** The longest time that a timer can wait, in ms. */
const LONGEST = 2 ** 31 - 1;

interface Job {
  /** Octets that are free once it has run. */
  readonly size: number;
  readonly due: number;
  /** Of those that are due at the same moment the first to come is the first to go. */
  readonly serial: number;
  run(): void;
}

/**
 * Messages that are to be delivered later: after a delay, again and again at a period, or as a cron expression says.
 * A heap of jobs, the next one on top, and one timer for all.
 */
export class Schedule {
  private readonly heap: Job[] = [];
  private timer: NodeJS.Timeout | undefined;
  private serials = 0;

  /** @param memory is told what the messages take */
  constructor(private readonly memory = new Memory()) {}

  /**
   * @param deliver gets a message of its own each time
   * @throws StompError when too many messages wait
   */
  add(message: Message, { delay, period, repeat, cron }: Timing, deliver: (message: Message) => void): void {
    this.checkRoom(1);
    message.detach();
    const run = () => this.repeat(message, delay, period, repeat, deliver);
    if (cron === undefined) run();
    else this.recur(cron, message.size, run);
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
    for (const { size } of this.heap) this.memory.add(-size);
    this.heap.length = 0;
  }

  private repeat(
    message: Message,
    delay: number,
    period: number,
    repeat: number,
    deliver: (message: Message) => void,
  ): void {
    let left = repeat;
    const fire = () => {
      deliver(message.readdress(message.destination, DONE));
      if (left-- > 0) this.push(Date.now() + period, message.size, fire);
    };
    this.push(Date.now() + delay, message.size, fire);
  }

  private recur(cron: Cron, size: number, run: () => void): void {
    const next = () => {
      const due = cron.nextRun();
      if (due === null) return;
      this.push(due.getTime(), size, () => {
        run();
        next();
      });
    };
    next();
  }

  private push(due: number, size: number, run: () => void): void {
    this.memory.add(size);
    const { heap } = this;
    const job: Job = { due, size, serial: this.serials++, run };
    let at = heap.push(job) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (precedes(heap[parent]!, job)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = job;
    if (at === 0) this.arm();
  }

  private pop(): Job {
    const { heap } = this;
    const top = heap[0]!;
    this.memory.add(-top.size);
    const last = heap.pop()!;
    if (heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && precedes(heap[child + 1]!, heap[child]!)) child++;
      if (precedes(last, heap[child]!)) break;
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
    while (this.heap.length > 0 && this.heap[0]!.due <= now) this.pop().run();
    this.arm();
  };
}

const precedes = (one: Job, other: Job) => (one.due === other.due ? one.serial < other.serial : one.due < other.due);

const DONE = Object.fromEntries(SCHEDULE_HEADERS.map((name) => [name, undefined]));
