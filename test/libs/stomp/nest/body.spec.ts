import { expect, test } from '@jest/globals';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { StompContext, StompRecordBuilder } from 'nestjs-stomp';
import { makeClient, within } from '../../../support/client.js';
import { EventPattern, last, named, proxy, Seen, serve } from '../../../support/nest.js';
import { describeEachPeer } from '../../../support/peers.js';

describeEachPeer('bodies', (_peer, broker) => {
  const foreign = async () => {
    const client = makeClient({ ...broker().reach });
    await client.connect();
    return client;
  };

  test('the body is the data and nothing else, with its content type', async () => {
    const queue = named('queue');
    const client = await foreign();
    const messages = client.subscribe(queue)[Symbol.asyncIterator]();
    const next = async () => {
      const { value } = await within('a message', messages.next());
      return [value!.headers.get('content-type'), value!.body.toString('latin1')];
    };
    const sender = proxy(broker().reach);
    await last(sender.emit(queue, { id: 1, name: 'first' }));
    expect(await next()).toEqual(['application/json', '{"id":1,"name":"first"}']);
    await last(sender.emit(queue, Buffer.from([1, 0, 255])));
    expect(await next()).toEqual(['application/octet-stream', '\u0001\u0000\u00ff']);
    await last(sender.emit(queue, new StompRecordBuilder('plain').setContentType('text/plain').build()));
    expect(await next()).toEqual(['text/plain', 'plain']);
    await last(sender.emit(queue, 'text'));
    expect(await next()).toEqual(['application/json', '"text"']);
  });

  test('JSON, text and bytes of foreign senders arrive as what they are, {"data": 1} as exactly that', async () => {
    const queue = named('queue');
    const seen = new Seen<unknown>();
    class Handlers {
      @EventPattern(queue, { concurrency: 1 }) handle(@Payload() data: unknown) {
        seen.add(data);
      }
    }
    await serve(broker().reach, [Handlers]);
    const client = await foreign();
    const send = (body: string | Buffer, contentType?: string) => {
      return client.publish(queue, body, contentType === undefined ? {} : { contentType });
    };
    await send('{"data":1}', 'application/json');
    await send('{"pattern":"x","data":{},"id":"7"}', 'application/json; charset=utf-8');
    await send('{"a":1}', 'application/vnd.orders+json');
    await send('grün', 'text/plain');
    await send('<a/>', 'application/xml');
    await send(Buffer.from([0, 1, 2]), 'application/octet-stream');
    expect(await seen.count(6)).toEqual([
      { data: 1 },
      { pattern: 'x', data: {}, id: '7' },
      { a: 1 },
      'grün',
      '<a/>',
      Buffer.from([0, 1, 2]),
    ]);
  });

  test('bytes and text go both ways between a proxy and a handler', async () => {
    const queue = named('queue');
    class Echo {
      @MessagePattern(queue) echo(@Payload() data: unknown) {
        return data;
      }
    }
    await serve(broker().reach, [Echo]);
    const client = proxy(broker().reach);
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, octet) => octet));
    expect(await last(client.send(queue, bytes))).toEqual(bytes);
    const large = 'x'.repeat(1_000_000);
    expect(await last(client.send(queue, large))).toBe(large);
    const unicode = { text: 'äöü €  \u0000 🚀', list: [1.5, null, true] };
    expect(await last(client.send(queue, unicode))).toEqual(unicode);
  });

  test('a serializer and a deserializer of your own replace all of that, on both sides', async () => {
    const queue = named('queue');
    const serializer = {
      serialize: (data: unknown) => ({
        body: Buffer.from(JSON.stringify(data)).toString('base64'),
        contentType: 'text/x-base64',
      }),
    };
    const types = new Seen<string | undefined>();
    const deserializer = {
      deserialize: (body: Buffer, { contentType }: { contentType: string | undefined }) => {
        types.add(contentType);
        return JSON.parse(Buffer.from(body.toString(), 'base64').toString()) as unknown;
      },
    };
    const frames = new Seen<string>();
    class Echo {
      @MessagePattern(queue) echo(@Payload() data: { n: number }, @Ctx() context: StompContext) {
        frames.add(context.getFrame().body.toString());
        return { n: data.n + 1 };
      }
    }
    await serve(broker().reach, [Echo], { serializer, deserializer });
    const client = proxy(broker().reach, { serializer, deserializer });
    expect(await last(client.send(queue, { n: 1 }))).toEqual({ n: 2 });
    expect(frames.items).toEqual([Buffer.from('{"n":1}').toString('base64')]);
    expect(types.items).toEqual(['text/x-base64', 'text/x-base64']);
  });

  test('data that cannot be written is an error of whoever emits or returns it', async () => {
    const queue = named('queue');
    class Bad {
      @MessagePattern(queue) bad() {
        return { big: 1n };
      }
    }
    const { log } = await serve(broker().reach, [Bad]);
    const client = proxy(broker().reach);
    await expect(last(client.emit(queue, { big: 1n }))).rejects.toThrow('BigInt');
    await expect(last(client.send(queue, () => 1))).rejects.toThrow('cannot be written as JSON');
    const record = new StompRecordBuilder({ an: 'object' }).setContentType('text/plain').build();
    await expect(last(client.emit(queue, record))).rejects.toThrow('text/plain has to be a string or bytes');
    await expect(last(client.send(queue, {}))).rejects.toMatchObject({ message: 'Internal server error' });
    expect(log.errors.join()).toContain('BigInt');
  });
});
