import { expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { type AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { type CanActivate, type ExecutionContext, Injectable, UseGuards } from '@nestjs/common';
import { AdmissionController, AdmissionRequest, type UserDirectory } from 'nestjs-stomp-broker';
import { accessFields, tlsFields } from '../../apps/broker/src/options.access.js';
import { jwtFields } from '../../apps/broker/src/options.jwt.js';
import { Embedded } from '../support/embedded.js';

const guide = readFileSync(fileURLToPath(new URL('../../docs/access.md', import.meta.url)), 'utf8');

it('names every option of access', () => {
  for (const name of Object.keys({ ...accessFields, ...tlsFields, ...jwtFields })) {
    expect(guide).toContain(`--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`);
  }
});

it('a guard of one’s own that asks a service over HTTP takes three lines, and rules go on with what it finds', async () => {
  const service = createServer((request, response) => {
    const [login, passcode] = Buffer.from(request.headers.authorization?.slice(6) ?? '', 'base64')
      .toString()
      .split(':');
    if (passcode === 'right') response.end(JSON.stringify({ name: login, groups: ['staff'] }));
    else response.writeHead(401).end();
  }).listen(0, '127.0.0.1');
  await once(service, 'listening');
  const url = `http://127.0.0.1:${(service.address() as AddressInfo).port}/`;
  try {
    @Injectable()
    class HttpGuard implements CanActivate {
      async canActivate(context: ExecutionContext): Promise<boolean> {
        const request = context.switchToRpc().getData<AdmissionRequest>();
        if (request.command !== 'CONNECT') return true;
        const basic = Buffer.from(`${request.login}:${request.passcode}`).toString('base64');
        const answer = await fetch(url, { headers: { authorization: `Basic ${basic}` } });
        if (answer.ok) request.user = await answer.json();
        return answer.ok;
      }
    }

    @UseGuards(HttpGuard)
    class HttpAdmission extends AdmissionController {}
    const rules = { rules: [{ destination: '/queue/a', groups: ['staff'], allow: ['write' as const] }] };
    const embedded = await Embedded.start({ admission: HttpAdmission, rules });

    const peer = await embedded.connect({ login: 'ann', passcode: 'right' });
    await peer.receipted('SEND', { destination: '/queue/a' }, 'x');
    peer.send('SUBSCRIBE', { destination: '/queue/a', id: '1' });
    expect((await peer.refused()).text).toBe('you may not read "/queue/a"\n');
    expect((await embedded.refusal({ login: 'ann', passcode: 'wrong' })).header('message')).toBe('connection refused');
    // The guide shows what has just run.
    const source = readFileSync(fileURLToPath(import.meta.url), 'utf8');
    const [shown = ''] = /@Injectable\(\)\nclass HttpGuard[^]*?AdmissionController \{\}\n/.exec(guide) ?? [];
    const flat = (text: string) => text.replace(/\s+/g, ' ');
    expect(shown).not.toBe('');
    expect(flat(source)).toContain(flat(shown));
  } finally {
    service.close();
    service.closeAllConnections();
  }
});

it('a directory of one’s own may say when a session ends: it does, unless new credentials came before', async () => {
  const directory: UserDirectory = {
    size: 1,
    verify: () => true,
    identify: ({ login = '', passcode }) => ({ name: login, expires: Date.now() + Number(passcode) }),
  };
  const embedded = await Embedded.start({ users: directory });
  const [short, renewed] = [
    await embedded.connect({ login: 'ann', passcode: '300' }),
    await embedded.connect({ login: 'bob', passcode: '60000' }),
  ];
  await renewed.receipted('SEND', { destination: '/session/refresh', login: 'bob', passcode: '600000' });
  expect((await short.refused()).header('message')).toBe('session expired');
  await renewed.receipted('SEND', { destination: '/queue/a' }, 'x');
});
