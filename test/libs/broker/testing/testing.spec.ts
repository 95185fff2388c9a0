import { afterEach, describe, expect, it } from '@jest/globals';
import { StompTestBroker } from 'nestjs-stomp-broker/testing';
import { gate, makeClient, stateOf, within } from '../../../support/client.js';

const brokers: StompTestBroker[] = [];

afterEach(async () => {
  await Promise.all(brokers.splice(0).map((broker) => broker.close()));
});

const start = (...options: ConstructorParameters<typeof StompTestBroker>) => {
  const broker = new StompTestBroker(...options);
  brokers.push(broker);
  return broker;
};

describe('StompTestBroker', () => {
  it('is a whole broker that clients reach without a port', async () => {
    const { broker, dial } = start();
    const [one, two] = [makeClient({ dial }), makeClient({ dial, url: 'stomp://wherever:1' })];
    await Promise.all([one.connect(), two.connect()]);
    expect(broker.urls).toEqual([]);
    expect(broker.sessions.size).toBe(2);
    const got = gate<string>();
    two.subscribe('/queue/a', (message) => got.open(message.text));
    await one.publish('/queue/a', 'hello');
    expect(await within('message', got.promise)).toBe('hello');
  });

  it('carries messages larger than any buffer, both ways', async () => {
    const client = makeClient({ dial: start().dial });
    await client.connect();
    const body = Buffer.alloc(8 * 1024 * 1024, 'x');
    const got = gate<number>();
    client.subscribe('/topic/a', (message) => got.open(message.body.length));
    await client.publish('/topic/a', body);
    expect(await within('message', got.promise)).toBe(body.length);
  });

  it('takes options of sessions', async () => {
    const client = makeClient({ dial: start({ vhosts: ['only'] }).dial, host: 'other', reconnect: false });
    await expect(client.connect()).rejects.toThrow('unknown virtual host');
  });

  it('breaks all connections when it is told to; clients come back, and what was not acknowledged too', async () => {
    const test = start();
    const client = makeClient({ dial: test.dial });
    await client.connect();
    const [first, again] = [gate(), gate<string | undefined>()];
    let deliveries = 0;
    client.subscribe(
      '/queue/a',
      async (message) => {
        if (++deliveries === 1) {
          first.open();
          await new Promise(() => undefined);
        }
        again.open(message.headers.get('redelivered'));
      },
      { ack: 'client-individual' },
    );
    await client.publish('/queue/a', 'one');
    await within('first delivery', first.promise);
    test.disconnectAll();
    await stateOf(client, 'connecting');
    await stateOf(client, 'connected');
    expect(await within('second delivery', again.promise)).toBe('true');
  });

  it('tells its clients when it closes', async () => {
    const test = start();
    const client = makeClient({ dial: test.dial, reconnect: false });
    await client.connect();
    await test.close();
    expect((await stateOf(client, 'disconnected'))?.message).toContain('shutting down');
  });
});
