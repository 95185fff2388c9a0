// The generator of the bench: one measurement of a broker that listens, as one line of JSON.
//   node bench/load.mjs '{"port":61613,"pids":[1234],"messages":100000}'
// Frames are made beforehand and written in blocks of 64 KiB; what comes back is counted by its NULs, which bodies do not
// hold. All plain sockets read into one buffer. `npm run bench -- --limit` shows how much of its core that takes.
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { clearTimeout, setImmediate, setTimeout } from 'node:timers';
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuTime, memoryOf } from './cpu.mjs';

const BLOCK = 64 * 1024;
const STAMP = 16;
/** Digits of a receipt's id. */
const ID = 8;
const incoming = Buffer.allocUnsafeSlow(256 * 1024);
const job = {
  publishers: 1,
  consumers: 1,
  destinations: 1,
  destination: '/topic/bench',
  subscribeTo: undefined,
  size: 128,
  ack: 'auto',
  messages: 10_000,
  mode: 'throughput',
  rate: 5000,
  /** How many messages may be without their receipt; 0 asks for none. */
  window: 0,
  sendHeaders: [],
  subscribeHeaders: [],
  /** How long the measurement may take, in ms. */
  patience: 60_000,
  ...JSON.parse(process.argv[2]),
};

const lines = (...headers) => headers.map((header) => `${header}\n`).join('');

/** Writes a frame and waits for the answer that begins like this; resolves to it. */
function ask(peer, frame, expected) {
  return new Promise((resolve, reject) => {
    let text = '';
    peer.take = (chunk) => {
      text += chunk.latin1Slice();
      if (!text.includes('\0')) return;
      peer.socket.off('close', gone);
      if (text.trimStart().startsWith(expected)) resolve(text);
      else reject(new Error(`not ${expected} but ${text.slice(0, 300)}`));
    };
    const gone = () => reject(new Error(`the broker closed the connection instead of answering ${expected}`));
    peer.socket.on('close', gone).write(frame);
  });
}

let server = '';

/** A connection, with `take` for whatever comes; the chunk is only good until it returns. */
async function open() {
  const { port, ca, login, passcode } = job;
  const peer = { take: () => undefined };
  const callback = (length) => {
    peer.take(incoming.subarray(0, length));
    return true;
  };
  peer.socket = ca
    ? connectTls({ port, host: '127.0.0.1', ca, servername: 'localhost' }).on('data', (chunk) => peer.take(chunk))
    : connect({ port, host: '127.0.0.1', noDelay: true, onread: { buffer: incoming, callback } });
  peer.socket.on('error', (error) => fail(error));
  const credentials = login === undefined ? [] : [`login:${login}`, `passcode:${passcode}`];
  const headers = lines('accept-version:1.2', 'host:/', 'heart-beat:0,0', ...credentials);
  const connected = await ask(peer, `CONNECT\n${headers}\n\0`, 'CONNECTED');
  server = /\nserver:([^\n]*)/.exec(connected)?.[1] ?? '';
  // Whoever is sent away in the middle of a run is told why.
  peer.take = (chunk) => fail(new Error(`the broker says ${chunk.latin1Slice(0, 300)}`));
  peer.socket.on('close', () => fail(new Error('the broker closed a connection')));
  return peer;
}

const name = (base, i) => (job.destinations > 1 ? `${base}.${i % job.destinations}` : base);
let delivered = 0;
let expected = Infinity;
let done;
let fail;
const finished = new Promise((resolve, reject) => ([done, fail] = [resolve, reject]));
finished.catch(() => undefined);
const latencies = [];

async function consume(i) {
  const peer = await open();
  const destination = name(job.subscribeTo ?? job.destination, i);
  const headers = lines(`id:s${i}`, `destination:${destination}`, `ack:${job.ack}`, ...job.subscribeHeaders);
  // What waits there already comes at once, maybe before a receipt.
  if (job.mode === 'drain') peer.socket.write(`SUBSCRIBE\n${headers}\n\0`);
  else await ask(peer, `SUBSCRIBE\nreceipt:r\n${headers}\n\0`, 'RECEIPT');
  const whole = job.ack !== 'auto' || job.mode === 'latency';
  peer.take = whole ? reader(peer.socket) : counter();
}

/** Counts frames; a body is jumped over. */
function counter() {
  let seen = 0; // Octets of a frame that is not whole yet.
  return (chunk) => {
    let at = 0;
    for (;;) {
      const end = chunk.indexOf(0, at + Math.max(0, job.size - seen));
      if (end < 0) break;
      delivered++;
      at = end + 1;
      seen = 0;
    }
    seen += chunk.length - at;
    if (delivered >= expected) done();
  };
}

/** Acknowledges frames, or reads when they were due. */
function reader(socket) {
  let rest;
  return (chunk) => {
    const buffer = rest === undefined ? chunk : Buffer.concat([rest, chunk]);
    const now = performance.now();
    let acks = '';
    let at = 0;
    for (;;) {
      const end = buffer.indexOf(0, at + job.size);
      if (end < 0) break;
      delivered++;
      if (job.mode === 'latency') {
        const stamp = buffer.latin1Slice(end - job.size, end - job.size + STAMP);
        latencies.push(now * 1000 - Number(stamp));
      } else {
        const from = buffer.indexOf('\nack:', at) + 5;
        acks += `ACK\nid:${buffer.latin1Slice(from, buffer.indexOf(10, from))}\n\n\0`;
      }
      at = end + 1;
    }
    if (acks !== '') socket.write(acks, 'latin1');
    rest = at < buffer.length ? Buffer.from(buffer.subarray(at)) : undefined;
    if (delivered >= expected) done();
  };
}

const frame = (i, ...more) => {
  const named = [`destination:${name(job.destination, i)}`, `content-length:${job.size}`];
  const headers = lines(...named, ...job.sendHeaders, ...more);
  return Buffer.from(`SEND\n${headers}\n${'x'.repeat(job.size)}\0`, 'latin1');
};

function publish(socket, i, messages) {
  const one = frame(i);
  const most = Math.max(1, Math.floor(BLOCK / one.length));
  const block = Buffer.concat(Array.from({ length: Math.min(most, messages) }, () => one));
  let left = messages;
  const pump = () => {
    while (left > 0) {
      const count = Math.min(left, most);
      left -= count;
      if (!socket.write(block.subarray(0, count * one.length))) return void socket.once('drain', pump);
    }
  };
  pump();
}

/** Sends as many as the window allows, and more with every receipt. */
function publishInWindow(peer, i, messages) {
  const one = frame(i, `receipt:${''.padStart(ID, '0')}`);
  const id = one.indexOf('\nreceipt:') + '\nreceipt:'.length;
  let sent = 0;
  let confirmed = 0;
  const pump = () => {
    const count = Math.min(messages - sent, job.window - (sent - confirmed));
    if (count <= 0) return;
    const block = Buffer.allocUnsafe(count * one.length);
    for (let k = 0; k < count; k++) {
      one.copy(block, k * one.length);
      block.latin1Write(String(sent++).padStart(ID, '0'), k * one.length + id, ID);
    }
    peer.socket.write(block);
  };
  peer.take = (chunk) => {
    if (chunk.includes('ERROR\n')) return fail(new Error(`the broker says ${chunk.latin1Slice(0, 300)}`));
    const before = confirmed;
    for (let at = chunk.indexOf(0); at >= 0; at = chunk.indexOf(0, at + 1)) confirmed++;
    if (job.consumers === 0) delivered += confirmed - before;
    if (delivered >= expected) done();
    pump();
  };
  pump();
}

/** Sends at a steady rate; each body says when it was due, so that what waits in the generator counts too. */
function pace(socket, messages) {
  const one = frame(0);
  const body = one.length - 1 - job.size;
  const begin = performance.now();
  let sent = 0;
  const tick = () => {
    const due = Math.min(messages, Math.floor(((performance.now() - begin) * job.rate) / 1000));
    for (; sent < due; sent++) {
      const stamp = String(Math.round((begin + (sent * 1000) / job.rate) * 1000)).padStart(STAMP, '0');
      const copy = Buffer.from(one);
      copy.latin1Write(stamp, body);
      socket.write(copy);
    }
    if (sent < messages) setImmediate(tick);
  };
  tick();
}

async function main() {
  const late = () => fail(new Error(`${delivered} of ${expected} came within ${job.patience} ms`));
  const timer = setTimeout(late, job.patience);
  const memory = memoryOf(job.pids);
  const drains = job.mode === 'drain';
  const subscribe = async () => {
    for (let i = 0; i < job.consumers; i++) await Promise.race([consume(i), finished]);
  };
  if (!drains) await subscribe();
  if (job.mode === 'idle') {
    await sleep(2000);
    return { server, kib: (memoryOf(job.pids) - memory) / job.consumers };
  }
  const publishers = [];
  if (!drains) for (let i = 0; i < job.publishers; i++) publishers.push(await Promise.race([open(), finished]));
  const each = Math.ceil(job.messages / job.publishers);
  const isQueue = job.ack !== 'auto';
  expected = each * job.publishers * (isQueue ? 1 : job.consumers / job.destinations);
  const begin = performance.now();
  const cpu = cpuTime(job.pids);
  const own = process.cpuUsage();
  if (drains) await subscribe();
  else if (job.mode === 'latency') pace(publishers[0].socket, each);
  else if (job.window > 0) publishers.forEach((peer, i) => publishInWindow(peer, i, each));
  else publishers.forEach(({ socket }, i) => publish(socket, i, each));
  await finished;
  const seconds = (performance.now() - begin) / 1000;
  const { user, system } = process.cpuUsage(own);
  clearTimeout(timer);
  const used = cpuTime(job.pids) - cpu;
  // Half of them are warm-up.
  const sorted = latencies.slice(latencies.length >> 1).sort((a, b) => a - b);
  const at = (share) => sorted[Math.floor(sorted.length * share)];
  return {
    server,
    destination: job.destination,
    delivered,
    seconds,
    perSecond: delivered / seconds,
    perCpuSecond: delivered / used,
    cpu: used,
    generatorCpu: (user + system) / 1e6,
    share: (user + system) / 1e6 / used,
    ...(job.mode === 'latency' && { p50: at(0.5), p99: at(0.99), p999: at(0.999) }),
  };
}

try {
  process.stdout.write(`${JSON.stringify(await main())}\n`, () => process.exit(0));
} catch (error) {
  process.stderr.write(`${error.message}\n`, () => process.exit(1));
}
