// The client library beside @stomp/stompjs over TCP and stompit: receive with a handler that reads the text, and send.
//   npm run build && node bench/client.mjs [RUNS]
// Each client is a process of its own on one core; what it talks to, on the other, sends frames made beforehand and
// swallows what comes. The figures are messages per second of the client's CPU time.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { Client } from '@stomp/stompjs';
import { TCPWrapper } from '@stomp/tcp-wrapper';
import { StompClient } from 'nestjs-stomp/client';
import stompit from 'stompit';
import { cpuOf, given, keep } from './keep.mjs';
import { table } from './report.mjs';
import { settle } from './servers.mjs';
import { median, say } from './turns.mjs';

const HOST = '127.0.0.1';
const BODY = 'abcdefghijklmnopqrstuvwxyz012345'.repeat(4);
const WARM_UP = 20_000;
const DESTINATION = '/topic/bench';
/** Messages that are sent in one turn of the event loop. */
const BATCH = 500;

/** Each connects, and can then `receive` and `send` that many. */
const clients = {
  'nestjs-stomp/client': async (port) => {
    const client = new StompClient({ url: `stomp://${HOST}:${port}`, heartbeat: { outgoing: 0, incoming: 0 } });
    await client.connect();
    return {
      receive: (count) =>
        new Promise((resolve) => {
          const handle = counting(count, resolve);
          client.subscribe(`/feed/${count}`, (message) => handle(message.text));
        }),
      async send(count) {
        for (let i = 0; i < count; i++) if (!client.send(DESTINATION, BODY)) await client.drained();
        await client.publish(DESTINATION, BODY);
      },
    };
  },
  '@stomp/stompjs over TCP': async (port) => {
    const client = new Client({
      webSocketFactory: () => new TCPWrapper(HOST, port),
      heartbeatIncoming: 0,
      heartbeatOutgoing: 0,
    });
    await new Promise((resolve) => {
      client.onConnect = resolve;
      client.activate();
    });
    return {
      receive: (count) =>
        new Promise((resolve) => {
          const handle = counting(count, resolve);
          client.subscribe(`/feed/${count}`, (message) => handle(message.body));
        }),
      async send(count) {
        const body = BODY;
        for (let i = 0; i < count; i++) {
          client.publish({ destination: DESTINATION, body });
          if (i % BATCH === 0) await turn();
        }
        await new Promise((resolve) => {
          client.watchForReceipt('last', resolve);
          client.publish({ destination: DESTINATION, body, headers: { receipt: 'last' } });
        });
      },
    };
  },
  stompit: async (port) => {
    const client = await new Promise((resolve, reject) => {
      const connectHeaders = { host: HOST, 'heart-beat': '0,0' };
      stompit.connect({ host: HOST, port, connectHeaders }, (error, made) => (error ? reject(error) : resolve(made)));
    });
    return {
      receive: (count) =>
        new Promise((resolve, reject) => {
          const handle = counting(count, resolve);
          client.subscribe({ destination: `/feed/${count}`, ack: 'auto' }, (error, message) => {
            if (error) return reject(error);
            message.readString('utf-8', (failure, text) => (failure ? reject(failure) : handle(text)));
          });
        }),
      async send(count) {
        const headers = { destination: DESTINATION, 'content-length': BODY.length };
        for (let i = 0; i < count; i++) {
          client.send(headers).end(BODY);
          if (i % BATCH === 0) await turn();
        }
        await new Promise((resolve) => client.send(headers, { onReceipt: resolve }).end(BODY));
      },
    };
  },
};

function counting(count, done) {
  let left = count;
  return (text) => {
    if (text !== BODY) throw new Error(`not what was sent: ${text}`);
    if (--left === 0) done();
  };
}

/** Answers CONNECT and receipts, and a SUBSCRIBE to /feed/N with N messages. */
function serve(socket) {
  let tail = '';
  socket.on('data', (chunk) => {
    const text = tail + chunk.latin1Slice();
    const end = text.lastIndexOf('\0') + 1;
    tail = text.slice(end);
    const whole = text.slice(0, end);
    if (/^\s*(CONNECT|STOMP)\n/.test(whole)) socket.write('CONNECTED\nversion:1.2\n\n\0\n');
    const [, count] = /\ndestination:\/feed\/(\d+)\n/.exec(whole) ?? [];
    if (count !== undefined) feed(socket, /\nid:([^\n]*)/.exec(whole)[1], Number(count));
    for (const [, id] of whole.matchAll(/\nreceipt:([^\n]*)/g)) socket.write(`RECEIPT\nreceipt-id:${id}\n\n\0\n`);
  });
  socket.on('error', () => undefined);
}

function feed(socket, id, count) {
  const head = `MESSAGE\nsubscription:${id}\nmessage-id:1\ndestination:/feed/${count}\ncontent-type:text/plain\n`;
  const one = Buffer.from(`${head}content-length:${BODY.length}\n\n${BODY}\0\n`);
  const block = Buffer.concat(Array.from({ length: 250 }, () => one));
  const pump = () => {
    while (count > 0) {
      const some = Math.min(count, 250);
      count -= some;
      if (!socket.write(block.subarray(0, some * one.length))) return void socket.once('drain', pump);
    }
  };
  pump();
}

async function play(name, port, counts) {
  settle(1);
  const client = await clients[name](port);
  await client.receive(WARM_UP);
  const received = await cpuOf(() => client.receive(counts));
  await client.send(WARM_UP);
  const sent = await cpuOf(() => client.send(counts));
  process.send({ receive: counts / received.seconds, send: counts / sent.seconds }, () => process.exit());
}

async function main(runs) {
  settle(0);
  const server = createServer({ noDelay: true }, serve).listen(0, HOST);
  await once(server, 'listening');
  // So that each takes about as long.
  const counts = { 'nestjs-stomp/client': 500_000, '@stomp/stompjs over TCP': 50_000, stompit: 50_000 };
  const found = Object.fromEntries(Object.keys(clients).map((name) => [name, []]));
  for (let i = 0; i < runs; i++) {
    for (const name of Object.keys(clients)) {
      const child = fork(import.meta.filename, ['play', name, String(server.address().port), String(counts[name])]);
      const ended = once(child, 'exit').then(([code]) => Promise.reject(new Error(`${name} ended with ${code}`)));
      const [result] = await Promise.race([once(child, 'message'), ended]);
      ended.catch(() => undefined);
      found[name].push(result);
    }
    say(`run ${i + 1} of ${runs}`);
  }
  server.close();
  const of = (name, what) => median(found[name].map((result) => result[what]));
  const [ours] = Object.keys(clients);
  const rows = Object.keys(clients).map((name) => [
    name,
    ...['receive', 'send'].flatMap((what) => [of(name, what), of(ours, what) / of(name, what)]),
  ]);
  keep(
    'client',
    'The client library',
    `Messages of 128 octets per second of the client's CPU time, medians of ${runs} runs in turns.\n\n` +
      table(['client', 'receive', 'ours / that', 'send', 'ours / that'], rows),
  );
}

if (process.argv[2] === 'play') await play(process.argv[3], Number(process.argv[4]), Number(process.argv[5]));
else await main(...given({ runs: 5 }));
