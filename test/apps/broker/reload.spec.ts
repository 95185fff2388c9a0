import { afterAll, describe, expect, it, jest } from '@jest/globals';
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { RawPeer } from '../../support/raw.js';
import { handshake, watch } from '../../support/server.js';
import { as, Files, reloads, serve } from '../../support/stompserver.js';
import { KeyServer, publish, Signer } from '../../support/tokens.js';

// Each test runs whole processes, maybe beside others that do.
jest.setTimeout(120_000);

const files = new Files();
afterAll(() => files.remove());

describe('a configuration file that changes', () => {
  it('may name other files: they are watched from then on', async () => {
    const [first, second] = [files.make('ann:one\n'), files.make('bob:two\n')];
    const config = files.make(`users-file: ${first}\n`);
    const server = await serve('--config', config);
    await server.connect(as('ann', 'one'));
    files.replace(config, `users-file: ${second}\n`);
    await reloads(server.program, 1);
    await server.connect(as('bob', 'two'));
    files.replace(second, 'eve:three\n');
    await reloads(server.program, 2);
    await server.connect(as('eve', 'three'));
  });

  it('is used once the file that it names can be', async () => {
    const config = files.make('users: ["ann:one"]\n');
    const server = await serve('--config', config);
    const later = `${files.folder}/later`;
    files.replace(config, `users-file: ${later}\n`);
    await server.program.says(/what has changed is not used: users file \S+: cannot be read/);
    await server.connect(as('ann', 'one'));
    files.replace(later, 'bob:two\n');
    await reloads(server.program, 1);
    await server.connect(as('bob', 'two'));
  });

  it('changes how destinations are treated that are made from then on', async () => {
    const config = files.make('users: ["ann:one"]\n');
    const server = await serve('--config', config);
    const ann = await server.connect(as('ann', 'one'));
    for (const text of ['1', '2']) await ann.receipted('SEND', { destination: '/queue/old' }, text);
    files.replace(config, 'users: ["ann:one"]\npolicies:\n  - { destination: "/queue/#", max-length: 1 }\n');
    await reloads(server.program, 1);
    await ann.receipted('SEND', { destination: '/queue/old' }, '3');
    await ann.receipted('SEND', { destination: '/queue/new' }, '1');
    ann.send('SEND', { destination: '/queue/new' }, '2');
    expect((await ann.refused()).header('message')).toBe('queue is full');
  });

  it('changes how many logins may fail', async () => {
    const config = files.make('users: ["ann:one"]\nlockout-failures: 0\n');
    const server = await serve('--config', config);
    for (let times = 0; times < 3; times++) await server.refusal(as('ann', 'wrong'));
    files.replace(config, 'users: ["ann:one"]\nlockout-failures: 1\n');
    await reloads(server.program, 1);
    expect(await server.refusal(as('ann', 'wrong'))).toContain('is wrong');
    expect(await server.refusal(as('ann', 'one'))).toBe('too many logins have failed: try again later');
  });

  it('shuts addresses out, those that are connected among them', async () => {
    const config = files.make('deny: []\n');
    const server = await serve('--config', config);
    const peer = await server.connect();
    files.replace(config, 'deny: [127.0.0.0/8]\n');
    await peer.closed().catch(() => undefined);
    const other = await server.open();
    await other.closed().catch(() => undefined);
    expect(other.received).toHaveLength(0);
  });

  it('says what takes a new start', async () => {
    const config = files.make('users: ["ann:one"]\n');
    const server = await serve('--config', config);
    files.replace(config, 'users: ["ann:two"]\nmax-body: 1KiB\nvhosts: [a, b]\n');
    await server.program.says(/what takes a new start has changed: vhosts, max-body$/m);
    await server.connect(as('ann', 'two'));
  });
});

describe('the keys of tokens', () => {
  const config = (source: string) => `jwt-keys: ${source}\njwt-audience: stomp\n`;

  it('are read again when their file changes: sessions by a key that is gone end, others stay', async () => {
    const [one, two] = [await Signer.make('ES256', 'k1'), await Signer.make('RS256', 'k2')];
    const set = async (...signers: Signer[]) =>
      JSON.stringify({ keys: await Promise.all(signers.map((s) => s.jwk())) });
    const keys = files.make(await set(one, two));
    const server = await serve('--config', files.make(config(keys)));
    const [gone, stays] = [
      await server.connect({ passcode: await one.sign() }),
      await server.connect({ passcode: await two.sign({ sub: 'bob' }) }),
    ];
    files.replace(keys, await set(two));
    expect((await gone.refused()).header('message')).toBe('session ended');
    await stays.receipted('SEND', { destination: '/queue/a' }, 'x');
    expect(await server.refusal({ passcode: await one.sign() })).toContain('is wrong');
  });

  it('are asked for at the start, which goes on without an answer, and says so', async () => {
    const signer = await Signer.make();
    const source = await KeyServer.listen((_request, response) => void response.writeHead(404).end());
    try {
      const server = await serve('--jwt-keys', source.url, '--jwt-audience', 'stomp', '--users', 'ann:one');
      await server.program.says(/tokens cannot be checked: the answer has the status 404/);
      await server.connect(as('ann', 'one'));
      source.answer = publish(await signer.jwk());
      // One that failed is not repeated at once.
      for (let answer = 'none'; answer !== 'CONNECTED';) {
        const peer = await server.open();
        peer.send('CONNECT', { 'accept-version': '1.2', host: 'h', passcode: await signer.sign() });
        ({ command: answer } = await peer.frame().catch(() => ({ command: 'ERROR' })));
      }
    } finally {
      source.close();
    }
  });

  it('are in no log, and no token is', async () => {
    const signer = await Signer.make();
    const log = files.make('');
    const keys = files.make(JSON.stringify(await signer.jwk()));
    const server = await serve('--verbose', '5', '--config', files.make(config(keys)), '--audit-log', log);
    const [token, expired] = [await signer.sign(), await signer.sign({ exp: 1 })];
    const peer = await server.connect({ passcode: token });
    await peer.receipted('SEND', { destination: '/session/refresh', passcode: token });
    await server.refusal({ passcode: expired });
    await server.program.stop();
    const text = server.program.stderr + readFileSync(log, 'utf8');
    expect(text).toContain('the token has expired');
    for (const secret of [token, expired].flatMap((each) => each.split('.'))) expect(text).not.toContain(secret);
  });
});

describe('the audit log', () => {
  const usersIn = (path: string) =>
    readFileSync(path, 'utf8')
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { user: string }).user);

  it('calls nobody connected who is refused after the login, because the user has too many connections', async () => {
    const log = files.make('');
    const server = await serve('--users', 'ann:one', '--max-per-user', '1', '--audit-log', log);
    await server.connect(as('ann', 'one'));
    await server.refusal(as('ann', 'one'));
    await server.program.stop();
    const lines = readFileSync(log, 'utf8').trim().split('\n');
    const events = lines.map((line) => JSON.parse(line) as { event: string; user: string; reason?: string });
    expect(events.map(({ event, user, reason }) => [event, user, reason])).toEqual([
      ['connected', 'ann', undefined],
      ['connection refused', 'ann', 'this user has 1 connections, the limit: try again later'],
    ]);
  });

  it('goes on in a new file on SIGHUP when somebody has moved it, and loses nothing', async () => {
    const log = files.make('');
    const server = await serve('--users', 'ann:one bob:two', '--audit-log', log);
    await server.connect(as('ann', 'one'));
    renameSync(log, `${log}.1`);
    server.program.signal('SIGHUP');
    await reloads(server.program, 1);
    await server.connect(as('bob', 'two'));
    await server.program.stop();
    expect([usersIn(`${log}.1`), usersIn(log)]).toEqual([['ann'], ['bob']]);
  });

  it('does so without a signal, too', async () => {
    const log = files.make('');
    const server = await serve('--users', 'ann:one bob:two', '--audit-log', log);
    await server.connect(as('ann', 'one'));
    renameSync(log, `${log}.1`);
    let logins = 1;
    for (; !existsSync(log); logins++) await server.connect(as('bob', 'two'));
    await server.connect(as('ann', 'one'));
    await server.program.stop();
    const [old, fresh] = [usersIn(`${log}.1`), usersIn(log)];
    expect([...old, ...fresh]).toEqual(['ann', ...Array<string>(logins - 1).fill('bob'), 'ann']);
    expect(fresh.length).toBeGreaterThan(0);
  });

  it('has to be a file that can be written', async () => {
    const log = `${files.folder}/missing/log`;
    await expect(serve('--audit-log', log)).rejects.toThrow(`cannot write --audit-log ${log}: ENOENT`);
  });
});

describe('in a terminal', () => {
  const terminals: ChildProcess[] = [];
  afterAll(() => {
    for (const terminal of terminals) terminal.kill('SIGKILL');
  });

  /** A broker that was started by hand, and the terminal that it was started in. */
  async function startByHand() {
    const program = `${process.execPath} apps/broker/bin/stompserver.js --host 127.0.0.1 --port 0 --verbose 1`;
    const terminal = spawn('script', ['-qfc', `echo pid $$; exec ${program}`, '/dev/null'], { stdio: 'pipe' });
    terminals.push(terminal);
    const lines = createInterface({ input: terminal.stdout });
    const found = new Map<string, string>();
    const waiting = new Map<string, (value: string) => void>();
    lines.on('line', (line) => {
      for (const [name, pattern] of Object.entries({
        pid: /^pid (\d+)/,
        port: /^listening \S+:(\d+)/,
        reload: /(read again)/,
      })) {
        const [, value] = pattern.exec(line) ?? [];
        if (value === undefined) continue;
        found.set(name, value);
        waiting.get(name)?.(value);
      }
    });
    const say = async (name: string) =>
      found.get(name) ?? (await new Promise<string>((resolve) => waiting.set(name, resolve)));
    const port = Number(await say('port'));
    const peer = watch(await RawPeer.connect(port));
    await handshake(peer);
    return { terminal, pid: Number(await say('pid')), peer, reloaded: () => say('reload') };
  }

  it('SIGHUP reads everything again as long as the terminal is there; the end of the terminal ends the broker', async () => {
    const { terminal, pid, peer, reloaded } = await startByHand();
    process.kill(pid, 'SIGHUP');
    await reloaded();
    await peer.receipted('SEND', { destination: '/queue/a' }, 'x');
    terminal.kill('SIGKILL');
    expect((await peer.refused()).header('message')).toBe('server is shutting down');
  });
});
