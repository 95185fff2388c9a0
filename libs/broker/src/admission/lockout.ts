import { networkOf } from 'nestjs-stomp/server';

/** When failed logins slow down and then shut out who guesses passwords. Times are in milliseconds. */
export interface LockoutOptions {
  /** So many failed logins of one user block that user; five times as many from one address block that; 0: never. */
  readonly failures: number;
  /** How long a block lasts, and after how long without another one failures are forgotten. */
  readonly time: number;
}

/** So many more failures may come from an address than of a user: there may be many clients behind it. */
const ADDRESS_FACTOR = 5;
/** The first failures are taken for slips. From then on each further one doubles the wait. */
const FREE = 2;
const FIRST_WAIT = 250;
/** Shorter than a client waits for its CONNECTED. */
const LONGEST_WAIT = 4_000;
/** The most users and the most addresses that are remembered; the one that failed longest ago is forgotten first. */
const MOST = 10_000;
/** A login may be as long as a header; of a longer one so much is kept. */
const MAX_LOGIN = 256;

/** Counts failed logins, by address and by user. */
export class Lockout {
  private readonly addresses: Failures;
  private readonly users: Failures;

  /** @param now a clock that nobody sets, in ms */
  constructor(options: LockoutOptions = { failures: 0, time: 0 }, now = () => performance.now()) {
    this.users = new Failures(now);
    this.addresses = new Failures(now);
    this.set(options);
  }

  /** Other limits from now on; what has failed so far counts. */
  set({ failures, time }: LockoutOptions): void {
    this.users.set(failures, time);
    this.addresses.set(failures * ADDRESS_FACTOR, time);
  }

  /** How long a login has to wait until it is looked at, in ms; undefined when it is blocked. */
  wait(address: string | undefined, login: string | undefined): number | undefined {
    const counts = this.keys(address, login).map(([failures, key]) => failures.wait(key));
    return counts.some((count) => count === undefined) ? undefined : Math.max(0, ...(counts as number[]));
  }

  failed(address: string | undefined, login: string | undefined): void {
    for (const [failures, key] of this.keys(address, login)) failures.add(key);
  }

  /** Forgets the failures of a user. Those of the address stay: else an own account would be a way to guess on. */
  succeeded(login: string | undefined): void {
    if (login !== undefined) this.users.forget(login.slice(0, MAX_LOGIN));
  }

  private keys(address: string | undefined, login: string | undefined): (readonly [Failures, string])[] {
    return [
      ...(address === undefined ? [] : [[this.addresses, networkOf(address)] as const]),
      ...(login === undefined ? [] : [[this.users, login.slice(0, MAX_LOGIN)] as const]),
    ];
  }
}

/** Failures by some key. */
class Failures {
  private readonly counts = new Map<string, { count: number; last: number }>();

  private most = 0;
  private time = 0;

  constructor(private readonly now: () => number) {}

  set(most: number, time: number): void {
    this.most = most;
    this.time = time;
  }

  wait(key: string): number | undefined {
    const found = this.most === 0 ? undefined : this.find(key);
    if (found === undefined) return 0;
    if (found.count >= this.most) return undefined;
    const beyond = found.count - FREE;
    return beyond <= 0 ? 0 : Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** (beyond - 1));
  }

  add(key: string): void {
    if (this.most === 0) return;
    const count = (this.find(key)?.count ?? 0) + 1;
    this.counts.delete(key);
    this.counts.set(key, { count, last: this.now() });
    if (this.counts.size > MOST) this.counts.delete(this.counts.keys().next().value!);
  }

  forget(key: string): void {
    this.counts.delete(key);
  }

  private find(key: string): { readonly count: number } | undefined {
    const found = this.counts.get(key);
    if (found === undefined || this.now() - found.last < this.time) return found;
    this.counts.delete(key);
    return undefined;
  }
}
