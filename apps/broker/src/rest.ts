/*
 * What the arrival of many clients leaves behind: for it V8 makes its young generation larger, and keeps what is dead in
 * it. It would give that back after some 20 seconds without work. A broker that rests gives it back at once, while that
 * takes no longer than nobody notices. Only after an arrival: what is collected as thoroughly takes compiled code with
 * it, so that messages that come in bursts would cost a third more.
 */
import type { Session } from 'node:inspector';
import { type EventLoopUtilization, performance } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';

/** How often is looked, in ms. */
const MOMENT = 1_000;
/** A moment in which less of the time was worked is one of rest. */
const BUSY = 0.05;
/** So many clients have to have come. */
const MANY = 500;
/** A heap in which more octets are used is left to V8: to go through it takes more than a tenth of a second. */
const MOST = 64 * 1024 * 1024;

/** Gives memory back when the process rests after many clients have come, until it is stopped. */
export class Rest {
  private readonly timer = setInterval(() => this.look(), MOMENT).unref();
  private worked: EventLoopUtilization = performance.eventLoopUtilization();
  /** The fewest clients that there were since memory was given back. */
  private fewest = 0;

  /** @param clients how many there are */
  constructor(private readonly clients: () => number) {}

  stop(): void {
    clearInterval(this.timer);
  }

  private look(): void {
    const worked = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(worked, this.worked);
    this.worked = worked;
    const clients = this.clients();
    this.fewest = Math.min(this.fewest, clients);
    if (utilization > BUSY || clients - this.fewest < MANY) return;
    if (getHeapStatistics().used_heap_size > MOST) return;
    this.fewest = clients;
    void this.giveBack();
  }

  private async giveBack(): Promise<void> {
    const session = await open();
    // Without it there is nothing to be done, now or later.
    if (session === undefined) this.stop();
    // Not before its command has been carried out in full.
    else session.post('HeapProfiler.collectGarbage', () => setImmediate(() => session.disconnect()));
  }
}

/** Undefined where Node was built without an inspector, or keeps it from its programs, as with `--permission`. */
async function open(): Promise<Session | undefined> {
  try {
    const { Session } = await import('node:inspector');
    const session = new Session();
    session.connect();
    return session;
  } catch {
    return undefined;
  }
}
