/* Messages, made of the numbers of a command. */
import { type Headers } from '../../../../support/wire.js';
import { type Mix } from './commands.js';
import { type Post } from './parts.js';

/** A message, and in how many ms it is to be delivered. */
export function writePost(
  name: string,
  mix: Mix,
  n: readonly number[],
  restarts: boolean,
): { readonly post: Post; readonly delay: number } {
  const one = (count: number, number: number) => count > 0 && number % count === 0;
  const destination = mix.to[n[2]! % mix.to.length]!;
  const delay = one(mix.delayed, n[6]!) ? 700 * (1 + (n[7]! % 3)) : 0;
  const retain = destination.includes('/topic/') && n[9]! % 4 === 0;
  const post: Post = {
    name,
    destination,
    empty: retain && n[9]! % 12 === 0,
    priority: n[3]! % 3,
    x: n[4]! % 4,
    // In the past, soon and later.
    expires: one(mix.expiring, n[5]!) ? Date.now() + [-1, 1_000, 3_000, 13_000][n[8]! % 4]! : Infinity,
    group: one(mix.groups, n[7]!) ? `g${n[8]! % 2}` : undefined,
    closes: n[9]! % 5 === 0,
    // What else survives a restart is a matter of its own.
    persistent: n[10]! % 2 === 0 || ((retain || delay > 0) && restarts),
    retain,
  };
  return { post, delay };
}

/** What a publisher says of it. */
export function headersOf({
  name,
  destination,
  priority,
  x,
  expires,
  group,
  closes,
  persistent,
  retain,
}: Post): Headers {
  const headers: Headers = { destination, name, priority: String(priority), x: String(x) };
  if (expires !== Infinity) headers.expires = String(expires);
  if (group !== undefined) headers.JMSXGroupID = group;
  if (closes) headers.JMSXGroupSeq = '-1';
  if (persistent) headers.persistent = 'true';
  if (retain) headers.retain = 'true';
  return headers;
}
