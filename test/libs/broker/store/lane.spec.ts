import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { FrameDecoder } from 'nestjs-stomp/frame';
import { Frame, Message } from 'nestjs-stomp/server';
import { type Backlog, type Cursor, type Entry, MemoryStore, Slice, type Sweep } from 'nestjs-stomp-broker';
// No door shows where the bytes of a message are.
import { detachLater } from '../../../../libs/broker/src/destination/chunk.js';

const leave = detachLater as unknown as (entry: Entry, backlog: Backlog) => void;

/** What a backlog holds, kept in the plainest way: by priority, then by arrival. */
class Plain {
  readonly waiting: Entry[] = [];
  readonly taken: Entry[] = [];

  put(entry: Entry): void {
    const after = this.waiting.findLastIndex((one) => {
      return one.priority > entry.priority || (one.priority === entry.priority && one.order < entry.order);
    });
    this.waiting.splice(after + 1, 0, entry);
  }

  take(entry: Entry | undefined): void {
    if (entry === undefined) return;
    this.waiting.splice(this.waiting.indexOf(entry), 1);
    this.taken.push(entry);
  }

  takeBack(at: number): Entry | undefined {
    return this.taken.splice(at % Math.max(1, this.taken.length), 1)[0];
  }
}

const number = ({ message }: Entry) => Number(message.body.toString());
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('push' as const), priority: fc.constantFrom('4', '4', '9') }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('shift' as const) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('take' as const), cursor: fc.nat(2) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('restore' as const), at: fc.nat(1_000) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cancel' as const), at: fc.nat(1_000) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('sweep' as const), modulus: fc.integer({ min: 2, max: 9 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reset' as const), cursor: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('browse' as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('look' as const) }) },
);

/** Cursor 0 wants even numbers, 1 multiples of three, 2 only rare ones. */
const WANTS = [(n: number) => n % 2 === 0, (n: number) => n % 3 === 0, (n: number) => n % 50 === 0];

const isBehind = (one: Entry, other: Entry | undefined): boolean =>
  other === undefined || one.priority < other.priority || (one.priority === other.priority && one.order > other.order);

/** In slices that are as short as can be. */
function takeFirst(backlog: Backlog, cursor: Cursor, accepts: (entry: Entry) => boolean): Entry | undefined {
  const slice = new Slice();
  let entry: Entry | undefined;
  do {
    slice.begin(1);
    entry = backlog.take(cursor, accepts, slice);
  } while (entry === undefined && slice.over);
  return entry;
}

/** In slices that are as short as can be. */
function sweepAll(backlog: Backlog, accepts: Sweep['accepts']): Entry[] {
  const swept: Entry[] = [];
  const cursor = backlog.cursor();
  const slice = new Slice();
  do {
    slice.begin(1);
    swept.push(...backlog.sweep(cursor, { wanted: true, accepts, missed: () => undefined }, slice));
  } while (slice.over);
  cursor.close();
  return swept;
}

function run(steps: readonly (typeof step extends fc.Arbitrary<infer Step> ? Step : never)[]): void {
  const backlog: Backlog = new MemoryStore().backlog('q');
  const cursors: Cursor[] = WANTS.map(() => backlog.cursor());
  const plain = new Plain();
  const restored = new Set<Entry>();
  let count = 0;
  let view = backlog.values();
  let from = 0;
  let shown: Entry | undefined;
  for (const each of steps) {
    if (each.kind === 'push') {
      const frame = new Frame(
        'SEND',
        { destination: '/queue/q', priority: each.priority, expires: count + 1 },
        String(count++),
      );
      plain.put(backlog.push(new Message('/queue/q', frame), undefined));
    } else if (each.kind === 'shift') {
      const entry = backlog.shift();
      expect(entry).toBe(plain.waiting[0]);
      plain.take(entry);
    } else if (each.kind === 'take') {
      const wants = WANTS[each.cursor]!;
      const entry = takeFirst(backlog, cursors[each.cursor]!, (one) => wants(number(one)));
      expect(entry).toBe(plain.waiting.find((one) => wants(number(one))));
      plain.take(entry);
    } else if (each.kind === 'restore') {
      const entry = plain.takeBack(each.at);
      if (entry === undefined) continue;
      restored.add(entry);
      backlog.restore(entry);
      plain.put(entry);
    } else if (each.kind === 'cancel') {
      const back = plain.waiting.filter((entry) => restored.has(entry));
      const entry = back[each.at % Math.max(1, back.length)];
      if (entry === undefined) continue;
      expect(backlog.cancel(entry)).toBe(true);
      expect(backlog.cancel(entry)).toBe(false);
      plain.waiting.splice(plain.waiting.indexOf(entry), 1);
    } else if (each.kind === 'sweep') {
      const accepts = (expires: number) => (expires - 1) % each.modulus === 1;
      const expected = plain.waiting.filter(({ expires }) => accepts(expires));
      const swept = sweepAll(backlog, accepts);
      expect(new Set(swept)).toEqual(new Set(expected));
      for (const entry of swept) plain.take(entry);
    } else if (each.kind === 'browse') {
      view = backlog.values();
      from = count;
      shown = undefined;
    } else if (each.kind === 'look') {
      const next = view.next();
      const expected = plain.waiting.find((one) => number(one) < from && isBehind(one, shown));
      expect(next.value).toBe(expected);
      shown = expected ?? shown;
      // What comes back later is not looked for any more.
      if (expected === undefined) from = 0;
    } else cursors[each.cursor]!.reset();
    if (backlog.length !== plain.waiting.length) expect(backlog.length).toBe(plain.waiting.length);
  }
  expect([...backlog.values()]).toEqual(plain.waiting);
}

it('a backlog gives what a plain list would, whatever is taken out of turn, put back, cancelled or swept', () => {
  fc.assert(fc.property(fc.array(step, { maxLength: 300 }), run), { numRuns: 300 });
});

it('does so over thousands of messages of which most are taken out of turn', () => {
  const push = { kind: 'push', priority: '4' } as const;
  const take = { kind: 'take', cursor: 0 } as const;
  const many = Array.from({ length: 6_000 }, () => [push, push, take]).flat();
  const back = Array.from({ length: 500 }, (_, at) => [{ kind: 'restore', at: at * 7 } as const, take]).flat();
  const rest = Array.from({ length: 3_000 }, () => ({ kind: 'take', cursor: 1 }) as const);
  run([...many, ...back, ...rest, { kind: 'shift' }]);
});

it('what comes back by the ten thousand costs a particular consumer one look at each', () => {
  const backlog = new MemoryStore().backlog('q');
  const cursor = backlog.cursor();
  const size = 20_000;
  for (let i = 0; i < size; i++) {
    backlog.push(new Message('/queue/q', new Frame('SEND', { destination: '/queue/q' }, String(i))), undefined);
  }
  const taken = Array.from({ length: size }, () => backlog.shift()!);
  const slice = new Slice();
  let looks = 0;
  for (const entry of taken) {
    backlog.restore(entry);
    slice.begin(1_000_000);
    backlog.take(cursor, () => ++looks < 0, slice);
  }
  expect(looks).toBeLessThanOrEqual(2 * size);
});

/** Messages that came in one chunk, and whether one still stands in it. */
function inOneChunk(count: number): { messages: Message[]; isThere: (message: Message) => boolean } {
  const text = Array.from({ length: count }, (_, i) => `SEND\ndestination:/queue/q\n\n${i}\0`).join('');
  const chunk = Buffer.alloc(text.length, text);
  const messages: Message[] = [];
  const onFrame = (frame: Frame) => void messages.push(new Message('/queue/q', frame));
  new FrameDecoder({ version: '1.2', onFrame }).push(chunk);
  return { messages, isThere: ({ body }) => body.buffer === chunk.buffer };
}

it('takes messages out of the chunk that they came in at the second look, not before and no others', () => {
  const backlog = new MemoryStore().backlog('q');
  const { messages, isThere } = inOneChunk(30);
  for (const message of messages.slice(0, 20)) backlog.push(message, undefined);
  for (let i = 0; i < 5; i++) backlog.shift();
  expect(backlog.detach()).toBe(true);
  expect(messages.every(isThere)).toBe(true);
  for (const message of messages.slice(20)) backlog.push(message, undefined);
  expect(backlog.detach()).toBe(true);
  expect(messages.map(isThere)).toEqual(messages.map((_, i) => i < 5 || i >= 20));
  expect(backlog.detach()).toBe(false);
  expect(messages.map(isThere)).toEqual(messages.map((_, i) => i < 5));
});

it('a message that was taken out is not copied again', () => {
  const [message] = inOneChunk(30).messages as [Message];
  message.detach();
  const { buffer, byteOffset } = message.body;
  message.detach();
  expect(message.body).toMatchObject({ buffer, byteOffset });
});

it('a message whose headers were changed is taken out, too, and one whose head came in two chunks', () => {
  const { messages, isThere } = inOneChunk(30);
  const [changed] = messages as [Message];
  changed.setHeader('passcode', undefined);
  changed.detach();
  expect([changed.body.toString(), isThere(changed)]).toEqual(['0', false]);
  const filler = 'x'.repeat(60_000);
  const chunks = ['SEND\ndestination:/queue/q\nhead:', `er\n\n${'y'.repeat(300)}\0SEND\n\n${filler}\0`].map((text) => {
    return Buffer.alloc(text.length, text);
  });
  const parted: Message[] = [];
  const onFrame = (frame: Frame) => void parted.push(new Message('/queue/q', frame));
  const decoder = new FrameDecoder({ version: '1.2', onFrame });
  for (const chunk of chunks) decoder.push(chunk);
  parted[0]!.detach();
  expect(parted[0]!.body.toString()).toBe('y'.repeat(300));
  expect(parted[0]!.body.buffer).not.toBe(chunks[1]!.buffer);
});

it('behind thousands of others a message leaves its chunk at once', () => {
  const backlog = new MemoryStore().backlog('q');
  const { messages, isThere } = inOneChunk(5_000);
  for (const message of messages) leave(backlog.push(message, undefined), backlog);
  expect(messages.map(isThere)).toEqual(messages.map((_, i) => i < 4_096));
});

it('those that move to close holes are taken out, too', () => {
  const backlog = new MemoryStore().backlog('q');
  const { messages, isThere } = inOneChunk(9_000);
  for (const message of messages) backlog.push(message, undefined);
  const cursor = backlog.cursor();
  const kept = (entry: Entry) => number(entry) % 3 === 1;
  while (takeFirst(backlog, cursor, (entry) => !kept(entry)) !== undefined);
  while (backlog.detach());
  expect([...backlog.values()].filter((entry) => isThere(entry!.message))).toEqual([]);
});
