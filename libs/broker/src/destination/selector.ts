import { StompError } from 'nestjs-stomp/server';
import type { SelectorHeaders } from './selector/header.js';
import type { Hyphens } from './selector/lexer.js';
import { parseSelector } from './selector/parser.js';

export { takes } from './selector/seen.js';
export type { SelectorHeaders };

/** Whether a message with such headers is for a subscription. */
export type Selector = (headers: SelectorHeaders) => boolean;

/** The longest selector that is taken, in characters. */
const MAX_LENGTH = 16 * 1024;

// Of Artemis and ActiveMQ. Headers are always converted to what they are compared with, so the last one asks for nothing.
const PREFIXES: readonly (readonly [string, Hyphens | undefined])[] = [
  ['hyphenated_props:', 'all'],
  ['no_hyphenated_props:', 'none'],
  ['convert_string_expressions:', undefined],
];

/**
 * Compiles the `selector` of a subscription: a condition on headers in the SQL-92 of JMS 2.0, section 3.8, like
 * `region = 'EU' AND price > 10`. An empty one takes every message.
 *
 * - A header that is not there is NULL, and what is unknown for that reason takes no message.
 * - Headers are text and are taken for what they are compared with: `n = 1` holds for `1`, `1.0` and ` 1`. Two headers
 *   compare as numbers where both hold one. A text that is no number is unequal to each and in no order to any.
 *   Integers are exact within 64 bits; what is no finite number, as of a division by zero, is unknown.
 * - Names are Java identifiers that dots and hyphens may join, as in `orders.region` and `correlation-id`; any other
 *   stands in double quotes. A hyphen between a name and a letter belongs to the name; with a blank or a digit
 *   behind it, as in `a - b` and `a-1`, it is a minus. `hyphenated_props:` before the selector makes each hyphen that follows
 *   on a name part of it (Artemis), `no_hyphenated_props:` none (JMS, ActiveMQ).
 * - JMSPriority, JMSMessageID, JMSCorrelationID, JMSType, JMSTimestamp, JMSDeliveryMode, JMSReplyTo, JMSExpiration,
 *   JMSRedelivered and JMSDestination are the headers that ActiveMQ maps them to: the headers that are passed in have
 *   to have the server's own `message-id` and `redelivered` among them. AMQPriority, AMQTimestamp, AMQExpiration and
 *   AMQDurable are Artemis' names.
 * - Beyond JMS: `%` is the remainder, IN takes numbers too.
 *
 * A selector reads each header at most as often as its name occurs and never throws. Its cost grows with its own length
 * and, where it has a LIKE, with the length of that header; nothing makes it go over a text again and again.
 *
 * @throws StompError `invalid selector`, whose detail shows the place: for a person to read
 */
export function compileSelector(text: string): Selector {
  if (text.length > MAX_LENGTH) {
    throw new StompError('invalid selector', `the selector is longer than ${MAX_LENGTH} characters, the limit`);
  }
  let start = 0;
  let hyphens: Hyphens = 'letters';
  for (let found; (found = PREFIXES.find(([prefix]) => text.startsWith(prefix, start))) !== undefined;) {
    start += found[0].length;
    hyphens = found[1] ?? hyphens;
  }
  if (/^[ \t\r\n\f]*$/.test(text.slice(start))) return () => true;
  const condition = parseSelector(text, start, hyphens);
  return (headers) => condition(headers) === true;
}
