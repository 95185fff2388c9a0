// Plays a scenario with @stomp/stompjs over @stomp/tcp-wrapper and prints what it sees, a JSON object a line.

import { Client, Versions } from '@stomp/stompjs';
import { TCPWrapper } from '@stomp/tcp-wrapper';

const [scenario, host, port, login, passcode, version, destination] = process.argv.slice(2);
const source = `${destination}-in`;
const say = (seen) => process.stdout.write(`${JSON.stringify(seen)}\n`);

const client = new Client({
  webSocketFactory: () => new TCPWrapper(host, Number(port)),
  stompVersions: new Versions([version]),
  connectHeaders: { login, passcode: scenario === 'refused' ? 'wrong' : passcode, host },
  reconnectDelay: 20,
  heartbeatIncoming: 10_000,
  heartbeatOutgoing: 10_000,
});

const waiting = [];
const messages = [];
const onMessage = (message) => (waiting.length > 0 ? waiting.shift()(message) : messages.push(message));
const subscribe = (ack) => client.subscribe(source, onMessage, { ack, id: 'sub' });
const take = () => new Promise((resolve) => (messages.length > 0 ? resolve(messages.shift()) : waiting.push(resolve)));
const redelivered = ({ headers }) => headers.redelivered === 'true';
const report = (message) => say({ message: message.body, redelivered: redelivered(message) });

const acknowledge = async () => {
  subscribe(scenario);
  const got = [await take(), await take(), await take()];
  for (const { body } of got) say({ message: body });
  got[1].ack();
};

let times = 0;

const scenarios = {
  connect: () => say({ connected: client.connectedVersion }),
  send: () =>
    new Promise((resolve) => {
      client.watchForReceipt('sent', () => resolve(say({ receipt: true })));
      const headers = { 'content-type': 'text/plain', kind: 'a:b', receipt: 'sent' };
      client.publish({ destination, body: 'héllo', headers });
    }),
  binary: async () => {
    subscribe('auto');
    const { binaryBody } = await take();
    say({ message: Buffer.from(binaryBody).toString('hex') });
    client.publish({ destination, binaryBody });
  },
  auto: async () => {
    subscribe('auto');
    for (let i = 0; i < 3; i++) say({ message: (await take()).body });
  },
  client: acknowledge,
  'client-individual': acknowledge,
  nack: async () => {
    subscribe('client-individual');
    const first = await take();
    report(first);
    first.nack();
    const again = await take();
    report(again);
    again.ack();
  },
  transaction: async () => {
    subscribe('client-individual');
    const [first, second] = [await take(), await take()];
    const undone = client.begin('t1');
    client.publish({ destination, body: 'undone', headers: { transaction: undone.id } });
    second.ack({ transaction: undone.id });
    undone.abort();
    const done = client.begin('t2');
    client.publish({ destination, body: 'done', headers: { transaction: done.id } });
    first.ack({ transaction: done.id });
    done.commit();
    say({ transactions: true });
  },
  // It connects again by itself, and calls `onConnect` again, where applications subscribe.
  reconnect: async () => {
    subscribe('client-individual');
    if (++times === 1) return (report(await take()), 'again');
    for (;;) {
      const message = await take();
      report(message);
      message.ack();
      if (message.body === 'end') return;
    }
  },
};

client.onStompError = ({ headers }) => {
  if (scenario === 'reconnect') return;
  say({ refused: headers.message });
  void client.deactivate();
};
client.onConnect = async () => {
  if ((await scenarios[scenario]()) === 'again') return;
  client.onDisconnect = () => say({ disconnected: true });
  await client.deactivate();
};
client.activate();
