/** What the program does besides serving clients: `stompserver NAME`. */
export interface Subcommand {
  /** What for, in the words of `--help`. */
  readonly text: string;
  /** Runs it, to its exit code. Only now its code is loaded. */
  run(argv: readonly string[]): Promise<void>;
}

export const subcommands: ReadonlyMap<string, Subcommand> = new Map([
  [
    'cert',
    {
      text: 'Make certificates to try TLS with',
      run: async (argv) => (await import('./cert/command.js')).run(argv),
    },
  ],
  [
    'store',
    {
      text: 'Check, dump or compact the directory of a store',
      run: async (argv) => (await import('./store/command.js')).run(argv),
    },
  ],
]);
