import type { Frame } from '../frame/frame.js';
import type { StompError } from './error.js';
import type { Message } from './message.js';
import type { Delivery, Outcome } from './pending.js';
import type { Session } from './session.js';
import type { Subscription } from './subscription.js';

/** Called when a promise holds, or with the reason why it cannot be kept. */
export type Done = (error?: Error) => void;

/** A part of a transaction: a message to send, or what became of a delivery. */
export type Operation =
  | { readonly route: Route; readonly message: Message }
  | { readonly delivery: Delivery; readonly outcome: Outcome; readonly subscription: Subscription };

/**
 * A destination as one session may use it. The session asks the broker for it once and keeps it, so what the broker
 * decides then costs later frames nothing.
 */
export interface Route {
  /** Whether its messages hold a `login` and a `passcode` for it to read; from others these are taken out. */
  readonly takesCredentials?: boolean;
  /**
   * Takes a message.
   *
   * @param done called once, now or later, when the message is as safe as was promised; undefined when nobody asks
   */
  send(message: Message, session: Session, done: Done | undefined): void;
  /**
   * Makes a subscription. Its receipt goes out when this is done; only then is `subscription.ready` true, and
   * `subscription.onReady` called for the first time.
   *
   * @throws StompError when there is something wrong with its headers
   */
  subscribe(subscription: Subscription, done: Done): void;
  /** Ends it. What it has not acknowledged is settled by the session. */
  unsubscribe(subscription: Subscription): void;
}

/** What a session talks to: whatever turns SENDs into deliveries. */
export interface Broker {
  /**
   * A client wants to come in. It is in when this returns, or when its promise resolves.
   *
   * @throws StompError to refuse it
   */
  connect?(session: Session, frame: Frame): void | Promise<void>;
  /**
   * The first SEND or SUBSCRIBE of a session to a destination.
   *
   * @throws StompError when the session may not, or there is no such destination
   */
  route(session: Session, destination: string, action: 'send' | 'subscribe', frame: Frame): Route | Promise<Route>;
  /**
   * An UNSUBSCRIBE frame, after what it names in this session has ended. It may ask for more: the end of a durable
   * subscription.
   *
   * @param ended what it named; nothing, when no subscription of the session did
   * @returns whether it meant something to the broker; an UNSUBSCRIBE that meant nothing to anybody is refused
   */
  leave?(session: Session, frame: Frame, ended: readonly Subscription[]): boolean;
  /**
   * A transaction is complete, and can be prepared for `commit`: its session has to be held for as long as that takes
   * (`Session.waitFor`). Without this method `commit` is called at once.
   *
   * @param go to be called once, in this turn of the event loop or a later one: then `commit` is, unless there is an error,
   *   or the client has gone and the transaction with it
   */
  prepare?(operations: readonly Operation[], session: Session, go: Done): void;
  /**
   * A transaction is complete: all of it, or nothing. Without this method its parts are done one after the other, as far
   * as one that is refused.
   *
   * @throws StompError when a part is refused: then nothing was done
   */
  commit?(operations: readonly Operation[], session: Session, done: Done): void;
  /** Calls back when all that was settled so far is as safe as was promised. Without this method it is at once. */
  sync?(done: Done): void;
  /**
   * A client was refused before it could be asked about: for its address, its TLS handshake, a limit, its first frame.
   *
   * @param error why; it quotes nothing that may hold a passcode
   * @param session none where the connection did not come as far as that
   */
  turnedAway?(address: string | undefined, error: StompError, session?: Session): void;
  /** The session is over; its subscriptions have ended. */
  disconnect?(session: Session): void;
}
