import type { Frame } from '../frame/frame.js';
import { Known } from '../frame/names.js';
import type { Route } from './broker.js';

/** How many routes a session keeps; beyond that all are asked for again. */
const MOST = 1_000;
/** The same in characters that it takes to say them: lists lead to many destinations each. */
const CHARACTERS = 64 * 1024;
/** Nor is one kept that takes more characters to say. */
const LONGEST = 8_192;

export type Action = 'send' | 'subscribe';

/** What of a SEND says where it goes. */
const ADDRESS = Known.destination | Known.destinationType;

/** Headers of a SUBSCRIBE that say nothing of what is subscribed to. */
const OWN: ReadonlySet<string> = new Set(['id', 'ack', 'receipt']);
/** The same of one that is to be durable: RabbitMQ's are known by their ids. */
const OWN_OF_DURABLE: ReadonlySet<string> = new Set(['ack', 'receipt']);

/**
 * What a route is kept under: of a SEND its destination, and Artemis' `destination-type` where there is one. A SUBSCRIBE
 * may name more than its destination, each broker has headers of its own for that: so all of them count.
 */
export function keyOf(action: Action, { headers }: Pick<Frame, 'headers'>): string {
  const destination = headers.get('destination')!;
  if (action === 'subscribe') {
    // Names and values may hold any character, so none of them can part them.
    const own = headers.has('durable') || headers.has('persistent') ? OWN_OF_DURABLE : OWN;
    return JSON.stringify([...headers].filter(([name]) => !own.has(name)));
  }
  const type = headers.get('destination-type');
  return type === undefined ? destination : JSON.stringify([destination, type]);
}

/**
 * The destinations that a session was granted, each with the route that it got. The one it sent to last is found by
 * its bytes alone: most sessions send to one destination.
 */
export class Routes {
  // Made when there is something in it: most sessions either send or subscribe.
  private readonly granted: Record<Action, Map<string, Route> | undefined> = { send: undefined, subscribe: undefined };
  private readonly characters: Record<Action, number> = { send: 0, subscribe: 0 };
  private lastAddress: object | undefined;
  private lastBytes: Buffer | undefined;
  private lastRoute: Route | undefined;
  /** The destination of the last SEND. */
  last = '';
  /** Grows whenever the grants are dropped. */
  epoch = 0;

  /** The route of a SEND frame, where it is known. */
  ofSend(frame: Frame): Route | undefined {
    const wire = frame.wire;
    const address = wire?.address;
    if (address !== undefined && address === this.lastAddress && this.lastRoute !== undefined) return this.lastRoute;
    this.lastAddress = undefined;
    if (wire === undefined || !wire.plain || (wire.known & ADDRESS) !== Known.destination) {
      const destination = frame.headers.get('destination');
      if (destination === undefined) return undefined;
      this.last = destination;
      this.lastBytes = this.lastRoute = undefined;
      return this.granted.send?.get(keyOf('send', frame));
    }
    this.lastAddress = address;
    const { bytes, destinationStart: start, destinationEnd: end } = wire;
    const last = this.lastBytes;
    const size = end - start;
    if (last !== undefined && last.length === size) {
      let i = 0;
      while (i < size && bytes[start + i] === last[i]) i++;
      if (i === size && this.lastRoute !== undefined) return this.lastRoute;
    }
    this.last = bytes.toString('utf8', start, end);
    this.lastBytes = Buffer.from(bytes.subarray(start, end));
    this.lastRoute = this.granted.send?.get(this.last);
    return this.lastRoute;
  }

  /** @param key see {@link keyOf} */
  get(action: Action, key: string): Route | undefined {
    return this.granted[action]?.get(key);
  }

  keep(action: Action, key: string, route: Route): void {
    const routes = (this.granted[action] ??= new Map<string, Route>());
    if (key.length > LONGEST || routes.get(key) === route) return;
    if (routes.size >= MOST || this.characters[action] + key.length > CHARACTERS) {
      routes.clear();
      this.characters[action] = 0;
    }
    this.characters[action] += key.length;
    routes.set(key, route);
  }

  clear(): void {
    this.epoch++;
    this.granted.send = this.granted.subscribe = undefined;
    this.characters.send = this.characters.subscribe = 0;
    this.lastBytes = this.lastRoute = undefined;
  }
}
