import { beforeEach, describe, expect, it } from '@jest/globals';
import { Ledger, RetainedLedger } from '../../reliability/ledger.mjs';

let ledger: Ledger;
beforeEach(() => {
  ledger = new Ledger();
});

let serial = 0;
const make = (id: string, more = {}) => ({ id, place: 'work', from: 'p', serial: ++serial, ...more });

/** A message that is sent, with a receipt. */
function send(id: string, more = {}): void {
  ledger.confirm(ledger.begin(`SEND of ${id}`, [make(id, more)]));
}

/** A message is delivered, as it says itself for the first time or again. */
const deliver = (id: string, redelivered = false, by = 'consumer', now?: number): object =>
  ledger.came('work', id, redelivered, by, now) as object;

const acknowledge = (id: string, redelivered = false): object =>
  ledger.begin(`ACK of ${id}`, [], [deliver(id, redelivered)]);

const kill = () => ledger.dies();

describe('a history that keeps all promises is passed:', () => {
  it('what is delivered once, in its order, and acknowledged', () => {
    for (const id of ['a', 'b']) send(id);
    for (const id of ['a', 'b']) ledger.confirm(acknowledge(id));
    ledger.shown('work', []);
    expect(ledger.violations).toEqual([]);
  });

  it('what waits over a kill, and comes as redelivered', () => {
    for (const id of ['a', 'b']) send(id);
    deliver('a');
    kill();
    ledger.shown('work', ['a', 'b']);
    for (const id of ['a', 'b']) ledger.confirm(acknowledge(id, true));
    ledger.shown('work', []);
    expect([ledger.violations, ledger.again]).toEqual([[], 1]);
  });

  it.each([[[]], [['a']]])('what was not confirmed at a kill, when %j is there of it', (there) => {
    ledger.begin('SEND of a', [make('a')]);
    kill();
    ledger.shown('work', there);
    expect([ledger.violations, ledger.doubtful]).toEqual([[], 1]);
  });

  it.each([[[]], [['a']]])('an acknowledgement that was not confirmed, when %j is there after it', (there) => {
    send('a');
    acknowledge('a');
    kill();
    ledger.shown('work', there);
    expect(ledger.violations).toEqual([]);
  });

  it('a delayed message whose time came while nobody ran, whether or not it says that it may have come', () => {
    for (const id of ['a', 'b']) send(id, { due: 1_000 });
    kill();
    deliver('a', true, 'consumer', 2_000);
    deliver('b', false, 'consumer', 2_000);
    expect(ledger.violations).toEqual([]);
  });

  it('one of a lower priority behind one that was sent later', () => {
    send('low', { priority: 3 });
    send('high', { priority: 5 });
    for (const id of ['high', 'low']) deliver(id);
    expect(ledger.violations).toEqual([]);
  });
});

describe('it finds that', () => {
  it('a confirmed message is lost', () => {
    send('a');
    kill();
    ledger.shown('work', []);
    expect(ledger.violations).toEqual(['a of work is lost: its receipt came']);
  });

  it('a message that was delivered and not acknowledged is lost', () => {
    send('a');
    deliver('a');
    kill();
    ledger.shown('work', []);
    expect(ledger.violations).toEqual(['a of work is lost: its receipt came, and it was delivered before']);
  });

  it('a message of a confirmed transaction is lost', () => {
    ledger.confirm(ledger.begin('transaction t', [make('a'), make('b', { place: 'held' })]));
    kill();
    ledger.shown('work', ['a']);
    ledger.shown('held', []);
    expect(ledger.violations).toEqual(['b of held is lost: its receipt came']);
  });

  it.each([
    ['the first', 'a', 'transaction t happened by halves: b is not in held, but a is there in work'],
    ['the second', 'b', 'a of work is lost: b is there in held'],
  ])('%s half of a transaction happened that was not confirmed', (_which, half, violation) => {
    ledger.begin('transaction t', [make('a'), make('b', { place: 'held' })]);
    kill();
    ledger.shown('held', half === 'b' ? ['b'] : []);
    ledger.shown('work', half === 'a' ? ['a'] : []);
    expect(ledger.violations).toEqual([violation]);
  });

  it('a transaction that moves a message left it there, and made the other one', () => {
    send('a');
    ledger.begin('transaction t', [make('moved', { place: 'done' })], [deliver('a')]);
    kill();
    ledger.shown('work', ['a']);
    ledger.shown('done', ['moved']);
    expect(ledger.violations).toEqual([
      'transaction t happened by halves: a is in work as before, but moved is there in done',
    ]);
  });

  it('an acknowledgement of several took only some of them', () => {
    for (const id of ['a', 'b']) send(id);
    ledger.begin('ACK up to b', [], [deliver('a'), deliver('b')]);
    kill();
    ledger.shown('work', ['b']);
    expect(ledger.violations).toEqual([
      'ACK up to b happened by halves: b is in work as before, but a is not in work any more',
    ]);
  });

  it('a message is lost whose acknowledgement had not happened at the kill before', () => {
    send('a');
    acknowledge('a');
    kill();
    ledger.shown('work', ['a']);
    kill();
    ledger.shown('work', []);
    expect(ledger.violations).toEqual(['a of work is lost: its receipt came, and it was delivered before']);
  });

  it.each([
    ['was lost', true, 'a of work is there, and was lost'],
    ['had not come to be there', false, 'a of work is there, and was not there before'],
  ])('a message comes back that %s', (_what, confirmed, violation) => {
    const unit = ledger.begin('SEND of a', [make('a')]);
    if (confirmed) ledger.confirm(unit);
    for (const there of [[], ['a']]) {
      kill();
      ledger.shown('work', there);
    }
    expect(ledger.violations.at(-1)).toBe(violation);
  });

  it('a message came twice while its consumers stayed', () => {
    send('a');
    deliver('a');
    deliver('a', true);
    expect(ledger.violations).toContain('a of work came twice to consumers that stayed');
  });

  it('a message is there twice', () => {
    send('a');
    ledger.shown('work', ['a', 'a']);
    expect(ledger.violations).toContain('a is twice in work');
  });

  it.each([
    ['was delivered before', () => deliver('a')],
    ['may have been', () => undefined],
  ])('a message that %s comes after a kill without saying so', (_how, before) => {
    send('a');
    before();
    kill();
    deliver('a', false);
    expect(ledger.violations).toEqual(['a of work came again, or may have, and did not say so']);
  });

  it('a delayed message that was delivered comes after a kill without saying so', () => {
    send('a', { due: 1_000 });
    deliver('a', false, 'consumer', 1_000);
    kill();
    deliver('a', false, 'consumer', 2_000);
    expect(ledger.violations).toEqual(['a of work came again, or may have, and did not say so']);
  });

  it('a message says that it was redelivered when it comes for the first time', () => {
    send('a');
    deliver('a', true);
    expect(ledger.violations).toEqual(['a of work was redelivered when it first came']);
  });

  it.each([
    ['delivered', () => deliver('a', true)],
    ['there', () => ledger.shown('work', ['a'])],
  ])('a confirmed acknowledgement was undone: its message is %s', (how, after) => {
    send('a');
    ledger.confirm(acknowledge('a'));
    kill();
    after();
    expect(ledger.violations).toEqual([
      `a of work ${how === 'there' ? 'is there' : 'came'}, and was acknowledged by ACK of a, with a receipt`,
    ]);
  });

  it('an acknowledgement that had happened was undone by a later kill', () => {
    send('a');
    acknowledge('a');
    kill();
    ledger.shown('work', []);
    kill();
    ledger.shown('work', ['a']);
    expect(ledger.violations).toEqual(['a of work is there, and had been taken from there by ACK of a']);
  });

  it.each([
    ['comes', () => ['b', 'a'].forEach((id) => deliver(id)), 'consumer'],
    ['waits', () => ledger.shown('work', ['b', 'a']), 'work at rest'],
  ])('a message %s behind a later one of its publisher', (_how, happens, where) => {
    serial = 0;
    for (const id of ['a', 'b']) send(id);
    happens();
    expect(ledger.violations).toEqual([`a of work came to ${where} behind number 2 of its publisher`]);
  });

  it('a message comes that nobody sent, or that was sent elsewhere', () => {
    send('a', { place: 'held' });
    for (const id of ['a', 'b']) ledger.came('work', id, false, 'consumer');
    expect(ledger.violations).toEqual([
      'a of work came, and was never sent there',
      'b of work came, and was never sent there',
    ]);
  });

  it('a delayed message comes before its time', () => {
    send('a', { due: 1_000 });
    deliver('a', false, 'consumer', 999);
    expect(ledger.violations).toEqual(['a of work came 1 ms before its time']);
  });
});

describe('of a retained message', () => {
  let retained: RetainedLedger;
  beforeEach(() => {
    retained = new RetainedLedger(ledger);
  });
  const retain = () => retained.begin('t');

  it('the last that was confirmed is right, and a later one that was sent', () => {
    retained.confirm('t', retain());
    const later = retain();
    retained.shown('t', 1);
    expect(ledger.violations).toEqual([]);
    retained.begin('t');
    retained.shown('t', later + 1);
    expect(ledger.violations).toEqual([]);
  });

  it.each([
    ['nothing', 0, 't retains nothing, and 2 was confirmed, or there'],
    ['an earlier one', 1, 't retains 1, and 2 was confirmed, or there'],
    ['one that was not sent', 7, 't retains 7, which was not sent, or was not there before'],
  ])('it finds %s in its place', (_what, there, violation) => {
    for (let n = 0; n < 2; n++) retained.confirm('t', retain());
    retained.shown('t', there);
    expect(ledger.violations).toEqual([violation]);
  });

  it('it finds one that comes back after it was not there', () => {
    const lost = retain();
    retained.shown('t', 0);
    retained.shown('t', lost);
    expect(ledger.violations).toEqual(['t retains 1, which was not sent, or was not there before']);
  });
});
