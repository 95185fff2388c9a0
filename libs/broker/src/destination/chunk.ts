/*
 * A message that waits is taken out of the chunk of the socket that it came in: otherwise one small message could keep
 * 64 KiB in memory. But most messages of a busy queue wait for a few milliseconds, and the copy would be the dearest
 * part of their way. So each moment only those are taken out that waited a moment ago.
 *
 * Queues are remembered for that, not messages: a list of these would keep them when they are long gone, and what is
 * kept while it is young the garbage collector copies.
 */
import type { Backlog } from './backlog.js';

/** How long a message may stay in its chunk, in ms; at most twice as long. */
const MOMENT = 10;

let backlogs: Backlog[] = [];

/** Takes those messages of a backlog out of their chunks that nobody has in a moment. */
export function detachLater(backlog: Backlog): void {
  if (backlog.loose) return;
  backlog.loose = true;
  if (backlogs.push(backlog) === 1) setTimeout(detach, MOMENT);
}

function detach(): void {
  const due = backlogs;
  backlogs = [];
  for (const backlog of due) {
    backlog.loose = false;
    if (backlog.detach()) detachLater(backlog);
  }
}
