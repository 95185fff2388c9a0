import type { Socket } from 'node:net';
import { networkOf } from './address.js';
import { StompError } from './error.js';
import type { Session } from './session.js';

/** How many connections a server takes. */
export interface ConnectionLimits {
  /** At a time; no limit by default. */
  maxConnections?: number;
  /** From one address, or one network of IPv6 addresses (/64); no limit by default. */
  maxPerAddress?: number;
  /**
   * That have not logged in yet. One more, and one of the address (or network) that has the most of them is ended: the
   * one that has kept silent for longest or, where all have spoken and the new one's address has fewer, the newest.
   * Without either, the new one is refused. No limit by default.
   */
  maxPendingLogins?: number;
}

/** A connection that was taken. */
export interface Guest {
  readonly socket: Socket;
  readonly address: string;
  /** What its address counts as; see {@link networkOf}. */
  readonly network: string;
  /** By `performance.now()`. */
  readonly since: number;
  /** None yet while TLS shakes hands. */
  session: Session | undefined;
}

/** Counts the connections of a server: in all, by address, and those that have not logged in. */
export class Entrance {
  private readonly guests = new Set<Guest>();
  private readonly networks = new Map<string, number>();
  /** Those that have not logged in, by network, the oldest first. */
  private readonly pending = new Map<string, Set<Guest>>();
  private pendingCount = 0;

  /** @param turnedAway told of connections that are cut without a word, to make room */
  constructor(
    private readonly limits: ConnectionLimits,
    private readonly turnedAway: (address: string, error: StompError) => void,
  ) {}

  /**
   * Takes a connection; it has left once its socket is closed.
   *
   * @param others connections that are not counted here
   * @throws StompError when it is one too many
   */
  enter(socket: Socket, address: string, others: number): Guest {
    const { maxConnections = Infinity, maxPerAddress = Infinity, maxPendingLogins = Infinity } = this.limits;
    const network = networkOf(address);
    const count = this.networks.get(network) ?? 0;
    if (this.guests.size + others >= maxConnections) throw tooMany(`the server has ${maxConnections} connections`);
    if (count >= maxPerAddress) throw tooMany(`your address has ${maxPerAddress} connections`);
    if (this.pendingCount >= maxPendingLogins) this.makeRoom(network, maxPendingLogins);
    const guest: Guest = { socket, address, network, since: performance.now(), session: undefined };
    this.guests.add(guest);
    const pending = this.pending.get(network);
    if (pending === undefined) this.pending.set(network, new Set([guest]));
    else pending.add(guest);
    this.pendingCount++;
    this.networks.set(network, count + 1);
    socket.once('close', () => this.leave(guest));
    return guest;
  }

  /** Its client has logged in. */
  admitted(guest: Guest): void {
    const pending = this.pending.get(guest.network);
    if (pending?.delete(guest) !== true) return;
    this.pendingCount--;
    if (pending.size === 0) this.pending.delete(guest.network);
  }

  /**
   * Ends a connection of those who have the most: first one that has not said yet who it is, as whoever means to comes
   * to it faster. Whoever has fewer gets in also where all others have spoken and wait for an answer.
   */
  private makeRoom(network: string, limit: number): void {
    const refusal = tooMany(`${limit} connections have not logged in`);
    const all = [...this.pending.values()];
    const most = all.reduce((size, pending) => Math.max(size, pending.size), 0);
    const crowds = all.filter(({ size }) => size === most);
    // Two that have as many could push each other out without end.
    const fewer = (this.pending.get(network)?.size ?? 0) + 1 < most;
    const guest = silentest(crowds) ?? (fewer ? [...crowds[0]!].at(-1) : undefined);
    if (guest === undefined) throw refusal;
    this.admitted(guest);
    if (guest.session === undefined) {
      this.turnedAway(guest.address, refusal);
      guest.socket.destroy();
    } else guest.session.refuse(refusal);
  }

  private leave(guest: Guest): void {
    this.guests.delete(guest);
    this.admitted(guest);
    const left = this.networks.get(guest.network)! - 1;
    if (left > 0) this.networks.set(guest.network, left);
    else this.networks.delete(guest.network);
  }
}

const tooMany = (what: string) => new StompError('too many connections', `${what}, the limit: try again later`);

function silentest(crowds: Iterable<Set<Guest>>): Guest | undefined {
  for (const crowd of crowds) for (const guest of crowd) if (guest.session?.silent !== false) return guest;
  return undefined;
}
