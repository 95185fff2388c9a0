import { decodeText, encodeText } from '../frame/index.js';
import type { StompMessage } from '../client/index.js';
import type { Peer } from './peer.js';
import type { StompDeserializer, StompSerializer, StompTransportOptions } from './stomp.options.js';

export const JSON_TYPE = 'application/json';
const BYTES_TYPE = 'application/octet-stream';

const isJson = (type: string) => type === JSON_TYPE || /^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i.test(type);
const isText = (type: string) => /^text\//i.test(type) || /^application\/(?:[\w.-]+\+)?xml\s*(?:;|$)/i.test(type);

/**
 * The body is the data and nothing else: bytes as they are, everything else as JSON, unless the content type says
 * that text is to go out as it is.
 */
export const serializer: StompSerializer = {
  serialize(data, { contentType }) {
    if (data instanceof Uint8Array) return { body: data, contentType: contentType ?? BYTES_TYPE };
    if (contentType !== undefined && !isJson(contentType)) {
      if (typeof data === 'string') return { body: encodeText(data, contentType), contentType };
      throw new TypeError(`data of the content type ${contentType} has to be a string or bytes`);
    }
    const body = data === undefined ? '' : JSON.stringify(data);
    if (typeof body !== 'string')
      throw new TypeError('the data cannot be written as JSON: it is a function or a symbol');
    return { body, contentType: contentType ?? JSON_TYPE };
  },
};

/** JSON and text by content type, bytes otherwise; nothing at all for an empty body of no type. */
export const deserializer: StompDeserializer = {
  deserialize(body, { contentType }) {
    if (contentType === undefined) return body.length === 0 ? undefined : body;
    if (isJson(contentType))
      return body.length === 0 ? undefined : (JSON.parse(decodeText(body, contentType)) as unknown);
    return isText(contentType) ? decodeText(body, contentType) : body;
  },
};

/** What a deserializer is told. An object of the headers is only made if it looks at them. */
class Details {
  constructor(
    readonly contentType: string | undefined,
    private readonly message: StompMessage,
  ) {}

  get headers(): Record<string, string> {
    return this.message.headers.toObject();
  }
}

/**
 * The data of a message.
 *
 * @throws when the body cannot be read
 */
export function readBody(
  message: StompMessage,
  peer: Peer,
  { deserializer: own = deserializer }: StompTransportOptions,
): unknown {
  return own.deserialize(message.body, new Details(contentTypeOf(message, peer), message));
}

/** The media type of a body: what the message says, or what is known of the broker's ways. */
function contentTypeOf({ headers, body }: StompMessage, peer: Peer): string | undefined {
  const said = headers.get('content-type');
  if (said !== undefined || !peer.textWithoutLength) return said;
  return body.length > 0 && !headers.has('content-length') ? 'text/plain' : undefined;
}
