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
  /** That have not logged in yet: one more, and the one that has kept silent for longest is ended. No limit by default. */
  maxPendingLogins?: number;
}

/** A connection that was taken. */
export interface Guest {
  readonly socket: Socket;
  readonly address: string;
  /** By `performance.now()`. */
  readonly since: number;
  /** None yet while TLS shakes hands. */
  session: Session | undefined;
}

/** Counts the connections of a server: in all, by address, and those that have not logged in. */
export class Entrance {
  private readonly guests = new Set<Guest>();
  private readonly networks = new Map<string, number>();
  /** Those that have not logged in, the oldest first. */
  private readonly pending = new Set<Guest>();

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
    if (this.pending.size >= maxPendingLogins) this.makeRoom(maxPendingLogins);
    const guest: Guest = { socket, address, since: performance.now(), session: undefined };
    this.guests.add(guest);
    this.pending.add(guest);
    this.networks.set(network, count + 1);
    socket.once('close', () => this.leave(guest, network));
    return guest;
  }

  /** Its client has logged in. */
  admitted(guest: Guest): void {
    this.pending.delete(guest);
  }

  /** Ends a connection that has not said yet who it is: whoever means to comes to it faster. */
  private makeRoom(most: number): void {
    const refusal = tooMany(`${most} connections have not logged in`);
    for (const guest of this.pending) {
      if (guest.session?.silent === false) continue;
      this.pending.delete(guest);
      if (guest.session === undefined) {
        this.turnedAway(guest.address, refusal);
        guest.socket.destroy();
      } else guest.session.refuse(refusal);
      return;
    }
    throw refusal;
  }

  private leave(guest: Guest, network: string): void {
    this.guests.delete(guest);
    this.pending.delete(guest);
    const left = this.networks.get(network)! - 1;
    if (left > 0) this.networks.set(network, left);
    else this.networks.delete(network);
  }
}

const tooMany = (what: string) => new StompError('too many connections', `${what}, the limit: try again later`);
