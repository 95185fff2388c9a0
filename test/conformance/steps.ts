import { randomUUID } from 'node:crypto';
import { unique, type RawPeer } from '../support/raw.js';
import { type Headers, type RawFrame } from '../support/wire.js';

/** A queue that nobody else uses. */
export const queue = (): string => `/queue/conformance-${randomUUID()}`;

/** A topic that nobody else uses. */
export const topic = (): string => `/topic/conformance-${randomUUID()}`;

/**
 * Sends a message whose header lines, and whose body, are these very octets, and returns it as `receiver` gets it:
 * through a topic of its own, unless a destination is given.
 */
export async function relay(
  sender: RawPeer,
  receiver: RawPeer,
  lines: string,
  body: string | Buffer = 'body',
  destination = topic(),
): Promise<RawFrame> {
  await receiver.subscribe(destination, { id: unique('relay') });
  const head = `SEND\ndestination:${destination}\n${lines}\n`;
  sender.write(Buffer.concat([Buffer.from(head), Buffer.from(body), Buffer.of(0)]));
  return receiver.message();
}

/** A message of these octets as the connection that sends it gets it back. */
export function echo(peer: RawPeer, lines: string, body: string | Buffer = 'body'): Promise<RawFrame> {
  return relay(peer, peer, lines, body);
}

/** Sends each body as a message, and waits until the server has all of them. */
export async function publish(peer: RawPeer, destination: string, ...bodies: string[]): Promise<void> {
  for (const body of bodies) await peer.receipted('SEND', { destination }, body);
}

/** A subscription with id, ack and whatever else is needed; tells its messages as they come. */
export async function consume(
  peer: RawPeer,
  destination: string,
  count: number,
  headers: Headers = {},
): Promise<RawFrame[]> {
  await peer.subscribe(destination, headers);
  return peer.messages(count);
}

/** DISCONNECT with a receipt, and the end that the client then makes. */
export async function leave(peer: RawPeer): Promise<void> {
  await peer.receipted('DISCONNECT');
  peer.end();
  await peer.closed();
}

/** Writes the octets on a session of its own for each, and expects that each is refused: ERROR, then the end. */
export async function refuses(session: () => Promise<RawPeer>, ...frames: string[]): Promise<RawFrame[]> {
  const errors: RawFrame[] = [];
  for (const octets of frames) {
    const peer = await session();
    peer.write(octets);
    errors.push(await peer.refused());
  }
  return errors;
}
