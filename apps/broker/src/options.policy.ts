import { checkPolicies, type Policy } from 'nestjs-stomp-broker';
import { z } from 'zod';
import { readJson } from './options.kinds.js';

const least = (name: string, most: number, from = 0) => {
  const error = `${name} must be a number from ${from} to ${most}`;
  return z.number({ error }).min(from, { error }).max(most, { error }).optional();
};
const word = <Word extends string>(name: string, words: readonly [Word, ...Word[]]) =>
  z.enum(words, { error: `${name} must be one of ${words.join(', ')}` }).optional();
const yes = (name: string) => z.boolean({ error: `${name} must be true or false` }).optional();
const day = 86_400_000;
const destinationError = 'destination must be a destination or a pattern of them, like /queue/orders.*';

/** The fields of a policy, as a configuration file spells them; what each means stands at {@link Policy}. */
const fields = {
  destination: z.string({ error: destinationError }).startsWith('/', { error: destinationError }),
  'max-length': least('max-length', Number.MAX_SAFE_INTEGER),
  'max-bytes': least('max-bytes', Number.MAX_SAFE_INTEGER),
  overflow: word('overflow', ['reject', 'drop-oldest']),
  'dead-letter': z
    .union([z.literal(false), z.string().startsWith('/')], {
      error: 'dead-letter must be a destination, or false to drop dead letters',
    })
    .optional(),
  'dead-letter-expired': yes('dead-letter-expired'),
  'max-deliveries': least('max-deliveries', 1_000_000),
  'redelivery-delay': least('redelivery-delay', day),
  'redelivery-factor': least('redelivery-factor', 100, 1),
  'max-redelivery-delay': least('max-redelivery-delay', day),
  'time-to-live': least('time-to-live', 3650 * day),
  'idle-time': least('idle-time', 2 ** 31 - 1),
  stamp: yes('stamp'),
  retain: yes('retain'),
  'slow-consumer': word('slow-consumer', ['block', 'drop-oldest', 'disconnect']),
  'max-waiting': least('max-waiting', 2 ** 31 - 1, 1),
};

const camel = (name: string) => name.replace(/-([a-z])/g, (_dash, letter: string) => letter.toUpperCase());

const policy = z
  .strictObject(fields, {
    error: (issue) =>
      issue.code === 'unrecognized_keys'
        ? `has the key ${JSON.stringify(issue.keys[0])}: it is one of ${Object.keys(fields).join(', ')}`
        : 'must be a mapping with a destination and its settings',
  })
  .transform((settings, context) => {
    const policy = Object.fromEntries(
      Object.entries(settings).map(([name, value]) => [camel(name), value]),
    ) as unknown as Policy;
    try {
      checkPolicies([policy]);
    } catch (error) {
      context.addIssue((error as Error).message.replace(/^policy 1: /, ''));
    }
    return policy;
  });

const listError = 'must be a list of policies; on the command line and in the environment as JSON';

/** How destinations are treated, by pattern. */
export const policies = z.preprocess(
  readJson,
  z.array(policy, { error: listError }).max(1_000, { error: 'must be 1000 policies at most' }),
);
