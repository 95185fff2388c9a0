import { describe, expect, it } from '@jest/globals';
import { type Admission, LocalEngine, MemoryStore, type Policy, type StompBroker } from 'nestjs-stomp-broker';
import { type RawPeer } from '../../../support/raw.js';
import { join, joinAll, leave, makeBroker, sendAll, textsOf } from '../../../support/broker.js';

const makeGoverned = (...policies: Policy[]): Promise<StompBroker> =>
  makeBroker({ engine: new LocalEngine(new MemoryStore(), policies) });

/** What waits in a queue, by bodies, taken. */
async function drain(peer: RawPeer, destination: string): Promise<string[]> {
  await peer.subscribe(destination, { id: destination });
  const bodies = (await peer.rest()).filter(({ command }) => command === 'MESSAGE').map(({ text }) => text);
  await peer.receipted('UNSUBSCRIBE', { id: destination });
  return bodies;
}

describe('a full queue', () => {
  it.each<[Policy, string]>([
    [{ destination: '/queue/#', maxLength: 2 }, '2 messages'],
    [{ destination: '/queue/a', maxBytes: 1_200 }, '1200 octets'],
  ])('refuses its sender by %o, and takes more once there is room', async (policy, limit) => {
    const broker = await makeGoverned(policy);
    const sender = await join(broker);
    const body = 'x'.repeat(600);
    await sendAll(sender, '/queue/a', [body, body]);
    sender.send('SEND', { destination: '/queue/a', receipt: 'r' }, body);
    const error = await sender.refused();
    expect(error.header('message')).toBe('queue is full');
    expect(error.header('receipt-id')).toBe('r');
    expect(error.text).toContain(limit);
    const other = await join(broker);
    expect(await drain(other, '/queue/a')).toHaveLength(2);
    await sendAll(other, '/queue/a', [body]);
  });

  it.each<[Policy, string]>([
    [{ destination: '/queue/a', maxLength: 1 }, '1 messages'],
    [{ destination: '/queue/a', maxBytes: 1_000 }, '1000 octets'],
  ])(
    'is full by %o also of what waits for its next delivery, and not of what was delivered since',
    async (policy, limit) => {
      const broker = await makeGoverned(policy);
      const [sender, consumer] = await joinAll(broker, 2);
      const body = 'x'.repeat(600);
      await sendAll(sender!, '/queue/a', [body]);
      await consumer!.subscribe('/queue/a', { id: 's', ack: 'client-individual' });
      await consumer!.receipted('NACK', { ...consumer!.reference(await consumer!.message()), delay: '1' });
      await consumer!.receipted('ACK', consumer!.reference(await consumer!.message()));
      await sendAll(sender!, '/queue/a', [body]);
      await consumer!.receipted('NACK', { ...consumer!.reference(await consumer!.message()), delay: '60000' });
      await consumer!.receipted('UNSUBSCRIBE', { id: 's' });
      sender!.send('SEND', { destination: '/queue/a', receipt: 'r' }, body);
      const error = await sender!.refused();
      expect([error.header('message'), error.header('receipt-id')]).toEqual(['queue is full', 'r']);
      expect(error.text).toContain(limit);
    },
  );

  it('drops its oldest to the dead letters when it is told to', async () => {
    const broker = await makeGoverned({ destination: '/queue/a', maxLength: 2, overflow: 'drop-oldest' });
    const peer = await join(broker);
    await sendAll(peer, '/queue/a', ['1', '2', '3', '4']);
    expect(await drain(peer, '/queue/a')).toEqual(['3', '4']);
    await peer.subscribe('/queue/DLQ.a');
    const dead = await peer.messages(2);
    expect(dead.map(({ text }) => text)).toEqual(['1', '2']);
    expect(dead[0]!.header('dead-letter-reason')).toBe('queue length');
    expect(dead[0]!.header('dead-letter-origin')).toBe('/queue/a');
  });

  it('refuses a transaction whole: nothing of it is sent', async () => {
    const broker = await makeGoverned({ destination: '/queue/small', maxLength: 1 });
    const peer = await join(broker);
    peer.send('BEGIN', { transaction: 't' });
    for (const destination of ['/queue/free', '/queue/small', '/queue/small']) {
      peer.send('SEND', { destination, transaction: 't' }, 'x');
    }
    peer.send('COMMIT', { transaction: 't', receipt: 'r' });
    expect((await peer.refused()).header('message')).toBe('queue is full');
    const other = await join(broker);
    expect(await drain(other, '/queue/free')).toEqual([]);
    expect(await drain(other, '/queue/small')).toEqual([]);
  });

  it('is what RabbitMQ’s arguments say where the queue is made by them, and drops its head then', async () => {
    const peer = await join(await makeBroker());
    for (const body of ['1', '2', '3']) {
      await sendAll(peer, '/queue/a', [body], { 'x-max-length': '2', 'x-dead-letter-routing-key': 'dead' });
    }
    expect(await drain(peer, '/queue/a')).toEqual(['2', '3']);
    expect(await drain(peer, '/queue/dead')).toEqual(['1']);
  });
});

describe('messages that expire', () => {
  it.each([
    ['expires', String(Date.now() - 1_000)],
    ['expiration', '0'],
  ])('by %s are not delivered', async (name, value) => {
    const peer = await join(await makeBroker());
    await sendAll(peer, '/queue/a', ['old'], { [name]: value });
    await sendAll(peer, '/queue/a', ['new'], { [name]: name === 'expires' ? '0' : '60000' });
    expect(await drain(peer, '/queue/a')).toEqual(['new']);
  });

  it('become dead letters where the policy says so, without anybody coming for them', async () => {
    const broker = await makeGoverned({ destination: '/queue/a', deadLetterExpired: true, timeToLive: 1 });
    const peer = await join(broker);
    await peer.subscribe('/queue/DLQ.a');
    await sendAll(peer, '/queue/a', ['old']);
    const dead = await peer.message();
    expect([dead.text, dead.header('dead-letter-reason'), dead.header('expires')]).toEqual([
      'old',
      'expired',
      undefined,
    ]);
  });
});

describe('policies', () => {
  it('that match add up, the last one winning; others say nothing', async () => {
    const broker = await makeGoverned(
      { destination: '/queue/#', maxDeliveries: 1, deadLetter: '/queue/graveyard' },
      { destination: '/queue/mail.*', deadLetter: false },
      { destination: '/topic/#', maxDeliveries: 99 },
    );
    const peer = await join(broker);
    for (const queue of ['/queue/other', '/queue/mail.a']) {
      await peer.subscribe(queue, { id: queue, ack: 'client-individual' });
      await sendAll(peer, queue, [queue]);
      await peer.receipted('NACK', peer.reference(await peer.message()));
    }
    expect(await drain(peer, '/queue/graveyard')).toEqual(['/queue/other']);
    expect(await drain(peer, '/queue/DLQ.mail.a')).toEqual([]);
  });
});

describe('dead letters that a policy sends where nothing can be sent to', () => {
  it.each(['/queue/dead.*', '/queue/a,/queue/b', '/topic/$SYS/dead-letters', '/temp-queue/a', '/queue/', ''])(
    'are a mistake of the configuration, which is told: %j',
    (deadLetter) => {
      const policies = [{ destination: '/queue/a' }, { destination: '/queue/#', deadLetter }];
      expect(() => new LocalEngine(new MemoryStore(), policies)).toThrow(/^policy 2: /);
    },
  );
});

describe('messages with a stamp', () => {
  const withUsers: Admission = {
    connect: (session, { headers }) => {
      session.user = headers.get('login');
      return Promise.resolve();
    },
    use: () => Promise.resolve(),
  };
  const stamps = [
    { destination: '/queue/#', stamp: true },
    { destination: '/topic/#', stamp: true },
  ];

  it.each(['/queue/a', '/topic/a', '/queue/a,/topic/b'])(
    'sent to %s say who sent them and when, whatever the publisher says',
    async (destination) => {
      const engine = new LocalEngine(new MemoryStore(), stamps);
      const broker = await makeBroker({ engine, admission: withUsers });
      const [ann, nobody] = [await join(broker, '1.2', { login: 'ann' }), await join(broker)];
      const [one] = destination.split(',');
      await ann.subscribe(one!);
      const before = Date.now();
      await sendAll(ann, destination, ['honest']);
      await sendAll(ann, destination, ['forged'], { JMSXUserID: 'bob', timestamp: '1', shop: 'Bern' });
      await sendAll(nobody, destination, ['forged by nobody'], { JMSXUserID: 'bob' });
      const got = await ann.messages(3);
      expect(got.map((message) => message.header('JMSXUserID'))).toEqual(['ann', 'ann', undefined]);
      for (const message of got) {
        const lines = message.lines.filter((line) => line.startsWith('timestamp:'));
        expect(lines).toHaveLength(1);
        expect(Number(lines[0]!.slice('timestamp:'.length))).toBeGreaterThanOrEqual(before);
        expect(Number(lines[0]!.slice('timestamp:'.length))).toBeLessThanOrEqual(Date.now());
      }
      expect(got[1]!.header('shop')).toBe('Bern');
    },
  );

  it('that are sent in a transaction or later have one too, elsewhere they have what the publisher said', async () => {
    const engine = new LocalEngine(new MemoryStore(), [{ destination: '/queue/a', stamp: true }]);
    const broker = await makeBroker({ engine, admission: withUsers });
    const ann = await join(broker, '1.2', { login: 'ann' });
    await ann.receipted('BEGIN', { transaction: 't' });
    ann.send('SEND', { destination: '/queue/a', transaction: 't' }, 'in a transaction');
    await ann.receipted('COMMIT', { transaction: 't' });
    await sendAll(ann, '/queue/a', ['later'], { 'x-delay': '1' });
    await sendAll(ann, '/queue/b', ['elsewhere'], { JMSXUserID: 'bob' });
    await ann.subscribe('/queue/a', { id: 'a' });
    expect((await ann.messages(2)).map((message) => message.header('JMSXUserID'))).toEqual(['ann', 'ann']);
    await ann.subscribe('/queue/b', { id: 'b' });
    const elsewhere = await ann.message();
    expect([elsewhere.header('JMSXUserID'), elsewhere.header('timestamp')]).toEqual(['bob', undefined]);
  });
});

describe('a topic', () => {
  it('keeps the last message sent with retain:true for whoever comes later, after the receipt, until an empty one', async () => {
    const broker = await makeBroker();
    const sender = await join(broker);
    for (const body of ['1', '2']) await sendAll(sender, '/topic/a.b', [body], { retain: 'true' });
    await sendAll(sender, '/topic/a.b', ['3']);
    const late = await join(broker);
    late.send('SUBSCRIBE', { destination: '/topic/a.*', id: '1', receipt: 'first' });
    expect((await late.frame()).header('receipt-id')).toBe('first');
    expect((await late.message()).text).toBe('2');
    await sender.receipted('SEND', { destination: '/topic/a.b', retain: 'true' });
    const later = await join(broker);
    await later.subscribe('/topic/a.b');
    expect(await later.rest()).toEqual([]);
  });

  it('keeps nothing where the policy says so', async () => {
    const broker = await makeGoverned({ destination: '/topic/#', retain: false });
    const peer = await join(broker);
    await sendAll(peer, '/topic/a', ['1'], { retain: 'true' });
    await peer.subscribe('/topic/a');
    expect(await peer.rest()).toEqual([]);
  });

  it.each(['no-local', 'activemq.noLocal'])('does not bring back what its own session sends, by %s', async (name) => {
    const broker = await makeBroker();
    const [peer, other] = [await join(broker), await join(broker)];
    await peer.subscribe('/topic/a', { [name]: 'true' });
    await sendAll(peer, '/topic/a', ['mine']);
    await sendAll(other, '/topic/a', ['other']);
    expect(await peer.texts(1)).toEqual(['other']);
  });

  it('does not bring back what its own session sends to be delivered later, nor keeps it in a queue of its own', async () => {
    const broker = await makeBroker();
    const [peer, other] = [await join(broker), await join(broker)];
    await peer.subscribe('/topic/a', { id: 'reader', 'no-local': 'true' });
    await peer.subscribe('/topic/a', { id: 'queue', 'no-local': 'true', 'x-queue-name': 'mine' });
    await other.subscribe('/topic/a', { id: 'other' });
    await sendAll(peer, '/topic/a', ['mine']);
    await sendAll(peer, '/topic/a', ['mine, later'], { 'x-delay': '1' });
    await sendAll(other, '/topic/a', ['other']);
    await sendAll(other, '/topic/a', ['other, later'], { 'x-delay': '1' });
    expect((await other.texts(4)).sort()).toEqual(['mine', 'mine, later', 'other', 'other, later']);
    const got = (await peer.messages(4)).map((message) => `${message.header('subscription')}: ${message.text}`);
    expect(got.sort()).toEqual(['queue: other', 'queue: other, later', 'reader: other', 'reader: other, later']);
    expect(textsOf(await peer.rest())).toEqual([]);
  });

  it('lets a slow reader miss the oldest where the policy says so, and tells of it', async () => {
    const broker = await makeGoverned({ destination: '/topic/#', slowConsumer: 'drop-oldest', maxWaiting: 100_000 });
    const [slow, sender, watcher] = [await join(broker), await join(broker), await join(broker)];
    await watcher.subscribe('/topic/$SYS/slow-consumers');
    await slow.subscribe('/topic/a');
    slow.pause();
    const body = 'x'.repeat(10_000);
    for (let n = 0; n < 300; n++) await sendAll(sender, '/topic/a', [`${n} ${body}`]);
    expect(JSON.parse((await watcher.message()).text)).toMatchObject({ event: 'slow', destination: '/topic/a' });
    slow.resume();
    await sendAll(sender, '/topic/a', ['last']);
    const got: string[] = [];
    do got.push((await slow.message()).text.split(' ')[0]!);
    while (got.at(-1) !== 'last');
    expect(got.length).toBeLessThan(301);
    expect(got).toContain('299');
    expect(got.slice(0, -1).map(Number)).toEqual([...got.slice(0, -1).map(Number)].sort((a, b) => a - b));
  });

  it('lets a slow reader miss the oldest of what is more than its activemq.maximumPendingMessageLimit, and tells once', async () => {
    const broker = await makeBroker();
    const [slow, all, watcher, sender] = await joinAll(broker, 4);
    await watcher!.subscribe('/topic/$SYS/slow-consumers');
    const credit = { ack: 'client-individual', 'prefetch-count': '1' };
    await slow!.subscribe('/topic/a', { ...credit, 'activemq.maximumPendingMessageLimit': '2' });
    await all!.subscribe('/topic/a', { ...credit, 'activemq.maximumPendingMessageLimit': '-1' });
    await sendAll(sender!, '/topic/a', ['1', '2', '3', '4', '5', '6']);
    const read = async (peer: RawPeer, count: number) => {
      const bodies: string[] = [];
      while (bodies.length < count) {
        const message = await peer.message();
        bodies.push(message.text);
        await peer.receipted('ACK', peer.reference(message));
      }
      return [...bodies, ...(await peer.rest()).map(({ command }) => command)];
    };
    expect(await read(slow!, 3)).toEqual(['1', '5', '6']);
    expect(await read(all!, 6)).toEqual(['1', '2', '3', '4', '5', '6']);
    expect(textsOf(await watcher!.rest())).toHaveLength(1);
  });

  it.each(['many', '-2', ''])('refuses a activemq.maximumPendingMessageLimit of %j', async (value) => {
    const peer = await join(await makeBroker());
    const limit = { 'activemq.maximumPendingMessageLimit': value };
    peer.send('SUBSCRIBE', { id: 'x', destination: '/topic/a', ...limit });
    expect((await peer.refused()).text).toContain('activemq.maximumPendingMessageLimit');
  });

  it('ends a slow reader where the policy says so', async () => {
    const broker = await makeGoverned({ destination: '/topic/#', slowConsumer: 'disconnect', maxWaiting: 100_000 });
    const [slow, sender] = [await join(broker), await join(broker)];
    await slow.subscribe('/topic/a');
    slow.pause();
    for (let n = 0; n < 300; n++) await sendAll(sender, '/topic/a', ['x'.repeat(10_000)]);
    slow.resume();
    const error = await slow.take('ERROR', ({ command }) => command === 'ERROR');
    expect(error.header('message')).toBe('slow consumer');
  });
});

describe('advisories', () => {
  it('tell who comes and goes, what is subscribed to, and what dies; no session id in full', async () => {
    const broker = await makeBroker();
    const watcher = await join(broker);
    await watcher.subscribe('/topic/$SYS/#');
    await watcher.message();
    const peer = await join(broker);
    await peer.subscribe('/queue/a', { id: 's', ack: 'client-individual' });
    await sendAll(peer, '/queue/a', ['x']);
    await peer.receipted('NACK', { ...peer.reference(await peer.message()), requeue: 'false' });
    await peer.receipted('UNSUBSCRIBE', { id: 's' });
    const session = /^session:(.*)$/m.exec(peer.received.toString())![1]!;
    await leave(peer);
    const told = await watcher.messages(5);
    expect(told.map(({ text }) => (JSON.parse(text) as { event: string }).event)).toEqual([
      'connected',
      'subscribed',
      'dead-letter',
      'unsubscribed',
      'disconnected',
    ]);
    expect(told.map(({ text }) => text).join()).not.toContain(session);
  });

  it('tell of a subscription to a list of destinations once', async () => {
    const broker = await makeBroker();
    const [watcher, peer] = [await join(broker), await join(broker)];
    await watcher.subscribe('/topic/$SYS/subscriptions');
    await peer.subscribe('/queue/a,/topic/b,/queue/c', { id: 's' });
    await peer.receipted('UNSUBSCRIBE', { id: 's' });
    await leave(peer);
    await sendAll(watcher, '/queue/a', ['all told']);
    const told = textsOf(await watcher.rest()).map((text) => JSON.parse(text) as Record<string, string>);
    expect(told.filter(({ id }) => id === 's').map(({ event, destination }) => [event, destination])).toEqual([
      ['subscribed', '/queue/a,/topic/b,/queue/c'],
      ['unsubscribed', '/queue/a,/topic/b,/queue/c'],
    ]);
  });

  it('tell of subscriptions to queues by wildcards, once each', async () => {
    const broker = await makeBroker();
    const [watcher, peer] = [await join(broker), await join(broker)];
    await watcher.subscribe('/topic/$SYS/subscriptions');
    await sendAll(peer, '/queue/mail.a', ['x']);
    await peer.subscribe('/queue/mail.*', { id: 's' });
    await peer.receipted('UNSUBSCRIBE', { id: 's' });
    await peer.subscribe('/queue/mail.*', { id: 't' });
    await leave(peer);
    const [own, ...told] = (await watcher.messages(5)).map(({ text }) => JSON.parse(text) as Record<string, string>);
    expect(own!.destination).toBe('/topic/$SYS/subscriptions');
    expect(told.map(({ event, destination, id }) => [event, destination, id])).toEqual([
      ['subscribed', '/queue/mail.*', 's'],
      ['unsubscribed', '/queue/mail.*', 's'],
      ['subscribed', '/queue/mail.*', 't'],
      ['unsubscribed', '/queue/mail.*', 't'],
    ]);
  });

  it('tell nothing of a subscription that is refused', async () => {
    const broker = await makeBroker();
    const watcher = await join(broker);
    await watcher.subscribe('/topic/$SYS/subscriptions');
    await watcher.message();
    for (const destination of ['/queue/a', '/queue/*', '/topic/a']) {
      const refused = await join(broker);
      refused.send('SUBSCRIBE', { destination, id: 's', selector: '(' });
      await refused.refused();
      await refused.closed();
    }
    const peer = await join(broker);
    await peer.subscribe('/queue/b', { id: 't' });
    const { event, destination } = JSON.parse((await watcher.message()).text) as Record<string, string>;
    expect([event, destination]).toEqual(['subscribed', '/queue/b']);
  });

  it('are for the broker to send', async () => {
    for (const destination of ['/topic/$SYS/connections', '/topic/$SYS.x', '/topic/$SYS']) {
      const peer = await join(await makeBroker());
      peer.send('SEND', { destination }, 'forged');
      expect((await peer.refused()).header('message')).toBe('access refused');
    }
  });
});
