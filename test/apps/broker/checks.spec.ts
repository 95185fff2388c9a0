import { afterEach, describe, expect, it, jest } from '@jest/globals';
import bcrypt from 'bcrypt';
import { inspect } from 'node:util';
import { setImmediate } from 'node:timers/promises';
import { Checks } from '../../../apps/broker/src/auth/checks.js';
import { Credential, Users } from '../../../apps/broker/src/auth/users.js';
import { as, serve } from '../../support/stompserver.js';

/** Of the password "secret": at the least cost there is, and at one that takes a quarter of a second or more. */
const quick = '$2b$04$nmOybJ/WyjoA98f6FpOkUOeaCVvPOT9aOG7Uc.9koPGENKtOX2N4C';
const slow = '$2b$12$AX22Wj8x8B62VOv3LUxOEeh5iyHyUw0hiZZmCf1uxicubUxlUhOhK';

/** Checks whose answers are given by hand. */
function make() {
  const checks = new Checks();
  const open: ((right: boolean) => void)[] = [];
  const asked: string[] = [];
  const verify = (login: string, passcode = 'x') =>
    checks.verify(login, passcode, () => {
      asked.push(login);
      return new Promise((resolve) => open.push(resolve));
    });
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
    const flood = Array.from({ length: 500 }, (_, at) => verify(`user${at}`));
    expect(await verify('ann')).toBe(true);
    await answerAll(false);
    await Promise.all(flood);
  });

  it('are refused when a thousand wait, and made again later', async () => {
    const { verify, answerAll } = make();
    const answers = Array.from({ length: 1_010 }, (_, at) =>
      verify(`user${at}`).catch((error: Error) => error.message),
    );
    await answerAll(true);
    const refused = (await Promise.all(answers)).filter((answer) => answer !== true);
    expect(refused.length).toBeGreaterThanOrEqual(7);
    expect(refused.length).toBeLessThan(10);
    expect(new Set(refused)).toEqual(new Set(['connection refused']));
    const again = verify('user1009');
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

  it('come in as a herd of 500 connections, which one by one would take longer than a login may', async () => {
    const server = await serve('--users', `bob:${slow}`);
    const herd = await Promise.all(Array.from({ length: 500 }, () => server.connect(as('bob', 'secret'))));
    expect(herd).toHaveLength(500);
  }, 120_000);
});
