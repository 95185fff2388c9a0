/*
 * What durable subscriptions, and queues that collect from topics, take of memory whether anybody is there or not. It is
 * apart from what subscriptions of the moment take, and nobody may have all of it: so whoever takes too much keeps others
 * neither from subscribing nor from having such of their own.
 */
import { networkOf, type Session, StompError } from 'nestjs-stomp/server';
import { nameOf } from '../destination/owner.js';

/** What all of them may take, as a part of the limit for messages, and at least, in octets. */
const SHARE = 1 / 8;
const LEAST = 16 * 1024 * 1024;
/** What those of one owner may take, as a part of that. */
const OF_ONE = 1 / 2;

/** Whose it is: a user, or the address that somebody without a name comes from; empty where neither is known. */
export type Owner = string;

const USER = 'user ';

export const ownerOf = ({ user, address }: Pick<Session, 'user' | 'address'>): Owner => {
  const name = nameOf(user);
  if (name !== undefined) return USER + name;
  return address === undefined ? '' : networkOf(address);
};

/** The octets that such things take, of all and of each owner. */
export class Lasting {
  private octets = 0;
  private readonly owners = new Map<Owner, number>();
  private readonly most: number;

  /** @param memory what messages may take, in octets */
  constructor(memory: number) {
    this.most = Math.max(memory * SHARE, LEAST);
  }

  /** @throws StompError when the owner may not have that many more octets */
  check(owner: Owner, octets: number): void {
    const { most } = this;
    const own = (this.owners.get(owner) ?? 0) + octets > most * OF_ONE;
    if (!own && this.octets + octets <= most) return;
    const one = owner.startsWith(USER) ? 'of a user' : 'from an address';
    throw new StompError(
      'too many subscriptions',
      'durable subscriptions, and topics that queues collect from, take memory while nobody is there, too: ' +
        `${own ? `those ${one}` : 'all'} may take ${Math.floor(own ? most * OF_ONE : most)} octets here. Delete those that ` +
        'are not needed, make queues that go by themselves (auto-delete, x-expires), have fewer and shorter selectors, or ' +
        'give the server more memory for messages (max-memory)',
    );
  }

  /**
   * So many more octets are taken, whatever the limit is; fewer, if negative.
   *
   * @param owner undefined where it is nobody's, and does not count
   */
  add(owner: Owner | undefined, octets: number): void {
    if (owner === undefined) return;
    this.octets += octets;
    const own = (this.owners.get(owner) ?? 0) + octets;
    if (own === 0) this.owners.delete(owner);
    else this.owners.set(owner, own);
  }
}
