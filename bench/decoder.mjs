// The decoder and the bare scan for NUL that it is measured by: the same MESSAGE frames for both, in the same chunks.
import { FrameDecoder } from 'nestjs-stomp/frame';

const CHUNK = 64 * 1024;
const frame = (i) =>
  `MESSAGE\nsubscription:0\nmessage-id:${i}\ndestination:/topic/bench\ncontent-type:text/plain\ncontent-length:128\n\n` +
  `${'abcdefghijklmnopqrstuvwxyz012345'.repeat(4)}\0`;

/** That many whole frames, in chunks. */
export function chunksOf(frames) {
  const bytes = Buffer.from(Array.from({ length: frames }, (_, i) => frame(i)).join(''), 'latin1');
  return Array.from({ length: Math.ceil(bytes.length / CHUNK) }, (_, i) => bytes.subarray(i * CHUNK, (i + 1) * CHUNK));
}

// Each tells how many frames there were.

export function scan(part) {
  let count = 0;
  for (const chunk of part) for (let at = chunk.indexOf(0); at >= 0; at = chunk.indexOf(0, at + 1)) count++;
  return count;
}

export function decoder(part) {
  let count = 0;
  const one = new FrameDecoder({ onFrame: () => count++, onHeartBeat: () => undefined });
  for (const chunk of part) one.push(chunk);
  return count;
}

export function decoderRead(part) {
  let count = 0;
  let octets = 0;
  const one = new FrameDecoder({
    onFrame(decoded) {
      count++;
      octets += decoded.headers.get('message-id').length + decoded.body.length;
    },
  });
  for (const chunk of part) one.push(chunk);
  return octets > 0 ? count : 0;
}
