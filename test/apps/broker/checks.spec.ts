import { afterEach, describe, expect, it, jest } from '@jest/globals';
import bcrypt from 'bcrypt';
import { inspect } from 'node:util';
import { setImmediate } from 'node:timers/promises';
import { Checks } from '../../../apps/broker/src/auth/checks.js';
import { Credential, Users } from '../../../apps/broker/src/auth/users.js';
import { RawPeer } from '../../support/raw.js';
import { handshake, watch } from '../../support/server.js';
import { as, serve } from '../../support/stompserver.js';

/** Of the password "secret": at the least cost there is, the usual one, and one that takes a quarter of a second or more. */
const quick = '$2b$04$nmOybJ/WyjoA98f6FpOkUOeaCVvPOT9aOG7Uc.9koPGENKtOX2N4C';
const usual = '$2b$10$k59Vr1o69xoh5ciO/kApu.FX.65y4Kw1VkAdamOVmXXPL4BsKY0ju';
const slow = '$2b$12$AX22Wj8x8B62VOv3LUxOEeh5iyHyUw0hiZZmCf1uxicubUxlUhOhK';

/** Checks whose answers are given by hand. */
function make() {
  const checks = new Checks();
  const open: ((right: boolean) => void)[] = [];
  const asked: string[] = [];
  const verify = (
    login: string,
    passcode = 'x',
    address?: string,
    objection: () => Error | undefined = () => undefined,
  ) =>
    checks.verify(
      login,
      passcode,
      () => {
        asked.push(login);
        return new Promise((resolve) => open.push(resolve));
      },
      { address, objection },
    );
  /** Answers all that are asked, and those that are asked next. */
  const answerAll = async (right: boolean) => {
    for (let idle = 0; idle < 5; idle++) {
      await setImmediate();
      if (open.length > 0) idle = 0;
      for (const answer of open.splice(0)) answer(right);
    }
  };
  return { checks, open, asked, verify, answerAll };
}

describe('checks of passcodes that take their time', () => {
  it('are made once for a herd that comes with the same one, and not again when it comes back', async () => {
    const { asked, verify, answerAll } = make();
    const herd = Array.from({ length: 1_000 }, () => verify('ann'));
    await answerAll(true);
    expect(new Set(await Promise.all(herd))).toEqual(new Set([true]));
    expect(await verify('ann')).toBe(true);
    expect(asked).toEqual(['ann']);
  });

  it('are made again for whoever was wrong, and for everything that is not quite the same', async () => {
    const { asked, verify, answerAll } = make();
    const wrong = verify('ann', 'wrong');
    await answerAll(false);
    expect(await wrong).toBe(false);
    const right = verify('ann', 'x');
    await answerAll(true);
    expect(await right).toBe(true);
    const others = [
      verify('ann', 'wrong'),
      verify('ann', 'xx'),
      verify('annx', ''),
      verify('an', 'nx'),
      verify('', 'annx'),
    ];
    await answerAll(false);
    expect(await Promise.all(others)).toEqual([false, false, false, false, false]);
    expect(asked).toHaveLength(7);
  });

  it('are made a few at a time, each gets its turn, and one that fails keeps nobody from it', async () => {
    const { open, asked, verify, answerAll } = make();
    const all = Array.from({ length: 50 }, (_, at) => verify(`user${at}`));
    await setImmediate();
    expect(open.length).toBeGreaterThanOrEqual(1);
    expect(open.length).toBeLessThanOrEqual(3);
    const most = open.length;
    open.shift()!(true);
    await setImmediate();
    expect(open).toHaveLength(most);
    await answerAll(true);
    expect((await Promise.all(all)).every(Boolean)).toBe(true);
    expect(asked).toEqual(Array.from({ length: 50 }, (_, at) => `user${at}`));
    const checks = new Checks();
    for (let times = 0; times < 5; times++) {
      await expect(checks.verify('ann', `${times}`, () => Promise.reject(new Error('broken')))).rejects.toThrow(
        'broken',
      );
    }
    expect(await checks.verify('ann', 'x', () => Promise.resolve(true))).toBe(true);
  });

  it('let those in at once who were right before, however many wait', async () => {
    const { verify, answerAll } = make();
    const first = verify('ann');
    await answerAll(true);
    await first;
    const flood = Array.from({ length: 200 }, (_, at) => verify(`user${at}`));
    expect(await verify('ann')).toBe(true);
    await answerAll(false);
    await Promise.all(flood);
  });

  it('are made of each address in turn: many guesses of one keep no stranger waiting', async () => {
    const { asked, verify, answerAll } = make();
    const guesses = Array.from({ length: 100 }, (_, at) => verify(`guess${at}`, 'x', `2001:db8::${at}`));
    const others = ['192.0.2.2', '192.0.2.3'].map((address) => verify(address, 'x', address));
    await answerAll(false);
    await Promise.all([...guesses, ...others]);
    expect(asked).toHaveLength(102);
    for (const address of ['192.0.2.2', '192.0.2.3']) expect(asked.indexOf(address)).toBeLessThan(9);
  });

  it('are made once for all addresses that ask the same, when it is the turn of the first of them', async () => {
    const { asked, verify, answerAll } = make();
    const guesses = Array.from({ length: 100 }, (_, at) => verify(`guess${at}`, 'x', '192.0.2.1'));
    const herd = ['192.0.2.1', '192.0.2.2'].map((address) => verify('ann', 'x', address));
    await answerAll(true);
    await Promise.all([...guesses, ...herd]);
    expect(asked).toHaveLength(101);
    expect(asked.indexOf('ann')).toBeLessThan(9);
  });

  it('are not made for whoever is gone or blocked when its turn comes, but for others that ask the same', async () => {
    const { asked, verify, answerAll } = make();
    const busy = Array.from({ length: 5 }, (_, at) => verify(`busy${at}`));
    let blocked = false;
    const objection = () => (blocked ? new Error('blocked') : undefined);
    const alone = verify('bob', 'x', undefined, objection).catch((error: Error) => error.message);
    const first = verify('ann', 'x', undefined, objection).catch((error: Error) => error.message);
    const second = verify('ann');
    blocked = true;
    await answerAll(true);
    await Promise.all(busy);
    expect(await Promise.all([alone, first, second])).toEqual(['blocked', 'blocked', true]);
    expect(asked).not.toContain('bob');
    const again = verify('bob');
    await answerAll(true);
    expect(await again).toBe(true);
  });

  it('are refused when 250 of one address wait, and made again later', async () => {
    const { verify, answerAll } = make();
    const answers = Array.from({ length: 260 }, (_, at) => verify(`user${at}`).catch((error: Error) => error.message));
    await answerAll(true);
    const refused = (await Promise.all(answers)).filter((answer) => answer !== true);
    expect(refused.length).toBeGreaterThanOrEqual(7);
    expect(refused.length).toBeLessThan(10);
    expect(new Set(refused)).toEqual(new Set(['connection refused']));
    const again = verify('user259');
    await answerAll(true);
    expect(await again).toBe(true);
  });

  it('remember so many only, and no passcode', async () => {
    const { checks, asked, verify } = make();
    for (let at = 0; at <= 10_000; at++) await checks.verify(`user${at}`, 'hunter2', () => Promise.resolve(true));
    void verify('user0', 'hunter2');
    await setImmediate();
    expect(asked).toEqual(['user0']);
    expect(await verify('user10000', 'hunter2')).toBe(true);
    expect(inspect(checks, { depth: 9, showHidden: true, maxArrayLength: Infinity })).not.toContain('hunter2');
  });
});

describe('users with bcrypt hashes', () => {
  afterEach(() => void jest.restoreAllMocks());

  it('cost one comparison when they come back, until they are read again', async () => {
    const compare = jest.spyOn(bcrypt, 'compare');
    const load = () => Users.load([Credential.parse(`bob:${quick}`)]);
    const users = await load();
    for (let times = 0; times < 5; times++) expect(await users.verify('bob', 'secret')).toBe(true);
    expect(compare).toHaveBeenCalledTimes(1);
    for (let times = 0; times < 3; times++) expect(await users.verify('bob', 'wrong')).toBe(false);
    expect(compare).toHaveBeenCalledTimes(4);
    expect(await (await load()).verify('bob', 'secret')).toBe(true);
    expect(compare).toHaveBeenCalledTimes(5);
  });

  it('come in within seconds while another address tries a thousand logins at once', async () => {
    const server = await serve('--users', `bob:${usual}`);
    const guessers = await Promise.all(
      Array.from({ length: 1_000 }, async () => watch(await RawPeer.connect(server.port))),
    );
    for (const [at, guesser] of guessers.entries()) {
      guesser.send('CONNECT', { 'accept-version': '1.2', host: 'h', ...as(`user${at}`, 'guess') });
    }
    // The line of that address is full by then.
    await Promise.race(guessers.map((guesser) => guesser.refused()));
    const began = performance.now();
    const stranger = watch(await RawPeer.connect(server.port, '127.0.0.1', '127.0.0.2'));
    await handshake(stranger, '1.2', as('bob', 'secret'));
    expect(performance.now() - began).toBeLessThan(5_000);
  }, 120_000);

  it('come in as a herd of 500 connections, which one by one would take longer than a login may', async () => {
    const server = await serve('--users', `bob:${slow}`);
    const herd = await Promise.all(Array.from({ length: 500 }, () => server.connect(as('bob', 'secret'))));
    expect(herd).toHaveLength(500);
  }, 120_000);
});
