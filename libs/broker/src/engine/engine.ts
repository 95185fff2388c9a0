import type { Done, Frame, Operation, Route, Session, Subscription } from 'nestjs-stomp/server';
import type { Address } from '../destination/name.js';
import type { Policy } from '../destination/policy.js';

/** Who owns the messages: this process, or a cluster that it is a part of. */
export interface Engine {
  /** Makes it ready; what it kept is there. */
  start(): Promise<void>;
  /** Ends it; what it promised to keep is kept. */
  stop(): Promise<void>;
  /** Destinations that are made from now on are treated so. */
  setPolicies?(policies: readonly Policy[]): void;
  /** A session has come in. */
  enter(session: Session): void;
  /**
   * The destination at that address, made if need be.
   *
   * @param frame the SEND or SUBSCRIBE that asks for it, which may say how it is to be made
   * @throws StompError when the session cannot use it so
   */
  route(session: Session, address: Address, action: 'send' | 'subscribe', frame: Frame): Route;
  /**
   * An UNSUBSCRIBE frame, after what it names in its session has ended.
   *
   * @returns whether it ended a durable subscription
   */
  leave(session: Session, frame: Frame, ended: readonly Subscription[]): boolean;
  /**
   * A transaction is to be committed: what would take long is found out before, while its session is not read.
   *
   * @param go told once, in this turn or a later one, that `commit` can be called, in the same turn, or why it cannot be
   */
  prepare?(operations: readonly Operation[], session: Session, go: Done): void;
  /**
   * Does all parts of a transaction, or none.
   *
   * @throws StompError when one is refused: then nothing was done
   */
  commit(operations: readonly Operation[], session: Session, done: Done | undefined): void;
  /** Calls back when all that was settled so far is as safe as was promised. */
  sync(done: Done): void;
  /** The session is over: what belonged to it alone goes. */
  release(session: Session): void;
}
