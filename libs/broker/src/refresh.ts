import { type Done, Frame, type Message, type Route, type Session, StompError } from 'nestjs-stomp/server';
import type { Admission } from './broker.js';

/**
 * The way to new credentials on a live connection: a SEND to `/session/refresh` with the headers `login` and
 * `passcode` is admitted as CONNECT was, without the connection or its subscriptions ending. What the session was
 * granted is asked for again; a refusal ends it.
 */
export class Refresh implements Route {
  constructor(private readonly admission: Admission | undefined) {}

  send(message: Message, session: Session, done: Done | undefined): void {
    if (this.admission === undefined) {
      done?.();
      return;
    }
    this.admission.connect(session, new Frame('CONNECT', message.headers)).then(
      () => {
        session.dropGrants();
        done?.();
      },
      (error: Error) => {
        if (done === undefined) session.refuse(error);
        else done(error);
      },
    );
  }

  subscribe(): void {
    throw new StompError('access refused', '/session/refresh is for sending new credentials to');
  }

  unsubscribe(): void {
    // Nobody can be subscribed.
  }
}
