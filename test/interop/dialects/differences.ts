import { type Dialect, type Fact } from './stage.js';

/** What our broker does on purpose in another way than the broker whose clients it serves. */
export interface Difference {
  readonly dialect: Dialect;
  /** The title of the scenario in which it is seen. */
  readonly scenario: string;
  readonly fact: string;
  readonly ours: Fact;
  readonly theirs: Fact;
  readonly reason: string;
}

const CLOSES = 'the specification demands that the connection ends after an ERROR';
const RECEIPT = 'the specification asks for the receipt of the frame that was wrong';
const FAULT = 'the specification has this for an error, which is better told than swallowed';
const TAKEN = 'there is no ERROR here';
const LENIENT = 'it has a plain meaning here, so that nothing is gained by refusing it';

type Seen = Omit<Difference, 'dialect' | 'scenario'>;

const differ = (dialect: Dialect, scenario: string, ...seen: Seen[]): Difference[] =>
  seen.map((each) => ({ dialect, scenario, ...each }));

const one = (fact: string, ours: Fact, theirs: Fact, reason: string): Seen => ({ fact, ours, theirs, reason });

/** An ERROR of both, after which the other broker goes on; RabbitMQ's ERROR names no receipt either. */
const goesOn = (dialect: Dialect, scenario: string): Difference[] =>
  differ(
    dialect,
    scenario,
    one('closed', true, false, CLOSES),
    ...(dialect === 'rabbitmq' ? [one('receipt-id', true, false, RECEIPT)] : []),
  );

/** What only we refuse. */
const refused = (dialect: Dialect, scenario: string, reason = FAULT): Difference[] =>
  differ(
    dialect,
    scenario,
    one('refused', true, false, reason),
    one('receipt-id', true, null, RECEIPT),
    one('closed', true, null, CLOSES),
  );

/** What only the other broker refuses. */
const taken = (dialect: Dialect, scenario: string, closed: boolean, reason = LENIENT): Difference[] =>
  differ(
    dialect,
    scenario,
    one('refused', false, true, reason),
    one('receipt-id', null, false, TAKEN),
    one('closed', null, closed, TAKEN),
  );

const SYNTAX = ['SEND without a destination', 'UNSUBSCRIBE of nothing', 'ACK of nothing', 'COMMIT of nothing'];

export const differences: readonly Difference[] = [
  ...[...SYNTAX, 'an unknown command', 'an ack mode that is none'].flatMap((title) => goesOn('rabbitmq', title)),
  ...differ('rabbitmq', 'the id of a subscription that stands', one('receipt-id', true, false, RECEIPT)),
  ...refused('rabbitmq', 'SUBSCRIBE without an id'),
  ...refused('rabbitmq', 'BEGIN of a transaction that is open'),
  ...refused('rabbitmq', 'a selector that is none', 'RabbitMQ has no selectors and ignores the header'),
  ...differ('rabbitmq', 'a selector chooses messages', one('first', 'eu', 'us', 'RabbitMQ has no selectors')),
  ...differ(
    'rabbitmq',
    'a publisher cannot set what the broker sets',
    one('subscription', ['mine'], ['mine', 'forged'], 'RabbitMQ passes the forged header on, behind its own'),
  ),
  ...taken(
    'rabbitmq',
    'a message-id of the publisher',
    false,
    'ActiveMQ takes it, and so do we; it is dropped, for the broker gives each message its id',
  ),
  ...differ(
    'rabbitmq',
    'ACK in client mode and other subscriptions of the session',
    one('left', ['a'], [], 'in the specification an ACK is for the messages of its subscription'),
  ),
  ...differ(
    'rabbitmq',
    'a host that nobody set up',
    one('answer', 'CONNECTED', 'ERROR', 'clients send whatever host; `--vhosts` makes the broker as strict'),
  ),
  ...taken('rabbitmq', 'a name with a slash in it', false),
  ...differ(
    'rabbitmq',
    'NACK with requeue:false and no dead letters asked for',
    one(
      'dead letters',
      ['1'],
      [],
      'what is refused is kept, in DLQ. and the name of the queue, unless a policy says no',
    ),
  ),
  ...differ(
    'rabbitmq',
    'NACK with requeue:false goes where x-dead-letter-routing-key says',
    one('dead-letter-reason', 'rejected', null, 'RabbitMQ tells AMQP clients only, by x-death'),
  ),
  ...refused(
    'rabbitmq',
    'x-overflow:reject-publish',
    'RabbitMQ documents the header and does not read it from STOMP clients; here it works',
  ),
  ...differ(
    'rabbitmq',
    'without x-max-priority',
    one('bodies', ['9', '1'], ['1', '9'], 'priorities work in each queue, without being asked for'),
  ),
  ...taken(
    'rabbitmq',
    'other arguments of a queue that is there',
    true,
    'the queue stays as it was made; a connection is not lost over it',
  ),
  ...differ(
    'rabbitmq',
    '/exchange/amq.topic is the exchange of /topic',
    one('destination', '/exchange/amq.topic/news', '/topic/news', 'a message has the destination that it was sent to'),
  ),
  ...taken('rabbitmq', 'an exchange that nobody made', true, 'exchanges with a key are topics here, made by their use'),
  ...differ(
    'rabbitmq',
    'the destination that a reply comes with',
    one('is what was replied to', true, false, 'a message has the destination that it was sent to'),
  ),
  ...taken('rabbitmq', 'SUBSCRIBE to /temp-queue/', false, 'clients of ActiveMQ subscribe to theirs'),
  ...differ(
    'rabbitmq',
    'a consumer of an exclusive queue keeps others out',
    one('refused', false, true, 'the second consumer waits for the first to leave, as with ActiveMQ'),
  ),
  ...differ(
    'rabbitmq',
    'the consumer with the higher x-priority comes first',
    one('first', 'high', 'low', 'RabbitMQ 3.10 does not read it from STOMP clients; here it works as documented'),
  ),

  ...[...SYNTAX, 'SUBSCRIBE without an id', 'BEGIN of a transaction that is open', 'a selector that is none'].flatMap(
    (title) => goesOn('activemq', title),
  ),
  ...refused('activemq', 'the id of a subscription that stands'),
  ...refused('activemq', 'an ack mode that is none'),
  ...refused('activemq', 'XPath in a selector', 'bodies are octets here, and no broker should parse XML of strangers'),
  ...differ(
    'activemq',
    'the headers that a message has from the broker',
    one('content-length', '1', null, 'a body without its length would end at its first NULL'),
    one('expires', null, '0', 'a header that says nothing costs octets'),
    one('priority', null, '4', 'a header that says nothing costs octets; selectors see 4'),
    one('redelivered', 'false', null, 'RabbitMQ and Artemis always send it'),
    one('timestamp', false, true, 'only what the publisher said is passed on'),
  ),
  ...differ(
    'activemq',
    'a version that nobody speaks',
    one('lists', true, false, 'the specification asks for the list of versions in the ERROR'),
  ),
  ...differ(
    'activemq',
    'NACK',
    one(
      'next',
      '1',
      '2',
      'a refused message comes again, ever later, before it is a dead letter; requeue:false is at once',
    ),
    one('dead letters', [], ['1'], 'it comes again, up to the delivery limit'),
  ),
  ...differ(
    'activemq',
    'NACK in client mode',
    one('dead', ['1', '2'], ['2'], 'in the specification NACK is for the same messages as ACK'),
    one('left', ['3'], ['1', '3'], 'in the specification NACK is for the same messages as ACK'),
  ),
  ...differ(
    'activemq',
    'two sessions of one client-id',
    one('answer', 'CONNECTED', 'ERROR', 'sessions share a durable subscription; a lost connection keeps nobody out'),
  ),
  ...differ(
    'activemq',
    'a selector with convert_string_expressions:',
    one('refused', false, true, 'Artemis has the prefix; strings are always converted here, with and without it'),
    one('receipt-id', null, true, TAKEN),
    one('closed', null, false, TAKEN),
  ),
  ...differ(
    'activemq',
    'a selector compares fractions in headers with whole numbers',
    one('first', 'second', 'last', 'ActiveMQ reads 12.5 as a whole number, and fails'),
  ),
  ...differ(
    'activemq',
    'NOT in a selector',
    one('bodies', ['US'], [], "ActiveMQ reads NOT a = 'b' as (NOT a) = 'b', against SQL-92"),
  ),
  ...differ(
    'activemq',
    'a message whose time is over and the dead letters',
    one('dead', [], ['stale'], 'what has expired is dropped, unless a policy or x-dead-letter-exchange asks for it'),
  ),
  ...differ(
    'activemq',
    'the more urgent message, in a queue that nobody set up',
    one('bodies', ['9', '1'], ['1', '9'], 'priorities work in each queue, without being asked for'),
  ),
  ...differ(
    'activemq',
    'a temporary queue is subscribed to, and answered by what reply-to says',
    one('reply-to', '/reply-queue', '/remote-temp-queue', 'the name is for sending to as it stands, whatever it is'),
  ),
  ...differ(
    'activemq',
    'activemq.maximumPendingMessageLimit lets a slow reader miss the oldest',
    one(
      'got',
      ['1', '5', '6'],
      ['1', '2', '3'],
      'ActiveMQ heeds it only where a policy sets a limit; here it is enough',
    ),
  ),
];
