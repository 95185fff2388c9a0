import { afterAll, describe, expect, it, jest } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { start } from '../../support/programs.js';
import { as, Files, reloads, serve } from '../../support/stompserver.js';

// Each test runs whole processes, maybe beside others that do.
jest.setTimeout(120_000);

const files = new Files();
const file = (text: string) => files.make(text);
const replace = (path: string, text: string) => files.replace(path, text);
afterAll(() => files.remove());

describe('the users file, while the broker runs', () => {
  it('is read again when it is replaced: new users come in, those that are gone have to go, others stay', async () => {
    const users = file('ann:one\nbob:two\n');
    const server = await serve('--users-file', users);
    const [ann, bob] = [await server.connect(as('ann', 'one')), await server.connect(as('bob', 'two'))];
    replace(users, 'ann:one\neve:three\n');
    await reloads(server.program, 1);
    expect((await bob.refused()).header('message')).toBe('session ended');
    await ann.receipted('SEND', { destination: '/queue/a' }, 'still here');
    await server.connect(as('eve', 'three'));
    expect(await server.refusal(as('bob', 'two'))).toBe('the login or the passcode is wrong');
  });

  it('is left alone while its last line has no end: it may be half written', async () => {
    const users = file('ann:one\nbob:two\n');
    const server = await serve('--users-file', users);
    const bob = await server.connect(as('bob', 'two'));
    writeFileSync(users, 'ann:one\neve:thr');
    await server.program.says(/the last line has no line break; it is read in 2000 ms, unless more comes/);
    appendFileSync(users, 'ee\nbob:two\n');
    await reloads(server.program, 1);
    await bob.receipted('SEND', { destination: '/queue/a' }, 'still here');
    expect(await server.refusal(as('eve', 'thr'))).toBe('the login or the passcode is wrong');
    await server.connect(as('eve', 'three'));
    // Where that is all of it, it is read a moment later.
    writeFileSync(users, 'ann:one\neve:thr');
    await reloads(server.program, 2);
    await server.connect(as('eve', 'thr'));
    expect((await bob.refused()).header('message')).toBe('session ended');
  });

  it('ends the sessions of whoever has another password now', async () => {
    const users = file('ann:one\n');
    const server = await serve('--users-file', users);
    const ann = await server.connect(as('ann', 'one'));
    writeFileSync(users, 'ann:another\n');
    expect((await ann.refused()).header('message')).toBe('session ended');
    await server.connect(as('ann', 'another'));
  });

  it('may lie behind symbolic links that lead elsewhere from one moment to the next, as in Kubernetes', async () => {
    const root = join(files.folder, 'mounted');
    for (const [version, text] of Object.entries({ one: 'ann:one\n', two: 'bob:two\n' })) {
      mkdirSync(join(root, version), { recursive: true });
      writeFileSync(join(root, version, 'users'), text);
    }
    symlinkSync('one', join(root, '..data'));
    symlinkSync(join('..data', 'users'), join(root, 'users'));
    const server = await serve('--users-file', join(root, 'users'));
    await server.connect(as('ann', 'one'));
    symlinkSync('two', join(root, '..data_tmp'));
    renameSync(join(root, '..data_tmp'), join(root, '..data'));
    await reloads(server.program, 1);
    await server.connect(as('bob', 'two'));
  });

  it('goes on as it was while what it holds cannot be used', async () => {
    const users = file('ann:one\n');
    const server = await serve('--users-file', users);
    const ann = await server.connect(as('ann', 'one'));
    replace(users, 'no colon: hunter2\n\nbob\n');
    await server.program.says(/what has changed is not used: users file \S+, line 3/);
    await ann.receipted('SEND', { destination: '/queue/a' }, 'still here');
    await server.connect(as('ann', 'one'));
    expect(server.program.stderr).not.toContain('hunter2');
  });

  it('is read again at once on SIGHUP', async () => {
    const server = await serve('--users-file', file('ann:one\n'));
    server.program.signal('SIGHUP');
    await reloads(server.program, 1);
    await server.connect(as('ann', 'one'));
  });
});

describe('rules of the configuration file', () => {
  const config = (allow: string) =>
    `users: ["ann:one", "bob:two"]\ngroups:\n  staff: [ann, bob]\nrules:\n` +
    `  - { destination: "/queue/of.{user}.#", group: staff, allow: read write }\n` +
    `  - { destination: /queue/shared, user: bob, allow: "${allow}" }\n`;

  it('hold, and are felt by live sessions when they change; each refusal is a line of the audit log', async () => {
    const [path, log] = [file(config('read')), file('')];
    const server = await serve('--config', path, '--audit-log', log);
    const [ann, bob] = [await server.connect(as('ann', 'one')), await server.connect(as('bob', 'two'))];
    await ann.receipted('SEND', { destination: '/queue/of.ann.inbox' }, 'mine');
    await bob.subscribe('/queue/shared');
    ann.send('SUBSCRIBE', { destination: '/queue/of.bob.inbox', id: '1' });
    expect((await ann.refused()).text).toBe('you may not read "/queue/of.bob.inbox"\n');
    replace(path, config('write'));
    expect((await bob.refused()).text).toBe('you may not read "/queue/shared"\n');
    expect(await server.refusal(as('ann\u001b[31m\u0085', 'wrong-hunter2'))).toContain('wrong');
    await server.program.stop();
    const text = readFileSync(log, 'utf8');
    expect(text).not.toContain('hunter2');
    // eslint-disable-next-line no-control-regex -- that there are none is what matters
    expect(text.replaceAll('\n', '')).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
    const events = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(events.map(({ event, user }) => [event, user])).toEqual([
      ['connected', 'ann'],
      ['connected', 'bob'],
      ['access refused', 'ann'],
      ['access refused', 'bob'],
      ['session ended', 'bob'],
      ['connection refused', 'ann\u001b[31m\u0085'],
    ]);
    expect(events[2]).toMatchObject({ action: 'subscribe', destination: '/queue/of.bob.inbox', address: '127.0.0.1' });
  });
});

it('rules that are not there any more are not taken for none', async () => {
  const head = 'users: ["ann:one"]\n';
  const path = file(`${head}rules:\n  - { destination: /queue/a, allow: write }\n`);
  const server = await serve('--config', path);
  replace(path, head);
  await server.program.says(/what has changed is not used: there would be no rules any more/);
  const ann = await server.connect(as('ann', 'one'));
  ann.send('SEND', { destination: '/queue/b' });
  expect((await ann.refused()).text).toBe('you may not write "/queue/b"\n');
});

describe('failed logins', () => {
  it('shut a user out, whoever it is, even with the right passcode', async () => {
    const server = await serve('--users', 'ann:one bob:two', '--lockout-failures', '2');
    for (const login of ['ann', 'nobody']) {
      for (let times = 0; times < 2; times++) {
        expect(await server.refusal(as(login, 'wrong'))).toBe('the login or the passcode is wrong');
      }
      expect(await server.refusal(as(login, 'one'))).toBe('too many logins have failed: try again later');
    }
    await server.connect(as('bob', 'two'));
  });

  it('make the next ones of that user wait, each longer than the one before', async () => {
    const server = await serve('--users', 'ann:one', '--lockout-failures', '6');
    const took: number[] = [];
    for (let times = 0; times < 5; times++) {
      const begin = performance.now();
      expect(await server.refusal(as('ann', 'wrong'))).toBe('the login or the passcode is wrong');
      took.push(performance.now() - begin);
    }
    // The first are taken for slips. Timers may be a little early.
    expect(took[3]).toBeGreaterThan(240);
    expect(took[4]).toBeGreaterThan(490);
  });
});

describe('behind a proxy', () => {
  const greeting = 'CONNECT\naccept-version:1.2\nhost:h\nlogin:ann\npasscode:one\n\n\0';
  const ipv4 = (...address: number[]) =>
    Buffer.concat([
      Buffer.from('\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c', 'latin1'),
      Buffer.from([...address, 127, 0, 0, 1, 1, 1, 2, 2]),
    ]);

  const ipv6 = (...address: number[]) =>
    Buffer.concat([
      Buffer.from('\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24', 'latin1'),
      Buffer.from([...address, ...address.toReversed(), 1, 1, 2, 2]),
    ]);

  it.each([
    ['version 1', Buffer.from('PROXY TCP4 192.0.2.7 127.0.0.1 50312 61613\r\n'), '192.0.2.7'],
    ['version 1 of IPv6', Buffer.from('PROXY TCP6 2001:DB8:0::7 ::1 50312 61613\r\n'), '2001:db8::7'],
    ['version 2', ipv4(192, 0, 2, 8), '192.0.2.8'],
    ['version 2 of IPv6', ipv6(0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0xab, 0xcd), '2001:db8:1::abcd'],
    [
      'version 2 of IPv6, with an IPv4 address in it',
      ipv6(...Array<number>(10).fill(0), 255, 255, 192, 0, 2, 9),
      '192.0.2.9',
    ],
    ['unknown', Buffer.from('PROXY UNKNOWN\r\n'), '127.0.0.1'],
  ])('the client is whom its header names: %s', async (_what, header, address) => {
    const log = file('');
    const server = await serve('--users', 'ann:one', '--proxy-protocol', '127.0.0.1', '--audit-log', log);
    const peer = await server.open();
    await peer.drip(header);
    peer.write(greeting);
    await peer.take('CONNECTED', ({ command }) => command === 'CONNECTED');
    await server.program.stop();
    expect(JSON.parse(readFileSync(log, 'utf8'))).toMatchObject({ event: 'connected', address });
  });

  it('the addresses that may connect are those of clients', async () => {
    const server = await serve('--users', 'ann:one', '--proxy-protocol', '127.0.0.1', '--deny', '192.0.2.0/24');
    const peer = await server.open();
    peer.write('PROXY TCP4 192.0.2.7 127.0.0.1 50312 61613\r\n' + greeting);
    await peer.closed().catch(() => undefined);
    expect(peer.received).toHaveLength(0);
  });

  it.each([
    ['none at all', greeting],
    ['one without an end', `PROXY TCP4 ${'1'.repeat(200)}`],
    ['one that names no address', 'PROXY TCP4 localhost 127.0.0.1 1 2\r\n'],
    ['one with a port that is none', 'PROXY TCP4 192.0.2.7 127.0.0.1 1 70000\r\n'],
    ['one that is too long', Buffer.from('\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff', 'latin1')],
    ['one that is too short', Buffer.from('\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x04abcd', 'latin1')],
  ])('a proxy’s header has to be one: %s', async (_what, octets) => {
    // Not only once its time is over.
    const options = ['--proxy-protocol', '127.0.0.1', '--login-timeout', '600000'];
    const server = await serve('--users', 'ann:one', ...options);
    const peer = await server.open();
    peer.write(octets);
    await peer.closed().catch((error: Error) => expect(error.message).toContain('connection broken'));
    expect(peer.received).toHaveLength(0);
  });

  it('nobody else’s header is believed', async () => {
    const server = await serve('--users', 'ann:one', '--proxy-protocol', '10.0.0.5');
    const peer = await server.open();
    peer.write('PROXY TCP4 192.0.2.7 127.0.0.1 50312 61613\r\n' + greeting);
    expect((await peer.refused()).command).toBe('ERROR');
    await server.connect(as('ann', 'one'));
  });
});

it('no secret is in the log, the audit, the help or the list of processes', async () => {
  const log = file('');
  const users = file('ann:hunter2\n');
  const server = await serve('--verbose', '5', '--users-file', users, '--users', 'bob:hunter3', '--audit-log', log);
  await server.connect(as('ann', 'hunter2'));
  await server.refusal(as('ann', 'hunter4'));
  const peer = await server.connect(as('bob', 'hunter3'));
  await peer.receipted('SEND', { destination: '/session/refresh', ...as('bob', 'hunter3') });
  const shown = execFileSync('ps', ['-o', 'args=', '-p', String(server.program.pid)], { encoding: 'utf8' });
  await server.program.stop();
  const help = start('stompserver', '--users', 'bob:hunter3', '--help');
  await help.exited;
  for (const text of [server.program.stderr, readFileSync(log, 'utf8'), help.stdout.join('\n'), shown]) {
    expect(text).not.toMatch(/hunter\d/);
  }
});
