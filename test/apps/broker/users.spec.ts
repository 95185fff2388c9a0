import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Credential, maxCredentialLength, Users } from '../../../apps/broker/src/auth/users.js';
import { OptionsError } from '../../../apps/broker/src/options.error.js';

/** Of the password "secret", at the least cost there is. */
const hash = '$2b$04$nmOybJ/WyjoA98f6FpOkUOeaCVvPOT9aOG7Uc.9koPGENKtOX2N4C';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'stompserver-users-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function usersFile(text: string | Buffer): string {
  const path = join(folder, 'users');
  writeFileSync(path, text);
  return path;
}

async function refusal(file: string, given: Credential[] = []): Promise<string[]> {
  const error: unknown = await Users.load(given, file).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof OptionsError)) {
    throw new Error('the users were accepted');
  }
  return error.lines.map((line) => line.replaceAll(`${folder}/`, ''));
}

const users = (...texts: string[]) => Users.load(texts.map((text) => Credential.parse(text)));

describe('users with plain passwords', () => {
  it('are verified at once', async () => {
    const known = await users('user1:mysecret', 'user2:anotherpass');
    expect(known.size).toBe(2);
    expect(known.verify('user1', 'mysecret')).toBe(true);
    expect(known.verify('user2', 'anotherpass')).toBe(true);
    expect(known.verify('user1', 'anotherpass')).toBe(false);
    expect(known.verify('user1', '')).toBe(false);
    expect(known.verify('user3', 'mysecret')).toBe(false);
    expect(known.verify('', '')).toBe(false);
    expect(known.verify('__proto__', 'mysecret')).toBe(false);
  });

  it('may have colons in the password, all of which count', async () => {
    const known = await users('u:p:2');
    expect(known.verify('u', 'p:2')).toBe(true);
    expect(known.verify('u', 'p')).toBe(false);
    expect(known.verify('u:p', '2')).toBe(false);
  });

  it('prove any password that is not a hash, and no other', async () => {
    const text = fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' });
    const password = text.filter((value) => !/^[${]/.test(value));
    await fc.assert(
      fc.asyncProperty(password, text, async (right, wrong) => {
        const known = await users(`bob:${right}`);
        expect(known.verify('bob', right)).toBe(true);
        expect(known.verify('bob', wrong)).toBe(wrong === right);
      }),
    );
  });

  it('accept nobody when there are none', async () => {
    const nobody = await Users.load([]);
    expect(nobody.size).toBe(0);
    expect(nobody.verify('admin', 'password')).toBe(false);
  });

  it('refuse a login or passcode that is longer than any can be', async () => {
    const longest = 'x'.repeat(maxCredentialLength);
    const known = await users(`bob:${longest}`);
    expect(known.verify('bob', longest)).toBe(true);
    expect(known.verify('bob', `${longest}x`)).toBe(false);
    expect(() => Credential.parse(`bob:${longest}x`)).toThrow('up to 1024 bytes');
  });
});

describe('users with bcrypt hashes', () => {
  it.each(['$2a$', '$2b$', '$2y$'])('are verified by a promise, for %s', async (variant) => {
    const known = await users(`bob:${hash.replace('$2b$', variant)}`);
    const answer = known.verify('bob', 'secret');
    expect(answer).toBeInstanceOf(Promise);
    expect(await answer).toBe(true);
    expect(await known.verify('bob', 'Secret')).toBe(false);
    expect(await known.verify('bob', '')).toBe(false);
    expect(await known.verify('eve', 'secret')).toBe(false);
  });

  it('do not accept the hash itself as the password', async () => {
    const known = await users(`bob:${hash}`);
    expect(await known.verify('bob', hash)).toBe(false);
  });

  it('live beside users with plain passwords', async () => {
    const known = await users(`bob:${hash}`, 'eve:plain');
    expect(await known.verify('eve', 'plain')).toBe(true);
    expect(await known.verify('eve', 'secret')).toBe(false);
    expect(await known.verify('bob', 'plain')).toBe(false);
  });

  it('cost unknown logins and plain users as much time as known ones', async () => {
    const slow = `$2b$10$${'a'.repeat(53)}`;
    const known = await users(`bob:${slow}`, `ann:${hash}`, 'eve:plain');
    const time = async (login: string) => {
      const runs: number[] = [];
      for (let run = 0; run < 5; run++) {
        const start = performance.now();
        await known.verify(login, 'wrong');
        runs.push(performance.now() - start);
      }
      return Math.min(...runs);
    };
    const expected = await time('bob');
    for (const login of ['ann', 'eve', 'nobody']) {
      expect(await time(login)).toBeGreaterThan(expected / 2);
    }
  });

  it.each([
    ['$2y$10$tooshort', 'incomplete bcrypt hash'],
    ['$2x$10$' + 'a'.repeat(53), 'incomplete bcrypt hash'],
    ['$2y$31$' + 'a'.repeat(53), 'cost is not from 4 to 16'],
    ['$apr1$abc$def', 'not bcrypt'],
    ['{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=', 'not bcrypt'],
    ['$6$salt$hash', 'not bcrypt'],
  ])('are refused rather than taken as plain text: %s', (password, reason) => {
    expect(() => Credential.parse(`bob:${password}`)).toThrow(reason);
  });
});

describe('a users file', () => {
  it('holds one user a line; comments and blank lines are skipped', async () => {
    const file = usersFile(`\ufeff# staff\n\n  # more\nbob:a b, c: d \r\n \neve:${hash}\nann:#1`);
    const known = await Users.load([Credential.parse('inline:x')], file);
    expect(known.size).toBe(4);
    expect(await known.verify('bob', 'a b, c: d ')).toBe(true);
    expect(await known.verify('eve', 'secret')).toBe(true);
    expect(await known.verify('ann', '#1')).toBe(true);
    expect(await known.verify('inline', 'x')).toBe(true);
  });

  it('is refused with every bad line by its number, and none of its content', async () => {
    const file = usersFile('bob:hunter2\nhunter3\n:hunter4\n# fine\nbob:hunter5\nmax:\nann:hunter6');
    const lines = await refusal(file, [Credential.parse('ann:x')]);
    expect(lines).toEqual([
      'users file users, line 2: has no colon: a user is written user:password',
      'users file users, line 3: has no user before the colon: a user is written user:password',
      'users file users, line 5: names a user that line 1 has already named: keep one of the two',
      'users file users, line 6: has no password after the colon: a user is written user:password',
      'users file users, line 7: names a user that is also given by --users: keep one of the two',
    ]);
    expect(lines.join()).not.toMatch(/hunter|bob|ann/);
  });

  it('without a user is refused: it would leave the door open', async () => {
    expect(await refusal(usersFile('# bob:x\n'))).toEqual([
      'users file users: holds no user: write one user:password a line, or leave --users-file out',
    ]);
  });

  it('is refused when it is missing, too large or not text', async () => {
    expect(await refusal(join(folder, 'missing'))).toEqual([
      'users file missing: cannot be read: there is no such file',
    ]);
    expect(await refusal(usersFile('a:b\n'.repeat(262_145)))).toEqual([
      'users file users: is larger than 1048576 bytes, the most that is read',
    ]);
    expect(await refusal(usersFile(Buffer.from([0xff, 0xfe])))).toEqual([
      'users file users: is not UTF-8 text: save it as UTF-8',
    ]);
  });
});

describe('a credential', () => {
  it('shows neither password nor hash when it is printed', async () => {
    const known = await users('bob:hunter2', `eve:${hash}`);
    for (const shown of [inspect(known, { depth: 9, showHidden: true }), JSON.stringify(known)]) {
      expect(shown).not.toContain('hunter2');
      expect(shown).not.toContain(hash);
    }
  });
});
