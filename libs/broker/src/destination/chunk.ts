/*
 * A message that waits is taken out of the chunk of the socket that it came in: otherwise one small message could keep
 * 64 KiB in memory. But most messages of a busy queue wait for a few milliseconds, and the copy would be the dearest
 * part of their way. So each moment only those are taken out that waited a moment ago; but at once whatever comes behind
 * so many others that it waits for longer than that.
 *
 * Queues are remembered for that, not messages: a list of these would keep them when they are long gone, and what is
 * kept while it is young the garbage collector copies.
 */
import type { Backlog, Entry } from './backlog.js';

/** How long a message may stay in its chunk, in ms; at most twice as long. */
const MOMENT = 10;
/** Whatever comes behind so many others waits for longer. */
const MANY = 4_096;

let backlogs: Backlog[] = [];

/** Takes a message that has come to a backlog out of its chunk, unless somebody has it in a moment. */
export function detachLater({ message }: Entry, backlog: Backlog): void {
  if (backlog.length > MANY) message.detach();
  else if (!backlog.loose) watch(backlog);
}

function watch(backlog: Backlog): void {
  backlog.loose = true;
  if (backlogs.push(backlog) === 1) setTimeout(detach, MOMENT);
}

function detach(): void {
  const due = backlogs;
  backlogs = [];
  for (const backlog of due) {
    backlog.loose = false;
    if (backlog.detach()) watch(backlog);
  }
}
