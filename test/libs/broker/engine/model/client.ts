import { type Session } from 'nestjs-stomp/server';
import { type RawPeer } from '../../../../support/raw.js';
import { type Headers, type Version } from '../../../../support/wire.js';
import { type Reader, type Sent } from './parts.js';

export interface Transaction {
  readonly id: string;
  readonly parts: (() => void)[];
  readonly bound: Sent[];
}

export interface Subscribed extends Reader {
  /** The moment at which its subscription ended. */
  left: number;
}

/** A client, and what is known of it. */
export class Client {
  readers: Subscribed[] = [];
  /** Ended, with messages that may be acknowledged late. */
  departed: Subscribed[] = [];
  transaction: Transaction | undefined;

  constructor(
    readonly name: string,
    readonly peer: RawPeer,
    /** Its end at the broker, which breaks as a network would break it. */
    readonly session: Session,
    readonly version: Version,
  ) {}

  /** Its subscriptions, ended ones too, that have messages to acknowledge. */
  get owing(): Subscribed[] {
    return [...this.readers, ...this.departed].filter(({ held }) => held.length > 0);
  }

  /** Whether such a command would come to something. */
  canDo(kind: string): boolean {
    switch (kind) {
      case 'ack':
        return this.owing.length > 0;
      case 'nack':
      case 'reject':
        // STOMP 1.0 has no NACK.
        return this.version !== '1.0' && this.owing.length > 0;
      case 'begin':
        return this.transaction === undefined;
      case 'commit':
      case 'abort':
        return this.transaction !== undefined;
      case 'subscribe':
        return this.readers.length < 3;
      case 'unsubscribe':
        return this.readers.length > 0;
      default:
        return true;
    }
  }

  /** The transaction in which something is done, if any. */
  transact(n: number): { inside: Transaction | undefined; also: Headers } {
    const { transaction } = this;
    return transaction === undefined || n % 4 === 0
      ? { inside: undefined, also: {} }
      : { inside: transaction, also: { transaction: transaction.id } };
  }
}
