import { describe, expect, test } from '@jest/globals';
import { Payload } from '@nestjs/microservices';
import { StompRecordBuilder } from 'nestjs-stomp';
import { makeClient, within } from '../../../support/client.js';
import { EventPattern, last, named, proxy, Seen, serve } from '../../../support/nest.js';
import { describeEachPeer } from '../../../support/peers.js';

describeEachPeer('records', (peer, broker) => {
  const receive = async (queue: string) => {
    const client = makeClient({ ...broker().reach });
    await client.connect();
    const messages = client.subscribe(queue)[Symbol.asyncIterator]();
    return async () => (await within('a message', messages.next())).value!;
  };

  test('headers of the record win over the static ones, and both reach the receiver', async () => {
    const queue = named('queue');
    const next = await receive(queue);
    const client = proxy(broker().reach, { headers: { region: 'EU', source: 'shop' } });
    await last(client.emit(queue, new StompRecordBuilder(1).setHeaders({ region: 'US' }).build()));
    await last(client.emit(queue, 2));
    expect((await next()).headers.toObject()).toMatchObject({ region: 'US', source: 'shop' });
    expect((await next()).headers.toObject()).toMatchObject({ region: 'EU', source: 'shop' });
  });

  test('headers cannot replace what the transport itself says', async () => {
    const queue = named('queue');
    const next = await receive(queue);
    const client = proxy(broker().reach);
    const record = new StompRecordBuilder(1).setHeaders({ destination: '/queue/elsewhere', receipt: 'r' }).build();
    await last(client.emit(queue, record));
    expect((await next()).destination).toBe(queue);
  });

  test('persistent, priority and content type stand in the headers that every broker reads', async () => {
    const queue = named('queue');
    const next = await receive(queue);
    const record = new StompRecordBuilder('x').setPersistent().setPriority(7).setContentType('text/plain').build();
    await last(proxy(broker().reach).emit(queue, record));
    expect((await next()).headers.toObject()).toMatchObject({
      persistent: 'true',
      priority: '7',
      'content-type': 'text/plain',
    });
  });

  test('a message that has expired is not delivered', async () => {
    const queue = named('queue');
    const client = proxy(broker().reach);
    const soon = Date.now() + 200;
    await last(client.emit(queue, new StompRecordBuilder('old').setExpires(soon).build()));
    await last(client.emit(queue, new StompRecordBuilder('new').setExpires(new Date(soon + 3_600_000)).build()));
    // Time has to go by here: it is what the test is about.
    await new Promise((resolve) => setTimeout(resolve, soon + 100 - Date.now()));
    const seen = new Seen<string>();
    class Handlers {
      @EventPattern(queue) handle(@Payload() text: string) {
        seen.add(text);
      }
    }
    await serve(broker().reach, [Handlers]);
    expect(await seen.count(1)).toEqual(['new']);
  });

  test('a delayed message comes later; where the broker has no delay the message is refused', async () => {
    const queue = named('queue');
    const seen = new Seen<string>();
    class Handlers {
      @EventPattern(queue) handle(@Payload() text: string) {
        seen.add(text);
      }
    }
    await serve(broker().reach, [Handlers]);
    const client = proxy(broker().reach);
    await client.connect();
    const emitted = last(client.emit(queue, new StompRecordBuilder('late').setDelay(1_000).build()));
    if (!peer.ways.delays) await expect(emitted).rejects.toThrow('cannot delay messages');
    else await emitted;
    await last(client.emit(queue, 'early'));
    if (peer.ways.delays) expect(await seen.count(2)).toEqual(['early', 'late']);
    else expect(await seen.count(1)).toEqual(['early']);
  });

  test('the more urgent of two waiting messages comes first, where the broker heeds priorities', async () => {
    const queue = named('queue');
    const client = proxy(broker().reach);
    await last(client.emit(queue, new StompRecordBuilder('calm').setPriority(1).build()));
    await last(client.emit(queue, new StompRecordBuilder('urgent').setPriority(9).build()));
    const seen = new Seen<string>();
    class Handlers {
      @EventPattern(queue, { prefetch: 1 }) handle(@Payload() text: string) {
        seen.add(text);
      }
    }
    await serve(broker().reach, [Handlers]);
    expect(await seen.count(2)).toEqual(peer.ways.priorities ? ['urgent', 'calm'] : ['calm', 'urgent']);
  });
});

describe('StompRecordBuilder', () => {
  test('builds what it was told', () => {
    const at = new Date(1_700_000_000_000);
    const record = new StompRecordBuilder<number>()
      .setData(1)
      .setHeaders({ a: '1' })
      .setHeaders({ b: '2' })
      .setPersistent()
      .setPriority(0)
      .setExpires(at)
      .setContentType('text/plain')
      .setDelay(10)
      .build();
    expect(record).toEqual({
      data: 1,
      options: {
        headers: { a: '1', b: '2' },
        persistent: true,
        priority: 0,
        expires: at.getTime(),
        contentType: 'text/plain',
        delay: 10,
      },
    });
  });

  test('refuses what no broker could make sense of', () => {
    const builder = new StompRecordBuilder(1);
    for (const priority of [-1, 10, 1.5]) expect(() => builder.setPriority(priority)).toThrow(RangeError);
    for (const delay of [-1, 0.5, Number.NaN]) expect(() => builder.setDelay(delay)).toThrow(RangeError);
    for (const at of [-1, Number.NaN, new Date('no date')]) expect(() => builder.setExpires(at)).toThrow(RangeError);
  });
});
