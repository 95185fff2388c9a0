import type { Done, Message, Session, Subscription } from 'nestjs-stomp/server';
import { Queue } from './queue.js';

const TEMP = '/temp-queue/';
/** The longest name of a temporary queue, in characters; a session's id stands before it. */
const MAX_LENGTH = 900;

/** The name, inside its virtual host, of a session's temporary queue. Session ids cannot be guessed. */
export function replyName(session: Session, name: string): string {
  return `${session.id}/${name}`;
}

/** The publisher's own temporary queue that a message names in `reply-to`, if it does. */
export function readReplyTo(message: Message): string | undefined {
  const { replyTo } = message;
  if (replyTo?.startsWith(TEMP) !== true) return undefined;
  const name = replyTo.slice(TEMP.length);
  return name === '' || name.length > MAX_LENGTH ? undefined : name;
}

/**
 * A session's own queue. Who asks for a reply need not subscribe to it: as with RabbitMQ, what comes is handed to a
 * subscription that has the name of the queue for its id, until the client makes one itself, as with ActiveMQ.
 */
export class ReplyQueue extends Queue {
  private implicit: Subscription | undefined;

  /** Sees to it that what comes is handed out. */
  open(session: Session, destination: string): void {
    if (!this.consumed) this.implicit = session.attach(destination, this);
  }

  override subscribe(subscription: Subscription, done: Done): void {
    const { implicit } = this;
    this.implicit = undefined;
    if (implicit !== undefined) subscription.session.detach(implicit);
    super.subscribe(subscription, done);
  }

  override unsubscribe(subscription: Subscription): void {
    if (this.implicit === subscription) this.implicit = undefined;
    super.unsubscribe(subscription);
  }
}
