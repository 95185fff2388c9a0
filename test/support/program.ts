import { spawn, type ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { type Socket } from 'node:net';
import { type Readable, type Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

const bins = {
  stompserver: 'apps/broker/bin/stompserver.js',
  stomper: 'apps/stomper/bin/stomper.js',
  printer: 'apps/printer/bin/printer.js',
  service: 'test/support/service.mjs',
  echo: 'examples/echo.mjs',
  herd: 'reliability/herd.mjs',
  logins: 'reliability/logins.mjs',
};

/** How long a program may take to say what it is waited for, and to go when it is asked to. */
const PATIENCE = 30_000;

/**
 * Loaded into the program before its own code: it goes when its descriptor 3 closes, that is, when the process that
 * started it is gone, in whatever way.
 */
const leash =
  "import{Socket}from'node:net';new Socket({fd:3,readable:true}).on('close',()=>process.kill(process.pid,'SIGKILL')).resume().unref()";

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A program of this repository as a process of its own. */
export class Program {
  readonly stdout: string[] = [];
  readonly exited: Promise<Exit>;
  #stderr = '';
  #exit: Exit | undefined;
  readonly #changed = new EventEmitter().setMaxListeners(0);

  private constructor(private readonly child: ChildProcess) {
    createInterface({ input: child.stdout as Readable }).on('line', (line) => {
      this.stdout.push(line);
      this.#changed.emit('change');
    });
    (child.stderr as Readable).setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
      this.#changed.emit('change');
    });
    child.stdin?.on('error', () => undefined); // It may be gone before it has read everything.
    this.exited = new Promise((resolve) =>
      child.once('close', (code, signal) => {
        this.#exit = { code, signal };
        this.#changed.emit('change');
        resolve(this.#exit);
      }),
    );
  }

  static start(name: keyof typeof bins, ...options: string[]): Program {
    return Program.#run([bins[name], ...options]);
  }

  /** The same, by a command that runs another one. */
  static startBy(command: readonly string[], name: keyof typeof bins, ...options: string[]): Program {
    return Program.#run([bins[name], ...options], {}, command);
  }

  /**
   * What `npm run NAME` runs once its packages are built.
   *
   * @param env in addition to the environment of the tests
   * @param more options, as after `--`
   */
  static script(name: string, env: NodeJS.ProcessEnv = {}, ...more: string[]): Program {
    const { scripts } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as { scripts: Record<string, string> };
    const [command, ...options] = scripts[name]?.split(' ') ?? [];
    if (command !== 'node') throw new Error(`the script ${name} of package.json runs no program of Node`);
    return Program.#run([...options, ...more], env);
  }

  /** @param env in addition to the environment of the tests */
  static startIn(env: NodeJS.ProcessEnv, name: keyof typeof bins, ...options: string[]): Program {
    return Program.#run([bins[name], ...options], env);
  }

  static #run(options: readonly string[], env: NodeJS.ProcessEnv = {}, by: readonly string[] = []): Program {
    const preload = `data:text/javascript,${encodeURIComponent(leash)}`;
    const [file = '', ...words] = [...by, process.execPath, '--import', preload, ...options];
    const child = spawn(file, words, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    });
    (child.stdio[3] as unknown as Socket).on('error', () => undefined);
    return new Program(child);
  }

  get stdin(): Writable {
    return this.child.stdin as Writable;
  }

  get stderr(): string {
    return this.#stderr;
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  /** The first line of stdout that matches, already written or yet to come. */
  line(pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const fail = (why: string) =>
        done(() =>
          reject(new Error(`${why} before a line like ${String(pattern)}\n${this.stdout.join('\n')}\n${this.stderr}`)),
        );
      const done = (settle: () => void) => {
        clearTimeout(timer);
        this.#changed.off('change', check);
        settle();
      };
      const check = () => {
        const found = this.stdout.map((line) => pattern.exec(line)).find((match) => match !== null);
        if (found) done(() => resolve(found));
        else if (this.#exit) fail(`the program ended (${this.#exit.code ?? this.#exit.signal})`);
      };
      const timer = setTimeout(() => fail(`${PATIENCE} ms went by`), PATIENCE);
      this.#changed.on('change', check);
      check();
    });
  }

  /** Waits until this holds; it is looked at whenever the program writes something, or ends. */
  until(what: string, holds: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (settle: () => void) => {
        clearTimeout(timer);
        this.#changed.off('change', check);
        settle();
      };
      const check = () => {
        if (holds()) done(resolve);
        else if (this.#exit) done(() => reject(new Error(`the program ended before ${what}\n${this.stderr}`)));
      };
      const late = `not within ${PATIENCE} ms: ${what}`;
      const timer = setTimeout(() => done(() => reject(new Error(`${late}\n${this.stderr}`))), PATIENCE);
      this.#changed.on('change', check);
      check();
    });
  }

  /** Waits until stderr matches. */
  says(pattern: RegExp): Promise<void> {
    return this.until(`stderr is like ${String(pattern)}`, () => pattern.test(this.#stderr));
  }

  /** Reads its stdout no further, until `resume`. */
  pause(): void {
    this.child.stdout?.pause();
  }

  resume(): void {
    this.child.stdout?.resume();
  }

  /** Closes its stdout from this side, as `head` does when it has seen enough. */
  closeStdout(): void {
    this.child.stdout?.destroy();
  }

  /** The most memory that it has used so far, in MiB. */
  get peakMemory(): number {
    const status = readFileSync(`/proc/${this.child.pid}/status`, 'utf8');
    return Number(/^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1]) / 1024;
  }

  /** The memory that it uses at the moment, in MiB. */
  get memory(): number {
    const status = readFileSync(`/proc/${this.child.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1]) / 1024;
  }

  /** How many files and sockets it has open. */
  get handles(): number {
    return readdirSync(`/proc/${this.child.pid}/fd`).length;
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }

  /** Asks it to go and waits; what will not go is killed, which the exit tells. */
  async stop(): Promise<Exit> {
    const timer = setTimeout(() => this.child.kill('SIGKILL'), PATIENCE);
    this.child.kill('SIGTERM');
    const exit = await this.exited;
    clearTimeout(timer);
    return exit;
  }
}
