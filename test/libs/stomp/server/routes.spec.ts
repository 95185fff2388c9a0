import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type Frame, type Route, type Session, StompError } from 'nestjs-stomp/server';
import { TestBroker, TestServer } from '../../../support/server.js';
import { frame, type Version } from '../../../support/wire.js';

/** A broker that thinks about each route until the test answers. */
class Thinker extends TestBroker {
  private readonly waiting: ((error?: Error) => void)[] = [];

  override route(session: Session, destination: string, action: 'send' | 'subscribe', frame: Frame): Promise<Route> {
    return new Promise((resolve, reject) => {
      this.waiting.push((error) => (error === undefined ? resolve(this) : reject(error)));
      void super.route(session, destination, action, frame);
    });
  }

  /** Answers the next question, once it has been asked. */
  async answer(error?: Error): Promise<void> {
    await this.until('a question', () => this.waiting.length > 0);
    this.waiting.shift()!(error);
  }
}

/** A broker with another route for each destination and `destination-type`, and for each time that grants were dropped. */
class Router extends TestBroker {
  times = 0;
  /** By which route each message came. */
  readonly ways: string[] = [];

  override route(_session: Session, destination: string, _action: 'send' | 'subscribe', { headers }: Frame): Route {
    const way = `${this.times} ${destination} ${headers.get('destination-type')}`;
    return {
      send: (message, session, done) => {
        this.ways.push(`${way}: ${message.body.toString()}`);
        this.send(message, session, done);
      },
      subscribe: (subscription, done) => this.subscribe(subscription, done),
      unsubscribe: (subscription) => this.unsubscribe(subscription),
    };
  }
}

/** SENDs that look alike, and whether grants are dropped after them. */
const kinds = fc
  .record({
    type: fc.constantFrom(undefined, undefined, 'ANYCAST', 'MULTICAST'),
    typeFirst: fc.boolean(),
    receipts: fc.boolean(),
    transaction: fc.constantFrom(false, false, true),
    parts: fc.array(
      fc.record({
        destination: fc.constantFrom('/a', '/b', '/a/longer/one', '/a/longer/two', '/a:b', '/ü'),
        times: fc.constantFrom(1, 1, 2, 12),
        drop: fc.constantFrom(false, false, true),
      }),
      { minLength: 1, maxLength: 6 },
    ),
  })
  .map(({ parts, ...kind }) => parts.map((part) => ({ ...kind, ...part })));

describe.each<Version>(['1.0', '1.1', '1.2'])('the way of a SEND in STOMP %s', (version) => {
  it('is that of its own destination and type, whatever was sent before it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(kinds, { minLength: 2, maxLength: 6 }), async (all) => {
        const broker = new Router();
        const { peer, session } = await new TestServer(broker).connect(version);
        const expected: string[] = [];
        let sent = 0;
        for (const { destination, type, typeFirst, receipts, transaction, times, drop } of all.flat()) {
          const frames: Buffer[] = [];
          const begun = transaction ? { transaction: `t${sent}` } : undefined;
          if (begun !== undefined) frames.push(frame(version, 'BEGIN', begun));
          for (let i = 0; i < times; i++) {
            const body = `${sent++}`;
            const typed: Record<string, string> = type === undefined ? {} : { 'destination-type': type };
            const address = typeFirst ? { ...typed, destination } : { destination, ...typed };
            const headers = { ...address, ...begun, ...(receipts && { receipt: `r${body}` }) };
            frames.push(frame(version, 'SEND', headers, body));
            expected.push(`${broker.times} ${destination} ${type}: ${body}`);
          }
          if (begun !== undefined) frames.push(frame(version, 'COMMIT', begun));
          peer.write(Buffer.concat(frames));
          await broker.until('all have come', () => broker.ways.length === sent);
          if (!drop) continue;
          broker.times++;
          session.dropGrants();
        }
        expect(broker.ways).toEqual(expected);
        expect(broker.sent.map(({ destination }) => destination)).toEqual(expected.map((way) => way.split(' ')[1]));
      }),
      { numRuns: 100 },
    );
  });
});

describe('a route', () => {
  it('is asked for once per destination and action', async () => {
    const broker = new TestBroker();
    const { peer } = await new TestServer(broker).connect();
    for (const destination of ['/a', '/b', '/a', '/a', '/b', '/ü', '/ü', '/a:b', '/a:b']) {
      peer.send('SEND', { destination });
    }
    for (const id of ['1', '2', '3']) await peer.subscribe('/a', { id });
    expect(broker.asked).toEqual(['send /a', 'send /b', 'send /ü', 'send /a:b', 'subscribe /a']);
    expect(broker.sent.map(({ destination }) => destination)).toEqual('/a /b /a /a /b /ü /ü /a:b /a:b'.split(' '));
  });

  it('is asked for again where a session has used others of 65,536 characters in all since', async () => {
    const broker = new TestBroker();
    const { peer } = await new TestServer(broker).connect();
    const names = (length: number) => Array.from({ length: 10 }, (_, n) => `/${n}${'x'.repeat(length - 2)}`);
    for (const [length, asked] of [
      [6_000, 10],
      [7_000, 20],
    ] as const) {
      broker.asked.length = 0;
      for (const destination of [...names(length), ...names(length)]) await peer.receipted('SEND', { destination });
      expect(broker.asked).toHaveLength(asked);
    }
  });

  it('is another one with another destination-type, and with other headers of a SUBSCRIBE than its own', async () => {
    const broker = new TestBroker();
    const { peer } = await new TestServer(broker).connect();
    const types = [undefined, 'ANYCAST', 'MULTICAST', undefined, 'ANYCAST', undefined];
    for (const type of types) peer.send('SEND', { destination: '/a', ...(type && { 'destination-type': type }) });
    await peer.subscribe('/a', { id: '1' });
    await peer.subscribe('/a', { id: '2', ack: 'client' });
    await peer.subscribe('/a', { id: '3', 'x-queue-name': 'mine' });
    await peer.subscribe('/a', { id: '4', 'x-queue-name': 'mine' });
    expect(broker.asked).toEqual(['send /a', 'send /a', 'send /a', 'subscribe /a', 'subscribe /a']);
    expect(broker.sent).toHaveLength(types.length);
  });

  it.each(['durable', 'persistent'])('is another one for each id where a SUBSCRIBE is %s by it', async (header) => {
    const broker = new TestBroker();
    const { peer } = await new TestServer(broker).connect();
    for (const id of ['1', '2']) await peer.subscribe('/a', { id, [header]: 'true', 'auto-delete': 'false' });
    expect(broker.asked).toEqual(['subscribe /a', 'subscribe /a']);
  });

  it.each([
    ['value', { foo: 'bar"],["x-queue-name","theirs' }],
    ['name', { 'foo","bar"],["x-queue-name': 'theirs' }],
  ])('is another one where the %s of a header of a SUBSCRIBE spells further headers', async (_what, headers) => {
    const broker = new TestBroker();
    const { peer } = await new TestServer(broker).connect();
    await peer.subscribe('/a', { id: '1', ...headers });
    await peer.subscribe('/a', { id: '2', foo: 'bar', 'x-queue-name': 'theirs' });
    expect(broker.asked).toEqual(['subscribe /a', 'subscribe /a']);
  });

  it('is asked for by each session for itself', async () => {
    const broker = new TestBroker();
    const server = new TestServer(broker);
    for (const { peer } of [await server.connect(), await server.connect()]) {
      await peer.receipted('SEND', { destination: '/a' });
    }
    expect(broker.asked).toEqual(['send /a', 'send /a']);
  });

  it('is asked for again after the grants were dropped', async () => {
    const broker = new TestBroker();
    const { peer, session } = await new TestServer(broker).connect();
    await peer.receipted('SEND', { destination: '/a' });
    await peer.subscribe('/a', { id: '1' });
    session.dropGrants();
    await peer.receipted('SEND', { destination: '/a' });
    await peer.receipted('SEND', { destination: '/a' });
    await peer.subscribe('/a', { id: '2' });
    expect(broker.asked).toEqual(['send /a', 'subscribe /a', 'send /a', 'subscribe /a']);
  });

  it('that was being decided on when the grants were dropped serves its own frame only', async () => {
    const broker = new Thinker();
    const { peer, session } = await new TestServer(broker).connect();
    peer.send('SEND', { destination: '/a', receipt: 'r' }, 'one');
    await broker.until('a question', () => broker.asked.length === 1);
    session.dropGrants();
    await broker.answer();
    await peer.receipt('r');
    peer.send('SEND', { destination: '/a', receipt: 's' }, 'two');
    await broker.answer();
    await peer.receipt('s');
    expect(broker.asked).toEqual(['send /a', 'send /a']);
  });

  it('for ever new destinations does not make the session grow without end', async () => {
    const broker = new TestBroker();
    const { peer } = await new TestServer(broker).connect();
    const count = 2_500;
    for (let i = 0; i < count; i++) peer.send('SEND', { destination: `/d/${i}` });
    await peer.receipted('SEND', { destination: '/d/0' });
    // The first ones were forgotten, so it is asked for again.
    expect(broker.asked).toHaveLength(count + 1);
    expect(broker.sent).toHaveLength(count + 1);
  });

  it.each(['SEND', 'SUBSCRIBE'])('of a %s may be refused, and nothing behind it is done', async (command) => {
    const broker = new Thinker();
    const { peer } = await new TestServer(broker).connect();
    peer.send(command, { destination: '/secret', id: '0', receipt: 'r' });
    peer.send('SEND', { destination: '/open' });
    await broker.answer(new StompError('access refused', 'not for you'));
    const error = await peer.refused();
    expect(error.header('message')).toBe('access refused');
    expect(error.header('receipt-id')).toBe('r');
    expect(error.text).toBe('not for you\n');
    expect([...broker.sent, ...broker.subscribed]).toEqual([]);
    expect(broker.asked).toHaveLength(1);
  });

  it('is not asked for by a frame without a destination', async () => {
    for (const octets of ['SEND\nreceipt:r\n\n\0', 'SUBSCRIBE\nid:0\nreceipt:r\n\n\0']) {
      const broker = new TestBroker();
      const { peer } = await new TestServer(broker).connect();
      peer.write(octets);
      const error = await peer.refused();
      expect(error.header('message')).toBe('missing header');
      expect(error.header('receipt-id')).toBe('r');
      expect(broker.asked).toEqual([]);
    }
  });
});

describe('while the broker decides about a route', () => {
  it('nothing further is read, and the order of the frames is kept', async () => {
    const broker = new Thinker();
    const { peer } = await new TestServer(broker).connect();
    peer.send('SEND', { destination: '/a' }, '1');
    peer.send('SEND', { destination: '/b' }, '2');
    peer.send('SEND', { destination: '/a' }, '3');
    peer.send('SUBSCRIBE', { destination: '/a', id: '0' });
    peer.send('SEND', { destination: '/b', receipt: 'r' }, '4');
    await broker.until('the first question', () => broker.asked.length === 1);
    expect(broker.bodies).toEqual([]);
    await broker.answer();
    await broker.until('the second question', () => broker.asked.length === 2);
    expect(broker.bodies).toEqual(['1']);
    await broker.answer();
    await broker.answer();
    await peer.receipt('r');
    expect(broker.bodies).toEqual(['1', '2', '3', '4']);
    expect(broker.asked).toEqual(['send /a', 'send /b', 'subscribe /a']);
  });

  it('other sessions go on', async () => {
    const broker = new Thinker();
    const server = new TestServer(broker);
    const [one, other] = [await server.connect(), await server.connect()];
    one.peer.send('SEND', { destination: '/a' });
    await broker.until('a question', () => broker.asked.length === 1);
    await other.peer.receipted('BEGIN', { transaction: 't' });
  });

  it('a client that ends its side is answered all the same', async () => {
    const broker = new Thinker();
    const { peer } = await new TestServer(broker).connect();
    peer.send('SEND', { destination: '/a', receipt: 'r' }, '1');
    peer.send('SEND', { destination: '/a', receipt: 's' }, '2');
    peer.end();
    await broker.answer();
    await peer.receipt('s');
    await peer.closed();
    expect(broker.bodies).toEqual(['1', '2']);
  });

  it('a server that shuts down first finishes what it has read', async () => {
    const broker = new Thinker();
    const server = new TestServer(broker);
    const { peer } = await server.connect();
    peer.write('SEND\ndestination:/a\nreceipt:r\n\n1\0SEND\ndestination:/b\nreceipt:s\n\n2\0');
    await broker.until('a question', () => broker.asked.length === 1);
    const closed = server.server.close();
    await broker.answer();
    await broker.answer();
    await peer.receipt('s');
    expect((await peer.refused()).header('message')).toBe('server is shutting down');
    peer.end();
    await closed;
    expect(broker.bodies).toEqual(['1', '2']);
  });
});
