/*
 * A message that waits is taken out of the chunk of the socket that it came in: otherwise one small message could keep
 * 64 KiB in memory. But most messages of a busy queue wait for a few milliseconds, and the copy would be the dearest
 * part of their way. So only those are taken out that still wait after a moment.
 */
import type { Entry } from './backlog.js';

/** How long a message may stay in its chunk, in ms. */
const MOMENT = 10;
/** So many are looked at without waiting for that. */
const MANY = 8_192;

let young: Entry[] = [];
let timer: NodeJS.Timeout | undefined;

/** Takes a message out of its chunk, unless somebody has it in a moment. */
export function detachLater(entry: Entry): void {
  if (young.push(entry) >= MANY) detach();
  else timer ??= setTimeout(detach, MOMENT);
}

function detach(): void {
  clearTimeout(timer);
  timer = undefined;
  const entries = young;
  young = [];
  for (const { holder, message } of entries) if (holder === undefined) message.detach();
}
