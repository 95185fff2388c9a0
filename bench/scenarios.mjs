// What is measured of brokers. A `figure` is what counts of a run (load.mjs); deliveries per second of the broker's CPU
// where none is named. A `floor` is the least that --check takes of a ratio to the relay.
const four = { destination: '/topic/bench.w', consumers: 4 };

export const scenarios = {
  H: { what: 'idle connection with a subscription', job: { mode: 'idle', consumers: 1000 }, figures: ['kib'] },
  A: { what: 'topic 1->1, 128 B', job: {}, floor: 0.4 },
  B: { what: 'topic 1->10, 128 B', job: { consumers: 10 }, floor: 0.4 },
  C: { what: '10 topics, 10->10', job: { consumers: 10, publishers: 10, destinations: 10 }, floor: 0.4 },
  D: { what: 'queue 1->1, client-individual', job: { ack: 'client-individual', destination: '/queue/bench' } },
  E: {
    what: 'queue, persistent, a receipt each, window 256',
    job: { ack: 'client-individual', destination: '/queue/bench', sendHeaders: ['persistent:true'], window: 256 },
    durable: true,
  },
  F: { what: 'topic 1->1, 64 KiB', job: { size: 65536 }, floor: 0.8 },
  G: { what: 'latency at 5,000/s', job: { mode: 'latency' }, figures: ['p50', 'p99', 'p999'] },
  T: { what: 'A over TLS', job: {}, tls: true, alone: true },
  P: { what: 'topic 1->4', job: four, alone: true },
  W: { what: 'topic 1->4 by a wildcard', job: { ...four, subscribeTo: '/topic/bench.*' }, alone: true },
  S: {
    what: 'topic 1->4 with a selector',
    job: { ...four, sendHeaders: ['region:EU'], subscribeHeaders: ["selector:region = 'EU'"] },
    alone: true,
  },
  Q: {
    what: 'D with prefetch-count:1000',
    job: { ack: 'client-individual', destination: '/queue/bench', subscribeHeaders: ['prefetch-count:1000'] },
    alone: true,
  },
  N: {
    what: '500 topics, 500->500',
    job: { consumers: 500, publishers: 500, destinations: 500 },
    alone: true,
  },
};

/** What the figures of a run are called, and whether less is better. */
export const figures = {
  perCpuSecond: { unit: 'deliveries/s of CPU', less: false },
  kib: { unit: 'KiB', less: true },
  p50: { unit: 'p50, µs', less: true },
  p99: { unit: 'p99, µs', less: true },
  p999: { unit: 'p99.9, µs', less: true },
};

export const figuresOf = ({ figures: names = ['perCpuSecond'] }) => names;

/** Cost over the amount of work: `job` makes one of `n`, and `work` tells how many units of it that is. */
export const curves = {
  messages: {
    of: 'messages',
    values: [100_000, 250_000, 500_000, 1_000_000, 2_000_000],
    job: (n) => ({ messages: n }),
    work: (n) => n,
    unit: 'message',
  },
  subscribers: {
    of: 'subscribers of a topic',
    values: [1, 10, 25, 50, 100],
    job: (n) => ({ consumers: n, messages: 30_000 }),
    work: (n) => n * 30_000,
    unit: 'delivery',
  },
  connections: {
    of: 'pairs of connections, 2,000 messages each',
    values: [10, 50, 100, 250, 500],
    job: (n) => ({ consumers: n, publishers: n, destinations: n, messages: 2_000 * n }),
    work: (n) => n * 2_000,
    unit: 'message',
  },
  body: {
    of: 'octets of each of 5,000 bodies',
    values: [1_024, 16_384, 65_536, 131_072, 262_144],
    job: (n) => ({ size: n, messages: 5_000 }),
    work: () => 5_000,
    unit: 'message',
  },
};
