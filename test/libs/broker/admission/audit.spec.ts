import { expect, it } from '@jest/globals';
import type { AuditEvent } from 'nestjs-stomp-broker';
import { Embedded } from '../../../support/embedded.js';

it('a client whose login was right, but decided too late, is recorded as one that did not come in', async () => {
  let decide: (right: boolean) => void = () => undefined;
  const decision = new Promise<boolean>((resolve) => (decide = resolve));
  let recorded: (event: AuditEvent) => void = () => undefined;
  const record = new Promise<AuditEvent>((resolve) => (recorded = resolve));
  const users = { size: 1, verify: () => decision };
  const embedded = await Embedded.start({ users, loginTimeout: 50, audit: recorded });
  const error = await embedded.refusal({ login: 'ann', passcode: 'x' });
  expect(error.header('message')).toBe('login timeout');
  decide(true);
  expect(await record).toMatchObject({ event: 'connection refused', user: 'ann', error: 'connection closed' });
});
