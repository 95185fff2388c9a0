import { describe, expect, it, jest } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { start } from '../../support/programs.js';
import { unique } from '../../support/raw.js';
import { handshake } from '../../support/server.js';
import { serve } from '../../support/serve.js';

jest.setTimeout(120_000);

const OWN = ['message-id', 'subscription', 'ack', 'redelivered', 'delivery-count', 'receipt', 'transaction'];

describe('a message', () => {
  it.each(['1.0', '1.1', '1.2'] as const)(
    'cannot forge what the server says of it, in no version and by no trick of escapes (reader of %s)',
    async (version) => {
      const server = await serve();
      const destination = unique('/queue/forged');
      const reader = await server.open();
      await handshake(reader, version);
      await reader.subscribe(destination, version === '1.0' ? {} : { id: 'mine' });
      const names = [...OWN, ...OWN.map((name) => name.toUpperCase())];
      const lines = names.map((name) => `${name}:forged\n`).join('');
      // What an escape hides in 1.2 must not be a line of its own where there are no escapes.
      const hidden = OWN.map((name) => `x-${name}:a\\n${name}:forged\nx\\n${name}:forged\n`).join('');
      const publisher = await server.connect();
      for (const headers of [lines.replace(/^(receipt|transaction):.*\n/gm, ''), hidden]) {
        publisher.write(`SEND\ndestination:${destination}\n${headers}\nbody\0`);
        const message = await reader.message();
        for (const name of OWN) expect(message.header(name) ?? '').not.toBe('forged');
        expect(message.header('subscription')).toBe(version === '1.0' ? undefined : 'mine');
        expect(message.header('redelivered')).toBe('false');
        // The server's own lines stand before all others, each once.
        const raw = message.lines.map((line) => line.slice(0, line.indexOf(':')));
        for (const name of OWN) expect(raw.filter((each) => each === name).length).toBeLessThanOrEqual(1);
      }
    },
  );

  it('passes no NUL on in a header, at which a subscriber may part frames', async () => {
    const server = await serve();
    const reader = await server.connect();
    await reader.subscribe('/topic/forged');
    for (const header of ['x:a\0RECEIPT\nreceipt-id:5', 'x\0RECEIPT\nreceipt-id:5:a', 'x\0:a']) {
      const publisher = await server.connect();
      publisher.write(`SEND\ndestination:/topic/forged\n${header}\n\nbody\0`);
      await publisher.refused();
    }
    expect(await reader.rest()).toEqual([]);
  });

  it('reaches no other virtual host, whatever its destination or its headers name', async () => {
    const server = await serve('--vhosts', 'one two');
    const other = await server.connect({ host: 'two' });
    for (const destination of ['/queue/a', '/topic/a', '/topic/two.#', 'a']) await other.subscribe(destination);
    const peer = await server.connect({ host: 'one' });
    for (const destination of ['/queue/a', '/topic/a', '/topic/two/a', 'a', '/queue/a,/topic/a', '/queue/two\\c/a']) {
      peer.write(`SEND\ndestination:${destination}\nhost:two\nvhost:two\nreply-to:/temp-queue/r\n\nx\0`);
    }
    await peer.receipted('SEND', { destination: '/queue/a', host: 'two' }, 'x');
    expect((await other.rest()).filter(({ command }) => command === 'MESSAGE')).toEqual([]);
  });

  it("reaches another user's temporary queue by no name that can be guessed, and nobody else reads from it", async () => {
    const server = await serve();
    const owner = await server.connect();
    await owner.subscribe('/temp-queue/mine', { id: 'mine' });
    const peer = await server.connect();
    for (const destination of ['/temp-queue/mine', '/queue/mine', '/queue/temp-queue/mine', '/reply-queue/mine']) {
      await peer.receipted('SEND', { destination }, 'guessed');
    }
    await owner.receipted('SEND', { destination: '/queue/ask', 'reply-to': '/temp-queue/mine' }, 'x');
    const responder = await server.connect();
    await responder.subscribe('/queue/ask');
    const replyTo = (await responder.message()).header('reply-to')!;
    expect(replyTo).not.toContain('mine');
    const thief = await server.connect();
    thief.send('SUBSCRIBE', { destination: replyTo, id: '1' });
    expect((await thief.refused()).header('message')).toBe('access refused');
    await responder.receipted('SEND', { destination: replyTo }, 'reply');
    expect((await owner.rest()).map(({ text }) => text)).toEqual(['reply']);
  });
});

describe('a secret', () => {
  it('appears in no log, no error, no help, no process title and no audit', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'stompserver-secrets-'));
    try {
      const [users, audit] = [join(folder, 'users'), join(folder, 'audit')];
      const secrets = ['s3cret-flag', 's3cret-file', 's3cret-wrong', 's3cret-token', 's3cret-broken'];
      writeFileSync(users, 'bob:s3cret-file\n');
      const options = ['--users', 'ann:s3cret-flag', '--users-file', users, '--audit-log', audit, '--verbose', '5'];
      const server = await serve(...options);
      const texts: string[] = [];
      const ann = await server.connect({ login: 'ann', passcode: 's3cret-flag' });
      await ann.receipted('SEND', { destination: '/queue/a', 'x-auth-token': 's3cret-token' }, 'x');
      await server.connect({ login: 'bob', passcode: 's3cret-file' });
      texts.push((await server.refusal({ login: 'bob', passcode: 's3cret-wrong' })).raw.toString());
      for (const octets of [
        'CONNECT\npasscode s3cret-broken\n\n\0',
        'CONNECT login:ann passcode:s3cret-broken\naccept-version:1.2\n\n\0',
        'passcode:s3cret-broken\n\n\0',
        'CONNECT\npasscode:s3cret-broken\\x\naccept-version:1.2\n\n\0',
        'CONNECT\naccept-version:9\nlogin:ann\npasscode:s3cret-broken\n\n\0',
        'CONNECT\naccept-version:1.2\nhost:h\nheart-beat:x\nlogin:ann\npasscode:s3cret-broken\n\n\0',
      ]) {
        const peer = await server.open();
        peer.write(octets);
        texts.push((await peer.refused()).raw.toString());
        peer.end();
      }
      texts.push(execFileSync('ps', ['-o', 'args=', '-p', String(server.program.pid)], { encoding: 'utf8' }));
      await server.program.stop();
      texts.push(server.program.stderr, server.program.stdout.join('\n'), readFileSync(audit, 'utf8'));
      for (const mistake of [
        ['--users', 'ann:s3cret-flag', '--prot', '1'],
        ['--users', 'ann:s3cret-flag ann:s3cret-flag'],
        ['--user=ann:s3cret-flag'],
        ['--users', 's3cret-flag'],
        ['--users', 'ann:s3cret-flag', '--help'],
      ]) {
        const program = start('stompserver', ...mistake);
        await program.exited;
        texts.push(program.stderr, program.stdout.join('\n'));
      }
      // Nothing of this is empty because nothing was said.
      for (const text of texts.slice(0, 8)) expect(text).not.toBe('');
      for (const text of texts) for (const secret of secrets) expect(text).not.toContain(secret);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
