import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Program } from '../../support/program.js';
import { RawPeer } from '../../support/raw.js';
import { mounting } from '../../support/mounts.js';
import { start, startBy } from '../../support/programs.js';
import { handshake, watch } from '../../support/server.js';

// Each test runs whole processes, maybe beside others that do.
jest.setTimeout(120_000);

const KEPT = { persistent: 'true' };
const BYTES = Buffer.from([0xff, 0xfe, 1]);
const digits = (count: number) => Array.from({ length: count }, (_, i) => `order ${i}`);

let root: string;
/** The directory of a broker that was killed: what it had receipted stands there. */
let killed: string;
/** A copy of it, of one test. */
let directory: string;

async function serve(place: string) {
  const program = start('stompserver', '--port', '0', '--data-dir', place);
  const [, url = ''] = await program.line(/^listening (\S+)$/);
  const peer = watch(await RawPeer.connect(Number(new URL(url).port)));
  await handshake(peer, '1.2', { 'client-id': 'me' });
  return { program, peer };
}

async function fill(place: string): Promise<void> {
  const { program, peer } = await serve(place);
  const send = (destination: string, body: string | Buffer, headers = {}) =>
    peer.receipted('SEND', { destination, ...KEPT, ...headers }, body);
  for (const body of digits(9)) await send('/queue/orders', body);
  await send('/queue/orders', 'urgent', { priority: '8', 'api-token': 'hidden' });
  await send('/queue/bytes', BYTES);
  await peer.subscribe('/topic/news', { id: 'd', 'activemq.subscriptionName': 'reader' });
  await peer.receipted('UNSUBSCRIBE', { id: 'd' });
  await send('/topic/news', 'headline', { retain: 'true' });
  await send('/queue/later', 'in time', { 'x-delay': '3600000' });
  await peer.subscribe('/queue/orders', { id: 'q', ack: 'client-individual', 'prefetch-count': '3' });
  const [urgent, first] = await peer.messages(3);
  expect(urgent!.text).toBe('urgent');
  await peer.receipted('ACK', peer.reference(first!));
  program.signal('SIGKILL');
  await program.exited;
}

const store = async (...options: string[]) => {
  const program = start('stompserver', 'store', ...options);
  const { code } = await program.exited;
  return { code, lines: program.stdout, stderr: program.stderr };
};
const lines = (dump: { lines: string[] }) => dump.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
const logs = (place = directory) =>
  readdirSync(place)
    .filter((name) => name.endsWith('.log'))
    .sort()
    .map((name) => join(place, name));
/** All that a directory holds, but for what only a living process uses. */
const contents = (place: string) =>
  readdirSync(place)
    .filter((name) => name !== 'lock' && statSync(join(place, name)).isFile())
    .map((name) => [name, readFileSync(join(place, name)).toString('base64')]);
/** Where what was written ends, and what was filled beforehand follows. */
const endOf = (bytes: Buffer) => bytes.findLastIndex((octet) => octet !== 0xff) + 1;
const spoil = (text: string) => {
  const [path = ''] = logs();
  const bytes = readFileSync(path);
  const at = bytes.indexOf(text);
  bytes[at] = bytes[at]! ^ 1;
  writeFileSync(path, bytes);
  return at;
};

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'stompserver-store-command-'));
  killed = join(root, 'killed');
  await fill(killed);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));
beforeEach(() => {
  directory = mkdtempSync(join(root, 'copy-'));
  cpSync(killed, directory, { recursive: true, filter: (path) => basename(path) !== 'lock' });
});

describe('stompserver store check', () => {
  it('counts what a killed broker has left, finds nothing damaged, and changes nothing', async () => {
    const before = contents(directory);
    const { code, lines, stderr } = await store('check', '--data-dir', directory);
    expect([code, stderr]).toEqual([0, '']);
    expect(lines.join('\n')).toMatch(/^log: 1 files, \d+ octets, \d+ of them needed$/m);
    // Nine orders and an urgent one without the one that was acknowledged; bytes; what the durable subscription has.
    expect(lines).toEqual(
      expect.arrayContaining([
        'messages: 11',
        'durable subscriptions: 1',
        'retained messages: 1',
        'scheduled messages: 1',
        'result: nothing is damaged',
      ]),
    );
    expect(lines.join('\n')).toMatch(/^acknowledgements .*: [1-9]/m);
    expect(contents(directory)).toEqual(before);
  });

  it('names every damaged file and where in it, and leaves all there', async () => {
    const at = spoil('order 4');
    const file = basename(logs()[0]!);
    writeFileSync(join(directory, '00000000.log'), 'something else than a log');
    const before = contents(directory);
    const { code, lines } = await store('check', '--data-dir', directory);
    expect(code).toBe(1);
    const damage = lines.filter((line) => line.startsWith('damage: ')).join('\n');
    const [, from, to] = new RegExp(`${file} is damaged from (\\d+) to (\\d+): messages of /queue/orders$`, 'm').exec(
      damage,
    )!;
    expect(Number(from)).toBeLessThan(at);
    expect(Number(to)).toBeGreaterThan(at);
    expect(damage).toContain('00000000.log is no file of a store, 25 octets');
    expect(lines).toContain('messages: 10');
    expect(contents(directory)).toEqual(before);
  });

  it('names a file that is missing, and leaves it to whoever can put it back', async () => {
    const [path = ''] = logs();
    const bytes = readFileSync(path);
    rmSync(path);
    const { code, lines } = await store('check', '--data-dir', directory);
    expect([code, lines]).toEqual([
      1,
      expect.arrayContaining([expect.stringMatching(`^damage: ${basename(path)} is missing`)]),
    ]);
    writeFileSync(path, bytes);
    expect(await store('check', '--data-dir', directory)).toMatchObject({ code: 0 });
  });

  it('takes a write that was cut off for no damage, and says that it is there', async () => {
    const [path = ''] = logs();
    truncateSync(path, endOf(readFileSync(path)) - 3);
    const { code, lines } = await store('check', '--data-dir', directory);
    expect(code).toBe(0);
    expect(lines.join('\n')).toMatch(/^note: \d+\.log ends with a write that was cut off, \d+ octets from \d+/m);
  });

  it('dumps what is there beside a write that was cut off, which is no damage', async () => {
    const [path = ''] = logs();
    const before = (await store('dump', '--data-dir', directory)).lines;
    const file = readFileSync(path);
    writeFileSync(path, Buffer.concat([file.subarray(0, endOf(file)), file.subarray(8, 12), Buffer.from('cut off')]));
    const { code, lines, stderr } = await store('dump', '--data-dir', directory);
    expect([code, lines]).toEqual([0, before]);
    expect(stderr).toMatch('ends with a write that was cut off');
  });

  it.each(['check', 'dump', 'compact'])('has %s refuse a store that a broker runs on', async (action) => {
    const { program } = await serve(directory);
    const { code, stderr, lines } = await store(action, '--data-dir', directory);
    expect([code, lines]).toEqual([2, []]);
    expect(stderr).toContain(`${directory} is in use by process ${program.pid}`);
  });
});

describe('stompserver store dump', () => {
  it('prints a line for each message, queue by queue and as they would be delivered, without bodies and secrets', async () => {
    const dump = await store('dump', '--data-dir', directory);
    expect([dump.code, dump.stderr]).toEqual([0, '']);
    const all = lines(dump);
    expect(all).toHaveLength(13);
    const orders = all.filter(({ name }) => name === 'orders');
    expect(orders.map(({ length }) => length)).toEqual([6, ...Array.from({ length: 8 }, () => 7)]);
    expect(orders[0]).toMatchObject({ kind: 'queue', destination: '/queue/orders', headers: { 'api-token': '***' } });
    expect(orders[0]!['message-id']).toMatch(/./);
    expect(all.map(({ kind, name }) => [kind, kind === 'scheduled' ? '' : name])).toEqual(
      expect.arrayContaining([
        ['durable', 'reader'],
        ['retained', '/topic/news'],
        ['scheduled', ''],
      ]),
    );
    expect(dump.lines.join()).not.toMatch(/hidden|headline/);
  });

  it('prints bodies as text, or as base64, up to a limit, of the destinations that are asked for', async () => {
    const only = async (pattern: string, ...more: string[]) =>
      lines(await store('dump', '--data-dir', directory, '--bodies', '--destination', pattern, ...more));
    expect((await only('/queue/orders')).map(({ body }) => body)).toEqual(['urgent', ...digits(9).slice(1)]);
    expect((await only('/topic/n*')).length).toBe(0);
    expect((await only('/topic/*')).map(({ kind, body }) => [kind, body])).toEqual(
      expect.arrayContaining([
        ['durable', 'headline'],
        ['retained', 'headline'],
      ]),
    );
    expect(await only('/queue/bytes')).toMatchObject([{ 'body-base64': BYTES.toString('base64'), length: 3 }]);
    const [cut] = await only('/queue/orders', '--max-body', '3');
    expect(cut).toMatchObject({ body: 'urg', truncated: true, length: 6 });
  });

  it('leaves out what is damaged, and says so', async () => {
    spoil('order 4');
    const dump = await store('dump', '--data-dir', directory, '--bodies', '--destination', '/queue/orders');
    expect(dump.code).toBe(1);
    expect(dump.stderr).toMatch(/\d+\.log is damaged from \d+/);
    expect(lines(dump).map(({ body }) => body)).toEqual(['urgent', ...digits(9).filter((_, i) => i !== 0 && i !== 4)]);
  });

  it('ends quietly when nobody reads it any more', async () => {
    const { program, peer } = await serve(directory);
    for (let i = 0; i < 99; i++) peer.send('SEND', { destination: '/queue/large', ...KEPT }, 'x'.repeat(50_000));
    await peer.receipted('SEND', { destination: '/queue/large', ...KEPT }, 'x');
    await program.stop();
    const dump = Program.start('stompserver', 'store', 'dump', '--data-dir', directory, '--bodies');
    await dump.line(/./);
    dump.closeStdout();
    expect((await dump.exited).code).toBe(0);
    expect(dump.stderr).toBe('');
  });
});

describe('stompserver store compact', () => {
  it('leaves what is needed, and nothing else: a broker serves the same as before', async () => {
    const first = await serve(directory);
    for (let i = 0; i < 50; i++) {
      first.peer.send('SEND', { destination: '/queue/gone', ...KEPT }, 'y'.repeat(50_000));
    }
    await first.peer.receipted('SEND', { destination: '/queue/gone', ...KEPT }, 'last');
    await first.peer.subscribe('/queue/gone', { id: 'g', ack: 'client', 'prefetch-count': '100' });
    const gone = await first.peer.messages(51);
    await first.peer.receipted('ACK', first.peer.reference(gone.at(-1)!));
    await first.program.stop();
    const before = lines(await store('dump', '--data-dir', directory, '--bodies'));
    const size = logs().reduce((sum, path) => sum + statSync(path).size, 0);
    expect(size).toBeGreaterThan(2_000_000);

    const { code, lines: said, stderr } = await store('compact', '--data-dir', directory);
    expect([code, stderr]).toEqual([0, '']);
    const [, told, left] = /^before: (\d+) octets, after: (\d+) octets$/.exec(said[0]!)!;
    expect(Number(told)).toBe(size);
    expect(Number(left)).toBe(logs().reduce((sum, path) => sum + statSync(path).size, 0));
    expect(Number(left)).toBeLessThan(10_000);
    expect(lines(await store('dump', '--data-dir', directory, '--bodies'))).toEqual(before);
    const { peer } = await serve(directory);
    await peer.subscribe('/queue/orders');
    expect(await peer.texts(9)).toEqual(['urgent', ...digits(9).slice(1)]);
  });

  it('loses nothing when it is killed, wherever that is', async () => {
    const { program, peer } = await serve(directory);
    for (let i = 0; i < 400; i++) {
      const destination = i % 2 === 0 ? '/queue/stays' : '/queue/goes';
      peer.send('SEND', { destination, ...KEPT }, `${i} `.padEnd(200_000, 'z'));
    }
    await peer.receipted('SEND', { destination: '/queue/stays', ...KEPT }, 'last');
    await program.stop();
    const ids = async () => lines(await store('dump', '--data-dir', directory)).map((line) => line['message-id']);
    const before = await ids();
    expect(before).toHaveLength(414);
    const [first = ''] = logs();
    const compact = Program.start('stompserver', 'store', 'compact', '--data-dir', directory);
    // It is under way once a new file is there, or the first one is gone.
    const count = logs().length;
    while (logs().length === count && existsSync(first)) await new Promise((resolve) => setImmediate(resolve));
    compact.signal('SIGKILL');
    await compact.exited;
    expect(await ids()).toEqual(before);
    expect((await store('compact', '--data-dir', directory)).code).toBe(0);
    expect(await ids()).toEqual(before);
  });

  it('says on a full disk how much room it needs, and loses nothing; with room it is done', async () => {
    const { program, peer } = await serve(directory);
    for (let i = 0; i < 40; i++) {
      const destination = i % 4 > 0 ? '/queue/stays' : '/queue/goes';
      peer.send('SEND', { destination, ...KEPT }, `${i} `.padEnd(200_000, 'z'));
    }
    await peer.receipted('SEND', { destination: '/queue/stays', ...KEPT }, 'last');
    await program.stop();
    const before = (await store('dump', '--data-dir', directory)).lines;
    rmSync(join(directory, 'reserve'));
    const place = join(root, 'small');
    mkdirSync(place);
    const data = join(place, 'data');
    const bin = fileURLToPath(new URL('../../../apps/broker/bin/stompserver.js', import.meta.url));
    const dump = `${process.execPath} ${bin} store dump --data-dir ${data}`;
    // Its reserve is a 32nd of it.
    const script = [
      'mount -t tmpfs -o size=24m tmpfs "$0"',
      `cp -r ${directory} ${data}`,
      `head -c 786432 /dev/zero >${data}/reserve`,
      'head -c 12000000 /dev/zero >"$0/other"',
      `{ "$@" 2>&1; echo "code $?"; wc -c <${data}/reserve; ${dump}; }`,
      // Now there is, with what is reserved, which is put back.
      '{ truncate -s 8600000 "$0/other"; "$@" 2>&1; echo "code $?"; }',
      `{ wc -c <${data}/reserve; ${dump} || exit 1; }`,
    ];
    const run = startBy(
      mounting(`${script.join(' && ')} && exit 0; true`, place),
      'stompserver',
      'store',
      'compact',
      '--data-dir',
      data,
    );
    await run.exited;
    const [said, ...rest] = run.stdout;
    expect(said).toMatch(
      /^stompserver store compact: the disk is full: to move what counts of 00000002.log takes 7\d{3} KiB, and \d+ KiB are free besides 768 KiB that are reserved: make room there, and run it once more; nothing is lost, and what was done until now stays done$/,
    );
    expect(rest).toEqual([
      'code 1',
      '786432',
      ...before,
      expect.stringMatching(/^before: \d+ octets, after: \d+ octets$/),
      'code 0',
      '786432',
      ...before,
    ]);
  });

  it('sets aside what is damaged, as a start of the broker does', async () => {
    spoil('order 4');
    const { code, stderr } = await store('compact', '--data-dir', directory);
    expect(code).toBe(0);
    expect(stderr).toMatch(/is damaged from \d+ to \d+: messages of \/queue\/orders; set aside in damaged\//);
    expect(readdirSync(join(directory, 'damaged'))).toHaveLength(1);
    const after = await store('check', '--data-dir', directory);
    expect(after.code).toBe(0);
    expect(after.lines.join('\n')).toMatch(/^note: damaged holds what was set aside before, 1 files$/m);
  });
});

describe('stompserver store', () => {
  it.each([
    ['no command', [], 'name one of check, dump, compact'],
    ['an unknown command', ['mend'], 'name one of check, dump, compact'],
    ['no directory', ['check'], '--data-dir is missing'],
    ['a directory that is not there', ['check', '--data-dir', '/nowhere'], '/nowhere is no store'],
    ['a directory of something else', ['compact', '--data-dir', tmpdir()], 'is no store'],
    ['a limit that is none', ['dump', '--data-dir', 'x', '--bodies', '--max-body', '1k'], '--max-body "1k"'],
    ['a destination that is none', ['dump', '--data-dir', 'DIR', '--destination', ''], '--destination: '],
  ])('refuses %s', async (_, options, why) => {
    const { code, stderr, lines } = await store(...options.map((word) => (word === 'DIR' ? directory : word)));
    expect([code, lines]).toEqual([2, []]);
    expect(stderr).toContain(why);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });

  it('is named by stompserver --help, and each of its commands has a help with an example', async () => {
    const help = start('stompserver', '--help');
    await help.exited;
    expect(help.stdout.join('\n')).toMatch(/^ {2}store {3}/m);
    for (const action of ['check', 'dump', 'compact']) {
      const { code, lines } = await store(action, '--help');
      expect(code).toBe(0);
      expect(lines.join('\n')).toContain(`  stompserver store ${action} --data-dir /`);
    }
  });
});

it.each(['apps/broker/bin/stompserver.js', 'apps/stomper/bin/stomper.js', 'apps/printer/bin/printer.js'])(
  '%s --help ends quietly when nobody reads it',
  (bin) => {
    const path = fileURLToPath(new URL(`../../../${bin}`, import.meta.url));
    // The reader of its pipe is gone before it starts: it tells so by closing what `wait` reads.
    const script = 'exec 3> >(exec <&-); wait $!; "$0" "$1" --help >&3; echo "code $?" >&2';
    const { stderr } = spawnSync('bash', ['-c', script, process.execPath, path], {
      encoding: 'utf8',
    });
    expect(stderr).toBe('code 0\n');
  },
);
