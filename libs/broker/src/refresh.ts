import { type Done, Frame, type Message, type Route, type Session, StompError } from 'nestjs-stomp/server';
import type { Admission } from './broker.js';
import { nameOf } from './destination/owner.js';

/**
 * The way to new credentials on a live connection: a SEND to `/session/refresh` with the headers `login` and
 * `passcode` is admitted as CONNECT was, without the connection or its subscriptions ending. What the session was
 * granted, and what it is subscribed to, is asked for again; a refusal ends it. Until that is decided, nothing more is
 * read from the client, as with CONNECT.
 */
export class Refresh implements Route {
  readonly takesCredentials = true;

  /** @param renewed what there is to do once a session has shown new credentials */
  constructor(
    private readonly admission: Admission | undefined,
    private readonly renewed: (session: Session) => Promise<void>,
  ) {}

  send(message: Message, session: Session, done: Done | undefined): void {
    const { admission } = this;
    if (admission === undefined) {
      done?.();
      return;
    }
    const before = nameOf(session.user);
    session.waitFor(this);
    const admitted = admission.connect(session, new Frame('CONNECT', message.headers));
    admitted
      .then(() => this.renewed(session))
      .then(
        () => {
          if (session.connected && nameOf(session.user) !== before) admission.changed?.(session);
          done?.();
        },
        (error: Error) => {
          if (done === undefined) session.refuse(error);
          else done(error);
        },
      )
      .finally(() => session.goOn(this));
  }

  /** The client that is not read meanwhile has gone. */
  forget(): void {
    // What was begun for it comes to its end.
  }

  subscribe(): never {
    throw new StompError('access refused', '/session/refresh is for sending new credentials to');
  }

  unsubscribe(): void {
    // Nobody can be subscribed.
  }
}
