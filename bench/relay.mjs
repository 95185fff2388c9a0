// The reference of the bench: the least that a process of Node can do and still hand valid MESSAGE frames to subscribers.
// It is no broker. It takes it that all SENDs of a connection have the same headers and bodies without NUL, answers only
// what the generator asks, parses no headers on the way and bounds no memory.
//   node bench/relay.mjs PORT [--blind]     --blind: does not even look for frames, to find the generator's own limit
import { createServer } from 'node:net';

const [port, mode] = process.argv.slice(2);
const blind = mode === '--blind';
const HIGH = 4 * 1024 * 1024;
const subscribers = new Map();

const of = (text, name) => new RegExp(`\n${name}:([^\n]*)`).exec(text)?.[1];

createServer({ noDelay: true }, (socket) => {
  const mine = [];
  const ends = [];
  let rest;
  let readers; // Of the destination of this connection's SENDs.
  let head = 0; // The length of their headers.
  let copies = [];

  function answer(text) {
    if (text.startsWith('CONNECT')) socket.write('CONNECTED\nversion:1.2\n\n\0');
    if (text.startsWith('SUBSCRIBE')) {
      const destination = of(text, 'destination');
      const ack = of(text, 'ack') === 'auto' ? '' : 'ack:1\n';
      const header = `MESSAGE\nsubscription:${of(text, 'id')}\nmessage-id:1\n${ack}destination:${destination}\n\n`;
      const list = listOf(destination);
      const reader = { socket, header: Buffer.from(header) };
      list.push(reader);
      mine.push([list, reader]);
    }
    if (text.startsWith('SEND')) readers = listOf(of(text, 'destination'));
    const receipt = of(text, 'receipt');
    if (receipt !== undefined) socket.write(`RECEIPT\nreceipt-id:${receipt}\n\n\0`);
  }

  /** Sends the bodies of the frames of which the ends stand in `ends` to each reader, in one piece. */
  function deliver(buffer, from, count) {
    const bodies = ends[count - 1] + 1 - from - count * head;
    for (const { socket: to, header } of readers) {
      const out = Buffer.allocUnsafe(bodies + count * header.length);
      for (let i = 0, start = from, at = 0; i < count; i++) {
        at += header.copy(out, at);
        at += buffer.copy(out, at, start + head, ends[i] + 1);
        start = ends[i] + 1;
      }
      to.write(out);
      if (to.writableLength > HIGH && !socket.isPaused()) {
        socket.pause();
        to.once('drain', () => socket.resume());
      }
    }
  }

  /** As many frames as have come, made beforehand. */
  function replay(chunk) {
    const { stride, frames } = copies;
    copies.bytes += chunk.length;
    const count = Math.floor(copies.bytes / stride);
    copies.bytes -= count * stride;
    for (const { socket: to } of readers) to.write(frames.subarray(0, (frames.length / copies.most) * count));
  }

  socket.on('data', (chunk) => {
    if (copies.frames !== undefined) return replay(chunk);
    const buffer = rest === undefined ? chunk : Buffer.concat([rest, chunk]);
    let start = 0;
    let from = 0;
    let count = 0;
    for (;;) {
      // A frame begins where the one before it ended; from where no NUL can be, it is looked for.
      const end = buffer.indexOf(0, start);
      if (end < 0) break;
      const isSend = buffer[start] === 83 && buffer[start + 1] === 69;
      if (isSend) {
        if (readers === undefined) {
          head = buffer.indexOf('\n\n', start) + 2 - start;
          answer(buffer.latin1Slice(start, end));
          if (blind) {
            const most = 4096;
            const frame = Buffer.concat([readers[0].header, buffer.subarray(start + head, end + 1)]);
            copies = { stride: end + 1 - start, bytes: buffer.length - start, most };
            copies.frames = Buffer.concat(Array.from({ length: most }, () => frame));
            return replay(Buffer.alloc(0));
          }
        }
        ends[count++] = end;
      } else {
        if (buffer[start] !== 65) answer(buffer.latin1Slice(start, end)); // ACKs need no answer.
        from = end + 1;
      }
      start = end + 1;
    }
    if (count > 0) deliver(buffer, from, count);
    rest = start < buffer.length ? buffer.subarray(start) : undefined;
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    for (const [list, reader] of mine) list.splice(list.indexOf(reader), 1);
  });
}).listen(Number(port), '127.0.0.1', function () {
  process.stdout.write(`listening stomp://127.0.0.1:${this.address().port}\n`);
});

function listOf(destination) {
  if (!subscribers.has(destination)) subscribers.set(destination, []);
  return subscribers.get(destination);
}
