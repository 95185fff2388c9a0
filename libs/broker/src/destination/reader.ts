import { type Done, type Message, type Session, StompError, type Subscription } from 'nestjs-stomp/server';
import { type ConsumerTerms, readTerms } from './dialect.js';
import type { Rules } from './policy.js';
import { takes } from './selector.js';

/** Somebody who gets every message of a topic. */
export interface TopicReader {
  /** Whether it asks a selector about each message, which may take long. */
  readonly selects: boolean;
  /** Whether it writes messages down: all that do get each in one turn. */
  readonly keeps: boolean;
  /** Whether a message is for it. Never throws. */
  wants(message: Message, publisher: Session | undefined): boolean;
  /**
   * Takes a message that is for it.
   *
   * @param publisher undefined for messages of the broker's own
   * @param done told when the message is as safe with the reader as was promised; undefined when nobody asks
   */
  take(message: Message, publisher: Session | undefined, done: Done | undefined): void;
}

/** Hands a message to a reader, if it is for it. */
export function offer(
  reader: TopicReader,
  message: Message,
  publisher: Session | undefined,
  done: Done | undefined,
): void {
  if (reader.wants(message, publisher)) reader.take(message, publisher, done);
  else done?.();
}

/** With so many times what may wait a slow reader is cut off, because not every publisher can be slowed down. */
const CUT_AT = 64;

/** A message that could not be taken yet. */
interface Waiting {
  readonly message: Message;
  /** A moment in ms since 1970; 0 for never. */
  readonly expires: number;
}

/** A topic's subscription, with the messages that it could not take yet. */
export class Reader implements TopicReader {
  private waiting: Waiting[] = [];
  private octets = 0;
  private slow = false;
  private closed = false;
  readonly keeps = false;
  readonly selects: boolean;
  /** Whether it may refuse a message. */
  private readonly picky: boolean;

  /** @param onSlow told when the reader begins to lag behind */
  constructor(
    readonly subscription: Subscription,
    private readonly terms: ConsumerTerms,
    private readonly rules: Rules,
    private readonly onSlow: (subscription: Subscription) => void,
  ) {
    this.selects = terms.selector !== undefined;
    this.picky = this.selects || terms.noLocal;
    subscription.onReady = () => this.flush();
  }

  wants(message: Message, publisher: Session | undefined): boolean {
    return !this.closed && (!this.picky || this.suits(message, publisher));
  }

  private suits(message: Message, publisher: Session | undefined): boolean {
    const { selector, noLocal } = this.terms;
    if (noLocal && publisher === this.subscription.session) return false;
    return selector === undefined || takes(selector, message, 0);
  }

  take(message: Message, publisher: Session | undefined, done: Done | undefined): void {
    this.hand(message, publisher);
    done?.();
  }

  private hand(message: Message, publisher: Session | undefined): void {
    const { subscription } = this;
    if (this.waiting.length === 0 && subscription.ready) {
      subscription.send(message);
      return;
    }
    message.detach();
    subscription.lag?.keep(message);
    this.waiting.push({ message, expires: message.special ? readTerms(message).expires : 0 });
    this.octets += message.size;
    if (this.waiting.length > this.terms.maxPending) {
      this.tell();
      this.drop(this.waiting.length - this.terms.maxPending);
    }
    if (this.octets >= this.rules.maxWaiting) this.lag(publisher);
  }

  private tell(): void {
    if (this.slow) return;
    this.slow = true;
    this.onSlow(this.subscription);
  }

  /** It misses so many messages, the oldest ones. */
  private drop(count: number): void {
    for (const { message } of this.waiting.splice(0, count)) this.leave(message);
  }

  /** A message waits no longer. */
  private leave(message: Message): void {
    this.octets -= message.size;
    this.subscription.lag?.drop(message);
  }

  /** Nobody reads any more. */
  close(): void {
    this.closed = true;
    this.drop(this.waiting.length);
  }

  /** The reader is slower than its publishers. */
  private lag(publisher: Session | undefined): void {
    const { subscription } = this;
    this.tell();
    const { slowConsumer, maxWaiting } = this.rules;
    const most = slowConsumer === 'disconnect' ? maxWaiting : CUT_AT * maxWaiting;
    if (slowConsumer === 'drop-oldest') {
      let count = 0;
      let octets = this.octets;
      while (octets >= maxWaiting && count < this.waiting.length - 1) octets -= this.waiting[count++]!.message.size;
      this.drop(count);
    } else if (this.octets >= most) {
      const detail = `${subscription.destination} brings messages faster than this client takes them: ${most} octets wait, the limit`;
      this.close();
      // Not from here: other readers are still to get this message.
      setImmediate(() => subscription.session.refuse(new StompError('slow consumer', detail)));
    } else if (publisher !== undefined && publisher !== subscription.session && !publisher.owes) {
      // A publisher that has acknowledgements of its own to send is read on: somebody may wait for them.
      subscription.slow(publisher);
    }
  }

  private flush(): void {
    let sent = 0;
    while (sent < this.waiting.length && this.subscription.ready) {
      const { message, expires } = this.waiting[sent++]!;
      this.leave(message);
      if (expires === 0 || expires > Date.now()) this.subscription.send(message);
    }
    if (sent > 0) {
      this.waiting.splice(0, sent);
      const { lag } = this.subscription;
      if (lag !== undefined) lag.moved = true;
    }
    if (this.octets < this.rules.maxWaiting / 2 && this.waiting.length <= this.terms.maxPending / 2) this.slow = false;
  }
}
