import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { once } from 'node:events';
import { linkSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Program } from '../../support/program.js';
import { RawPeer } from '../../support/raw.js';
import { handshake, watch } from '../../support/server.js';

// Each test runs whole processes, maybe beside others that do.
jest.setTimeout(120_000);

const programs: Program[] = [];
const folders: string[] = [];

afterEach(async () => {
  await Promise.all(programs.splice(0).map((program) => program.stop()));
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'stompserver-store-'));
  folders.push(made);
  return made;
}

function run(...options: string[]): Program {
  const program = Program.start('stompserver', '--port', '0', ...options);
  programs.push(program);
  return program;
}

async function serve(...options: string[]): Promise<{ program: Program; peer: RawPeer }> {
  const program = run(...options);
  const [, url = ''] = await program.line(/^listening (\S+)$/);
  const peer = watch(await RawPeer.connect(Number(new URL(url).port)));
  await handshake(peer);
  return { program, peer };
}

describe('the program with --data-dir', () => {
  it('has after kill -9 what it has receipted, with the ids that it had', async () => {
    const directory = folder();
    const first = await serve('--data-dir', directory);
    const kept = { destination: '/queue/a', persistent: 'true' };
    for (const body of ['one', 'two', 'three']) await first.peer.receipted('SEND', kept, body);
    await first.peer.receipted('SEND', { destination: '/queue/a' }, 'not persistent');
    await first.peer.subscribe('/queue/a', { ack: 'client-individual' });
    const [, two, three] = await first.peer.messages(3);
    await first.peer.receipted('ACK', first.peer.reference(two!));
    first.program.signal('SIGKILL');
    await first.program.exited;

    const second = await serve('--store', 'disk', '--data-dir', directory);
    await second.peer.receipted('SEND', kept, 'four');
    await second.peer.subscribe('/queue/a', { ack: 'client-individual' });
    const [again, last, fresh] = await second.peer.messages(3);
    expect([again!.text, last!.text, fresh!.text]).toEqual(['one', 'three', 'four']);
    expect(last!.header('message-id')).toBe(three!.header('message-id'));
    const epoch = (id: string | undefined) => id!.split('-')[0];
    expect(epoch(fresh!.header('message-id'))).not.toBe(epoch(three!.header('message-id')));
    await second.peer.receipted('ACK', second.peer.reference(last!));
  });

  it('has after kill -9 what stomper --persistent has sent, and not what stomper has sent without', async () => {
    const directory = folder();
    const first = run('--data-dir', directory);
    const [, url = ''] = await first.line(/^listening (\S+)$/);
    for (const [line, ...options] of [['gone'], ['kept', '--persistent']] as const) {
      const stomper = Program.start('stomper', '--url', url, '--topic', '/queue/a', ...options);
      programs.push(stomper);
      stomper.stdin.end(`${line}\n`);
      expect([await stomper.exited, stomper.stderr]).toEqual([{ code: 0, signal: null }, '']);
    }
    first.signal('SIGKILL');
    await first.exited;
    const { peer } = await serve('--data-dir', directory);
    await peer.subscribe('/queue/a');
    expect(await peer.texts(1)).toEqual(['kept']);
    expect(await peer.rest()).toEqual([]);
  });

  it('does not start on a directory that another process has', async () => {
    const directory = folder();
    const { program } = await serve('--data-dir', directory);
    const other = run('--data-dir', directory);
    expect((await other.exited).code).toBe(1);
    expect(other.stderr).toMatch(`${directory} is in use by process ${program.pid}`);
    expect(other.stdout).toEqual([]);
  });

  it('what was never handed out is not said to be delivered again after a start that found the port in use', async () => {
    const directory = folder();
    const first = await serve('--data-dir', directory);
    await first.peer.receipted('SEND', { destination: '/queue/a', persistent: 'true' }, 'kept');
    first.program.signal('SIGTERM');
    await first.program.exited;

    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    const second = Program.start('stompserver', '--port', String(port), '--data-dir', directory);
    programs.push(second);
    expect((await second.exited).code).toBe(1);
    expect(second.stderr).toMatch('the port is in use');
    taken.close();

    const third = await serve('--data-dir', directory);
    await third.peer.subscribe('/queue/a');
    const message = await third.peer.message();
    expect([message.text, message.header('redelivered') ?? 'false']).toEqual(['kept', 'false']);
  });

  it('tells on stderr how far a long recovery has come, and what it has found', async () => {
    const directory = folder();
    const count = 20_000;
    const first = await serve('--data-dir', directory);
    for (let i = 1; i < count; i++) first.peer.send('SEND', { destination: '/queue/a', persistent: 'true' }, `${i}`);
    await first.peer.receipted('SEND', { destination: '/queue/a', persistent: 'true' }, 'the last');
    first.program.signal('SIGKILL');
    await first.program.exited;
    const [log = ''] = readdirSync(directory).filter((name) => name.endsWith('.log'));

    /** How long a start takes on a store with that file under so many names: more to read, and no more room. */
    const start = async (files: number) => {
      const many = folder();
      for (let number = 1; number <= files; number++) {
        linkSync(join(directory, log), join(many, `${number}.log`.padStart(12, '0')));
      }
      const begin = performance.now();
      const { program } = await serve('--data-dir', many);
      const took = performance.now() - begin;
      program.signal('SIGKILL');
      await program.exited;
      return { program, took };
    };
    const short = await start(1);
    expect(short.program.stderr).not.toMatch('recover');
    let files = 64;
    let long = await start(files);
    while (long.took < short.took + 3_000) long = await start((files *= 2));
    const shares = [...long.program.stderr.matchAll(/recovering: (\d+) % of \d+ MB\n/g)].map(([, share]) =>
      Number(share),
    );
    expect(shares.length).toBeGreaterThan(0);
    expect(shares).toEqual([...new Set(shares)].sort((a, b) => a - b));
    expect(long.program.stderr).toMatch(new RegExp(`recovered ${count} messages in \\d+\\.\\d s\n`));
  });
});
