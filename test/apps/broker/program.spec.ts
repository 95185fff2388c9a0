import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { Certificates, type Pem } from '../../support/certificates.js';
import { type Exit, Program } from '../../support/program.js';
import { RawPeer } from '../../support/raw.js';
import { handshake, watch } from '../../support/server.js';
import { type Headers } from '../../support/wire.js';

// Each test runs whole processes, maybe beside others that do.
jest.setTimeout(120_000);

const folder = mkdtempSync(join(tmpdir(), 'stompserver-'));
const programs: Program[] = [];

afterEach(async () => {
  await Promise.all(programs.splice(0).map((program) => program.stop()));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

function run(options: readonly string[], env: Readonly<Record<string, string>> = {}): Program {
  const program = Program.startIn(env, 'stompserver', ...options);
  programs.push(program);
  return program;
}

interface Server {
  readonly program: Program;
  readonly url: string;
  readonly port: number;
  open(): Promise<RawPeer>;
  connect(headers?: Headers): Promise<RawPeer>;
  refusal(headers?: Headers): Promise<string | undefined>;
}

/** The program, listening on a free port. */
async function serve(options: readonly string[] = [], env: Readonly<Record<string, string>> = {}): Promise<Server> {
  const program = run(['--port', '0', ...options], env);
  const [, url = ''] = await program.line(/^listening (stomp(?:\+tls)?:\/\/\S+)$/);
  const port = Number(new URL(url).port);
  const open = async () => watch(await RawPeer.connect(port));
  return {
    program,
    url,
    port,
    open,
    connect: async (headers = {}) => {
      const peer = await open();
      await handshake(peer, '1.2', headers);
      return peer;
    },
    refusal: async (headers = {}) => {
      const peer = await open();
      peer.send('CONNECT', { 'accept-version': '1.2', host: 'h', ...headers });
      const error = await peer.refused();
      peer.end();
      return error.header('message');
    },
  };
}

/** What a program that does not start has to say. */
async function failure(options: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const program = run(options, env);
  const { code } = await program.exited;
  return { code, stdout: program.stdout, lines: program.stderr.split('\n').filter((line) => line !== '') };
}

const ended = (program: Program, name: NodeJS.Signals): Promise<Exit> => {
  program.signal(name);
  return program.exited;
};

describe('the program', () => {
  it('says on stdout where it listens, in one line, and logs on stderr', async () => {
    const { program, url } = await serve(['--verbose', '5']);
    expect(url).toMatch(/^stomp:\/\/127\.0\.0\.1:[1-9]\d*$/);
    expect(program.stdout).toEqual([`listening ${url}`]);
    await ended(program, 'SIGTERM');
    expect(program.stdout).toEqual([`listening ${url}`]);
    expect(program.stderr).toContain('SIGTERM');
  });

  it('is silent but for that line unless it is asked to talk', async () => {
    const server = await serve();
    const peer = await server.connect();
    peer.send('NONSENSE');
    await peer.refused();
    peer.end();
    expect(await ended(server.program, 'SIGTERM')).toEqual({ code: 0, signal: null });
    expect(server.program.stderr).toBe('');
  });

  it('starts in a small multiple of the time that Node itself takes', async () => {
    let [own, node] = [Infinity, Infinity];
    for (let attempt = 0; attempt < 3; attempt++) {
      let start = performance.now();
      execFileSync(process.execPath, ['-e', '0']);
      node = Math.min(node, performance.now() - start);
      start = performance.now();
      const { program } = await serve();
      own = Math.min(own, performance.now() - start);
      await program.stop();
    }
    // About ten times on a quiet machine, which is less than 0.7 s.
    expect(own / node).toBeLessThan(40);
  });

  it('shows no arguments in its process title', async () => {
    const { program } = await serve(['--users', 'ann:hunter2']);
    const shown = execFileSync('ps', ['-o', 'args=', '-p', String(program.pid)], { encoding: 'utf8' });
    expect(shown.trim()).toBe('stompserver');
  });
});

describe('--help and --version', () => {
  it('answer on stdout and exit 0', async () => {
    const help = await failure(['--help']);
    expect(help.code).toBe(0);
    expect(help.lines).toEqual([]);
    for (const word of ['--host', '--tls', '--users-file', '--log-format', 'Example:']) {
      expect(help.stdout.join('\n')).toContain(word);
    }
    const version = await failure(['--version']);
    expect(version).toMatchObject({ code: 0, lines: [] });
    expect(version.stdout).toEqual([expect.stringMatching(/^\d+\.\d+\.\d+/)]);
  });
});

describe('what is wrong at the start', () => {
  it('with options is told line by line, with exit code 2', async () => {
    const { code, stdout, lines } = await failure(['--port', '70000', '--tls', 'maybe', '--verbose', '9']);
    expect(code).toBe(2);
    expect(stdout).toEqual([]);
    expect(lines).toHaveLength(3);
    for (const [index, name] of ['--port', '--tls', '--verbose'].entries()) {
      expect(lines.some((line) => line.startsWith(`stompserver: flag ${name} `))).toBe(true);
      expect(lines[index]).toMatch(/^stompserver: /);
    }
    expect((await failure(['--bogus'])).code).toBe(2);
    expect((await failure([], { STOMPSERVER_PORT: 'x' })).code).toBe(2);
    expect((await failure(['--config', file('bad.yaml', 'prt: 1\n')])).code).toBe(2);
    expect((await failure(['--users-file', join(folder, 'missing')])).code).toBe(2);
  });

  it('with the port is one line, with exit code 1', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    try {
      const { code, stdout, lines } = await failure(['--port', String(port)]);
      expect(code).toBe(1);
      expect(stdout).toEqual([]);
      expect(lines).toEqual([
        `stompserver: cannot listen on 127.0.0.1 port ${port}: the port is in use; choose another --port`,
      ]);
    } finally {
      server.close();
    }
  });

  it('with the address is one line, with exit code 1', async () => {
    const { code, lines } = await failure(['--host', '192.0.2.1', '--allow-anonymous', '--port', '0']);
    expect(code).toBe(1);
    expect(lines).toEqual(['stompserver: cannot listen on 192.0.2.1: it is no address of this machine; see --host']);
  });

  it('with a certificate is one line, with exit code 1', async () => {
    const missing = join(folder, 'missing.pem');
    const absent = await failure(['--tls', 'true', '--certfile', missing, '--keyfile', missing]);
    const line = `stompserver: cannot read --certfile ${missing}: there is no such file`;
    expect(absent).toEqual({ code: 1, stdout: [], lines: [line] });
  });
});

describe.each(['SIGTERM', 'SIGINT'] as const)('%s', (signal) => {
  it('ends the sessions with an ERROR, after what was read of them, and exits 0', async () => {
    const server = await serve();
    const [peer, reader] = [await server.connect(), await server.connect()];
    await reader.subscribe('/queue/a');
    await peer.receipted('SEND', { destination: '/queue/a' }, 'one');
    const exit = ended(server.program, signal);
    for (const each of [peer, reader]) {
      const error = await each.refused();
      expect(error.header('message')).toBe('server is shutting down');
      each.end();
    }
    expect(reader.received.toString()).toContain('\n\none\0');
    expect(await exit).toEqual({ code: 0, signal: null });
    await expect(RawPeer.connect(server.port)).rejects.toBeDefined();
  });

  it('exits at once when it comes a second time', async () => {
    const server = await serve(['--verbose', '1']);
    const peer = await server.connect();
    // This client reads nothing and stays, so that a graceful end takes its time.
    peer.pause();
    server.program.signal(signal);
    while (!server.program.stderr.includes(signal)) await new Promise((resolve) => setImmediate(resolve));
    server.program.signal(signal);
    expect((await server.program.exited).code).toBe(1);
  });
});

describe('who may connect', () => {
  it('without users is anybody, on loopback only', async () => {
    const server = await serve();
    await server.connect();
    await server.connect({ login: 'any', passcode: 'body' });
    const { code, lines } = await failure(['--host', '0.0.0.0', '--port', '0']);
    expect(code).toBe(2);
    expect(lines[0]).toContain('--allow-anonymous');
  });

  it('without users may be anybody from anywhere with --allow-anonymous', async () => {
    const server = await serve(['--allow-anonymous', '--host', '0.0.0.0']);
    expect(server.url).toMatch(/^stomp:\/\/0\.0\.0\.0:\d+$/);
    await server.connect();
  });

  it('are the users of --users, whose passwords may hold colons', async () => {
    const server = await serve(['--host', '127.0.0.1', '--users', 'user1:mysecret user2:a:b:c']);
    await server.connect({ login: 'user1', passcode: 'mysecret' });
    await server.connect({ login: 'user2', passcode: 'a:b:c' });
    const wrong: Headers[] = [{}, { login: 'user2', passcode: 'a' }, { login: 'user1', passcode: 'a:b:c' }];
    for (const headers of wrong) {
      expect(await server.refusal(headers)).toBe('connection refused');
    }
  });

  it('are those of --users-file too, with plain and with hashed passwords', async () => {
    // bcrypt of "hashed", as htpasswd -B writes it.
    const { default: bcrypt } = (await import('bcrypt')) as unknown as {
      default: { hash(text: string, cost: number): Promise<string> };
    };
    const hash = (await bcrypt.hash('hashed', 4)).replace(/^\$2b/, '$2y');
    const users = file('users', `# staff\nann:plain:text\n\nbob:${hash}\n`);
    const server = await serve(['--host', '127.0.0.1', '--users-file', users, '--users', 'eve:inline']);
    await server.connect({ login: 'ann', passcode: 'plain:text' });
    await server.connect({ login: 'bob', passcode: 'hashed' });
    await server.connect({ login: 'eve', passcode: 'inline' });
    for (const passcode of ['wrong', hash, '']) {
      expect(await server.refusal({ login: 'bob', passcode })).toBe('connection refused');
    }
  });

  it('are addresses of --allow that are not in --deny', async () => {
    const none = await serve(['--allow', '10.0.0.0/8 192.168.*']);
    const peer = await none.open();
    await peer.closed().catch(() => undefined);
    expect(peer.received).toHaveLength(0);
    const denied = await serve(['--deny', '127.0.0.0/8']);
    const other = await denied.open();
    await other.closed().catch(() => undefined);
    expect(other.received).toHaveLength(0);
    await (await serve(['--allow', '127.0.0.*', '--deny', '127.0.0.9'])).connect();
  });

  it('may ask for the hosts of --vhosts', async () => {
    const server = await serve(['--vhosts', 'one,*.test']);
    await server.connect({ host: 'one' });
    await server.connect({ host: 'a.test' });
    expect(await server.refusal({ host: 'two' })).toBe('unknown virtual host');
  });

  it('are at most as many as --max-connections says', async () => {
    const server = await serve(['--max-connections', '1']);
    const peer = await server.connect();
    const second = await server.open();
    expect((await second.refused()).header('message')).toBe('too many connections');
    await peer.receipted('DISCONNECT');
    await peer.closed();
  });

  it('have to say so within --login-timeout', async () => {
    const server = await serve(['--login-timeout', '50']);
    const peer = await server.open();
    expect((await peer.refused()).header('message')).toBe('login timeout');
  });
});

describe('options', () => {
  it('may come from the environment, a file and flags, each over the one before', async () => {
    const config = file('broker.yaml', 'users:\n  - "ann:of the file"\nmax-body: 10\nheartbeat-in: 3000\n');
    const env = { STOMPSERVER_MAX_BODY: '20', STOMPSERVER_HEARTBEAT_IN: '4000', STOMPSERVER_CONFIG: config };
    const server = await serve(['--host', '127.0.0.1', '--heartbeat-in', '5000', '--heartbeat-out', '0'], env);
    const peer = await server.open();
    const connected = await handshake(peer, '1.2', { login: 'ann', passcode: 'of the file' });
    expect(connected.header('heart-beat')).toBe('0,5000');
    await peer.receipted('SEND', { destination: '/queue/a' }, 'x'.repeat(20));
    peer.send('SEND', { destination: '/queue/a' }, 'x'.repeat(21));
    expect((await peer.refused()).text).toContain('20');
  });

  it('of heart-beats are kept to, both ways', async () => {
    const server = await serve(['--heartbeat-out', '20', '--heartbeat-in', '50', '--heartbeat-tolerance', '3']);
    const peer = await server.open();
    const connected = await handshake(peer, '1.2', { 'heart-beat': '50,20' });
    expect(connected.header('heart-beat')).toBe('20,50');
    await peer.beats(2);
    expect((await peer.refused()).header('message')).toBe('heart-beat missed');
  });

  it('of headers are limits', async () => {
    const server = await serve(['--max-header', '200', '--max-headers', '20']);
    for (const headers of [
      { long: 'x'.repeat(200) },
      Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`h${index}`, 'x'])),
    ]) {
      const peer = await server.connect();
      peer.send('SEND', { destination: '/queue/a', ...headers }, 'x');
      expect((await peer.refused()).header('message')).toBe('malformed frame');
    }
  });
});

describe('the log', () => {
  const secrets = ['hunter2', 'hunter3'];

  /** Runs a session with secrets in it, good and bad, and gives back what was logged. */
  const logOf = async (...options: string[]) => {
    const server = await serve(['--host', '127.0.0.1', '--users', `ann:${secrets[0]}`, ...options]);
    const peer = await server.connect({ login: 'ann', passcode: secrets[0]! });
    await peer.receipted('SEND', { destination: '/queue/a', 'x-api-token': secrets[1]!, color: 'red' }, 'body of it');
    await server.refusal({ login: 'ann', passcode: secrets[1]! });
    const malformed = await server.open();
    malformed.write(`CONNECT\naccept-version:1.2\npasscode ${secrets[0]}\n\n\0`);
    await malformed.refused();
    for (const each of [peer, malformed]) each.end();
    await server.program.stop();
    return server.program.stderr;
  };

  it.each([
    ['0', [], ['SIGTERM']],
    ['1', ['SIGTERM'], ['connection opened']],
    ['2', ['connection opened', 'the login or the passcode is wrong'], ['heart-beats every']],
    ['3', ['heart-beats every'], ['SEND']],
    ['4', ['SEND', 'RECEIPT'], ['color']],
    ['5', ['"color": "red"', 'passcode": ***', 'token": ***'], []],
  ] as const)('at level %s says %j, not yet %j, and never a secret', async (level, said, unsaid) => {
    const log = await logOf('--verbose', level);
    for (const words of said) expect(log).toContain(words);
    for (const words of [...unsaid, ...secrets, 'body of it']) expect(log).not.toContain(words);
    if (level === '0') expect(log).toBe('');
  });

  it('in json is one object a line', async () => {
    const log = await logOf('--verbose', '5', '--log-format', 'json');
    const lines = log.split('\n').filter((line) => line !== '');
    expect(lines.length).toBeGreaterThan(10);
    for (const secret of [...secrets, 'body of it']) expect(log).not.toContain(secret);
    for (const line of lines) {
      expect(JSON.parse(line)).toMatchObject({
        timestamp: expect.any(String),
        level: expect.any(String),
        message: expect.any(String),
      });
    }
  });
});

describe('over TLS', () => {
  const certificates = new Certificates();
  let ca: Pem;
  let server: Pem;
  let client: Pem;
  let stranger: Pem;

  beforeAll(() => {
    ca = certificates.authority('ca');
    server = certificates.issue('server', ca);
    client = certificates.issue('client', ca);
    stranger = certificates.issue('stranger', certificates.authority('other'));
  });
  afterAll(() => certificates.remove());

  const pem = (path: string) => readFileSync(path);
  const identity = (of: Pem) => ({ cert: pem(of.cert), key: pem(of.key) });
  const secure = (mode: string) =>
    serve(['--tls', mode, '--certfile', server.cert, '--keyfile', server.key, '--cafile', ca.cert]);

  /** CONNECTED over TLS, or what went wrong. */
  const attempt = async (port: number, options: ConnectionOptions = {}): Promise<TLSSocket> => {
    const socket = connectTls({ port, host: 'localhost', ca: pem(ca.cert), ...options });
    // With TLS 1.3 a refused certificate is told after the handshake, at the first read.
    await new Promise<void>((resolve, reject) => {
      socket.on('error', reject);
      socket.on('close', () => reject(new Error('closed')));
      socket.on('data', () => resolve());
      socket.write('CONNECT\naccept-version:1.2\nhost:h\n\n\0');
    });
    socket.on('error', () => undefined);
    return socket;
  };

  it.each(['true', 'yes', 'ON'])('--tls %s serves clients without a certificate, and no clear text', async (mode) => {
    const { url, port } = await secure(mode);
    expect(url).toMatch(/^stomp\+tls:\/\/127\.0\.0\.1:\d+$/);
    const socket = await attempt(port);
    expect(socket.authorized).toBe(true);
    expect(['TLSv1.2', 'TLSv1.3']).toContain(socket.getProtocol());
    socket.destroy();
    const plain = connectTcp(port, '127.0.0.1');
    plain.write('CONNECT\naccept-version:1.2\nhost:h\n\n\0');
    let answer = '';
    plain.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1'))).on('error', () => undefined);
    await once(plain, 'close');
    expect(answer).not.toContain('CONNECTED');
  });

  it('--tls strict serves those with a certificate of the CA only', async () => {
    const { port } = await secure('strict');
    (await attempt(port, identity(client))).destroy();
    await expect(attempt(port)).rejects.toBeDefined();
    await expect(attempt(port, identity(stranger))).rejects.toBeDefined();
    await expect(attempt(port, { maxVersion: 'TLSv1.2' })).rejects.toBeDefined();
    (await attempt(port, { ...identity(client), maxVersion: 'TLSv1.2' })).destroy();
  });

  it('speaks no version below 1.2', async () => {
    const { port } = await secure('true');
    const old: ConnectionOptions = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' };
    await expect(attempt(port, old)).rejects.toBeDefined();
  });

  it('ends as it does without: sessions are told, exit code 0', async () => {
    const { program, port } = await secure('true');
    const socket = await attempt(port);
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    const exit = ended(program, 'SIGTERM');
    await once(socket, 'end');
    socket.destroy();
    expect(text).toContain('server is shutting down');
    expect(await exit).toEqual({ code: 0, signal: null });
  });
});
