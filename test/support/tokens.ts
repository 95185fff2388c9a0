import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import { type AddressInfo } from 'node:net';
import {
  type CryptoKey,
  exportJWK,
  exportSPKI,
  generateKeyPair,
  type JWK,
  type JWTHeaderParameters,
  type JWTPayload,
  SignJWT,
} from 'jose';

/** A key that signs tokens. */
export class Signer {
  private constructor(
    private readonly alg: string,
    private readonly key: CryptoKey,
    readonly publicKey: CryptoKey,
    readonly kid: string,
  ) {}

  static async make(alg = 'ES256', kid = 'k1'): Promise<Signer> {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
    return new Signer(alg, privateKey, publicKey, kid);
  }

  async jwk(): Promise<JWK> {
    return { ...(await exportJWK(this.publicKey)), kid: this.kid, alg: this.alg, use: 'sig' };
  }

  pem(): Promise<string> {
    return exportSPKI(this.publicKey);
  }

  /** The private half, which belongs into no file of keys. */
  secret(): Promise<JWK> {
    return exportJWK(this.key);
  }

  /** A token of an hour for the audience `stomp`, unless these claims say otherwise. */
  sign(claims: JWTPayload = {}, header: Partial<JWTHeaderParameters> = {}): Promise<string> {
    const all = { sub: 'ann', aud: 'stomp', exp: inSeconds(3600), ...claims };
    return new SignJWT(all).setProtectedHeader({ alg: this.alg, kid: this.kid, ...header }).sign(this.key);
  }
}

/** A moment as tokens write it. */
export const inSeconds = (seconds: number): number => Math.floor(Date.now() / 1000) + seconds;

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A server of key sets on loopback. */
export class KeyServer {
  /** How often it was asked. */
  asked = 0;
  readonly #server = createServer((request, response) => {
    this.asked++;
    this.answer(request, response);
  });

  private constructor(public answer: Answer) {}

  static async listen(answer: Answer): Promise<KeyServer> {
    const server = new KeyServer(answer);
    server.#server.listen(0, '127.0.0.1');
    await once(server.#server, 'listening');
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/jwks.json`;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

/** Answers with these keys. */
export const publish =
  (...keys: JWK[]): Answer =>
  (_request, response) =>
    void response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys }));
