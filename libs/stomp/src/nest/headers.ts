import type { FrameHeaders } from '../frame/index.js';

/** The headers in which requests and replies say what belongs together. */
export const REPLY_TO = 'reply-to';
export const CORRELATION_ID = 'correlation-id';

/**
 * What a reply is: `next` (more follow), `last` (the only or the last one), `end` (no value, nothing follows) or
 * `error` (the body is the error, nothing follows). A reply without it, from a responder that knows nothing of Nest,
 * is the last.
 */
export const REPLY_STATE = 'reply-state';
export type ReplyState = 'next' | 'last' | 'end' | 'error';

/** Metadata that instrumentation attaches to a packet travels in headers of this prefix. */
const METADATA = 'x-metadata-';
/** The W3C's headers of trace context are metadata wherever they come from. */
const TRACE_CONTEXT = ['traceparent', 'tracestate', 'baggage'];

/** The headers that carry metadata. */
export function writeMetadata(metadata: Readonly<Record<string, string>> | undefined): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(metadata ?? {})) {
    headers[TRACE_CONTEXT.includes(name) ? name : METADATA + name] = String(value);
  }
  return headers;
}

/** The metadata that headers carry. */
export function readMetadata(headers: FrameHeaders): Record<string, string> {
  const metadata: Record<string, string> = {};
  for (const [name, value] of headers) {
    if (TRACE_CONTEXT.includes(name)) metadata[name] ??= value;
    else if (name.startsWith(METADATA)) metadata[name.slice(METADATA.length)] ??= value;
  }
  return metadata;
}
