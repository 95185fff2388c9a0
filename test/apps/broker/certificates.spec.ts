import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { once } from 'node:events';
import { appendFileSync, copyFileSync, readFileSync, renameSync } from 'node:fs';
import { type AddressInfo, connect as connectTcp, createServer, type Server, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { Certificates, type Pem } from '../../support/certificates.js';
import { start, startIn } from '../../support/programs.js';
import { as, Files, reloads, serve } from '../../support/stompserver.js';
import { type Headers } from '../../support/wire.js';

// Each test runs whole processes, maybe beside others that do.
jest.setTimeout(120_000);

const files = new Files();
const file = (text: string) => files.make(text);
afterAll(() => files.remove());

/** Passes on what clients say first, and the rest not before it is opened. */
class Gate {
  readonly #sockets: Socket[] = [];
  #far: Socket | undefined;
  #kept: Buffer[] = [];
  #open = false;
  #onShut: () => void = () => undefined;
  /** Settles when there is something that is not passed on. */
  readonly shut = new Promise<void>((resolve) => (this.#onShut = resolve));

  private constructor(
    private readonly server: Server,
    port: number,
  ) {
    server.on('connection', (near: Socket) => {
      const far = connectTcp(port, '127.0.0.1');
      this.#far = far;
      this.#sockets.push(near, far);
      near.on('error', () => undefined).on('close', () => far.destroy());
      far.on('error', () => undefined).pipe(near);
      let first = true;
      near.on('data', (chunk: Buffer) => {
        if (first || this.#open) far.write(chunk);
        else {
          this.#kept.push(chunk);
          this.#onShut();
        }
        first = false;
      });
    });
  }

  static async before(port: number): Promise<Gate> {
    const gate = new Gate(createServer(), port);
    await once(gate.server.listen(0, '127.0.0.1'), 'listening');
    return gate;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  open(): void {
    this.#open = true;
    for (const chunk of this.#kept.splice(0)) this.#far!.write(chunk);
  }

  close(): void {
    this.server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

describe('certificates', () => {
  const certificates = new Certificates();
  let ca: Pem;
  let own: Pem;
  let ann: Pem;
  beforeAll(() => {
    ca = certificates.authority('ca');
    own = certificates.issue('server', ca);
    ann = certificates.issue('ann', ca, ['DNS:ann.test', 'email:ann@example.com', 'URI:spiffe://example.com/ann']);
  });
  afterAll(() => certificates.remove());

  const secure = (...options: string[]) =>
    serve('--certfile', own.cert, '--keyfile', own.key, '--cafile', ca.cert, ...options);

  /** A client over TLS; what it gets first is in `text`. */
  const dial = async (port: number, identity?: Pem, headers: Headers = {}) => {
    const shown = identity && { cert: readFileSync(identity.cert), key: readFileSync(identity.key) };
    const { servername = 'localhost', ...rest } = headers;
    const socket: TLSSocket = connectTls({ port, host: 'localhost', servername, ca: readFileSync(ca.cert), ...shown });
    let text = '';
    await new Promise<void>((resolve, reject) => {
      socket.on('error', reject).on('close', () => reject(new Error('closed')));
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString();
        if (text.includes('\0')) resolve();
      });
      const lines = Object.entries({ 'accept-version': '1.2', host: 'h', ...rest }).map((pair) => pair.join(':'));
      socket.write(`CONNECT\n${lines.join('\n')}\n\n\0`);
    });
    socket.on('error', () => undefined);
    return { socket, text };
  };

  /** What comes next over a connection. */
  const next = async (socket: TLSSocket) => String(((await once(socket, 'data')) as [Buffer])[0]);

  it('may be shown through a proxy, which speaks before TLS', async () => {
    const log = file('');
    const { program, port } = await secure(
      ...['--tls', 'strict', '--cert-user', 'cn', '--proxy-protocol', '127.0.0.1', '--audit-log', log],
    );
    const tcp = connectTcp(port, '127.0.0.1');
    tcp.write('PROXY TCP4 192.0.2.7 127.0.0.1 50312 61613\r\n');
    const identity = { cert: readFileSync(ann.cert), key: readFileSync(ann.key) };
    const socket = connectTls({ socket: tcp, servername: 'localhost', ca: readFileSync(ca.cert), ...identity });
    socket.write('CONNECT\naccept-version:1.2\nhost:h\n\n\0');
    expect(String((await once(socket, 'data'))[0])).toContain('CONNECTED');
    socket.on('error', () => undefined).destroy();
    await program.stop();
    expect(JSON.parse(readFileSync(log, 'utf8'))).toMatchObject({ user: 'ann', address: '192.0.2.7' });
  });

  it.each([
    ['cn', 'ann'],
    ['dns', 'ann.test'],
    ['email', 'ann@example.com'],
    ['uri', 'spiffe://example.com/ann'],
  ])('name the user by their %s', async (part, name) => {
    const rules = JSON.stringify([{ destination: '/queue/a', user: name, allow: 'write' }]);
    const { port } = await secure('--tls', 'strict', '--cert-user', part, '--rules', rules);
    const { socket, text } = await dial(port, ann);
    expect(text).toContain('CONNECTED');
    const receipt = new Promise<string>((resolve) => socket.once('data', (chunk) => resolve(String(chunk))));
    socket.write('SEND\ndestination:/queue/a\nreceipt:r\n\nx\0');
    expect(await receipt).toContain('RECEIPT');
    socket.destroy();
    const other = await dial(port, ann, { login: 'bob' });
    expect(other.text).toContain('ERROR');
    other.socket.destroy();
  });

  it.each([
    ['in a name that has commas', ['URI:http://x/?a, DNS:root, b', 'DNS:ann.test'], 'ann.test'],
    ['in a name that has quotes', ['URI:http://x/?", DNS:root, "', 'DNS:ann.test'], 'ann.test'],
    ['in another kind of name', ['email:DNS:root@x', 'DNS:ann.test'], 'ann.test'],
    ['behind the first of its kind', ['DNS:ann.test', 'DNS:root'], 'ann.test'],
  ])('do not name whoever is only mentioned %s', async (_where, names, user) => {
    const rules = JSON.stringify([{ destination: '/queue/of.{user}', allow: 'write' }]);
    const sly = certificates.issue('sly', ca, names);
    const { port } = await secure('--tls', 'strict', '--cert-user', 'dns', '--rules', rules);
    const { socket, text } = await dial(port, sly);
    expect(text).toContain('CONNECTED');
    const answer = next(socket);
    socket.write(`SEND\ndestination:/queue/of.${user.replace('.', '%2E')}\nreceipt:r\n\nx\0`);
    expect(await answer).toMatch(/^RECEIPT/);
    socket.destroy();
  });

  it.each([
    ['two common names', '/CN=ann/CN=root', 'cn'],
    ['none', '/O=ann', 'cn'],
    ['one with control characters', '/CN=ann\u007f', 'cn'],
    ['no alternative name of that kind', '/CN=ann', 'uri'],
    ['an alternative name that is empty', '/CN=ann', 'email'],
  ])('name nobody by %s', async (_what, subject, part) => {
    const nobody = certificates.issue('nobody', ca, ['DNS:ann.test', 'email:'], { subject });
    const { port } = await secure('--tls', 'strict', '--cert-user', part, '--users', 'bob:two');
    expect((await dial(port, nobody)).text).toMatch(/^ERROR\n/);
    expect((await dial(port, nobody, as('bob', 'two'))).text).toMatch(/^CONNECTED\n/);
  });

  it('name nobody by a name that --cert-users does not have, whatever JavaScript calls its own', async () => {
    const sly = certificates.issue('constructor', ca);
    const { port } = await secure('--tls', 'strict', '--cert-user', 'cn', '--cert-users', '{"ann":"orders"}');
    for (const each of [sly, own]) expect((await dial(port, each)).text).toMatch(/^ERROR\n/);
    expect((await dial(port, ann)).text).toMatch(/^CONNECTED\n/);
  });

  it('may be left out where passwords count, too, and may stand for other names', async () => {
    const stranger = certificates.issue('ann-of-others', certificates.authority('other'), undefined, {
      subject: '/CN=ann',
    });
    const { port } = await secure(
      ...['--tls', 'true', '--cert-user', 'cn', '--cert-users', '{"ann":"orders"}', '--users', 'bob:two'],
    );
    for (const [identity, headers, answer] of [
      [ann, { login: 'orders' }, 'CONNECTED'],
      [ann, { login: 'ann' }, 'ERROR'],
      [ann, as('bob', 'two'), 'CONNECTED'],
      [ann, as('orders', 'wrong'), 'ERROR'],
      [undefined, as('bob', 'two'), 'CONNECTED'],
      [undefined, {}, 'ERROR'],
      [own, {}, 'ERROR'],
      [stranger, {}, 'ERROR'],
      [stranger, as('bob', 'two'), 'CONNECTED'],
    ] as const) {
      const { socket, text } = await dial(port, identity, headers);
      expect(text.split('\n')[0]).toBe(answer);
      socket.destroy();
    }
  });

  /** Whether a message is taken on a connection. */
  const sends = async (socket: TLSSocket) => {
    const answer = next(socket);
    socket.write('SEND\ndestination:/queue/a\nreceipt:r\n\nx\0');
    return (await answer).startsWith('RECEIPT');
  };

  it.each([
    ['stomper', '1.3'],
    ['stomper', '1.2'],
    ['printer', '1.3'],
    ['printer', '1.2'],
  ] as const)('that are demanded and not shown are what %s names at once, with TLS %s', async (name, version) => {
    const { port } = await secure('--tls', 'strict', '--cert-user', 'cn');
    const url = `stomp+tls://localhost:${port}`;
    const options = ['--topic=/queue/a', '--url', url, '--cafile', ca.cert];
    const program = startIn({ NODE_OPTIONS: `--tls-max-v${version}` }, name, ...options);
    program.stdin.write('line\n');
    expect((await program.exited).code).toBe(1);
    expect(program.stderr).toMatch(/wants? a certificate of the client.*: give one with --certfile and --keyfile/);
  });

  it('are renewed without a dropped connection', async () => {
    const [old, renewed] = [certificates.issue('old', ca), certificates.issue('renewed', ca)];
    const server = await serve('--tls', 'true', '--certfile', old.cert, '--keyfile', old.key);
    const first = await dial(server.port);
    expect(first.socket.getPeerCertificate().subject.CN).toBe('old');
    renameSync(renewed.cert, old.cert);
    renameSync(renewed.key, old.key);
    await server.program.says(/were read again/);
    const second = await dial(server.port);
    expect(second.socket.getPeerCertificate().subject.CN).toBe('renewed');
    expect(await sends(first.socket)).toBe(true);
    for (const { socket } of [first, second]) socket.destroy();
  });

  it.each([
    ['names users', ['--cert-user', 'cn']],
    ['only opens the door', []],
  ])('that are revoked end their sessions, and open no others, where a certificate %s', async (_what, options) => {
    const bob = certificates.issue('bob', ca);
    const crl = certificates.revoke(ca);
    const server = await secure('--tls', 'strict', '--crlfile', crl, '--users', 'eve:x', ...options);
    const login = options.length === 0 ? as('eve', 'x') : {};
    const [anns, bobs] = [await dial(server.port, ann, login), await dial(server.port, bob, login)];
    const told = next(anns.socket);
    certificates.revoke(ca, ann);
    expect(await told).toMatch(/^ERROR\n(.*\n)*message:session ended\n/);
    await expect(dial(server.port, ann, login)).rejects.toThrow();
    expect(await sends(bobs.socket)).toBe(true);
    bobs.socket.destroy();
  });

  it.each([
    ['names users', ['--cert-user', 'cn']],
    ['only opens the door', []],
  ])('end their sessions when nobody vouches for them any more, where a certificate %s', async (_what, options) => {
    const other = certificates.authority('other');
    const between = certificates.issue('between', other, undefined, { constraints: 'CA:TRUE' });
    const [bob, eve] = [certificates.issue('bob', other), certificates.issue('eve', between)];
    const chain = { cert: file(readFileSync(eve.cert, 'utf8') + readFileSync(between.cert, 'utf8')), key: eve.key };
    const [one, both] = [
      readFileSync(ca.cert, 'utf8'),
      [ca, other].map(({ cert }) => readFileSync(cert, 'utf8')).join(''),
    ];
    const authorities = file(both);
    const server = await secure('--tls', 'strict', '--cafile', authorities, '--users', 'joe:x', ...options);
    const login = options.length === 0 ? as('joe', 'x') : {};
    const [anns, bobs, eves] = await Promise.all([ann, bob, chain].map((each) => dial(server.port, each, login)));
    files.replace(authorities, both + one);
    await reloads(server.program, 1);
    for (const each of [anns, bobs, eves]) expect(await sends(each!.socket)).toBe(true);
    const told = [next(bobs!.socket), next(eves!.socket)];
    files.replace(authorities, one);
    for (const each of await Promise.all(told)) expect(each).toMatch(/^ERROR\n(.*\n)*message:session ended\n/);
    await expect(dial(server.port, bob, login)).rejects.toThrow();
    expect(await sends(anns!.socket)).toBe(true);
    anns!.socket.destroy();
  });

  it('end their sessions when an authority in between is all that is left of those who vouched for them', async () => {
    const other = certificates.authority('other');
    const between = certificates.issue('between', other, undefined, { constraints: 'CA:TRUE' });
    const eve = certificates.issue('eve', between);
    const [one, above, below] = [ca, other, between].map(({ cert }) => readFileSync(cert, 'utf8')) as [
      string,
      string,
      string,
    ];
    const authorities = file(one + above + below);
    const server = await secure('--tls', 'strict', '--cafile', authorities, '--cert-user', 'cn');
    const [anns, eves] = [await dial(server.port, ann), await dial(server.port, eve)];
    const told = next(eves.socket);
    files.replace(authorities, one + below);
    expect(await told).toMatch(/^ERROR\n(.*\n)*message:session ended\n/);
    await expect(dial(server.port, eve)).rejects.toThrow();
    expect(await sends(anns.socket)).toBe(true);
    anns.socket.destroy();
  });

  it.each(['has been opened', 'is being opened'])(
    'open no sessions when nobody vouches for them any more, where the connection %s before that',
    async (when) => {
      const other = certificates.authority('other');
      const bob = certificates.issue('bob', other);
      const one = readFileSync(ca.cert, 'utf8');
      const authorities = file(one + readFileSync(other.cert, 'utf8'));
      const server = await secure(
        ...['--tls', 'strict', '--cafile', authorities, '--cert-user', 'cn'],
        ...['--login-timeout', '600000', '--verbose', '2'],
      );
      const gate = await Gate.before(server.port);
      const identity = { cert: readFileSync(bob.cert), key: readFileSync(bob.key) };
      const socket = connectTls({ port: gate.port, servername: 'localhost', ca: one, ...identity });
      socket.on('error', () => undefined);
      // The certificate is what the client says second.
      await gate.shut;
      if (when === 'has been opened') {
        gate.open();
        await server.program.says(/connection opened/);
      }
      files.replace(authorities, one);
      await reloads(server.program, 1);
      // Only the authorities of its own time count.
      files.replace(authorities, one + one);
      await reloads(server.program, 2);
      gate.open();
      socket.write('CONNECT\naccept-version:1.2\nhost:h\n\n\0');
      expect(await next(socket)).toMatch(/^ERROR\n(.*\n)*message:session ended\n/);
      expect((await dial(server.port, ann)).text).toContain('CONNECTED');
      gate.close();
    },
  );

  it('end the sessions that they have opened when they expire, and cannot prolong them', async () => {
    const server = await secure('--tls', 'strict', '--cert-user', 'cn', '--users', 'joe:x');
    // Enough for a connection on a machine that is busy.
    const brief = certificates.issueBriefly('brief', ca, 5);
    const [short, password, long] = await Promise.all([
      dial(server.port, brief),
      dial(server.port, brief, as('joe', 'x')),
      dial(server.port, ann),
    ]);
    const told = next(short.socket);
    expect(short.text).toContain('CONNECTED');
    short.socket.write('SEND\ndestination:/session/refresh\n\n\0');
    expect(await told).toMatch(/^ERROR\n(.*\n)*message:session expired\n/);
    // A password counts more, and one that expires later is none of this.
    for (const { socket } of [password, long]) {
      socket.write('SEND\ndestination:/queue/a\nreceipt:r\n\nx\0');
      expect(await next(socket)).toContain('RECEIPT');
      socket.destroy();
    }
    await expect(dial(server.port, brief)).rejects.toThrow();
  });

  it('open no session for an address that is denied while TLS shakes hands', async () => {
    const [config, log] = [file('deny: []\n'), file('')];
    const server = await secure('--tls', 'true', '--config', config, '--audit-log', log);
    const gate = await Gate.before(server.port);
    const socket = connectTls({ port: gate.port, servername: 'localhost', ca: readFileSync(ca.cert) });
    let text = '';
    socket.on('error', () => undefined).on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.write('CONNECT\naccept-version:1.2\nhost:h\n\n\0');
    await gate.shut;
    files.replace(config, 'deny: [127.0.0.0/8]\n');
    await reloads(server.program, 1);
    gate.open();
    if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
    expect(text).toBe('');
    gate.close();
    await server.program.stop();
    expect(JSON.parse(readFileSync(log, 'utf8'))).toMatchObject({ error: 'address not allowed', address: '127.0.0.1' });
  });

  it('end their sessions when another authority takes the name of theirs', async () => {
    const both = (other: Pem) => [ca, other].map(({ cert }) => readFileSync(cert, 'utf8')).join('');
    const first = certificates.authority('same');
    // It names its issuer, but not the key of that: only the signature tells one from the other.
    const bob = certificates.issue('bob', first, undefined, { extension: 'authorityKeyIdentifier=none' });
    const authorities = file(both(first));
    const server = await secure('--tls', 'strict', '--cert-user', 'cn', '--cafile', authorities);
    const [anns, bobs] = [await dial(server.port, ann), await dial(server.port, bob)];
    const told = next(bobs.socket);
    files.replace(authorities, both(certificates.authority('same')));
    expect(await told).toMatch(/^ERROR\n(.*\n)*message:session ended\n/);
    expect(await sends(anns.socket)).toBe(true);
    anns.socket.destroy();
  });

  it('name users from a reload on where they are asked for; where they are not, that takes a new start, and says so', async () => {
    const before = 'users: ["eve:x"]\n';
    const added = `${before}cert-user: cn\n`;
    const [asks, not] = [file(before), file(before)];
    const [strict, open] = [
      await secure('--tls', 'strict', '--config', asks),
      await secure('--tls', 'true', '--config', not),
    ];
    for (const path of [asks, not]) files.replace(path, added);
    await reloads(strict.program, 1);
    expect((await dial(strict.port, ann)).text).toContain('CONNECTED');
    expect(strict.program.stderr).not.toContain('takes a new start');
    await open.program.says(/what takes a new start has changed: cert-user$/m);
    expect((await dial(open.port, ann)).text).toContain('ERROR');
    expect((await dial(open.port, ann, as('eve', 'x'))).text).toContain('CONNECTED');
  });

  it('end their sessions when they stand for another name by now', async () => {
    const users = (of: string) => `cert-user: cn\ncert-users: { ann: ${of}, server: bob }\n`;
    const config = file(users('orders'));
    const server = await secure('--tls', 'strict', '--config', config);
    const [anns, bobs] = [await dial(server.port, ann), await dial(server.port, own)];
    const told = next(anns.socket);
    files.replace(config, users('others'));
    expect(await told).toMatch(/^ERROR\n(.*\n)*message:session ended\n/);
    expect(await sends(bobs.socket)).toBe(true);
    bobs.socket.destroy();
  });

  it('take a new start where there was no TLS; the rest of what has changed holds at once', async () => {
    const config = file('users: ["eve:x"]\n');
    const server = await serve('--config', config);
    files.replace(config, `users: ["ann:one"]\ntls: true\ncertfile: ${own.cert}\nkeyfile: ${own.key}\n`);
    await server.program.says(/what takes a new start has changed: tls$/m);
    await server.connect(as('ann', 'one'));
  });

  it('lists of revoked ones that are none are refused', async () => {
    const program = start(
      ...(['stompserver', '--tls', 'true', '--certfile', own.cert, '--keyfile', own.key] as const),
      ...['--cafile', ca.cert, '--crlfile', own.cert],
    );
    expect((await program.exited).code).toBe(2);
    expect(program.stderr).toContain('holds no list of revoked certificates (PEM)');
  });

  it('are those of the virtual host that a client connects to by name, also when they are renewed', async () => {
    const names = (name: string, host: string) => certificates.issue(name, ca, [`DNS:${host}`]);
    const [mq, wild, renewed] = [names('mq', 'mq.test'), names('wild', '*.apps.test'), names('mq2', 'mq.test')];
    const pair = ({ cert, key }: Pem) => `{ certfile: "${cert}", keyfile: "${key}" }`;
    const config = file(`vhost-certs:\n  mq.test: ${pair(mq)}\n  "*.apps.test": ${pair(wild)}\n`);
    const server = await secure('--tls', 'strict', '--cert-user', 'cn', '--config', config);
    const shown = async (servername: string) => {
      const { socket, text } = await dial(server.port, ann, { servername, host: servername });
      expect(text).toContain('CONNECTED');
      return [socket.getPeerCertificate().subject.CN, socket] as const;
    };
    const [name, socket] = await shown('mq.test');
    expect(name).toBe('mq');
    expect((await shown('a.apps.test'))[0]).toBe('wild');
    expect((await shown('localhost'))[0]).toBe('server');
    copyFileSync(renewed.key, mq.key);
    copyFileSync(renewed.cert, mq.cert);
    await server.program.says(/were read again/);
    expect((await shown('mq.test'))[0]).toBe('mq2');
    expect(await sends(socket)).toBe(true);
    // Whoever has no certificate does not come in by another name, either.
    await expect(dial(server.port, undefined, { servername: 'mq.test' })).rejects.toThrow();
  });

  describe('in a file that is written slowly', () => {
    const text = (...pems: Pem[]) => pems.map(({ cert }) => readFileSync(cert, 'utf8')).join('');
    let other: Pem;
    let bob: Pem;
    beforeAll(() => {
      other = certificates.authority('another');
      bob = certificates.issue('bob of another', other);
    });

    it.each([
      ['authorities', () => text(ca, other), () => text(ca, other, ca), 'cafile'],
      ['lists of revoked ones', () => lists(), () => lists(ann), 'crlfile'],
      ['those of the broker', () => text(own, ca), () => text(own, ca, other), 'certfile'],
    ])(
      '%s are used when it is complete, and those before until then: it is said once',
      async (_w, now, next_, option) => {
        const path = file(now());
        const all = {
          cafile: file(text(ca, other)),
          certfile: file(text(own, ca)),
          keyfile: own.key,
          crlfile: file(lists()),
        };
        const pairs = Object.entries({ ...all, [option]: path }).flatMap(([name, value]) => [`--${name}`, value]);
        const server = await serve('--verbose', '2', '--tls', 'strict', '--cert-user', 'cn', ...pairs);
        const [anns, bobs] = [await dial(server.port, ann), await dial(server.port, bob)];
        const complete = next_();
        const said = () => server.program.stderr.match(/^.*what has changed is not used.*$/gm) ?? [];
        // It begins anew, ends in the midst of a block, and grows.
        const cuts = [200, 100, 50, 10].map((left) => complete.length - left);
        files.replace(path, complete.slice(0, cuts[0]));
        for (const [at, cut] of cuts.entries()) {
          await server.program.until(`attempt ${at + 1}`, () => said().length > at);
          for (const each of [anns, bobs]) expect(await sends(each.socket)).toBe(true);
          for (const each of [ann, bob]) (await dial(server.port, each)).socket.destroy();
          appendFileSync(path, complete.slice(cut, cuts[at + 1]));
        }
        expect(said().filter((line) => line.includes('WARN'))).toHaveLength(1);
        expect(said()[0]).toContain('is cut off, or half written: its last block (PEM) has no end');
        await reloads(server.program, 1);
        expect(await sends(bobs.socket)).toBe(true);
        for (const each of [anns, bobs]) each.socket.destroy();
      },
    );

    /** The list of each authority; the last one's says who is revoked. */
    function lists(...revoked: Pem[]): string {
      const listOf = (by: Pem, ...all: Pem[]) => readFileSync(certificates.revoke(by, ...all), 'utf8');
      return listOf(other) + listOf(ca, ...revoked);
    }
  });

  it('that are revoked are those of one authority, whatever numbers another one has given out', async () => {
    const other = certificates.authority('other');
    const [eve, bob] = [
      // A number whose first bit is set is written with a zero before it.
      certificates.issue('eve', ca, undefined, { serial: '0xff77' }),
      certificates.issue('bob', other, undefined, { serial: '0xff77' }),
    ];
    const both = [ca, other].map(({ cert }) => readFileSync(cert, 'utf8')).join('');
    // One after the other: both are written to the same file.
    const listOf = (by: Pem, ...revoked: Pem[]) => readFileSync(certificates.revoke(by, ...revoked), 'utf8');
    const list = (...revoked: Pem[]) => listOf(other) + listOf(ca, ...revoked);
    const crl = file(list());
    const server = await secure('--tls', 'strict', '--cert-user', 'cn', '--cafile', file(both), '--crlfile', crl);
    const [eves, bobs] = [await dial(server.port, eve), await dial(server.port, bob)];
    const told = next(eves.socket);
    files.replace(crl, list(eve));
    expect(await told).toMatch(/^ERROR\n(.*\n)*message:session ended\n/);
    expect(await sends(bobs.socket)).toBe(true);
    bobs.socket.destroy();
  });

  it('that are revoked do not come in by the name of a virtual host, either', async () => {
    const mq = certificates.issue('mq', ca, ['DNS:mq.test']);
    const bob = certificates.issue('bob', ca);
    const crl = certificates.revoke(ca, ann);
    const hosts = JSON.stringify({ 'mq.test': { certfile: mq.cert, keyfile: mq.key } });
    const log = file('');
    const server = await secure(
      ...['--tls', 'strict', '--cert-user', 'cn', '--crlfile', crl, '--vhost-certs', hosts, '--audit-log', log],
    );
    const names = { servername: 'mq.test', host: 'mq.test' };
    expect((await dial(server.port, bob, names)).text).toContain('CONNECTED');
    await expect(dial(server.port, ann, names)).rejects.toThrow();
    await server.program.stop();
    expect(readFileSync(log, 'utf8')).toContain('the client certificate was revoked');
  });
});
