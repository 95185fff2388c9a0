/* The destinations that clients use, and what the broker is told of them. */
import { type Policy } from 'nestjs-stomp-broker';
import { BACK_OFF, MAX_DELIVERIES } from './model.js';

export const KEEPS_EXPIRED = '/queue/b';
const REFUSALS = { maxDeliveries: MAX_DELIVERIES, redeliveryDelay: BACK_OFF };
/** What feeds of topics collect in: a queue that a subscription names, and the queue of a virtual topic. */
export const COLLECTOR = '/queue/f';
export const VIRTUAL = '/queue/Consumer.A.VirtualTopic.v';

export const POLICIES: readonly Policy[] = [
  { destination: '/queue/#', ...REFUSALS },
  // All but what collects, which nobody has asked to be removed.
  ...['/queue/a', '/queue/b', '/queue/w.*', '/queue/DLQ.#'].map((destination) => ({ destination, idleTime: 400 })),
  // Durable subscriptions have the rules of their topic: so what should not have come to one is found in time.
  { destination: '/topic/#', ...REFUSALS, deadLetterExpired: true },
  { destination: KEEPS_EXPIRED, deadLetterExpired: true },
];

/** Whether a name is what was asked for, where `*` stands for a level and `#` for any. */
export function matches(pattern: string, name: string): boolean {
  const levels = pattern.slice(0, -1);
  if (pattern.endsWith('.*')) return name.startsWith(levels) && !name.slice(levels.length).includes('.');
  if (pattern.endsWith('.#')) return `${name}.`.startsWith(levels);
  return pattern === name;
}
