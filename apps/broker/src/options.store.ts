import { z } from 'zod';
import { optionHelp } from './options.kinds.js';

/** Where messages are kept. */
export const storeFields = {
  store: z
    .enum(['memory', 'disk'], { error: 'must be memory or disk' })
    .optional()
    .register(optionHelp, {
      group: 'Store',
      takes: '<where>',
      text:
        'Where messages are kept. memory: in the process, gone when it ends; disk: in --data-dir, where those with ' +
        'persistent:true, their acknowledgements and durable subscriptions survive; docs/store.md says more',
      fallback: 'memory; disk when there is a --data-dir',
      example: '--store memory',
    }),
  dataDir: z
    .string({ error: 'must be the name of a directory' })
    .min(1, { error: 'must be the name of a directory' })
    .optional()
    .register(optionHelp, {
      group: 'Store',
      takes: '<directory>',
      text: 'Directory of the store, made if need be; it belongs to one process at a time',
      fallback: 'none',
      example: '--data-dir /var/lib/stompserver',
    }),
  sync: z
    .enum(['always', 'interval', 'never'], { error: 'must be always, interval or never' })
    .default('always')
    .register(optionHelp, {
      group: 'Store',
      takes: '<mode>',
      text:
        'When what was written is made safe from power loss; a killed process loses nothing in any mode. always: before ' +
        'it is confirmed; interval: ten times a second, so power loss takes the last moments; never: when the system does so',
      example: '--sync interval',
    }),
};

type StoreFields = z.output<z.ZodObject<typeof storeFields>>;

/** What options of the store need of each other. */
export function requireDataDir({ store, dataDir }: StoreFields, context: z.RefinementCtx): void {
  if (store === 'disk' && dataDir === undefined) {
    context.addIssue({ code: 'custom', path: ['store'], message: 'needs --data-dir too, the directory of the store' });
  } else if (store === 'memory' && dataDir !== undefined) {
    context.addIssue({
      code: 'custom',
      path: ['dataDir'],
      message: 'has no effect with --store memory: leave one out',
    });
  }
}
