import type { Done, Operation, Route, Session } from 'nestjs-stomp/server';
import type { Address } from '../destination/name.js';

/** Who owns the messages: this process, or a cluster that it is a part of. */
export interface Engine {
  /** Makes it ready; what it kept is there. */
  start(): Promise<void>;
  /** Ends it; what it promised to keep is kept. */
  stop(): Promise<void>;
  /**
   * The destination at that address, made if need be.
   *
   * @throws StompError when the session cannot use it so
   */
  route(session: Session, address: Address, action: 'send' | 'subscribe'): Route;
  /** Does all parts of a transaction, or none. */
  commit(operations: readonly Operation[], session: Session, done: Done): void;
  /** The session is over: what belonged to it alone goes. */
  release(session: Session): void;
}
