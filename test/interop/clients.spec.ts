import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { Certificates } from '../support/certificates.js';
import { gate } from '../support/client.js';
import { FaultProxy } from '../support/faults.js';
import { Program } from '../support/program.js';
import { RawPeer, unique } from '../support/raw.js';
import { Script, works } from '../support/script.js';
import { handshake } from '../support/server.js';
import { type Version } from '../support/wire.js';

/** A client library of somebody else's, played by a script in `clients/`. */
interface Client {
  readonly name: string;
  readonly script: string;
  readonly command: string;
  /** What has to be installed, as `command options` that end well. */
  readonly check: string[];
  readonly package: string;
  readonly versions: Version[];
  readonly tls?: boolean;
  readonly tellsVersion?: false;
  /** What it cannot do, and what its script does instead. */
  readonly lacks: string;
}

const all: Version[] = ['1.0', '1.1', '1.2'];

/** What the libraries cannot do is said here; every scenario runs with every one of them all the same. */
const clients: Client[] = [
  {
    name: 'stomp.py',
    script: 'python.py',
    command: '/usr/bin/python3', // Debian's own, which sees Debian's packages.
    check: ['-c', 'import stomp'],
    package: 'python3-stomp',
    versions: all,
    tls: true,
    lacks: 'connecting again by itself: its caller does, told of the loss',
  },
  {
    name: 'ruby stomp',
    script: 'ruby.rb',
    command: '/usr/bin/ruby',
    check: ['-e', 'require "stomp"'],
    package: 'ruby-stomp',
    versions: all,
    tls: true,
    lacks: 'nothing',
  },
  {
    name: 'Net::Stomp',
    script: 'perl.pl',
    command: '/usr/bin/perl',
    check: ['-MNet::Stomp', '-e', '1'],
    package: 'libnet-stomp-perl',
    versions: all,
    lacks:
      'versions: its caller asks for one by header, names what ACK and NACK need, and escapes; ' +
      'BEGIN, COMMIT and ABORT: its caller makes the frames, for its send_transactional waits for a receipt before ' +
      'the COMMIT at which it is due here; a receipt of DISCONNECT',
  },
  {
    name: 'php stomp',
    script: 'php.php',
    command: '/usr/bin/php',
    check: ['-r', 'exit(class_exists("Stomp") ? 0 : 1);'],
    package: 'php-stomp',
    versions: all,
    tellsVersion: false,
    lacks:
      'versions: its caller asks for one by header, names what ACK and NACK need, and escapes; the version of ' +
      'CONNECTED; connecting again: its caller makes a new object; a receipt of DISCONNECT',
  },
  {
    name: '@stomp/stompjs',
    script: 'stompjs.mjs',
    command: process.execPath,
    check: ['-e', 'import("@stomp/tcp-wrapper")'],
    package: '@stomp/stompjs',
    versions: all,
    lacks: 'TLS over TCP: @stomp/tcp-wrapper opens plain sockets only',
  },
  {
    name: 'stompit',
    script: 'stompit.mjs',
    command: process.execPath,
    check: ['-e', 'import("stompit")'],
    package: 'stompit',
    versions: all,
    tls: true,
    lacks: 'subscribing again after a loss: its caller does; reading an ERROR of text/plain, at which it throws',
  },
];

const installed = clients.filter(({ command, check }) => works(command, ...check));
const missing = clients.filter((client) => !installed.includes(client)).map((client) => client.package);
if (missing.length > 0) process.stderr.write(`left out, not installed: ${missing.join(', ')}\n`);

test('every client is there when CI asks for them', () => {
  expect(process.env.CI === 'true' ? missing : []).toEqual([]);
});

const certificates = new Certificates();
const authority = certificates.authority();
const pem = certificates.issue('broker', authority);

let broker: Program;
let port: number;
/** The proxy keeps who connects waiting for it. */
let restarted: Promise<void> | undefined;
let proxy: FaultProxy;
const peers: RawPeer[] = [];
const scripts: Script[] = [];

async function startBroker(...options: string[]): Promise<{ program: Program; port: number }> {
  const users = ['--users', 'alice:se:cret'];
  const program = Program.start('stompserver', '--host', '127.0.0.1', '--port', '0', ...users, ...options);
  const [, found] = await program.line(/^listening \S+:(\d+)$/);
  return { program, port: Number(found) };
}

beforeAll(async () => {
  ({ program: broker, port } = await startBroker());
  proxy = await FaultProxy.listen(async () => {
    await restarted;
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    await once(socket, 'connect');
    return socket;
  });
});

afterEach(() => {
  for (const script of scripts.splice(0)) script.kill();
  for (const peer of peers.splice(0)) peer.destroy();
  proxy.cut();
});

afterAll(async () => {
  await proxy.close();
  await broker.stop();
  certificates.remove();
});

/** A session of our own, by the tests' own wire. */
async function watcher(): Promise<RawPeer> {
  const peer = await RawPeer.connect(port);
  peers.push(peer);
  await handshake(peer, '1.2', { login: 'alice', passcode: 'se:cret' });
  return peer;
}

function play(client: Client, scenario: string, version: Version, queue: string, at = proxy.port, ca = ''): Script {
  const file = fileURLToPath(new URL(`clients/${client.script}`, import.meta.url));
  const options = [scenario, 'localhost', String(at), 'alice', 'se:cret', version, queue, ca];
  const script = new Script(client.command, [file, ...options]);
  scripts.push(script);
  return script;
}

/** A watcher, and a queue into which these messages were sent for the client. */
async function prepare(...bodies: (string | Buffer)[]): Promise<{ peer: RawPeer; queue: string; source: string }> {
  const peer = await watcher();
  const queue = `/queue/${unique('interop')}`;
  const source = `${queue}-in`;
  for (const body of bodies) {
    const length = { 'content-length': String(Buffer.byteLength(body)) };
    await peer.receipted('SEND', { destination: source, ...length }, body);
  }
  return { peer, queue, source };
}

/** The bodies that are in the queue, once its consumer has gone: some clients do not wait for that when they end. */
async function left(peer: RawPeer, queue: string): Promise<string[]> {
  await proxy.quiet();
  await peer.receipted('SEND', { destination: queue }, 'last');
  await peer.subscribe(queue);
  const bodies: string[] = [];
  for (;;) {
    const { text } = await peer.message();
    if (text === 'last') return bodies;
    bodies.push(text);
  }
}

const bye = { disconnected: true };
const octets = Buffer.from(Array.from({ length: 512 }, (_, i) => i % 256));

describe.each(installed)('$name (it lacks $lacks)', (client) => {
  test.each(client.versions)('connects with %s and disconnects', async (version) => {
    const before = proxy.commands.length;
    const seen = await play(client, 'connect', version, '/queue/unused').done();
    expect(seen).toEqual([{ connected: client.tellsVersion === false || version }, bye]);
    expect(proxy.commands.slice(before)).toEqual([expect.stringMatching(/^(CONNECT|STOMP)$/), 'DISCONNECT']);
  });

  test('is told why it is refused', async () => {
    const seen = await play(client, 'refused', '1.2', '/queue/unused').done();
    expect(seen).toEqual([{ refused: expect.stringContaining('connection refused') }]);
  });

  test.each(client.versions)(
    'sends text, a header that needs escapes, and gets its receipt with %s',
    async (version) => {
      const { peer, queue } = await prepare();
      await peer.subscribe(queue);
      expect(await play(client, 'send', version, queue).done()).toEqual([{ receipt: true }, bye]);
      const message = await peer.message();
      expect(message.text).toBe('héllo');
      expect(message.header('kind')).toBe('a:b');
      expect(message.header('content-type')).toBe('text/plain');
    },
  );

  test.each(client.versions)('receives and sends any octets with %s', async (version) => {
    const { peer, queue, source } = await prepare(octets);
    await peer.subscribe(queue);
    expect(await play(client, 'binary', version, queue).done()).toEqual([{ message: octets.toString('hex') }, bye]);
    expect((await peer.message()).body).toEqual(octets);
    expect(await left(peer, source)).toEqual([]);
  });

  const three = [{ message: 'm1' }, { message: 'm2' }, { message: 'm3' }];

  test.each(client.versions)('owes no acknowledgement in auto mode with %s', async (version) => {
    const { peer, queue, source } = await prepare('m1', 'm2', 'm3');
    expect(await play(client, 'auto', version, queue).done()).toEqual([...three, bye]);
    expect(await left(peer, source)).toEqual([]);
  });

  test.each(client.versions)('acknowledges all up to a message in client mode with %s', async (version) => {
    const { peer, queue, source } = await prepare('m1', 'm2', 'm3');
    expect(await play(client, 'client', version, queue).done()).toEqual([...three, bye]);
    expect(await left(peer, source)).toEqual(['m3']);
  });

  test.each(client.versions)('acknowledges one message in client-individual mode with %s', async (version) => {
    const { peer, queue, source } = await prepare('m1', 'm2', 'm3');
    expect(await play(client, 'client-individual', version, queue).done()).toEqual([...three, bye]);
    expect(await left(peer, source)).toEqual(['m1', 'm3']);
  });

  // 1.0 has no NACK.
  test.each(client.versions.filter((version) => version !== '1.0'))(
    'gets back what it NACKs with %s',
    async (version) => {
      const { peer, queue, source } = await prepare('m1');
      expect(await play(client, 'nack', version, queue).done()).toEqual([
        { message: 'm1', redelivered: false },
        { message: 'm1', redelivered: true },
        bye,
      ]);
      expect(await left(peer, source)).toEqual([]);
    },
  );

  test.each(client.versions)('aborts and commits messages and acknowledgements with %s', async (version) => {
    const { peer, queue, source } = await prepare('m1', 'm2');
    expect(await play(client, 'transaction', version, queue).done()).toEqual([{ transactions: true }, bye]);
    expect(await left(peer, queue)).toEqual(['done']);
    expect(await left(peer, source)).toEqual(['m2']);
  });

  test('comes back when its connection was cut, and gets again what it had not acknowledged', async () => {
    const { peer, queue, source } = await prepare('m1');
    const script = play(client, 'reconnect', '1.2', queue);
    await script.until(1);
    proxy.cut();
    await script.until(2);
    await peer.receipted('SEND', { destination: source }, 'end');
    expect(await script.done()).toEqual([
      { message: 'm1', redelivered: false },
      { message: 'm1', redelivered: true },
      { message: 'end', redelivered: false },
      bye,
    ]);
    expect(await left(peer, source)).toEqual([]);
  });

  test('comes back when the broker was started anew', async () => {
    const { queue, source } = await prepare('m1');
    const script = play(client, 'reconnect', '1.2', queue);
    await script.until(1);
    const { promise, open } = gate();
    restarted = promise;
    await broker.stop();
    ({ program: broker, port } = await startBroker());
    open();
    const peer = await watcher();
    await peer.receipted('SEND', { destination: source }, 'end');
    expect(await script.done()).toEqual([
      { message: 'm1', redelivered: false },
      { message: 'end', redelivered: false },
      bye,
    ]);
    expect(await left(peer, source)).toEqual([]);
  });
});

describe('over TLS', () => {
  let program: Program;
  let tlsPort: number;

  beforeAll(async () => {
    const files = ['--certfile', pem.cert, '--keyfile', pem.key];
    ({ program, port: tlsPort } = await startBroker('--tls', 'true', ...files));
  });

  afterAll(() => program.stop());

  test.each(installed.filter(({ tls }) => tls))('$name checks the certificate and connects', async (client) => {
    const seen = await play(client, 'connect', '1.2', '/queue/unused', tlsPort, authority.cert).done();
    expect(seen).toEqual([{ connected: '1.2' }, bye]);
  });
});
