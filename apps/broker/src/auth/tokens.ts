import { decodeProtectedHeader, errors, type JWTPayload, jwtVerify, type JWTVerifyOptions } from 'jose';
import { StompError } from 'nestjs-stomp/server';
import type { Options } from '../options.js';
import { isUrl } from '../options.jwt.js';
import { FileKeys, type Key, type Keys, RemoteKeys } from './keys.js';

/** The longest token, in characters. */
const MAX_TOKEN = 16 * 1024;
/** The longest name of a user, in characters, and the most groups of one. */
const MAX_NAME = 1024;
const MAX_GROUPS = 1000;

type TokenOptions = Pick<
  Options,
  'jwtAudience' | 'jwtIssuer' | 'jwtAlgorithms' | 'jwtUser' | 'jwtGroups' | 'jwtTolerance'
>;

/** What a token says, and why that holds. */
export interface Claims {
  readonly name: string;
  readonly groups: readonly string[];
  /** In ms since 1970. */
  readonly expires: number;
  readonly proof: TokenProof;
}

/** Enough to tell later whether a token would be taken still; not the token. */
export interface TokenProof {
  readonly settings: string;
  readonly thumbprint: string | undefined;
}

/** Reads tokens (JWT, RFC 7519) that clients show in place of passcodes. */
export class Tokens {
  private constructor(
    private readonly keys: Keys,
    private readonly options: TokenOptions,
    private readonly settings: string,
  ) {}

  /**
   * @param source a file of keys, or the URL of a key set
   * @param before those that were in use until now: keys of the same URL are not asked for again
   * @throws OptionsError for a file of keys that cannot be used
   */
  static async load(source: string, options: TokenOptions, before?: Tokens): Promise<Tokens> {
    const { jwtAudience, jwtIssuer, jwtAlgorithms, jwtUser, jwtGroups, jwtTolerance } = options;
    const settings = JSON.stringify([source, jwtAudience, jwtIssuer, jwtAlgorithms, jwtUser, jwtGroups, jwtTolerance]);
    if (!isUrl(source)) return new Tokens(await FileKeys.load(source, jwtAlgorithms), options, settings);
    return before?.settings === settings ? before : new Tokens(new RemoteKeys(source), options, settings);
  }

  /** Whether that is a token, and no password. */
  takes(passcode: string): boolean {
    return /^ey[\w-]*\.[\w-]*\.[\w-]*$/.test(passcode);
  }

  /**
   * Asks for keys that are on the network, so that the first client need not wait.
   *
   * @throws KeysUnavailable
   */
  async prepare(): Promise<void> {
    if (this.keys instanceof RemoteKeys) await this.keys.prefetch();
  }

  /** Whether a token that was taken with this proof would be taken still. */
  holds({ settings, thumbprint }: TokenProof): boolean {
    return settings === this.settings && this.keys.has(thumbprint);
  }

  /**
   * What a token says.
   *
   * @returns undefined when it is none, or nobody who counts has signed it
   * @throws StompError when it was signed, but does not count (any more); KeysUnavailable
   */
  async read(token: string): Promise<Claims | undefined> {
    const header = token.length > MAX_TOKEN ? undefined : readHeader(token);
    const algorithms: readonly string[] = this.options.jwtAlgorithms;
    if (header?.alg === undefined || !algorithms.includes(header.alg)) return undefined;
    for (const { key, thumbprint } of await this.keys.of(header)) {
      const payload = await this.verify(token, key);
      if (payload !== undefined) return this.claimsOf(payload, thumbprint);
    }
    return undefined;
  }

  private async verify(token: string, key: Key['key']): Promise<JWTPayload | undefined> {
    const { jwtAudience, jwtIssuer, jwtAlgorithms, jwtTolerance } = this.options;
    const wanted: JWTVerifyOptions = {
      algorithms: [...jwtAlgorithms],
      audience: jwtAudience,
      issuer: jwtIssuer,
      clockTolerance: jwtTolerance / 1000,
      requiredClaims: ['exp'],
    };
    try {
      return (await jwtVerify(token, key, wanted)).payload;
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw refusal('has expired: get a new one');
      if (error instanceof errors.JWTClaimValidationFailed) throw refusal(describe(error));
      if (error instanceof errors.JOSEError) return undefined;
      throw error;
    }
  }

  private claimsOf(payload: JWTPayload, thumbprint: string | undefined): Claims {
    const { jwtUser, jwtGroups, jwtTolerance } = this.options;
    const name = find(payload, jwtUser);
    // eslint-disable-next-line no-control-regex -- names are printed, and parts of keys inside the broker
    if (typeof name !== 'string' || name === '' || name.length > MAX_NAME || /[\u0000-\u001f\u007f]/.test(name)) {
      throw refusal(`names no user in its claim ${jwtUser}`);
    }
    const found = find(payload, jwtGroups) ?? [];
    const groups: unknown[] = typeof found === 'string' ? found.split(' ').filter(Boolean) : [found].flat();
    if (groups.length > MAX_GROUPS || !groups.every((group) => typeof group === 'string')) {
      throw refusal(`names no groups in its claim ${jwtGroups}`);
    }
    // A moment that no calendar has is none.
    const expires = Math.min(payload.exp! * 1000 + jwtTolerance, Number.MAX_SAFE_INTEGER);
    return { name, groups, expires, proof: { settings: this.settings, thumbprint } };
  }
}

function readHeader(token: string): ReturnType<typeof decodeProtectedHeader> | undefined {
  try {
    return decodeProtectedHeader(token);
  } catch {
    return undefined;
  }
}

const refusal = (why: string) => new StompError('connection refused', `the token ${why}`);

function describe({ claim, reason }: errors.JWTClaimValidationFailed): string {
  if (reason === 'missing') return `has no claim ${claim}`;
  if (claim === 'nbf') return 'is not valid yet';
  if (claim === 'aud') return 'is meant for others, by its claim aud';
  if (claim === 'iss') return 'comes from somebody else, by its claim iss';
  return `has a claim ${claim} that does not count`;
}

/** A claim by its name, or by the names that lead there: claims may have dots in their names. */
function find(payload: JWTPayload, path: string): unknown {
  const own = (from: unknown, name: string): unknown =>
    typeof from === 'object' && from !== null && Object.hasOwn(from, name) ? (from as JWTPayload)[name] : undefined;
  return own(payload, path) ?? path.split('.').reduce<unknown>(own, payload);
}
