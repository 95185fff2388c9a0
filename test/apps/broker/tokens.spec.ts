import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { createHmac, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { base64url, type JWK } from 'jose';
import { Identities } from '../../../apps/broker/src/auth/identities.js';
import { loadProofs } from '../../../apps/broker/src/auth/proofs.js';
import { OptionsError, parseOptions } from '../../../apps/broker/src/options.js';
import { Embedded } from '../../support/embedded.js';
import { inSeconds, KeyServer, publish, Signer } from '../../support/tokens.js';

const WRONG = 'the login or the passcode is wrong';

let folder: string;
let signer: Signer;
let keys: string;
const servers: KeyServer[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'stompserver-tokens-'));
  signer = await Signer.make();
  keys = file(await signer.jwk());
});
afterEach(() => {
  jest.useRealTimers();
  jest.restoreAllMocks();
  for (const server of servers.splice(0)) server.close();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
/** A file that holds this. */
function file(content: object | string): string {
  const path = join(folder, `keys-${files++}`);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

async function keyServer(answer: KeyServer['answer']): Promise<KeyServer> {
  const server = await KeyServer.listen(answer);
  servers.push(server);
  return server;
}

/** A broker that takes tokens which these keys have signed. */
async function serve(source: string, ...options: string[]) {
  const all = parseOptions(['--jwt-keys', source, '--jwt-audience', 'stomp', ...options], {});
  const warnings: string[] = [];
  const proofs = await loadProofs(all);
  const identities = new Identities(proofs, (line) => warnings.push(line));
  const { rules, maxHeader } = all;
  const embedded = await Embedded.start({ users: identities, rules: rules && { rules }, maxHeader });
  return {
    embedded,
    warnings,
    /** Goes on with other options, as after a change of the configuration file. */
    change: async (other: string, ...changed: string[]) => {
      identities.change(await loadProofs(parseOptions(['--jwt-keys', other, ...changed], {}), proofs));
      await embedded.broker.review();
    },
    connect: (token: string, headers = {}) => embedded.connect({ passcode: token, ...headers }),
    refusal: async (token: string, headers = {}) =>
      (await embedded.refusal({ passcode: token, ...headers })).text.trim(),
  };
}

/** Why keys are not taken. */
async function complaint(source: string, ...options: string[]): Promise<string> {
  const read = () => parseOptions(['--jwt-keys', source, '--jwt-audience', 'stomp', ...options], {});
  const error: unknown = await Promise.resolve()
    .then(() => loadProofs(read()))
    .catch((reason: unknown) => reason);
  if (!(error instanceof OptionsError)) throw new Error('the keys were accepted');
  return error.lines.join().replaceAll(`${folder}/`, '');
}

describe('a token in the passcode', () => {
  it('says who its client is, and to which groups it belongs', async () => {
    const rules = JSON.stringify([
      { destination: '/queue/of.{user}', allow: 'write' },
      { destination: '/queue/staff', group: 'staff', allow: 'read' },
    ]);
    const server = await serve(keys, '--rules', rules);
    const ann = await server.connect(await signer.sign({ groups: ['staff'] }));
    await ann.receipted('SEND', { destination: '/queue/of.ann' }, 'x');
    await ann.subscribe('/queue/staff');
    const bob = await server.connect(await signer.sign({ sub: 'bob', groups: 'guests others' }));
    await bob.receipted('SEND', { destination: '/queue/of.bob' }, 'x');
    bob.send('SUBSCRIBE', { destination: '/queue/staff', id: '1' });
    expect((await bob.refused()).text).toContain('you may not read');
  });

  it('may keep both in other claims, also inside of objects and by names with dots', async () => {
    const rules = JSON.stringify([{ destination: '/queue/of.{user}', group: 'admin', allow: 'write' }]);
    const server = await serve(
      keys,
      '--rules',
      rules,
      '--jwt-user',
      'https://a.test/name',
      '--jwt-groups',
      'realm.roles',
    );
    const claims = { 'https://a.test/name': 'eve', realm: { roles: ['admin'] } };
    const eve = await server.connect(await signer.sign(claims));
    await eve.receipted('SEND', { destination: '/queue/of.eve' }, 'x');
    expect(await server.refusal(await signer.sign())).toBe('the token names no user in its claim https://a.test/name');
  });

  it('comes with no login, or with its user’s', async () => {
    const server = await serve(keys);
    await server.connect(await signer.sign(), { login: 'ann' });
    await server.connect(await signer.sign(), { login: '' });
    expect(await server.refusal(await signer.sign(), { login: 'bob' })).toBe(WRONG);
  });

  it('goes beside passwords: each counts for whom it is', async () => {
    const server = await serve(keys, '--users', 'bob:secret eyebrow:ey.e.y');
    await server.connect(await signer.sign());
    await server.embedded.connect({ login: 'bob', passcode: 'secret' });
    expect((await server.embedded.refusal({ login: 'bob', passcode: 'ann' })).text).toContain(WRONG);
    expect((await server.embedded.refusal()).text).toContain(WRONG);
  });

  it.each(['RS256', 'PS384', 'ES384', 'ES512', 'EdDSA'])('may be signed with %s, by a key of PEM', async (alg) => {
    const other = await Signer.make(alg);
    const server = await serve(file(`${await signer.pem()}\n${await other.pem()}`));
    await server.connect(await other.sign());
    await server.connect(await signer.sign());
  });

  it('may name no key: then each that suits is tried', async () => {
    const other = await Signer.make('ES256', 'k2');
    const server = await serve(file({ keys: [await other.jwk(), await signer.jwk()] }));
    await server.connect(await signer.sign({}, { kid: undefined }));
  });

  it('may be signed with a shared secret, where that is named', async () => {
    const secret: JWK = { kty: 'oct', k: base64url.encode(Buffer.alloc(32, 7)) };
    const token = hmac('HS256', Buffer.alloc(32, 7));
    const server = await serve(file(secret), '--jwt-algorithms', 'HS256');
    await server.connect(token);
    expect(await server.refusal(hmac('HS256', Buffer.alloc(32, 8)))).toBe(WRONG);
    expect(await server.refusal(hmac('HS512', Buffer.alloc(32, 7)))).toBe(WRONG);
  });
});

const shortRsa = () =>
  generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ type: 'spki', format: 'pem' }).toString();

/** A token that says it is signed so, and is signed with HMAC. */
function hmac(alg: string, secret: string | Buffer, claims: object = {}): string {
  const part = (value: object) => base64url.encode(JSON.stringify(value));
  const signed = `${part({ alg, kid: 'k1' })}.${part({ sub: 'ann', aud: 'stomp', exp: inSeconds(3600), ...claims })}`;
  return `${signed}.${createHmac(`sha${alg.slice(2)}`, secret)
    .update(signed)
    .digest('base64url')}`;
}

describe('a token that is not what it says', () => {
  const encode = (value: object | string) =>
    base64url.encode(typeof value === 'string' ? value : JSON.stringify(value));
  const claims = () => ({ sub: 'ann', aud: 'stomp', exp: inSeconds(3600) });

  it.each<[string, (good: string) => string | Promise<string>]>([
    ['signed by nobody', () => `${encode({ alg: 'none' })}.${encode(claims())}.`],
    ['signed by nobody, in other letters', () => `${encode({ alg: 'nOnE' })}.${encode(claims())}.`],
    ['whose signature is gone', (good) => good.replace(/[^.]+$/, '')],
    ['with the signature of another', (good) => good.replace(/\.[^.]+\./, `.${encode({ ...claims(), sub: 'root' })}.`)],
    ['signed by another key of the same name', async () => (await Signer.make()).sign()],
    ['signed by a key of another name', () => signer.sign({}, { kid: 'k2' })],
    ['signed with the public key as a shared secret', async () => hmac('HS256', await signer.pem())],
    ['with a key of its own', async () => signWithOwnKey()],
    [
      'that asks for more than anybody understands',
      (good) => `${encode({ alg: 'ES256', crit: ['x'], x: 1 })}${good.slice(good.indexOf('.'))}`,
    ],
    ['that is no JSON', (good) => `eyxx${good.slice(good.indexOf('.'))}`],
    ['whose head is a list', () => `${encode('[]')}.${encode(claims())}.AA`],
    ['with nothing in it', () => 'ey..'],
    ['with a fourth part', (good) => `${good}.AA`],
    ['that is larger than any', (good) => `${good}${'A'.repeat(9_000)}`],
  ])('is refused, and the broker goes on: one %s', async (_what, forge) => {
    const server = await serve(keys);
    expect(await server.refusal(await forge(await signer.sign()))).toBe(WRONG);
    await server.connect(await signer.sign());
    expect(server.warnings).toEqual([]);
  });

  it('is refused when it needs more than a header may have', async () => {
    const server = await serve(keys);
    const error = await server.embedded.refusal({ passcode: await signer.sign({ more: 'x'.repeat(20_000) }) });
    expect(error.header('message')).toBe('malformed frame');
  });

  it('is refused when it is longer than 16 KiB, whoever has signed it', async () => {
    const server = await serve(keys, '--max-header', '60000');
    await server.connect(await signer.sign({ more: 'x'.repeat(11_000) }));
    expect(await server.refusal(await signer.sign({ more: 'x'.repeat(13_000) }))).toBe(WRONG);
  });

  it('is refused, before anybody is asked for its key, when its signature is none of --jwt-algorithms', async () => {
    const source = await keyServer(publish(await signer.jwk()));
    const server = await serve(source.url, '--jwt-algorithms', 'RS256');
    expect(await server.refusal(await signer.sign())).toBe(WRONG);
    expect(source.asked).toBe(0);
  });

  async function signWithOwnKey(): Promise<string> {
    const own = await Signer.make();
    return own.sign({}, { jwk: await own.jwk() });
  }
});

describe('a token that was signed, but does not count', () => {
  it.each<[string, object, string]>([
    ['expired', { exp: inSeconds(-60) }, 'the token has expired: get a new one'],
    ['for later', { nbf: inSeconds(600) }, 'the token is not valid yet'],
    ['for another audience', { aud: 'others' }, 'the token is meant for others, by its claim aud'],
    ['for nobody', { aud: undefined }, 'the token has no claim aud'],
    ['without an end', { exp: undefined }, 'the token has no claim exp'],
    ['with an end that is none', { exp: 'never' }, 'the token has a claim exp that does not count'],
    ['by another issuer', { iss: 'https://evil.test/' }, 'the token comes from somebody else, by its claim iss'],
    ['without a user', { sub: undefined }, 'the token names no user in its claim sub'],
    ['with a user who is none', { sub: 'ann\nroot' }, 'the token names no user in its claim sub'],
    ['with a user without a name', { sub: '' }, 'the token names no user in its claim sub'],
    ['with a user whose name has no end', { sub: 'a'.repeat(1025) }, 'the token names no user in its claim sub'],
    ['with a user who is a number', { sub: 7 }, 'the token names no user in its claim sub'],
    ['with groups that are none', { groups: [{ a: 1 }] }, 'the token names no groups in its claim groups'],
    ['with no end of groups', { groups: Array(1001).fill('a') }, 'the token names no groups in its claim groups'],
  ])('is refused, saying so: one %s', async (_what, claims, why) => {
    const server = await serve(keys, '--jwt-issuer', 'https://login.test/');
    expect(await server.refusal(await signer.sign({ iss: 'https://login.test/', ...claims }))).toBe(why);
  });

  it('counts within the tolerance of clocks', async () => {
    const server = await serve(keys, '--jwt-tolerance', '120000');
    const peer = await server.connect(await signer.sign({ exp: inSeconds(-60), nbf: inSeconds(60) }));
    for (let times = 0; times < 3; times++) await peer.receipted('SEND', { destination: '/queue/a' }, 'still here');
  });
});

describe('when a token expires', () => {
  it('its session ends with an ERROR that says so, unless a new one came to /session/refresh', async () => {
    const server = await serve(keys, '--jwt-tolerance', '0');
    const soon = async () => signer.sign({ exp: inSeconds(6) });
    const [one, other] = [await server.embedded.open(), await server.embedded.open()];
    for (const peer of [one, other]) {
      peer.send('CONNECT', { 'accept-version': '1.2', host: 'h', passcode: await soon() });
      await peer.take('CONNECTED', ({ command }) => command === 'CONNECTED');
    }
    await other.receipted('SEND', { destination: '/session/refresh', passcode: await signer.sign() });
    const error = await one.refused();
    expect(error.header('message')).toBe('session expired');
    expect(error.text).toContain('send new ones to /session/refresh before they expire');
    await other.receipted('SEND', { destination: '/queue/a' }, 'still here');
  });

  it('another token that does not count ends the session at once', async () => {
    const server = await serve(keys);
    const peer = await server.connect(await signer.sign());
    const expired = await signer.sign({ exp: inSeconds(-60) });
    peer.send('SEND', { destination: '/session/refresh', passcode: expired, receipt: 'r' });
    const error = await peer.refused();
    expect([error.header('receipt-id'), error.text]).toEqual(['r', 'the token has expired: get a new one\n']);
  });
});

describe('when what tokens have to be changes', () => {
  it.each(['of a file', 'from a server'])(
    'sessions by others end, and nobody else comes in: keys %s',
    async (where) => {
      const jwk = await signer.jwk();
      const source = where === 'of a file' ? keys : (await keyServer(publish(jwk))).url;
      const server = await serve(source);
      const peer = await server.connect(await signer.sign());
      await server.change(source, '--jwt-audience', 'stomp');
      await peer.receipted('SEND', { destination: '/queue/a' }, 'still here');
      await server.change(source, '--jwt-audience', 'others');
      expect((await peer.refused()).header('message')).toBe('session ended');
      expect(await server.refusal(await signer.sign())).toBe('the token is meant for others, by its claim aud');
      await server.connect(await signer.sign({ aud: 'others' }));
    },
  );

  it('sessions by a key that is gone end, others stay', async () => {
    const other = await Signer.make('ES256', 'k2');
    const source = file({ keys: [await signer.jwk(), await other.jwk()] });
    const server = await serve(source);
    const [gone, stays] = [await server.connect(await signer.sign()), await server.connect(await other.sign())];
    writeFileSync(source, JSON.stringify(await other.jwk()));
    await server.change(source, '--jwt-audience', 'stomp');
    expect((await gone.refused()).header('message')).toBe('session ended');
    await stays.receipted('SEND', { destination: '/queue/a' }, 'still here');
  });
});

describe('keys from a server', () => {
  /** Puts the clock that nobody sets forward, stops it, and changes nothing else. */
  const later = (ms: number) => jest.spyOn(performance, 'now').mockReturnValue(performance.now() + ms);
  /** Sets the clock of the day. */
  const set = (ms: number) => jest.useFakeTimers({ doNotFake: [...others], now: Date.now() + ms });
  const others = [
    ...(['hrtime', 'nextTick', 'performance', 'queueMicrotask', 'setImmediate', 'clearImmediate'] as const),
    ...(['setInterval', 'clearInterval', 'setTimeout', 'clearTimeout'] as const),
  ];

  it('are asked for once, however many come in, and again for a key that is new there', async () => {
    const source = await keyServer(publish(await signer.jwk()));
    const server = await serve(source.url);
    await Promise.all(Array.from({ length: 20 }, async () => server.connect(await signer.sign())));
    expect(source.asked).toBe(1);
    const next = await Signer.make('ES256', 'k2');
    source.answer = publish(await next.jwk());
    later(31_000);
    await server.connect(await next.sign());
    expect(source.asked).toBe(2);
    expect(await server.refusal(await signer.sign())).toBe(WRONG);
  });

  it('are not asked for again and again for keys that nobody has', async () => {
    const source = await keyServer(publish(await signer.jwk()));
    const server = await serve(source.url);
    later(0);
    await server.connect(await signer.sign());
    for (let times = 0; times < 30; times++) {
      expect(await server.refusal(await signer.sign({}, { kid: `unknown-${times}` }))).toBe(WRONG);
    }
    expect(source.asked).toBe(1);
  });

  it.each([-10 * 3_600_000, 10 * 3_600_000])(
    'are asked for when it is time to, not when the clock of the day says so (set by %i ms)',
    async (jump) => {
      const source = await keyServer(publish(await signer.jwk()));
      const server = await serve(source.url);
      const token = (from: Signer, kid = from.kid) => from.sign({ exp: inSeconds(72_000) }, { kid });
      await server.connect(await token(signer));
      set(jump);
      later(0);
      expect(await server.refusal(await token(signer, 'unknown'))).toBe(WRONG);
      expect(source.asked).toBe(1);
      const next = await Signer.make('ES256', 'k2');
      source.answer = publish(await next.jwk());
      later(31_000);
      await server.connect(await token(next));
      source.answer = publish(await signer.jwk());
      later(11 * 60_000);
      expect(await server.refusal(await token(next))).toBe(WRONG);
    },
  );

  it('that have no names are all tried', async () => {
    const other = await Signer.make();
    const bare = async (from: Signer) => ({ ...(await from.jwk()), kid: undefined });
    const source = await keyServer(publish(await bare(other), await bare(signer)));
    const server = await serve(source.url);
    await server.connect(await signer.sign({}, { kid: undefined }));
  });

  it('count for a while when the server is gone, but not for ever', async () => {
    const source = await keyServer(publish(await signer.jwk()));
    const server = await serve(source.url);
    const token = () => signer.sign({ exp: inSeconds(36_000) });
    await server.connect(await token());
    source.answer = (_request, response) => void response.writeHead(503).end();
    later(11 * 60_000);
    await server.connect(await token());
    expect(source.asked).toBe(2);
    later(61 * 60_000);
    expect(await server.refusal(await token())).toBe('tokens cannot be checked at the moment: try again later');
    expect(server.warnings).toEqual(['tokens cannot be checked: the answer has the status 503']);
  });

  it.each<[string, KeyServer['answer'], string]>([
    ['an answer that is too large', (_request, response) => void flood(response), 'larger than 1048576 bytes'],
    ['no key set', (_request, response) => void response.end('<html>'), 'not valid JSON'],
    ['another kind of JSON', (_request, response) => void response.end('{"keys":1}'), 'is no key set'],
    ['a set of none', (_request, response) => void response.end('{"keys":[]}'), 'holds no key'],
    ['a part of an answer', (_request, response) => void cut(response), 'tokens cannot be checked: '],
    [
      'a way to elsewhere',
      (_request, response) => void response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
      'status 302',
    ],
    ['no answer at all', (request) => void request.socket.destroy(), 'fetch failed'],
  ])('are none when there is %s: nobody comes in, and nobody is blamed', async (_what, answer, why) => {
    const source = await keyServer(answer);
    const server = await serve(source.url);
    expect(await server.refusal(await signer.sign())).toBe('tokens cannot be checked at the moment: try again later');
    expect(server.warnings.join()).toContain(why);
    source.answer = publish(await signer.jwk());
    later(2_000);
    await server.connect(await signer.sign());
  });

  it.each<[string, KeyServer['answer']]>([
    ['status 500', (_request, response) => void response.writeHead(500).end()],
    ['an empty set', publish()],
    ['rubbish', (_request, response) => void response.end('<html>')],
    ['an answer that breaks off', (_request, response) => void cut(response)],
    ['no answer', () => undefined],
    ['an answer of an octet now and then', (_request, response) => void drip(response)],
  ])('count on where there is %s instead of the next ones', async (_what, answer) => {
    const source = await keyServer(publish(await signer.jwk()));
    const server = await serve(source.url);
    const peer = await server.connect(await signer.sign());
    source.answer = answer;
    later(11 * 60_000);
    await server.connect(await signer.sign());
    expect(source.asked).toBe(2);
    await peer.receipted('SEND', { destination: '/queue/a' }, 'still here');
  });

  it.each<[string, KeyServer['answer']]>([
    ['does not answer', () => undefined],
    ['sends an octet now and then', (_request, response) => void drip(response)],
  ])('are waited for some seconds, no longer, when it %s', async (_what, answer) => {
    const source = await keyServer(answer);
    const server = await serve(source.url);
    expect(await server.refusal(await signer.sign())).toBe('tokens cannot be checked at the moment: try again later');
    expect(server.warnings.join()).toContain('tokens cannot be checked: request timed out');
  });

  it('that cannot be had do not make for a question with each client that comes', async () => {
    const source = await keyServer((_request, response) => void response.writeHead(500).end());
    const server = await serve(source.url);
    const token = await signer.sign();
    later(0);
    for (let times = 0; times < 20; times++) await server.refusal(token);
    expect(source.asked).toBe(1);
  });

  function cut(response: Parameters<KeyServer['answer']>[1]): void {
    response.writeHead(200, { 'content-length': '1000' });
    response.write('{"keys":[', () => response.socket?.destroy());
  }

  function drip(response: Parameters<KeyServer['answer']>[1]): void {
    const timer = setInterval(() => response.write(' '), 100);
    response.once('close', () => clearInterval(timer));
  }

  function flood(response: Parameters<KeyServer['answer']>[1]): void {
    response.write('{"keys":[');
    response.end(' '.repeat(2 * 1024 * 1024));
  }
});

describe('a file of keys', () => {
  it.each<[string, () => Promise<string | object> | string | object, string[], string]>([
    ['a private JWK', () => signer.secret(), [], 'holds a private key: give the public one'],
    [
      'a private key of PEM',
      () => '-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----',
      [],
      'holds a private key',
    ],
    ['no key', () => 'hunter2', [], 'holds 0 keys: it has to be 1 to 100'],
    ['half of a JSON', () => '{"keys":[{"hunter2"', [], 'is not JSON'],
    [
      'a PEM and a half',
      async () => `${await signer.pem()}-----BEGIN PUBLIC KEY-----\nhunter2`,
      [],
      'is cut off, or half',
    ],
    ['some other JSON', () => ({ a: 'hunter2' }), [], 'is neither a JWK nor a JWKS'],
    ['a key for another algorithm', () => signer.jwk(), ['--jwt-algorithms', 'RS256'], 'holds no key for any of RS256'],
    ['a key of another curve', () => signer.jwk(), ['--jwt-algorithms', 'ES384'], 'holds no key for any of ES384'],
    [
      'a key that is for another algorithm by its own word',
      async () => ({ ...(await signer.jwk()), alg: 'ECDH-ES' }),
      [],
      'holds no key for any of',
    ],
    ['a key to encrypt by', async () => ({ ...(await signer.jwk()), use: 'enc' }), [], 'holds no key for any of'],
    ['an RSA key that is too short', () => shortRsa(), [], 'has 1024 bits: RS256 needs 2048'],
    [
      'a key that is broken',
      () => ({ kty: 'EC', crv: 'P-256', x: 'hunter2', y: 'AA' }),
      [],
      'key 1: is not a key for ES256',
    ],
    [
      'a secret that is too short',
      () => ({ kty: 'oct', k: 'aHVudGVyMg' }),
      ['--jwt-algorithms', 'HS256'],
      'has 56 bits: HS256 needs 256',
    ],
    ['too many keys', () => ({ keys: Array(101).fill({ kty: 'EC' }) }), [], 'holds 101 keys'],
  ])('is refused when it holds %s, which is not shown', async (_what, content, options, why) => {
    const text = await complaint(file(await content()), ...options);
    expect(text).toMatch(/^token keys keys-\d+/);
    expect(text).toContain(why);
    expect(text).not.toContain('hunter2');
  });

  it.each([
    ['http://login.example.com/jwks', [], 'http:// is for loopback only'],
    ['http://127.0.0.1.evil.test/', [], 'http:// is for loopback only'],
    ['ftp://127.0.0.1/', [], 'a URL that begins with https://'],
    ['https://user:hunter2@login.example.com/', [], 'must have no user or password in its URL'],
    ['https://login.example.com/', ['--jwt-algorithms', 'HS256'], 'names one with a shared secret'],
    ['https://login.example.com/', ['--jwt-algorithms', 'none'], 'must be one or more of RS256'],
  ])('may not be %s %s', async (source, options, why) => {
    const text = await complaint(source, ...options);
    expect(text).toContain(why);
    expect(text).not.toContain('hunter2');
  });

  it('needs an audience: tokens for other services are not for this one', () => {
    expect(() => parseOptions(['--jwt-keys', keys], {})).toThrow('needs --jwt-audience too');
    expect(() => parseOptions(['--jwt-audience', 'a'], {})).toThrow('has no effect without --jwt-keys');
  });
});
