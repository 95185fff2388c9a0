import { scenario, type Stage, texts } from './stage.js';

/** What clients of ActiveMQ do. */
export const activemq = [
  scenario('activemq', 'NACK', async (stage) => {
    const name = stage.name('orders');
    const queue = `/queue/${name}`;
    const peer = await stage.connect();
    await stage.sendAll(peer, queue, ['1', '2']);
    await peer.subscribe(queue, { ack: 'client-individual', 'activemq.prefetchSize': '1' });
    await peer.receipted('NACK', peer.reference(await peer.message()));
    const next = await peer.message();
    await stage.leave(peer);
    return { next: next.text, 'dead letters': texts(await stage.drain(`/queue/DLQ.${name}`)) };
  }),

  scenario('activemq', 'NACK with requeue:false goes to the dead letters', async (stage) => {
    const name = stage.name('orders');
    const peer = await stage.connect();
    const graveyard = await stage.connect();
    await graveyard.subscribe(`/queue/DLQ.${name}`);
    await peer.subscribe(`/queue/${name}`, { ack: 'client-individual' });
    await peer.receipted('SEND', { destination: `/queue/${name}`, shop: 'Bern' }, 'a');
    await peer.receipted('NACK', { ...peer.reference(await peer.message()), requeue: 'false' });
    const letter = await graveyard.message();
    return {
      body: letter.text,
      destination: letter.header('destination'),
      shop: letter.header('shop'),
      'original-destination': letter.header('original-destination'),
    };
  }),

  scenario('activemq', 'NACK in client mode', async (stage) => {
    const name = stage.name('orders');
    const peer = await stage.connect();
    await stage.sendAll(peer, `/queue/${name}`, ['1', '2', '3']);
    await peer.subscribe(`/queue/${name}`, { ack: 'client' });
    const [, second] = await peer.messages(3);
    await peer.receipted('NACK', { ...peer.reference(second!), requeue: 'false' });
    await stage.leave(peer);
    return {
      dead: texts(await stage.drain(`/queue/DLQ.${name}`)),
      left: texts(await stage.drain(`/queue/${name}`)),
    };
  }),

  scenario('activemq', 'a durable subscription of a client-id gets what came while it was away', async (stage) => {
    const topic = `/topic/${stage.name('news')}`;
    const client = { 'client-id': stage.name('client') };
    const durable = { destination: topic, id: '1', 'activemq.subscriptionName': 'reader' };
    const reader = await stage.connect(client);
    await reader.receipted('SUBSCRIBE', durable);
    await stage.leave(reader);
    const peer = await stage.connect();
    await peer.receipted('SEND', { destination: topic }, 'a');
    const again = await stage.connect(client);
    await again.receipted('SUBSCRIBE', durable);
    const message = await again.message();
    return {
      body: message.text,
      subscription: message.header('subscription'),
      destination: message.header('destination'),
    };
  }),

  scenario('activemq', 'UNSUBSCRIBE with the name deletes a durable subscription', async (stage) => {
    const topic = `/topic/${stage.name('news')}`;
    const durable = { destination: topic, id: '1', 'activemq.subscriptionName': 'reader' };
    const peer = await stage.connect({ 'client-id': stage.name('client') });
    await peer.receipted('SUBSCRIBE', durable);
    await peer.receipted('UNSUBSCRIBE', { id: '1' });
    await peer.receipted('UNSUBSCRIBE', { id: '1', 'activemq.subscriptionName': 'reader' });
    await peer.receipted('SEND', { destination: topic }, 'early');
    await peer.receipted('SUBSCRIBE', durable);
    await peer.receipted('SEND', { destination: topic }, 'late');
    return { first: (await peer.message()).text };
  }),

  scenario('activemq', 'UNSUBSCRIBE without the name keeps a durable subscription', async (stage) => {
    const topic = `/topic/${stage.name('news')}`;
    const durable = { destination: topic, id: '1', 'activemq.subscriptionName': 'reader' };
    const peer = await stage.connect({ 'client-id': stage.name('client') });
    await peer.receipted('SUBSCRIBE', durable);
    await peer.receipted('UNSUBSCRIBE', { id: '1' });
    await peer.receipted('SEND', { destination: topic }, 'early');
    await peer.receipted('SUBSCRIBE', durable);
    await peer.receipted('SEND', { destination: topic }, 'late');
    return { first: (await peer.message()).text };
  }),

  scenario('activemq', 'durable subscriptions of the same name and other client-ids are two', async (stage) => {
    const topic = `/topic/${stage.name('news')}`;
    const durable = { destination: topic, id: '1', 'activemq.subscriptionName': 'reader' };
    const readers = await Promise.all(['one', 'two'].map((name) => stage.connect({ 'client-id': stage.name(name) })));
    for (const reader of readers) await reader.receipted('SUBSCRIBE', durable);
    await readers[0]!.receipted('SEND', { destination: topic }, 'a');
    return { each: (await Promise.all(readers.map((reader) => reader.texts(1)))).flat() };
  }),

  scenario('activemq', 'another selector makes a durable subscription anew', async (stage) => {
    const topic = `/topic/${stage.name('news')}`;
    const client = { 'client-id': stage.name('client') };
    const durable = { destination: topic, id: '1', 'activemq.subscriptionName': 'reader' };
    const reader = await stage.connect(client);
    await reader.receipted('SUBSCRIBE', { ...durable, selector: "region = 'EU'" });
    await reader.receipted('UNSUBSCRIBE', { id: '1' });
    await reader.receipted('SEND', { destination: topic, region: 'EU' }, 'early');
    await reader.receipted('SUBSCRIBE', { ...durable, selector: "region = 'US'" });
    for (const region of ['EU', 'US']) await reader.receipted('SEND', { destination: topic, region }, region);
    return { first: (await reader.message()).text };
  }),

  scenario('activemq', 'two sessions of one client-id', async (stage) => {
    const client = { 'client-id': stage.name('client') };
    await stage.connect(client);
    const second = await stage.open();
    const answer = await stage.login(second, client).then(
      ({ command }) => command,
      () => 'ERROR',
    );
    return { answer };
  }),

  scenario('activemq', 'a browser sees what waits, takes nothing, and is told the end', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    await stage.sendAll(peer, queue, ['1', '2']);
    const browser = await stage.connect();
    await browser.subscribe(queue, { browser: 'true', id: 'b' });
    const [first, second, end] = await browser.messages(3);
    return {
      bodies: texts([first!, second!]),
      end: end!.header('browser'),
      subscription: end!.header('subscription'),
      destination: end!.header('destination'),
      left: texts(await stage.drain(queue)),
    };
  }),

  scenario('activemq', 'a list of destinations is sent to each', async (stage) => {
    const [queue, topic] = [`/queue/${stage.name('orders')}`, `/topic/${stage.name('news')}`];
    const peer = await stage.connect();
    await peer.subscribe(topic);
    await peer.receipted('SEND', { destination: `${queue},${topic}` }, 'a');
    const message = await peer.message();
    const waiting = await stage.drain(queue);
    return {
      topic: message.text,
      queue: texts(waiting),
      destinations: [message.header('destination') ?? null, waiting[0]?.header('destination') ?? null],
    };
  }),

  scenario('activemq', 'a list of destinations is subscribed to as one', async (stage) => {
    const [a, b] = [`/queue/${stage.name('a')}`, `/queue/${stage.name('b')}`];
    const peer = await stage.connect();
    // No receipt: with one, ActiveMQ gives such subscriptions no credit.
    peer.send('SUBSCRIBE', { destination: `${a},${b}`, id: '1' });
    await peer.receipted('SEND', { destination: a }, 'a');
    const first = await peer.texts(1);
    await peer.receipted('SEND', { destination: b }, 'b');
    return { bodies: [...first, ...(await peer.texts(1))] };
  }),

  scenario('activemq', 'a virtual topic feeds the queue of each of its consumers', async (stage) => {
    const topic = `VirtualTopic.${stage.name('orders')}`;
    const peer = await stage.connect();
    const readers = await Promise.all([stage.connect(), stage.connect()]);
    await readers[0].subscribe(`/queue/Consumer.A.${topic}`);
    await readers[1].subscribe(`/queue/Consumer.B.${topic}`);
    await peer.receipted('SEND', { destination: `/topic/${topic}` }, 'a');
    const [a, b] = await Promise.all(readers.map((reader) => reader.message()));
    return {
      bodies: texts([a!, b!]),
      destination: a!.header('destination'),
      'original-destination': a!.header('original-destination'),
    };
  }),

  scenario('activemq', 'the queue of a virtual topic keeps messages while its consumer is away', async (stage) => {
    const topic = `VirtualTopic.${stage.name('orders')}`;
    const queue = `/queue/Consumer.A.${topic}`;
    const reader = await stage.connect();
    await reader.subscribe(queue);
    await stage.leave(reader);
    const peer = await stage.connect();
    await peer.receipted('SEND', { destination: `/topic/${topic}` }, 'a');
    return { left: texts(await stage.drain(queue)) };
  }),

  scenario('activemq', 'consumers of one queue of a virtual topic share, and each queue has all', async (stage) => {
    const topic = `VirtualTopic.${stage.name('orders')}`;
    const one = { ack: 'client-individual', 'activemq.prefetchSize': '1' };
    const [first, second, other] = await Promise.all([stage.connect(), stage.connect(), stage.connect()]);
    for (const reader of [first, second]) await reader.subscribe(`/queue/Consumer.A.${topic}`, one);
    await other.subscribe(`/queue/Consumer.B.${topic}`);
    await stage.sendAll(await stage.connect(), `/topic/${topic}`, ['1', '2']);
    const shared = [...(await first.texts(1)), ...(await second.texts(1))];
    return { shared: shared.sort(), all: await other.texts(2) };
  }),

  scenario('activemq', 'a virtual topic is a topic for who subscribes to it', async (stage) => {
    const topic = `VirtualTopic.${stage.name('orders')}`;
    const reader = await stage.connect();
    await reader.subscribe(`/topic/${topic}`, { id: 'topic' });
    await reader.subscribe(`/queue/Consumer.A.${topic}`, { id: 'queue' });
    await reader.receipted('SEND', { destination: `/topic/${topic}` }, 'a');
    const got = await reader.messages(2);
    return { subscriptions: got.map((message) => message.header('subscription') ?? null).sort() };
  }),

  scenario('activemq', 'a queue of a virtual topic collects from its first SEND on', async (stage) => {
    const topic = `VirtualTopic.${stage.name('orders')}`;
    const queue = `/queue/Consumer.A.${topic}`;
    const peer = await stage.connect();
    await peer.receipted('SEND', { destination: `/topic/${topic}` }, 'before');
    await peer.receipted('SEND', { destination: queue }, 'directly');
    await peer.receipted('SEND', { destination: `/topic/${topic}` }, 'after');
    return { left: texts(await stage.drain(queue)) };
  }),

  scenario('activemq', 'a list of destinations in a transaction', async (stage) => {
    const [a, b] = [`/queue/${stage.name('a')}`, `/queue/${stage.name('b')}`];
    const peer = await stage.connect();
    for (const [transaction, end] of [
      ['aborted', 'ABORT'],
      ['committed', 'COMMIT'],
    ] as const) {
      await peer.receipted('BEGIN', { transaction });
      peer.send('SEND', { destination: `${a},${b}`, transaction }, transaction);
      await peer.receipted('SEND', { destination: a }, `before ${end}`);
      await peer.receipted(end, { transaction });
    }
    return { a: texts(await stage.drain(a)), b: texts(await stage.drain(b)) };
  }),

  scenario(
    'activemq',
    'a wildcard of queues has its share beside a name, and what it acknowledges is gone',
    async (stage) => {
      const root = stage.name('orders');
      const one = { ack: 'client-individual', 'activemq.prefetchSize': '1' };
      const [wild, plain, sender] = await Promise.all([stage.connect(), stage.connect(), stage.connect()]);
      await stage.sendAll(sender, `/queue/${root}.a`, ['1', '2']);
      // No receipt: with one, ActiveMQ gives such subscriptions no credit.
      wild.send('SUBSCRIBE', { destination: `/queue/${root}.>`, id: 'w', ...one });
      const first = await wild.message();
      await plain.subscribe(`/queue/${root}.a`, one);
      const second = await plain.message();
      await wild.receipted('ACK', wild.reference(first));
      await stage.leave(wild);
      await stage.leave(plain);
      return { bodies: texts([first, second]), left: texts(await stage.drain(`/queue/${root}.a`)) };
    },
  ),

  scenario('activemq', 'a greater-than sign stands for the rest of a topic', async (stage) => {
    const root = stage.name('news');
    const peer = await stage.connect();
    await peer.subscribe(`/topic/${root}.>`);
    for (const rest of ['', '.de', '.de.sport']) {
      await peer.receipted('SEND', { destination: `/topic/${root}${rest}` }, `body${rest}`);
    }
    return { bodies: await peer.texts(3) };
  }),

  scenario('activemq', 'queues may be subscribed to by wildcards', async (stage) => {
    const root = stage.name('orders');
    const peer = await stage.connect();
    await peer.receipted('SEND', { destination: `/queue/${root}.de` }, 'early');
    // No receipt: with one, ActiveMQ gives such subscriptions no credit.
    peer.send('SUBSCRIBE', { destination: `/queue/${root}.*`, id: '1' });
    const first = await peer.message();
    await peer.receipted('SEND', { destination: `/queue/${root}.fr` }, 'late');
    const second = await peer.message();
    return {
      bodies: texts([first, second]),
      destinations: [first.header('destination') ?? null, second.header('destination') ?? null],
    };
  }),

  scenario('activemq', 'a selector compares numbers in headers', async (stage) =>
    select(stage, 'total > 100', { total: '99' }, { total: '1000' }),
  ),

  scenario('activemq', 'a selector with convert_string_expressions:', async (stage) => {
    return stage.complain(await stage.connect(), 'SUBSCRIBE', {
      destination: `/queue/${stage.name('orders')}`,
      id: '1',
      selector: 'convert_string_expressions:total > 100',
    });
  }),

  scenario('activemq', 'a selector compares fractions in headers with whole numbers', async (stage) => {
    return select(stage, 'total > 10', { total: '9.5' }, { total: '12.5' });
  }),

  scenario('activemq', 'a selector with IN, LIKE, BETWEEN and IS NULL', async (stage) => {
    const selector = "region IN ('EU', 'UK') AND name LIKE 'a%' AND other IS NULL";
    return select(stage, selector, { region: 'EU', name: 'abc', other: '1' }, { region: 'UK', name: 'abc' });
  }),

  scenario('activemq', 'NOT in a selector', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    for (const region of ['EU', 'US']) await peer.receipted('SEND', { destination: queue, region }, region);
    await peer.subscribe(queue, { selector: "NOT region = 'EU'" });
    const came = (await peer.rest()).filter(({ command }) => command === 'MESSAGE');
    return { bodies: texts(came) };
  }),

  scenario('activemq', 'a selector that asks for JMSType, JMSPriority and JMSCorrelationID', async (stage) => {
    const selector = "JMSType = 'order' AND JMSPriority > 5 AND JMSCorrelationID = 'c'";
    const good = { type: 'order', 'correlation-id': 'c' };
    return select(stage, selector, { ...good, priority: '5' }, { ...good, priority: '7' });
  }),

  scenario('activemq', 'XPath in a selector', async (stage) => {
    return stage.complain(await stage.connect(), 'SUBSCRIBE', {
      destination: `/queue/${stage.name('orders')}`,
      id: '1',
      selector: "XPATH '//a'",
    });
  }),

  scenario('activemq', 'the messages of a group go to one consumer', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const readers = await Promise.all([stage.connect(), stage.connect()]);
    for (const reader of readers) await reader.subscribe(queue);
    const peer = await stage.connect();
    for (const body of ['1', '2', '3']) await peer.receipted('SEND', { destination: queue, JMSXGroupID: 'g' }, body);
    const whose = await Promise.any(readers.map((reader) => reader.texts(3)));
    return { whose };
  }),

  scenario('activemq', 'an exclusive consumer has all, and the next one when it goes', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const [one, two] = await Promise.all([stage.connect(), stage.connect()]);
    await one.subscribe(queue, { 'activemq.exclusive': 'true' });
    await two.subscribe(queue, { 'activemq.exclusive': 'true' });
    const peer = await stage.connect();
    await stage.sendAll(peer, queue, ['1', '2', '3']);
    const first = await one.texts(3);
    await stage.leave(one);
    await stage.sendAll(peer, queue, ['4']);
    return { first, next: await two.texts(1) };
  }),

  scenario('activemq', 'the consumer with the higher activemq.priority comes first', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const [low, high] = await Promise.all([stage.connect(), stage.connect()]);
    await low.subscribe(queue, { 'activemq.priority': '1' });
    await high.subscribe(queue, { 'activemq.priority': '5' });
    await stage.sendAll(await stage.connect(), queue, ['1', '2']);
    return { high: await high.texts(2) };
  }),

  scenario('activemq', 'activemq.noLocal spares a subscription what its own session sends', async (stage) => {
    const topic = `/topic/${stage.name('news')}`;
    const [one, two] = await Promise.all([stage.connect(), stage.connect()]);
    await one.subscribe(topic, { 'activemq.noLocal': 'true' });
    await one.receipted('SEND', { destination: topic }, 'mine');
    await two.receipted('SEND', { destination: topic }, 'yours');
    return { first: (await one.message()).text };
  }),

  scenario('activemq', 'activemq.retroactive', async (stage) => {
    const topic = `/topic/${stage.name('news')}`;
    const peer = await stage.connect();
    await peer.receipted('SEND', { destination: topic }, 'early');
    await peer.subscribe(topic, { 'activemq.retroactive': 'true' });
    await peer.receipted('SEND', { destination: topic }, 'late');
    return { first: (await peer.message()).text };
  }),

  scenario('activemq', 'activemq.maximumPendingMessageLimit lets a slow reader miss the oldest', async (stage) => {
    const topic = `/topic/${stage.name('news')}`;
    const [reader, peer] = await Promise.all([stage.connect(), stage.connect()]);
    await reader.subscribe(topic, {
      ack: 'client-individual',
      'activemq.prefetchSize': '1',
      'activemq.maximumPendingMessageLimit': '2',
    });
    await stage.sendAll(peer, topic, ['1', '2', '3', '4', '5', '6']);
    const got: string[] = [];
    while (got.length < 3) {
      const message = await reader.message();
      got.push(message.text);
      await reader.receipted('ACK', reader.reference(message));
    }
    return { got };
  }),

  scenario('activemq', 'other headers of ActiveMQ on SUBSCRIBE', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    const others = {
      'activemq.dispatchAsync': 'true',
      'activemq.networkSubscription': 'false',
      'activemq.unknown': 'x',
    };
    await peer.subscribe(queue, others);
    await peer.receipted('SEND', { destination: queue }, 'a');
    return { bodies: await peer.texts(1) };
  }),

  scenario('activemq', 'AMQ_SCHEDULED_DELAY delivers later', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    await peer.subscribe(queue);
    await peer.receipted('SEND', { destination: queue, AMQ_SCHEDULED_DELAY: '1500' }, 'later');
    await peer.receipted('SEND', { destination: queue }, 'now');
    const got = await peer.messages(2);
    return { bodies: texts(got), header: got[1]!.header('AMQ_SCHEDULED_DELAY') };
  }),

  scenario('activemq', 'AMQ_SCHEDULED_PERIOD and _REPEAT deliver again and again', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    await peer.subscribe(queue);
    const times = { AMQ_SCHEDULED_DELAY: '50', AMQ_SCHEDULED_PERIOD: '50', AMQ_SCHEDULED_REPEAT: '2' };
    await peer.receipted('SEND', { destination: queue, ...times }, 'a');
    const got = await peer.messages(3);
    return { bodies: texts(got), ids: new Set(got.map((message) => message.header('message-id'))).size };
  }),

  scenario('activemq', 'a message whose time is over is not delivered', async (stage) => {
    const name = stage.name('orders');
    const peer = await stage.connect();
    await peer.receipted('SEND', { destination: `/queue/${name}`, expires: '1000' }, 'stale');
    await peer.receipted('SEND', { destination: `/queue/${name}`, expires: '0' }, 'fresh');
    return { left: texts(await stage.drain(`/queue/${name}`)) };
  }),

  scenario('activemq', 'a message whose time is over and the dead letters', async (stage) => {
    const name = stage.name('orders');
    const peer = await stage.connect();
    await peer.receipted('SEND', { destination: `/queue/${name}`, expires: '1000' }, 'stale');
    await stage.drain(`/queue/${name}`);
    return { dead: texts(await stage.drain(`/queue/DLQ.${name}`)) };
  }),

  scenario('activemq', 'the more urgent message, in a queue that nobody set up', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    for (const priority of ['1', '9']) await peer.receipted('SEND', { destination: queue, priority }, priority);
    const got = await stage.drain(queue);
    return { bodies: texts(got), priority: got.find(({ text }) => text === '9')!.header('priority') };
  }),

  scenario('activemq', 'persistent, expires and priority come through', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const expires = '4102444800000';
    const peer = await stage.connect();
    await peer.receipted('SEND', { destination: queue, persistent: 'true', expires, priority: '7' }, 'a');
    const [message] = await stage.drain(queue);
    return Object.fromEntries(['persistent', 'expires', 'priority'].map((name) => [name, message!.header(name)]));
  }),

  scenario('activemq', 'a temporary queue is subscribed to, and answered by what reply-to says', async (stage) => {
    const queue = `/queue/${stage.name('requests')}`;
    const [asker, server] = await Promise.all([stage.connect(), stage.connect()]);
    await server.subscribe(queue);
    await asker.subscribe('/temp-queue/answers', { id: 'mine' });
    await asker.receipted('SEND', { destination: queue, 'reply-to': '/temp-queue/answers' }, 'question');
    const request = await server.message();
    const replyTo = request.header('reply-to')!;
    await server.receipted('SEND', { destination: replyTo }, 'answer');
    const reply = await asker.message();
    return {
      body: reply.text,
      subscription: reply.header('subscription'),
      'reply-to': replyTo.split('/').slice(0, 2).join('/'),
      'leads only there': replyTo !== '/temp-queue/answers',
    };
  }),

  scenario('activemq', 'a temporary topic is answered to all who subscribed', async (stage) => {
    const queue = `/queue/${stage.name('requests')}`;
    const [asker, server] = await Promise.all([stage.connect(), stage.connect()]);
    await server.subscribe(queue);
    await asker.subscribe('/temp-topic/answers', { id: 'mine' });
    await asker.receipted('SEND', { destination: queue, 'reply-to': '/temp-topic/answers' }, 'question');
    await server.receipted('SEND', { destination: (await server.message()).header('reply-to')! }, 'answer');
    return { body: (await asker.message()).text };
  }),

  scenario('activemq', 'a temporary topic has as many readers as its session subscribes', async (stage) => {
    const queue = `/queue/${stage.name('requests')}`;
    const [asker, server] = await Promise.all([stage.connect(), stage.connect()]);
    await server.subscribe(queue);
    for (const id of ['1', '2']) await asker.subscribe('/temp-topic/answers', { id });
    await asker.receipted('SEND', { destination: queue, 'reply-to': '/temp-topic/answers' }, 'question');
    const request = await server.message();
    const replyTo = request.header('reply-to')!;
    await server.receipted('SEND', { destination: replyTo }, 'answer');
    const got = await asker.messages(2);
    return {
      bodies: texts(got),
      subscriptions: got.map((message) => message.header('subscription') ?? null).sort(),
      'leads only there': replyTo !== '/temp-topic/answers',
    };
  }),

  scenario('activemq', 'activemq.prefetchSize:0', async (stage) => {
    return stage.complain(await stage.connect(), 'SUBSCRIBE', {
      destination: `/queue/${stage.name('orders')}`,
      id: '1',
      ack: 'client',
      'activemq.prefetchSize': '0',
    });
  }),

  scenario('activemq', 'request-id in CONNECT', async (stage) => {
    const peer = await stage.open();
    const connected = await stage.login(peer, { 'request-id': 'r-1' });
    return { 'response-id': connected.header('response-id') };
  }),

  scenario('activemq', 'the destination of advisories', async (stage) => {
    const peer = await stage.connect();
    await peer.subscribe('/topic/ActiveMQ.Advisory.Connection');
    await stage.connect();
    const got = await peer.rest();
    return { 'tells of connections': got.some(({ command }) => command === 'MESSAGE') };
  }),

  scenario('activemq', 'amq-msg-type', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    await peer.receipted('SEND', { destination: queue, 'amq-msg-type': 'text' }, 'a');
    const [message] = await stage.drain(queue);
    return { body: message!.text, 'amq-msg-type': message!.header('amq-msg-type') };
  }),
];

/** What a selector takes first: the message that it is to take is the second of three, and it takes the last anyway. */
async function select(
  stage: Stage,
  selector: string,
  ...[bad, good]: [Record<string, string>, Record<string, string>]
): Promise<{ first: string }> {
  const queue = `/queue/${stage.name('orders')}`;
  const peer = await stage.connect();
  await peer.receipted('SEND', { destination: queue, ...bad }, 'first');
  await peer.receipted('SEND', { destination: queue, ...good }, 'second');
  await peer.receipted('SEND', { destination: queue, ...bad, last: 'true' }, 'last');
  await peer.subscribe(queue, { selector: `last = 'true' OR (${selector})` });
  return { first: (await peer.message()).text };
}
