/*
 * What subscriptions take of memory. It does not count as messages do, nobody's publishers are held up for it: a
 * SUBSCRIBE that would be too much is refused.
 */
import type { FrameHeaders } from '../frame/headers.js';
import { StompError } from './error.js';

/** What all subscriptions of a server may take, as a part of the limit for messages, and at least, in octets. */
const SHARE = 1 / 4;
const LEAST = 16 * 1024 * 1024;
/** What those of one session may take, as a part of that. */
const OF_ONE = 1 / 4;

/** Octets that a subscription takes in any case, each of its headers, and each character of a selector. */
const SUBSCRIPTION = 2_560;
const HEADER = 128;
const SELECTOR = 80;

/** The octets that all subscriptions of a server take. */
export class Upkeep {
  private octets = 0;
  private readonly most: number;

  /** @param memory what messages may take, in octets */
  constructor(memory: number) {
    this.most = Math.max(memory * SHARE, LEAST);
  }

  /**
   * So many more octets are wanted for a session.
   *
   * @param own what the session has
   * @throws StompError when that is too much
   */
  take(own: number, octets: number): void {
    const { most } = this;
    const whose = own + octets > most * OF_ONE ? 'those of a session' : 'all';
    if (whose === 'all' && this.octets + octets <= most) {
      this.octets += octets;
      return;
    }
    const limit = Math.floor(whose === 'all' ? most : most * OF_ONE);
    const others = whose === 'all' ? '' : 'spread them over more connections, ';
    throw new StompError(
      'too many subscriptions',
      `subscriptions take memory, ${whose} may take ${limit} octets here: have fewer of them, or fewer and shorter ` +
        `headers, ${others}or give the server more memory for messages (max-memory)`,
    );
  }

  /** So many octets are not needed any more; if negative, so many more are, whatever the limit is. */
  give(octets: number): void {
    this.octets -= octets;
  }
}

/** The octets that a selector takes. */
export const weighSelector = (text = ''): number => SELECTOR * text.length;

/** The octets that a subscription takes: its headers, which it keeps, and what is made of them. */
export function weigh(headers: FrameHeaders): number {
  let octets = SUBSCRIPTION + weighSelector(headers.get('selector'));
  for (const [name, value] of headers) octets += HEADER + 2 * (name.length + value.length);
  return octets;
}
