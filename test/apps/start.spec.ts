import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Program } from '../support/program.js';

/** Most of a start is opening files: some 900 of them, where Nest and its libraries are not made one file. */
const MOST_FILES = 30;

describe('a start', () => {
  let coverage: string;
  let programs: Program[];

  beforeEach(() => {
    coverage = mkdtempSync(join(tmpdir(), 'start-'));
    programs = [];
  });

  afterEach(async () => {
    await Promise.all(programs.map((program) => program.stop()));
    rmSync(coverage, { recursive: true, force: true });
  });

  function start(env: NodeJS.ProcessEnv, ...command: Parameters<typeof Program.start>): Program {
    const program = Program.startIn(env, ...command);
    programs.push(program);
    return program;
  }

  async function serve(env: NodeJS.ProcessEnv): Promise<[broker: Program, port: string]> {
    const broker = start(env, 'stompserver', '--port', '0');
    const [, port = ''] = await broker.line(/^listening stomp:.*:(\d+)/);
    return [broker, port];
  }

  /** The files of which V8 ran any code in a process that has ended. */
  function filesRun(): string[] {
    const runs = readdirSync(coverage).map((file) => JSON.parse(readFileSync(join(coverage, file), 'utf8')) as Run);
    return runs.flatMap(({ result }) => result.map(({ url }) => url)).filter((url) => url.startsWith('file:'));
  }

  it('of stompserver loads a few files', async () => {
    const [broker] = await serve({ NODE_V8_COVERAGE: coverage });
    await broker.stop();
    const files = filesRun();
    expect(files).toContainEqual(expect.stringMatching(/bin\/stompserver\.js$/));
    expect(files.length).toBeLessThanOrEqual(MOST_FILES);
  });

  it('of stomper loads a few files until its line is confirmed', async () => {
    const [, port] = await serve({});
    const stomper = start({ NODE_V8_COVERAGE: coverage }, 'stomper', '--topic', '/queue/start', '--port', port);
    stomper.stdin.end('a line\n');
    expect(await stomper.exited).toEqual({ code: 0, signal: null });
    const files = filesRun();
    expect(files).toContainEqual(expect.stringMatching(/bin\/stomper\.js$/));
    expect(files.length).toBeLessThanOrEqual(MOST_FILES);
  });

  it('of printer loads a few files until its message is printed', async () => {
    const [, port] = await serve({});
    const options = ['--topic', '/queue/start', '--port', port];
    const printer = start({ NODE_V8_COVERAGE: coverage }, 'printer', ...options, '--count', '1');
    start({}, 'stomper', ...options).stdin.end('a line\n');
    expect(await printer.exited).toEqual({ code: 0, signal: null });
    const files = filesRun();
    expect(files).toContainEqual(expect.stringMatching(/bin\/printer\.js$/));
    expect(files.length).toBeLessThanOrEqual(MOST_FILES);
  });
});

interface Run {
  result: { url: string }[];
}
