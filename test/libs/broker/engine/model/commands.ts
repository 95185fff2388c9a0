/* What clients do at random: the kinds of commands, and mixes of them that make much of one subject. */
import fc from 'fast-check';

export interface Command {
  readonly kind: string;
  /** Numbers from which a command takes whom and what it is about. */
  readonly n: readonly number[];
}

/** A mix of commands. */
export interface Mix {
  readonly name: string;
  /** How often each kind comes. */
  readonly weights: Readonly<Record<string, number>>;
  /** Where messages go, and what is subscribed to. */
  readonly to: readonly string[];
  readonly from: readonly string[];
  /** Of how many messages, or subscriptions, one is special in that way; 0 for none. */
  readonly groups: number;
  readonly expiring: number;
  readonly delayed: number;
  readonly exclusive: number;
}

const BASE = { send: 24, ack: 12, nack: 4, reject: 2, begin: 4, commit: 3, abort: 2, subscribe: 8, unsubscribe: 4 };
const REST = { tick: 5, disconnect: 0.5, break: 0.5, restart: 1, purge: 1 };
const PLAIN = { groups: 0, expiring: 0, delayed: 0, exclusive: 0 };
const LETTERS = ['/queue/DLQ.a', '/queue/DLQ.b'];

export const MIXES: readonly Mix[] = [
  {
    name: 'everything',
    weights: { ...BASE, ...REST },
    to: [
      '/queue/a',
      '/queue/b',
      '/queue/w.1',
      '/queue/w.2',
      '/queue/a,/queue/b',
      '/queue/b,/topic/t.a',
      '/topic/t',
      '/topic/t.a',
      '/topic/VirtualTopic.v',
    ],
    from: [
      '/queue/a',
      '/queue/b',
      '/queue/a,/queue/b',
      '/queue/w.1',
      '/queue/w.*',
      ...LETTERS,
      '/topic/t',
      '/topic/t.*',
      '/topic/t.#',
      'd1',
      'd2',
      'f',
      '/queue/Consumer.A.VirtualTopic.v',
    ],
    groups: 4,
    expiring: 6,
    delayed: 8,
    exclusive: 8,
  },
  {
    name: 'refusals',
    weights: { ...BASE, ...REST, nack: 26, reject: 3, ack: 4, begin: 0, commit: 0, abort: 0, tick: 10 },
    to: ['/queue/a', '/queue/b'],
    from: ['/queue/a', '/queue/b', ...LETTERS],
    ...PLAIN,
    expiring: 6,
  },
  {
    name: 'transactions',
    weights: { ...BASE, ...REST, ack: 20, nack: 6, begin: 12, commit: 3, abort: 3, unsubscribe: 8, tick: 8 },
    to: ['/queue/a', '/queue/a,/queue/b', '/queue/a,/topic/t'],
    from: ['/queue/a', '/queue/a', '/queue/b', '/topic/t'],
    ...PLAIN,
  },
  {
    name: 'consumers',
    weights: { ...BASE, ...REST, send: 30, begin: 0, commit: 0, abort: 0, subscribe: 12, unsubscribe: 6 },
    to: ['/queue/a', '/queue/w.1', '/queue/w.2'],
    from: ['/queue/a', '/queue/a', '/queue/a,/queue/w.1', '/queue/w.*'],
    ...PLAIN,
    groups: 2,
    exclusive: 5,
  },
  {
    name: 'topics',
    weights: { ...BASE, ...REST, send: 30, subscribe: 14, unsubscribe: 8, tick: 4, purge: 4 },
    to: ['/topic/t', '/topic/t.a', '/topic/t.b', '/topic/t.a.x', '/topic/t,/queue/a', '/topic/VirtualTopic.v'],
    from: [
      '/topic/t',
      '/topic/t.*',
      '/topic/t.#',
      '/topic/t.a',
      'd1',
      'd2',
      'd1',
      '/queue/DLQ.d1',
      'f',
      '/queue/Consumer.A.VirtualTopic.v',
    ],
    ...PLAIN,
    expiring: 5,
    delayed: 12,
  },
  {
    name: 'time',
    weights: { ...BASE, ...REST, tick: 14, begin: 2, commit: 2, abort: 1 },
    to: ['/queue/a', '/queue/b', '/topic/t'],
    from: ['/queue/a', '/queue/b', '/topic/t', 'd1', ...LETTERS],
    ...PLAIN,
    expiring: 2,
    delayed: 3,
  },
];

/** @param most the longest list */
export function commandsOf({ weights }: Mix, most: number): fc.Arbitrary<Command[]> {
  const kinds = Object.entries(weights).filter(([, weight]) => weight > 0);
  const command = fc.record({
    kind: fc.oneof(...kinds.map(([kind, weight]) => ({ weight: weight * 2, arbitrary: fc.constant(kind) }))),
    n: fc.array(fc.nat(9_999), { minLength: 12, maxLength: 12 }),
  });
  return fc.array(command, { minLength: 1, maxLength: most, size: 'max' });
}

const does = (kind: string, ...n: number[]): Command => ({
  kind,
  n: Array.from({ length: 12 }, (_, at) => n[at] ?? 0),
});
const SEND = does('send');
// From the first queue, each message acknowledged by itself, four at a time.
const SUBSCRIBE = does('subscribe', 0, 0, 0, 2, 3);
const BEGIN = does('begin');
const TICK = does('tick', 0, 1);

/** What chance might leave out of a short run, of the mix of that name. */
export const SCENARIOS: readonly { readonly mix: string; readonly list: readonly Command[] }[] = [
  // Acknowledged in a transaction that outlives its subscription, and is aborted.
  {
    mix: 'transactions',
    list: [
      SEND,
      SUBSCRIBE,
      BEGIN,
      does('ack', 0, 1),
      does('unsubscribe'),
      TICK,
      does('abort'),
      does('subscribe', 1, 0, 0, 2, 3),
    ],
  },
  // The same, but its connection breaks.
  { mix: 'transactions', list: [SEND, SUBSCRIBE, BEGIN, does('ack', 0, 1), does('unsubscribe'), TICK, does('break')] },
  // Acknowledged and sent in one transaction, and again after an abort.
  {
    mix: 'transactions',
    list: [SEND, SUBSCRIBE, BEGIN, does('ack', 0, 1), does('send', 0, 1), does('abort'), does('ack')],
  },
  // Refused at once until it is a dead letter.
  { mix: 'refusals', list: [SEND, SUBSCRIBE, ...Array.from({ length: 3 }, () => does('nack', 0, 0, 0, 0, 1))] },
  // Refused for a time in which nobody uses the queue.
  { mix: 'refusals', list: [SEND, SUBSCRIBE, does('nack', 0, 0, 0, 0, 3), does('unsubscribe'), TICK, TICK] },
  // Given back, handed to another, and only then acknowledged by the first.
  {
    mix: 'transactions',
    list: [SEND, SUBSCRIBE, does('unsubscribe'), TICK, does('subscribe', 1, 0, 0, 2, 3), does('ack')],
  },
  // A queue that a topic feeds, by x-queue-name and by its name, is empty and unused for a long time.
  ...[
    [8, 0],
    [9, 5],
  ].map(([from, to]) => ({
    mix: 'topics',
    list: [
      does('subscribe', 0, 0, from!, 2, 3),
      does('unsubscribe'),
      does('tick', 0, 7),
      does('send', 0, 0, to!, 0, 0, 1, 1, 0, 0, 1),
    ],
  })),
  // A queue that is made after those who take what comes to all of its pattern.
  { mix: 'consumers', list: [does('subscribe', 0, 0, 3, 2, 3), does('send', 0, 0, 1)] },
];
