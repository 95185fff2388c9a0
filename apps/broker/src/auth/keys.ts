import { createPublicKey } from 'node:crypto';
import {
  calculateJwkThumbprint,
  createRemoteJWKSet,
  type CryptoKey,
  customFetch,
  errors,
  type FetchImplementation,
  importJWK,
  type JWK,
  type JWSHeaderParameters,
} from 'jose';
import { OptionsError } from '../options.error.js';
import { maxFileSize, readOptionFile } from '../options.file.js';
import { blocksIn } from '../tls/blocks.js';

/** A key that a token may be signed by. */
export interface Key {
  readonly key: CryptoKey | Uint8Array;
  /** Its thumbprint (RFC 7638); undefined where keys come and go by themselves. */
  readonly thumbprint?: string;
}

/** Where the keys of tokens come from. */
export interface Keys {
  /**
   * Those that may have signed a token with that header, whose algorithm is one of those that count.
   *
   * @throws KeysUnavailable when nobody can tell at the moment
   */
  of(header: JWSHeaderParameters): Promise<readonly Key[]>;
  /** Whether the key of that thumbprint is among them still. */
  has(thumbprint: string | undefined): boolean;
}

/** The keys cannot be had, for reasons that the client has nothing to do with. */
export class KeysUnavailable extends Error {
  override readonly name = 'KeysUnavailable';
}

/** What a JWK has to be for an algorithm. */
const fits: Readonly<Record<string, Pick<JWK, 'kty' | 'crv'>>> = {
  RS: { kty: 'RSA' },
  PS: { kty: 'RSA' },
  ES256: { kty: 'EC', crv: 'P-256' },
  ES384: { kty: 'EC', crv: 'P-384' },
  ES512: { kty: 'EC', crv: 'P-521' },
  Ed: { kty: 'OKP', crv: 'Ed25519' },
  HS: { kty: 'oct' },
};
/** Shorter ones can be found out (RFC 7518, 3.2 and 3.3). */
const LEAST_RSA_BITS = 2048;
const MOST_KEYS = 100;
/** Blocks of PEM that hold a public key. */
const KINDS = ['PUBLIC KEY', 'RSA PUBLIC KEY', 'CERTIFICATE'];

interface FileKey extends Key {
  readonly thumbprint: string;
  /** Undefined goes with tokens of any key id. */
  readonly kid: string | undefined;
}

/** Keys of a file: a JWK, a JWKS, or PEM public keys and certificates. */
export class FileKeys implements Keys {
  private constructor(private readonly byAlgorithm: ReadonlyMap<string, readonly FileKey[]>) {}

  /** @throws OptionsError that names the file, and never quotes it */
  static async load(file: string, algorithms: readonly string[]): Promise<FileKeys> {
    const label = `token keys ${file}`;
    const jwks = readJwks(readOptionFile(file, label), label);
    const byAlgorithm = new Map<string, FileKey[]>();
    for (const algorithm of algorithms) {
      const suitable = jwks.filter((jwk) => suits(jwk, algorithm));
      const keys = suitable.map(async (jwk, at) => importKey(jwk, algorithm, `${label}, key ${at + 1}`));
      byAlgorithm.set(algorithm, await Promise.all(keys));
    }
    if (![...byAlgorithm.values()].some((keys) => keys.length > 0)) {
      throw new OptionsError([`${label}: holds no key for any of ${algorithms.join(', ')}: see --jwt-algorithms`]);
    }
    return new FileKeys(byAlgorithm);
  }

  of({ alg = '', kid }: JWSHeaderParameters): Promise<readonly Key[]> {
    const keys = this.byAlgorithm.get(alg) ?? [];
    return Promise.resolve(keys.filter((key) => key.kid === undefined || kid === undefined || key.kid === kid));
  }

  has(thumbprint: string | undefined): boolean {
    return [...this.byAlgorithm.values()].some((keys) => keys.some((key) => key.thumbprint === thumbprint));
  }
}

function readJwks(text: string, label: string): JWK[] {
  if (/PRIVATE KEY/.test(text)) throw new OptionsError([`${label}: holds a private key: give the public one`]);
  const jwks = /^\s*\{/.test(text) ? readJson(text, label) : readPem(text, label);
  if (jwks.length === 0 || jwks.length > MOST_KEYS) {
    throw new OptionsError([`${label}: holds ${jwks.length} keys: it has to be 1 to ${MOST_KEYS}`]);
  }
  if (jwks.some((jwk) => jwk.d !== undefined)) {
    throw new OptionsError([`${label}: holds a private key: give the public one`]);
  }
  return jwks;
}

function readJson(text: string, label: string): JWK[] {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw new OptionsError([`${label}: is not JSON`]);
  }
  const { keys = [content] } = content as { keys?: unknown };
  if (!Array.isArray(keys) || !keys.every((key) => typeof (key as JWK | null)?.kty === 'string')) {
    throw new OptionsError([`${label}: is neither a JWK nor a JWKS`]);
  }
  return keys as JWK[];
}

function readPem(text: string, label: string): JWK[] {
  const blocks = KINDS.flatMap((kind) => blocksIn(text, label, kind));
  try {
    return blocks.map((block) => createPublicKey(block).export({ format: 'jwk' }) as JWK);
  } catch {
    throw new OptionsError([`${label}: holds PEM that is no public key and no certificate`]);
  }
}

function suits({ kty, crv, alg, use }: JWK, algorithm: string): boolean {
  const wanted = fits[algorithm] ?? fits[algorithm.slice(0, 2)]!;
  return (
    kty === wanted.kty &&
    (wanted.crv === undefined || crv === wanted.crv) &&
    (alg === undefined || alg === algorithm) &&
    (use === undefined || use === 'sig')
  );
}

async function importKey(jwk: JWK, algorithm: string, label: string): Promise<FileKey> {
  try {
    const key = await importJWK(jwk, algorithm);
    const least = key instanceof Uint8Array ? Number(algorithm.slice(2)) : LEAST_RSA_BITS;
    const bits = key instanceof Uint8Array ? key.length * 8 : bitsOf(key);
    if (bits < least) throw new OptionsError([`${label}: has ${bits} bits: ${algorithm} needs ${least}`]);
    return { key, kid: jwk.kid, thumbprint: await calculateJwkThumbprint(jwk) };
  } catch (error) {
    if (error instanceof OptionsError) throw error;
    throw new OptionsError([`${label}: is not a key for ${algorithm}`]);
  }
}

/** The length of an RSA key; of others the curve says enough. */
function bitsOf({ algorithm }: CryptoKey): number {
  return 'modulusLength' in algorithm ? Number(algorithm.modulusLength) : Infinity;
}

/** How long the answer of a key server may take, and an attempt that failed is not repeated, in ms. */
const PATIENCE = 5_000;
const PAUSE = 1_000;
/** How soon after an answer a token with an unknown key makes for another question, in ms. */
const COOL_DOWN = 30_000;
/** When keys are asked for again in any case, and how long they count when there is no answer, in ms. */
const FRESH = 10 * 60 * 1000;
const STALE = 60 * 60 * 1000;

/** Keys of a JWKS on the network. */
export class RemoteKeys implements Keys {
  private readonly set: ReturnType<typeof createRemoteJWKSet>;
  /** When they were asked for last, and came, by the clock that nobody sets. */
  private since = -Infinity;

  constructor(url: string) {
    // By itself it would go by the clock of the day, which may be set back by hours.
    const times = { timeoutDuration: PATIENCE, cooldownDuration: Infinity, cacheMaxAge: Infinity };
    this.set = createRemoteJWKSet(new URL(url), { ...times, [customFetch]: fetchBounded() });
  }

  async of(header: JWSHeaderParameters): Promise<readonly Key[]> {
    try {
      if (this.age > FRESH) await this.reload();
      return [{ key: await this.find(header) }];
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey) return [];
      if (error instanceof errors.JWKSMultipleMatchingKeys) {
        const keys: Key[] = [];
        for await (const key of error) keys.push({ key });
        return keys;
      }
      throw new KeysUnavailable(reasonOf(error));
    }
  }

  has(): boolean {
    return true;
  }

  /** @throws KeysUnavailable */
  async prefetch(): Promise<void> {
    try {
      await this.reload();
    } catch (error) {
      throw new KeysUnavailable(reasonOf(error));
    }
  }

  private get age(): number {
    return performance.now() - this.since;
  }

  /** A key that is not known may have come since. */
  private async find(header: JWSHeaderParameters): Promise<Key['key']> {
    try {
      return await this.set(header);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || this.age < COOL_DOWN) throw error;
      await this.reload();
      return this.set(header);
    }
  }

  private async reload(): Promise<void> {
    await this.set.reload();
    this.since = performance.now();
  }
}

function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error ? `${message} (${cause.message})` : message;
}

/** Fetches a key set of limited size. One that could be had before stands in for one that cannot, for a while. */
function fetchBounded(): FetchImplementation {
  let last: { readonly text: string; readonly time: number } | undefined;
  let failure: { readonly error: unknown; readonly time: number } | undefined;
  return async (url, options) => {
    const now = performance.now();
    try {
      if (failure !== undefined && now - failure.time < PAUSE) throw failure.error;
      const text = await readSet(await fetch(url, options));
      last = { text, time: now };
      failure = undefined;
      return new Response(text);
    } catch (error) {
      if (failure?.error !== error) failure = { error, time: now };
      if (last === undefined || now - last.time > STALE) throw error;
      return new Response(last.text);
    }
  };
}

async function readSet(response: Response): Promise<string> {
  if (response.status !== 200) throw new Error(`the answer has the status ${response.status}`);
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > maxFileSize) throw new Error(`the answer is larger than ${maxFileSize} bytes`);
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString();
  const { keys } = JSON.parse(text) as { keys?: unknown };
  if (!Array.isArray(keys)) throw new Error('the answer is no key set');
  if (keys.length === 0) throw new Error('the answer holds no key');
  return text;
}
