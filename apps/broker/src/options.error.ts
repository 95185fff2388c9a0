import { escapeText } from 'nestjs-stomp-command';

/**
 * What is wrong with the options, one line a problem, each naming where the value came from. Lines never hold a
 * password. The program prints them on stderr and exits with 2.
 */
export class OptionsError extends Error {
  override readonly name = 'OptionsError';

  readonly lines: readonly string[];

  constructor(lines: readonly string[]) {
    const shown = lines.map(escapeText);
    super(shown.join('\n'));
    this.lines = shown;
  }
}

/**
 * Thrown in place of options when the caller asked for `--help` or `--version`. The program prints `text` on stdout
 * and exits with 0.
 */
export class OptionsAnswer extends Error {
  override readonly name = 'OptionsAnswer';

  constructor(readonly text: string) {
    super('answered without starting');
  }
}
