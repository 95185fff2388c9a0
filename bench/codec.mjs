// The decoder alone, beside the parsers of other people's clients and a bare scan for NUL, in turns.
//   npm run build && node bench/codec.mjs [RUNS]
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chunksOf, decoder, decoderRead, scan } from './decoder.mjs';
import { cpuOf, given, keep } from './keep.mjs';
import { table } from './report.mjs';
import { median } from './turns.mjs';

const require = createRequire(import.meta.url);
const [runs] = given({ runs: 5 });
const FRAMES = 1_000_000;
const stompjs = join(require.resolve('@stomp/stompjs'), '../../esm6');
const { Parser } = await import(join(stompjs, 'parser.js'));
const { FrameImpl } = await import(join(stompjs, 'frame-impl.js'));

function stompjsParser(part) {
  let count = 0;
  let octets = 0;
  const one = new Parser(
    (raw) => {
      count++;
      octets += FrameImpl.fromRawFrame(raw, true).body.length;
    },
    () => undefined,
  );
  for (const chunk of part) one.parseChunk(chunk);
  return octets > 0 ? count : 0;
}

const IncomingFrameStream = require('stompit/lib/IncomingFrameStream');

/** It is a stream of streams: each body has to be read to its end. */
function stompitStream(part) {
  return new Promise((resolve, reject) => {
    const expected = scan(part);
    const stream = new IncomingFrameStream();
    let count = 0;
    stream.setVersion('1.2');
    stream.on('error', reject);
    const next = () => {
      const incoming = stream.read();
      if (incoming === null) return void stream.once('readable', next);
      incoming.on('error', reject);
      incoming.on('end', () => (++count === expected ? resolve(count) : next()));
      incoming.resume();
    };
    next();
    const feed = (i) => i < part.length && stream.write(part[i], () => feed(i + 1));
    feed(0);
  });
}

// Slow ones get less to do.
const share = (of) => chunksOf(FRAMES * of);
const all = share(1);
const subjects = [
  { name: 'a bare scan for NUL', work: scan, part: all },
  { name: 'FrameDecoder', work: decoder, part: all },
  { name: 'FrameDecoder, a header and the body read', work: decoderRead, part: all },
  { name: '@stomp/stompjs, Parser and FrameImpl', work: stompjsParser, part: share(0.1) },
  { name: 'stompit, IncomingFrameStream', work: stompitStream, part: share(0.02) },
];
const found = subjects.map(() => []);
// The first round is the warm-up.
for (let i = 0; i <= runs; i++) {
  for (const [k, { work, part }] of subjects.entries()) {
    const { result, seconds } = await cpuOf(() => work(part));
    if (i > 0) found[k].push(result / seconds);
  }
}
const rates = found.map(median);
const rows = subjects.map(({ name }, k) => [name, rates[k], rates[k] / rates[0], rates[1] / rates[k]]);
keep(
  'codec',
  'The decoder alone',
  `MESSAGE frames of 128 octets of body, in chunks of 64 KiB, per second of CPU time; medians of ${runs} runs in turns.\n\n` +
    table(['what', 'frames/s', 'of the scan', 'FrameDecoder is so many times as fast'], rows),
);
