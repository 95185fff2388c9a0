import { describe, expect, it } from '@jest/globals';
import { type Applicant, Lockout } from 'nestjs-stomp-broker';
import { Embedded } from '../../../support/embedded.js';
import { gate } from '../../../support/client.js';

/** A lockout whose clock is set by hand. */
const make = (failures = 5, time = 60_000) => {
  const clock = { now: 0 };
  return { clock, lockout: new Lockout({ failures, time }, () => clock.now) };
};
const fail = (lockout: Lockout, times: number, address: string | undefined, login: string | undefined) => {
  for (let i = 0; i < times; i++) lockout.failed(address, login);
};

describe('failed logins', () => {
  it('of a user make the next one wait longer and longer, then shut the user out for a time', () => {
    const { clock, lockout } = make();
    const waits = Array.from({ length: 6 }, () => {
      const wait = lockout.wait(undefined, 'ann');
      lockout.failed(undefined, 'ann');
      return wait;
    });
    expect(waits).toEqual([0, 0, 0, 250, 500, undefined]);
    clock.now = 59_999;
    expect(lockout.wait(undefined, 'ann')).toBeUndefined();
    expect(lockout.wait(undefined, 'bob')).toBe(0);
    clock.now = 60_000;
    expect(lockout.wait(undefined, 'ann')).toBe(0);
  });

  it('from an address shut it out after five times as many, whoever it says to be, and nobody else', () => {
    const { lockout } = make(2);
    for (let i = 0; i < 10; i++) lockout.failed('192.0.2.7', `user${i}`);
    expect(lockout.wait('192.0.2.7', 'ann')).toBeUndefined();
    expect(lockout.wait('192.0.2.8', 'ann')).toBe(0);
  });

  it('from all IPv6 addresses of a network count as one', () => {
    const { lockout } = make(1);
    for (const host of ['1', '2', 'a:b:c:d', '3:0:0:4', 'f']) {
      lockout.failed(`2001:db8:0:1:${host === '1' ? ':1' : host.includes(':') ? host : `:${host}`}`, undefined);
    }
    expect(lockout.wait('2001:db8:0:1::9', undefined)).toBeUndefined();
    expect(lockout.wait('2001:db8:0:2::9', undefined)).toBe(0);
  });

  it('of a user are forgotten when it logs in; those of its address are not', () => {
    const { lockout } = make(1);
    fail(lockout, 1, undefined, 'ann');
    fail(lockout, 5, '192.0.2.7', undefined);
    lockout.succeeded('ann');
    expect(lockout.wait(undefined, 'ann')).toBe(0);
    expect(lockout.wait('192.0.2.7', undefined)).toBeUndefined();
  });

  it('are remembered of so many only, of the latest', () => {
    const { lockout } = make(1);
    for (let i = 0; i <= 10_000; i++) lockout.failed(undefined, `user${i}`);
    expect(lockout.wait(undefined, 'user0')).toBe(0);
    expect(lockout.wait(undefined, 'user1')).toBeUndefined();
    expect(lockout.wait(undefined, 'user10000')).toBeUndefined();
  });

  it('shut nobody out where there is no lockout', () => {
    const lockout = new Lockout();
    fail(lockout, 1_000, '192.0.2.7', 'ann');
    expect(lockout.wait('192.0.2.7', 'ann')).toBe(0);
  });

  it('count for those that were begun at the same time: many guesses at once are no way around it', async () => {
    const { promise: asked, open } = gate();
    const answers: (() => void)[] = [];
    const users = {
      size: 1,
      verify: (_login: string, passcode: string) =>
        new Promise<boolean>((resolve) => {
          answers.push(() => resolve(passcode === 'right'));
          if (answers.length === 4) open();
        }),
    };
    const embedded = await Embedded.start({ users, lockout: { failures: 3, time: 60_000 } });
    const refusals = [];
    for (const passcode of ['a', 'b', 'c', 'right']) refusals.push(embedded.refusal({ login: 'ann', passcode }));
    await asked;
    for (const answer of answers) answer();
    const texts = (await Promise.all(refusals)).map(({ text }) => text);
    expect(texts.filter((text) => text.includes('is wrong'))).toHaveLength(3);
    expect(texts.filter((text) => text.includes('too many logins'))).toHaveLength(1);
  });

  it('are told to directories in which logins wait for their turn, as is that a client has gone', async () => {
    const { promise: asked, open } = gate();
    const applicants: Applicant[] = [];
    const users = {
      size: 1,
      verify: async (_login: string, passcode: string, applicant?: Applicant) => {
        if (passcode !== 'waits') return false;
        applicants.push(applicant!);
        open();
        return new Promise<boolean>(() => undefined);
      },
    };
    // Nothing is read of a client that waits: when its login is too late it is seen to be gone.
    const embedded = await Embedded.start({ users, lockout: { failures: 1, time: 60_000 }, loginTimeout: 4_000 });
    const peer = await embedded.open();
    peer.send('CONNECT', { 'accept-version': '1.2', host: 'h', login: 'ann', passcode: 'waits' });
    await asked;
    const [applicant] = applicants;
    expect(applicant!.objection()).toBeUndefined();
    await embedded.refusal({ login: 'ann', passcode: 'wrong' });
    expect(applicant!.objection()?.message).toContain('too many logins have failed');
    peer.end();
    await peer.closed();
    expect(applicant!.objection()?.message).toContain('gone');
  });
});
