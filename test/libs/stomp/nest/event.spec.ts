import { describe, expect, test } from '@jest/globals';
import { Ctx, MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { from, NEVER, Observable, throwError } from 'rxjs';
import { StompContext, StompStrategy } from 'nestjs-stomp';
import { gate } from '../../../support/client.js';
import { EventPattern, last, named, prepare, proxy, Seen, serve } from '../../../support/nest.js';
import { describeEachPeer } from '../../../support/peers.js';

describeEachPeer('events', (peer, broker) => {
  test('an event goes to one of the services of a queue, and to all of a topic', async () => {
    const [queue, topic] = [named('queue'), named('topic')];
    const seen = new Seen<string>();
    const service = (name: string) => {
      class Handlers {
        @EventPattern(queue) once(@Payload() text: string) {
          seen.add(`queue ${text}`);
        }
        @EventPattern(topic) all(@Payload() text: string) {
          seen.add(`${name} ${text}`);
        }
      }
      return Handlers;
    };
    await serve(broker().reach, [service('a')]);
    await serve(broker().reach, [service('b')]);
    const client = proxy(broker().reach);
    await last(client.emit(queue, 'x'));
    await last(client.emit(topic, 'y'));
    expect((await seen.count(3)).sort()).toEqual(['a y', 'b y', 'queue x']);
  });

  test("wildcards in the broker's own syntax match, and the context tells the destination", async () => {
    const base = named('topic', 'orders').replaceAll('-', '_');
    const seen = new Seen<string>();
    class Orders {
      @EventPattern(`${base}.*.paid`) one(@Ctx() context: StompContext) {
        seen.add(`* ${context.getDestination()} ${context.getPattern()}`);
      }
      @EventPattern(`${base}.${peer.ways.rest}`) rest(@Ctx() context: StompContext) {
        seen.add(`rest ${context.getDestination()}`);
      }
    }
    await serve(broker().reach, [Orders]);
    const client = proxy(broker().reach);
    await last(client.emit(`${base}.7.paid`, {}));
    await last(client.emit(`${base}.7.lines.added`, {}));
    expect((await seen.count(3)).sort()).toEqual([
      `* ${base}.7.paid ${base}.*.paid`,
      `rest ${base}.7.lines.added`,
      `rest ${base}.7.paid`,
    ]);
  });

  test('a handler may have several patterns, and a pattern several handlers', async () => {
    const [one, two] = [named('topic'), named('topic')];
    const seen = new Seen<string>();
    class First {
      @EventPattern([one, two]) handle(@Payload() text: string) {
        seen.add(`first ${text}`);
      }
    }
    class Second {
      @EventPattern(one) handle(@Payload() text: string) {
        seen.add(`second ${text}`);
      }
    }
    await serve(broker().reach, [First, Second]);
    const client = proxy(broker().reach);
    await last(client.emit(one, 'a'));
    await last(client.emit(two, 'b'));
    expect((await seen.count(3)).sort()).toEqual(['first a', 'first b', 'second a']);
  });

  test('several handlers of a queue all get each message, which is ACKed when the last has finished', async () => {
    const queue = named('queue');
    const slow = gate();
    const seen = new Seen<string>();
    class Quick {
      @EventPattern(queue) handle() {
        seen.add('quick');
      }
    }
    class Slow {
      @EventPattern(queue) async handle() {
        await slow.promise;
        seen.add('slow');
      }
    }
    const { app } = await serve(broker().reach, [Quick, Slow], { drainTimeout: 0 });
    await last(proxy(broker().reach).emit(queue, 1));
    await seen.count(1);
    await app.close();
    class Next {
      @EventPattern(queue) handle() {
        seen.add('again');
      }
    }
    await serve(broker().reach, [Next]);
    expect(await seen.count(2)).toEqual(['quick', 'again']);
    slow.open();
  });

  test('what an event handler streams or returns is awaited, and its failures are logged and do no harm', async () => {
    const topic = named('topic');
    const seen = new Seen<string>();
    class Handlers {
      @EventPattern(topic) handle(@Payload() how: string): unknown {
        seen.add(how);
        if (how === 'throw') throw new Error('thrown');
        if (how === 'reject') return Promise.reject(new RpcException('rejected'));
        if (how === 'stream') return throwError(() => new Error('streamed'));
        if (how === 'late') {
          return new Observable((observer) => {
            observer.next(1);
            observer.error(new Error('after a value'));
          });
        }
        return from([1, 2]);
      }
    }
    const { log } = await serve(broker().reach, [Handlers]);
    const client = proxy(broker().reach);
    for (const how of ['throw', 'reject', 'stream', 'late', 'fine']) await last(client.emit(topic, how));
    await seen.count(5);
    await last(client.emit(topic, 'fine'));
    await seen.count(6);
    await log.until('failed', 4);
    const about = log.errors.filter((line) => line.includes('failed'));
    expect(about).toHaveLength(4);
    expect(about.join()).toContain('rejected');
  });

  test('emit publishes at once and completes when the broker has the message, without a subscriber too', async () => {
    const queue = named('queue');
    const seen = new Seen<number>();
    class Handlers {
      @EventPattern(queue) handle(@Payload() n: number) {
        seen.add(n);
      }
    }
    await serve(broker().reach, [Handlers]);
    const client = proxy(broker().reach);
    client.emit(queue, 1);
    const second = client.emit(queue, 2);
    expect(await last(second)).toBeUndefined();
    expect(await last(second)).toBeUndefined();
    expect((await seen.count(2)).sort()).toEqual([1, 2]);
  });

  test('without receipts emit completes when the message is written', async () => {
    const queue = named('queue');
    const seen = new Seen<number>();
    class Handlers {
      @EventPattern(queue, { concurrency: 1 }) handle(@Payload() n: number) {
        seen.add(n);
      }
    }
    await serve(broker().reach, [Handlers]);
    const client = proxy(broker().reach, { receipts: false });
    for (let n = 0; n < 20; n++) client.emit(queue, n);
    expect(await seen.count(20)).toEqual(Array.from({ length: 20 }, (_, n) => n));
  });

  test('1,000 events are published in their order without waiting for each other', async () => {
    const queue = named('queue');
    const seen = new Seen<number>();
    class Handlers {
      @EventPattern(queue) handle(@Payload() n: number) {
        seen.add(n);
      }
    }
    await serve(broker().reach, [Handlers]);
    const client = proxy(broker().reach);
    await client.connect();
    await Promise.all(Array.from({ length: 1_000 }, (_, n) => last(client.emit(queue, n))));
    expect(await seen.count(1_000)).toEqual(Array.from({ length: 1_000 }, (_, n) => n));
  });

  test('a consumer that is slower than its producer holds no more than it may', async () => {
    const [queue, topic] = [named('queue'), named('topic')];
    let running = 0;
    let most = 0;
    const seen = new Seen<string>();
    const work = async (name: string) => {
      most = Math.max(most, ++running);
      await new Promise(setImmediate);
      running--;
      seen.add(name);
    };
    class Slow {
      @EventPattern(queue, { prefetch: 5 }) queue() {
        return work('queue');
      }
      @EventPattern(topic, { prefetch: 5 }) topic() {
        return work('topic');
      }
    }
    await serve(broker().reach, [Slow]);
    const client = proxy(broker().reach);
    await client.connect();
    const body = Buffer.alloc(10_000);
    for (const destination of [queue, topic]) {
      await Promise.all(Array.from({ length: 500 }, () => last(client.emit(destination, body))));
    }
    await seen.count(1_000);
    expect(most).toBeLessThanOrEqual(10);
  });

  test('a handler that never completes holds one message back, and no other', async () => {
    const queue = named('queue');
    const seen = new Seen<string>();
    class Stuck {
      @EventPattern(queue, { prefetch: 2 }) handle(@Payload() text: string) {
        seen.add(text);
        return text === 'stuck' ? NEVER : undefined;
      }
    }
    await serve(broker().reach, [Stuck], { drainTimeout: 0 });
    const client = proxy(broker().reach);
    for (const text of ['stuck', 'a', 'b', 'c']) await last(client.emit(queue, text));
    expect(await seen.count(4)).toEqual(['stuck', 'a', 'b', 'c']);
  });
});

describe('pattern clashes', () => {
  const handler = (): Promise<void> => Promise.resolve();

  test('two message handlers of one pattern are an error at the start that names it', async () => {
    class One {
      @MessagePattern('/queue/sum') sum() {}
    }
    class Two {
      @MessagePattern('/queue/sum') sum() {}
    }
    const { app } = await prepare([One, Two]);
    await expect(app.listen()).rejects.toThrow('two message handlers have the pattern "/queue/sum"');
  });

  test('a message handler beside an event handler, too, in either order', () => {
    for (const isEvent of [true, false]) {
      const strategy = new StompStrategy();
      strategy.addHandler('/queue/a', handler, isEvent);
      expect(() => strategy.addHandler('/queue/a', handler, !isEvent)).toThrow(
        'a message handler and an event handler have the pattern "/queue/a"',
      );
    }
  });

  test('event handlers of one queue must agree on their extras, or they would take messages from each other', () => {
    const strategy = new StompStrategy();
    strategy.addHandler('/queue/a', handler, true, { prefetch: 1 });
    strategy.addHandler('/queue/a', handler, true, { prefetch: 1 });
    expect(() => strategy.addHandler('/queue/a', handler, true, { prefetch: 2 })).toThrow('"/queue/a"');
    strategy.addHandler('/topic/a', handler, true, { selector: 'n = 1' });
    strategy.addHandler('/topic/a', handler, true, { selector: 'n = 2' });
  });
});
