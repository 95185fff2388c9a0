import { describe, expect, it } from '@jest/globals';
import { type MessageHandler, type StompClient, type StompMessage, type SubscribeOptions } from 'nestjs-stomp/client';
import { connectPair, deliver, gate, settle, stateOf, takeAndConfirm, watchErrors } from '../../../support/client.js';
import { type RawPeer } from '../../../support/raw.js';
import { type Version } from '../../../support/wire.js';

const ALL: readonly Version[] = ['1.0', '1.1', '1.2'];

/** What the client has acknowledged, in order: `ACK 1`, `NACK 2`. */
const acknowledged = (peer: RawPeer) =>
  [...peer.received.toString().matchAll(/\n(N?ACK)\n(?:id|message-id):(?:ack|id)-(\d+)\n/g)].map(
    ([, command, number]) => `${command} ${number}`,
  );

async function subscribed(handler: MessageHandler, options: SubscribeOptions, version: Version = '1.2') {
  const pair = await connectPair(version);
  const errors = watchErrors(pair.client);
  const subscription = pair.client.subscribe('/queue/a', handler, { id: 's', ...options });
  await takeAndConfirm(pair.peer, 'SUBSCRIBE');
  return { ...pair, errors, subscription };
}

/** A subscription whose handlers end when the test says so: with an error, or without one. */
async function withHeldHandlers(options: SubscribeOptions, version: Version = '1.2') {
  const ends = new Map<string, (error?: Error) => void>();
  const handler = (message: StompMessage) =>
    new Promise<void>((resolve, reject) => {
      ends.set(message.text, (error) => {
        if (error === undefined) resolve();
        else reject(error);
      });
    });
  const pair = await subscribed(handler, options, version);
  const end = (number: number, error?: Error) => ends.get(`m${number}`)!(error);
  return { ...pair, end, started: () => [...ends.keys()] };
}

const deliverAll = async (client: StompClient, peer: RawPeer, ...numbers: number[]) => {
  for (const number of numbers) deliver(peer, 's', number);
  await settle(client, peer);
};

describe('an ACK', () => {
  it.each([
    ['1.0', { 'message-id': 'id-1', subscription: 's' }],
    ['1.1', { 'message-id': 'id-1', subscription: 's' }],
    ['1.2', { id: 'ack-1' }],
  ] as const)('names the message as %s does', async (version, headers) => {
    const { peer } = await subscribed(() => undefined, { ack: 'client-individual' }, version);
    deliver(peer, 's', 1);
    const ack = await peer.take('ACK', ({ command }) => command === 'ACK');
    expect(Object.fromEntries(ack.headers)).toEqual(headers);
  });

  it.each([
    ['1.1', { 'message-id': 'a:1\\', subscription: 's' }],
    ['1.2', { id: 'x:\n\\é' }],
  ] as const)('carries any id through %s', async (version, headers) => {
    const { peer } = await subscribed(() => undefined, { ack: 'client' }, version);
    const id = headers as Record<string, string>;
    const named = { subscription: 's', destination: '/queue/a', 'message-id': id['message-id'] ?? 'm' };
    peer.send('MESSAGE', { ...named, ...(id.id === undefined ? {} : { ack: id.id }) });
    const ack = await peer.take('ACK', ({ command }) => command === 'ACK');
    expect(Object.fromEntries(ack.headers)).toEqual(headers);
  });

  it('falls back on the message-id where a 1.2 server sends no ack header', async () => {
    const { peer } = await subscribed(() => undefined, { ack: 'client' });
    peer.send('MESSAGE', { subscription: 's', 'message-id': 'm', destination: '/queue/a' });
    const ack = await peer.take('ACK', ({ command }) => command === 'ACK');
    expect(Object.fromEntries(ack.headers)).toEqual({ id: 'm' });
  });

  it('and a NACK take further headers, and none that replaces their own', async () => {
    const got: StompMessage[] = [];
    const { client, peer } = await subscribed((message) => void got.push(message), {
      ack: 'client-individual',
      manual: true,
    });
    await deliverAll(client, peer, 1, 2);
    const headers = { requeue: false, id: 'evil', transaction: 't', receipt: 'r' };
    got[0]!.ack({ headers });
    got[1]!.nack({ headers });
    for (const command of ['ACK', 'NACK']) {
      const frame = await peer.take(command, (frame) => frame.command === command);
      expect(Object.fromEntries(frame.headers)).toEqual({
        id: command === 'ACK' ? 'ack-1' : 'ack-2',
        requeue: 'false',
      });
    }
  });
});

describe('in auto mode', () => {
  it('nothing is acknowledged, whatever the handler does; its failure is reported with the message', async () => {
    const results: boolean[] = [];
    const handler = (message: StompMessage) => {
      results.push(message.ack(), message.nack());
      if (message.text === 'm2') throw new Error('no');
      if (message.text === 'm3') return Promise.reject(new Error('later'));
      return undefined;
    };
    const { client, peer } = await subscribed(handler, {});
    const failed: unknown[] = [];
    client.on('error', (error, message) => failed.push([error.message, message?.text]));
    await deliverAll(client, peer, 1, 2, 3);
    expect(acknowledged(peer)).toEqual([]);
    expect(new Set(results)).toEqual(new Set([false]));
    expect(failed).toEqual([
      ['no', 'm2'],
      ['later', 'm3'],
    ]);
  });
});

describe.each(['1.1', '1.2'] as const)('in client-individual mode of %s', (version) => {
  const options = { ack: 'client-individual' } as const;

  it('each message is acknowledged by the outcome of its handler', async () => {
    const handler = ({ text }: StompMessage) => {
      if (text === 'm2') throw new Error('no');
    };
    const { client, peer, errors } = await subscribed(handler, options, version);
    await deliverAll(client, peer, 1, 2, 3);
    expect(acknowledged(peer)).toEqual(['ACK 1', 'NACK 2', 'ACK 3']);
    expect(errors.map(({ message }) => message)).toEqual(['no']);
  });

  it('when the promise that it returns is settled, in any order', async () => {
    const { client, peer, end, errors } = await withHeldHandlers(options, version);
    await deliverAll(client, peer, 1, 2, 3);
    expect(acknowledged(peer)).toEqual([]);
    end(3);
    end(1, new Error('no'));
    await settle(client, peer);
    expect(acknowledged(peer)).toEqual(['ACK 3', 'NACK 1']);
    end(2);
    await settle(client, peer);
    expect(acknowledged(peer)).toEqual(['ACK 3', 'NACK 1', 'ACK 2']);
    expect(errors.map(({ message }) => message)).toEqual(['no']);
  });

  it('but what the handler has acknowledged itself stays as it is', async () => {
    const handler = (message: StompMessage) => {
      if (message.text === 'm1') message.nack();
      else {
        message.ack();
        throw new Error('after the ACK');
      }
    };
    const { client, peer } = await subscribed(handler, options, version);
    await deliverAll(client, peer, 1, 2);
    expect(acknowledged(peer)).toEqual(['NACK 1', 'ACK 2']);
  });
});

describe('in client mode', () => {
  const options = { ack: 'client' } as const;

  it('handlers that end at once are acknowledged one after the other', async () => {
    const handler = ({ text }: StompMessage) => {
      if (text === 'm2') throw new Error('no');
    };
    const { client, peer } = await subscribed(handler, options);
    await deliverAll(client, peer, 1, 2, 3);
    expect(acknowledged(peer)).toEqual(['ACK 1', 'NACK 2', 'ACK 3']);
  });

  it('nothing is acknowledged before all that came earlier, and one ACK does for a run', async () => {
    const { client, peer, end } = await withHeldHandlers(options);
    await deliverAll(client, peer, 1, 2, 3, 4, 5);
    end(2);
    end(3, new Error('no'));
    end(5);
    await settle(client, peer);
    expect(acknowledged(peer)).toEqual([]);
    end(1);
    await settle(client, peer);
    // 1 and 2 by one ACK; 3 by itself, as nothing before it is open any more; 5 waits for 4.
    expect(acknowledged(peer)).toEqual(['ACK 2', 'NACK 3']);
    end(4);
    await settle(client, peer);
    expect(acknowledged(peer)).toEqual(['ACK 2', 'NACK 3', 'ACK 5']);
  });

  it('a handler that ends at once waits for one before it that does not', async () => {
    const first = gate();
    const handler = ({ text }: StompMessage) => (text === 'm1' ? first.promise : undefined);
    const { client, peer } = await subscribed(handler, options);
    await deliverAll(client, peer, 1, 2, 3);
    expect(acknowledged(peer)).toEqual([]);
    first.open();
    await settle(client, peer);
    expect(acknowledged(peer)).toEqual(['ACK 3']);
  });

  it('failures in a row are told one by one', async () => {
    const { client, peer, end } = await withHeldHandlers(options);
    await deliverAll(client, peer, 1, 2, 3);
    for (const number of [3, 2, 1]) end(number, new Error('no'));
    await settle(client, peer);
    expect(acknowledged(peer)).toEqual(['NACK 1', 'NACK 2', 'NACK 3']);
  });

  it('an ACK by hand speaks for all before it', async () => {
    const got: StompMessage[] = [];
    const { client, peer } = await subscribed((message) => void got.push(message), { ...options, manual: true });
    await deliverAll(client, peer, 1, 2, 3);
    expect(got[1]!.ack()).toBe(true);
    expect([got[0]!.ack(), got[0]!.nack(), got[1]!.nack()]).toEqual([false, false, false]);
    expect(got[2]!.nack()).toBe(true);
    await settle(client, peer);
    expect(acknowledged(peer)).toEqual(['ACK 2', 'NACK 3']);
  });

  it('each subscription is acknowledged by itself', async () => {
    const { client, peer, end } = await withHeldHandlers(options);
    client.subscribe('/queue/a', () => undefined, { id: 'other', ack: 'client' });
    await takeAndConfirm(peer, 'SUBSCRIBE');
    deliver(peer, 's', 1);
    deliver(peer, 'other', 2);
    await settle(client, peer);
    expect(acknowledged(peer)).toEqual(['ACK 2']);
    end(1);
    await settle(client, peer);
    expect(acknowledged(peer)).toEqual(['ACK 2', 'ACK 1']);
  });

  it('begins anew with each connection: what ends late acknowledges nothing', async () => {
    const { client, server, peer, end, started } = await withHeldHandlers(options);
    await deliverAll(client, peer, 1, 2);
    peer.destroy();
    await stateOf(client, 'connecting');
    const { peer: next } = await server.handshake('1.2');
    await takeAndConfirm(next, 'SUBSCRIBE');
    await deliverAll(client, next, 11, 12);
    end(11);
    end(1);
    end(2, new Error('no'));
    await settle(client, next);
    expect(started()).toEqual(['m1', 'm2', 'm11', 'm12']);
    expect(acknowledged(next)).toEqual(['ACK 11']);
    end(12);
    await settle(client, next);
    expect(acknowledged(next)).toEqual(['ACK 11', 'ACK 12']);
    expect(acknowledged(peer)).toEqual([]);
  });
});

describe('in 1.0, which has no NACK,', () => {
  it.each(['client', 'client-individual'] as const)(
    'a failed message of a %s subscription stays unacknowledged, which is said',
    async (ack) => {
      const handler = ({ text }: StompMessage) => {
        if (text === 'm2') throw new Error('no');
      };
      const { client, peer, errors } = await subscribed(handler, { ack }, '1.0');
      await deliverAll(client, peer, 1, 2, 3);
      // In client mode ACK 3 would speak for 2 as well, so nothing is said any more.
      expect(acknowledged(peer)).toEqual(ack === 'client' ? ['ACK 1'] : ['ACK 1', 'ACK 3']);
      expect(errors).toEqual([expect.objectContaining({ code: 'no-nack' })]);
      expect(errors[0]?.message).toContain('(no)');
    },
  );

  it('goes on to acknowledge after a reconnection', async () => {
    const handler = ({ text }: StompMessage) => {
      if (text === 'm1') throw new Error('no');
    };
    const { client, server, peer } = await subscribed(handler, { ack: 'client' }, '1.0');
    await deliverAll(client, peer, 1, 2);
    peer.destroy();
    const { peer: next } = await server.handshake('1.0');
    await takeAndConfirm(next, 'SUBSCRIBE');
    await deliverAll(client, next, 3);
    expect([acknowledged(peer), acknowledged(next)]).toEqual([[], ['ACK 3']]);
  });

  it('nack tells so', async () => {
    const got: StompMessage[] = [];
    const { client, peer } = await subscribed((m) => void got.push(m), { ack: 'client', manual: true }, '1.0');
    await deliverAll(client, peer, 1);
    expect([got[0]!.nack(), got[0]!.ack()]).toEqual([false, true]);
  });
});

describe.each(ALL)('in %s', (version) => {
  it('manual leaves it to the handler, or to whoever has the message', async () => {
    const got: StompMessage[] = [];
    const handler = (message: StompMessage) => {
      got.push(message);
      if (message.text === 'm2') throw new Error('no');
    };
    const { client, peer, errors } = await subscribed(handler, { ack: 'client-individual', manual: true }, version);
    await deliverAll(client, peer, 1, 2);
    expect(acknowledged(peer)).toEqual([]);
    expect(errors.map(({ message }) => message)).toEqual(['no']);
    expect([got[1]!.ack(), got[1]!.ack(), got[0]!.ack()]).toEqual([true, false, true]);
    await settle(client, peer);
    expect(acknowledged(peer)).toEqual(['ACK 2', 'ACK 1']);
  });

  it('nothing is acknowledged once the subscription is over', async () => {
    const { client, peer, end, subscription } = await withHeldHandlers({ ack: 'client-individual' }, version);
    await deliverAll(client, peer, 1);
    void subscription.unsubscribe();
    await takeAndConfirm(peer, 'UNSUBSCRIBE');
    end(1);
    await settle(client, peer);
    expect(acknowledged(peer)).toEqual([]);
  });
});

it('drain lets handlers finish and acknowledges them, and takes nothing more', async () => {
  const { client, peer, end, subscription, started } = await withHeldHandlers({
    ack: 'client-individual',
    concurrency: 1,
  });
  await deliverAll(client, peer, 1, 2);
  let drained = false;
  const draining = subscription.drain().then(() => (drained = true));
  await deliverAll(client, peer, 3);
  expect(drained).toBe(false);
  end(1);
  await draining;
  void subscription.unsubscribe();
  await takeAndConfirm(peer, 'UNSUBSCRIBE');
  expect(started()).toEqual(['m1']);
  expect(acknowledged(peer)).toEqual(['ACK 1']);
});

it('a thenable that misbehaves counts once', async () => {
  const handler = () => ({
    then: (resolve: () => void, reject: (reason: unknown) => void) => {
      resolve();
      reject(new Error('as well'));
      throw new Error('and again');
    },
  });
  const { client, peer, errors } = await subscribed(handler, { ack: 'client-individual' });
  await deliverAll(client, peer, 1);
  await settle(client, peer);
  expect(acknowledged(peer)).toEqual(['ACK 1']);
  expect(errors).toEqual([]);
});
