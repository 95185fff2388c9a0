import type { WriteStream } from 'node:tty';

/** How often the line is drawn, in ms. */
const INTERVAL = 200;

/** Shows on a terminal how far it is, in a line that is drawn again and again. */
export class Progress {
  private readonly timer: NodeJS.Timeout;
  private drawn = '';

  /** @param describe what the line says */
  constructor(
    private readonly terminal: Pick<WriteStream, 'write'>,
    private readonly describe: () => string,
  ) {
    this.timer = setInterval(() => this.draw(), INTERVAL);
    this.timer.unref();
  }

  /** Takes the line away. */
  stop(): void {
    clearInterval(this.timer);
    if (this.drawn !== '') this.terminal.write('\r\x1b[K');
  }

  private draw(): void {
    const line = this.describe();
    if (line === this.drawn) return;
    this.drawn = line;
    this.terminal.write(`\r\x1b[K${line}`);
  }
}
