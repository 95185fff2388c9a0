import type { Peer } from './peer.js';
import { serializer as standard } from './payload.js';
import { StompRecord } from './stomp.record.js';
import type { StompTransportOptions } from './stomp.options.js';

/** A message that is ready to be sent. */
export interface Outgoing {
  readonly body: string | Uint8Array;
  readonly contentType: string;
  readonly headers: Record<string, string>;
}

/**
 * Data, or a record of it, as a message.
 *
 * @param headers of the transport itself: they win over all others
 * @throws TypeError when the data cannot be written; Error for a delay where the broker has none
 */
export function toMessage(
  value: unknown,
  headers: Record<string, string>,
  { headers: fixed, serializer = standard }: StompTransportOptions,
  peer: Peer,
): Outgoing {
  const { data, options } = value instanceof StompRecord ? (value as StompRecord) : new StompRecord(value);
  if (options.delay !== undefined && peer.delay === undefined) {
    throw new Error(`${peer.name} cannot delay messages: leave out setDelay, or delay in the application`);
  }
  const { body, contentType } = serializer.serialize(data, { contentType: options.contentType });
  return {
    body,
    contentType,
    headers: {
      ...fixed,
      ...options.headers,
      ...(options.persistent === undefined ? {} : { persistent: String(options.persistent) }),
      ...(options.priority === undefined ? {} : { priority: String(options.priority) }),
      ...(options.expires === undefined ? {} : peer.expiry(options.expires)),
      ...(options.delay === undefined ? {} : { [peer.delay!]: String(options.delay) }),
      ...headers,
    },
  };
}

/**
 * The destination of a pattern. A pattern that is none, as `'sum'` or `{ cmd: 'sum' }`, names a queue for requests and
 * a topic for events.
 *
 * @param route the pattern as Nest normalizes it
 */
export function toDestination(route: string, kind: 'message' | 'event'): string {
  if (route.startsWith('/')) return route;
  return (kind === 'message' ? '/queue/' : '/topic/') + encodeURIComponent(route);
}
