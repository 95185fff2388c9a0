import { afterAll, expect, it, jest } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Certificates } from '../support/certificates.js';
import { type Program } from '../support/program.js';
import { start, startIn } from '../support/programs.js';
import { as, Files, serve } from '../support/stompserver.js';

// Each test runs whole processes, maybe beside others that do.
jest.setTimeout(120_000);

const files = new Files();
const certificates = new Certificates();
afterAll(() => {
  files.remove();
  certificates.remove();
});

const SECRET = 's3cret-word';
/** Its hash by bcrypt. */
const hash = '$2b$04$kMOrAMwtvQtULOnw8i3yY.y1vBF9hvTsj2InwN6drCHnY0tFGc3tS';

/** What a running program is called. */
const titleOf = (program: Program) =>
  execFileSync('ps', ['-o', 'args=', '-p', String(program.pid)], { encoding: 'utf8' });
/** What a program has printed. */
const printed = ({ stderr, stdout }: Program) => [stderr, ...stdout].join('\n');

it.each(['stomper', 'printer'] as const)(
  '%s shows no password, however it was given and whatever goes wrong',
  async (name) => {
    const server = await serve('--users', `ann:${SECRET}`);
    const where = `127.0.0.1:${server.port}`;
    const url = `stomp://ann:${SECRET}@${where}`;
    const bob = ['--topic=/queue/a', '--host=127.0.0.1', `--port=${server.port}`, '--user=bob'];
    const failing = [
      start(name, '--topic=/queue/a', '--url', url.replace('ann', 'bob')),
      start(name, ...bob, '--password', SECRET),
      start(name, ...bob, '--password-file', files.make(`${SECRET}\n`)),
      startIn({ STOMP_PASSWORD: SECRET }, name, ...bob),
      start(name, '--topic=/queue/a', '--url', url, '--url', url.replace(/\d+$/, 'none')),
      start(name, '--topic=/queue/a', '--url', url.replace('stomp:', 'http:')),
      start(name, '--topic=/queue/a', '--url', `${url}?unknown=1`),
      start(name, '--topic=/queue/a', '--url', url, '--pasword', SECRET),
      start(name, '--topic=/queue/a', '--url', url, SECRET),
      start(name, ...bob, '--password', SECRET, '--password-file', files.make(SECRET)),
    ];
    for (const program of failing) {
      program.stdin.write('line\n');
      expect((await program.exited).code).toBeGreaterThan(0);
      expect(program.stderr).toMatch(/\S/);
      expect(printed(program)).not.toContain(SECRET);
    }
    const help = start(name, '--topic=/queue/a', '--url', url, '--help');
    expect((await help.exited).code).toBe(0);
    const lost = start(name, '--topic=/queue/a', '--url', url.replace('stomp:', 'stomp+tls:'));
    await lost.says(/cannot connect/);
    const reader = await server.connect(as('ann', SECRET));
    const well = start(name, '--topic=/queue/b', '--url', url);
    if (name === 'stomper') {
      well.stdin.write('line\n');
      await reader.subscribe('/queue/b');
      await reader.message();
    } else {
      await reader.receipted('SEND', { destination: '/queue/b' }, 'line');
      await well.line(/^line$/);
    }
    const title = titleOf(well);
    expect(title).toContain(name);
    for (const text of [title, printed(help), printed(lost), printed(well)]) expect(text).not.toContain(SECRET);
  },
);

it('stompserver shows neither hashes of passwords nor keys, also where their files are of no use', async () => {
  const ca = certificates.authority('ca');
  const own = certificates.issue('server', ca);
  const key = readFileSync(own.key, 'utf8').split('\n');
  const secrets = [SECRET, hash, hash.slice(7), hash.slice(-20), ...key.filter((line) => line.length >= 40)];
  const good = files.make(`ann:${hash}\n`);
  const audit = files.make('');
  const server = await serve('--users-file', good, '--audit-log', audit, '--verbose', '5');
  await server.connect(as('ann', SECRET));
  const refused = await server.refusal(as('ann', hash));
  files.replace(good, `ann:${hash}\nann:${hash}\n`);
  await server.program.says(/already named/);
  const title = titleOf(server.program);
  await server.program.stop();
  const texts = [refused, title, printed(server.program), readFileSync(audit, 'utf8')];
  const broken = key.map((line, index) => (index === 3 ? `${line}!` : line)).join('\n');
  for (const options of [
    ['--users', `ann:${hash}x`, '--users-file', files.make(`${hash}\nann:${hash.slice(0, -3)}\n`)],
    ['--tls', 'true', '--certfile', own.cert, '--keyfile', files.make(broken)],
    ['--tls', 'true', '--certfile', own.key, '--keyfile', own.key],
    ['--tls', 'true', '--certfile', own.cert, '--keyfile', files.make(readFileSync(own.cert, 'utf8'))],
    ['--config', own.key],
    ['--config', files.make(`users: ["ann:${SECRET}"\n`)],
    ['--config', files.make(`users: { ann: "${SECRET}" }\nport: 0\n`)],
  ]) {
    const program = start('stompserver', ...options);
    expect((await program.exited).code).toBeGreaterThan(0);
    texts.push(printed(program));
  }
  for (const text of texts) {
    expect(text).not.toBe('');
    for (const secret of secrets) expect(text).not.toContain(secret);
  }
});
