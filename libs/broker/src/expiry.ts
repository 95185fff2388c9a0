import type { Session } from 'nestjs-stomp/server';

/** How often it is looked at the clock, in ms: it may have been set. */
const LOOK = 60_000;

/** Ends sessions when what their clients have shown expires. */
export class Expiries {
  private readonly timers = new Map<Session, NodeJS.Timeout>();

  /**
   * @param moment in ms since 1970; undefined for never. It takes the place of the one before.
   * @param end what to do then
   */
  watch(session: Session, moment: number | undefined, end: () => void): void {
    this.forget(session);
    if (moment === undefined) return;
    const left = moment - Date.now();
    const look = () => (Date.now() < moment ? this.watch(session, moment, end) : end());
    const timer = setTimeout(look, Math.min(Math.max(left, 0), LOOK));
    timer.unref();
    this.timers.set(session, timer);
  }

  forget(session: Session): void {
    clearTimeout(this.timers.get(session));
    this.timers.delete(session);
  }
}
