import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type Options, OptionsAnswer, OptionsError, parseOptions } from '../../../apps/broker/src/options.js';
import { optionHelp, splitList } from '../../../apps/broker/src/options.kinds.js';
import { optionFields } from '../../../apps/broker/src/options.schema.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'stompserver-options-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Writes a configuration file and gives its name. */
function yaml(text: string, name = 'broker.yaml'): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const parse = (argv: string[] = [], env: NodeJS.ProcessEnv = {}): Options => parseOptions(argv, env);
const withConfig = (text: string, argv: string[] = []): Options => parse(['--config', yaml(text), ...argv]);

/** The lines of the error that these options end in, the folder of the test's files cut out. */
function refusal(read: () => unknown): string[] {
  try {
    read();
  } catch (error) {
    if (error instanceof OptionsError) {
      return error.lines.map((line) => line.replaceAll(`${folder}/`, ''));
    }
    throw error;
  }
  throw new Error('the options were accepted');
}

function answer(argv: string[]): string {
  try {
    parse(argv);
  } catch (error) {
    if (error instanceof OptionsAnswer) {
      return error.text;
    }
    throw error;
  }
  throw new Error('the options were not answered');
}

const certificate = ['--certfile', 'server.pem', '--keyfile', 'server.key'];

describe('rules', () => {
  it.each([
    ['- destination: /queue/a', 'needs allow or deny'],
    ['- destination: /queue/\n    allow: read', 'the destination /queue/ has no name'],
    ['- destination: /queue/a\n    allow: reed', 'allow must be one or more of read, write, manage'],
    ['- destination: /queue/a\n    allows: read', 'has the key "allows": it is one of destination, user, group'],
    ['- allow: read', 'destination must be a destination'],
    ['all', 'must be a list of rules'],
  ])('that are none are refused: %s', (rules, why) => {
    const lines = refusal(() => withConfig(`users: ["ann:x"]\nrules:\n  ${rules}\n`));
    expect(lines.join()).toContain(why);
    expect(lines.join()).toContain('config file broker.yaml, key rules');
  });

  it('need users, or everybody could call himself what he likes', () => {
    expect(refusal(() => withConfig('rules: []')).join()).toContain('need users');
  });
});

describe('the defaults', () => {
  it('are those of the original where it had them, and bounded where it had none', () => {
    expect(parse()).toMatchObject({
      host: '127.0.0.1',
      port: 61613,
      users: [],
      allowAnonymous: false,
      vhosts: ['*'],
      tls: false,
      heartbeatIn: 10_000,
      heartbeatOut: 100,
      heartbeatTolerance: 1.5,
      maxBody: 16 * 1024 * 1024,
      maxHeader: 10 * 1024,
      maxHeaders: 1000,
      maxConnections: 10_000,
      loginTimeout: 10_000,
      verbose: 0,
      logFormat: 'text',
    });
  });

  it('let every address connect', () => {
    const { allow, deny } = parse();
    expect(allow.has('203.0.113.9')).toBe(true);
    expect(deny.has('203.0.113.9')).toBe(false);
  });
});

describe('the sources', () => {
  it('win in the order flag, environment, file', () => {
    const config = yaml('port: 1\nheartbeat-in: 1\nmax-headers: 11');
    const options = parse(['--config', config, '--port', '3'], {
      STOMPSERVER_PORT: '2',
      STOMPSERVER_HEARTBEAT_IN: '2',
    });
    expect(options).toMatchObject({ port: 3, heartbeatIn: 2, maxHeaders: 11, verbose: 0 });
  });

  it('replace a list of a lower source, they do not add to it', () => {
    const config = yaml('vhosts: [a, b]');
    expect(parse(['--config', config, '--vhosts', 'c']).vhosts).toEqual(['c']);
  });

  it('may name the configuration file by the environment', () => {
    expect(parse([], { STOMPSERVER_CONFIG: yaml('port: 4') }).port).toBe(4);
  });

  it('take every option by flag, variable and key alike', () => {
    const values = {
      host: 'localhost',
      port: '0',
      users: 'a:b',
      'users-file': 'users',
      'allow-anonymous': 'yes',
      vhosts: 'x',
      allow: '10.0.0.0/8',
      deny: '10.1.*',
      tls: 'strict',
      cafile: 'ca.pem',
      certfile: 'server.pem',
      keyfile: 'server.key',
      'heartbeat-in': '1',
      'heartbeat-out': '2',
      'heartbeat-tolerance': '2.5',
      'max-body': '1KiB',
      'max-header': '256',
      'max-headers': '20',
      'max-connections': '3',
      'login-timeout': '4',
      'idle-timeout': '5',
      'hide-server': 'yes',
      policies: '[{"destination":"/queue/mail.*","max-length":7,"dead-letter":false}]',
      'cert-user': 'cn',
      'cert-users': '{"a.test":"ann"}',
      'lockout-failures': '3',
      'lockout-time': '1000',
      'proxy-protocol': '10.0.0.5',
      groups: '{"staff":["ann"]}',
      rules: '[{"destination":"/queue/a","user":"ann bob","group":["staff"],"allow":"read write"}]',
      'audit-log': 'audit.json',
      crlfile: 'crl.pem',
      store: 'disk',
      'data-dir': 'data',
      sync: 'interval',
      verbose: '5',
      'log-format': 'json',
    };
    const names = Object.keys(optionFields).map((name) => name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`));
    expect(Object.keys(values).concat('config').sort()).toEqual(names.sort());

    const byFlags = parse(Object.entries(values).flatMap(([name, value]) => [`--${name}`, value]));
    const byEnvironment = parse(
      [],
      Object.fromEntries(
        Object.entries(values).map(([name, value]) => [
          `STOMPSERVER_${name.toUpperCase().replaceAll('-', '_')}`,
          value,
        ]),
      ),
    );
    const { config, ...byFile } = withConfig(
      Object.entries(values)
        .map(([name, value]) => `${name}: ${value}`)
        .join('\n'),
    );
    expect(config).toContain('broker.yaml');
    expect(byFlags).toMatchObject({
      host: 'localhost',
      port: 0,
      tls: 'strict',
      heartbeatTolerance: 2.5,
      maxBody: 1024,
      policies: [{ destination: '/queue/mail.*', maxLength: 7, deadLetter: false }],
      groups: { staff: ['ann'] },
      rules: [{ destination: '/queue/a', users: ['ann', 'bob'], groups: ['staff'], allow: ['read', 'write'] }],
    });
    expect(byEnvironment).toEqual(byFlags);
    expect(byFile).toEqual(byFlags);
  });

  it('refuse an unknown flag, and guess the one that was meant', () => {
    expect(refusal(() => parse(['--prot', '1']))).toEqual([
      'flag "--prot": is no option of stompserver (did you mean --port?), see stompserver --help',
    ]);
    expect(refusal(() => parse(['-port', '1']))).toEqual([
      'flag "-port": is no option of stompserver (did you mean --port?), see stompserver --help',
    ]);
  });

  it('never show what follows an unknown flag, for it may be a password', () => {
    expect(refusal(() => parse(['--user=admin:hunter2'])).join()).not.toContain('hunter2');
    expect(refusal(() => parse(['--users', 'a:b', 'c:hunter2'])).join()).not.toContain('hunter2');
  });

  it('refuse a flag without its value, and arguments', () => {
    expect(refusal(() => parse(['--port']))).toEqual(['flag --port: needs a value, see stompserver --help']);
    expect(refusal(() => parse(['start']))[0]).toContain('only options are taken');
  });

  it('refuse unknown variables and keys, all of them, each in a line', () => {
    const config = yaml('heartbeatIn: 5\nconfig: other.yaml');
    expect(refusal(() => parse(['--config', config], { STOMPSERVER_PRT: '1', OTHER: 'fine' }))).toEqual([
      'environment STOMPSERVER_PRT: is no option of stompserver, see stompserver --help',
      'config file broker.yaml, key "heartbeatIn": is no option of stompserver (did you mean heartbeat-in?), ' +
        'see stompserver --help',
      'config file broker.yaml, key "config": cannot name another file',
    ]);
  });

  it('name where a bad value came from', () => {
    const limit = 'must be a whole number from 0 to 65535 (0 takes a free port)';
    expect(refusal(() => parse(['--port', '70000']))).toEqual([`flag --port "70000": ${limit}`]);
    expect(refusal(() => parse([], { STOMPSERVER_PORT: '' }))).toEqual([`environment STOMPSERVER_PORT "": ${limit}`]);
    expect(refusal(() => withConfig('port: [1]'))).toEqual([`config file broker.yaml, key port (a list): ${limit}`]);
    expect(refusal(() => withConfig('port:'))).toEqual([`config file broker.yaml, key port null: ${limit}`]);
  });

  it('pass over what Kubernetes and Docker say of a service of this name', () => {
    const env = {
      STOMPSERVER_SERVICE_HOST: '10.0.0.1',
      STOMPSERVER_SERVICE_PORT_STOMP: '61613',
      STOMPSERVER_PORT: 'tcp://10.0.0.1:61613',
      STOMPSERVER_PORT_61613_TCP_ADDR: '10.0.0.1',
    };
    expect(parse([], env).port).toBe(61613);
  });
});

describe('the configuration file', () => {
  it('may be empty', () => {
    expect(withConfig('# nothing yet\n').port).toBe(61613);
  });

  it('that is not there, is no mapping or is no text is refused', () => {
    const missing = join(folder, 'missing.yaml');
    expect(refusal(() => parse(['--config', missing]))).toEqual([
      'config file missing.yaml: cannot be read: there is no such file',
    ]);
    expect(refusal(() => parse(['--config', folder]))[0]).toContain('cannot be read: it is a directory');
    expect(refusal(() => withConfig('- port'))[0]).toContain('must hold one option a line');
    writeFileSync(join(folder, 'latin1.yaml'), Buffer.from([0xe9]));
    expect(refusal(() => parse(['--config', join(folder, 'latin1.yaml')]))[0]).toContain('is not UTF-8 text');
    expect(refusal(() => withConfig('#'.repeat(1024 * 1024 + 1)))[0]).toContain('is larger than 1048576 bytes');
  });

  it('sends no dead letters where no message can be sent', () => {
    const policy = (deadLetter: string) =>
      `policies:\n  - destination: /queue/a\n    stamp: true\n    dead-letter: ${JSON.stringify(deadLetter)}`;
    expect(withConfig(policy('/queue/dead')).policies).toEqual([
      { destination: '/queue/a', stamp: true, deadLetter: '/queue/dead' },
    ]);
    expect(refusal(() => withConfig(policy('/queue/dead.*')))).toEqual([
      expect.stringContaining('dead letters cannot be sent to /queue/dead.*: name one queue or topic'),
    ]);
  });

  it('that is not YAML is refused by line and column, without quoting it', () => {
    const [line] = refusal(() => withConfig('port: 1\nusers: ["a:hunter2'));
    expect(line).toMatch(/^config file broker.yaml, line \d+, column \d+: not YAML \(.+\)$/);
    expect(line).not.toContain('hunter2');
    expect(refusal(() => withConfig('port: 1\nport: 2'))[0]).toContain('line 2, column 1: not YAML (duplicate key)');
  });

  it('may hold what YAML allows and no option is, and is refused calmly', () => {
    expect(refusal(() => withConfig('port: &a [*a]\nhost: {a: 1}\n? [b]\n: 1\n__proto__: 1'))).toEqual([
      'config file broker.yaml, key "[ b ]": is no option of stompserver, see stompserver --help',
      'config file broker.yaml, key "__proto__": is no option of stompserver, see stompserver --help',
      'config file broker.yaml, key host (a mapping): must be an IP address or a host name',
      'config file broker.yaml, key port (a list): must be a whole number from 0 to 65535 (0 takes a free port)',
    ]);
  });

  it('cannot grow without bound by aliases', () => {
    const bomb = ['a: &a [x]', ...'bcdefghi'.split('').map((c, i) => `${c}: &${c} [${'abcdefgh'[i]}]`)]
      .join('\n')
      .replace(/\[(\w)\]/g, (_, c: string) => (c === 'x' ? '[x]' : `[${Array(10).fill(`*${c}`).join()}]`));
    expect(refusal(() => withConfig(bomb))[0]).toContain('has too many aliases');
  });
});

describe('lists', () => {
  it('are parted by blanks and commas, or the option is repeated', () => {
    expect(parse(['--vhosts', 'a, b\tc', '--vhosts', 'd']).vhosts).toEqual(['a', 'b', 'c', 'd']);
    expect(parse([], { STOMPSERVER_VHOSTS: 'a,b' }).vhosts).toEqual(['a', 'b']);
    expect(withConfig('vhosts: a b').vhosts).toEqual(['a', 'b']);
    expect(withConfig('vhosts: [a b, c]').vhosts).toEqual(['a b', 'c']);
  });

  it('give back the entries whatever separates them', () => {
    const entry = fc.stringMatching(/^[^\s,]+$/);
    const separator = fc.stringMatching(/^[ \t\n,]+$/);
    fc.assert(
      fc.property(fc.array(fc.tuple(entry, separator)), fc.boolean(), (pairs, leading) => {
        const text = (leading ? ', ' : '') + pairs.map(([name, blank]) => name + blank).join('');
        expect(splitList(text)).toEqual(pairs.map(([name]) => name));
      }),
    );
  });

  it('complain about an entry by its number', () => {
    expect(refusal(() => withConfig('vhosts: [a, 3]'))).toEqual([
      'config file broker.yaml, key vhosts, entry 2 3: must be text',
    ]);
  });

  it('of vhosts and allowed addresses cannot be empty: nobody could connect', () => {
    expect(refusal(() => parse(['--vhosts', '']))[0]).toContain('must name at least one host');
    expect(refusal(() => parse(['--allow', ' ']))[0]).toContain('must name at least one address');
  });

  it('of addresses are compiled, and refused where an entry is none', () => {
    const { allow, deny } = parse(['--allow', '10.0.0.0/8,::1', '--deny', '10.66.*']);
    expect(allow.has('10.1.2.3')).toBe(true);
    expect(allow.has('11.1.2.3')).toBe(false);
    expect(deny.has('10.66.0.1')).toBe(true);
    expect(refusal(() => parse(['--allow', '10.0.0.0/8 here', '--deny', '10.0.0.0/40']))).toEqual([
      'flag --allow, entry 2 "here": must be an IP address, a range such as 10.0.0.0/8 or a glob such as 192.168.*',
      'flag --deny, entry 1 "10.0.0.0/40": must have a number from 0 to 32 after the slash',
    ]);
  });
});

describe('numbers', () => {
  it.each([
    ['port', '65536'],
    ['port', '-1'],
    ['port', '1.5'],
    ['port', '0x10'],
    ['port', 'abc'],
    ['heartbeat-in', '-1'],
    ['heartbeat-in', '86400001'],
    ['heartbeat-tolerance', '0.9'],
    ['heartbeat-tolerance', 'NaN'],
    ['max-body', '0'],
    ['max-body', '3GiB'],
    ['max-body', '16MB'],
    ['max-header', '64'],
    ['max-headers', '9'],
    ['max-connections', '0'],
    ['login-timeout', '0'],
    ['verbose', '6'],
  ])('refuse --%s %s and say the limit', (name, value) => {
    const [line] = refusal(() => parse([`--${name}`, value]));
    expect(line).toMatch(new RegExp(`^flag --${name} "${value}": must be a (whole )?number .*from [\\d.]+ to \\d+`));
  });

  it('may be sizes with a unit', () => {
    expect(parse(['--max-body', '64KiB']).maxBody).toBe(65_536);
    expect(parse(['--max-body', '2 mib']).maxBody).toBe(2_097_152);
    expect(withConfig('max-body: 1GiB').maxBody).toBe(1_073_741_824);
    expect(withConfig('max-body: 100').maxBody).toBe(100);
  });

  it('take 0 where it means something', () => {
    expect(parse(['--port', '0', '--heartbeat-in', '0', '--heartbeat-out', '0'])).toMatchObject({
      port: 0,
      heartbeatIn: 0,
      heartbeatOut: 0,
    });
  });
});

describe('users', () => {
  it('may have colons in their passwords', () => {
    const { users } = parse(['--users', 'user1:mysecret user2:a:b:c']);
    expect(users.map(({ login }) => login)).toEqual(['user1', 'user2']);
  });

  it('may have blanks and commas in a YAML list', () => {
    const { users } = withConfig('users:\n  - "bob:a b, c"\n  - eve:x');
    expect(users.map(({ login }) => login)).toEqual(['bob', 'eve']);
  });

  it('are never quoted in an error', () => {
    expect(refusal(() => parse(['--users', 'a:b hunter2 :hunter2 c:']))).toEqual([
      'flag --users, entry 2: has no colon: a user is user:password ' +
        '(a blank or a comma in a password needs a users file)',
      'flag --users, entry 3: has no user before the colon: a user is written user:password',
      'flag --users, entry 4: has no password after the colon: a user is written user:password',
    ]);
    expect(refusal(() => withConfig('users:\n  - bob: hunter2'))).toEqual([
      'config file broker.yaml, key users, entry 1: must be text, user:password: ' +
        'in YAML put it in quotes, with no blank after the colon',
    ]);
    expect(refusal(() => withConfig('users: 5')).join()).not.toContain('5');
  });

  it('cannot be named twice', () => {
    expect(refusal(() => parse(['--users', 'a:b', '--users', 'a:c']))).toEqual([
      'flag --users, entry 2: names the user that entry 1 has already named: keep one of the two',
    ]);
  });

  it('show no password when the options are printed', () => {
    const options = parse(['--users', 'a:hunter2']);
    expect(JSON.stringify(options)).not.toContain('hunter2');
    expect(JSON.stringify(options)).not.toContain('digest');
  });
});

describe('the address to listen on', () => {
  it('is loopback while anyone may connect, else every interface', () => {
    expect(parse().host).toBe('127.0.0.1');
    for (const argv of [['--users', 'a:b'], ['--users-file', 'users'], ['--allow-anonymous']]) {
      expect(['::', '0.0.0.0']).toContain(parse(argv).host);
    }
    expect(parse(['--allow-anonymous', 'no']).host).toBe('127.0.0.1');
    expect(parse(['--users', '']).host).toBe('127.0.0.1');
  });

  it.each(['127.0.0.1', '127.8.9.1', '::1', 'localhost', '::ffff:127.0.0.1'])('may be %s without users', (host) => {
    expect(parse(['--host', host]).host).toBe(host);
  });

  it.each(['0.0.0.0', '::', '192.168.1.10', 'example.com', '127.example.com'])(
    'may not be %s without users, unless that is meant',
    (host) => {
      expect(refusal(() => parse(['--host', host]))).toEqual([
        `flag --host "${host}": without users anyone may connect, so it must be a loopback address such as 127.0.0.1: ` +
          'add --users or --users-file, or --allow-anonymous to open it on purpose',
      ]);
      expect(parse(['--host', host, '--allow-anonymous']).host).toBe(host);
      expect(parse(['--host', host, '--users', 'a:b']).host).toBe(host);
    },
  );

  it.each(['', 'a b', '*', 'a..b', '1.2.3.4:5', '[::1]'])('may not be "%s"', (host) => {
    expect(refusal(() => parse(['--host', host, '--allow-anonymous']))[0]).toContain(
      'must be an IP address or a host name',
    );
  });
});

describe('--tls', () => {
  it.each(['false', '0', 'off', 'no', 'n', 'f', 'FALSE', 'Off'])('%s means clear text', (word) => {
    expect(parse(['--tls', word]).tls).toBe(false);
  });

  it.each(['true', '1', 'on', 'yes', 'y', 't', 'TRUE', 'Yes'])('%s means TLS', (word) => {
    expect(parse(['--tls', word, ...certificate]).tls).toBe(true);
  });

  it.each(['strict', 'STRICT', 'Strict'])('%s means TLS with client certificates', (word) => {
    expect(parse(['--tls', word, ...certificate, '--cafile', 'ca.pem']).tls).toBe('strict');
  });

  it.each(['', 'maybe', 'stric', 'tru', '2', ' true'])('"%s" is refused', (word) => {
    expect(refusal(() => parse(['--tls', word, ...certificate]))).toEqual([
      `flag --tls "${word}": must be one of false 0 off no n f (clear text), true 1 on yes y t (TLS) ` +
        'or strict (TLS with client certificates)',
    ]);
  });

  it.each([
    ['true', true],
    ['yes', true],
    ['1', true],
    ['off', false],
    ['strict', 'strict'],
  ])("may be YAML's own %s", (word, mode) => {
    const files = 'certfile: c\nkeyfile: k\ncafile: a';
    expect(withConfig(`tls: ${word}\n${files}`).tls).toBe(mode);
  });

  it('needs the files of its mode', () => {
    expect(refusal(() => parse(['--tls', 'true']))).toEqual(['flag --tls "true": needs --certfile and --keyfile too']);
    expect(refusal(() => parse([], { STOMPSERVER_TLS: 'on', STOMPSERVER_CERTFILE: 'x' }))).toEqual([
      'environment STOMPSERVER_TLS "on": needs --keyfile too',
    ]);
    expect(refusal(() => parse(['--tls', 'strict', ...certificate]))).toEqual([
      'flag --tls "strict": needs --cafile too',
    ]);
  });

  it('cannot be forgotten where a certificate is named, but can be off', () => {
    expect(refusal(() => parse(certificate))[0]).toContain('has no effect without TLS: add --tls true');
    expect(parse(['--tls', 'off', ...certificate]).tls).toBe(false);
  });
});

describe('--help and --version', () => {
  it('explain every option with its default and an example, in groups', () => {
    const words = answer(['--help']).replace(/\s+/g, ' ');
    for (const [name, field] of Object.entries(optionFields)) {
      const help = optionHelp.get(field)!;
      const flag = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} ${help.takes}`;
      const preset: unknown = field.parse(undefined);
      const fallback = help.fallback ?? String(preset);
      expect(words).toContain(`${flag} ${help.text}. Default: ${fallback}. Example: ${help.example}`);
      expect(words).toContain(`${help.group}: `);
    }
  });

  it('show examples that are valid themselves', () => {
    for (const field of Object.values(optionFields)) {
      const [, name = '', text = ''] = /^--(\S+) ?(?:"?([^"]*)"?)?$/.exec(optionHelp.get(field)!.example) ?? [];
      if (['tls', 'config', 'host'].includes(name) || name.endsWith('file')) {
        continue;
      }
      expect(parse([`--${name}`, ...(text === '' ? [] : [text])])).toBeDefined();
    }
  });

  it('are answered whatever else is wrong', () => {
    expect(answer(['--bogus', '--help', '--port', 'x'])).toContain('Usage: stompserver [options]');
    expect(answer(['-h'])).toContain('Usage: stompserver');
  });

  it('give the version alone', () => {
    expect(answer(['--version'])).toMatch(/^\d+\.\d+\.\d+\S*\n$/);
    expect(answer(['-V'])).toBe(answer(['--version']));
  });
});

describe('whatever is given', () => {
  it('ends in options, or in lines without line breaks', () => {
    const flag = fc.constantFrom(...Object.keys(optionFields).filter((name) => name !== 'config'));
    const kebab = (name: string) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    fc.assert(
      fc.property(fc.array(fc.tuple(flag, fc.string({ unit: 'binary' }))), (pairs) => {
        const argv = pairs.map(([name, value]) => `--${kebab(name)}=${value}`);
        try {
          expect(parse(argv).port).toBeGreaterThanOrEqual(0);
        } catch (error) {
          if (!(error instanceof OptionsError)) {
            throw error;
          }
          expect(error.lines.length).toBeGreaterThan(0);
          expect(error.lines.join('')).not.toMatch(/[\r\n]/);
        }
      }),
    );
  });
});
