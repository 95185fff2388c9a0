import { DEFAULT_PREFETCH, StompError, type Subscription } from 'nestjs-stomp/server';

/** The most messages that a subscription may have unacknowledged, whatever it asks for. */
const MAX_PREFETCH = 65_535;

/**
 * How many messages a subscription wants before it acknowledges one: `prefetch-count` as RabbitMQ has it, where 0
 * means as many as can be, or `activemq.prefetchSize`.
 *
 * @throws StompError when it is no count
 */
export function readPrefetch({ headers }: Subscription): number {
  const name = headers.has('prefetch-count') ? 'prefetch-count' : 'activemq.prefetchSize';
  const value = headers.get(name);
  if (value === undefined) return DEFAULT_PREFETCH;
  if (!/^\d{1,10}$/.test(value)) {
    throw new StompError('invalid header', `${name} is a count of messages, in digits`);
  }
  const count = Number(value);
  return count === 0 ? MAX_PREFETCH : Math.min(count, MAX_PREFETCH);
}
