import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DiskStore } from 'nestjs-stomp-broker';

jest.setTimeout(120_000);

/** Opens the store whenever it is told to, and says how that went; the lock of a dead process is what kill -9 leaves. */
const opener = `
  import { DiskStore } from 'nestjs-stomp-broker';
  import { createInterface } from 'node:readline';
  let store;
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === 'close') {
      await store?.close();
      store = undefined;
      console.log('closed');
      continue;
    }
    const next = new DiskStore({ directory: line });
    try {
      await next.open();
      store = next;
      console.log('opened');
    } catch (error) {
      console.log(error.message);
    }
  }`;

let directory: string;
const children: ChildProcess[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'lock-'));
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});

function launch(env: NodeJS.ProcessEnv = process.env, before = '') {
  const cwd = new URL('../../../../apps/broker/', import.meta.url);
  const child = spawn(process.execPath, ['--input-type=module', '-e', before + opener], {
    cwd,
    env,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  children.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    child,
    async tell(line: string): Promise<string> {
      child.stdin.write(`${line}\n`);
      return (await lines.next()).value as string;
    },
  };
}

it('exactly one of several processes gets the store that start at once where another one was killed', async () => {
  const openers = [launch(), launch(), launch()];
  for (let round = 0; round < 60; round++) {
    const answers = await Promise.all(openers.map((one) => one.tell(directory)));
    const winners = openers.filter((_, i) => answers[i] === 'opened');
    expect([round, winners.length, answers]).toEqual([round, 1, expect.anything()]);
    const loser = answers.find((answer) => answer !== 'opened');
    expect(loser).toMatch(/in use by process \d+|is being opened/);
    const [winner] = winners;
    if (round % 3 === 0) {
      winner!.child.kill('SIGKILL');
      await once(winner!.child, 'exit');
      openers[openers.indexOf(winner!)] = launch();
    } else expect(await winner!.tell('close')).toBe('closed');
  }
});

it('what the dead have left is taken away by the next that opens the store', async () => {
  for (let round = 0; round < 3; round++) {
    const one = launch();
    expect(await one.tell(directory)).toBe('opened');
    expect(readdirSync(join(directory, 'lock'))).toHaveLength(1);
    one.child.kill('SIGKILL');
    await once(one.child, 'exit');
  }
});

it('a process that is stopped has the store still', async () => {
  const [one, two] = [launch(), launch()];
  expect(await one.tell(directory)).toBe('opened');
  one.child.kill('SIGSTOP');
  expect(await two.tell(directory)).toMatch('is in use by process that does not answer');
});

it('one that ends while it is asked whether it has the store does not have it', async () => {
  mkdirSync(join(directory, 'lock'));
  const leaving = createServer((socket) => {
    socket.destroy();
    leaving.close();
  });
  await once(leaving.listen(join(directory, 'lock', 'p00000000')), 'listening');
  const store = new DiskStore({ directory });
  await store.open();
  await store.close();
});

it('whoever asks and does not hang up again keeps nobody from closing the store', async () => {
  const store = new DiskStore({ directory });
  await store.open();
  const [name = ''] = readdirSync(join(directory, 'lock'));
  // It reads nothing, and closes its end when it sees fit.
  const asking = connect({ path: join(directory, 'lock', name), allowHalfOpen: true });
  await once(asking, 'readable');
  await store.close();
  asking.destroy();
  const next = new DiskStore({ directory });
  await next.open();
  await next.close();
}, 20_000);

describe('where the path of the directory is longer than that of a socket may be', () => {
  /** Two processes that share the directory and nothing else, not even a directory for what is temporary. */
  function launchTwo(before: string) {
    return ['one', 'two'].map((name) => {
      const TMPDIR = join(directory, name);
      mkdirSync(TMPDIR);
      return { ...launch({ ...process.env, TMPDIR }, before), TMPDIR };
    });
  }

  it.each([
    ['this system', ''],
    ['a system without /proc', `Object.defineProperty(process, 'platform', { value: 'freebsd' });`],
  ])('one process at a time has the store, on %s', async (_, before) => {
    const [one, two] = launchTwo(before);
    const long = join(directory, 'a-rather-long-name-of-a-directory/'.repeat(4), 'störe');
    expect(await one!.tell(long)).toBe('opened');
    expect(readdirSync(join(long, 'lock'))).toHaveLength(1);
    expect(await two!.tell(long)).toMatch(`is in use by process ${one!.child.pid}:`);
    expect(await one!.tell('close')).toBe('closed');
    expect(await two!.tell(long)).toBe('opened');
    two!.child.kill('SIGKILL');
    await once(two!.child, 'exit');
    expect(await one!.tell(long)).toBe('opened');
    expect([one!, two!].map(({ TMPDIR }) => readdirSync(TMPDIR))).toEqual([[], []]);
  });

  it('where there is no short way to it the directory is refused, and what would help is named', async () => {
    const TMPDIR = join(directory, 'temporary-'.repeat(10));
    mkdirSync(TMPDIR);
    const one = launch({ ...process.env, TMPDIR }, `Object.defineProperty(process, 'platform', { value: 'freebsd' });`);
    const long = join(directory, 'a-rather-long-name-of-a-directory/'.repeat(4));
    expect(await one.tell(long)).toMatch(/^the path of .* name a directory with a shorter path, .* TMPDIR$/);
    expect(readdirSync(TMPDIR)).toEqual([]);
  });
});
