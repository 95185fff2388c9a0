import { afterAll, describe, expect, it, jest } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { as, Files, reloads, serve } from '../../support/stompserver.js';
import type { Headers } from '../../support/wire.js';

// Each test runs whole processes, maybe beside others that do.
jest.setTimeout(120_000);

const files = new Files();
afterAll(() => files.remove());

const users = 'users: ["ann:one"]\n';
const none: Headers[] = [{}, as('', ''), { login: '' }];
const wrong: Headers[] = [as('ann', 'wrong'), { login: 'ann' }, as('eve', 'x'), { passcode: 'one' }];
const rules =
  'rules:\n  - { destination: /queue/open, allow: write }\n' +
  '  - { destination: "/queue/of.{user}", allow: write }\n  - { destination: /queue/hers, user: ann, allow: write }\n';

describe('a broker without users that is told of users', () => {
  const open = async () => {
    const [config, log] = [files.make('deny: []\n'), files.make('')];
    const server = await serve('--config', config, '--audit-log', log);
    const change = (text: string) => files.replace(config, text);
    const audit = () =>
      readFileSync(log, 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { event: string; user?: string; reason?: string });
    return { ...server, change, audit };
  };
  const why = 'there are users by now, and this session belongs to none of them: connect as one\n';

  it.each([
    ['none', {}],
    ['that of a user', as('ann', 'one')],
    ['that of a user without a passcode', { login: 'ann' }],
    ['that of nobody', as('eve', 'three')],
  ])('ends the sessions from before, whose login nobody has looked into: %s', async (_what, login) => {
    const server = await open();
    const peer = await server.connect(login);
    server.change(users);
    const error = await peer.refused();
    expect([error.header('message'), error.text]).toEqual(['session ended', why]);
    await server.connect(as('ann', 'one'));
    expect(await server.refusal()).toBe('the login or the passcode is wrong');
    await server.program.stop();
    expect(server.audit()).toContainEqual(
      expect.objectContaining({ event: 'session ended', reason: expect.stringContaining('there are users by now') }),
    );
  });

  it('keeps those that have shown who they are, when users change again', async () => {
    const server = await open();
    const before = await server.connect(as('ann', 'one'));
    server.change(users);
    await before.refused();
    const ann = await server.connect(as('ann', 'one'));
    server.change('users: ["ann:one", "bob:two"]\n');
    await reloads(server.program, 2);
    await ann.receipted('SEND', { destination: '/queue/a' }, 'still here');
  });

  it('does so on SIGHUP, too, and for users of a file', async () => {
    const server = await open();
    const peer = await server.connect(as('ann', 'one'));
    server.change(`users-file: ${files.make('ann:one\n')}\n`);
    server.program.signal('SIGHUP');
    expect((await peer.refused()).text).toBe(why);
  });

  it('lets those go on that gave no login, where anonymous clients are welcome beside users; no login, no name', async () => {
    const server = await open();
    const [nobody, claims] = [await server.connect(), await server.connect({ login: 'ann' })];
    server.change(`${users}allow-anonymous: yes\n`);
    expect((await claims.refused()).text).toBe(why);
    await nobody.receipted('SEND', { destination: '/queue/a' }, 'still here');
  });
});

describe('--allow-anonymous beside users', () => {
  const start = (text: string) => {
    const config = files.make(text);
    return serve('--config', config).then((server) => ({ ...server, config }));
  };

  it('lets clients in that send no login, and nobody with a wrong one', async () => {
    const server = await start(`${users}allow-anonymous: yes\n`);
    for (const login of [...none, as('ann', 'one')]) {
      const peer = await server.connect(login);
      await peer.receipted('SEND', { destination: '/queue/a' }, 'x');
    }
    for (const login of wrong) {
      expect(await server.refusal(login)).toBe('the login or the passcode is wrong');
    }
  });

  it('without it nobody comes in without a login', async () => {
    const server = await start(users);
    for (const login of none) {
      expect(await server.refusal(login)).toBe('the login or the passcode is wrong');
    }
  });

  it('makes them nobody: only rules without user and group are for them', async () => {
    const server = await start(`${users}allow-anonymous: yes\n${rules}`);
    for (const [login, destination, granted] of [
      [{}, '/queue/open', true],
      [{}, '/queue/hers', false],
      [{}, '/queue/of.ann', false],
      [{}, '/queue/of.', false],
      [{}, '/queue/of.undefined', false],
      [as('ann', 'one'), '/queue/hers', true],
      [as('ann', 'one'), '/queue/of.ann', true],
    ] as const) {
      const peer = await server.connect(login);
      if (granted) await peer.receipted('SEND', { destination }, 'x');
      else {
        peer.send('SEND', { destination }, 'x');
        expect((await peer.refused()).text).toBe(`you may not write "${destination}"\n`);
      }
    }
  });

  it('ends when it is taken away, and so do their sessions', async () => {
    const server = await start(`${users}allow-anonymous: yes\n`);
    const [nobody, ann] = [await server.connect(), await server.connect(as('ann', 'one'))];
    files.replace(server.config, users);
    expect((await nobody.refused()).header('message')).toBe('session ended');
    await ann.receipted('SEND', { destination: '/queue/a' }, 'still here');
    expect(await server.refusal()).toBe('the login or the passcode is wrong');
  });
});
