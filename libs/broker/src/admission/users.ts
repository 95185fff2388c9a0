import { createHash, timingSafeEqual } from 'node:crypto';

/** Says whether a login and a passcode belong together. */
export interface UserDirectory {
  /** How many users there are; with none, everybody is taken for anonymous and comes in. */
  readonly size: number;
  verify(login: string, passcode: string): boolean | Promise<boolean>;
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
