import { StompError } from 'nestjs-stomp/server';
import { levelsOf } from './pattern.js';
import { REPLY_QUEUE, REPLY_TOPIC, TEMP_QUEUE, TEMP_TOPIC } from './reply.js';

/** What a destination is, and the name under which it is known inside its virtual host. */
export interface Address {
  readonly kind: 'queue' | 'topic' | 'temp-queue' | 'temp-topic' | 'reply-queue' | 'reply-topic';
  readonly name: string;
}

/** How the queue of a durable subscription is called begins so: no client can say it. */
export const DURABLE = '\0durable\0';

// Spellings that mean the same, the others' among them; see the table of destinations in the documentation.
const PREFIXES: readonly (readonly [string, Address['kind'], string])[] = [
  ['/queue/', 'queue', ''],
  ['/amq/queue/', 'queue', ''],
  ['/topic/', 'topic', '/topic/'],
  ['/exchange/amq.topic/', 'topic', '/topic/'],
  [TEMP_QUEUE, 'temp-queue', ''],
  [TEMP_TOPIC, 'temp-topic', ''],
  [REPLY_QUEUE, 'reply-queue', ''],
  [REPLY_TOPIC, 'reply-topic', ''],
];

/** What names of destinations may be like. */
export interface NameLimits {
  /** Characters; 1,024 by default. */
  maxDestination?: number;
  /** Levels, parted by dots and slashes; 128 by default. */
  maxDestinationDepth?: number;
}

/**
 * @param what how whoever named it calls it
 * @throws StompError when a destination is longer or deeper than that
 */
export function checkLimits(
  destination: string,
  { name }: Pick<Address, 'name'>,
  { maxDestination = 1_024, maxDestinationDepth = 128 }: NameLimits,
  what = 'the destination',
): void {
  if (destination.length > maxDestination) {
    throw new StompError('invalid destination', `${what} is longer than ${maxDestination} characters, the limit`);
  }
  const depth = levelsOf(name).length;
  if (depth > maxDestinationDepth) {
    throw new StompError(
      'invalid destination',
      `${what} has ${depth} levels, parted by dots and slashes: ${maxDestinationDepth} is the limit`,
    );
  }
}

/** Whether a name holds control characters: names are printed, and used inside the broker with marks of its own. */
// eslint-disable-next-line no-control-regex -- that is what it is for
export const hasControls = (name: string): boolean => /[\u0000-\u001f\u007f]/.test(name);

/**
 * Reads a destination. A name with none of the known prefixes is a topic of its own.
 *
 * @throws StompError when it is empty, holds control characters, or is a prefix without a name
 */
export function readDestination(destination: string): Address {
  if (destination === '')
    throw new StompError('invalid destination', 'the destination is empty: name one, like /queue/a');
  if (hasControls(destination)) {
    throw new StompError('invalid destination', 'the destination holds control characters: leave them out');
  }
  for (const [prefix, kind, into] of PREFIXES) {
    if (!destination.startsWith(prefix)) continue;
    const name = destination.slice(prefix.length);
    if (name === '')
      throw new StompError('invalid destination', `the destination ${prefix} has no name: add one, like ${prefix}a`);
    return { kind, name: into + name };
  }
  return { kind: 'topic', name: destination };
}

/** Whether a destination is one that only the broker may send to. */
export const isAdvisory = (destination: string): boolean => /^\/topic\/\$SYS(?:[./]|$)/.test(destination);
