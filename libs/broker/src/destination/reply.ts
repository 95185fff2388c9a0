import type { Message, Session } from 'nestjs-stomp/server';

const TEMP = '/temp-queue/';

/** The name, inside its virtual host, of a session's temporary queue. Session ids cannot be guessed. */
export function replyName(session: Session, name: string): string {
  return `${session.id}/${name}`;
}

/**
 * A publisher names its own temporary queue in `reply-to`; whoever answers reads there a destination that leads to
 * it from every session.
 */
export function addressReply(message: Message, session: Session): void {
  const replyTo = message.replyTo;
  if (replyTo?.startsWith(TEMP) === true) {
    message.setHeader('reply-to', `/reply-queue/${replyName(session, replyTo.slice(TEMP.length))}`);
  }
}
