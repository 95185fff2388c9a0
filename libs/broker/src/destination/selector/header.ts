/** What a selector asks of a message. */
export interface SelectorHeaders {
  get(name: string): string | undefined;
}

/** Reads a header, or what stands for it; undefined, which is NULL, where the message has none. */
export type HeaderReader = (headers: SelectorHeaders) => string | undefined;

const or = (name: string, absent: string) => (headers: SelectorHeaders) => headers.get(name) ?? absent;
const persistent = (yes: string, no: string) => (headers: SelectorHeaders) =>
  headers.get('persistent') === 'true' ? yes : no;

// The names of JMS as ActiveMQ maps them to headers, with its defaults; then those of Artemis' filters.
const READERS: ReadonlyMap<string, HeaderReader> = new Map<string, HeaderReader>([
  ['JMSDestination', (headers) => headers.get('destination')],
  ['JMSReplyTo', (headers) => headers.get('reply-to')],
  ['JMSType', (headers) => headers.get('type')],
  ['JMSDeliveryMode', persistent('PERSISTENT', 'NON_PERSISTENT')],
  ['JMSPriority', or('priority', '4')],
  ['JMSMessageID', (headers) => headers.get('message-id')],
  ['JMSTimestamp', (headers) => headers.get('timestamp')],
  ['JMSCorrelationID', (headers) => headers.get('correlation-id')],
  ['JMSExpiration', or('expires', '0')],
  ['JMSRedelivered', or('redelivered', 'false')],
  // JMS counts this delivery too.
  ['JMSXDeliveryCount', (headers) => String(Number(headers.get('delivery-count') ?? '0') + 1)],
  ['AMQPriority', or('priority', '4')],
  ['AMQTimestamp', (headers) => headers.get('timestamp')],
  ['AMQExpiration', or('expires', '0')],
  ['AMQDurable', persistent('DURABLE', 'NON_DURABLE')],
]);

export function headerReader(name: string): HeaderReader {
  return READERS.get(name) ?? ((headers) => headers.get(name));
}
