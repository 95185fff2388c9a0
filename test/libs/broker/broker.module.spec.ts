import { afterEach, describe, expect, it } from '@jest/globals';
import { Controller, type INestApplicationContext, Injectable, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientProxyFactory, MessagePattern, type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { connect } from 'node:net';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { firstValueFrom } from 'rxjs';
import { BrokerModule, MemoryStore, StompBroker } from 'nestjs-stomp-broker';
import { StompClient } from 'nestjs-stomp/client';
import { handshake, watch } from '../../support/server.js';
import { RawPeer } from '../../support/raw.js';
import { sendAll, textsOf } from '../../support/broker.js';

const apps: INestApplicationContext[] = [];

afterEach(async () => {
  await Promise.all(apps.splice(0).map((app) => app.close()));
});

/** An application without HTTP, of that module. */
async function startApp(module: Parameters<typeof NestFactory.createApplicationContext>[0]) {
  const app = await NestFactory.createApplicationContext(module, { logger: false, abortOnError: false });
  apps.push(app);
  return app;
}

const portOf = (broker: StompBroker) => Number(new URL(broker.urls[0]!).port);

async function enter(broker: StompBroker, login?: string, passcode?: string): Promise<RawPeer> {
  const peer = watch(await RawPeer.connect(portOf(broker)));
  await handshake(peer, '1.2', login === undefined ? {} : { login, passcode: passcode! });
  return peer;
}

async function refusalOf(broker: StompBroker, login: string, passcode: string) {
  const peer = watch(await RawPeer.connect(portOf(broker)));
  peer.send('CONNECT', { 'accept-version': '1.2', host: 'h', login, passcode });
  return peer.refused();
}

describe('BrokerModule.forRoot', () => {
  it('listens once the application has started, and tells where by StompBroker.urls', async () => {
    const app = await startApp(BrokerModule.forRoot({ port: 0 }));
    const { urls } = app.get(StompBroker);
    expect(urls).toHaveLength(1);
    expect(urls[0]).toMatch(/^stomp:\/\/127\.0\.0\.1:\d+$/);
    const client = new StompClient({ url: urls });
    await client.connect();
    await client.publish('/queue/a', 'one');
    await client.disconnect();
  });

  it('lets its broker be injected by those who import it, and by everybody where it is global', async () => {
    @Injectable()
    class Service {
      constructor(readonly broker: StompBroker) {}
    }
    @Module({ imports: [BrokerModule.forRoot({ port: 0 })], providers: [Service] })
    class Direct {}
    const direct = await startApp(Direct);
    expect(direct.get(Service).broker.urls).toHaveLength(1);

    @Module({ providers: [Service] })
    class Feature {}
    @Module({ imports: [BrokerModule.forRoot({ port: 0, isGlobal: true }), Feature] })
    class Global {}
    const global = await startApp(Global);
    expect(global.get(Service, { strict: false }).broker).toBe(global.get(StompBroker, { strict: false }));
  });

  it('lets in the users it is given, and nobody else', async () => {
    const app = await startApp(BrokerModule.forRoot({ port: 0, users: { ann: 'a:b', bob: 'secret' } }));
    const broker = app.get(StompBroker);
    await enter(broker, 'ann', 'a:b');
    await enter(broker, 'bob', 'secret');
    for (const [login, passcode] of [
      ['ann', 'secret'],
      ['ann', ''],
      ['eve', 'secret'],
      ['constructor', 'secret'],
    ] as const) {
      const error = await refusalOf(broker, login, passcode);
      expect(error.header('message')).toBe('connection refused');
      expect(error.text).toBe('the login or the passcode is wrong\n');
    }
    const peer = watch(await RawPeer.connect(portOf(broker)));
    peer.send('CONNECT', { 'accept-version': '1.2', host: 'h' });
    expect((await peer.refused()).text).toBe('a login and a passcode are required\n');
  });

  it('takes a directory of users, which may answer later', async () => {
    const users = { size: 1, verify: (login: string, passcode: string) => Promise.resolve(login === passcode) };
    const broker = (await startApp(BrokerModule.forRoot({ port: 0, users }))).get(StompBroker);
    await enter(broker, 'same', 'same');
    expect((await refusalOf(broker, 'same', 'other')).header('message')).toBe('connection refused');
  });

  it('keeps messages in a directory over the end of the application', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'module-'));
    try {
      const store = { directory, sync: 'always' as const };
      const first = await startApp(BrokerModule.forRoot({ port: 0, store }));
      const publisher = await enter(first.get(StompBroker));
      for (const body of ['one', 'two']) {
        await publisher.receipted('SEND', { destination: '/queue/a', persistent: 'true' }, body);
      }
      await publisher.receipted('SEND', { destination: '/queue/a' }, 'not persistent');
      await first.close();

      const second = await startApp(BrokerModule.forRootAsync({ useFactory: () => ({ port: 0, store }) }));
      const consumer = await enter(second.get(StompBroker));
      await consumer.subscribe('/queue/a');
      expect(await consumer.texts(2)).toEqual(['one', 'two']);
      expect(textsOf(await consumer.rest())).toEqual([]);
      await second.close();
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  it('takes a store of its own', async () => {
    class WatchedStore extends MemoryStore {
      opened = 0;
      override open() {
        this.opened++;
        return super.open();
      }
    }
    const store = new WatchedStore();
    await startApp(BrokerModule.forRoot({ port: 0, store }));
    expect(store.opened).toBe(1);
  });

  it.each(['disk', null])('says what a store is where it is given %j', async (store) => {
    const started = NestFactory.createApplicationContext(BrokerModule.forRoot({ port: 0, store: store as 'memory' }), {
      logger: false,
      abortOnError: false,
    });
    await expect(started).rejects.toThrow(
      `store is ${JSON.stringify(store)}: it is "memory", { directory } for a store on disk, or a Store`,
    );
  });

  it('fails the start of the application when the port is in use', async () => {
    const broker = (await startApp(BrokerModule.forRoot({ port: 0 }))).get(StompBroker);
    const second = NestFactory.createApplicationContext(BrokerModule.forRoot({ port: portOf(broker) }), {
      logger: false,
      abortOnError: false,
    });
    await expect(second).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });

  it('can be imported twice in one application, as two brokers', async () => {
    @Module({ imports: [BrokerModule.forRoot({ port: 0, vhosts: ['one'] })] })
    class One {
      constructor(readonly broker: StompBroker) {}
    }
    @Module({ imports: [BrokerModule.forRoot({ port: 0, vhosts: ['two'] })] })
    class Two {
      constructor(readonly broker: StompBroker) {}
    }
    @Module({ imports: [One, Two] })
    class Both {}
    const app = await startApp(Both);
    const urls = [...app.get(One).broker.urls, ...app.get(Two).broker.urls];
    expect(new Set(urls).size).toBe(2);
  });
});

describe('BrokerModule.forRootAsync', () => {
  it('takes its options from a factory with what it needs injected', async () => {
    @Injectable()
    class Settings {
      readonly users = { ann: 'secret' };
    }
    @Module({ providers: [Settings], exports: [Settings] })
    class SettingsModule {}
    const app = await startApp(
      BrokerModule.forRootAsync({
        imports: [SettingsModule],
        inject: [Settings],
        useFactory: async (settings: Settings) => Promise.resolve({ port: 0, users: settings.users }),
      }),
    );
    const broker = app.get(StompBroker);
    await enter(broker, 'ann', 'secret');
    expect((await refusalOf(broker, 'ann', 'wrong')).header('message')).toBe('connection refused');
  });
});

describe('when the application closes', () => {
  it('sessions are told with an ERROR, the port is free, and what was sent before is receipted', async () => {
    const app = await startApp(BrokerModule.forRoot({ port: 0 }));
    const broker = app.get(StompBroker);
    const peer = await enter(broker);
    await sendAll(peer, '/queue/a', ['one']);
    const port = portOf(broker);
    const closed = app.close();
    expect((await peer.refused()).header('message')).toBe('server is shutting down');
    peer.end();
    await closed;
    const socket = connect(port, '127.0.0.1');
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNREFUSED');
  });

  it('clients that do not go are cut off after shutdownTimeout', async () => {
    const app = await startApp(BrokerModule.forRoot({ port: 0, shutdownTimeout: 50 }));
    const peer = await enter(app.get(StompBroker));
    peer.pause();
    await app.close();
    expect(app.get(StompBroker).sessions.size).toBe(0);
  });
});

describe('in an application with another transport', () => {
  @Controller()
  class Other {
    @MessagePattern('SEND')
    send(data: string): string {
      return `${data} of the other transport`;
    }
  }
  @Module({ imports: [BrokerModule.forRoot({ port: 0, users: { ann: 'secret' } })], controllers: [Other] })
  class Hybrid {}

  it('neither takes the patterns of the other', async () => {
    const port = await freePort();
    const app = await NestFactory.createMicroservice<MicroserviceOptions>(Hybrid as Type, {
      transport: Transport.TCP,
      options: { host: '127.0.0.1', port },
      logger: false,
    });
    apps.push(app);
    await app.listen();
    const client = ClientProxyFactory.create({ transport: Transport.TCP, options: { host: '127.0.0.1', port } });
    expect(await firstValueFrom(client.send('SEND', 'answer'))).toBe('answer of the other transport');
    await expect(firstValueFrom(client.send('CONNECT', {}))).rejects.toBeDefined();
    await expect(firstValueFrom(client.send('SUBSCRIBE', {}))).rejects.toBeDefined();
    await client.close();

    const peer = await enter(app.get(StompBroker, { strict: false }), 'ann', 'secret');
    await peer.subscribe('/queue/a');
    await sendAll(peer, '/queue/a', ['one']);
    expect(await peer.texts(1)).toEqual(['one']);
  });
});

async function freePort(): Promise<number> {
  const app = await NestFactory.createApplicationContext(BrokerModule.forRoot({ port: 0 }), { logger: false });
  const port = portOf(app.get(StompBroker));
  await app.close();
  return port;
}
