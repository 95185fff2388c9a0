import { afterEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Frame, Message } from 'nestjs-stomp/server';
import { type Backlog, type Entry, type Store } from 'nestjs-stomp-broker';

/** How the contract comes by stores of one kind. */
export interface StoreFactory {
  /** A store of one test, that holds nothing and is not opened. */
  make(): Store | Promise<Store>;
  /** Another store over what that one has kept, which is closed; left out where nothing outlives a store. */
  again?(store: Store): Store | Promise<Store>;
  /** Takes away what the stores of a test have left behind. */
  remove?(): Promise<void>;
}

const message = (body: string) =>
  new Message('/queue/a', new Frame('SEND', { destination: '/queue/a', persistent: 'true' }, body));

const push = (backlog: Backlog, ...bodies: string[]) => bodies.map((body) => backlog.push(message(body), undefined));

const bodyOf = (entry: Entry | undefined) => entry?.message.body.toString();

const take = (backlog: Backlog, count: number) => Array.from({ length: count }, () => backlog.shift()!);

const synced = (backlog: Backlog) =>
  new Promise<void>((resolve, reject) => backlog.sync((error) => (error === undefined ? resolve() : reject(error))));

/** What every store has to do. */
export function describeStore(name: string, factory: StoreFactory): void {
  describe(`${name} as a store`, () => {
    let open: Store[] = [];

    afterEach(async () => {
      await Promise.all(open.map((store) => store.close()));
      open = [];
      await factory.remove?.();
    });

    const opened = async () => {
      const store = await factory.make();
      open.push(store);
      expect(await store.open()).toEqual([]);
      return store;
    };
    const backlogOf = async () => (await opened()).backlog('a');

    it('gives messages back in the order in which they came', async () => {
      const backlog = await backlogOf();
      push(backlog, 'one', 'two', 'three');
      expect(backlog.length).toBe(3);
      expect(take(backlog, 3).map(bodyOf)).toEqual(['one', 'two', 'three']);
      expect(backlog.length).toBe(0);
      expect(backlog.shift()).toBeUndefined();
    });

    it('remembers of an entry its message, its source and its place', async () => {
      const backlog = await backlogOf();
      const source = { settle: () => undefined };
      const first = backlog.push(message('one'), source);
      const second = backlog.push(message('two'), source);
      expect(first.source).toBe(source);
      expect(second.order).toBeGreaterThan(first.order);
      expect(backlog.shift()).toBe(first);
    });

    it('puts back what was taken into its place before all that was not taken yet, in whatever order it comes', async () => {
      const backlog = await backlogOf();
      push(backlog, 'one', 'two', 'three', 'four');
      const [one, two, three] = take(backlog, 3);
      for (const entry of [two!, three!, one!]) backlog.restore(entry);
      push(backlog, 'five');
      expect(backlog.length).toBe(5);
      expect(take(backlog, 5).map(bodyOf)).toEqual(['one', 'two', 'three', 'four', 'five']);
    });

    it('forgets what is removed', async () => {
      const backlog = await backlogOf();
      push(backlog, 'one', 'two');
      backlog.remove(backlog.shift()!);
      expect(backlog.length).toBe(1);
      expect(bodyOf(backlog.shift())).toBe('two');
    });

    it('forgets what waits again when its acknowledgement comes late', async () => {
      const backlog = await backlogOf();
      push(backlog, 'one', 'two', 'three');
      const [one, two] = take(backlog, 2);
      backlog.restore(one!);
      backlog.restore(two!);
      backlog.cancel(one!);
      expect(backlog.length).toBe(2);
      expect(take(backlog, 2).map(bodyOf)).toEqual(['two', 'three']);
    });

    it('passes over a late acknowledgement of what it has forgotten already', async () => {
      const backlog = await backlogOf();
      push(backlog, 'one', 'two');
      const [one] = take(backlog, 1);
      backlog.remove(one!);
      backlog.cancel(one!);
      expect(backlog.length).toBe(1);
      expect(bodyOf(backlog.shift())).toBe('two');
    });

    it('calls back once when all is as safe as it makes it', async () => {
      const backlog = await backlogOf();
      let calls = 0;
      push(backlog, 'one');
      await new Promise<void>((resolve) =>
        backlog.sync((error) => {
          expect(error).toBeUndefined();
          calls++;
          resolve();
        }),
      );
      await synced(backlog);
      expect(calls).toBe(1);
    });

    it('has one backlog for each queue, the same each time', async () => {
      const store = await opened();
      push(store.backlog('a'), 'of a');
      push(store.backlog('b'), 'of b');
      expect(store.backlog('a').length).toBe(1);
      expect(bodyOf(store.backlog('b').shift())).toBe('of b');
      expect(bodyOf(store.backlog('a').shift())).toBe('of a');
    });

    it('forgets a queue that is dropped, and no other', async () => {
      const store = await opened();
      push(store.backlog('a'), 'of a');
      push(store.backlog('b'), 'of b');
      store.drop('a');
      store.drop('never heard of');
      expect(store.backlog('a').length).toBe(0);
      expect(store.backlog('a').shift()).toBeUndefined();
      expect(store.backlog('b').length).toBe(1);
    });

    it('takes any text for the name of a queue', async () => {
      const store = await opened();
      const names = ['', '*\0a/b.c', '../../x', 'ü€😀', 'a'.repeat(1024), 'A', 'a'];
      for (const queue of names) push(store.backlog(queue), queue);
      for (const queue of names) expect(bodyOf(store.backlog(queue).shift())).toBe(queue);
    });

    it('keeps order and count through any sequence of operations', async () => {
      const operation = fc.tuple(fc.constantFrom('push', 'push', 'shift', 'restore', 'remove', 'cancel'), fc.nat(99));
      const store = await opened();
      let runs = 0;
      fc.assert(
        fc.property(fc.array(operation, { maxLength: 200 }), (operations) => {
          const queue = `run-${runs++}`;
          const backlog = store.backlog(queue);
          const waiting: Entry[] = [];
          const taken: Entry[] = [];
          const back = new Set<Entry>();
          for (const [what, at] of operations) {
            if (what === 'push') waiting.push(...push(backlog, String(at)));
            else if (what === 'shift') {
              const entry = backlog.shift();
              expect(entry).toBe(waiting.shift());
              if (entry !== undefined) taken.push(entry);
            } else if (what === 'cancel') {
              const entry = waiting.filter((each) => back.has(each))[at % 7];
              if (entry === undefined) continue;
              waiting.splice(waiting.indexOf(entry), 1);
              backlog.cancel(entry);
            } else if (taken.length > 0) {
              const [entry] = taken.splice(at % taken.length, 1);
              if (what === 'remove') backlog.remove(entry!);
              else {
                backlog.restore(entry!);
                back.add(entry!);
                waiting.push(entry!);
                waiting.sort((one, other) => one.order - other.order);
              }
            }
            expect(backlog.length).toBe(waiting.length);
          }
          for (const entry of waiting) expect(backlog.shift()).toBe(entry);
          store.drop(queue);
        }),
      );
    });

    it('holds many', async () => {
      const backlog = await backlogOf();
      let next = 0;
      for (let count = 0; count < 20_000; count++) {
        push(backlog, String(count));
        if (count % 3 === 0) continue;
        const entry = backlog.shift();
        expect(bodyOf(entry)).toBe(String(next++));
        backlog.remove(entry!);
      }
      while (backlog.length > 0) expect(bodyOf(backlog.shift())).toBe(String(next++));
      expect(next).toBe(20_000);
    });

    if (factory.again === undefined) {
      it('keeps nothing when it is closed', async () => {
        const store = await opened();
        push(store.backlog('a'), 'one');
        await store.close();
        expect(await store.open()).toEqual([]);
        expect(store.backlog('a').length).toBe(0);
      });
    } else {
      it('has after a restart what was neither removed nor cancelled, in order', async () => {
        const store = await opened();
        const backlog = store.backlog('a');
        push(backlog, 'removed', 'taken', 'cancelled', 'back', 'waiting');
        const [removed, , cancelled, back] = take(backlog, 4);
        backlog.remove(removed!);
        backlog.restore(cancelled!);
        backlog.restore(back!);
        backlog.cancel(cancelled!);
        push(store.backlog('dropped'), 'dropped');
        await synced(backlog);
        store.drop('dropped');
        await store.close();

        const next = await factory.again!(store);
        open.push(next);
        expect(await next.open()).toEqual(['a']);
        const kept = next.backlog('a');
        push(kept, 'new');
        expect(take(kept, 4).map(bodyOf)).toEqual(['taken', 'back', 'waiting', 'new']);
      });
    }
  });
}
