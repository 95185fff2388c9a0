import { quote } from '../frame/error.js';
import { Frame } from '../frame/frame.js';
import type { Route } from './broker.js';
import { StompError } from './error.js';
import { serialOf } from './message.js';
import type { Farewell, Whereabouts } from './pending.js';
import type { Session } from './session.js';
import { type AckMode, Subscription } from './subscription.js';
import { type Upkeep, weigh } from './upkeep.js';

/** How long what a subscription left unacknowledged waits for a late ACK after its UNSUBSCRIBE, in ms. */
const LATE_ACK = 1_000;

const ACK_MODES: readonly AckMode[] = ['auto', 'client', 'client-individual'];

/** How many ended subscriptions are remembered for acknowledgements that come later still. */
const MAX_LATE = 100;

/** The subscriptions of one session. */
export class Subscriptions {
  /** By id; those without one (1.0) have a key that no id can be. */
  readonly byId = new Map<string, Subscription>();
  /** By the first number of their `ack` headers; those that ended stay for a while, for late acknowledgements. */
  readonly bySerial = new Map<number, Subscription>();
  // What few sessions ever need is made when it is needed.
  private departed: Map<Subscription, NodeJS.Timeout> | undefined;
  private late: Subscription[] | undefined;
  // Made in the client's name, by destination.
  private implicit: Map<string, Subscription> | undefined;
  // Their keys by destination, once one was ended by that, as 1.0 allows.
  private keys: Map<string, Set<string>> | undefined;
  // Once a message was named without its subscription, as 1.0 and 1.1 allow.
  private whereabouts: Whereabouts | undefined;
  private serials = 0;
  /** Octets that they take. */
  private octets = 0;

  /** @param upkeep what those of all sessions take; undefined where nobody counts memory */
  constructor(
    readonly session: Session,
    private readonly most: number,
    private readonly maxUnacknowledged: number,
    private readonly upkeep: Upkeep | undefined,
  ) {}

  /**
   * The subscription that a SUBSCRIBE frame asks for; `add` puts it in place.
   *
   * @throws StompError for an id that is in use, an acknowledgement mode that is none, or one too many, of their number
   *   or of the memory that they take
   */
  create(frame: Frame, route: Route): Subscription {
    const { session } = this;
    const { headers } = frame;
    const id = headers.get('id');
    if (id !== undefined && this.byId.has(id)) {
      throw new StompError('subscription exists', `the subscription id ${quote(id)} is in use in this session`);
    }
    if (this.byId.size >= this.most) {
      throw new StompError('too many subscriptions', `a session has at most ${this.most} subscriptions here`);
    }
    const ack = readAckMode(headers.get('ack'));
    const serial = this.serials++;
    const destination = headers.get('destination')!;
    const subscription = new Subscription(
      session,
      serial,
      id,
      destination,
      ack,
      headers,
      route,
      this.maxUnacknowledged,
    );
    this.occupy(subscription, weigh(headers));
    return subscription;
  }

  /**
   * So many more octets are needed for a subscription; fewer, if negative.
   *
   * @throws StompError when that would be too much
   */
  occupy(subscription: Subscription, octets: number): void {
    if (octets > 0) this.upkeep?.take(this.octets, octets);
    else this.upkeep?.give(-octets);
    this.octets += octets;
    subscription.weight += octets;
  }

  add(subscription: Subscription): void {
    const key = subscription.id ?? `\0${subscription.serial}`;
    this.byId.set(key, subscription);
    if (this.keys !== undefined) note(this.keys, key, subscription);
    this.bySerial.set(subscription.serial, subscription);
    if (this.whereabouts !== undefined) subscription.pending.tell(this.whereabouts);
  }

  /** Those in which a message of that id may wait; however many there are, few are looked at. */
  holding(messageId: string): Iterable<Subscription> {
    if (this.whereabouts === undefined) {
      this.whereabouts = new Map();
      for (const { pending } of this.bySerial.values()) pending.tell(this.whereabouts);
    }
    return this.whereabouts.get(serialOf(messageId)) ?? [];
  }

  /**
   * Subscribes in the client's name to a destination that it has not subscribed to: its id is the destination, and it
   * ends when the client subscribes for itself.
   *
   * @throws StompError as `create` does
   */
  attach(destination: string, route: Route): void {
    if (this.implicit?.has(destination) === true) return;
    const subscription = this.create(new Frame('SUBSCRIBE', { id: destination, destination }), route);
    (this.implicit ??= new Map()).set(destination, subscription);
    this.add(subscription);
    route.subscribe(subscription, () => subscription.start());
  }

  /** The client subscribes to that destination for itself. */
  supersede(destination: string): void {
    const subscription = this.implicit?.get(destination);
    if (subscription !== undefined) this.leave(destination, subscription);
  }

  /**
   * Ends what an UNSUBSCRIBE frame names, and tells what that was.
   *
   * @throws StompError when it names nothing at all
   */
  remove(frame: Frame): Subscription[] {
    const id = frame.headers.get('id');
    const destination = frame.headers.get('destination');
    if (id === undefined && this.session.version !== '1.0') {
      throw new StompError('missing header', 'an UNSUBSCRIBE frame needs the header id');
    }
    const named = id === undefined ? undefined : this.byId.get(id);
    if (named !== undefined) this.leave(id!, named);
    if (id !== undefined) return named === undefined ? [] : [named];
    return this.to(destination).map((key) => {
      const subscription = this.byId.get(key)!;
      this.leave(key, subscription);
      return subscription;
    });
  }

  /** The keys of those to a destination; however many there are, few are looked at. */
  private to(destination: string | undefined): string[] {
    if (destination === undefined) return [];
    if (this.keys === undefined) {
      this.keys = new Map();
      for (const [key, subscription] of this.byId) note(this.keys, key, subscription);
    }
    return [...(this.keys.get(destination) ?? [])];
  }

  /** Whether a message waits for its acknowledgement. */
  get owes(): boolean {
    for (const { pending } of this.bySerial.values()) if (pending.size > 0) return true;
    return false;
  }

  /** The session is over: nothing goes out any more. */
  stopAll(): void {
    for (const subscription of this.byId.values()) subscription.stop();
  }

  /**
   * After `stopAll`: everything ends, and what was not acknowledged goes back.
   *
   * @param farewell of the session; what was unsubscribed before was given back by that
   */
  end(farewell: Farewell): void {
    const all = [...this.bySerial.values()];
    for (const timer of this.departed?.values() ?? []) clearTimeout(timer);
    const current = new Set(this.byId.values());
    this.byId.clear();
    this.keys = undefined;
    this.bySerial.clear();
    this.departed = undefined;
    // Before others take over what was theirs: so that it goes first.
    for (const subscription of all) subscription.giveBack(current.has(subscription) ? farewell : 'return');
    for (const subscription of current) {
      this.session.guard(() => subscription.route.unsubscribe(subscription));
    }
    for (const subscription of all) subscription.close();
    // At last: what ends gives back, and takes, until here.
    this.upkeep?.give(this.octets);
    this.octets = 0;
  }

  private leave(key: string, subscription: Subscription): void {
    this.byId.delete(key);
    const keys = this.keys?.get(subscription.destination);
    if (keys?.delete(key) === true && keys.size === 0) this.keys!.delete(subscription.destination);
    this.implicit?.delete(key);
    this.stop(subscription);
    if (subscription.pending.size === 0) this.forget(subscription);
    else
      (this.departed ??= new Map()).set(
        subscription,
        setTimeout(() => this.returnLate(subscription), LATE_ACK),
      );
  }

  private stop(subscription: Subscription): void {
    subscription.stop();
    subscription.route.unsubscribe(subscription);
  }

  /** Nobody came back to it in time. An acknowledgement may still come, and counts if nobody else has it by then. */
  private returnLate(subscription: Subscription): void {
    this.departed?.delete(subscription);
    subscription.giveBack('return');
    const late = (this.late ??= []);
    subscription.linger(() => {
      late.splice(late.indexOf(subscription), 1);
      this.forget(subscription);
    });
    late.push(subscription);
    if (late.length > MAX_LATE) this.forget(late.shift()!);
  }

  private forget(subscription: Subscription): void {
    this.bySerial.delete(subscription.serial);
    subscription.pending.hush();
    subscription.close();
    this.occupy(subscription, -subscription.weight);
  }
}

function note(keys: Map<string, Set<string>>, key: string, { destination }: Subscription): void {
  const known = keys.get(destination);
  if (known === undefined) keys.set(destination, new Set([key]));
  else known.add(key);
}

/** 1.0 has no client-individual, but clients of ActiveMQ and RabbitMQ ask for it there, too. */
function readAckMode(value = 'auto'): AckMode {
  const mode = ACK_MODES.find((each) => each === value);
  if (mode !== undefined) return mode;
  throw new StompError(
    'unknown ack mode',
    `the ack mode ${quote(value)} is none of auto, client and client-individual`,
  );
}
