import type { Frame } from '../frame/frame.js';
import { Known } from '../frame/names.js';
import type { Route } from './broker.js';

/** How many routes a session keeps; beyond that all are asked for again. */
const MOST = 1_000;

export type Action = 'send' | 'subscribe';

/**
 * The destinations that a session was granted, each with the route that it got. The one it sent to last is found by
 * its bytes alone: most sessions send to one destination.
 */
export class Routes {
  // Made when there is something in it: most sessions either send or subscribe.
  private readonly granted: Record<Action, Map<string, Route> | undefined> = { send: undefined, subscribe: undefined };
  private lastBytes: Buffer | undefined;
  private lastRoute: Route | undefined;
  /** The destination of the last SEND. */
  last = '';
  /** Grows whenever the grants are dropped. */
  epoch = 0;

  /** The route of a SEND frame, where it is known. */
  ofSend(frame: Frame): Route | undefined {
    const wire = frame.wire;
    if (wire === undefined || !wire.plain || (wire.known & Known.destination) === 0) {
      const destination = frame.headers.get('destination');
      if (destination === undefined) return undefined;
      this.last = destination;
      this.lastBytes = this.lastRoute = undefined;
      return this.granted.send?.get(destination);
    }
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

  get(action: Action, destination: string): Route | undefined {
    return this.granted[action]?.get(destination);
  }

  keep(action: Action, destination: string, route: Route): void {
    const routes = (this.granted[action] ??= new Map<string, Route>());
    if (routes.size >= MOST) routes.clear();
    routes.set(destination, route);
  }

  clear(): void {
    this.epoch++;
    this.granted.send = this.granted.subscribe = undefined;
    this.lastBytes = this.lastRoute = undefined;
  }
}
