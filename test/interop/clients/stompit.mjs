// Plays a scenario with stompit and prints what it sees, a JSON object a line.

import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import stompit from 'stompit';

const [scenario, host, port, login, passcode, version, destination, ca] = process.argv.slice(2);
const source = `${destination}-in`;
const say = (seen) => process.stdout.write(`${JSON.stringify(seen)}\n`);

const options = {
  host,
  port: Number(port),
  ...(ca ? { ssl: true, ca: readFileSync(ca) } : {}),
  connectHeaders: {
    'accept-version': version,
    host,
    login,
    passcode: scenario === 'refused' ? 'wrong' : passcode,
    'heart-beat': '10000,10000',
  },
};

const waiting = [];
const messages = [];
const take = () => new Promise((resolve) => (messages.length > 0 ? resolve(messages.shift()) : waiting.push(resolve)));

let client;
const connections = [];
const connected = new Promise((resolve) => connections.push(resolve));
const reconnected = new Promise((resolve) => connections.push(resolve));

/** It hands out streams: the body is read before the next frame comes. */
const subscribe = (ack) =>
  client.subscribe({ destination: source, id: 'sub', ack }, async (error, stream) => {
    if (error) return;
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const message = { stream, body, text: body.toString(), redelivered: stream.headers.redelivered === 'true' };
    if (waiting.length > 0) waiting.shift()(message);
    else messages.push(message);
  });
const report = ({ text, redelivered }) => say({ message: text, redelivered });

const acknowledge = async () => {
  subscribe(scenario);
  const got = [await take(), await take(), await take()];
  for (const { text } of got) say({ message: text });
  client.ack(got[1].stream);
};

const scenarios = {
  connect: () => say({ connected: client.headers.version }),
  send: () =>
    new Promise((resolve) => {
      const headers = { destination, 'content-type': 'text/plain', kind: 'a:b' };
      client.send(headers, { onReceipt: () => resolve(say({ receipt: true })) }).end('héllo');
    }),
  binary: async () => {
    subscribe('auto');
    const { body } = await take();
    say({ message: body.toString('hex') });
    client.send({ destination, 'content-length': body.length }).end(body);
  },
  auto: async () => {
    subscribe('auto');
    for (let i = 0; i < 3; i++) say({ message: (await take()).text });
  },
  client: acknowledge,
  'client-individual': acknowledge,
  nack: async () => {
    subscribe('client-individual');
    const first = await take();
    report(first);
    client.nack(first.stream);
    const again = await take();
    report(again);
    client.ack(again.stream);
  },
  transaction: async () => {
    subscribe('client-individual');
    const [first, second] = [await take(), await take()];
    const undone = client.begin('t1');
    undone.send({ destination }).end('undone');
    client.ack(second.stream, { transaction: 't1' });
    undone.abort();
    const done = client.begin('t2');
    done.send({ destination }).end('done');
    client.ack(first.stream, { transaction: 't2' });
    done.commit();
    say({ transactions: true });
  },
  reconnect: async () => {
    subscribe('client-individual');
    report(await take());
    await reconnected;
    subscribe('client-individual');
    for (;;) {
      const message = await take();
      report(message);
      client.ack(message.stream);
      if (message.text === 'end') return;
    }
  },
};

if (scenario === 'refused') {
  stompit.connect(options, (error) => say({ refused: error.message }));
} else {
  const failover = new stompit.ConnectFailover([options], { initialReconnectDelay: 10, useExponentialBackOff: false });
  failover.connect((error, made, reconnect) => {
    if (error) throw error;
    client = made;
    client.on('error', reconnect);
    connections.shift()();
  });
  await connected;
  await scenarios[scenario]();
  await promisify(client.disconnect.bind(client))();
  say({ disconnected: true });
}
