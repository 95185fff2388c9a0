import { createHash, timingSafeEqual, type X509Certificate } from 'node:crypto';
import type { AdmissionRequest } from './request.js';

/** Who a client is. The `user` of a session is one, or a text that is the name alone, or whatever a guard made of it. */
export interface User {
  /** By which rules and durable subscriptions know it. */
  readonly name: string;
  /** To which rules may be given; besides those that the configuration puts it into. */
  readonly groups?: readonly string[];
  /** When its session ends unless it brings new credentials, in ms since 1970; never by default. */
  readonly expires?: number;
}

/** Whoever waits for an answer: for directories that look into one login after the other. */
export interface Applicant {
  /** Where the client comes from; undefined where it came over no socket. */
  readonly address?: string;
  /**
   * Asked when its turn has come: why it is not to be looked into any more, for example because the client is gone.
   * The directory throws this error then, in place of an answer.
   */
  objection(): Error | undefined;
}

/** Says whether a login and a passcode belong together. */
export interface UserDirectory {
  /** How many users there are; with none, everybody is taken for anonymous and comes in. */
  readonly size: number;
  /** Whether clients that bring neither a login nor a passcode come in all the same, as anonymous; not by default. */
  readonly anonymous?: boolean;
  /** @param applicant who asks; to be asked itself before something is done that takes its time */
  verify(login: string, passcode: string, applicant?: Applicant): boolean | Promise<boolean>;
  /**
   * Who a client is, in place of `verify`, where more counts than a login and a passcode: a certificate, a token.
   *
   * @param applicant as with `verify`
   * @returns undefined when it is nobody who may come in
   */
  identify?(request: AdmissionRequest, applicant?: Applicant): User | undefined | Promise<User | undefined>;
  /**
   * Why whoever came in before may not stay; asked when users have changed. Everybody may by default.
   *
   * @param user whom the session belongs to; undefined for anonymous
   * @param certificate what the client showed for TLS, where it was asked for one
   * @param since when its connection was taken, by `performance.now()`
   * @returns what the client is told; undefined when it may stay
   */
  objection?(user: unknown, certificate: X509Certificate | undefined, since: number): string | undefined;
}

/** DI token of the {@link UserDirectory}. */
export const USERS = Symbol('nestjs-stomp-broker users');

const digest = (text: string) => createHash('sha256').update(text).digest();

/** Users that are given in the program's own configuration. */
export class InlineUsers implements UserDirectory {
  private readonly passcodes: Map<string, Buffer>;

  /** @param users a passcode for each login */
  constructor(users: Readonly<Record<string, string>>) {
    this.passcodes = new Map(Object.entries(users).map(([login, passcode]) => [login, digest(passcode)]));
  }

  get size(): number {
    return this.passcodes.size;
  }

  verify(login: string, passcode: string): boolean {
    // Unknown users take as long as wrong passcodes.
    const expected = this.passcodes.get(login);
    const same = timingSafeEqual(digest(passcode), expected ?? digest(login));
    return same && expected !== undefined;
  }
}
