import { describe, expect, test } from '@jest/globals';
import { Controller, Inject, Injectable } from '@nestjs/common';
import { AbstractHttpAdapter, NestFactory } from '@nestjs/core';
import {
  type ClientProxy,
  ClientProxyFactory,
  ClientsModule,
  type ClientsModuleOptions,
  MessagePattern,
  Payload,
} from '@nestjs/microservices';
import { type StompContext, StompClientProxy, StompModule, StompStrategy } from 'nestjs-stomp';
import { closeLater, last, Log, moduleOf, named, serve } from '../../../support/nest.js';
import { describeEachPeer } from '../../../support/peers.js';

describeEachPeer('modules', (_peer, broker) => {
  const echo = (queue: string) => {
    @Controller()
    class Echo {
      @MessagePattern(queue) echo(@Payload() data: unknown) {
        return { echo: data };
      }
    }
    return Echo;
  };
  const started = async (module: ReturnType<typeof moduleOf>) => {
    return closeLater(await NestFactory.createApplicationContext(module, { logger: new Log(), abortOnError: false }));
  };

  test('ClientsModule.register and registerAsync take StompClientProxy as customClass', async () => {
    const queue = named('queue');
    await serve(broker().reach, [echo(queue)]);
    const options = { ...broker().reach };
    const registered: ClientsModuleOptions = [{ name: 'SYNC', customClass: StompClientProxy, options }];
    const app = await started(
      moduleOf({
        imports: [
          ClientsModule.register(registered),
          ClientsModule.registerAsync([
            { name: 'ASYNC', useFactory: () => Promise.resolve({ customClass: StompClientProxy, options }) },
          ]),
        ],
      }),
    );
    for (const name of ['SYNC', 'ASYNC']) {
      const client = app.get<ClientProxy>(name, { strict: false });
      expect(client).toBeInstanceOf(StompClientProxy);
      expect(await last(client.send(queue, name))).toEqual({ echo: name });
    }
    await app.close();
    const after = app.get<StompClientProxy>('SYNC', { strict: false });
    expect(after.unwrap.bind(after)).toThrow('Not initialized');
  });

  test('StompModule.register provides a client that is closed with the application', async () => {
    const queue = named('queue');
    await serve(broker().reach, [echo(queue)]);
    @Injectable()
    class Orders {
      constructor(@Inject(StompClientProxy) readonly client: StompClientProxy) {}
    }
    const app = await started(
      moduleOf({ imports: [StompModule.register({ ...broker().reach })], providers: [Orders] }),
    );
    const { client } = app.get(Orders);
    expect(await last(client.send(queue, 1))).toEqual({ echo: 1 });
    const statuses: string[] = [];
    client.status.subscribe((status) => statuses.push(status));
    await app.close();
    expect(statuses).toEqual(['connected', 'disconnected']);
  });

  test('StompModule.registerAsync injects what its factory needs, and names tell several clients apart', async () => {
    const queue = named('queue');
    await serve(broker().reach, [echo(queue)]);
    const app = await started(
      moduleOf({
        imports: [
          StompModule.registerAsync({
            name: 'A',
            imports: [moduleOf({ providers: [{ provide: 'CONFIG', useValue: broker().reach }], exports: ['CONFIG'] })],
            inject: ['CONFIG'],
            useFactory: (config: object) => Promise.resolve({ ...config, headers: { by: 'a' } }),
          }),
          StompModule.register({ name: 'B', ...broker().reach }),
        ],
      }),
    );
    const [a, b] = ['A', 'B'].map((name) => app.get<StompClientProxy>(name, { strict: false }));
    expect(a).not.toBe(b);
    expect(await last(a!.send(queue, 'a'))).toEqual({ echo: 'a' });
    expect(await last(b!.send(queue, 'b'))).toEqual({ echo: 'b' });
  });

  test('a global client is there for all modules', async () => {
    const app = await started(
      moduleOf({
        imports: [
          StompModule.register({ isGlobal: true, ...broker().reach }),
          moduleOf({
            providers: [{ provide: 'USER', inject: [StompClientProxy], useFactory: (client: unknown) => ({ client }) }],
          }),
        ],
      }),
    );
    expect(app.get<{ client: unknown }>('USER', { strict: false }).client).toBeInstanceOf(StompClientProxy);
  });

  test('a hybrid application serves beside others, and closes the transport with itself', async () => {
    const queue = named('queue');
    const seen: string[] = [];
    @Controller()
    class Leaving {
      onApplicationShutdown() {
        seen.push('shut down');
      }
    }
    const app = await NestFactory.create(moduleOf({ controllers: [echo(queue), Leaving] }), withoutHttp(), {
      logger: new Log(),
      abortOnError: false,
    });
    const strategy = new StompStrategy({ ...broker().reach, drainSignals: [] });
    const another = new StompStrategy({ ...broker().reach, drainSignals: [] });
    strategy.status.subscribe((status) => seen.push(status));
    app.connectMicroservice({ strategy }, { inheritAppConfig: true });
    app.connectMicroservice({ strategy: another });
    await app.startAllMicroservices();
    const client = closeLater(new StompClientProxy({ ...broker().reach }));
    expect(await last(client.send(queue, 1))).toEqual({ echo: 1 });
    await app.close();
    expect(seen).toEqual(['connected', 'disconnected', 'shut down']);
  });

  test('async microservice options give the strategy what they inject', async () => {
    const queue = named('queue');
    const app = closeLater(
      await NestFactory.createMicroservice(
        moduleOf({ controllers: [echo(queue)], providers: [{ provide: 'REACH', useValue: broker().reach }] }),
        {
          inject: ['REACH'],
          useFactory: (reach: object) => ({ strategy: new StompStrategy({ ...reach, drainSignals: [] }) }),
          logger: new Log(),
          abortOnError: false,
        } as never,
      ),
    );
    await app.listen();
    const client = closeLater(new StompClientProxy({ ...broker().reach }));
    expect(await last(client.send(queue, 1))).toEqual({ echo: 1 });
  });

  test('ClientProxyFactory makes one, too', async () => {
    const queue = named('queue');
    await serve(broker().reach, [echo(queue)]);
    const client = closeLater(
      ClientProxyFactory.create({ customClass: StompClientProxy, options: { ...broker().reach } }),
    );
    expect(await last(client.send(queue, 1))).toEqual({ echo: 1 });
  });
});

/** An adapter that serves nobody: a hybrid application wants one, and these tests no platform. */
function withoutHttp(): AbstractHttpAdapter {
  const adapter = Object.create(AbstractHttpAdapter.prototype) as AbstractHttpAdapter;
  return new Proxy(adapter, {
    get: (target, name, receiver) => {
      if (name === 'then') return undefined;
      if (Reflect.has(target, name)) return Reflect.get(target, name, receiver) as unknown;
      return () => undefined;
    },
  });
}

describe('types', () => {
  test('a context and a strategy fit where Nest wants them', () => {
    const strategy: { strategy: StompStrategy } = { strategy: new StompStrategy() };
    const read = (context: StompContext): string => context.getDestination();
    expect([typeof strategy.strategy.listen, typeof read]).toEqual(['function', 'function']);
  });
});
