import { describe, expect, test } from '@jest/globals';
import { NotFoundException } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  type ClientProxy,
  ClientProxyFactory,
  Ctx,
  MessagePattern,
  type MicroserviceOptions,
  Payload,
  RpcException,
  Transport,
} from '@nestjs/microservices';
import { type AddressInfo, type Server } from 'node:net';
import {
  concat,
  EMPTY,
  firstValueFrom,
  interval,
  map,
  materialize,
  NEVER,
  Observable,
  of,
  take,
  throwError,
} from 'rxjs';
import { StompContext, StompRecordBuilder } from 'nestjs-stomp';
import { StompClient } from 'nestjs-stomp/client';
import { gate, makeClient, within } from '../../../support/client.js';
import { all, closeLater, last, moduleOf, named, proxy, rejection, Seen, serve } from '../../../support/nest.js';
import { describeEachPeer } from '../../../support/peers.js';

describeEachPeer('requests', (_peer, broker) => {
  test('a handler answers with the value that it returns, or that its promise resolves to', async () => {
    const [sum, later] = [named('queue', 'sum'), named('queue', 'later')];
    class Sums {
      @MessagePattern(sum) sum(@Payload() numbers: number[]) {
        return numbers.reduce((a, b) => a + b);
      }
      @MessagePattern(later) later(@Payload() text: string) {
        return Promise.resolve({ text });
      }
    }
    await serve(broker().reach, [Sums]);
    const client = proxy(broker().reach);
    expect(await all(client.send(sum, [1, 2, 3]))).toEqual([6]);
    expect(await all(client.send(later, 'hello'))).toEqual([{ text: 'hello' }]);
  });

  test('observables and async iterables are streamed to the caller, in their order', async () => {
    const [ticks, pages, none] = [named('queue', 'ticks'), named('queue', 'pages'), named('queue', 'none')];
    class Streams {
      @MessagePattern(ticks) ticks() {
        return interval(1).pipe(take(4));
      }
      @MessagePattern(pages) async *pages(@Payload() count: number) {
        for (let page = 0; page < count; page++) yield await Promise.resolve({ page });
      }
      @MessagePattern(none) none() {}
    }
    await serve(broker().reach, [Streams]);
    const client = proxy(broker().reach);
    expect(await all(client.send(ticks, {}))).toEqual([0, 1, 2, 3]);
    expect(await all(client.send(pages, 3))).toEqual([{ page: 0 }, { page: 1 }, { page: 2 }]);
    expect(await all(client.send(none, {}))).toEqual([]);
  });

  test('null is an answer, and so are an empty string, zero and false', async () => {
    const echo = named('queue', 'echo');
    class Echo {
      @MessagePattern(echo) echo(@Payload() { value }: { value: unknown }) {
        return value;
      }
    }
    await serve(broker().reach, [Echo]);
    const client = proxy(broker().reach);
    for (const value of [null, '', 0, false]) expect(await all(client.send(echo, { value }))).toEqual([value]);
  });

  test('a record that a handler returns carries headers and content type of the reply', async () => {
    const text = named('queue', 'text');
    class Texts {
      @MessagePattern(text) text(@Ctx() context: StompContext) {
        context.setReplyHeader('by', 'context');
        return new StompRecordBuilder('plain').setContentType('text/plain').setHeaders({ colour: 'red' }).build();
      }
    }
    await serve(broker().reach, [Texts]);
    const headers = new Seen<Record<string, string>>();
    const client = proxy(broker().reach, {
      deserializer: {
        deserialize: (body, { headers: found }) => {
          headers.add({ ...found });
          return body.toString();
        },
      },
    });
    expect(await last(client.send(text, {}))).toBe('plain');
    expect(headers.items[0]).toMatchObject({ colour: 'red', by: 'context', 'content-type': 'text/plain' });
  });

  test("errors reach the caller in Nest's shapes", async () => {
    const fail = named('queue', 'fail');
    class Failing {
      @MessagePattern(fail) fail(@Payload() how: string): unknown {
        if (how === 'text') throw new RpcException('no such order');
        if (how === 'object') throw new RpcException({ code: 404, message: 'gone' });
        if (how === 'promise') return Promise.reject(new RpcException('later'));
        if (how === 'stream') return throwError(() => new RpcException('in the stream'));
        throw new Error('a secret of the service');
      }
    }
    await serve(broker().reach, [Failing]);
    const client = proxy(broker().reach);
    const failure = (how: string) => rejection(client.send(fail, how));
    expect(await failure('text')).toEqual({ status: 'error', message: 'no such order' });
    expect(await failure('object')).toEqual({ code: 404, message: 'gone' });
    expect(await failure('promise')).toEqual({ status: 'error', message: 'later' });
    expect(await failure('stream')).toEqual({ status: 'error', message: 'in the stream' });
    expect(await failure('other')).toEqual({ status: 'error', message: 'Internal server error' });
  });

  test('values that came before an error are delivered before it', async () => {
    const broken = named('queue', 'broken');
    class Broken {
      @MessagePattern(broken) broken() {
        return new Observable((observer) => {
          observer.next('first');
          observer.error(new RpcException('then this'));
        });
      }
    }
    await serve(broker().reach, [Broken]);
    const values: unknown[] = [];
    const failure = await new Promise((resolve) => {
      proxy(broker().reach)
        .send(broken, {})
        .subscribe({ next: (value) => values.push(value), error: resolve });
    });
    expect([values, failure]).toEqual([['first'], { status: 'error', message: 'then this' }]);
  });

  test("the same handlers answer and fail as over Nest's TCP transport", async () => {
    const pattern = named('queue', 'same');
    const thrown: Record<string, () => unknown> = {
      value: () => ({ a: [1, 'two', null] }),
      nothing: () => undefined,
      null: () => null,
      stream: () => of(1, 2),
      empty: () => EMPTY,
      text: () => {
        throw new RpcException('text');
      },
      object: () => {
        throw new RpcException({ code: 7, reason: 'object' });
      },
      error: () => {
        throw new TypeError('a secret of the service');
      },
      http: () => {
        throw new NotFoundException('no such order');
      },
      promise: () => Promise.reject(new RpcException('promise')),
      'after values': () =>
        concat(
          of(1, 2),
          throwError(() => new RpcException('after values')),
        ),
      'error in a stream': () => throwError(() => new Error('a secret of the service')),
    };
    class Same {
      @MessagePattern(pattern) same(@Payload() how: string) {
        return thrown[how]!();
      }
    }
    await serve(broker().reach, [Same]);
    const tcp = closeLater(
      await NestFactory.createMicroservice<MicroserviceOptions>(moduleOf({ controllers: [Same] }), {
        transport: Transport.TCP,
        options: { host: '127.0.0.1', port: 0 },
        logger: false,
      }),
    );
    await tcp.listen();
    const { port } = tcp.unwrap<Server>().address() as AddressInfo;
    const theirs = closeLater(
      ClientProxyFactory.create({ transport: Transport.TCP, options: { host: '127.0.0.1', port } }),
    );
    const ours = proxy(broker().reach);
    const outcome = (client: ClientProxy, how: string) => all(client.send(pattern, how).pipe(materialize()));
    for (const how of Object.keys(thrown)) {
      expect([how, await outcome(ours, how)]).toEqual([how, await outcome(theirs, how)]);
    }
  });

  test("an async iterable that fails delivers its values, then the error in Nest's shape", async () => {
    const broken = named('queue', 'broken');
    class Broken {
      @MessagePattern(broken) async *broken(@Payload() how: string) {
        yield await Promise.resolve(1);
        throw how === 'rpc' ? new RpcException('then this') : new Error('a secret of the service');
      }
    }
    await serve(broker().reach, [Broken]);
    const client = proxy(broker().reach);
    const outcome = (how: string) => all(client.send(broken, how).pipe(materialize()));
    expect(await outcome('rpc')).toMatchObject([{ value: 1 }, { error: { status: 'error', message: 'then this' } }]);
    expect(await outcome('other')).toMatchObject([
      { value: 1 },
      { error: { status: 'error', message: 'Internal server error' } },
    ]);
  });

  test('a request is sent when it is subscribed to, and again each time', async () => {
    const count = named('queue', 'count');
    let calls = 0;
    class Counter {
      @MessagePattern(count) count() {
        return ++calls;
      }
    }
    await serve(broker().reach, [Counter]);
    const request = proxy(broker().reach).send(count, {});
    expect(await last(request)).toBe(1);
    expect(await last(request)).toBe(2);
  });

  test('a request that nobody answers fails after requestTimeout, and the reply that comes later is dropped', async () => {
    const slow = named('queue', 'slow');
    const [go, started] = [gate(), gate()];
    class Slow {
      @MessagePattern(slow) async slow(@Payload() wait: boolean) {
        if (wait) {
          started.open();
          await go.promise;
        }
        return wait;
      }
    }
    await serve(broker().reach, [Slow]);
    const client = proxy(broker().reach, { requestTimeout: 300 });
    const failure = rejection(client.send(slow, true));
    await started.promise;
    expect(await failure).toMatchObject({ message: 'no reply came within 300 ms' });
    go.open();
    expect(await last(client.send(slow, false))).toBe(false);
  });

  test('requestTimeout limits the wait for the next value, not for the last', async () => {
    const steady = named('queue', 'steady');
    class Steady {
      @MessagePattern(steady) steady() {
        return interval(200).pipe(take(8));
      }
    }
    await serve(broker().reach, [Steady]);
    expect(await all(proxy(broker().reach, { requestTimeout: 1_500 }).send(steady, {}))).toHaveLength(8);
  });

  test('whoever unsubscribes hears no more, and leaves nothing behind', async () => {
    const endless = named('queue', 'endless');
    class Endless {
      @MessagePattern(endless) endless() {
        return interval(1);
      }
    }
    await serve(broker().reach, [Endless], { drainTimeout: 0 });
    const client = proxy(broker().reach);
    expect(await firstValueFrom(client.send(endless, {}).pipe(take(3), map(String)))).toBe('0');
    expect(client.pendingRequests).toBe(0);
  });

  test('closing the client fails the requests that wait', async () => {
    const never = named('queue', 'never');
    const started = gate();
    class Never {
      @MessagePattern(never) never() {
        started.open();
        return NEVER;
      }
    }
    await serve(broker().reach, [Never], { drainTimeout: 0 });
    const client = proxy(broker().reach);
    const failure = rejection(client.send(never, {}));
    await started.promise;
    await client.close();
    expect(await failure).toMatchObject({ message: 'Connection closed' });
    expect(client.pendingRequests).toBe(0);
  });

  test('10,000 requests may be under way at a time', async () => {
    const square = named('queue', 'square');
    class Squares {
      @MessagePattern(square) square(@Payload() n: number) {
        return n * n;
      }
    }
    await serve(broker().reach, [Squares]);
    const client = proxy(broker().reach);
    await client.connect();
    const replies = await Promise.all(Array.from({ length: 10_000 }, (_, n) => last(client.send<number>(square, n))));
    expect(replies).toEqual(Array.from({ length: 10_000 }, (_, n) => n * n));
    expect(client.pendingRequests).toBe(0);
  }, 60_000);

  test('services with the same handler share the work', async () => {
    const who = named('queue', 'who');
    const service = (name: string) => {
      class Who {
        @MessagePattern(who, { prefetch: 1 }) who() {
          return of(name);
        }
      }
      return Who;
    };
    await serve(broker().reach, [service('a')]);
    await serve(broker().reach, [service('b')]);
    const client = proxy(broker().reach);
    const answers = await Promise.all(Array.from({ length: 50 }, () => last(client.send<string>(who, {}))));
    expect(new Set(answers)).toEqual(new Set(['a', 'b']));
  });

  test('a pattern that is no destination, or an object, names one all the same', async () => {
    const command = `sum of ${named('queue').slice(7)}`;
    class Named {
      @MessagePattern(command) byText() {
        return 'text';
      }
      @MessagePattern({ cmd: command }) byObject() {
        return 'object';
      }
    }
    await serve(broker().reach, [Named]);
    const client = proxy(broker().reach);
    expect(await last(client.send(command, {}))).toBe('text');
    expect(await last(client.send({ cmd: command }, {}))).toBe('object');
  });

  test('a request without reply-to runs the handler and gets no reply', async () => {
    const order = named('queue', 'order');
    const seen = new Seen<unknown>();
    class Orders {
      @MessagePattern(order) order(@Payload() id: number) {
        seen.add(id);
        return 'nobody asks';
      }
    }
    await serve(broker().reach, [Orders]);
    const client = proxy(broker().reach);
    await last(client.emit(order, 7));
    expect(await seen.count(1)).toEqual([7]);
  });
});

describeEachPeer('requests of foreign clients', (peer, broker) => {
  const connect = async (): Promise<StompClient> => {
    const client = makeClient({ ...broker().reach });
    await client.connect();
    return client;
  };

  test('any client calls a handler with reply-to and correlation-id, and reads a plain body back', async () => {
    const sum = named('queue', 'sum');
    class Sums {
      @MessagePattern(sum) sum(@Payload() numbers: number[]) {
        return { sum: numbers.reduce((a, b) => a + b) };
      }
    }
    await serve(broker().reach, [Sums]);
    const client = await connect();
    const replyTo = named('queue', 'answers');
    const replies = client.subscribe(replyTo)[Symbol.asyncIterator]();
    client.send(sum, '[1,2,3]', {
      contentType: 'application/json',
      headers: { 'reply-to': replyTo, 'correlation-id': 'call-1' },
    });
    const { value } = await within('a reply', replies.next());
    expect(value?.text).toBe('{"sum":6}');
    expect(value?.headers.toObject()).toMatchObject({
      'content-type': 'application/json',
      'correlation-id': 'call-1',
      'reply-state': 'last',
    });
  });

  test('a handler in another language needs neither correlation of its own nor an end marker', async () => {
    const shout = named('queue', 'shout');
    const service = await connect();
    const subscription = service.subscribe(shout, (message) => {
      service.send(message.headers.get('reply-to')!, message.text.toUpperCase(), {
        contentType: 'text/plain',
        headers: { 'correlation-id': message.headers.get('correlation-id')! },
      });
    });
    await subscription.ready;
    const client = proxy(broker().reach);
    const request = new StompRecordBuilder('hello').setContentType('text/plain').build();
    expect(await all(client.send(shout, request))).toEqual(['HELLO']);
    expect(peer.name).not.toBe('');
  });

  test.each(['null', '0', '""', 'false'])('a reply that is an error, and says %s, fails the request', async (body) => {
    const fails = named('queue', 'fails');
    const service = await connect();
    const subscription = service.subscribe(fails, (message) => {
      service.send(message.headers.get('reply-to')!, body, {
        contentType: 'application/json',
        headers: { 'correlation-id': message.headers.get('correlation-id')!, 'reply-state': 'error' },
      });
    });
    await subscription.ready;
    const error = (await rejection(proxy(broker().reach).send(fails, 'x'))) as Error;
    expect(error.message).toBe(`the request has failed, with ${body}`);
  });

  test('a requester that sets no correlation-id gets the id of its message', async () => {
    const ping = named('queue', 'ping');
    const ids = new Seen<string>();
    class Ping {
      @MessagePattern(ping) ping(@Ctx() context: StompContext) {
        ids.add(context.getMessage().id);
        return 'pong';
      }
    }
    await serve(broker().reach, [Ping]);
    const client = await connect();
    const replyTo = named('queue', 'answers');
    const replies = client.subscribe(replyTo)[Symbol.asyncIterator]();
    client.send(ping, 'x', { headers: { 'reply-to': replyTo } });
    const { value } = await within('a reply', replies.next());
    expect(value?.headers.get('correlation-id')).toBe((await ids.count(1))[0]);
  });

  test('a requester that went away before the reply does the service no harm', async () => {
    const slow = named('queue', 'slow');
    const [started, go] = [new Seen<string>(), gate()];
    class Slow {
      @MessagePattern(slow) async slow(@Payload() name: string) {
        started.add(name);
        if (name === 'gone') await go.promise;
        return name;
      }
    }
    const { strategy } = await serve(broker().reach, [Slow]);
    const states: string[] = [];
    strategy.status.subscribe((status) => states.push(status));
    const gone = proxy(broker().reach);
    void rejection(gone.send(slow, 'gone'));
    await started.count(1);
    await gone.close();
    go.open();
    const client = proxy(broker().reach);
    expect(await last(client.send(slow, 'here'))).toBe('here');
    expect(await last(client.send(slow, 'again'))).toBe('again');
    expect(started.items).toEqual(['gone', 'here', 'again']);
    expect(states).toEqual(['connected']);
  });
});

describe('patterns', () => {
  test('null and undefined are refused before anything is sent, as by all of Nest', async () => {
    const client = proxy({});
    for (const nothing of [null, undefined]) {
      expect(await rejection(client.send('/queue/a', nothing))).toMatchObject({ name: 'Error' });
      expect(await rejection(client.emit('/queue/a', nothing))).toMatchObject({ name: 'Error' });
      expect(await rejection(client.send(nothing, 'data'))).toMatchObject({ name: 'Error' });
    }
  });
});
