import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { start } from '../../support/programs.js';

// Each test runs whole processes, maybe beside others that do.
jest.setTimeout(120_000);

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'stompserver cert-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const folders = { count: 0 };
/** A folder that is not there yet. */
const newFolder = () => join(root, `made${folders.count++}`, 'certs');

const cert = async (...options: string[]) => {
  const program = start('stompserver', 'cert', ...options);
  const { code } = await program.exited;
  return { code, stdout: program.stdout.join('\n'), stderr: program.stderr };
};

const certificate = (dir: string, name: string) => new X509Certificate(readFileSync(join(dir, `${name}.pem`)));

/** The words of a command as a shell reads it. */
const words = (line: string) => [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!);

describe('stompserver cert', () => {
  it('makes what --tls strict needs: the commands that it prints carry a line from stomper to printer', async () => {
    const dir = newFolder();
    const { code, stdout, stderr } = await cert('--dir', dir, '--client', 'ann');
    expect([code, stderr]).toEqual([0, '']);
    const command = (name: string) => {
      const line = stdout.split('\n').find((text) => text.includes(`${name} --`));
      return words(line!.slice(line!.indexOf(name))).slice(1);
    };
    const broker = start(
      'stompserver',
      ...command('stompserver').join('\0').replace('\x0061614\0', '\x000\0').split('\0'),
    );
    const [, port = ''] = await broker.line(/^listening stomp\+tls:.*:(\d+)$/);
    const printer = start('printer', ...command('printer'), '--port', port, '--count', '1');
    const stomper = start('stomper', ...command('stomper'), '--port', port);
    stomper.stdin.end('hello\n');
    expect(await stomper.exited).toEqual({ code: 0, signal: null });
    expect(await printer.exited).toEqual({ code: 0, signal: null });
    expect(printer.stdout).toEqual(['hello']);
    const stranger = start(
      'stomper',
      '--topic',
      '/queue/hello',
      '--tls',
      'true',
      '--cafile',
      join(dir, 'ca.pem'),
      '--port',
      port,
    );
    stranger.stdin.end('hello\n');
    expect((await stranger.exited).code).toBe(1);
    expect(stranger.stderr).toContain('give one with --certfile and --keyfile');
  });

  it('makes keys that nobody else can read, of certificates for one purpose each', async () => {
    const dir = newFolder();
    const { stdout } = await cert('--dir', dir, '--host', 'mq.test 10.0.0.7', '--client', 'ann,bob', '--days', '30');
    const names = ['ann', 'bob', 'ca', 'server'];
    expect(readdirSync(dir)).toEqual(names.flatMap((name) => [`${name}.key`, `${name}.pem`]));
    for (const name of names) {
      expect([name, statSync(join(dir, `${name}.key`)).mode & 0o777]).toEqual([name, 0o600]);
      expect(certificate(dir, name).checkPrivateKey(createPrivateKey(readFileSync(join(dir, `${name}.key`))))).toBe(
        true,
      );
      expect(stdout).not.toContain('PRIVATE KEY');
    }
    const [ca, server, ann] = [certificate(dir, 'ca'), certificate(dir, 'server'), certificate(dir, 'ann')];
    expect(ca.ca).toBe(true);
    for (const issued of [server, ann]) {
      expect(issued.ca).toBe(false);
      expect(issued.checkIssued(ca) && issued.verify(ca.publicKey)).toBe(true);
      const days = (Date.parse(issued.validTo) - Date.now()) / 86_400_000;
      expect(days).toBeGreaterThan(29.9);
      expect(days).toBeLessThan(30.1);
    }
    expect(server.checkHost('mq.test')).toBe('mq.test');
    expect(server.checkIP('10.0.0.7')).toBe('10.0.0.7');
    expect(server.checkHost('localhost')).toBeUndefined();
    expect(ann.subject).toBe('CN=ann');
    expect(server.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    expect(ann.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
  });

  it('replaces nothing unless it is forced to', async () => {
    const dir = newFolder();
    await cert('--dir', dir);
    const before = readFileSync(join(dir, 'ca.pem'), 'utf8');
    rmSync(join(dir, 'ca.key'));
    writeFileSync(join(dir, 'server.key'), 'mine', { mode: 0o644 });
    const refused = await cert('--dir', dir);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toBe(
      `stompserver cert: ${join(dir, 'ca.pem')} is there already: choose another --dir, or --force\n`,
    );
    expect(readFileSync(join(dir, 'server.key'), 'utf8')).toBe('mine');
    expect((await cert('--dir', dir, '--force')).code).toBe(0);
    expect(readFileSync(join(dir, 'ca.pem'), 'utf8')).not.toBe(before);
    expect(statSync(join(dir, 'server.key')).mode & 0o777).toBe(0o600);
  });

  it.each([
    ['a client whose file would lie elsewhere', ['--client', '../ann'], '--client "../ann": it is a name of letters'],
    ['a client that is called like another file', ['--client', 'ann CA'], '--client CA: the files CA.pem and .key'],
    ['a host that is none', ['--host', 'a_b/c'], '--host "a_b/c": it is a name or an address of a machine'],
    ['no host', ['--host', ''], '--host: it is a name or an address of a machine, or several'],
    ['no time', ['--days', '0'], '--days "0": it is a whole number from 1 to 3650'],
    ['an unknown option', ['--port', '1'], "unknown option '--port"],
  ])('refuses %s, and makes nothing', async (_what, options, why) => {
    const dir = newFolder();
    const { code, stderr } = await cert('--dir', dir, ...options);
    expect(code).toBe(2);
    expect(stderr).toContain(`stompserver cert: ${why}`);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(() => readdirSync(dir)).toThrow('ENOENT');
  });

  it('is named by stompserver --help, and has one of its own', async () => {
    const help = start('stompserver', '--help');
    await help.exited;
    expect(help.stdout.join('\n')).toMatch(/^Commands.*\n {2}cert {4}/m);
    const { code, stdout } = await cert('--help');
    expect(code).toBe(0);
    for (const option of ['--dir', '--host', '--client', '--days', '--force']) expect(stdout).toContain(`  ${option}`);
  });
});
