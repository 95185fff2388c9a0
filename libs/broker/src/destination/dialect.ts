/*
 * The headers by which clients say what they want of a broker, in the words of RabbitMQ, ActiveMQ and Artemis. All are
 * understood at once; where two mean the same, the first of a list counts.
 */
import {
  DEFAULT_PREFETCH,
  type Frame,
  type FrameHeaders,
  type Message,
  type Outcome,
  type Session,
  StompError,
  type Subscription,
} from 'nestjs-stomp/server';
import { nextTime } from './cron.js';
import { hasControls, readDestination } from './name.js';
import { nameOf } from './owner.js';
import type { Policy } from './policy.js';
import { compileSelector, type Selector } from './selector.js';
import { readQualified } from './spelling.js';

export const DEFAULT_PRIORITY = 4;
/** The longest time that a header may name, in ms: ten years. */
const MAX_TIME = 10 * 365 * 86_400_000;

/** The longest delay that a NACK may ask for, in ms: a day. */
const MAX_DELAY = 86_400_000;

/** When a message is to be delivered, if not at once. Times are in ms. */
export interface Timing {
  readonly delay: number;
  /** Whether that is until a moment that was named. */
  readonly fixed: boolean;
  readonly period: number;
  /** How often it is delivered again, each time after the period; -1 without end. */
  readonly repeat: number;
  /** An expression that names a time to come; see `nextTime`. */
  readonly cron: string | undefined;
}

/** What a publisher says of a message. */
export interface Terms {
  readonly expires: number;
  readonly group: string | undefined;
  /** The group ends with this message. */
  readonly closesGroup: boolean;
  readonly retain: boolean;
  readonly timing: Timing | undefined;
}

/** What holds for a message of which nothing is said. */
export const ORDINARY: Terms = {
  expires: 0,
  group: undefined,
  closesGroup: false,
  retain: false,
  timing: undefined,
};

/** Headers that have done their work once a scheduled message is delivered. */
export const SCHEDULE_HEADERS = [
  'x-delay',
  'AMQ_SCHEDULED_DELAY',
  'AMQ_SCHEDULED_TIME',
  'AMQ_SCHEDULED_PERIOD',
  'AMQ_SCHEDULED_REPEAT',
  'AMQ_SCHEDULED_CRON',
];

/** Whether a message is to survive the end of the broker. */
export function isPersistent({ persistent }: Message): boolean {
  return persistent?.toLowerCase() === 'true';
}

/** 0 to 9; what is no such number counts as the normal one, as in JMS. */
export function readPriority({ headers }: Message): number {
  const value = headers.get('priority');
  return value !== undefined && /^\d$/.test(value) ? Number(value) : DEFAULT_PRIORITY;
}

/**
 * What a publisher says of a message.
 *
 * @throws StompError when it cannot be understood
 */
export function readTerms({ headers }: Message): Terms {
  const group = headers.get('JMSXGroupID');
  return {
    expires: readExpiry(headers),
    group: group === '' ? undefined : group,
    closesGroup: headers.get('JMSXGroupSeq') === '-1',
    retain: headers.get('retain') === 'true',
    timing: readTiming(headers),
  };
}

function readExpiry(headers: FrameHeaders): number {
  // ActiveMQ and Artemis name the moment, where 0 is never; RabbitMQ the time to live.
  const moment = readCount(headers, 'expires', Number.MAX_SAFE_INTEGER);
  if (moment !== undefined && moment > 0) return moment;
  const life = readCount(headers, 'expiration', MAX_TIME);
  return life === undefined ? 0 : Date.now() + life;
}

function readTiming(headers: FrameHeaders): Timing | undefined {
  const cron = headers.get('AMQ_SCHEDULED_CRON') ?? '';
  const at = readCount(headers, 'AMQ_SCHEDULED_TIME', Number.MAX_SAFE_INTEGER);
  const wait = at === undefined ? 0 : Math.max(0, at - Date.now());
  if (wait > MAX_TIME) {
    throw new StompError(
      'invalid header',
      `AMQ_SCHEDULED_TIME is a moment in the next ${MAX_TIME} ms, in ms since 1970`,
    );
  }
  const delay = readCount(headers, 'AMQ_SCHEDULED_DELAY', MAX_TIME) ?? readCount(headers, 'x-delay', MAX_TIME);
  const timing = {
    delay: delay ?? wait,
    fixed: delay === undefined && at !== undefined,
    period: readCount(headers, 'AMQ_SCHEDULED_PERIOD', MAX_TIME) ?? 0,
    repeat: readRepeat(headers),
    cron: cron === '' ? undefined : readCron(cron),
  };
  if (timing.repeat !== 0 && timing.period === 0) {
    throw new StompError('invalid header', 'AMQ_SCHEDULED_REPEAT needs AMQ_SCHEDULED_PERIOD, in ms, above 0');
  }
  if (timing.repeat < 0 && timing.cron !== undefined) {
    // Each time of the expression would begin one more repetition that never ends.
    throw new StompError(
      'invalid header',
      'AMQ_SCHEDULED_REPEAT:-1, without end, cannot stand beside AMQ_SCHEDULED_CRON: leave out one of them',
    );
  }
  return timing.cron === undefined && timing.delay === 0 && timing.repeat === 0 ? undefined : timing;
}

function readRepeat(headers: FrameHeaders): number {
  const name = 'AMQ_SCHEDULED_REPEAT';
  return headers.get(name) === '-1' ? -1 : (readCount(headers, name, 1_000_000) ?? 0);
}

function readCron(expression: string): string {
  try {
    nextTime(expression);
    return expression;
  } catch {
    const fields = 'minute, hour, day, month, weekday';
    throw new StompError(
      'invalid header',
      `AMQ_SCHEDULED_CRON has five fields (${fields}) of numbers, names, *, lists, ranges and steps that name a time to come`,
    );
  }
}

/**
 * How long a refused message is to wait before it comes again, in ms, at most a day; undefined when the NACK does not
 * say.
 *
 * @throws StompError when that is no number
 */
export function readRedelivery(headers: Outcome['headers']): number | undefined {
  const value = headers?.get('delay');
  if (value === undefined) return undefined;
  if (/^\d{1,15}$/.test(value)) return Math.min(Number(value), MAX_DELAY);
  throw new StompError('invalid header', 'delay of a NACK is a whole number of milliseconds, in digits');
}

/** What a subscription asks for. */
export interface ConsumerTerms {
  /** How many messages it wants before it acknowledges one. */
  readonly prefetch: number;
  readonly selector: Selector | undefined;
  /** It wants to be the queue's only consumer, and others to wait until it leaves. */
  readonly exclusive: boolean;
  /** Those of a higher one come first, as long as they have credit. */
  readonly priority: number;
  /** It only looks. */
  readonly browser: boolean;
  /** It does not want what its own session sends. */
  readonly noLocal: boolean;
  /** Of a topic: how many messages may wait for it when it lags behind; it misses the oldest ones. */
  readonly maxPending: number;
}

/**
 * What a subscription asks for.
 *
 * @throws StompError when it cannot be understood
 */
export function readConsumer({ headers }: Subscription): ConsumerTerms {
  const prefetch =
    readCount(headers, 'prefetch-count', Number.MAX_SAFE_INTEGER, 'activemq.prefetchSize') ?? readWindow(headers);
  const selector = headers.get('selector') ?? '';
  return {
    // RabbitMQ: 0 is as many as can be.
    prefetch: prefetch === 0 ? Number.POSITIVE_INFINITY : (prefetch ?? DEFAULT_PREFETCH),
    selector: selector.trim() === '' ? undefined : compileSelector(selector),
    exclusive: isTrue(headers, 'exclusive', 'activemq.exclusive'),
    priority: readPlace(headers),
    browser: isTrue(headers, 'browser'),
    noLocal: isTrue(headers, 'no-local', 'activemq.noLocal'),
    maxPending: readPending(headers),
  };
}

/** Artemis counts octets: 0 is one message at a time, -1 no limit. Taken for messages of a KiB. */
function readWindow(headers: FrameHeaders): number | undefined {
  if (headers.get('consumer-window-size') === '-1') return 0;
  const octets = readCount(headers, 'consumer-window-size', Number.MAX_SAFE_INTEGER);
  return octets === undefined ? undefined : Math.max(1, Math.ceil(octets / 1024));
}

/** ActiveMQ: -1 is no limit, as nothing is. */
function readPending(headers: FrameHeaders): number {
  const name = 'activemq.maximumPendingMessageLimit';
  if (headers.get(name) === '-1') return Number.POSITIVE_INFINITY;
  return readCount(headers, name, Number.MAX_SAFE_INTEGER) ?? Number.POSITIVE_INFINITY;
}

function readPlace(headers: FrameHeaders): number {
  const value = headers.get('x-priority') ?? headers.get('activemq.priority');
  if (value === undefined) return 0;
  if (!/^-?\d{1,9}$/.test(value)) throw new StompError('invalid header', 'x-priority is a whole number, in digits');
  return Number(value);
}

/** A durable subscription: what it is called, and what tells it from others. */
export interface DurableName {
  readonly key: string;
  readonly name: string;
}

/**
 * The durable subscription that a SUBSCRIBE asks for, in one of three dialects; undefined when it asks for none.
 * Subscriptions of the same key share its messages.
 *
 *   RabbitMQ   durable:true (or persistent:true) and auto-delete:false: the id and the destination
 *   ActiveMQ   activemq.subscriptionName, and the client-id of CONNECT
 *   Artemis    durable-subscription-name (or durable-subscriber-name), and the client-id of CONNECT
 *
 * @throws StompError when its name cannot be that of a destination, as its dead letters need one
 */
export function readDurable({ headers, destination, session }: Subscription): DurableName | undefined {
  const durable = nameDurable(headers, session, destination);
  if (durable === undefined || !hasControls(durable.name)) return durable;
  throw new StompError(
    'invalid header',
    'the name of the durable subscription holds control characters: leave them out',
  );
}

/** The name under which a SUBSCRIBE asks for a durable subscription, and its dead letters are found; undefined for none. */
export const readDurableName = (headers: FrameHeaders): string | undefined =>
  readSubscriptionName(headers) ?? (asksForDurable(headers) ? headers.get('id') : undefined);

/**
 * The durable subscription that an UNSUBSCRIBE asks to delete; undefined when it asks for none.
 *
 * @param destination of the subscription that it has ended
 */
export function readDeletion(
  { headers }: Frame,
  session: Session,
  destination: string | undefined,
): DurableName | undefined {
  return nameDurable(headers, session, headers.get('destination') ?? destination);
}

function nameDurable(
  headers: FrameHeaders,
  { clientId = '', user }: Session,
  destination = '',
): DurableName | undefined {
  // Whoever claims another user's client-id does not get at that one's subscriptions.
  const owner = nameOf(user) ?? '';
  const name = readSubscriptionName(headers);
  if (name !== undefined) return { key: `name\0${owner}\0${clientId}\0${name}`, name };
  const id = headers.get('id');
  if (id === undefined || !asksForDurable(headers)) return undefined;
  return { key: `id\0${owner}\0${id}\0${destination}`, name: id };
}

function readSubscriptionName(headers: FrameHeaders): string | undefined {
  const names = [
    'durable-subscription-name',
    'durable-subscriber-name',
    'activemq.subscriptionName',
    'activemq.subcriptionName', // An old misprint of ActiveMQ's documentation, which clients have copied.
  ];
  for (const name of names) {
    const value = headers.get(name);
    if (value !== undefined && value !== '') return value;
  }
  return undefined;
}

function asksForDurable(headers: FrameHeaders): boolean {
  return isTrue(headers, 'durable', 'persistent') && headers.get('auto-delete')?.toLowerCase() !== 'true';
}

/**
 * The queue that a subscription to a topic wants its messages to wait in: by RabbitMQ's `x-queue-name`, or by Artemis'
 * `address::queue`.
 */
export function readQueueName({ headers }: Pick<Subscription, 'headers'>): string | undefined {
  const name = headers.get('x-queue-name') ?? '';
  return name === '' ? readQualified(headers) : name;
}

/** What RabbitMQ's arguments of a queue, on a SEND or SUBSCRIBE, say about a queue that is made by it. */
export function readQueueRules(headers: FrameHeaders): Partial<Policy> & { readonly autoDelete: boolean } {
  const maxLength = readCount(headers, 'x-max-length', Number.MAX_SAFE_INTEGER);
  const maxBytes = readCount(headers, 'x-max-length-bytes', Number.MAX_SAFE_INTEGER);
  const overflow = headers.get('x-overflow');
  const timeToLive = readCount(headers, 'x-message-ttl', MAX_TIME);
  const idleTime = readCount(headers, 'x-expires', MAX_TIME);
  const deadLetter = readDeadLetter(headers);
  return {
    ...(maxLength === undefined ? {} : { maxLength }),
    ...(maxBytes === undefined ? {} : { maxBytes }),
    // RabbitMQ drops the head unless it is told otherwise.
    ...(maxLength === undefined && maxBytes === undefined
      ? {}
      : { overflow: overflow?.startsWith('reject-publish') === true ? ('reject' as const) : ('drop-oldest' as const) }),
    ...(timeToLive === undefined ? {} : { timeToLive }),
    ...(idleTime === undefined ? {} : { idleTime }),
    // RabbitMQ sends expired messages there too.
    ...(deadLetter === undefined ? {} : { deadLetter, deadLetterExpired: true }),
    autoDelete: isTrue(headers, 'auto-delete'),
  };
}

/** Whether headers say how a queue is to be made. */
export function makesQueue(headers: FrameHeaders): boolean {
  const { autoDelete, ...rules } = readQueueRules(headers);
  return autoDelete || Object.keys(rules).length > 0;
}

/**
 * Where the dead letters of a queue are to go, by RabbitMQ's headers; undefined when they do not say.
 *
 * @throws StompError when that is no destination
 */
export function readDeadLetter(headers: FrameHeaders): string | undefined {
  const destination = nameDeadLetter(headers);
  if (destination !== undefined) readDestination(destination);
  return destination;
}

function nameDeadLetter(headers: FrameHeaders): string | undefined {
  const exchange = headers.get('x-dead-letter-exchange');
  const key = headers.get('x-dead-letter-routing-key') ?? '';
  if (exchange === undefined && key === '') return undefined;
  // The default exchange leads to the queue of that name.
  if (exchange === undefined || exchange === '') return key === '' ? undefined : `/queue/${key}`;
  return key === '' ? `/exchange/${exchange}` : `/exchange/${exchange}/${key}`;
}

/** RabbitMQ and ActiveMQ take both spellings. */
function isTrue(headers: FrameHeaders, ...names: string[]): boolean {
  return names.some((name) => headers.get(name)?.toLowerCase() === 'true');
}

function readCount(headers: FrameHeaders, name: string, most: number, alias?: string): number | undefined {
  const given = headers.has(name) || alias === undefined ? name : alias;
  const value = headers.get(given);
  if (value === undefined) return undefined;
  const count = /^\d{1,16}$/.test(value) ? Number(value) : NaN;
  if (count <= most) return count;
  throw new StompError('invalid header', `${given} is a whole number up to ${most}, in digits`);
}
