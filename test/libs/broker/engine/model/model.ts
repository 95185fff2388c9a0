/*
 * What a broker may do, as simply as it can be said: a message waits in a place, is held by a subscription, or is gone.
 * A queue is a place, so is a durable subscription, and so is what one subscription to a topic has still to get. The
 * model does not choose who gets a message; it says of each delivery whether it was allowed, and of each step whether
 * something was left undone.
 */
import {
  type Answer,
  type Arrival,
  before,
  type Burial,
  deadOf,
  type Feed,
  hasCredit,
  type Place,
  type Post,
  type Reader,
  selects,
  type Sent,
} from './parts.js';

/** Deliveries before which a message that is refused becomes a dead letter. */
export const MAX_DELIVERIES = 3;
/** The wait before a message that was refused twice is delivered again, in ms. */
export const BACK_OFF = 2_000;
/** What has expired becomes a dead letter within that many ms. */
const SWEEP = 1_000;

export class Model {
  readonly readers = new Set<Reader>();
  readonly feeds = new Map<Place, Feed>();
  readonly retained = new Map<string, Post>();
  private readonly places = new Map<string, Place>();
  private scheduled: { readonly due: number; readonly post: Post; publisher: object | undefined }[] = [];
  private orders = 0;
  /** How many messages became available in the running step: with one at most, the order of deliveries is known. */
  private arrivals = 0;
  private deliveries: { readonly reader: Reader; readonly sent: Sent }[] = [];
  /** Of the running step: groups that changed hands, and readers that got credit. */
  private readonly moved = new Set<string>();
  private readonly freed = new Set<Reader>();
  private readonly unclear = new Set<string>();

  /** @param now the clock */
  constructor(
    private readonly now: () => number,
    /** Whether expired messages of that place become dead letters. */
    private readonly keepsExpired: (place: Place) => boolean,
  ) {}

  place(name: string, kind: Place['kind'] = 'queue', dead = deadOf(name)): Place {
    let place = this.places.get(name);
    if (place === undefined) {
      place = { name, kind, dead, sent: new Map(), owners: new Map(), over: false };
      this.places.set(name, place);
    }
    return place;
  }

  get all(): Sent[] {
    return [...this.places.values()].flatMap(({ sent }) => [...sent.values()]);
  }

  /** A message comes, at that moment, to everything that its destination names. */
  send(post: Post, publisher: object | undefined, moment = this.now()): void {
    for (const destination of post.destination.split(',')) {
      const one = { ...post, destination };
      if (destination.startsWith('/queue/')) this.put(this.place(destination), one);
      else this.publish(one, publisher, moment);
    }
  }

  /** It is to be sent in that many ms. */
  schedule(post: Post, delay: number, publisher: object): void {
    this.scheduled.push({ due: this.now() + delay, post, publisher });
  }

  /** A publisher has gone: nothing that comes later is its own to anybody. */
  forgetPublisher(publisher: object): void {
    for (const one of this.scheduled) if (one.publisher === publisher) one.publisher = undefined;
  }

  /** The subscription to a topic gets what is retained before all else. */
  listen(feed: Feed): void {
    this.feeds.set(feed.place, feed);
    for (const [topic, post] of this.retained) {
      if (post.expires > this.now() && feed.accepts(topic, post, undefined)) this.put(feed.place, post);
    }
  }

  /** A subscription is over, and what waits for it is gone. */
  remove(place: Place): void {
    this.feeds.delete(place);
    place.over = true;
    for (const sent of place.sent.values()) if (sent.state !== 'held') sent.state = 'gone';
    // What has expired there may not have been found yet.
    for (const { burial, state, place: dead, name } of this.all) {
      if (burial?.from === place && burial.reason === 'expired' && state === 'later')
        dead.sent.get(name)!.due = Infinity;
    }
  }

  end(reader: Reader): void {
    this.readers.delete(reader);
    if (reader.place?.kind === 'topic') this.remove(reader.place);
    for (const { name, owners } of this.places.values()) {
      for (const [group, owner] of owners) {
        if (owner !== reader) continue;
        owners.delete(group);
        // What others had to leave comes to them behind what it gave back.
        this.moved.add(`${name} ${group}`);
      }
    }
  }

  /** What has come to the clients in one step, in the order of each. */
  arrived(queues: Arrival[][], since: number): void {
    let expired = false;
    this.findUnclear(queues);
    for (;;) {
      const heads = queues.flatMap((queue, at) => (queue.length === 0 ? [] : [{ at, ...queue[0]! }]));
      const found = heads.flatMap((head) => {
        const sent = this.find(head);
        return sent === undefined ? [] : [{ ...head, sent }];
      });
      if (found.length === 0 && !expired) {
        // It may be the dead letter of something that expired meanwhile; but not of what was delivered before.
        this.expire(new Set(queues.flat().map((arrival) => this.find(arrival))));
        this.findUnclear(queues);
        expired = true;
        continue;
      }
      if (heads.length === 0) return;
      if (found.length === 0) {
        const { reader, frame } = heads[0]!;
        const from = reader.place?.name ?? frame.header('destination');
        throw new Error(`${frame.header('name')} came to ${reader.id} and was never sent to ${from}`);
      }
      const free = found.filter(({ sent, reader }) => this.admits(sent, reader));
      const first = (free.length === 0 ? found : free).reduce((one, other) =>
        before(other.sent, one.sent) ? other : one,
      );
      queues[first.at]!.shift();
      this.deliver(first.sent, first, since);
    }
  }

  /** What an acknowledgement of that one answers for. */
  answered(reader: Reader, at: number): Sent[] {
    const named = reader.ack === 'client' ? reader.held.slice(0, at + 1) : [reader.held[at]!];
    return named.map(({ sent }) => sent).filter((sent) => sent.bound === undefined || sent.holder !== reader);
  }

  settle(reader: Reader, sent: Sent, { kind, delay }: Answer): void {
    this.freed.add(reader);
    reader.held = reader.held.filter((one) => one.sent !== sent);
    if (sent.holder !== reader) {
      // It came late: unless somebody else has it by now, it counts all the same.
      if (kind === 'ack' && sent.state !== 'held') sent.state = 'gone';
      return;
    }
    sent.bound = undefined;
    const { failures } = sent;
    if (kind === 'ack' || sent.place.kind === 'topic') this.forget(sent);
    else if (kind === 'reject') this.bury(sent, 'rejected', sent.count + 1);
    else this.fail(sent, delay ?? (failures === 0 ? 0 : BACK_OFF * 2 ** (failures - 1)));
  }

  /**
   * A subscription gives back what it holds; what a transaction binds stays until that is over.
   *
   * @param broken whether its connection has broken, which counts towards the limit
   */
  giveBack(reader: Reader, broken = false): void {
    reader.abandoned = true;
    for (const { sent } of reader.held) {
      if (sent.holder !== reader || sent.bound !== undefined) continue;
      if (broken) this.fail(sent, 0);
      else this.putBack(sent, 0);
    }
  }

  /** The transaction in which it was answered was aborted. */
  release(sent: Sent): void {
    sent.bound = undefined;
    if (sent.holder?.abandoned === true) this.putBack(sent, 0);
  }

  /** The clock was set forward: what was to come by now is there. */
  advance(): void {
    const now = this.now();
    const due = this.scheduled.filter((one) => one.due <= now).sort((one, other) => one.due - other.due);
    this.scheduled = this.scheduled.filter((one) => one.due > now);
    for (const one of due) this.send(one.post, one.publisher, one.due);
    for (const sent of this.all) {
      if (sent.state !== 'later' || sent.due > now) continue;
      sent.state = 'waiting';
      this.arrivals++;
    }
  }

  /** Everybody is gone, and of the messages those are left that were to be kept. */
  restart(): void {
    for (const reader of [...this.readers]) this.end(reader);
    this.scheduled = this.scheduled.filter(({ post }) => post.persistent);
    for (const [topic, { persistent }] of this.retained) if (!persistent) this.retained.delete(topic);
    for (const sent of this.all) {
      sent.bound = undefined;
      sent.exact = false;
      if (!sent.persistent) sent.state = 'gone';
      else if (sent.state === 'held') this.putBack(sent, 0);
      // Its delay may have ended with the process.
      else if (sent.state === 'later') sent.early = true;
    }
  }

  /** A step is over, and all its deliveries have been seen. */
  check(): void {
    const { all } = this;
    for (const sent of all) if (sent.state === 'waiting') this.checkWaiting(sent);
    for (const { reader, sent } of this.deliveries) this.checkPriority(reader, sent);
    if (this.arrivals <= 1) {
      for (const reader of this.readers) {
        const got = this.deliveries.filter((one) => one.reader === reader).map(({ sent }) => sent);
        for (const [at, sent] of got.entries()) {
          const later = got.slice(0, at).find((one) => before(sent, one));
          if (later !== undefined && !this.hasMoved(sent))
            throw new Error(`${reader.id} got ${later.name} before ${sent.name}`);
        }
      }
    }
    this.arrivals = 0;
    this.deliveries = [];
    this.moved.clear();
    this.freed.clear();
    this.unclear.clear();
  }

  private checkWaiting(sent: Sent): void {
    for (const reader of this.readers) {
      if (!this.suits(sent, reader)) continue;
      if (hasCredit(reader))
        throw new Error(`${sent.name} waits in ${sent.place.name}, and ${reader.id} could take it`);
      // Whoever was handed one was handed the first.
      const later = this.deliveries.find((one) => one.reader === reader && before(sent, one.sent));
      if (later !== undefined && this.arrivals <= 1 && !this.hasMoved(sent))
        throw new Error(`${reader.id} got ${later.sent.name} before ${sent.name}`);
    }
  }

  private checkPriority(reader: Reader, sent: Sent): void {
    if (sent.group !== undefined) return;
    for (const other of this.readers) {
      if (other.priority > reader.priority && !this.freed.has(other) && this.suits(sent, other) && hasCredit(other))
        throw new Error(`${sent.name} went to ${reader.id}, and ${other.id} comes first`);
    }
  }

  private publish(post: Post, publisher: object | undefined, moment: number): void {
    if (post.expires <= moment) return;
    const topic = post.destination;
    if (post.retain) {
      this.retained.delete(topic);
      if (!post.empty) this.retained.set(topic, post);
    }
    for (const feed of this.feeds.values()) {
      const { place, as } = feed;
      if (!feed.accepts(topic, post, publisher)) continue;
      this.put(place, as === undefined ? post : { ...post, destination: as, origin: topic });
    }
  }

  private put(place: Place, post: Post, burial?: Burial, due = 0): void {
    const group = place.kind === 'topic' ? undefined : post.group;
    const priority = place.kind === 'topic' ? 0 : post.priority;
    const fresh = { order: this.orders++, count: 0, failures: 0, holder: undefined, bound: undefined } as const;
    const exact = burial === undefined || burial.deliveries !== undefined;
    // Nobody knows when exactly what expires is found.
    const timing =
      due === 0 ? ({ state: 'waiting', early: false } as const) : ({ state: 'later', early: true } as const);
    const order = due === 0 ? fresh.order : NaN;
    place.sent.set(post.name, { ...post, group, priority, place, ...fresh, ...timing, order, due, exact, burial });
    if (due === 0) this.arrivals++;
  }

  /** Where a group ends between others of its messages, nobody knows who got it after that. */
  private findUnclear(queues: Arrival[][]): void {
    const coming = queues.flat().flatMap((arrival) => this.find(arrival) ?? []);
    for (const { place, group, closes } of coming) {
      if (group === undefined || !closes) continue;
      if (coming.filter((one) => one.place === place && one.group === group).length < 2) continue;
      this.unclear.add(`${place.name} ${group}`);
      place.owners.set(group, undefined);
    }
  }

  private find({ reader, frame }: Arrival): Sent | undefined {
    const place = reader.place ?? this.place(frame.header('destination')!);
    return place.sent.get(frame.header('name')!);
  }

  /** What waits in vain by now is not delivered any more. */
  private expire(but: ReadonlySet<Sent | undefined>): void {
    const now = this.now();
    for (const sent of this.all) {
      if (sent.state !== 'waiting' || sent.expires > now || but.has(sent)) continue;
      if (this.keepsExpired(sent.place)) this.bury(sent, 'expired', sent.count, now + SWEEP);
      else sent.state = 'gone';
    }
  }

  private deliver(sent: Sent, { reader, frame }: Arrival, since: number): void {
    const wrong = (what: string) => new Error(`${sent.name} of ${sent.place.name} came to ${reader.id}: ${what}`);
    const { burial, group } = sent;
    if (!reader.takes(sent.place)) throw wrong('it has not subscribed to that');
    if (sent.state !== 'waiting' && !(sent.state === 'later' && sent.early)) throw wrong(`it is ${sent.state}`);
    if (sent.expires <= since) throw wrong('it has expired');
    if (!selects(sent, reader)) throw wrong('its selector does not take it');
    if (!hasCredit(reader)) throw wrong('it has no credit');
    if (!this.admits(sent, reader)) throw wrong(`group ${group} is of ${sent.place.owners.get(group!)?.id}`);
    const sole = this.sole(sent.place);
    if (sole !== undefined && sole !== reader) throw wrong(`${sole.id} has the queue for itself`);
    if (frame.text !== (sent.empty ? '' : sent.name)) throw wrong(`its body is ${frame.text}`);
    if (frame.header('destination') !== sent.destination) throw wrong(`it says ${frame.header('destination')}`);
    if (!sent.exact) sent.count = Math.max(Math.min(1, sent.count), Number(frame.header('delivery-count') ?? 0));
    sent.exact = true;
    if (frame.header('redelivered') !== String(sent.count > 0)) throw wrong('redelivered is wrong');
    if ((frame.header('delivery-count') ?? '0') !== String(sent.count)) throw wrong('delivery-count is wrong');
    const told = frame.header('dead-letter-deliveries');
    for (const [header, value] of [
      ['dead-letter-reason', burial?.reason],
      ['dead-letter-origin', burial?.origin],
      ['original-destination', sent.origin],
      ['dead-letter-deliveries', burial === undefined ? undefined : String(burial.deliveries ?? told)],
    ] as const) {
      if (frame.header(header) !== value) throw wrong(`${header} is ${frame.header(header)}, not ${value}`);
    }
    this.deliveries.push({ reader, sent });
    // When it came before it was delivered, nobody knows.
    if (sent.state === 'later') this.arrivals += 2;
    if (group !== undefined) {
      if (this.unclear.has(`${sent.place.name} ${group}`)) sent.place.owners.set(group, undefined);
      else if (sent.closes) sent.place.owners.delete(group);
      else sent.place.owners.set(group, reader);
      this.moved.add(`${sent.place.name} ${group}`);
    }
    if (reader.ack === 'auto') sent.state = 'gone';
    else {
      sent.state = 'held';
      sent.holder = reader;
      reader.held.push({ sent, frame });
    }
  }

  private forget(sent: Sent): void {
    sent.state = 'gone';
    sent.holder = undefined;
  }

  /** It counts as a delivery that failed. */
  private fail(sent: Sent, delay: number): void {
    if (sent.place.kind === 'topic') return;
    if (++sent.failures >= MAX_DELIVERIES) this.bury(sent, 'delivery limit', sent.count + 1);
    else this.putBack(sent, delay);
  }

  private putBack(sent: Sent, delay: number): void {
    // To a topic nothing comes back.
    if (sent.place.kind === 'topic') return;
    this.forget(sent);
    if (sent.place.over) return;
    sent.count++;
    sent.due = this.now() + delay;
    sent.early = false;
    sent.state = delay === 0 ? 'waiting' : 'later';
    if (delay === 0) this.arrivals++;
  }

  private bury(sent: Sent, reason: string, deliveries: number, due?: number): void {
    this.forget(sent);
    const { dead } = sent.place;
    if (dead === undefined) return;
    const origin = sent.origin ?? sent.destination;
    const letter = { ...sent, destination: dead, origin, expires: Infinity };
    this.put(
      this.place(dead),
      letter,
      { reason, deliveries: sent.exact ? deliveries : undefined, origin: sent.destination, from: sent.place },
      due,
    );
  }

  private admits({ group, place }: Sent, reader: Reader): boolean {
    const owner = group === undefined ? undefined : place.owners.get(group);
    return owner === undefined || owner === reader;
  }

  /** The one that has a place for itself. */
  private sole(place: Place): Reader | undefined {
    let sole: Reader | undefined;
    for (const reader of this.readers) {
      if (reader.exclusive && reader.takes(place) && !(sole !== undefined && sole.priority >= reader.priority))
        sole = reader;
    }
    return sole;
  }

  private suits(sent: Sent, reader: Reader): boolean {
    if (!reader.takes(sent.place) || !selects(sent, reader) || !this.admits(sent, reader)) return false;
    const { owners } = sent.place;
    if (sent.group !== undefined && owners.has(sent.group) && owners.get(sent.group) === undefined) return false;
    const sole = this.sole(sent.place);
    return sole === undefined || sole === reader;
  }

  private hasMoved({ place, group }: Sent): boolean {
    return group !== undefined && this.moved.has(`${place.name} ${group}`);
  }
}
