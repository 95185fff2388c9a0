import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type Bcrypt from 'bcrypt';
import type { Applicant } from 'nestjs-stomp-broker';
import { OptionsError } from '../options.error.js';
import { readOptionFile } from '../options.file.js';
import { Checks } from './checks.js';

const none = Buffer.alloc(0);

/** The longest login and the longest passcode, in bytes of UTF-8. */
export const maxCredentialLength = 1024;

/** A bcrypt hash: `$2y$`, cost, `$`, 22 characters of salt and 31 of hash. */
const bcryptHash = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/;
/** Costs above 16 take longer than a client waits for its CONNECTED, and block a thread as long. */
const bcryptCosts = { least: 4, most: 16 };
/** What other tools write in place of a password. Taken as plain text, the hash itself would be the password. */
const foreignHash = /^(\$(apr1|1|5|6|y|argon2[a-z]*)\$|\{S?SHA\d*\})/;

/**
 * One user: a login and what proves it. The password is kept as a SHA-256 digest or as the bcrypt hash it was given
 * as, and never shows when the object is printed or
 * serialized: hence fields that are private at run time too.
 */
export class Credential {
  readonly #digest: Buffer | undefined;
  readonly #hash: string | undefined;

  private constructor(
    readonly login: string,
    password: string,
  ) {
    if (bcryptHash.test(password)) {
      // htpasswd's $2y$ and OpenBSD's $2b$ name the same algorithm; the bcrypt package knows the latter only.
      this.#hash = password.replace(/^\$2y/, '$2b');
    } else {
      this.#digest = sha256(password);
    }
  }

  /**
   * Reads `user:password`, parted at the first colon, so that a password may hold colons. The password is plain text
   * or a bcrypt hash (`$2a$`, `$2b$`, `$2y$`, as `htpasswd -B` writes it); blanks around the user are dropped, those
   * of the password count.
   *
   * @throws Error that says what is wrong and never quotes the text
   */
  static parse(text: string): Credential {
    const colon = text.indexOf(':');
    if (colon < 0) {
      throw new Error('has no colon: a user is written user:password');
    }
    const login = text.slice(0, colon).trim();
    const password = text.slice(colon + 1);
    if (login === '') {
      throw new Error('has no user before the colon: a user is written user:password');
    }
    if (password === '') {
      throw new Error('has no password after the colon: a user is written user:password');
    }
    if (tooLong(login) || tooLong(password)) {
      throw new Error(`is too long: a user and a password may have up to ${maxCredentialLength} bytes each`);
    }
    if (foreignHash.test(password)) {
      throw new Error('has a hash that is not bcrypt: make it with htpasswd -B');
    }
    if (/^\$2[abxy]?\$/.test(password)) {
      const cost = Number(bcryptHash.exec(password)?.[1] ?? NaN);
      if (Number.isNaN(cost)) {
        throw new Error('has an incomplete bcrypt hash: it is 60 characters long, make it again with htpasswd -B');
      }
      if (cost < bcryptCosts.least || cost > bcryptCosts.most) {
        throw new Error(`has a bcrypt hash whose cost is not from ${bcryptCosts.least} to ${bcryptCosts.most}`);
      }
    }
    return new Credential(login, password);
  }

  /** SHA-256 of a plain password; undefined when the user has a bcrypt hash. */
  get digest(): Buffer | undefined {
    return this.#digest;
  }

  /** Whether another credential is proven by the same password. */
  same(other: Credential): boolean {
    return this.#hash === other.#hash && (this.#digest ?? none).equals(other.#digest ?? none);
  }

  /** The bcrypt hash, if the user was given with one. */
  get hash(): string | undefined {
    return this.#hash;
  }
}

/**
 * The users who may log in. A wrong passcode and an unknown login cost the same time, so that nobody can find out by
 * the clock which logins exist.
 */
export class Users {
  private readonly byLogin = new Map<string, Credential>();
  /** Each bcrypt cost in use. Every login pays each of them once, against its own hash or one that nothing matches. */
  private readonly costs: readonly number[];
  private readonly bcrypt: typeof Bcrypt | undefined;
  private readonly checks = new Checks();

  private constructor(credentials: readonly Credential[], bcrypt: typeof Bcrypt | undefined) {
    for (const credential of credentials) {
      this.byLogin.set(credential.login, credential);
    }
    this.costs = [...new Set(credentials.flatMap(({ hash }) => (hash === undefined ? [] : [costOf(hash)])))];
    this.bcrypt = bcrypt;
  }

  /**
   * Gathers the users of the option `--users` and of a users file: one `user:password` a line, lines that are blank
   * or start with `#` skipped. The bcrypt package is loaded only if a hash is present.
   *
   * @throws OptionsError naming the file and every bad line by its number, never what the line holds: also for a user
   * given twice, and for a file without any user, which must not leave the door open
   */
  static async load(given: readonly Credential[], file?: string): Promise<Users> {
    const credentials = [...given, ...(file === undefined ? [] : readUsers(file, given))];
    const hashed = credentials.some(({ hash }) => hash !== undefined);
    return new Users(credentials, hashed ? (await import('bcrypt')).default : undefined);
  }

  /** The user of that login. */
  get(login: string): Credential | undefined {
    return this.byLogin.get(login);
  }

  /** Whether there is that user still, with that password. */
  holds(credential: Credential): boolean {
    return this.byLogin.get(credential.login)?.same(credential) === true;
  }

  /** How many users there are. */
  get size(): number {
    return this.byLogin.size;
  }

  /**
   * Whether the passcode is this login's. Answers at once while no user has a bcrypt hash, else by a promise.
   *
   * @throws StompError by the promise, when too many wait for an answer; what the applicant objects
   */
  verify(login: string, passcode: string, applicant?: Applicant): boolean | Promise<boolean> {
    if (tooLong(login) || tooLong(passcode)) {
      return false;
    }
    const user = this.byLogin.get(login);
    const same = timingSafeEqual(sha256(passcode), user?.digest ?? noDigest);
    const { bcrypt } = this;
    if (bcrypt === undefined) return same;
    return this.checks.verify(login, passcode, () => this.verifyHashed(bcrypt, user, passcode, same), applicant);
  }

  private async verifyHashed(
    bcrypt: typeof Bcrypt,
    user: Credential | undefined,
    passcode: string,
    same: boolean,
  ): Promise<boolean> {
    let verified = same;
    for (const cost of this.costs) {
      const own = user?.hash !== undefined && costOf(user.hash) === cost ? user.hash : undefined;
      const matches = await bcrypt.compare(passcode, own ?? unmatchedHash(cost));
      verified ||= matches && own !== undefined;
    }
    return verified;
  }
}

/** What unknown logins, and those with a bcrypt hash, are compared with: random, so no passcode has this digest. */
const noDigest = randomBytes(32);

function readUsers(file: string, given: readonly Credential[]): Credential[] {
  const label = `users file ${file}`;
  const credentials: Credential[] = [];
  const problems: string[] = [];
  const places = new Map(given.map(({ login }) => [login, 'is also given by --users']));
  for (const [index, line] of readOptionFile(file, label).split(/\r?\n/).entries()) {
    if (/^\s*(#|$)/.test(line)) {
      continue;
    }
    try {
      const credential = Credential.parse(line);
      const place = places.get(credential.login);
      if (place !== undefined) {
        throw new Error(`names a user that ${place}: keep one of the two`);
      }
      places.set(credential.login, `line ${index + 1} has already named`);
      credentials.push(credential);
    } catch (error) {
      problems.push(`${label}, line ${index + 1}: ${(error as Error).message}`);
    }
  }
  if (problems.length > 0) {
    throw new OptionsError(problems);
  }
  if (credentials.length === 0) {
    throw new OptionsError([`${label}: holds no user: write one user:password a line, or leave --users-file out`]);
  }
  return credentials;
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function tooLong(text: string): boolean {
  return Buffer.byteLength(text) > maxCredentialLength;
}

function costOf(hash: string): number {
  return Number(hash.slice(4, 6));
}

/** A well-formed hash that takes bcrypt as long as a real one of this cost. */
function unmatchedHash(cost: number): string {
  return `$2b$${String(cost).padStart(2, '0')}$${'.'.repeat(53)}`;
}
