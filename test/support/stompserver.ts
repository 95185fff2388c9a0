import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Program } from './program.js';
import { startIn } from './programs.js';
import { RawPeer } from './raw.js';
import { handshake, watch } from './server.js';
import { type Headers } from './wire.js';

/** The files of one test file, in a folder that `remove` takes away. */
export class Files {
  readonly folder = mkdtempSync(join(tmpdir(), 'stompserver-'));
  #count = 0;

  /** A file of this text; its name is new each time. */
  make(text: string | Buffer): string {
    const path = join(this.folder, `file-${this.#count++}`);
    writeFileSync(path, text);
    return path;
  }

  /** Puts another text in place of a file's as editors do: a new file that takes over the name. */
  replace(path: string, text: string): void {
    renameSync(this.make(text), path);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The broker as a program of one test, on a free port of loopback. */
export const serve = (...options: string[]) => serveIn({}, ...options);

/** The same, with variables in its environment. */
export async function serveIn(env: NodeJS.ProcessEnv, ...options: string[]) {
  const program = startIn(env, 'stompserver', '--host', '127.0.0.1', '--port', '0', '--verbose', '1', ...options);
  const [, port = ''] = await program.line(/^listening \S+:(\d+)$/);
  const open = async () => watch(await RawPeer.connect(Number(port)));
  return {
    program,
    port: Number(port),
    open,
    connect: async (headers: Headers = {}) => {
      const peer = await open();
      await handshake(peer, '1.2', headers);
      return peer;
    },
    /** Why a CONNECT with these headers is refused. */
    refusal: async (headers: Headers = {}) => {
      const peer = await open();
      peer.send('CONNECT', { 'accept-version': '1.2', host: 'h', ...headers });
      const error = await peer.refused();
      peer.end();
      return error.text.trim();
    },
  };
}

/** Waits until the program has read its files again so many times, counting from its start. */
export const reloads = (program: Program, times: number) =>
  program.until(`${times} reloads`, () => program.stderr.split('were read again').length > times);

export const as = (login: string, passcode: string) => ({ login, passcode });
