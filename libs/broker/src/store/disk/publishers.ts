import type { Session } from 'nestjs-stomp/server';

/** Publishers that are not read while the disk is behind: what they send would only pile up in memory. */
export class Publishers {
  private readonly held = new Set<Session>();

  hold(publisher: Session): void {
    if (this.held.has(publisher)) return;
    this.held.add(publisher);
    publisher.waitFor(this);
  }

  /** They go on. What they had sent already is taken at once, and may have them held again. */
  release(): void {
    const held = [...this.held];
    this.held.clear();
    for (const publisher of held) publisher.goOn(this);
  }

  /** A publisher is gone. */
  forget(publisher: Session): void {
    this.held.delete(publisher);
  }
}
