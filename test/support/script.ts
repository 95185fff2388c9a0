import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { createInterface } from 'node:readline';

/** How long a script may take to see what it is waited for: other languages start slowly on a busy machine. */
const PATIENCE = 15_000;

/** Whether a command ends well. */
export function works(command: string, ...options: string[]): boolean {
  try {
    execFileSync(command, options, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** A script of any language that prints what it sees, a JSON object a line. */
export class Script {
  readonly seen: unknown[] = [];
  #stderr = '';
  #end: string | undefined;
  readonly #child: ChildProcess;
  readonly #changed = new EventEmitter();

  constructor(command: string, options: string[]) {
    this.#child = spawn(command, options, { stdio: ['ignore', 'pipe', 'pipe'] });
    createInterface({ input: this.#child.stdout! }).on('line', (line) => {
      this.seen.push(JSON.parse(line) as unknown);
      this.#changed.emit('change');
    });
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text));
    this.#child.once('close', (code, signal) => {
      this.#end = String(code ?? signal);
      this.#changed.emit('change');
    });
  }

  /** Waits until it has seen so much. */
  until(count: number): Promise<unknown> {
    return this.#wait(`${count} observations`, () => this.seen.length >= count);
  }

  /** Waits for its end, which has to be a good one, and tells what it has seen. */
  async done(): Promise<unknown[]> {
    await this.#wait('its end', () => this.#end === '0');
    return this.seen;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  #wait(what: string, holds: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (why?: string) => {
        clearTimeout(timer);
        this.#changed.off('change', check);
        if (why === undefined) resolve();
        else reject(new Error(`${why} before ${what}; it saw ${JSON.stringify(this.seen)}\n${this.#stderr}`));
      };
      const check = () => {
        if (holds()) done();
        else if (this.#end !== undefined) done(`the script ended (${this.#end})`);
      };
      const timer = setTimeout(() => done(`${PATIENCE} ms went by`), PATIENCE);
      this.#changed.on('change', check);
      check();
    });
  }
}
