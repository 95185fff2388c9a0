import { scenario, texts } from './stage.js';

/** What clients of RabbitMQ do. */
export const rabbitmq = [
  scenario('rabbitmq', 'NACK puts a message back at its place', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    await stage.sendAll(peer, queue, ['1', '2']);
    await peer.subscribe(queue, { ack: 'client-individual', 'prefetch-count': '1' });
    const first = await peer.message();
    await peer.receipted('NACK', peer.reference(first));
    const again = await peer.message();
    return { body: again.text, redelivered: [first.header('redelivered') ?? '', again.header('redelivered') ?? ''] };
  }),

  scenario('rabbitmq', 'NACK in client mode is for all up to that message', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    await stage.sendAll(peer, queue, ['1', '2', '3']);
    await peer.subscribe(queue, { ack: 'client' });
    const [, second] = await peer.messages(3);
    await peer.receipted('NACK', { ...peer.reference(second!), requeue: 'true' });
    return { again: texts(await peer.messages(2)) };
  }),

  scenario('rabbitmq', 'NACK with requeue:false and no dead letters asked for', async (stage) => {
    const name = stage.name('orders');
    const peer = await stage.connect();
    await stage.sendAll(peer, `/queue/${name}`, ['1', '2']);
    await peer.subscribe(`/queue/${name}`, { ack: 'client-individual', 'prefetch-count': '1' });
    await peer.receipted('NACK', { ...peer.reference(await peer.message()), requeue: 'false' });
    const next = (await peer.message()).text;
    return { next, 'dead letters': texts(await stage.drain(`/queue/DLQ.${name}`)) };
  }),

  scenario('rabbitmq', 'NACK with requeue:false goes where x-dead-letter-routing-key says', async (stage) => {
    const [queue, dead] = ['orders', 'dead'].map((name) => stage.name(name)) as [string, string];
    const rules = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead };
    const peer = await stage.connect();
    const graveyard = await stage.connect();
    await graveyard.subscribe(`/queue/${dead}`);
    await peer.subscribe(`/queue/${queue}`, { ack: 'client-individual', ...rules });
    await peer.receipted('SEND', { destination: `/queue/${queue}`, ...rules, shop: 'Bern' }, 'a');
    await peer.receipted('NACK', { ...peer.reference(await peer.message()), requeue: 'false' });
    const letter = await graveyard.message();
    return {
      body: letter.text,
      destination: letter.header('destination'),
      shop: letter.header('shop'),
      'x-death': letter.header('x-death') !== undefined,
      'dead-letter-reason': letter.header('dead-letter-reason'),
    };
  }),

  scenario('rabbitmq', 'what x-message-ttl lets expire goes to the dead letters', async (stage) => {
    const [queue, dead] = ['orders', 'dead'].map((name) => stage.name(name)) as [string, string];
    const rules = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead, 'x-message-ttl': '20' };
    const graveyard = await stage.connect();
    await graveyard.subscribe(`/queue/${dead}`);
    await graveyard.receipted('SEND', { destination: `/queue/${queue}`, ...rules }, 'a');
    return { body: (await graveyard.message()).text };
  }),

  scenario('rabbitmq', 'what expiration lets expire goes to the dead letters', async (stage) => {
    const [queue, dead] = ['orders', 'dead'].map((name) => stage.name(name)) as [string, string];
    const rules = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead };
    const graveyard = await stage.connect();
    await graveyard.subscribe(`/queue/${dead}`);
    await graveyard.receipted('SEND', { destination: `/queue/${queue}`, ...rules, expiration: '20' }, 'a');
    const letter = await graveyard.message();
    return { body: letter.text, expiration: letter.header('expiration') };
  }),

  scenario('rabbitmq', 'x-max-length drops the oldest, to the dead letters', async (stage) => {
    const [queue, dead] = ['orders', 'dead'].map((name) => stage.name(name)) as [string, string];
    const rules = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead, 'x-max-length': '2' };
    const peer = await stage.connect();
    await peer.subscribe(`/queue/${dead}`);
    await stage.sendAll(peer, `/queue/${queue}`, ['1', '2', '3'], rules);
    const consumer = await stage.connect();
    await consumer.subscribe(`/queue/${queue}`, rules);
    return { left: await consumer.texts(2), dead: await peer.texts(1) };
  }),

  scenario('rabbitmq', 'x-max-length-bytes drops the oldest', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const rules = { 'x-max-length-bytes': '3000' };
    const peer = await stage.connect();
    await stage.sendAll(
      peer,
      queue,
      ['1', '2'].map((digit) => digit.repeat(2000)),
      rules,
    );
    await peer.subscribe(queue, rules);
    return { first: (await peer.message()).text[0] };
  }),

  scenario('rabbitmq', 'x-overflow:reject-publish', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const rules = { 'x-max-length': '1', 'x-overflow': 'reject-publish' };
    const peer = await stage.connect();
    await stage.sendAll(peer, queue, ['1'], rules);
    return stage.complain(peer, 'SEND', { destination: queue, ...rules }, '2');
  }),

  scenario('rabbitmq', 'with x-max-priority the more urgent message comes first', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const rules = { 'x-max-priority': '9' };
    const peer = await stage.connect();
    for (const priority of ['1', '9', '5']) {
      await peer.receipted('SEND', { destination: queue, ...rules, priority }, priority);
    }
    await peer.subscribe(queue, rules);
    const got = await peer.messages(3);
    return { bodies: texts(got), priority: got[0]!.header('priority') };
  }),

  scenario('rabbitmq', 'without x-max-priority', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    for (const priority of ['1', '9']) await peer.receipted('SEND', { destination: queue, priority }, priority);
    return { bodies: texts(await stage.drain(queue)) };
  }),

  scenario('rabbitmq', 'other arguments of a queue that is there', async (stage) => {
    const destination = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    await peer.receipted('SEND', { destination });
    // Another session: this one would not declare the queue again.
    return stage.complain(await stage.connect(), 'SEND', { destination, 'x-message-ttl': '60000' });
  }),

  scenario('rabbitmq', 'a durable subscription gets what came while it was away', async (stage) => {
    const durable = { destination: `/topic/${stage.name('news')}`, id: stage.name('reader') };
    const flags = { durable: 'true', 'auto-delete': 'false' };
    const reader = await stage.connect();
    await reader.receipted('SUBSCRIBE', { ...durable, ...flags });
    await stage.leave(reader);
    const peer = await stage.connect();
    await peer.receipted('SEND', { destination: durable.destination }, 'a');
    const again = await stage.connect();
    await again.receipted('SUBSCRIBE', { ...durable, ...flags });
    const message = await again.message();
    return {
      body: message.text,
      subscription: message.header('subscription'),
      destination: message.header('destination'),
    };
  }),

  scenario('rabbitmq', 'UNSUBSCRIBE with the flags deletes a durable subscription', async (stage) => {
    const durable = { destination: `/topic/${stage.name('news')}`, id: stage.name('reader') };
    const flags = { durable: 'true', 'auto-delete': 'false' };
    const peer = await stage.connect();
    await peer.receipted('SUBSCRIBE', { ...durable, ...flags });
    await peer.receipted('UNSUBSCRIBE', { id: durable.id, ...flags });
    await peer.receipted('SEND', { destination: durable.destination }, 'early');
    await peer.receipted('SUBSCRIBE', { ...durable, ...flags });
    await peer.receipted('SEND', { destination: durable.destination }, 'late');
    return { first: (await peer.message()).text };
  }),

  scenario('rabbitmq', 'sessions with the same id share a durable subscription', async (stage) => {
    const durable = { destination: `/topic/${stage.name('news')}`, id: stage.name('reader') };
    const flags = { durable: 'true', 'auto-delete': 'false', ack: 'client-individual', 'prefetch-count': '1' };
    const readers = await Promise.all([stage.connect(), stage.connect()]);
    for (const reader of readers) await reader.receipted('SUBSCRIBE', { ...durable, ...flags });
    const peer = await stage.connect();
    await stage.sendAll(peer, durable.destination, ['1', '2']);
    return { each: (await Promise.all(readers.map((reader) => reader.texts(1)))).flat().sort() };
  }),

  scenario('rabbitmq', 'x-queue-name names the queue of a topic', async (stage) => {
    const [topic, queue] = ['news', 'readers'].map((name) => stage.name(name)) as [string, string];
    const flags = { 'x-queue-name': queue, durable: 'true', 'auto-delete': 'false' };
    const reader = await stage.connect();
    await reader.subscribe(`/topic/${topic}`, { id: 'r', ...flags });
    await reader.receipted('SEND', { destination: `/topic/${topic}` }, '1');
    const [first] = await reader.texts(1);
    await stage.leave(reader);
    const peer = await stage.connect();
    await peer.receipted('SEND', { destination: `/topic/${topic}` }, '2');
    await peer.subscribe(`/amq/queue/${queue}`);
    const second = await peer.message();
    return { first, second: second.text };
  }),

  scenario('rabbitmq', 'a hash stands for the rest of a topic, none included', async (stage) => {
    const root = stage.name('news');
    const peer = await stage.connect();
    await peer.subscribe(`/topic/${root}.#`);
    for (const rest of ['', '.de', '.de.sport']) {
      await peer.receipted('SEND', { destination: `/topic/${root}${rest}` }, `body${rest}`);
    }
    return { bodies: await peer.texts(3) };
  }),

  scenario('rabbitmq', 'a hash may stand in the middle', async (stage) => {
    const root = stage.name('news');
    const peer = await stage.connect();
    await peer.subscribe(`/topic/${root}.#.sport`);
    for (const rest of ['.sport', '.de.art', '.de.fr.sport']) {
      await peer.receipted('SEND', { destination: `/topic/${root}${rest}` }, rest);
    }
    return { bodies: await peer.texts(2) };
  }),

  scenario('rabbitmq', '/exchange/amq.topic is the exchange of /topic', async (stage) => {
    const name = stage.name('news');
    const peer = await stage.connect();
    await peer.subscribe(`/topic/${name}`);
    await peer.receipted('SEND', { destination: `/exchange/amq.topic/${name}` }, 'a');
    const message = await peer.message();
    return { body: message.text, destination: message.header('destination') };
  }),

  scenario('rabbitmq', '/exchange/amq.direct takes a message to who has that key', async (stage) => {
    const name = stage.name('news');
    const peer = await stage.connect();
    await peer.subscribe(`/exchange/amq.direct/${name}`);
    await peer.receipted('SEND', { destination: `/exchange/amq.direct/${name}` }, 'a');
    const message = await peer.message();
    return { body: message.text, destination: message.header('destination') };
  }),

  scenario('rabbitmq', 'an exchange that nobody made', async (stage) => {
    return stage.complain(await stage.connect(), 'SUBSCRIBE', {
      destination: `/exchange/${stage.name('x')}/k`,
      id: '1',
    });
  }),

  scenario('rabbitmq', '/amq/queue is a queue that is there', async (stage) => {
    const name = stage.name('orders');
    const peer = await stage.connect();
    await peer.receipted('SEND', { destination: `/queue/${name}` }, '1');
    await peer.receipted('SEND', { destination: `/amq/queue/${name}` }, '2');
    return { bodies: texts(await stage.drain(`/queue/${name}`)) };
  }),

  scenario('rabbitmq', 'reply-to:/temp-queue/ makes a queue whose replies come without SUBSCRIBE', async (stage) => {
    const queue = `/queue/${stage.name('requests')}`;
    const [asker, server] = await Promise.all([stage.connect(), stage.connect()]);
    await server.subscribe(queue);
    await asker.receipted('SEND', { destination: queue, 'reply-to': '/temp-queue/answers' }, 'question');
    const request = await server.message();
    await server.receipted('SEND', { destination: request.header('reply-to')! }, 'answer');
    const reply = await asker.message();
    return {
      body: reply.text,
      'reply-to': request.header('reply-to')!.split('/').slice(0, 2).join('/'),
      subscription: reply.header('subscription'),
      ack: reply.header('ack'),
    };
  }),

  scenario('rabbitmq', 'the destination that a reply comes with', async (stage) => {
    const queue = `/queue/${stage.name('requests')}`;
    const [asker, server] = await Promise.all([stage.connect(), stage.connect()]);
    await server.subscribe(queue);
    await asker.receipted('SEND', { destination: queue, 'reply-to': '/temp-queue/answers' }, 'question');
    const replyTo = (await server.message()).header('reply-to')!;
    await server.receipted('SEND', { destination: replyTo }, 'answer');
    return { 'is what was replied to': (await asker.message()).header('destination') === replyTo };
  }),

  scenario('rabbitmq', 'SUBSCRIBE to /temp-queue/', async (stage) => {
    return stage.complain(await stage.connect(), 'SUBSCRIBE', { destination: '/temp-queue/answers', id: '1' });
  }),

  scenario('rabbitmq', 'SUBSCRIBE to the reply queue of somebody else', async (stage) => {
    const queue = `/queue/${stage.name('requests')}`;
    const [asker, server] = await Promise.all([stage.connect(), stage.connect()]);
    await server.subscribe(queue);
    await asker.receipted('SEND', { destination: queue, 'reply-to': '/temp-queue/answers' }, 'question');
    const destination = (await server.message()).header('reply-to')!;
    const { refused } = await stage.complain(server, 'SUBSCRIBE', { destination, id: 'thief' });
    return { refused };
  }),

  scenario('rabbitmq', 'a consumer of an exclusive queue keeps others out', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const [one, two] = await Promise.all([stage.connect(), stage.connect()]);
    await one.subscribe(queue, { exclusive: 'true' });
    const { refused } = await stage.complain(two, 'SUBSCRIBE', { destination: queue, id: '1', exclusive: 'true' });
    return { refused };
  }),

  scenario('rabbitmq', 'the consumer with the higher x-priority comes first', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const [low, high] = await Promise.all([stage.connect(), stage.connect()]);
    const terms = { ack: 'client-individual', 'prefetch-count': '1' };
    await low.subscribe(queue, { ...terms, 'x-priority': '1' });
    await high.subscribe(queue, { ...terms, 'x-priority': '5' });
    await stage.sendAll(await stage.connect(), queue, ['1']);
    return { first: await Promise.race([low.message().then(() => 'low'), high.message().then(() => 'high')]) };
  }),

  scenario('rabbitmq', 'an auto-delete queue goes with its last consumer', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const flags = { 'auto-delete': 'true' };
    const peer = await stage.connect();
    await peer.subscribe(queue, { ...flags, ack: 'client-individual' });
    await peer.receipted('SEND', { destination: queue, ...flags }, 'a');
    await peer.message();
    await stage.leave(peer);
    return { left: texts(await stage.drain(queue, flags)) };
  }),

  scenario('rabbitmq', 'a slash of a name may be written %2F', async (stage) => {
    const queue = `/queue/${stage.name('a')}%2Fb`;
    const peer = await stage.connect();
    await peer.subscribe(queue);
    await peer.receipted('SEND', { destination: queue }, 'a');
    return { destination: (await peer.message()).header('destination') };
  }),

  scenario('rabbitmq', 'properties of AMQP come through as headers', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const said = {
      'content-type': 'text/plain',
      'content-encoding': 'gzip',
      persistent: 'true',
      priority: '3',
      'correlation-id': 'c',
      expiration: '60000',
      'amqp-message-id': 'm',
      timestamp: '1700000000',
      type: 't',
      'user-id': 'guest',
      'app-id': 'shop',
    };
    const peer = await stage.connect();
    await peer.subscribe(queue);
    await peer.receipted('SEND', { destination: queue, ...said }, 'a');
    const message = await peer.message();
    return Object.fromEntries(Object.keys(said).map((name) => [name, message.header(name)]));
  }),

  scenario('rabbitmq', 'x-expires removes a queue that nobody uses', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const rules = { 'x-expires': '300000' };
    const peer = await stage.connect();
    await peer.receipted('SEND', { destination: queue, ...rules }, 'a');
    return { left: texts(await stage.drain(queue, rules)) };
  }),
];
