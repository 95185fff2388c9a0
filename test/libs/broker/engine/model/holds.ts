import { afterEach, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { type Engine, type Policy } from 'nestjs-stomp-broker';
import { DEADLINE } from '../../../../support/raw.js';
import { type Command, commandsOf, type Mix, MIXES, SCENARIOS } from './commands.js';
import { POLICIES } from './places.js';
import { Run } from './run.js';

/**
 * How long commands are run at least, in ms, and from which seed; a failure tells that and a path, by which it is found again:
 * `FUZZ_MS=60000 FUZZ_SEED=1 FUZZ_PATH=0:1 npm test -- engine/model`.
 */
const MILLISECONDS = Number(process.env.FUZZ_MS ?? 0);
// The same each time unless one is given, so that a build does not depend on chance.
const SEED = Number(process.env.FUZZ_SEED ?? 1);
const PATH = process.env.FUZZ_PATH;
/** The longest list of commands, and how many are run at least: always the same ones, however fast the machine is. */
const LONGEST = 200;
const LEAST = 4_000;
/** How long a failure is made smaller, and how long a step may take, in ms. */
const SHRINKING = 20_000;
const STUCK = 3 * DEADLINE;
/** When the tests' clock begins. */
const NOW = Date.UTC(2030, 0);

// As they are before time is faked.
const { setTimeout, clearTimeout } = globalThis;

/** What is tested. */
export interface Subject {
  readonly engine: Engine;
  /**
   * An engine on what the first one has kept; without this there are no restarts. What must have survived: durable
   * subscriptions, and the messages with `persistent:true` that were receipted: those that waited, were scheduled or
   * retained; deliveries that nobody acknowledged come back as redelivered. All others must be gone.
   *
   * @param stop ends the old sessions and then the old engine. Called by whoever wants a proper end; a crash takes what
   *   is there before, and calls it after that
   */
  restart?(stop: () => Promise<void>): Promise<Engine>;
  /** Called when all is over, after the engine was stopped: removes what it leaves. */
  end?(): Promise<void>;
}

type Make = (policies: readonly Policy[]) => Subject | Promise<Subject>;

/** @param make the engine, on a store of its own */
export function holds(name: string, make: Make): void {
  afterEach(() => void jest.useRealTimers());

  it(`${name}: what clients rarely do comes out right`, async () => {
    for (const { mix, list } of SCENARIOS) {
      try {
        await play(
          list,
          MIXES.find((one) => one.name === mix)!,
          make,
        );
      } catch (error) {
        throw new Error(`${(error as Failure).message}\n${(error as Failure).log.join('\n')}`, { cause: error });
      }
    }
  }, 180_000);

  it(
    `${name}: nothing is lost, doubled or out of order, whatever clients do`,
    async () => {
      const until = performance.now() + MILLISECONDS;
      let commands = 0;
      for (let run = 0; performance.now() < until || commands < LEAST; run++) {
        commands += await check(SEED + run, make);
        if (PATH !== undefined) return;
      }
      expect(commands).toBeGreaterThanOrEqual(LEAST);
    },
    MILLISECONDS + 180_000,
  );
}

/** A failure, with what was said before it. */
class Failure extends Error {
  constructor(
    readonly log: readonly string[],
    override readonly cause: unknown,
  ) {
    super((cause as Error).message);
  }
}

/** @throws Failure when something is wrong with what comes of the commands */
async function play(list: readonly Command[], mix: Mix, make: Make): Promise<void> {
  jest.useFakeTimers({
    now: NOW,
    doNotFake: ['performance', 'setImmediate', 'clearImmediate', 'nextTick', 'queueMicrotask'],
  });
  const subject = await make(POLICIES);
  const run = await Run.start(subject, mix);
  try {
    for (const each of list) await inTime(run.do(each));
    await inTime(run.drain());
  } catch (error) {
    throw new Failure(run.log, error);
  } finally {
    await run.close();
    await subject.end?.();
    jest.useRealTimers();
  }
}

/**
 * Plays commands at random, and makes them fewer when they fail.
 *
 * @returns how many
 */
async function check(seed: number, make: Make): Promise<number> {
  const mix = MIXES[seed % MIXES.length]!;
  let commands = 0;
  let failure: Failure | undefined;
  let shrinkUntil = Infinity;
  const property = fc.asyncProperty(commandsOf(mix, LONGEST), async (list) => {
    // Found again by its path, one list is enough.
    if (performance.now() > shrinkUntil || (PATH !== undefined && commands > 0)) return;
    commands += list.length;
    try {
      await play(list, mix, make);
    } catch (error) {
      failure = error as Failure;
      shrinkUntil = Math.min(shrinkUntil, performance.now() + SHRINKING);
      throw error;
    }
  });
  const options = {
    seed,
    numRuns: 1,
    unbiased: true,
    ...(PATH === undefined ? {} : { path: PATH, endOnFailure: true }),
  };
  const { failed, counterexamplePath, counterexample } = await fc.check(property, options);
  if (!failed || failure === undefined) return commands;
  const kinds = counterexample![0].map(({ kind }) => kind).join(' ');
  const again = `FUZZ_SEED=${seed} FUZZ_PATH=${counterexamplePath} (${mix.name}: ${kinds})`;
  throw new Error(`${failure.message}\n${again}\n${failure.log.join('\n')}`, { cause: failure });
}

/** A step that hangs is a failure with a seed, too. */
async function inTime(step: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing happens for ${STUCK} ms`)), STUCK);
  });
  try {
    await Promise.race([step, late]);
  } finally {
    clearTimeout(timer);
  }
}
