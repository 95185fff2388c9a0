import { expect, test } from '@jest/globals';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { StompContext } from 'nestjs-stomp';
import { gate, makeClient, within } from '../../../support/client.js';
import { EventPattern, last, named, proxy, Seen, serve } from '../../../support/nest.js';
import { describeEachPeer } from '../../../support/peers.js';

describeEachPeer('acknowledgement', (peer, broker) => {
  const { ways } = peer;

  /** The first message of a destination, to one who takes it away. */
  const take = async (destination: string) => {
    const client = makeClient({ ...broker().reach });
    await client.connect();
    const messages = client.subscribe(destination, { ack: 'client-individual', prefetch: 1 })[Symbol.asyncIterator]();
    const { value } = await within(`a message of ${destination}`, messages.next());
    value!.ack();
    await client.disconnect();
    return value!;
  };

  test('a message is ACKed when its handler has completed, and not before', async () => {
    const queue = named('queue');
    const [go, seen] = [gate(), new Seen<string>()];
    class Handlers {
      @EventPattern(queue) async handle(@Payload() text: string) {
        seen.add(text);
        if (text === 'slow') await go.promise;
      }
    }
    const { app } = await serve(broker().reach, [Handlers], { drainTimeout: 0 });
    const client = proxy(broker().reach);
    await last(client.emit(queue, 'quick'));
    await last(client.emit(queue, 'slow'));
    await seen.count(2);
    await app.close();
    go.open();
    expect(JSON.parse((await take(queue)).text)).toBe('slow');
  });

  test('a message whose handler fails is NACKed: it comes again, or goes to the dead letters, as the broker has it', async () => {
    const queue = named('queue');
    const seen = new Seen<{ text: string; redelivered: string | undefined }>();
    class Handlers {
      @EventPattern(queue) handle(@Payload() text: string, @Ctx() context: StompContext) {
        seen.add({ text, redelivered: context.getHeaders().redelivered });
        if (seen.items.length === 1) throw new Error('not this time');
      }
    }
    await serve(broker().reach, [Handlers]);
    await last(proxy(broker().reach).emit(queue, 'x'));
    if (ways.nack === 'again') expect((await seen.count(2))[1]).toEqual({ text: 'x', redelivered: 'true' });
    else expect(JSON.parse((await take(ways.deadLetters(queue)!)).text)).toBe('x');
  });

  test('a message that is NACKed with requeue: false does not come again', async () => {
    const queue = named('queue');
    const seen = new Seen<string>();
    class Handlers {
      @EventPattern(queue, { ack: 'manual' })
      handle(@Payload() text: string, @Ctx() context: StompContext) {
        seen.add(text);
        if (text === 'bad') context.nack({ requeue: false });
        else context.ack();
      }
    }
    await serve(broker().reach, [Handlers]);
    const client = proxy(broker().reach);
    await last(client.emit(queue, 'bad'));
    await last(client.emit(queue, 'good'));
    expect(await seen.count(2)).toEqual(['bad', 'good']);
    const dead = ways.deadLetters(queue);
    if (dead !== undefined) expect(JSON.parse((await take(dead)).text)).toBe('bad');
    await last(client.emit(queue, 'after'));
    expect(await seen.count(3)).toEqual(['bad', 'good', 'after']);
  });

  test('a NACK with a delay brings the message again after that time', async () => {
    const queue = named('queue');
    const seen = new Seen<number>();
    class Handlers {
      @EventPattern(queue, { ack: 'manual' }) handle(@Ctx() context: StompContext) {
        seen.add(performance.now());
        if (seen.items.length === 1) context.nack({ delay: 300 });
        else context.ack();
      }
    }
    await serve(broker().reach, [Handlers]);
    await last(proxy(broker().reach).emit(queue, 1));
    if (ways.nack === 'dead letters') {
      await take(ways.deadLetters(queue)!);
      expect(performance.now() - (await seen.count(1))[0]!).toBeGreaterThan(290);
      return;
    }
    const [first, second] = await seen.count(2);
    expect(second! - first!).toBeGreaterThan(290);
  });

  test('a message that fails again and again does not come in a hot loop', async () => {
    if (ways.nack === 'dead letters') return; // There it does not come a second time: see above.
    const queue = named('queue');
    const seen = new Seen<number>();
    class Handlers {
      @EventPattern(queue) handle() {
        seen.add(performance.now());
        throw new Error('never');
      }
    }
    await serve(broker().reach, [Handlers]);
    await last(proxy(broker().reach).emit(queue, 1));
    const times = await seen.until('four deliveries', (items) => items.length >= 4);
    expect(times[3]! - times[0]!).toBeGreaterThan(100);
  });

  test('with ack: manual a message waits for ctx.ack(), however its handler ends', async () => {
    const queue = named('queue');
    const seen = new Seen<string>();
    const contexts: StompContext[] = [];
    class Handlers {
      @EventPattern(queue, { ack: 'manual' }) handle(@Payload() text: string, @Ctx() context: StompContext) {
        contexts.push(context);
        seen.add(text);
        if (text === 'failed') throw new Error('failed, and not NACKed either');
      }
    }
    const { app } = await serve(broker().reach, [Handlers]);
    const client = proxy(broker().reach);
    for (const text of ['acked', 'forgotten', 'failed']) await last(client.emit(queue, text));
    await seen.count(3);
    contexts[0]!.ack();
    await app.close();
    expect(JSON.parse((await take(queue)).text)).toBe('forgotten');
    expect(JSON.parse((await take(queue)).text)).toBe('failed');
  });

  test('ctx.ack() in the midst of a handler counts, and what comes of the handler then does not', async () => {
    const queue = named('queue');
    const seen = new Seen<string>();
    class Handlers {
      @EventPattern(queue) handle(@Payload() text: string, @Ctx() context: StompContext) {
        context.ack();
        seen.add(text);
        throw new Error('after the ACK');
      }
    }
    await serve(broker().reach, [Handlers]);
    const client = proxy(broker().reach);
    await last(client.emit(queue, 'a'));
    await last(client.emit(queue, 'b'));
    expect(await seen.count(2)).toEqual(['a', 'b']);
  });

  test('with ack: client messages are acknowledged in their order, whichever handler finishes first', async () => {
    const queue = named('queue');
    const [go, seen] = [gate(), new Seen<string>()];
    class Handlers {
      @EventPattern(queue, { ack: 'client', prefetch: 10 }) async handle(@Payload() text: string) {
        if (text === 'first') await go.promise;
        seen.add(text);
      }
    }
    const { app } = await serve(broker().reach, [Handlers], { drainTimeout: 0 });
    const client = proxy(broker().reach);
    for (const text of ['first', 'second']) await last(client.emit(queue, text));
    await seen.count(1);
    await app.close();
    go.open();
    // Had the second been acknowledged, the first would be too.
    expect(JSON.parse((await take(queue)).text)).toBe('first');
    expect(JSON.parse((await take(queue)).text)).toBe('second');
  });

  test('with ack: auto a message is gone when it was sent, whatever becomes of its handler', async () => {
    const queue = named('queue');
    const seen = new Seen<string>();
    class Handlers {
      @EventPattern(queue, { ack: 'auto' }) handle(@Payload() text: string) {
        seen.add(text);
        throw new Error('too late');
      }
    }
    await serve(broker().reach, [Handlers]);
    const client = proxy(broker().reach);
    await last(client.emit(queue, 'a'));
    await last(client.emit(queue, 'b'));
    expect(await seen.count(2)).toEqual(['a', 'b']);
  });

  test('prefetch bounds the handlers that run, and concurrency too', async () => {
    for (const extras of [{ prefetch: 3 }, { concurrency: 3, prefetch: 50 }, { concurrency: 3 }]) {
      const queue = named('queue');
      const seen = new Seen<number>();
      const go = gate();
      let [running, most] = [0, 0];
      class Handlers {
        @EventPattern(queue, extras) async handle(@Payload() n: number) {
          most = Math.max(most, ++running);
          seen.add(n);
          await go.promise;
          running--;
        }
      }
      await serve(broker().reach, [Handlers]);
      const client = proxy(broker().reach);
      await client.connect();
      await Promise.all(Array.from({ length: 20 }, (_, n) => last(client.emit(queue, n))));
      await seen.count(3);
      go.open();
      await seen.count(20);
      expect(most).toBe(3);
    }
  });

  test("prefetch is the strategy's where the handler says nothing", async () => {
    const queue = named('queue');
    const seen = new Seen<number>();
    const go = gate();
    let [running, most] = [0, 0];
    class Handlers {
      @EventPattern(queue) async handle(@Payload() n: number) {
        most = Math.max(most, ++running);
        seen.add(n);
        await go.promise;
        running--;
      }
    }
    await serve(broker().reach, [Handlers], { prefetch: 2 });
    const client = proxy(broker().reach);
    await client.connect();
    await Promise.all(Array.from({ length: 10 }, (_, n) => last(client.emit(queue, n))));
    await seen.count(2);
    go.open();
    await seen.count(10);
    expect(most).toBe(2);
  });

  test('a request is ACKed once it is answered, and so it is when the answer is an error', async () => {
    const queue = named('queue');
    const seen = new Seen<string>();
    class Handlers {
      @MessagePattern(queue) handle(@Payload() text: string) {
        seen.add(text);
        if (text === 'bad') throw new Error('bad');
        return text;
      }
    }
    const { app } = await serve(broker().reach, [Handlers]);
    const client = proxy(broker().reach);
    await expect(last(client.send(queue, 'bad'))).rejects.toMatchObject({ message: 'Internal server error' });
    expect(await last(client.send(queue, 'good'))).toBe('good');
    await app.close();
    await serve(broker().reach, [Handlers]);
    expect(await last(client.send(queue, 'next'))).toBe('next');
    expect(seen.items).toEqual(['bad', 'good', 'next']);
  });

  test('a message of which the body cannot be read is refused for good, is logged, and the next is handled', async () => {
    const queue = named('queue');
    const seen = new Seen<unknown>();
    class Handlers {
      @EventPattern(queue) handle(@Payload() data: unknown) {
        seen.add(data);
      }
    }
    const { log } = await serve(broker().reach, [Handlers]);
    const client = makeClient({ ...broker().reach });
    await client.connect();
    await client.publish(queue, '{"broken', { contentType: 'application/json' });
    await client.publish(queue, '{"whole":1}', { contentType: 'application/json' });
    expect(await seen.count(1)).toEqual([{ whole: 1 }]);
    expect(log.errors.join()).toContain(`a message to ${queue} cannot be read`);
    const dead = ways.deadLetters(queue);
    if (dead !== undefined) expect((await take(dead)).text).toBe('{"broken');
  });

  test('whoever sent a request of which the body cannot be read is told', async () => {
    const queue = named('queue');
    class Handlers {
      @MessagePattern(queue) handle() {}
    }
    await serve(broker().reach, [Handlers]);
    const client = proxy(broker().reach, {
      serializer: { serialize: () => ({ body: '{"broken', contentType: 'application/json' }) },
    });
    await expect(last(client.send(queue, 1))).rejects.toMatchObject({
      status: 'error',
      message: expect.stringContaining('cannot be read') as unknown,
    });
  });
});
