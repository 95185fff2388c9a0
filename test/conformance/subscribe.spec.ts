import { expect } from '@jest/globals';
import { ALL, choice, may, must, ONLY_1_0, rule, SINCE_1_1 } from './rules.js';
import { consume, leave, publish, queue, refuses, relay, topic } from './steps.js';
import { target } from './target.js';

const server = target();

rule('98', ALL, 'answers a SUBSCRIBE without destination with ERROR and closes', async (version) => {
  await refuses(() => server.connect(version), 'SUBSCRIBE\nid:1\n\n\0');
});

must('99', SINCE_1_1, 'answers a SUBSCRIBE that it cannot do with ERROR and closes', async (version) => {
  const destination = topic();
  const frame = `SUBSCRIBE\nid:same\ndestination:${destination}\n\n\0`;

  await refuses(() => server.connect(version), frame + frame);
});

must('100', SINCE_1_1, 'demands an id on SUBSCRIBE', async (version) => {
  await refuses(() => server.connect(version), `SUBSCRIBE\ndestination:${topic()}\n\n\0`);
});

must(
  '101',
  SINCE_1_1,
  'demands ids that differ within a connection, and lets two connections use the same',
  async (version) => {
    const [one, other] = [await server.connect(version), await server.connect(version)];
    const destination = topic();
    await one.subscribe(destination, { id: 'same' });
    await other.subscribe(destination, { id: 'same' });

    await publish(one, destination, 'to both');
    expect([(await one.message()).text, (await other.message()).text]).toEqual(['to both', 'to both']);

    one.send('SUBSCRIBE', { destination: topic(), id: 'same' });
    await one.refused();
    await publish(other, destination, 'to the other');
    expect((await other.message()).text).toBe('to the other');
  },
);

rule('101', SINCE_1_1, 'lets an id be used again after UNSUBSCRIBE', async (version) => {
  const peer = await server.connect(version);
  const destination = topic();

  await peer.subscribe(topic(), { id: 'again' });
  await peer.receipted('UNSUBSCRIBE', { id: 'again' });
  await peer.subscribe(destination, { id: 'again' });

  await publish(peer, destination, 'body');
  expect((await peer.message()).header('subscription')).toBe('again');
});

rule('102', ONLY_1_0, 'needs no id on SUBSCRIBE, and puts the one given into each MESSAGE', async (version) => {
  const peer = await server.connect(version);
  const [named, nameless] = [topic(), topic()];
  await peer.subscribe(named, { id: 'mine' });
  await peer.subscribe(nameless);

  await publish(peer, named, 'one', 'two');
  const messages = await peer.messages(2);
  expect(messages.map((message) => message.header('subscription'))).toEqual(['mine', 'mine']);

  await publish(peer, nameless, 'three');
  expect(await peer.texts(1)).toEqual(['three']);
});

rule('103', ONLY_1_0, 'takes UNSUBSCRIBE by destination or by id', async (version) => {
  const peer = await server.connect(version);
  const [byDestination, byId, kept] = [topic(), topic(), topic()];
  await peer.subscribe(byDestination);
  await peer.subscribe(byId, { id: 'mine' });
  await peer.subscribe(kept);

  await peer.receipted('UNSUBSCRIBE', { destination: byDestination });
  await peer.receipted('UNSUBSCRIBE', { id: 'mine' });

  await publish(peer, byDestination, 'no');
  await publish(peer, byId, 'no');
  await publish(peer, kept, 'yes');
  expect((await peer.rest()).map(({ text }) => text)).toEqual(['yes']);
});

must('104', SINCE_1_1, 'demands an id on UNSUBSCRIBE', async (version) => {
  const peer = await server.connect(version);
  const destination = topic();
  await peer.subscribe(destination, { id: '1' });

  peer.send('UNSUBSCRIBE', { destination });

  await peer.refused();
});

choice('104', ALL, 'answers UNSUBSCRIBE of an unknown subscription with ERROR and closes', async (version) => {
  await refuses(() => server.connect(version), 'UNSUBSCRIBE\nid:unknown\n\n\0', 'UNSUBSCRIBE\n\n\0');

  const [owner, other] = [await server.connect(version), await server.connect(version)];
  await owner.subscribe(topic(), { id: 'of another connection' });
  other.send('UNSUBSCRIBE', { id: 'of another connection' });
  await other.refused();
});

rule('105', ALL, 'sends no MESSAGE after UNSUBSCRIBE, but goes on for others with that id', async (version) => {
  const [leaving, staying, sender] = [
    await server.connect(version),
    await server.connect(version),
    await server.connect(version),
  ];
  const destination = topic();
  await leaving.subscribe(destination, { id: 'same' });
  await leaving.subscribe(destination, { id: 'another' });
  await staying.subscribe(destination, { id: 'same' });

  await leaving.receipted('UNSUBSCRIBE', { id: 'same' });
  await publish(sender, destination, 'one', 'two');

  const [left, stayed] = [await leaving.rest(), await staying.rest()];
  expect(left.map((message) => [message.header('subscription'), message.text])).toEqual([
    ['another', 'one'],
    ['another', 'two'],
  ]);
  expect(stayed.map(({ text }) => text)).toEqual(['one', 'two']);
});

rule('106', ONLY_1_0, 'takes auto for the ack mode unless client is asked for', async (version) => {
  const sender = await server.connect(version);
  for (const [ack, back] of [
    [undefined, ['sentinel']],
    ['auto', ['sentinel']],
    ['client', ['body', 'sentinel']],
  ] as const) {
    const destination = queue();
    await publish(sender, destination, 'body');
    const consumer = await server.connect(version);
    await consume(consumer, destination, 1, ack === undefined ? {} : { ack });
    await leave(consumer);

    await publish(sender, destination, 'sentinel');
    const next = await server.connect(version);
    await next.subscribe(destination);
    expect([ack, (await next.texts(back.length)).sort()]).toEqual([ack, back]);
  }
});

choice(
  '106',
  ONLY_1_0,
  'either refuses client-individual, which 1.0 does not have, or keeps its promise',
  async (version) => {
    const [sender, peer] = [await server.connect(version), await server.connect(version)];
    const destination = queue();
    await publish(sender, destination, 'body');
    peer.send('SUBSCRIBE', { destination, ack: 'client-individual' });
    const answer = await peer.frame();
    if (answer.command === 'ERROR') return;
    peer.destroy();

    await sender.subscribe(destination);
    expect((await sender.message()).text).toBe('body');
  },
);

rule(
  '107',
  SINCE_1_1,
  'takes auto, client and client-individual for ack modes, and refuses others',
  async (version) => {
    const peer = await server.connect(version);
    for (const ack of ['auto', 'client', 'client-individual']) await peer.subscribe(queue(), { ack });

    const frame = (ack: string) => `SUBSCRIBE\nid:1\ndestination:${queue()}\nack:${ack}\n\n\0`;
    await refuses(() => server.connect(version), frame('none'), frame('Client'), frame(' auto'), frame(''));
  },
);

may('108', ONLY_1_0, 'takes a selector', async (version) => {
  const peer = await server.connect(version);
  const destination = topic();
  await peer.subscribe(destination, { selector: "region = 'EU'" });

  await peer.receipted('SEND', { destination, region: 'EU' }, 'matches');

  expect((await peer.message()).text).toBe('matches');
});

may('108', SINCE_1_1, 'takes headers on SUBSCRIBE that it does not know', async (version) => {
  const peer = await server.connect(version);
  const destination = topic();
  await peer.subscribe(destination, { 'x-server-specific': 'a:b', Destination: '/topic/other', ID: '7' });

  await publish(peer, destination, 'body');

  expect((await peer.message()).text).toBe('body');
});

rule('109', ALL, 'gives each of two subscriptions to one destination the message', async (version) => {
  const peer = await server.connect(version);
  const destination = topic();
  await peer.subscribe(destination, { id: 'one' });
  await peer.subscribe(destination, { id: 'two' });

  await publish(peer, destination, 'body');

  const messages = await peer.rest();
  expect(messages.map((message) => message.header('subscription')).sort()).toEqual(['one', 'two']);
  expect(messages.map(({ text }) => text)).toEqual(['body', 'body']);
});

rule('110', SINCE_1_1, 'takes a message for received, in mode auto, when it is sent', async (version) => {
  const [sender, consumer, next] = [
    await server.connect(version),
    await server.connect(version),
    await server.connect(version),
  ];
  const destination = queue();
  await publish(sender, destination, 'one', 'two');
  await consume(consumer, destination, 2, { ack: 'auto' });
  await leave(consumer);

  const message = await relay(sender, next, '', 'sentinel', destination);

  expect(message.text).toBe('sentinel');
});
