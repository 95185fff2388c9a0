import { once } from 'node:events';

/** Standard output, for many lines: no more of them are made than whoever reads them takes. */
export class Output {
  /** Nobody reads any more, as behind `head`: no reason to fail. */
  closed = false;

  constructor() {
    process.stdout.on('error', () => (this.closed = true));
  }

  async line(text: string): Promise<void> {
    if (this.closed || process.stdout.write(`${text}\n`)) return;
    // An error ends the waiting, too.
    await once(process.stdout, 'drain').catch(() => (this.closed = true));
  }
}
