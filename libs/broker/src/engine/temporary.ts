import { randomUUID } from 'node:crypto';
import { type Session, StompError } from 'nestjs-stomp/server';

/** How the names of queues and topics begin that die with a session: no client can say it, and no pattern stands for it. */
export const TEMPORARY = '\0temporary\0';
/** The most temporary destinations of a session, and characters of their names. */
const MOST = 10_000;
const MOST_CHARACTERS = 1024 * 1024;

/** What one session calls them. */
interface Names {
  readonly byLocal: Map<string, string>;
  characters: number;
}

/** What sessions call their temporary destinations, and what they are called here: names that cannot be guessed. */
export class Temporary {
  private readonly sessions = new Map<Session, Names>();

  /** @throws StompError when it is one too many */
  name(session: Session, local: string): string {
    let names = this.sessions.get(session);
    if (names === undefined) this.sessions.set(session, (names = { byLocal: new Map(), characters: 0 }));
    const { byLocal } = names;
    let name = byLocal.get(local);
    if (name !== undefined) return name;
    if (byLocal.size >= MOST) {
      throw new StompError(
        'too many destinations',
        `a session has at most ${MOST} temporary destinations, as long as it lasts: use one for many answers, told apart ` +
          'by their correlation-id',
      );
    }
    if (names.characters + local.length > MOST_CHARACTERS) {
      throw new StompError(
        'too many destinations',
        `the temporary destinations of a session have at most ${MOST_CHARACTERS} characters in their names together`,
      );
    }
    names.characters += local.length;
    byLocal.set(local, (name = randomUUID()));
    return name;
  }

  /** A session is over; returns the names that it had. */
  release(session: Session): Iterable<string> {
    const names = this.sessions.get(session);
    this.sessions.delete(session);
    return names?.byLocal.values() ?? [];
  }
}
