import { StompError } from 'nestjs-stomp/server';
import { isAdvisory, readDestination } from './name.js';
import { isPattern, matches } from './pattern.js';

/**
 * How destinations of a pattern are treated. Of several policies that match, each setting is that of the last one
 * that has it. Times are in milliseconds.
 */
export interface Policy {
  /** A destination or a pattern of them: `/queue/orders`, `/queue/mail.*`, `/topic/prices.#`. */
  readonly destination: string;
  /** Messages that may wait in a queue; no limit by default. */
  readonly maxLength?: number;
  /** Octets of bodies that may wait in a queue; no limit by default. */
  readonly maxBytes?: number;
  /** What a full queue does: `reject` (the default) refuses the sender, `drop-oldest` makes dead letters of its head. */
  readonly overflow?: 'reject' | 'drop-oldest';
  /** Where dead letters go; `/queue/DLQ.NAME` by default, false to drop them. */
  readonly deadLetter?: string | false;
  /** Whether expired messages become dead letters; they are dropped by default. */
  readonly deadLetterExpired?: boolean;
  /**
   * How often a message is refused, or held by a consumer whose connection breaks, before it becomes a dead letter; 10
   * by default, 0 without a limit.
   */
  readonly maxDeliveries?: number;
  /** The wait before a message that was refused twice is delivered again; 100 by default. The first time there is none. */
  readonly redeliveryDelay?: number;
  /** Each further wait is so many times as long; 2 by default. */
  readonly redeliveryFactor?: number;
  /** No wait is longer; 30,000 by default. */
  readonly maxRedeliveryDelay?: number;
  /** How long messages live at most; for ever by default, or what the message says. */
  readonly timeToLive?: number;
  /**
   * How long a queue is kept that is empty and not used; 60,000 by default. A queue that a topic feeds (`x-queue-name`,
   * virtual topics) is there to collect, and is kept unless this is said of it.
   */
  readonly idleTime?: number;
  /**
   * Whether messages say who sent them, and when, as the broker knows it and whatever the publisher says: `JMSXUserID`
   * and `timestamp`, in ms since 1970. False by default: only what the publisher says is passed on.
   */
  readonly stamp?: boolean;
  /** Whether a topic keeps the last message that is sent with `retain:true`; true by default. */
  readonly retain?: boolean;
  /**
   * What happens when a topic's subscriber lags behind by more than `maxWaiting`: `block` (the default) slows its
   * publishers down, `drop-oldest` lets it miss messages, `disconnect` ends its session.
   */
  readonly slowConsumer?: 'block' | 'drop-oldest' | 'disconnect';
  /** Octets that may wait for one subscriber of a topic; 1 MiB by default. */
  readonly maxWaiting?: number;
}

/** The settings of one destination. */
export type Rules = Required<Omit<Policy, 'destination' | 'deadLetter' | 'idleTime'>> & {
  /** Where dead letters go; undefined for the queue that is named after this one, false to drop them. */
  readonly deadLetter: string | false | undefined;
  /** How long a queue is kept that is empty and not used, where somebody has said so. */
  readonly idleTime: number | undefined;
};

/** How long a queue is kept that is empty and not used, where nobody has said how long; in ms. */
export const IDLE_TIME = 60_000;

const DEFAULTS: Rules = {
  maxLength: Number.POSITIVE_INFINITY,
  maxBytes: Number.POSITIVE_INFINITY,
  overflow: 'reject',
  deadLetter: undefined,
  deadLetterExpired: false,
  maxDeliveries: 10,
  redeliveryDelay: 100,
  redeliveryFactor: 2,
  maxRedeliveryDelay: 30_000,
  timeToLive: 0,
  stamp: false,
  idleTime: undefined,
  retain: true,
  slowConsumer: 'block',
  maxWaiting: 1024 * 1024,
};

/**
 * Checks what policies say.
 *
 * @throws Error that names the policy and what is wrong with it
 */
export function checkPolicies(policies: readonly Policy[]): void {
  for (const [index, { deadLetter }] of policies.entries()) {
    const problem = typeof deadLetter === 'string' ? checkDeadLetter(deadLetter) : undefined;
    if (problem !== undefined) throw new Error(`policy ${index + 1}: ${problem}`);
  }
}

function checkDeadLetter(destination: string): string | undefined {
  try {
    const { kind, name } = readDestination(destination);
    if (kind === 'queue' ? !isPattern(name) && !/,\//.test(name) : kind === 'topic' && !isAdvisory(name))
      return undefined;
  } catch (error) {
    if (error instanceof StompError) return error.detail;
    throw error;
  }
  return `dead letters cannot be sent to ${destination}: name one queue or topic, like /queue/dead`;
}

/** The rules of a destination, by the policies that match it. */
export function rulesOf(destination: string, policies: readonly Policy[]): Rules {
  let rules = DEFAULTS;
  for (const { destination: pattern, ...settings } of policies) {
    if (!matches(pattern, destination)) continue;
    const given = Object.entries(settings).filter(([, value]) => value !== undefined);
    rules = { ...rules, ...(Object.fromEntries(given) as Partial<Rules>) };
  }
  return rules;
}

/** How long to wait before a message that was delivered so often, and refused, is delivered again, in ms. */
export function backOff(rules: Rules, count: number): number {
  // The first time at once; after that ever later, or a message that nobody can take would spin.
  if (count <= 1) return 0;
  return Math.min(rules.maxRedeliveryDelay, rules.redeliveryDelay * rules.redeliveryFactor ** (count - 2));
}
