/*
 * What differs between brokers, in one place. A broker is recognised by the `server` header of CONNECTED.
 *
 *             our own, RabbitMQ        ActiveMQ                    Artemis
 *   replies   /temp-queue (RabbitMQ:   /temp-queue, subscribed     a queue of its own that goes with its consumer
 *             no SUBSCRIBE)
 *   prefetch  prefetch-count           activemq.prefetchSize       (octets only: left to the broker)
 *   durable   durable, auto-delete     activemq.subscriptionName   durable-subscription-name
 *   expiry    expires; RabbitMQ:       expires                     expires
 *             expiration
 *   delay     AMQ_SCHEDULED_DELAY;     AMQ_SCHEDULED_DELAY         AMQ_SCHEDULED_DELAY
 *             RabbitMQ: none
 *   selector  selector; RabbitMQ: none selector                    selector
 *   NACK      requeue; our own: delay  to the dead letters         discards the message
 *   ERROR     ends the connection      concerns one frame          ends the connection
 *
 * What a broker would pass over in silence, a delay or a selector, is refused by this transport instead.
 */
export type PeerName = 'nestjs-stomp' | 'rabbitmq' | 'activemq' | 'artemis' | 'other';

/** How a broker wants things said. */
export interface Peer {
  readonly name: PeerName;
  /** How replies come back: to a temporary queue that is subscribed to, one that is not, or a queue of our own. */
  readonly replies: 'subscribed' | 'implicit' | 'own';
  /** The header that limits unacknowledged messages. */
  readonly prefetch: string | undefined;
  /** The headers of SUBSCRIBE that make a subscription durable. */
  durable(name: string): Record<string, string>;
  /** The header that lets a message expire at that moment, in ms since 1970. */
  expiry(at: number): Record<string, string>;
  /** The header that delays a message; undefined where the broker cannot. */
  readonly delay: string | undefined;
  /** Whether subscriptions may have selectors. */
  readonly selectors: boolean;
  /** Whether a NACK may ask for a delay; where not, the NACK itself is held back. */
  readonly delaysNack: boolean;
  /** Whether the connection outlives an ERROR: which frame it is about, only its receipt tells then. */
  readonly survivesErrors: boolean;
  /** Whether a body without content-length is text, as bodies from JMS clients are. */
  readonly textWithoutLength: boolean;
}

const expires = (at: number) => ({ expires: String(at) });
const activemq = (name: string) => ({ 'activemq.subscriptionName': name });

const OURS: Peer = {
  name: 'nestjs-stomp',
  replies: 'subscribed',
  prefetch: 'prefetch-count',
  durable: (name) => ({ durable: 'true', 'auto-delete': 'false', id: name }),
  expiry: expires,
  delay: 'AMQ_SCHEDULED_DELAY',
  selectors: true,
  delaysNack: true,
  survivesErrors: false,
  textWithoutLength: false,
};

const PEERS: readonly (readonly [RegExp, Peer])[] = [
  [/^nestjs-stomp\b/i, OURS],
  [
    /^RabbitMQ\b/i,
    {
      ...OURS,
      name: 'rabbitmq',
      replies: 'implicit',
      expiry: (at) => ({ expiration: String(Math.max(0, at - Date.now())) }),
      delay: undefined,
      selectors: false,
      delaysNack: false,
    },
  ],
  [
    /^ActiveMQ-Artemis\b/i,
    {
      ...OURS,
      name: 'artemis',
      replies: 'own',
      prefetch: undefined,
      durable: (name) => ({ 'durable-subscription-name': name }),
      delaysNack: false,
      textWithoutLength: true,
    },
  ],
  [
    /^ActiveMQ\b/i,
    {
      ...OURS,
      name: 'activemq',
      prefetch: 'activemq.prefetchSize',
      durable: activemq,
      delaysNack: false,
      survivesErrors: true,
      textWithoutLength: true,
    },
  ],
];

/** The broker that calls itself so; one that hides or is unknown is taken for one that keeps to the specification. */
export function findPeer(server: string | undefined): Peer {
  return (
    PEERS.find(([pattern]) => pattern.test(server ?? ''))?.[1] ?? {
      ...OURS,
      name: 'other',
      replies: 'own',
      delaysNack: false,
    }
  );
}
