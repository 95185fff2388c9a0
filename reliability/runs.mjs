/*
 * What is done to a broker, whichever it is: through this project's own client, over TCP.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { StompClient } from 'nestjs-stomp/client';

/** How long anything may take that has to come to its end, in ms. */
const PATIENCE = 240_000;

/** A way to open connections that can be cut, each of them or all. */
export function makeLines() {
  const sockets = new Set();
  const dial = async ({ host, port }, { signal }) => {
    const socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    try {
      await once(socket, 'connect', { signal });
    } catch (error) {
      socket.destroy();
      throw error;
    }
    return socket;
  };
  return {
    dial,
    cut() {
      for (const socket of sockets) socket.destroy();
    },
  };
}

export const makeClient = ({ url, login, passcode }, options = {}) => {
  const client = new StompClient({ url, login, passcode, host: '/', ...options });
  client.on('error', () => undefined);
  return client;
};

export async function until(what, holds, patience = PATIENCE) {
  const due = performance.now() + patience;
  while (!holds()) {
    if (performance.now() > due) throw new Error(`not within ${patience} ms: ${what}`);
    await sleep(5);
  }
}

/**
 * Many connections that all subscribe, are cut at once, come back by themselves, and leave.
 *
 * @returns connections held, ms until all had subscribed, ms until all were served again, messages that were missed
 */
export async function herd(target, count) {
  const lines = makeLines();
  const latest = new Map();
  const clients = Array.from({ length: count }, (_, index) => {
    const client = makeClient(target, { dial: lines.dial, heartbeat: { outgoing: 0, incoming: 0 } });
    client.subscribe('/topic/herd', ({ text }) => void latest.set(index, Number(text)));
    return client;
  });
  // Thousands of clients in one process are too slow for heart-beats of their own.
  const publisher = makeClient(target, { heartbeat: { outgoing: 0, incoming: 0 }, receiptTimeout: PATIENCE });
  await publisher.connect();
  let number = 0;
  /** Whether everybody has had a message that was sent from now on. */
  const served = async () => {
    const first = ++number;
    await publisher.publish('/topic/herd', String(first));
    const have = () => latest.size === count && [...latest.values()].every((seen) => seen >= first);
    const due = performance.now() + PATIENCE;
    let next = performance.now() + 100;
    while (!have()) {
      if (performance.now() > due) return false;
      if (performance.now() > next) {
        await publisher.publish('/topic/herd', String(++number));
        next = performance.now() + 250;
      }
      await sleep(5);
    }
    return true;
  };
  const connected = () => clients.filter(({ state }) => state === 'connected').length;

  const began = performance.now();
  // A few at a time: what happens when all come at once is asked later.
  for (let at = 0; at < count; at += 100) {
    await Promise.all(clients.slice(at, at + 100).map((client) => client.connect()));
  }
  const complete = await served();
  const arrival = performance.now() - began;
  const held = connected();

  const cut = performance.now();
  lines.cut();
  await until('all have noticed', () => connected() === 0 || performance.now() - cut > 1_000);
  const returned = (await served()) && connected() === count;
  const recovery = performance.now() - cut;

  // Nobody comes and goes any more: each message comes to each, once.
  let got = 0;
  for (const client of clients) client.on('frame', ({ command }) => void (got += command === 'MESSAGE' ? 1 : 0));
  for (let n = 0; n < 3; n++) await publisher.publish('/topic/herd', String(++number));
  await until('the last messages', () => got >= 3 * count).catch(() => undefined);
  await Promise.all(clients.map((client) => client.disconnect({ deadline: 30_000 })));
  await publisher.disconnect();
  return { held, complete, arrival, returned, recovery, missed: 3 * count - got };
}

/**
 * A queue between publishers and consumers whose connections are cut again and again.
 *
 * @returns messages that were receipted; those of them that never came; those that came more than once, and said so or not
 */
export async function cuts(target, milliseconds, publishers = 4, consumers = 4) {
  const queue = `/queue/cuts-${process.pid}-${Date.now()}`;
  const reconnect = { initialDelay: 20, maxDelay: 200 };
  const crowd = Array.from({ length: publishers + consumers }, () => {
    const lines = makeLines();
    return { lines, client: makeClient(target, { dial: lines.dial, reconnect }) };
  });
  await Promise.all(crowd.map(({ client }) => client.connect()));
  const seen = new Map();
  let unsaid = 0;
  for (const { client } of crowd.slice(publishers)) {
    client.subscribe(
      queue,
      (message) => {
        const count = seen.get(message.text) ?? 0;
        seen.set(message.text, count + 1);
        if (count > 0 && message.headers.get('redelivered') !== 'true') unsaid++;
      },
      { ack: 'client-individual' },
    );
  }
  const due = performance.now() + milliseconds;
  const receipted = new Set();
  let serial = 0;
  const publish = async (client) => {
    while (performance.now() < due) {
      const bodies = Array.from({ length: 20 }, () => `m${serial++}`);
      await Promise.all(
        bodies.map((body) =>
          client.publish(queue, body, { headers: { persistent: 'true' } }).then(
            () => receipted.add(body),
            // Nobody knows whether the broker has it.
            () => sleep(5),
          ),
        ),
      );
    }
  };
  let cut = 0;
  const breaking = (async () => {
    while (performance.now() < due) {
      await sleep(20 + Math.random() * 100);
      crowd[Math.floor(Math.random() * crowd.length)].lines.cut();
      cut++;
    }
  })();
  await Promise.all([breaking, ...crowd.slice(0, publishers).map(({ client }) => publish(client))]);
  const lost = () => [...receipted].filter((body) => !seen.has(body)).length;
  await until('everything that was receipted', () => lost() === 0, 20_000).catch(() => undefined);
  await Promise.all(crowd.map(({ client }) => client.disconnect({ deadline: 5_000 })));
  const twice = [...seen.values()].filter((count) => count > 1).length;
  return { receipted: receipted.size, cuts: cut, lost: lost(), twice, unsaid };
}

/**
 * The longest time for which a client that asks for a heart-beat each second hears nothing, while others send and take as
 * much as they can.
 */
export async function beats(target, milliseconds, load = 4) {
  const { hostname, port } = new URL(target.url);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  const login = target.login === undefined ? '' : `login:${target.login}\npasscode:${target.passcode}\n`;
  socket.write(`CONNECT\naccept-version:1.2\nhost:/\nheart-beat:0,1000\n${login}\n\0`);
  await once(socket, 'data');
  let last = performance.now();
  let longest = 0;
  const look = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  };
  socket.on('data', look);
  const clients = Array.from({ length: 2 * load }, () => makeClient(target));
  await Promise.all(clients.map((client) => client.connect()));
  let messages = 0;
  for (const [index, client] of clients.slice(load).entries()) {
    client.subscribe(`/queue/load-${index}`, () => void messages++);
  }
  const due = performance.now() + milliseconds;
  const body = 'x'.repeat(1_024);
  await Promise.all(
    clients.slice(0, load).map(async (client, index) => {
      while (performance.now() < due) {
        await Promise.all(Array.from({ length: 200 }, () => client.publish(`/queue/load-${index}`, body)));
      }
    }),
  );
  look();
  socket.destroy();
  await Promise.all(clients.map((client) => client.disconnect({ deadline: 5_000 })));
  return { gap: longest, messages };
}
