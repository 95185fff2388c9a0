import { afterEach, expect } from '@jest/globals';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { BrokerModule, type BrokerModuleExtras, type BrokerOptions, StompBroker } from 'nestjs-stomp-broker';
import { RawPeer } from './raw.js';
import { handshake, watch } from './server.js';
import { type Headers, type RawFrame } from './wire.js';

type App = Awaited<ReturnType<typeof NestFactory.createApplicationContext>>;
const apps: App[] = [];

afterEach(async () => {
  await Promise.all(apps.splice(0).map((app) => app.close()));
});

/** A broker inside a Nest application of one test, listening on a free port of loopback. */
export class Embedded {
  private constructor(
    readonly app: App,
    readonly broker: StompBroker,
  ) {}

  static async start(options: BrokerOptions & BrokerModuleExtras = {}): Promise<Embedded> {
    @Module({ imports: [BrokerModule.forRoot({ port: 0, shutdownTimeout: 100, ...options })] })
    class Application {}
    const app = await NestFactory.createApplicationContext(Application, { logger: false, abortOnError: false });
    apps.push(app);
    return new Embedded(app, app.get(StompBroker, { strict: false }));
  }

  /** A connection on which nothing was said yet. */
  async open(): Promise<RawPeer> {
    return watch(await RawPeer.connect(Number(new URL(this.broker.urls[0]!).port)));
  }

  async connect(headers: Headers = {}): Promise<RawPeer> {
    const peer = await this.open();
    await handshake(peer, '1.2', headers);
    return peer;
  }

  /** The ERROR that a CONNECT with these headers gets. */
  async refusal(headers: Headers = {}): Promise<RawFrame> {
    const peer = await this.open();
    peer.send('CONNECT', { 'accept-version': '1.2', host: 'h', ...headers });
    const error = await peer.refused();
    expect(peer.received.toString()).not.toContain('CONNECTED');
    peer.end();
    return error;
  }
}
