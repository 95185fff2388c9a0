import type { Done } from 'nestjs-stomp/server';

/** What tells `done` when it was called so often, with the first error of all. */
export function onceAll(calls: number, done: Done): Done {
  let left = calls;
  let failed: Error | undefined;
  return (error) => {
    failed ??= error;
    if (--left === 0) done(failed);
  };
}
