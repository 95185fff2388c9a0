// The reference of the bench: the least that a process of Node can do and still hand valid MESSAGE frames to subscribers.
// It is no broker. It takes it that all SENDs of a connection are alike but for their bodies and receipts of one length,
// and that bodies hold no NUL; it answers only what the generator asks, parses no headers on the way and keeps no books.
//   node bench/relay.mjs PORT [--replay] [--key FILE --cert FILE]
// With --replay it does not even look for frames: it counts octets, and sends as many frames, made beforehand, as have
// come. That is less work than the generator has, so what comes out is what the generator can do.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { parseArgs } from 'node:util';

const {
  positionals: [port],
  values: { replay: replays, key, cert },
} = parseArgs({
  allowPositionals: true,
  options: { replay: { type: 'boolean' }, key: { type: 'string' }, cert: { type: 'string' } },
});
const HIGH = 4 * 1024 * 1024;
const SLAB = 256 * 1024;
const [A, S, E] = Buffer.from('ASE');
const subscribers = new Map();
const slabs = []; // That nobody writes from now.

const of = (text, name) => new RegExp(`\n${name}:([^\n]*)`).exec(text)?.[1];
const listOf = (destination) => subscribers.get(destination) ?? subscribers.set(destination, []).get(destination);
const take = (size) => (size > SLAB ? undefined : slabs.pop()) ?? Buffer.allocUnsafeSlow(Math.max(size, SLAB));
const give = (slab) => slab.length === SLAB && slabs.length < 64 && slabs.push(slab);

const serve = (socket) => {
  const mine = [];
  let parts = []; // Of a frame that is not whole yet.
  let waiting = 0;
  let sends; // What is known of this connection's SENDs, once there was one.

  function answer(text) {
    if (text.startsWith('CONNECT')) socket.write('CONNECTED\nversion:1.2\n\n\0');
    if (text.startsWith('SUBSCRIBE')) {
      const destination = of(text, 'destination');
      const ack = of(text, 'ack') === 'auto' ? '' : 'ack:1\n';
      const head = `MESSAGE\nsubscription:${of(text, 'id')}\nmessage-id:1\n${ack}destination:${destination}\n\n`;
      const reader = { socket, head: Buffer.from(head) };
      listOf(destination).push(reader);
      mine.push([listOf(destination), reader]);
    }
    const receipt = of(text, 'receipt');
    if (receipt !== undefined) socket.write(`RECEIPT\nreceipt-id:${receipt}\n\n\0`);
  }

  function learn(frame) {
    const head = frame.indexOf('\n\n') + 2;
    const text = frame.latin1Slice(0, head);
    const receipt = of(text, 'receipt');
    const readers = listOf(of(text, 'destination'));
    sends = {
      readers,
      head,
      stride: frame.length,
      receipt: receipt && [text.indexOf('\nreceipt:') + 9, receipt.length],
    };
    if (!replays) return;
    sends.octets = 0;
    sends.most = Math.max(1, Math.floor(SLAB / frame.length));
    sends.copies = readers.map((reader) => {
      const one = Buffer.concat([reader.head, frame.subarray(head)]);
      return { reader, one: one.length, all: Buffer.concat(Array.from({ length: sends.most }, () => one)) };
    });
  }

  function hold(reader) {
    if (reader.writableLength < HIGH || socket.isPaused()) return;
    socket.pause();
    reader.once('drain', () => socket.resume());
  }

  /** Passes on `count` frames that stand in the buffer from there on. */
  function deliver(buffer, from, count) {
    const { readers, head, stride, receipt } = sends;
    if (receipt !== undefined) confirm(buffer, from, count, ...receipt);
    for (const { socket: reader, head: ours } of readers) {
      const slab = take((ours.length + stride - head) * count);
      let at = 0;
      for (let i = 0, start = from; i < count; i++, start += stride) {
        at += ours.copy(slab, at);
        at += buffer.copy(slab, at, start + head, start + stride);
      }
      reader.write(slab.subarray(0, at), () => give(slab));
      hold(reader);
    }
  }

  function confirm(buffer, from, count, offset, length) {
    let text = '';
    for (let i = 0, at = from + offset; i < count; i++, at += sends.stride) {
      text += `RECEIPT\nreceipt-id:${buffer.latin1Slice(at, at + length)}\n\n\0`;
    }
    socket.write(text, 'latin1');
  }

  function replay(octets) {
    sends.octets += octets;
    let count = Math.floor(sends.octets / sends.stride);
    sends.octets -= count * sends.stride;
    for (; count > 0; count -= sends.most) {
      for (const { reader, one, all } of sends.copies) {
        reader.socket.write(all.subarray(0, one * Math.min(count, sends.most)));
        hold(reader.socket);
      }
    }
  }

  socket.on('data', (chunk) => {
    if (sends?.copies !== undefined) return replay(chunk.length);
    let buffer = chunk;
    if (waiting > 0) {
      parts.push(chunk);
      waiting += chunk.length;
      if (sends !== undefined && waiting < sends.stride) return;
      buffer = Buffer.concat(parts, waiting);
      parts = [];
      waiting = 0;
    }
    let at = 0;
    while (at < buffer.length) {
      const first = buffer.indexOf(0, at);
      if (first < 0) break;
      if (buffer[at] === S && buffer[at + 1] === E) {
        if (sends === undefined) learn(buffer.subarray(at, first + 1));
        if (sends.copies !== undefined) return replay(buffer.length - at);
        const { stride } = sends;
        let count = 0;
        for (let end = first; end === at + (count + 1) * stride - 1; end = buffer.indexOf(0, end + 1)) count++;
        if (count === 0) throw new Error('relay: the frames of a connection have to be alike');
        deliver(buffer, at, count);
        at += count * stride;
      } else {
        if (buffer[at] !== A) answer(buffer.latin1Slice(at, first)); // ACKs need no answer.
        at = first + 1;
      }
    }
    if (at < buffer.length) {
      parts = [buffer.subarray(at)];
      waiting = buffer.length - at;
    }
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    for (const [list, reader] of mine) list.splice(list.indexOf(reader), 1);
  });
};

const server = key ? createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }) : createServer();
server.on(key ? 'secureConnection' : 'connection', (socket) => serve(socket.setNoDelay(true)));
server.listen(Number(port), '127.0.0.1', function () {
  process.stdout.write(`listening stomp://127.0.0.1:${this.address().port}\n`);
});
