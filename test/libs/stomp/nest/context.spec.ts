import { expect, test } from '@jest/globals';
import {
  type ArgumentsHost,
  type CallHandler,
  type CanActivate,
  Catch,
  type ExecutionContext,
  type NestInterceptor,
  ParseIntPipe,
  type PipeTransform,
  UseFilters,
  UseGuards,
  UseInterceptors,
  UsePipes,
} from '@nestjs/common';
import { BaseRpcExceptionFilter, Ctx, MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { map, type Observable, throwError } from 'rxjs';
import { STOMP_TRANSPORT, StompContext, StompRecordBuilder } from 'nestjs-stomp';
import { EventPattern, last, named, proxy, rejection, Seen, serve } from '../../../support/nest.js';
import { describeEachPeer } from '../../../support/peers.js';

describeEachPeer("a handler's surroundings", (_peer, broker) => {
  test('the context tells destination, headers, frame, subscription and pattern', async () => {
    const queue = named('queue');
    const contexts = new Seen<StompContext>();
    class Handlers {
      @EventPattern(queue) handle(@Ctx() context: StompContext) {
        contexts.add(context);
      }
    }
    await serve(broker().reach, [Handlers]);
    const record = new StompRecordBuilder({ id: 1 }).setHeaders({ region: 'EU', 'odd name': 'a:b\\c' }).build();
    await last(proxy(broker().reach).emit(queue, record));
    const [context] = await contexts.count(1);
    expect(context).toBeInstanceOf(StompContext);
    expect(context!.getDestination()).toBe(queue);
    expect(context!.getPattern()).toBe(queue);
    expect(context!.getHeaders()).toMatchObject({ region: 'EU', 'odd name': 'a:b\\c', destination: queue });
    expect(context!.getFrame().command).toBe('MESSAGE');
    expect(context!.getFrame().headers.get('region')).toBe('EU');
    expect(context!.getSubscription()?.destination).toBe(queue);
    expect(context!.getMessage().json()).toEqual({ id: 1 });
    expect(context!.getArgs()).toEqual([context!.getMessage(), queue]);
  });

  test('guards, pipes, interceptors and filters run for requests', async () => {
    const [guarded, piped, wrapped, filtered] = [named('queue'), named('queue'), named('queue'), named('queue')];
    class OnlyEurope implements CanActivate {
      canActivate(context: ExecutionContext): boolean {
        return context.switchToRpc().getContext<StompContext>().getHeaders().region === 'EU';
      }
    }
    class Doubled implements NestInterceptor {
      intercept(_context: ExecutionContext, next: CallHandler<number>): Observable<number> {
        return next.handle().pipe(map((n) => n * 2));
      }
    }
    @Catch(RpcException)
    class Polite extends BaseRpcExceptionFilter {
      override catch(error: RpcException, _host: ArgumentsHost): Observable<unknown> {
        return throwError(() => ({ sorry: error.message }));
      }
    }
    class Handlers {
      @UseGuards(OnlyEurope) @MessagePattern(guarded) guarded() {
        return 'in';
      }
      @MessagePattern(piped) piped(@Payload('n', ParseIntPipe) n: number) {
        return n + 1;
      }
      @UseInterceptors(Doubled) @MessagePattern(wrapped) wrapped(@Payload() n: number) {
        return n;
      }
      @UseFilters(Polite) @MessagePattern(filtered) filtered() {
        throw new RpcException('it is broken');
      }
    }
    await serve(broker().reach, [Handlers]);
    const client = proxy(broker().reach);
    const from = (region: string) => new StompRecordBuilder({}).setHeaders({ region }).build();
    expect(await last(client.send(guarded, from('EU')))).toBe('in');
    expect(await rejection(client.send(guarded, from('US')))).toMatchObject({ message: 'Forbidden resource' });
    expect(await last(client.send(piped, { n: '41' }))).toBe(42);
    expect(await last(client.send(wrapped, 21))).toBe(42);
    expect(await rejection(client.send(filtered, {}))).toEqual({ sorry: 'it is broken' });
  });

  test('guards and pipes run for events: what they refuse is logged and never reaches the handler', async () => {
    const topic = named('topic');
    const seen = new Seen<unknown>();
    class Positive implements PipeTransform {
      transform(value: unknown) {
        if (typeof value === 'number' && value < 0) throw new RpcException('negative');
        return value;
      }
    }
    class Handlers {
      @UsePipes(Positive) @EventPattern(topic) handle(@Payload() n: number) {
        seen.add(n);
      }
    }
    const { log } = await serve(broker().reach, [Handlers]);
    const client = proxy(broker().reach);
    for (const n of [-1, 1]) await last(client.emit(topic, n));
    expect(await seen.count(1)).toEqual([1]);
    await log.until('negative');
  });

  test('instrumentation and pre-request hooks see every call: requests, events, streams and failures', async () => {
    const [request, event] = [named('queue', 'request'), named('queue', 'event')];
    const seen = new Seen<string>();
    class Handlers {
      @MessagePattern(request) request(@Payload() how: string) {
        seen.add(`handler ${how}`);
        if (how === 'bad') throw new Error('bad');
        return how;
      }
      @EventPattern(event, { ack: 'auto' }) event(@Payload() how: string) {
        seen.add(`handler ${how}`);
        if (how === 'bad event') throw new Error('bad');
      }
    }
    const kind = (context: StompContext) => (context.getDestination() === request ? 'request' : 'event');
    await serve(broker().reach, [Handlers], {
      prepare: (app, strategy) => {
        strategy.setOnProcessingStartHook((transport, context, done) => {
          seen.add(`start ${kind(context as StompContext)} ${String(transport === STOMP_TRANSPORT)}`);
          void done();
        });
        strategy.setOnProcessingEndHook((_transport, context) => seen.add(`end ${kind(context as StompContext)}`));
        app.registerPreRequestHook((context, next) => {
          seen.add(`before ${kind(context.switchToRpc().getContext<StompContext>())}`);
          return next();
        });
      },
    });
    const client = proxy(broker().reach);
    await last(client.send(request, 'good'));
    await rejection(client.send(request, 'bad'));
    await seen.count(8);
    for (const how of ['good event', 'bad event']) {
      const so = seen.items.length;
      await last(client.emit(event, how));
      await seen.count(so + 4);
    }
    const calls = (destination: string, how: string) => [
      `start ${destination} true`,
      `before ${destination}`,
      `handler ${how}`,
      `end ${destination}`,
    ];
    expect(seen.items).toEqual([
      ...calls('request', 'good'),
      ...calls('request', 'bad'),
      ...calls('event', 'good event'),
      ...calls('event', 'bad event'),
    ]);
  });

  test('metadata that the dispatch hook attaches arrives in the context, and comes back with the reply', async () => {
    const [request, event] = [named('queue'), named('queue')];
    const seen = new Seen<Record<string, string>>();
    class Handlers {
      @MessagePattern(request) request(@Ctx() context: StompContext) {
        seen.add(context.getMetadata());
        return 1;
      }
      @EventPattern(event) event(@Ctx() context: StompContext) {
        seen.add(context.getMetadata());
      }
    }
    await serve(broker().reach, [Handlers]);
    const replies = new Seen<Readonly<Record<string, string>>>();
    const client = proxy(broker().reach, {
      deserializer: {
        deserialize: (_body, { headers }) => {
          replies.add(headers);
          return 1;
        },
      },
    });
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    client.setOnDispatchHook((packet) => (packet.metadata = { traceparent, tenant: 'blue' }));
    await last(client.send(request, {}));
    await last(client.emit(event, {}));
    expect(await seen.count(2)).toEqual([
      { traceparent, tenant: 'blue' },
      { traceparent, tenant: 'blue' },
    ]);
    expect(replies.items[0]).toMatchObject({ traceparent, 'x-metadata-tenant': 'blue' });
  });

  test('handlers of another transport are left alone, those of this one and of any are served', async () => {
    const [ours, any, theirs] = [named('queue'), named('queue'), named('queue')];
    class Handlers {
      @MessagePattern(ours, STOMP_TRANSPORT) ours() {
        return 'ours';
      }
      @MessagePattern(any) any() {
        return 'any';
      }
      @MessagePattern(theirs, Symbol.for('another')) theirs() {
        return 'theirs';
      }
    }
    const { strategy } = await serve(broker().reach, [Handlers]);
    const client = proxy(broker().reach);
    expect(await last(client.send(ours, {}))).toBe('ours');
    expect(await last(client.send(any, {}))).toBe('any');
    expect([...strategy.getHandlers().keys()]).toEqual([ours, any]);
    expect(strategy.transportId).toBe(STOMP_TRANSPORT);
  });
});
