import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { mounting } from '../../support/mounts.js';
import { start, startBy } from '../../support/programs.js';
import { RawPeer } from '../../support/raw.js';
import { handshake, watch } from '../../support/server.js';

// Each test runs whole processes, maybe beside others that do.
jest.setTimeout(120_000);

let root: string;
let directory: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'store-place-'));
  chmodSync(root, 0o755);
  directory = join(root, 'data');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Runs it as a user whom permissions bind: root reads and writes everything. */
const bound = process.getuid?.() === 0 ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] : ['env'];
const uid = process.getuid?.() === 0 ? 65534 : process.getuid?.();

async function serve(...options: string[]) {
  const program = start('stompserver', '--port', '0', '--data-dir', directory, ...options);
  const [, url = ''] = await program.line(/^listening (\S+)$/);
  const peer = watch(await RawPeer.connect(Number(new URL(url).port)));
  await handshake(peer);
  return { program, peer };
}

/** A store with a message, whose broker has ended. */
async function fill() {
  const { program, peer } = await serve();
  await peer.receipted('SEND', { destination: '/queue/a', persistent: 'true' }, 'kept');
  program.signal('SIGTERM');
  await program.exited;
}

/** What a program says that does not start. */
async function refusal(program: ReturnType<typeof start>) {
  const { code } = await program.exited;
  expect(program.stdout).toEqual([]);
  expect(program.stderr.trim().split('\n')).toHaveLength(1);
  return { code, stderr: program.stderr };
}

describe('a data directory that cannot be used is named, with the way out', () => {
  const close = (mode: number) => {
    mkdirSync(directory);
    chmodSync(directory, mode);
  };
  it.each([
    ['one that may not be read', () => close(0o000)],
    ['one that may not be written', () => close(0o555)],
    [
      'one that may not be made',
      () => {
        mkdirSync(join(root, 'above'));
        chmodSync(join(root, 'above'), 0o555);
        directory = join(root, 'above', 'data');
      },
    ],
    [
      'one in which a file may not be read',
      () => {
        close(0o777);
        writeFileSync(join(directory, 'format'), 'nestjs-stomp store 1\n');
        chmodSync(join(directory, 'format'), 0o000);
      },
    ],
    [
      'one in which a file of the log may not be read: its acknowledgements would be undone',
      () => {
        close(0o777);
        writeFileSync(join(directory, 'format'), 'nestjs-stomp store 1\n');
        writeFileSync(join(directory, '00000001.log'), '');
        chmodSync(join(directory, '00000001.log'), 0o000);
      },
    ],
  ])('%s', async (_, make) => {
    make();
    const { code, stderr } = await refusal(startBy(bound, 'stompserver', '--port', '0', '--data-dir', directory));
    expect(code).toBe(1);
    expect(stderr).toContain(
      `stompserver: ${directory} cannot be used for a store: this user (uid ${uid}) may not read or write it; ` +
        "make all of it that user's, or name another directory; EACCES",
    );
  });

  it('one that is a file', async () => {
    writeFileSync(directory, '');
    const { code, stderr } = await refusal(start('stompserver', '--port', '0', '--data-dir', directory));
    expect(code).toBe(1);
    expect(stderr).toContain(`${directory} cannot be used for a store: there is a file where a directory has to be; `);
  });

  it('one that a broker of another user has, or had until it was killed', async () => {
    const { program } = await serve();
    program.signal('SIGKILL');
    await program.exited;
    const lock = join(directory, 'lock');
    for (const path of [directory, lock]) chmodSync(path, 0o777);
    for (const name of readdirSync(lock)) chmodSync(join(lock, name), 0o000);
    const other = () => startBy(bound, 'stompserver', '--port', '0', '--data-dir', directory);
    expect(await refusal(other())).toEqual({
      code: 1,
      stderr: expect.stringContaining(
        `${directory} may be in use: what is in ${lock} belongs to another user, and this one (uid ${uid}) may not ask it`,
      ),
    });
  });

  it('for check, dump and compact as well', async () => {
    close(0o000);
    for (const action of ['check', 'dump', 'compact']) {
      const { code, stderr } = await refusal(startBy(bound, 'stompserver', 'store', action, '--data-dir', directory));
      expect(code).toBe(2);
      expect(stderr).toContain(`${directory} cannot be used for a store: this user (uid ${uid}) may not read or write`);
    }
  });
});

describe('a broker that runs', () => {
  async function serveBy(command: readonly string[]) {
    const program = startBy(command, 'stompserver', '--port', '0', '--data-dir', directory);
    const [, url = ''] = await program.line(/^listening (\S+)$/);
    const port = Number(new URL(url).port);
    const open = async () => {
      const peer = watch(await RawPeer.connect(port));
      await handshake(peer);
      return peer;
    };
    return { program, open, port };
  }

  it('goes on where its directory may be written no more, and takes messages again when it may', async () => {
    mkdirSync(directory);
    chmodSync(directory, 0o777);
    const { program, open } = await serveBy(bound);
    const publisher = await open();
    const send = (body: string) => {
      publisher.send('SEND', { destination: '/queue/a', persistent: 'true', receipt: 'r' }, body);
      return publisher.frame();
    };
    expect((await send('first')).command).toBe('RECEIPT');
    chmodSync(directory, 0o555);
    // Until the store needs another file.
    let answer = await send('x'.repeat(1_000_000));
    while (answer.command === 'RECEIPT') answer = await send('x'.repeat(1_000_000));
    expect(answer.text).toContain('the disk of the store fails (EACCES)');
    const consumer = await open();
    await consumer.subscribe('/queue/a');
    expect(await consumer.texts(1)).toEqual(['first']);
    chmodSync(directory, 0o777);
    await program.says(/there is room again/);
    await (await open()).receipted('SEND', { destination: '/queue/b', persistent: 'true' }, 'again');
  });

  it('hands out what waits on disk while it has no descriptor for another connection', async () => {
    const bodies = Array.from({ length: 100 }, (_, n) => `${n} `.padEnd(400_000, 'x'));
    const { program, peer } = await serve();
    for (const body of bodies) peer.send('SEND', { destination: '/queue/a', persistent: 'true' }, body);
    await peer.receipted('SEND', { destination: '/queue/b', persistent: 'true' }, 'the last');
    program.signal('SIGTERM');
    await program.exited;

    const { open, port, program: again } = await serveBy(['prlimit', '--nofile=60:60']);
    const consumer = await open();
    const idle: RawPeer[] = [];
    // The system takes more connections than the program has descriptors for.
    while (again.handles < 60) idle.push(await RawPeer.connect(port));
    await consumer.subscribe('/queue/a', { ack: 'client-individual', 'prefetch-count': '10' });
    for (const body of bodies) {
      const message = await consumer.message();
      expect(message.text).toBe(body);
      consumer.send('ACK', consumer.reference(message));
    }
    for (const one of idle) one.destroy();
  });
});

describe('what a store holds is for the user alone that the broker runs as', () => {
  const modeOf = (path: string) => {
    const found = statSync(path, { throwIfNoEntry: false });
    return found && (found.mode & 0o777).toString(8);
  };
  /** All that is there but sockets, with who may use it; drafts come and go while it is looked at. */
  const modes = () =>
    Object.fromEntries(
      readdirSync(directory, { recursive: true, withFileTypes: true })
        .filter((found) => !found.isSocket())
        .map(({ parentPath, name }) => join(parentPath, name))
        .flatMap((path) => {
          const mode = modeOf(path);
          return mode === undefined ? [] : [[relative(directory, path), mode]];
        }),
    );

  it('the directory, if the broker has made it, and all that is in it', async () => {
    await fill();
    const log = join(directory, '00000001.log');
    const bytes = readFileSync(log);
    bytes[bytes.lastIndexOf('kept')]! ^= 1;
    writeFileSync(log, bytes);
    const { program } = await serve();
    expect(program.stderr).toContain('set aside in damaged/');
    const { damaged, lock, ...files } = modes();
    expect([modeOf(directory), damaged, lock]).toEqual(['700', '700', '700']);
    expect(Object.keys(files)).toEqual(
      expect.arrayContaining([expect.stringMatching(/^\d{8}\.log$/), 'format', 'reserve']),
    );
    expect(Object.keys(files).some((name) => name.startsWith('damaged'))).toBe(true);
    expect(new Set(Object.values(files))).toEqual(new Set(['600']));
    program.signal('SIGTERM');
    await program.exited;
    expect(modes()).toMatchObject({ closed: '600' });
  });

  it('a directory that was there before stays as open as it is', async () => {
    mkdirSync(directory);
    chmodSync(directory, 0o750);
    await fill();
    expect([modeOf(directory), modes()]).toEqual([
      '750',
      expect.objectContaining({ '00000001.log': '600', format: '600' }),
    ]);
  });
});

describe('on a file system that is mounted for reading only', () => {
  /** The directory as it is, for reading only. */
  const run = (...options: string[]) =>
    startBy(mounting('mount --bind "$0" "$0" && mount -o remount,bind,ro "$0"', root), 'stompserver', ...options);

  it('check and dump show what a store holds, without its lock too', async () => {
    await fill();
    for (const name of [directory, join(root, 'snapshot')]) {
      if (name !== directory) {
        cpSync(directory, name, { recursive: true });
        rmSync(join(name, 'lock'), { recursive: true });
      }
      const check = run('store', 'check', '--data-dir', name);
      expect([await check.exited, check.stderr]).toEqual([{ code: 0, signal: null }, '']);
      expect(check.stdout).toContain('messages: 1');
      const dump = run('store', 'dump', '--data-dir', name, '--bodies');
      expect([await dump.exited, dump.stderr]).toEqual([{ code: 0, signal: null }, '']);
      expect(dump.stdout.map((line) => (JSON.parse(line) as { body: string }).body)).toEqual(['kept']);
    }
  });

  it('they are told of a broker that runs on it, which has mounted it for writing', async () => {
    const { program } = await serve();
    const { code, stderr } = await refusal(run('store', 'check', '--data-dir', directory));
    expect(code).toBe(2);
    expect(stderr).toContain(`${directory} is in use by process ${program.pid}`);
  });

  it('a broker and compact say why they cannot use it', async () => {
    await fill();
    const why = `${directory} cannot be used for a store: it is on a read-only file system; mount that for writing, or`;
    const broker = await refusal(run('--port', '0', '--data-dir', directory));
    expect([broker.code, broker.stderr]).toEqual([1, expect.stringContaining(why)]);
    const compact = await refusal(run('store', 'compact', '--data-dir', directory));
    expect([compact.code, compact.stderr]).toEqual([2, expect.stringContaining(why)]);
  });
});
