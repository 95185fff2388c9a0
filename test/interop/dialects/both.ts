import { names, scenario, texts } from './stage.js';

const BOTH = ['rabbitmq', 'activemq'] as const;

/** What clients of either broker do. */
export const both = [
  scenario(BOTH, 'CONNECTED tells the version, the session, the server and the heart-beats', async (stage) => {
    const peer = await stage.open();
    const connected = await stage.login(peer, { 'heart-beat': '0,0' });
    return { headers: names(connected), version: connected.header('version') };
  }),

  scenario(BOTH, 'a queue keeps messages in order until somebody comes', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    await stage.sendAll(peer, queue, ['1', '2', '3']);
    return { bodies: texts(await stage.drain(queue)) };
  }),

  scenario(BOTH, 'a message brings what its publisher said of it', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    const said = {
      'content-type': 'application/json',
      'correlation-id': 'c-1',
      type: 'order',
      shop: 'Köln: 1\n2\\3',
      'reply-to': '/queue/answers',
    };
    await peer.receipted('SEND', { destination: queue, ...said }, '{}');
    const [message] = await stage.drain(queue);
    const kept = Object.entries(said).filter(([name, value]) => message!.header(name) === value);
    return { kept: kept.map(([name]) => name), body: message!.text, destination: message!.header('destination') };
  }),

  scenario(BOTH, 'the headers that a message has from the broker', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    await peer.receipted('SEND', { destination: queue }, 'a');
    await peer.subscribe(queue, { ack: 'client-individual' });
    const message = await peer.message();
    return {
      always: ['subscription', 'message-id', 'ack', 'destination'].filter((name) => message.header(name) !== undefined),
      redelivered: message.header('redelivered'),
      'content-length': message.header('content-length'),
      priority: message.header('priority'),
      expires: message.header('expires'),
      timestamp: message.header('timestamp') !== undefined,
      persistent: message.header('persistent'),
    };
  }),

  scenario(BOTH, 'a message that nobody has to acknowledge has no ack header', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    await peer.subscribe(queue);
    await peer.receipted('SEND', { destination: queue }, 'a');
    return { ack: (await peer.message()).header('ack') };
  }),

  scenario(BOTH, 'a body may hold any octets', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    const body = Buffer.from([0, 10, 13, 255, 0, 58]);
    await peer.subscribe(queue);
    await peer.receipted('SEND', { destination: queue, 'content-length': String(body.length) }, body);
    const message = await peer.message();
    return { body: message.body.toString('hex'), 'content-length': message.header('content-length') };
  }),

  scenario(BOTH, 'a body may be empty, with content-length 0', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    await peer.subscribe(queue);
    await peer.receipted('SEND', { destination: queue, 'content-length': '0' });
    return { body: (await peer.message()).text };
  }),

  scenario(BOTH, 'of a header that is repeated the first counts', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    await peer.subscribe(queue);
    peer.write(`SEND\ndestination:${queue}\nshop:first\nshop:second\n\na\0`);
    return { shop: (await peer.message()).header('shop') };
  }),

  scenario(BOTH, 'a publisher cannot set what the broker sets', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    await peer.subscribe(queue, { ack: 'client-individual', id: 'mine' });
    await peer.receipted(
      'SEND',
      { destination: queue, subscription: 'forged', ack: 'forged', redelivered: 'true' },
      'a',
    );
    const message = await peer.message();
    return {
      subscription: message.headers.filter(([name]) => name === 'subscription').map(([, value]) => value),
      ack: message.header('ack') === 'forged',
      redelivered: message.header('redelivered') === 'true',
    };
  }),

  scenario(BOTH, 'a message-id of the publisher', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    return stage.complain(peer, 'SEND', { destination: queue, 'message-id': 'forged' });
  }),

  scenario('activemq', 'the message-id of a publisher does not come through', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    await peer.subscribe(queue);
    await peer.receipted('SEND', { destination: queue, 'message-id': 'forged' }, 'a');
    const message = await peer.message();
    const ids = message.headers.filter(([name]) => name === 'message-id').map(([, value]) => value);
    return { ids: ids.length, forged: ids.includes('forged') };
  }),

  scenario(
    BOTH,
    'what a lost consumer has not acknowledged comes again, at its place, and is marked',
    async (stage) => {
      const queue = `/queue/${stage.name('orders')}`;
      const peer = await stage.connect();
      await stage.sendAll(peer, queue, ['1', '2', '3']);
      const consumer = await stage.connect();
      await consumer.subscribe(queue, { ack: 'client-individual' });
      const [, second] = await consumer.messages(3);
      await consumer.receipted('ACK', consumer.reference(second!));
      await stage.leave(consumer);
      const again = await stage.drain(queue);
      return { bodies: texts(again), redelivered: again.map((message) => message.header('redelivered') ?? null) };
    },
  ),

  scenario(BOTH, 'ACK in client mode is for all up to that message', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    await stage.sendAll(peer, queue, ['1', '2', '3']);
    const consumer = await stage.connect();
    await consumer.subscribe(queue, { ack: 'client' });
    const [, second] = await consumer.messages(3);
    await consumer.receipted('ACK', consumer.reference(second!));
    await stage.leave(consumer);
    return { left: texts(await stage.drain(queue)) };
  }),

  scenario(BOTH, 'ACK in client mode and other subscriptions of the session', async (stage) => {
    const [a, b] = ['orders', 'bills'].map((name) => `/queue/${stage.name(name)}`) as [string, string];
    const peer = await stage.connect();
    await stage.sendAll(peer, a, ['a']);
    await stage.sendAll(peer, b, ['b']);
    const consumer = await stage.connect();
    await consumer.subscribe(a, { ack: 'client' });
    await consumer.message();
    await consumer.subscribe(b, { ack: 'client' });
    await consumer.receipted('ACK', consumer.reference(await consumer.message()));
    await stage.leave(consumer);
    return { left: texts(await stage.drain(a)) };
  }),

  scenario(BOTH, 'messages of auto mode are done with when they are sent', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    await peer.subscribe(queue);
    await stage.sendAll(peer, queue, ['1', '2']);
    await peer.messages(2);
    await stage.leave(peer);
    return { left: texts(await stage.drain(queue)) };
  }),

  scenario(BOTH, 'consumers of a queue share its messages', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const consumers = await Promise.all([stage.connect(), stage.connect()]);
    for (const consumer of consumers) {
      await consumer.subscribe(queue, {
        ack: 'client-individual',
        'prefetch-count': '1',
        'activemq.prefetchSize': '1',
      });
    }
    const peer = await stage.connect();
    await stage.sendAll(peer, queue, ['1', '2']);
    const got = await Promise.all(consumers.map((consumer) => consumer.texts(1)));
    return { each: got.flat().sort() };
  }),

  scenario(BOTH, 'a consumer gets as many messages as it asked for, and more when it acknowledges', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    await stage.sendAll(peer, queue, ['1', '2', '3']);
    await peer.subscribe(queue, { ack: 'client-individual', 'prefetch-count': '2', 'activemq.prefetchSize': '2' });
    const [first] = await peer.messages(2);
    const before = texts(await peer.rest());
    await peer.receipted('ACK', peer.reference(first!));
    return { before, after: await peer.texts(1) };
  }),

  scenario(BOTH, 'each subscription to a topic gets each message, the publisher its own too', async (stage) => {
    const topic = `/topic/${stage.name('news')}`;
    const [one, two] = await Promise.all([stage.connect(), stage.connect()]);
    await one.subscribe(topic);
    await two.subscribe(topic);
    await one.receipted('SEND', { destination: topic }, 'a');
    return { one: await one.texts(1), two: await two.texts(1) };
  }),

  scenario(BOTH, 'a topic keeps nothing for who comes later', async (stage) => {
    const topic = `/topic/${stage.name('news')}`;
    const peer = await stage.connect();
    await peer.receipted('SEND', { destination: topic }, 'early');
    await peer.subscribe(topic);
    await peer.receipted('SEND', { destination: topic }, 'late');
    return { first: await peer.texts(1) };
  }),

  scenario(BOTH, 'an asterisk stands for one word of a topic', async (stage) => {
    const root = stage.name('news');
    const peer = await stage.connect();
    await peer.subscribe(`/topic/${root}.*.sport`);
    for (const rest of ['sport', 'de.fr.sport', 'de.sport', 'de.art', 'fr.sport']) {
      await peer.receipted('SEND', { destination: `/topic/${root}.${rest}` }, rest);
    }
    const got = await peer.messages(2);
    return { bodies: texts(got), destination: got[0]!.header('destination') };
  }),

  scenario(BOTH, 'the receipt of SUBSCRIBE comes before the first message', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    await stage.sendAll(peer, queue, ['a']);
    peer.send('SUBSCRIBE', { destination: queue, id: '1', receipt: 'taken' });
    const frames = [await peer.frame(), await peer.frame()].map(({ command }) => command);
    // RabbitMQ promises nothing: either may come first.
    return { frames: stage.dialect === 'rabbitmq' ? frames.sort() : frames };
  }),

  scenario(BOTH, 'each receipt names its frame', async (stage) => {
    const peer = await stage.connect();
    const ids = ['a', 'b', 'c'];
    for (const receipt of ids) peer.send('SEND', { destination: `/queue/${stage.name('orders')}`, receipt }, receipt);
    const got = await Promise.all(ids.map((id) => peer.receipt(id)));
    return { ids: got.map((receipt) => receipt.header('receipt-id') ?? null) };
  }),

  scenario(BOTH, 'after UNSUBSCRIBE messages wait for somebody else', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    await peer.subscribe(queue, { id: '1' });
    await peer.receipted('UNSUBSCRIBE', { id: '1' });
    await stage.sendAll(peer, queue, ['a']);
    return { left: texts(await stage.drain(queue)) };
  }),

  scenario(BOTH, 'DISCONNECT with a receipt is answered, then the connection ends', async (stage) => {
    const peer = await stage.connect();
    await peer.receipted('DISCONNECT', { receipt: 'bye' });
    peer.end();
    return { closed: (await peer.closed()) > 0 };
  }),

  scenario(BOTH, 'a transaction sends at COMMIT, in order, and nothing before', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    await peer.receipted('BEGIN', { transaction: 't' });
    for (const body of ['1', '2']) peer.send('SEND', { destination: queue, transaction: 't' }, body);
    await peer.receipted('SEND', { destination: queue }, 'outside');
    await peer.receipted('COMMIT', { transaction: 't' });
    return { bodies: texts(await stage.drain(queue)) };
  }),

  scenario(BOTH, 'an aborted transaction sends nothing', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    await peer.receipted('BEGIN', { transaction: 't' });
    peer.send('SEND', { destination: queue, transaction: 't' }, 'a');
    await peer.receipted('ABORT', { transaction: 't' });
    return { bodies: texts(await stage.drain(queue)) };
  }),

  scenario(BOTH, 'an acknowledgement of an aborted transaction has not happened', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    await stage.sendAll(peer, queue, ['a']);
    await peer.subscribe(queue, { ack: 'client-individual' });
    const message = await peer.message();
    await peer.receipted('BEGIN', { transaction: 't' });
    peer.send('ACK', { ...peer.reference(message), transaction: 't' });
    await peer.receipted('ABORT', { transaction: 't' });
    await stage.leave(peer);
    return { left: texts(await stage.drain(queue)) };
  }),

  scenario(BOTH, 'an acknowledgement of a committed transaction has happened', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    await stage.sendAll(peer, queue, ['a']);
    await peer.subscribe(queue, { ack: 'client-individual' });
    const message = await peer.message();
    await peer.receipted('BEGIN', { transaction: 't' });
    peer.send('ACK', { ...peer.reference(message), transaction: 't' });
    await peer.receipted('COMMIT', { transaction: 't' });
    await stage.leave(peer);
    return { left: texts(await stage.drain(queue)) };
  }),

  scenario(BOTH, 'a transaction of a client that goes comes to nothing', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    await peer.receipted('BEGIN', { transaction: 't' });
    peer.send('SEND', { destination: queue, transaction: 't' }, 'a');
    await stage.leave(peer);
    return { bodies: texts(await stage.drain(queue)) };
  }),

  scenario(BOTH, 'a client of 1.0 acknowledges by message-id, without an id of its subscription', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect({}, '1.0');
    await peer.receipted('SUBSCRIBE', { destination: queue, ack: 'client' });
    await peer.receipted('SEND', { destination: queue }, 'a');
    const message = await peer.message();
    await peer.receipted('ACK', { 'message-id': message.header('message-id')! });
    await stage.leave(peer);
    return { left: texts(await stage.drain(queue)), ack: message.header('ack') };
  }),

  scenario(BOTH, 'a selector chooses messages', async (stage) => {
    const queue = `/queue/${stage.name('orders')}`;
    const peer = await stage.connect();
    await peer.receipted('SEND', { destination: queue, region: 'US' }, 'us');
    await peer.receipted('SEND', { destination: queue, region: 'EU' }, 'eu');
    await peer.subscribe(queue, { selector: "region = 'EU'" });
    return { first: (await peer.message()).text };
  }),

  scenario(BOTH, 'a selector that is none', async (stage) => {
    return stage.complain(await stage.connect(), 'SUBSCRIBE', {
      destination: `/queue/${stage.name('orders')}`,
      id: '1',
      selector: 'a = = b',
    });
  }),

  scenario(BOTH, 'a wrong passcode', async (stage) => {
    const peer = await stage.open();
    peer.send('CONNECT', { 'accept-version': '1.2', host: '/', login: 'guest', passcode: 'wrong' });
    return { answer: (await peer.frame()).command };
  }),

  scenario(BOTH, 'a version that nobody speaks', async (stage) => {
    const peer = await stage.open();
    peer.send('CONNECT', { 'accept-version': '3.0', host: '/', login: 'guest', passcode: 'guest' });
    const error = await peer.frame();
    return { command: error.command, lists: error.header('version') !== undefined };
  }),

  scenario(BOTH, 'a host that nobody set up', async (stage) => {
    const peer = await stage.open();
    peer.send('CONNECT', { 'accept-version': '1.2', host: 'elsewhere', login: 'guest', passcode: 'guest' });
    return { answer: (await peer.frame()).command };
  }),

  scenario(BOTH, 'an unknown command', async (stage) => stage.complain(await stage.connect(), 'JUMP')),

  scenario(BOTH, 'SEND without a destination', async (stage) => stage.complain(await stage.connect(), 'SEND')),

  scenario(BOTH, 'SUBSCRIBE without an id', async (stage) => {
    return stage.complain(await stage.connect(), 'SUBSCRIBE', { destination: `/queue/${stage.name('orders')}` });
  }),

  scenario(BOTH, 'the id of a subscription that stands', async (stage) => {
    const peer = await stage.connect();
    const destination = `/queue/${stage.name('orders')}`;
    await peer.subscribe(destination, { id: '1' });
    return stage.complain(peer, 'SUBSCRIBE', { destination, id: '1' });
  }),

  scenario(BOTH, 'UNSUBSCRIBE of nothing', async (stage) => {
    return stage.complain(await stage.connect(), 'UNSUBSCRIBE', { id: 'none' });
  }),

  scenario(BOTH, 'ACK of nothing', async (stage) => stage.complain(await stage.connect(), 'ACK', { id: 'none' })),

  scenario(BOTH, 'COMMIT of nothing', async (stage) => {
    return stage.complain(await stage.connect(), 'COMMIT', { transaction: 'none' });
  }),

  scenario(BOTH, 'BEGIN of a transaction that is open', async (stage) => {
    const peer = await stage.connect();
    await peer.receipted('BEGIN', { transaction: 't' });
    return stage.complain(peer, 'BEGIN', { transaction: 't' });
  }),

  scenario(BOTH, 'an ack mode that is none', async (stage) => {
    return stage.complain(await stage.connect(), 'SUBSCRIBE', {
      destination: `/queue/${stage.name('orders')}`,
      id: '1',
      ack: 'perhaps',
    });
  }),

  scenario(BOTH, 'a destination without a prefix', async (stage) => {
    return stage.complain(await stage.connect(), 'SEND', { destination: stage.name('plain') });
  }),

  scenario(BOTH, 'a name with a slash in it', async (stage) => {
    return stage.complain(await stage.connect(), 'SEND', { destination: `/queue/${stage.name('a')}/b` });
  }),
];
