import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type Access, AccessRules, type AuditEvent, compileRules, type Rule, type Rules } from 'nestjs-stomp-broker';
import { Embedded } from '../../../support/embedded.js';
import { type RawPeer } from '../../../support/raw.js';
import { type Headers } from '../../../support/wire.js';

const ALL: Access[] = ['read', 'write', 'manage'];
const users = { ann: 'a', bob: 'b', eve: 'e' };
const as = (login: keyof typeof users) => ({ login, passcode: users[login] });

const serve = async (rules: readonly Rule[], groups: Rules['groups'] = {}) => {
  const events: AuditEvent[] = [];
  const embedded = await Embedded.start({ users, rules: { rules, groups }, audit: (event) => void events.push(event) });
  return { embedded, events };
};

/** What a frame gets for an answer: `granted`, or the text of the ERROR. */
const answer = async (peer: RawPeer, command: string, headers: Headers): Promise<string> => {
  peer.send(command, { id: 'asked', receipt: 'asked', ...headers }, command === 'SEND' ? 'x' : '');
  const got = await peer.take('an answer', (each) => ['RECEIPT', 'ERROR'].includes(each.command));
  return got.command === 'RECEIPT' ? 'granted' : got.text;
};

const ask = async (embedded: Embedded, login: keyof typeof users, command: string, headers: Headers) =>
  answer(await embedded.connect(as(login)), command, headers);

const may = (rules: readonly Rule[], name?: string, groups?: Rules['groups']) =>
  compileRules({ rules, groups })(name === undefined ? undefined : { name });

describe('rules', () => {
  it('refuse whatever none of them allows, and without rules everything is allowed', async () => {
    const { embedded } = await serve([{ destination: '/queue/orders', users: ['ann'], allow: ['write'] }]);
    expect(await ask(embedded, 'ann', 'SEND', { destination: '/queue/orders' })).toBe('granted');
    expect(await ask(embedded, 'ann', 'SUBSCRIBE', { destination: '/queue/orders' })).toMatch(/may not read/);
    expect(await ask(embedded, 'bob', 'SEND', { destination: '/queue/orders' })).toMatch(/may not write/);
    expect(await ask(embedded, 'ann', 'SEND', { destination: '/queue/else' })).toMatch(/may not write/);
    const open = await Embedded.start({ users });
    expect(await ask(open, 'bob', 'SUBSCRIBE', { destination: '/queue/orders' })).toBe('granted');
  });

  it('ask for manage only where a frame says how a queue is made, or what flows into it', async () => {
    const { embedded } = await serve([{ destination: '/queue/#', allow: ['read', 'write'] }]);
    expect(await ask(embedded, 'ann', 'SEND', { destination: '/queue/undefined' })).toBe('granted');
    for (const header of ['x-max-length', 'x-max-length-bytes', 'x-message-ttl', 'x-expires'] as const) {
      const headers = { destination: '/queue/orders', [header]: '1000' };
      expect([header, await ask(embedded, 'ann', 'SEND', headers)]).toEqual([
        header,
        expect.stringMatching(/may not manage/),
      ]);
    }
  });

  it('tell nobody whether a destination exists: the answers are alike', async () => {
    const { embedded, events } = await serve([{ destination: '/queue/known', users: ['ann'], allow: ALL }]);
    const ann = await embedded.connect(as('ann'));
    await ann.receipted('SEND', { destination: '/queue/known' }, 'here');
    const known = await ask(embedded, 'bob', 'SUBSCRIBE', { destination: '/queue/known' });
    const other = await ask(embedded, 'bob', 'SUBSCRIBE', { destination: '/queue/other' });
    expect(known.replace('known', 'other')).toBe(other);
    const refused = events.filter(({ event }) => event === 'access refused');
    expect(refused).toEqual(
      ['/queue/known', '/queue/other'].map((destination) => ({
        event: 'access refused',
        error: 'access refused',
        session: expect.stringMatching(/^[\da-f]{8}$/),
        address: '127.0.0.1',
        vhost: '*',
        user: 'bob',
        action: 'subscribe',
        destination,
        reason: `you may not read "${destination}"`,
      })),
    );
  });

  it('are for users, for the members of groups, or for everybody; what is denied counts more', () => {
    const rules: Rule[] = [
      { destination: '/queue/#', groups: ['staff'], allow: ALL },
      { destination: '/queue/payroll.#', users: ['bob'], deny: ['read'] },
      { destination: '/topic/news', allow: ['read'] },
    ];
    const groups = { staff: ['ann', 'bob'] };
    for (const [name, access, destination, allowed] of [
      ['ann', 'read', '/queue/payroll.may', true],
      ['bob', 'read', '/queue/payroll.may', false],
      ['bob', 'write', '/queue/payroll.may', true],
      ['bob', 'read', '/queue/#', false],
      ['bob', 'read', '/queue/other.#', true],
      ['eve', 'read', '/queue/a', false],
      ['eve', 'read', '/topic/news', true],
      [undefined, 'read', '/topic/news', true],
      [undefined, 'write', '/topic/news', false],
    ] as const) {
      expect([name, destination, may(rules, name, groups)(access, destination)]).toEqual([name, destination, allowed]);
    }
    expect(compileRules({ rules })({ name: 'max', groups: ['staff'] })('write', '/queue/a')).toBe(true);
  });

  it('have a place for the user’s name, which leads to nobody else’s destinations', () => {
    const rules: Rule[] = [{ destination: '/queue/of.{user}.#', allow: ALL }];
    expect(may(rules, 'ann')('read', '/queue/of.ann.inbox')).toBe(true);
    expect(may(rules, 'ann')('read', '/queue/of.bob.inbox')).toBe(false);
    expect(may(rules, 'ann')('read', '/queue/of.*.inbox')).toBe(false);
    expect(may(rules)('read', '/queue/of..inbox')).toBe(false);
    for (const name of ['*', '#', '>', 'ann.x', 'ann/x', 'a{user}', '$&']) {
      expect([name, may(rules, name)('read', '/queue/of.ann.inbox')]).toEqual([name, false]);
      expect([name, may(rules, name)('read', '/queue/of.ann.x.inbox')]).toEqual([name, false]);
    }
    expect(may(rules, 'ann@example.com')('read', '/queue/of.ann@example%2Ecom.inbox')).toBe(true);
    expect(may(rules, 'ann@example%2Ecom')('read', '/queue/of.ann@example%2Ecom.inbox')).toBe(false);
    expect(may([{ destination: '/topic/{user}.x', allow: ALL }], '$SYS')('read', '/topic/$SYS.x')).toBe(false);
  });

  it('that are none are refused, by their number', () => {
    for (const [destination, why] of [
      ['', 'rule 2: the destination is empty'],
      ['/queue/', 'rule 2: the destination /queue/ has no name'],
      ['/temp-queue/a', 'rule 2: temporary destinations'],
    ] as const) {
      expect(() => compileRules({ rules: [{ destination: '/queue/a' }, { destination }] })).toThrow(why);
    }
  });

  it('need users whose names somebody has checked', async () => {
    await expect(Embedded.start({ rules: { rules: [] } })).rejects.toThrow('rules need users');
  });
});

describe('a pattern', () => {
  const level = fc.constantFrom('a', 'b', '*', '#', '>');
  const pattern = fc.array(level, { minLength: 1, maxLength: 5 }).map((levels) => `/topic/${levels.join('.')}`);
  const name = fc
    .array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 6 })
    .map((levels) => `/topic/${levels.join('.')}`);
  /** Whether a pattern stands for a name, said once more and simply. */
  const stands = (wanted: string, given: string): boolean => {
    const source = wanted
      .slice('/topic/'.length)
      .split('.')
      .map((each) => (each === '*' ? '\\.[^.]+' : each === '#' || each === '>' ? '(\\.[^.]+)*' : `\\.${each}`));
    return new RegExp(`^${source.join('')}$`).test(`.${given.slice('/topic/'.length)}`);
  };

  it('that is granted stands for nothing that the rules do not allow, or deny', () => {
    fc.assert(
      fc.property(pattern, pattern, name, (rule, asked, given) => {
        if (!stands(asked, given)) return;
        if (may([{ destination: rule, allow: ['read'] }])('read', asked)) expect(stands(rule, given)).toBe(true);
        const denied = may([
          { destination: '#', allow: ['read'] },
          { destination: rule, deny: ['read'] },
        ]);
        if (denied('read', asked)) expect(stands(rule, given)).toBe(false);
      }),
      { numRuns: 3_000 },
    );
  });

  it.each([
    ['/topic/#', '/topic/a.b', true],
    ['/topic/#', '/topic/a.*', true],
    ['/topic/#', '/topic/#', true],
    ['/topic/a.>', '/topic/a.b.#', true],
    ['/topic/a.*', '/topic/a.#', false],
    ['/topic/*', '/topic/#', false],
    ['/topic/a.b', '/topic/a/b', false],
    ['/queue/#', '/amq/queue/x', true],
    ['/topic/#', '/exchange/amq.topic/x', true],
    ['/topic/#', '/queue/x', false],
    ['/topic/#', 'opaque', false],
    ['#', 'opaque', true],
    ['/topic/#', '/topic/$SYS/connections', false],
    ['#', '/topic/$SYS/connections', false],
    ['/topic/$SYS/#', '/topic/$SYS/connections', true],
    ['/topic/$SYS/#', '/topic/$SYS/#', true],
  ])('%s covers %s: %s', (rule, destination, allowed) => {
    expect(may([{ destination: rule, allow: ['read'] }])('read', destination)).toBe(allowed);
  });

  it('is not subscribed to when it reaches further than the rules, and brings nothing that they deny', async () => {
    const { embedded } = await serve([
      { destination: '/topic/prices.#', allow: ['read', 'write'] },
      { destination: '/topic/prices.secret', users: ['bob'], deny: ['read'] },
      { destination: '/queue/a.*', allow: ALL },
    ]);
    expect(await ask(embedded, 'ann', 'SUBSCRIBE', { destination: '/topic/prices.#' })).toBe('granted');
    for (const destination of ['/topic/#', '/topic/*.secret', '/queue/#', '/topic/prices.#', '/topic/prices.*']) {
      expect(await ask(embedded, 'bob', 'SUBSCRIBE', { destination })).toMatch(/may not read/);
    }
    expect(await ask(embedded, 'bob', 'SUBSCRIBE', { destination: '/topic/prices.*.eu' })).toBe('granted');
  });
});

describe('rules reach', () => {
  it('every part of a list of destinations', async () => {
    const { embedded } = await serve([{ destination: '/queue/a', allow: ALL }]);
    for (const command of ['SEND', 'SUBSCRIBE']) {
      expect(await ask(embedded, 'ann', command, { destination: '/queue/a,/queue/b' })).toMatch(/may not/);
    }
    expect(await ask(embedded, 'ann', 'SEND', { destination: '/queue/a,/queue/a' })).toBe('granted');
  });

  it('the topic behind a virtual topic’s queue', async () => {
    const { embedded } = await serve([
      { destination: '/queue/#', allow: ALL },
      { destination: '/topic/VirtualTopic.open', allow: ['read'] },
    ]);
    const subscribe = (destination: string) => ask(embedded, 'ann', 'SUBSCRIBE', { destination });
    expect(await subscribe('/queue/Consumer.A.VirtualTopic.open')).toBe('granted');
    expect(await subscribe('/queue/Consumer.A.VirtualTopic.shut')).toMatch(/may not read "\/topic\/VirtualTopic.shut"/);
    expect(await subscribe('/queue/Consumer.*.VirtualTopic.*')).toMatch(/may not read "\/topic\/VirtualTopic.\*"/);
    expect(await subscribe('/queue/#')).toMatch(/may not read "\/topic\/VirtualTopic.#"/);
    expect(await subscribe('/queue/other.#')).toBe('granted');
    // Who says where its dead letters go would read them there.
    const letters = { 'x-message-ttl': '1', 'x-dead-letter-routing-key': 'mine' };
    const send = (topic: string) =>
      ask(embedded, 'ann', 'SEND', { destination: `/queue/Consumer.B.VirtualTopic.${topic}`, ...letters });
    expect(await send('open')).toBe('granted');
    expect(await send('shut')).toMatch(/may not read "\/topic\/VirtualTopic.shut"/);
  });

  it('dead letters: those of a queue are a queue of its own, and naming another one is writing there', async () => {
    const { embedded } = await serve([
      { destination: '/queue/a', allow: ALL },
      { destination: '/queue/graves', allow: ['write'] },
    ]);
    const letters = (key: string) => ({ destination: '/queue/a', 'x-dead-letter-routing-key': key });
    expect(await ask(embedded, 'ann', 'SUBSCRIBE', { destination: '/queue/DLQ.a' })).toMatch(/may not read/);
    expect(await ask(embedded, 'ann', 'SEND', letters('graves'))).toBe('granted');
    expect(await ask(embedded, 'ann', 'SEND', letters('others'))).toMatch(/may not write "\/queue\/others"/);
  });

  it('how a queue is made, which needs the right to manage it', async () => {
    const { embedded } = await serve([
      { destination: '/queue/a', allow: ['read', 'write'] },
      { destination: '/queue/b', allow: ALL },
      { destination: '/queue/dead', allow: ALL },
    ]);
    const arguments_: Headers[] = [
      { 'x-max-length': '1' },
      { 'x-message-ttl': '1' },
      { 'x-expires': '1' },
      { 'auto-delete': 'true' },
      { 'x-dead-letter-routing-key': 'dead' },
      { 'x-max-length': '1', 'x-queue-name': 'b' },
    ];
    for (const headers of arguments_) {
      expect(await ask(embedded, 'ann', 'SEND', { destination: '/queue/a', ...headers })).toMatch(/may not manage/);
      expect(await ask(embedded, 'ann', 'SEND', { destination: '/queue/b', ...headers })).toBe('granted');
    }
  });

  it('the queue of an x-queue-name, into which it lets a topic flow', async () => {
    const { embedded } = await serve([
      { destination: '/topic/t', allow: ['read'] },
      { destination: '/queue/mine', allow: ALL },
      { destination: '/queue/theirs', allow: ['read', 'write'] },
    ]);
    const subscribe = (name: string, destination = '/topic/t') =>
      ask(embedded, 'ann', 'SUBSCRIBE', { destination, 'x-queue-name': name });
    expect(await subscribe('mine')).toBe('granted');
    expect(await subscribe('theirs')).toMatch(/may not manage/);
    expect(await subscribe('unknown')).toMatch(/may not read/);
    expect(await subscribe('mine', '/topic/u')).toMatch(/may not read "\/topic\/u"/);
  });

  it('that queue also of a session that was granted the topic before, with other headers or none', async () => {
    const { embedded } = await serve([
      { destination: '/topic/t', allow: ALL },
      { destination: '/queue/mine', allow: ALL },
    ]);
    const befores: Headers[] = [{}, { 'x-queue-name': 'mine' }, { other: 'x\\nx-queue-name:theirs' }];
    for (const before of befores) {
      const ann = await embedded.connect(as('ann'));
      const subscribe = (id: string, headers: Headers) =>
        answer(ann, 'SUBSCRIBE', { id, destination: '/topic/t', receipt: id, ...headers });
      expect(await subscribe('first', before)).toBe('granted');
      expect(await subscribe('second', before)).toBe('granted');
      expect(await subscribe('third', { 'x-queue-name': 'theirs' })).toMatch(/may not read "\/queue\/theirs"/);
    }
  });

  it('not the temporary destinations of a session, nor the answers to them', async () => {
    const { embedded } = await serve([{ destination: '/queue/ask', allow: ALL }]);
    const [client, service] = [await embedded.connect(as('ann')), await embedded.connect(as('bob'))];
    await service.subscribe('/queue/ask');
    await client.subscribe('/temp-queue/mine');
    client.send('SEND', { destination: '/queue/ask', 'reply-to': '/temp-queue/mine' }, 'question');
    const replyTo = (await service.message()).header('reply-to')!;
    await service.receipted('SEND', { destination: replyTo }, 'answer');
    expect(await client.texts(1)).toEqual(['answer']);
    expect(await answer(service, 'SUBSCRIBE', { destination: replyTo })).toMatch(/only its owner/);
  });

  it('advisories, which nothing allows but a rule that names them', async () => {
    const { embedded } = await serve([
      { destination: '#', allow: ALL },
      { destination: '/topic/$SYS/#', users: ['ann'], allow: ['read'] },
    ]);
    const destination = '/topic/$SYS/connections';
    expect(await ask(embedded, 'ann', 'SUBSCRIBE', { destination })).toBe('granted');
    expect(await ask(embedded, 'bob', 'SUBSCRIBE', { destination })).toMatch(/may not read/);
    expect(await ask(embedded, 'ann', 'SEND', { destination })).toMatch(/comes from the broker/);
  });

  it('durable subscriptions as any others, and those of one user are not those of another', async () => {
    const { embedded } = await serve([{ destination: '/topic/t', users: ['ann', 'bob'], allow: ['read', 'write'] }]);
    const durable = { destination: '/topic/t', id: 'd', 'activemq.subscriptionName': 'mine' };
    const of = (login: keyof typeof users) => embedded.connect({ ...as(login), 'client-id': 'same' });
    const ann = await of('ann');
    await ann.subscribe('/topic/t', durable);
    await ann.receipted('DISCONNECT');
    await (await of('bob')).receipted('SEND', { destination: '/topic/t' }, 'for ann');
    const bob = await of('bob');
    await bob.subscribe('/topic/t', durable);
    await bob.receipted('SEND', { destination: '/topic/t' }, 'for both');
    expect(await bob.texts(1)).toEqual(['for both']);
    const back = await of('ann');
    await back.subscribe('/topic/t', durable);
    expect(await back.texts(2)).toEqual(['for ann', 'for both']);
    expect(await answer(await of('eve'), 'SUBSCRIBE', durable)).toMatch(/may not read/);
  });
});

describe('rules that change', () => {
  const rule: Rule = { destination: '/queue/a', users: ['ann'], allow: ALL };

  it('end live subscriptions that they do not allow any more, and no others', async () => {
    const { embedded, events } = await serve([rule, { ...rule, users: ['bob'] }]);
    const [ann, bob] = [await embedded.connect(as('ann')), await embedded.connect(as('bob'))];
    for (const peer of [ann, bob]) await peer.subscribe('/queue/a');
    embedded.app.get(AccessRules, { strict: false }).set({ rules: [rule] });
    await embedded.broker.review();
    expect((await bob.refused()).text).toMatch(/may not read/);
    await ann.receipted('SEND', { destination: '/queue/a' }, 'still');
    expect(await ann.texts(1)).toEqual(['still']);
    expect(events.filter(({ event }) => event === 'session ended').map(({ user }) => user)).toEqual(['bob']);
  });

  it('are asked at the next SEND of a session that has sent before', async () => {
    const { embedded } = await serve([rule]);
    const ann = await embedded.connect(as('ann'));
    await ann.receipted('SEND', { destination: '/queue/a' }, '1');
    embedded.app.get(AccessRules, { strict: false }).set({ rules: [] });
    await embedded.broker.review();
    expect(await answer(ann, 'SEND', { destination: '/queue/a' })).toMatch(/may not write/);
  });

  it('end a session whose open transaction holds what may not be sent any more', async () => {
    const { embedded } = await serve([rule]);
    const ann = await embedded.connect(as('ann'));
    await ann.receipted('BEGIN', { transaction: 't' });
    ann.send('SEND', { destination: '/queue/a', transaction: 't' }, 'held');
    await ann.receipted('SEND', { destination: '/queue/a' }, 'read before');
    embedded.app.get(AccessRules, { strict: false }).set({ rules: [{ ...rule, allow: ['read'] }] });
    await embedded.broker.review();
    expect((await ann.refused()).text).toMatch(/may not write/);
    const reader = await embedded.connect(as('ann'));
    await reader.subscribe('/queue/a');
    expect(await reader.texts(1)).toEqual(['read before']);
  });
});
