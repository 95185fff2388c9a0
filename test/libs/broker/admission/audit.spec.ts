import { expect, it } from '@jest/globals';
import type { AuditEvent } from 'nestjs-stomp-broker';
import { Embedded } from '../../../support/embedded.js';

it.each([
  ['send', '/topic/$SYS/connections', {}],
  ['send', '/queue/a,/topic/$SYS.x', {}],
  ['subscribe', '/reply-queue/x', {}],
  ['subscribe', '/queue/a,/reply-topic/x', {}],
  ['subscribe', '/session/refresh', {}],
  ['subscribe', '/queue/a', { 'x-dead-letter-exchange': 'amq.topic', 'x-dead-letter-routing-key': '$SYS.x' }],
] as const)(
  'a %s to %s, which no rule can allow, is recorded as what others refuse is',
  async (action, destination, more) => {
    const events: AuditEvent[] = [];
    const rules = { rules: [{ destination: '#', allow: ['read', 'write', 'manage'] as const }] };
    const users = { ann: 'a' };
    const embedded = await Embedded.start({ users, rules, audit: (event) => void events.push(event) });
    const peer = await embedded.connect({ login: 'ann', passcode: 'a' });
    peer.send(action === 'send' ? 'SEND' : 'SUBSCRIBE', { id: '1', destination, ...more });
    const error = await peer.refused();
    expect(error.header('message')).toBe('access refused');
    const reason = error.text.trimEnd();
    const [part] = destination.split(',').slice(-1);
    expect(events.slice(1)).toEqual([
      expect.objectContaining({ event: 'access refused', user: 'ann', action, destination: part, reason }),
    ]);
  },
);

it('a client whose login was right, but which was gone by then, is recorded as one that did not come in', async () => {
  let decide: (right: boolean) => void = () => undefined;
  const decision = new Promise<boolean>((resolve) => (decide = resolve));
  let recorded: (event: AuditEvent) => void = () => undefined;
  const record = new Promise<AuditEvent>((resolve) => (recorded = resolve));
  let ask: () => void = () => undefined;
  const asked = new Promise<void>((resolve) => (ask = resolve));
  const verify = () => {
    ask();
    return decision;
  };
  const embedded = await Embedded.start({ users: { size: 1, verify }, audit: recorded });
  const peer = await embedded.open();
  peer.send('CONNECT', { 'accept-version': '1.2', host: 'h', login: 'ann', passcode: 'x' });
  await asked;
  for (const session of embedded.broker.sessions) session.destroy();
  await peer.closed();
  decide(true);
  expect(await record).toMatchObject({ event: 'connection refused', user: 'ann', error: 'connection closed' });
});
