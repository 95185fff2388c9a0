import { type Message, type Session, StompError, type Subscription } from 'nestjs-stomp/server';

/** From so many waiting octets on a topic's slow reader slows its publishers down; 1 MiB. */
const SLOW_AT = 1024 * 1024;
/** With so many waiting octets it is cut off, because not every publisher can be slowed down; 64 MiB. */
const CUT_AT = 64 * 1024 * 1024;

/** A topic's subscription, with the messages that it could not take yet. */
export class Reader {
  private waiting: Message[] = [];
  private octets = 0;

  constructor(readonly subscription: Subscription) {
    subscription.onReady = () => this.flush();
  }

  take(message: Message, publisher: Session): void {
    const { subscription } = this;
    if (this.waiting.length === 0 && subscription.ready) {
      subscription.send(message);
      return;
    }
    message.detach();
    this.waiting.push(message);
    this.octets += message.size;
    if (this.octets >= CUT_AT) {
      const detail = `${subscription.destination} brings messages faster than this client takes them: ${CUT_AT} octets wait`;
      this.waiting = [];
      this.octets = 0;
      // Not from here: other readers are still to get this message.
      setImmediate(() => subscription.session.refuse(new StompError('slow consumer', detail)));
    } else if (this.octets >= SLOW_AT && publisher !== subscription.session && !publisher.owes) {
      // A publisher that has acknowledgements of its own to send is read on: somebody may wait for them.
      subscription.slow(publisher);
    }
  }

  private flush(): void {
    let sent = 0;
    while (sent < this.waiting.length && this.subscription.ready) {
      const message = this.waiting[sent++]!;
      this.octets -= message.size;
      this.subscription.send(message);
    }
    if (sent > 0) this.waiting.splice(0, sent);
  }
}
