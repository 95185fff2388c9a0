import { afterAll, it } from '@jest/globals';
import { appendFileSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';
import { type RawPeer } from '../support/raw.js';
import { type Version } from '../support/wire.js';

/**
 * The rules of STOMP, one `it` per rule and version, each title beginning with the rule's number in the list of rules
 * that this suite is made from. The function's name is the specification's word:
 *
 *   must, should, may   as the specification says
 *   rule                stated by the specification, or by its grammar, without such a word
 *   choice              not described: what our server chose
 *
 * Against our own server a rule that does not hold fails. Against a foreign one (STOMP_URL) it is reported: every
 * test runs, a table at the end of each file says what was observed, and STOMP_REPORT=FILE collects the rows, parted
 * by tabs. A failure of the tests' own doing, such as a server that cannot be reached, fails in both modes.
 */
export const foreign = process.env.STOMP_URL === undefined ? undefined : new URL(process.env.STOMP_URL);

export const ALL: readonly Version[] = ['1.0', '1.1', '1.2'];
export const SINCE_1_1: readonly Version[] = ['1.1', '1.2'];
export const ONLY_1_0: readonly Version[] = ['1.0'];
export const ONLY_1_1: readonly Version[] = ['1.1'];
export const ONLY_1_2: readonly Version[] = ['1.2'];

type Word = 'MUST' | 'SHOULD' | 'MAY' | 'rule' | 'choice';
type Rule = (numbers: string, versions: readonly Version[], text: string, test: Test) => void;
type Test = (version: Version) => Promise<void>;

/** What a rule demands cannot be seen on a foreign server, as it takes options that only ours is known to have. */
class Unobserved extends Error {}

const table: string[][] = [];
const peers: RawPeer[] = [];

/** Hands a connection to the running test, which closes it and shows its octets when it fails. */
export function watch(peer: RawPeer): RawPeer {
  peers.push(peer);
  return peer;
}

/** Ends the running test, without a verdict, when the server is a foreign one. */
export function ownServerOnly(why: string): void {
  if (foreign) throw new Unobserved(why);
}

const defining =
  (word: Word): Rule =>
  (numbers, versions, text, test) => {
    for (const version of versions) {
      const title = `${numbers} [${version}] ${text}`;
      it(word === 'choice' ? `${title} (our choice)` : title, async () => {
        const [outcome, observed, failure] = await run(test, version);
        table.push([numbers, version, word, outcome, text, observed]);
        if (failure && !foreign) throw failure;
      });
    }
  };

export const must = defining('MUST');
export const should = defining('SHOULD');
export const may = defining('MAY');
export const rule = defining('rule');
export const choice = defining('choice');

async function run(test: Test, version: Version): Promise<[outcome: string, observed: string, failure?: Error]> {
  try {
    await test(version);
    return ['holds', ''];
  } catch (error) {
    if (error instanceof Unobserved) return ['not observed', error.message];
    return ['deviates', summary(error), withTranscripts(error)];
  } finally {
    for (const peer of peers.splice(0)) peer.destroy();
  }
}

function messageOf(error: unknown): string {
  return stripVTControlCharacters((error as Error).message);
}

function summary(error: unknown): string {
  const line = messageOf(error)
    .replace(/^expect\(.*?\)\.\S+(?: \/\/ \S+ equality)?/, '')
    .replace(/\s+/g, ' ')
    .trim();
  return line.length > 200 ? `${line.slice(0, 200)}...` : line;
}

function withTranscripts(error: unknown): Error {
  const exchanges = peers.map((peer, index) => `connection ${index + 1}\n${peer.transcript()}`);
  const failure = new Error([(error as Error).message, ...exchanges].join('\n\n'));
  const stack = (error as Error).stack?.split('\n').filter((line) => /^\s+at .*\.spec\.ts/.test(line)) ?? [];
  failure.stack = [failure.message, ...stack].join('\n');
  return failure;
}

if (foreign) {
  afterAll(() => {
    const count = (outcome: string) => table.filter((row) => row[3] === outcome).length;
    const rows = table.map(([numbers, version, word, outcome, text, observed]) =>
      [
        `${numbers} [${version}]`.padEnd(20),
        word?.padEnd(7),
        outcome?.padEnd(13),
        text,
        observed && `=> ${observed}`,
      ].join(' '),
    );
    const total = `${count('holds')} hold, ${count('deviates')} deviate, ${count('not observed')} not observed`;
    process.stdout.write(`\n${foreign.host}: ${total}\n${rows.join('\n')}\n`);
    const file = process.env.STOMP_REPORT;
    if (file) appendFileSync(file, table.map((row) => `${row.join('\t')}\n`).join(''));
  });
}
