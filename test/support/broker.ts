import { afterEach } from '@jest/globals';
import { setImmediate } from 'node:timers/promises';
import { LocalEngine, MemoryStore, StompBroker, type StompBrokerOptions } from 'nestjs-stomp-broker';
import { type RawPeer } from './raw.js';
import { handshake, openPair } from './server.js';
import { type Headers, type Version } from './wire.js';

const brokers: StompBroker[] = [];

afterEach(async () => {
  await Promise.all(brokers.splice(0).map((broker) => broker.close(100)));
});

/** A broker of one test, started, and closed after it; with the local engine in memory unless told otherwise. */
export async function makeBroker(options: Partial<StompBrokerOptions> = {}): Promise<StompBroker> {
  const broker = new StompBroker({ engine: new LocalEngine(new MemoryStore()), ...options });
  brokers.push(broker);
  await broker.start();
  return broker;
}

/** A client of a broker in this process, connected. */
export async function join(broker: StompBroker, version: Version = '1.2', headers: Headers = {}): Promise<RawPeer> {
  const { peer } = openPair(broker);
  await handshake(peer, version, headers);
  return peer;
}

/** Several clients of one broker. */
export async function joinAll(broker: StompBroker, count: number): Promise<RawPeer[]> {
  return Promise.all(Array.from({ length: count }, () => join(broker)));
}

/** Makes a client go, and waits until its session is over. */
export async function leave(peer: RawPeer): Promise<void> {
  peer.end();
  await peer.closed();
}

/** Sends bodies to a destination, and waits until the broker has them all. */
export async function sendAll(
  peer: RawPeer,
  destination: string,
  bodies: readonly string[],
  headers: Headers = {},
): Promise<void> {
  for (const body of bodies.slice(0, -1)) peer.send('SEND', { destination, ...headers }, body);
  await peer.receipted('SEND', { destination, ...headers }, bodies.at(-1));
}

/** Waits until nothing has changed for many turns of the event loop: there is no other latency inside a process. */
export async function standstill(look: () => unknown): Promise<void> {
  let last = look();
  for (let turns = 0; turns < 200; turns++) {
    await setImmediate();
    const now = look();
    if (now === last) continue;
    last = now;
    turns = 0;
  }
}

/** The bodies of messages among frames. */
export function textsOf(frames: readonly { command: string; text: string }[]): string[] {
  return frames.filter(({ command }) => command === 'MESSAGE').map(({ text }) => text);
}
