/* What the model is made of: messages, the places where they wait, and who reads them. */
import { type RawFrame } from '../../../../support/wire.js';

/** What a publisher says. */
export interface Post {
  /** By which it is recognised: copies in several places have the same. */
  readonly name: string;
  readonly destination: string;
  readonly empty: boolean;
  readonly priority: number;
  readonly x: number;
  /** The moment at which it expires. */
  readonly expires: number;
  readonly group: string | undefined;
  /** The group ends with it. */
  readonly closes: boolean;
  /** Where it was sent to, if it comes under another name. */
  readonly origin?: string | undefined;
  readonly persistent: boolean;
  readonly retain: boolean;
}

export interface Place {
  readonly name: string;
  readonly kind: 'queue' | 'durable' | 'topic';
  /** The queue of its dead letters. */
  readonly dead: string | undefined;
  readonly sent: Map<string, Sent>;
  /** Who gets the messages of a group; undefined where that is not known. */
  readonly owners: Map<string, Reader | undefined>;
  /** Deleted: what comes back to it is gone. */
  over: boolean;
}

/** Why a message became a dead letter, and after how many deliveries. */
export interface Burial {
  readonly reason: string;
  /** Undefined where nobody knows for sure. */
  readonly deliveries: number | undefined;
  readonly origin: string;
  readonly from: Place;
}

/** A message in one place. */
export interface Sent extends Post {
  readonly place: Place;
  /** Where it stands among those of its priority; NaN where nobody knows. */
  order: number;
  state: 'waiting' | 'later' | 'held' | 'gone';
  /** Of one that is to come later: when at the latest; Infinity where it may not come at all. */
  due: number;
  /** And that it may come before. */
  early: boolean;
  holder: Reader | undefined;
  /** How often it was handed out and came back. */
  count: number;
  /** How often because it was refused, or its consumer broke. */
  failures: number;
  /** Whether that is what is known of it: of a restart it is only that there were any. */
  exact: boolean;
  /** The open transaction in which it was acknowledged. */
  bound: object | undefined;
  readonly burial: Burial | undefined;
}

export interface Reader {
  readonly id: string;
  takes(place: Place): boolean;
  readonly ack: 'auto' | 'client' | 'client-individual';
  readonly prefetch: number;
  /** It takes messages whose header `x` is greater. */
  readonly above: number | undefined;
  readonly exclusive: boolean;
  /** Of consumers with credit, those of a higher one come first. */
  readonly priority: number;
  /** Its own place, where it is no consumer of queues. */
  readonly place: Place | undefined;
  /** Unanswered, in the order of delivery, with the frames by which they are named. */
  held: { readonly sent: Sent; readonly frame: RawFrame }[];
  /** Its subscription ended so long ago that nobody is expected to answer any more. */
  abandoned: boolean;
}

/** Something that every message of some topics comes to. */
export interface Feed {
  readonly place: Place;
  accepts(topic: string, post: Post, publisher: object | undefined): boolean;
  /** The destination that it gets there; that of the topic if undefined. */
  readonly as?: string;
}

export interface Arrival {
  readonly reader: Reader;
  readonly frame: RawFrame;
}

export interface Answer {
  readonly kind: 'ack' | 'nack' | 'reject';
  /** What a NACK asks for, in ms; undefined for the back-off. */
  readonly delay?: number | undefined;
}

export const deadOf = (name: string) =>
  name.startsWith('/queue/DLQ.') ? undefined : name.replace('/queue/', '/queue/DLQ.');

export const hasCredit = ({ ack, held, prefetch }: Reader) => ack === 'auto' || held.length < prefetch;

export const selects = ({ x }: Post, { above }: Reader) => above === undefined || x > above;

export const before = (one: Sent, other: Sent) =>
  one.place === other.place &&
  (one.priority === other.priority ? one.order < other.order : one.priority > other.priority);
