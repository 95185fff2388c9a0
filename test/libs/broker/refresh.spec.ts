import { describe, expect, it } from '@jest/globals';
import { type Admission, type AuditEvent } from 'nestjs-stomp-broker';
import { StompError } from 'nestjs-stomp/server';
import { join, makeBroker, standstill, textsOf } from '../../support/broker.js';
import { Embedded } from '../../support/embedded.js';

/** Lets in whoever says the password of the moment, and notes what it is asked. */
function makeAdmission(): Admission & { password: string; readonly asked: string[] } {
  const asked: string[] = [];
  return {
    password: 'first',
    asked,
    connect(session, { headers }) {
      asked.push(`CONNECT ${headers.get('login') ?? ''}`);
      if (headers.get('passcode') !== this.password) return Promise.reject(new StompError('connection refused', 'no'));
      session.user = headers.get('login');
      return Promise.resolve();
    },
    use(session, destination, action) {
      asked.push(`${String(session.user)} ${action} ${destination}`);
      return Promise.resolve();
    },
  };
}

const login = (name: string, passcode: string) => ({ login: name, passcode });

it('a SEND to /session/refresh brings new credentials on a live connection, and what it uses is asked for again', async () => {
  const admission = makeAdmission();
  const broker = await makeBroker({ admission });
  const peer = await join(broker, '1.2', login('me', 'first'));
  await peer.subscribe('/queue/a', { id: 'kept' });
  await peer.receipted('SEND', { destination: '/queue/a' }, '1');
  admission.password = 'second';
  await peer.receipted('SEND', { destination: '/session/refresh', ...login('me again', 'second') });
  await peer.receipted('SEND', { destination: '/queue/a' }, '2');
  expect(await peer.texts(2)).toEqual(['1', '2']);
  expect(admission.asked).toEqual([
    'CONNECT me',
    'me subscribe /queue/a',
    'me send /queue/a',
    'CONNECT me again',
    'me again subscribe /queue/a',
    'me again send /queue/a',
  ]);
});

it('credentials that are refused end the session, with the receipt of the SEND in the ERROR', async () => {
  const admission = makeAdmission();
  const broker = await makeBroker({ admission });
  const peer = await join(broker, '1.2', login('me', 'first'));
  peer.send('SEND', { destination: '/session/refresh', receipt: 'r', ...login('me', 'wrong') });
  const error = await peer.refused();
  expect(error.header('message')).toBe('connection refused');
  expect(error.header('receipt-id')).toBe('r');
});

describe('while new credentials are looked at', () => {
  /** A client that has sent new credentials, and frames behind them, to a broker that has not made up its mind. */
  const waiting = async () => {
    const admission = makeAdmission();
    let decide!: (error?: Error) => void;
    const broker = await makeBroker({ admission });
    const peer = await join(broker, '1.2', login('me', 'first'));
    const reader = await join(broker, '1.2', login('reader', 'first'));
    await reader.subscribe('/topic/a');
    await peer.receipted('SEND', { destination: '/topic/a' }, 'before');
    admission.asked.length = 0;
    admission.connect = () => {
      admission.asked.push('CONNECT');
      return new Promise((resolve, reject) => {
        decide = (error) => (error === undefined ? resolve() : reject(error));
      });
    };
    const refresh = { destination: '/session/refresh', ...login('me', 'first') };
    peer.send('SEND', { ...refresh, receipt: 'first' });
    peer.send('SEND', { destination: '/topic/a' }, 'after');
    for (let i = 0; i < 20; i++) peer.send('SEND', { ...refresh, receipt: `more ${i}` });
    await standstill(() => admission.asked.length);
    return { broker, admission, peer, reader, decide: (error?: Error) => decide(error) };
  };

  it('nothing more is read from their client: neither frames nor more of them', async () => {
    const { admission, peer, reader, decide } = await waiting();
    expect(admission.asked).toEqual(['CONNECT']);
    expect(textsOf(await reader.rest())).toEqual(['before']);
    decide();
    await peer.receipt('first');
    expect(await reader.texts(1)).toEqual(['after']);
    for (let i = 0; i < 20; i++) {
      await standstill(() => admission.asked.length);
      expect(admission.asked.filter((asked) => asked === 'CONNECT')).toHaveLength(i + 2);
      decide();
      await peer.receipt(`more ${i}`);
    }
  });

  it('and refused, nothing comes of what was sent behind them', async () => {
    const { peer, reader, decide } = await waiting();
    decide(new StompError('connection refused', 'no'));
    expect((await peer.refused()).header('receipt-id')).toBe('first');
    expect(textsOf(await reader.rest())).toEqual(['before']);
  });

  it('its connection may end: what is decided then is of no interest', async () => {
    const { broker, reader, decide } = await waiting();
    [...broker.sessions].find(({ user }) => user === 'me')!.destroy();
    await standstill(() => broker.sessions.size);
    expect(broker.sessions.size).toBe(1);
    decide();
    expect(textsOf(await reader.rest())).toEqual(['before']);
  });
});

it("the audit is told of new credentials where they are another user's", async () => {
  const events: AuditEvent[] = [];
  const users = { ann: 'a', bob: 'b' };
  const embedded = await Embedded.start({ users, audit: (event) => void events.push(event) });
  const peer = await embedded.connect(login('ann', 'a'));
  for (const name of ['ann', 'ann', 'bob', 'bob', 'ann'] as const) {
    await peer.receipted('SEND', { destination: '/session/refresh', ...login(name, users[name]) });
  }
  expect(events.map(({ event, user }) => `${event} ${user}`)).toEqual([
    'connected ann',
    'user changed bob',
    'user changed ann',
  ]);
});

it('the new passcode appears in no log', async () => {
  const lines: string[] = [];
  const log = { level: 5, log: (_level: number, line: string) => void lines.push(line) };
  const admission = makeAdmission();
  const broker = await makeBroker({ admission, log });
  const peer = await join(broker, '1.2', login('me', 'first'));
  admission.password = 'geheim';
  await peer.receipted('SEND', { destination: '/session/refresh', ...login('me', 'geheim') });
  expect(lines.join('\n')).toContain('/session/refresh');
  expect(lines.join('\n')).not.toContain('geheim');
});

it('/session/refresh cannot be subscribed to', async () => {
  const peer = await join(await makeBroker());
  peer.send('SUBSCRIBE', { destination: '/session/refresh', id: '1' });
  expect((await peer.refused()).header('message')).toBe('access refused');
});

it('a SEND to /session/refresh in a transaction is refused: credentials take effect at once', async () => {
  const admission = makeAdmission();
  const peer = await join(await makeBroker({ admission }), '1.2', login('me', 'first'));
  peer.send('BEGIN', { transaction: 't' });
  peer.send('SEND', { destination: '/session/refresh', transaction: 't', ...login('me', 'first') });
  const error = await peer.refused();
  expect(error.header('message')).toBe('not in a transaction');
  expect(admission.asked.filter((asked) => asked.startsWith('CONNECT'))).toEqual(['CONNECT me']);
});

it.each(['1.0', '1.1', '1.2'] as const)(
  'no MESSAGE of %s carries the login or the passcode of a SEND, in a transaction or not',
  async (version) => {
    const peer = await join(await makeBroker(), version);
    await peer.subscribe('/queue/a', { id: '1' });
    const secret = { login: 'me', passcode: 'geheim', kept: 'yes' };
    await peer.receipted('SEND', { destination: '/queue/a', ...secret }, 'alone');
    await peer.receipted('SEND', { destination: '/queue/a,/queue/b', ...secret }, 'to a list');
    peer.send('BEGIN', { transaction: 't' });
    peer.send('SEND', { destination: '/queue/a', transaction: 't', ...secret }, 'in a transaction');
    await peer.receipted('COMMIT', { transaction: 't' });
    const messages = [await peer.message(), await peer.message(), await peer.message()];
    expect(messages.map(({ text }) => text)).toEqual(['alone', 'to a list', 'in a transaction']);
    for (const message of messages) {
      expect(message.header('kept')).toBe('yes');
      expect(message.header('login')).toBeUndefined();
      expect(message.header('passcode')).toBeUndefined();
    }
  },
);
