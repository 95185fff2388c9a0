import { expect } from '@jest/globals';
import { may, ONLY_1_2, rule, should, SINCE_1_1, choice, ALL, ownServerOnly } from './rules.js';
import { queue, refuses, topic } from './steps.js';
import { target } from './target.js';

const server = target('--max-body', '4096', '--max-header', '512', '--max-headers', '20');

const send = (lines: string, body = ''): string => `SEND\ndestination:${topic()}\n${lines}\n${body}\0`;
const headers = (count: number): string => Array.from({ length: count }, (_, index) => `h${index}:1\n`).join('');

should('54', SINCE_1_1, 'uses the first of repeated headers', async (version) => {
  const peer = await server.connect(version);
  const [used, ignored] = [topic(), topic()];
  await peer.subscribe(used, { id: 'used' });
  await peer.subscribe(ignored, { id: 'ignored' });

  peer.write(`SEND\ndestination:${used}\ndestination:${ignored}\nfoo:World\nfoo:Hello\n\nbody\0`);

  const message = await peer.message();
  expect([message.header('subscription'), message.header('foo')]).toEqual(['used', 'World']);
  expect(await peer.rest()).toEqual([]);
});

may('55', SINCE_1_1, 'puts its own headers before those of the sender that have the same name', async (version) => {
  const peer = await server.connect(version);
  const destination = topic();
  await peer.subscribe(destination, { id: 'mine' });

  peer.write(`SEND\ndestination:${destination}\nmessage-id:forged\nsubscription:forged\nfoo:kept\n\nbody\0`);

  const message = await peer.message();
  expect([message.header('subscription'), message.header('foo')]).toEqual(['mine', 'kept']);
  expect(message.header('message-id')).not.toBe('forged');
});

may('56', SINCE_1_1, 'takes what is within its limits', async (version) => {
  const peer = await server.connect(version);
  const destination = queue();

  await peer.receipted('SEND', { destination }, 'x'.repeat(4096));
  await peer.receipted('SEND', { destination, long: 'x'.repeat(500) }, 'body');
  await peer.receipted('SEND', {
    destination,
    ...Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`h${i}`, '1'])),
  });
});

should('57', SINCE_1_1, 'answers too many headers, or one too long, with ERROR and closes', async (version) => {
  ownServerOnly('the limits have to be known');
  await refuses(
    () => server.connect(version),
    send(headers(21)),
    send(`long:${'x'.repeat(600)}\n`),
    send(`${'x'.repeat(600)}:long\n`),
  );
});

should('57', SINCE_1_1, 'refuses a header line that never ends', async (version) => {
  ownServerOnly('the limits have to be known');
  await refuses(() => server.connect(version), `SEND\ndestination:${topic()}\nendless:${'x'.repeat(600)}`);
});

should('57', SINCE_1_1, 'refuses a body that is too big, by its content-length or as it comes', async (version) => {
  ownServerOnly('the limits have to be known');
  await refuses(
    () => server.connect(version),
    `SEND\ndestination:${topic()}\ncontent-length:4097\n\n`,
    send('', 'x'.repeat(4097)),
    `SEND\ndestination:${topic()}\n\n${'x'.repeat(4097)}`,
  );
});

choice('57', ALL, 'says what was too big, in 1.0 as well', async (version) => {
  ownServerOnly('the limits have to be known');
  const [error] = await refuses(() => server.connect(version), send('', 'x'.repeat(5000)));

  expect(error?.text).toMatch(/4,?096/);
});

rule(
  '58',
  SINCE_1_1,
  'copes with clients that come and go in a moment, and loses nothing that they sent',
  async (version) => {
    const destination = queue();
    const receiver = await server.connect(version);
    await receiver.subscribe(destination);
    const bodies = Array.from({ length: 100 }, (_, index) => `client ${index}`);

    for (const body of bodies) {
      const client = await server.open();
      client.write(`${server.connectFrame(version)}SEND\ndestination:${destination}\n\n${body}\0DISCONNECT\n\n\0`);
      client.end();
    }

    expect((await receiver.texts(100)).sort()).toEqual(bodies.sort());
  },
);

rule('58', ONLY_1_2, 'copes with clients that break the connection at any stage', async (version) => {
  for (let count = 0; count < 30; count++) {
    const client = await server.open();
    const octets = `${server.connectFrame(version)}SUBSCRIBE\nid:1\ndestination:${topic()}\n\n\0`;
    client.write(octets.slice(0, (count * octets.length) / 30));
    client.destroy();
  }

  const survivor = await server.connect(version);
  await survivor.receipted('SEND', { destination: topic() }, 'body');
});

may('152', ALL, 'limits the length of the command', async (version) => {
  await refuses(() => server.connect(version), 'X'.repeat(2000), `${'X'.repeat(2000)}\n\n\0`);
});

may('152', SINCE_1_1, 'limits what comes before CONNECT', async (version) => {
  const lines = Array.from({ length: 15 }, (_, index) => `h${index}:${'x'.repeat(400)}\n`).join('');
  const body = 'x'.repeat(70_000);

  await refuses(() => server.open(), `CONNECT\naccept-version:${version}\nhost:${server.vhost}\n${lines}\n${body}\0`);
});
