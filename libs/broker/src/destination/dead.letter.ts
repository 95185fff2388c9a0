import type { Message } from 'nestjs-stomp/server';
import type { Rules } from './policy.js';

/** Headers of a dead letter that tell how it became one. */
const REASON = 'dead-letter-reason';
const FROM = 'dead-letter-origin';
const COUNT = 'dead-letter-deliveries';
/** ActiveMQ's word for where a message was sent to at first. */
export const ORIGIN = 'original-destination';

/** Why a message is not delivered any more; the `dead-letter-reason` of its dead letter. */
export type DeadReason = 'rejected' | 'delivery limit' | 'expired' | 'queue length';

/** The queue that a message was in. */
interface Origin {
  readonly destination: string;
  readonly rules: Rules;
}

/**
 * What becomes of a message that is not to be delivered from a queue any more; undefined where nothing does.
 *
 * @param deliveries how often it was delivered
 */
export function deadLetter(
  { destination: from, rules }: Origin,
  message: Message,
  deliveries: number,
  reason: DeadReason,
): Message | undefined {
  const { deadLetter } = rules;
  const name = from.slice('/queue/'.length);
  // A dead letter that nobody wants is not buried twice.
  if (deadLetter === false || (deadLetter === undefined && name.startsWith('DLQ.'))) return undefined;
  const destination = deadLetter ?? `/queue/DLQ.${name}`;
  if (destination === from) return undefined;
  // Full queues that name each other would pass it round for ever.
  if (reason === 'queue length' && message.headers.get(REASON) === reason) return undefined;
  return message.readdress(destination, {
    [REASON]: reason,
    [FROM]: message.destination,
    [ORIGIN]: message.headers.get(ORIGIN) ?? message.destination,
    [COUNT]: String(deliveries),
    // It has expired, or waited, once.
    expires: undefined,
    expiration: undefined,
  });
}
