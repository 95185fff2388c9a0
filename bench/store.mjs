// node bench/store.mjs: the log of the durable store beside engines that others maintain. --help tells the options.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const help = `usage: node bench/store.mjs [options]          (after npm run build)

The same work on the log of nestjs-stomp-broker, and on lmdb and classic-level where they are installed
(npm install --no-save lmdb classic-level), each in processes of its own, with real syncs:

  sustained   messages put, synced, taken and removed, at most 256 of them not yet synced
  waiting     one publisher that waits for each message, beside a bare loop of write and fdatasync
  fill        messages that stay, ended by kill -9; memory and disk that they take
  recover     until all that wait are known, in order; then all of them are read and removed; space that is left

  --messages <n>     how many are filled in; 200000 by default
  --size <octets>    of a body; 300 by default
  --seconds <n>      how long sustained and waiting take; 3 by default
  --directory <dir>  on the disk to be measured; bench/results by default
  --engines <list>   of log,lmdb,level
  --help             this
`;
const WINDOW = 256;

function readOptions() {
  try {
    return parseArgs({
      options: {
        messages: { type: 'string', default: '200000' },
        size: { type: 'string', default: '300' },
        seconds: { type: 'string', default: '3' },
        directory: { type: 'string', default: join(import.meta.dirname, 'results') },
        engines: { type: 'string', default: 'log,lmdb,level' },
        help: { type: 'boolean', default: false },
        step: { type: 'string' },
        in: { type: 'string' },
      },
    }).values;
  } catch (error) {
    process.stderr.write(`bench: ${error.message.split('. ')[0]}; see node bench/store.mjs --help\n`);
    process.exit(2);
  }
}

const options = readOptions();
const messages = Number(options.messages);
const body = Buffer.alloc(Number(options.size), 'x');
// What is put is a message each time that came over the wire, and what is taken as well, whatever the engine.
const { FrameDecoder } = await import('../libs/stomp/dist/frame/index.js');
const { Message, packMessage, unpackMessage } = await import('../libs/stomp/dist/server/index.js');
const head = `SEND\ndestination:/queue/bench\npersistent:true\nreceipt:12345\ncontent-length:${body.length}\n\n`;
const chunk = Buffer.concat(new Array(64).fill([Buffer.from(head), body, Buffer.from('\0\n')]).flat());
const arrived = [];
const decoder = new FrameDecoder({ onFrame: (frame) => arrived.push(frame) });
const message = () => {
  if (arrived.length === 0) decoder.push(chunk);
  return new Message('/queue/bench', arrived.pop());
};
const packed = () => {
  const into = { bytes: Buffer.allocUnsafe(body.length + 1024), length: 0, room: () => undefined };
  packMessage(message(), into);
  return into.bytes.subarray(0, into.length);
};
const unpack = (value) => {
  if (unpackMessage(value).body.length !== body.length) throw new Error('a message is damaged');
};
const forMs = Number(options.seconds) * 1000;

/** Each has: put(number), remove(number), synced(), waiting(): how many there are, read(visit), close(). */
const engines = {
  async log(directory) {
    const { DiskStore } = await import('../libs/broker/dist/store/disk.js');
    const store = new DiskStore({ directory, report: (line) => console.error(line) });
    await store.open();
    const backlog = store.backlog('\0bench');
    return {
      put: () => void backlog.push(message(), undefined),
      remove: () => backlog.remove(backlog.shift()),
      synced: () =>
        new Promise((resolve, reject) => store.sync((error) => (error === undefined ? resolve() : reject(error)))),
      waiting: () => backlog.length,
      async drain() {
        for (let at = 0; backlog.length > 0; at++) {
          backlog.remove(backlog.shift());
          if (at % WINDOW === 0) await this.synced();
        }
      },
      close: () => store.close(),
    };
  },
  async lmdb(path) {
    const { open } = await import('lmdb');
    const db = open({ path, encoding: 'binary', keyEncoding: 'uint32', noSubdir: false });
    return {
      put: (number) => void db.put(number, packed()),
      remove: (number) => void db.remove(number),
      synced: async () => void (await db.flushed),
      waiting: () => [...db.getKeys()].length,
      async drain() {
        // Range by range: a transaction that is read for long keeps the pages of all that is removed meanwhile.
        for (let some; (some = [...db.getRange({ limit: WINDOW })]).length > 0;) {
          for (const { key, value } of some) {
            unpack(value);
            void db.remove(key);
          }
          await db.flushed;
        }
      },
      close: () => db.close(),
    };
  },
  async level(path) {
    const { ClassicLevel } = await import('classic-level');
    const db = new ClassicLevel(path, { keyEncoding: 'buffer', valueEncoding: 'buffer', compression: false });
    await db.open();
    const keyOf = (number) => {
      const key = Buffer.allocUnsafe(4);
      key.writeUInt32BE(number);
      return key;
    };
    let batch = [];
    let writing;
    // What comes while a batch is written makes the next one.
    const write = async () => {
      await writing;
      const operations = batch;
      batch = [];
      if (operations.length > 0) await db.batch(operations, { sync: true });
    };
    return {
      put: (number) => void batch.push({ type: 'put', key: keyOf(number), value: packed() }),
      remove: (number) => void batch.push({ type: 'del', key: keyOf(number) }),
      synced: () => (writing = write()),
      waiting: async () => (await db.keys().all()).length,
      async drain() {
        const entries = db.iterator();
        for (let some; (some = await entries.nextv(WINDOW)).length > 0;) {
          for (const [key, value] of some) {
            unpack(value);
            batch.push({ type: 'del', key });
          }
          await this.synced();
        }
        await entries.close();
      },
      close: () => db.close(),
    };
  },
};

const steps = {
  async sustained(engine) {
    let number = 0;
    let done = 0;
    const begun = performance.now();
    // Two halves of the window: while one is synced the other is filled.
    const half = async () => {
      while (performance.now() - begun < forMs) {
        const first = number;
        for (let i = 0; i < WINDOW / 2; i++) engine.put(number++);
        await engine.synced();
        for (let i = first; i < first + WINDOW / 2; i++) engine.remove(i);
        done += WINDOW / 2;
      }
    };
    await Promise.all([half(), half()]);
    await engine.synced();
    const took = performance.now() - begun;
    const cpu = process.cpuUsage();
    return { rate: (done / took) * 1000, perCpu: done / ((cpu.user + cpu.system) / 1e6), rss: peak() };
  },
  async waiting(engine, directory) {
    const fd = fs.openSync(join(directory, 'bare'), 'w');
    const ends = { own: 0, bare: 0 };
    const spent = { own: 0, bare: 0 };
    const sync = () => new Promise((resolve) => fs.fdatasync(fd, resolve));
    let number = 0;
    // In turns, so that what else the machine does falls on both.
    for (let turn = 0; spent.own + spent.bare < 2 * forMs; turn++) {
      const what = turn % 2 === 0 ? 'own' : 'bare';
      const begun = performance.now();
      while (performance.now() - begun < 100) {
        if (what === 'own') {
          engine.put(number++);
          await engine.synced();
        } else {
          fs.writeSync(fd, body);
          await sync();
        }
        ends[what]++;
      }
      spent[what] += performance.now() - begun;
    }
    fs.closeSync(fd);
    const rate = (ends.own / spent.own) * 1000;
    const bare = (ends.bare / spent.bare) * 1000;
    return { waiting: rate, bare, ofBare: rate / bare };
  },
  async fill(engine, directory) {
    const begun = performance.now();
    for (let number = 0; number < messages;) {
      for (let i = 0; i < WINDOW / 2 && number < messages; i++) engine.put(number++);
      await engine.synced();
    }
    const took = performance.now() - begun;
    const result = { fill: (messages / took) * 1000, fillRss: peak(), filled: sizeOf(directory) };
    fs.writeSync(1, JSON.stringify(result));
    process.kill(process.pid, 'SIGKILL');
  },
  async recover(engine, directory, begun) {
    const waiting = await engine.waiting();
    const recovered = performance.now() - begun;
    if (waiting !== messages) throw new Error(`${waiting} messages are there, of ${messages}`);
    const recoverRss = peak();
    const from = performance.now();
    await engine.drain();
    await engine.synced();
    const drain = (messages / (performance.now() - from)) * 1000;
    await engine.close();
    return { recovered, recoverRss, drain, drainRss: peak(), left: sizeOf(directory) };
  },
};

/** The most memory that this process ever had, in MB. */
const peak = () => process.resourceUsage().maxRSS / 1000;

/** What a directory takes on the disk, in MB; without the room that is kept for a full disk. */
function sizeOf(directory) {
  const names = readdirSync(directory, { recursive: true });
  const sizes = names.map((name) => (name === 'reserve' ? 0 : statSync(join(directory, name)).blocks * 512));
  return sizes.reduce((sum, size) => sum + size, 0) / 1e6;
}

async function run(name, step, directory) {
  // What it takes to load the code is no part of a recovery.
  if (name === 'log') await import('../libs/broker/dist/store/disk.js');
  else await import(name === 'level' ? 'classic-level' : name);
  const begun = performance.now();
  const engine = await engines[name](directory);
  const result = await steps[step](engine, directory, begun);
  await engine.close();
  fs.writeSync(1, JSON.stringify(result));
  process.exit(0);
}

function measure(name, step, directory) {
  const args = [import.meta.filename, '--step', step, '--engines', name, '--in', directory];
  for (const key of ['messages', 'size', 'seconds']) args.push(`--${key}`, options[key]);
  try {
    return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }));
  } catch (error) {
    if (error.signal === 'SIGKILL' && error.stdout) return JSON.parse(error.stdout);
    throw error;
  }
}

if (options.help) console.log(help);
else if (options.step !== undefined) await run(options.engines, options.step, options.in);
else {
  fs.mkdirSync(options.directory, { recursive: true });
  const table = {};
  for (const name of options.engines.split(',')) {
    const results = {};
    let directory;
    try {
      for (const step of ['sustained', 'waiting', 'fill', 'recover']) {
        if (step !== 'recover') {
          if (directory !== undefined) rmSync(directory, { recursive: true });
          directory = mkdtempSync(join(options.directory, `store-${name}-`));
        }
        Object.assign(results, measure(name, step, directory));
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
    const rounded = Object.entries(results).map(([key, value]) => [key, Number(value.toPrecision(3))]);
    table[name] = Object.fromEntries(rounded);
    console.log(name, JSON.stringify(table[name]));
  }
  console.table(table);
}
