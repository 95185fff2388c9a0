import { describe, expect, it } from '@jest/globals';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { join, joinAll, leave, makeBroker, sendAll, textsOf } from '../../../support/broker.js';
import { type RawPeer } from '../../../support/raw.js';

const QUEUE = '/queue/a';
const BY_ONE = { ack: 'client-individual', 'prefetch-count': '1' };

describe.each(['x-priority', 'activemq.priority'])('consumers with %s', (header) => {
  it('get messages before others as long as they have credit', async () => {
    const broker = await makeBroker();
    const [low, high] = await joinAll(broker, 2);
    await low!.subscribe(QUEUE, { ...BY_ONE, [header]: '1' });
    await high!.subscribe(QUEUE, { ...BY_ONE, [header]: '5' });
    await sendAll(await join(broker), QUEUE, ['1', '2', '3']);
    const first = await high!.message();
    expect([first.text, (await low!.message()).text]).toEqual(['1', '2']);
    await high!.receipted('ACK', high!.reference(first));
    expect((await high!.message()).text).toBe('3');
  });

  it('are refused when it is no number', async () => {
    const peer = await join(await makeBroker());
    peer.send('SUBSCRIBE', { destination: QUEUE, id: '1', [header]: 'high' });
    expect((await peer.refused()).header('message')).toBe('invalid header');
  });
});

describe.each(['exclusive', 'activemq.exclusive'])('a consumer with %s', (header) => {
  it('has the queue for itself, and the next one after it, in order', async () => {
    const broker = await makeBroker();
    const [one, two, other] = await joinAll(broker, 3);
    await other!.subscribe(QUEUE);
    await one!.subscribe(QUEUE, { ack: 'client-individual', [header]: 'true' });
    await two!.subscribe(QUEUE, { ack: 'client-individual', [header]: 'true' });
    await sendAll(await join(broker), QUEUE, ['1', '2', '3']);
    const [first] = await one!.messages(3);
    await one!.receipted('ACK', one!.reference(first!));
    expect([...(await two!.rest()), ...(await other!.rest())]).toEqual([]);
    await leave(one!);
    expect(await two!.texts(2)).toEqual(['2', '3']);
    await leave(two!);
    expect(await other!.texts(2)).toEqual(['2', '3']);
  });
});

describe('messages of a group', () => {
  it('go to one consumer, those of others meanwhile to others', async () => {
    const broker = await makeBroker();
    const [one, two, sender] = await joinAll(broker, 3);
    for (const peer of [one!, two!]) await peer.subscribe(QUEUE, { ack: 'client-individual' });
    for (const [group, body] of ['a1', 'b1', 'a2', 'a3', 'b2'].map((text) => [text[0]!, text] as const)) {
      await sendAll(sender!, QUEUE, [body], { JMSXGroupID: group });
    }
    expect(await one!.texts(3)).toEqual(['a1', 'a2', 'a3']);
    expect(await two!.texts(2)).toEqual(['b1', 'b2']);
  });

  it('go to the next consumer when theirs leaves: first what it did not acknowledge, in order', async () => {
    const broker = await makeBroker();
    const [one, two, sender] = await joinAll(broker, 3);
    await one!.subscribe(QUEUE, { ack: 'client-individual', 'prefetch-count': '2' });
    await two!.subscribe(QUEUE, { ack: 'client-individual' });
    await sendAll(sender!, QUEUE, ['1', '2', '3', '4'], { JMSXGroupID: 'a' });
    const [first] = await one!.messages(2);
    await one!.receipted('ACK', one!.reference(first!));
    await one!.texts(1);
    await leave(one!);
    const got = await two!.messages(3);
    expect(got.map(({ text }) => text)).toEqual(['2', '3', '4']);
    expect(got.map((message) => message.header('redelivered'))).toEqual(['true', 'true', 'false']);
  });

  it('are free again after one with JMSXGroupSeq:-1', async () => {
    const broker = await makeBroker();
    const [one, two, sender] = await joinAll(broker, 3);
    for (const peer of [one!, two!]) await peer.subscribe(QUEUE, { ack: 'client-individual' });
    await sendAll(sender!, QUEUE, ['1'], { JMSXGroupID: 'a' });
    await sendAll(sender!, QUEUE, ['2'], { JMSXGroupID: 'a', JMSXGroupSeq: '-1' });
    await sendAll(sender!, QUEUE, ['3'], { JMSXGroupID: 'a' });
    expect(await one!.texts(2)).toEqual(['1', '2']);
    expect(await two!.texts(1)).toEqual(['3']);
  });

  it('that many consumers could not have take memory once, not once for each of them', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const heap = () => {
      collect();
      return process.memoryUsage().heapUsed;
    };
    const groups = Array.from({ length: 5_000 }, (_, n) => String(n));
    const consumers = 200;
    const send = async (sender: RawPeer, body: string, to = groups) => {
      for (const group of to) sender.send('SEND', { destination: QUEUE, JMSXGroupID: group }, body);
      await sender.receipted('BEGIN', { transaction: body });
    };
    const broker = await makeBroker();
    const [owner, others, sender] = (await joinAll(broker, 3)) as [RawPeer, RawPeer, RawPeer];
    await owner.subscribe(QUEUE, { ack: 'client-individual', 'prefetch-count': String(groups.length) });
    await send(sender, 'first');
    await owner.messages(groups.length);
    const before = heap();
    for (let id = 0; id < consumers; id++) {
      others.send('SUBSCRIBE', { id: String(id), destination: QUEUE, ack: 'client-individual', 'prefetch-count': '1' });
    }
    await others.receipted('BEGIN', { transaction: 'subscribed' });
    await send(sender, 'second');
    // Whoever has one of these has looked at all before it.
    await send(
      sender,
      'free',
      Array.from({ length: consumers }, (_, n) => `free ${n}`),
    );
    const [free] = await others.messages(consumers);
    expect(heap() - before).toBeLessThan(64 * 1024 * 1024);
    await leave(owner);
    others.send('ACK', others.reference(free!));
    expect(await others.texts(1)).toEqual(['first']);
  });
});

describe('the end of a group', () => {
  it('lets others have what they had to leave, in order, whatever its priority', async () => {
    const broker = await makeBroker();
    const [one, two, sender] = await joinAll(broker, 3);
    await one!.subscribe(QUEUE, { ack: 'client-individual', 'prefetch-count': '1' });
    await sendAll(sender!, QUEUE, ['first'], { JMSXGroupID: 'a' });
    const first = await one!.message();
    await two!.subscribe(QUEUE, { ack: 'client-individual' });
    await sendAll(sender!, QUEUE, ['last'], { JMSXGroupID: 'a', JMSXGroupSeq: '-1', priority: '9' });
    await sendAll(sender!, QUEUE, ['b1', 'b2'], { JMSXGroupID: 'b' });
    await sendAll(sender!, QUEUE, ['low'], { JMSXGroupID: 'a', priority: '1' });
    await sendAll(sender!, QUEUE, ['next', 'after'], { JMSXGroupID: 'a' });
    expect(await two!.texts(2)).toEqual(['b1', 'b2']);
    expect(await two!.rest()).toEqual([]);
    await one!.receipted('ACK', one!.reference(first));
    expect((await one!.message()).text).toBe('last');
    expect(await two!.texts(3)).toEqual(['next', 'after', 'low']);
  });
});

describe('consumers with selectors', () => {
  it('take what is theirs from the middle; what nobody takes stays, in its place', async () => {
    const broker = await makeBroker();
    const [even, big, sender] = await joinAll(broker, 3);
    await even!.subscribe(QUEUE, { selector: 'n % 2 = 0' });
    await big!.subscribe(QUEUE, { selector: 'n >= 100 AND n % 2 = 1' });
    for (const n of [1, 2, 3, 100, 101, 5]) await sendAll(sender!, QUEUE, [String(n)], { n: String(n) });
    expect(await even!.texts(2)).toEqual(['2', '100']);
    expect(await big!.texts(1)).toEqual(['101']);
    await sender!.subscribe(QUEUE);
    expect(await sender!.texts(3)).toEqual(['1', '3', '5']);
  });

  it('see the headers that the server sets, not what a publisher forges', async () => {
    const broker = await makeBroker();
    const [peer, sender] = await joinAll(broker, 2);
    await peer!.subscribe(QUEUE, { selector: "JMSRedelivered = TRUE OR JMSMessageID = 'mine'" });
    await sendAll(sender!, QUEUE, ['forged'], { 'message-id': 'mine', redelivered: 'true' });
    expect(await peer!.rest()).toEqual([]);
  });

  it('see how often a message was delivered, this time counted, whatever a publisher says', async () => {
    const broker = await makeBroker();
    const [first, again, sender] = await joinAll(broker, 3);
    await first!.subscribe(QUEUE, { selector: 'JMSXDeliveryCount = 1', ack: 'client-individual' });
    await again!.subscribe(QUEUE, { selector: 'JMSXDeliveryCount = 2' });
    const forged = { 'delivery-count': '1', JMSXDeliveryCount: '2' };
    await sendAll(sender!, QUEUE, ['one'], forged);
    const one = await first!.message();
    expect(textsOf(await again!.rest())).toEqual([]);
    await first!.receipted('NACK', { ...first!.reference(one), delay: '0' });
    expect(await again!.texts(1)).toEqual(['one']);
  });

  it('are refused when it is none, and told where', async () => {
    const peer = await join(await makeBroker());
    peer.send('SUBSCRIBE', { destination: QUEUE, id: '1', selector: 'a = = 1' });
    const error = await peer.refused();
    expect(error.header('message')).toBe('invalid selector');
    expect(error.text).toContain('column 5');
  });
});

describe('a browser', () => {
  it('sees what waits and its selector takes, in order, then the end; and takes nothing', async () => {
    const broker = await makeBroker();
    const [sender, browser] = await joinAll(broker, 2);
    for (const n of ['1', '2', '3']) await sendAll(sender!, QUEUE, [n], { n });
    await sendAll(sender!, QUEUE, ['old'], { n: '9', expires: '1' });
    await browser!.subscribe(QUEUE, { browser: 'true', selector: 'n > 1' });
    const got = await browser!.messages(3);
    expect(got.map(({ text }) => text)).toEqual(['2', '3', '']);
    expect(got.map((message) => message.header('browser'))).toEqual([undefined, undefined, 'end']);
    await sender!.subscribe(QUEUE);
    expect(await sender!.texts(3)).toEqual(['1', '2', '3']);
    expect(await sender!.rest()).toEqual([]);
  });
});

it('the name of the server can be hidden', async () => {
  const broker = await makeBroker({ server: '' });
  const peer = await join(broker);
  expect(peer.received.toString()).not.toMatch(/^server:/m);
});

it('a client that agreed on no heart-beats may be silent for as long as the idle limit says', async () => {
  const broker = await makeBroker({ idleTimeout: 100 });
  const silent = await join(broker);
  const talking = await join(broker, '1.2', { 'heart-beat': '60000,0' });
  expect((await silent.refused()).header('message')).toBe('idle for too long');
  await talking.receipted('SEND', { destination: QUEUE }, 'still there');
});
