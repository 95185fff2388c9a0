import { afterEach, describe, expect, it } from '@jest/globals';
import { type Engine, type StompBroker } from 'nestjs-stomp-broker';
import { join, joinAll, leave, makeBroker, sendAll, textsOf } from '../../../support/broker.js';
import { type RawPeer, unique } from '../../../support/raw.js';
import { type Headers } from '../../../support/wire.js';

/** How the contract comes by engines of one kind, and what that kind cannot give. */
export interface EngineFactory {
  /** An engine of one test, that holds nothing and is not started. */
  make(): Engine | Promise<Engine>;
  /** Another engine over what that one has kept, which is stopped; left out where nothing outlives an engine. */
  again?(engine: Engine): Engine | Promise<Engine>;
  /** Takes away what the engines of a test have left behind. */
  remove?(): Promise<void>;
  /** Whether what comes back may come behind messages that were sent later. */
  reorders?: boolean;
}

/** What every engine has to do, seen by the clients of a broker above it. */
export function describeEngine(name: string, factory: EngineFactory): void {
  describe(`${name} as an engine`, () => {
    afterEach(() => factory.remove?.());

    const start = async (): Promise<StompBroker> => makeBroker({ engine: await factory.make() });
    const ack = async (peer: RawPeer, headers: Headers = {}) =>
      peer.receipted('ACK', { ...peer.reference(await peer.message()), ...headers });

    describe('queues', () => {
      it('keep messages until somebody consumes them, in order', async () => {
        const [publisher, consumer] = await joinAll(await start(), 2);
        const queue = unique('/queue/a');
        await sendAll(publisher!, queue, ['one', 'two', 'three']);
        await consumer!.subscribe(queue);
        expect(await consumer!.texts(3)).toEqual(['one', 'two', 'three']);
      });

      it('give each message to one consumer', async () => {
        const broker = await start();
        const [publisher, ...consumers] = await joinAll(broker, 4);
        const queue = unique('/queue/a');
        for (const consumer of consumers) await consumer.subscribe(queue, { ack: 'client-individual' });
        const bodies = Array.from({ length: 30 }, (_, index) => String(index));
        await sendAll(publisher!, queue, bodies);
        const got: string[] = [];
        const all = new Promise<void>((resolve) => {
          for (const consumer of consumers) {
            void (async () => {
              for (;;) {
                const message = await consumer.message();
                got.push(message.text);
                await consumer.receipted('ACK', consumer.reference(message));
                if (got.length === bodies.length) resolve();
              }
            })().catch(() => undefined);
          }
        });
        await all;
        expect(got.sort((one, other) => Number(one) - Number(other))).toEqual(bodies);
      });

      it('hand out as many as may be unacknowledged, and go on with each acknowledgement', async () => {
        const [publisher, consumer] = await joinAll(await start(), 2);
        const queue = unique('/queue/a');
        await consumer!.subscribe(queue, { ack: 'client', 'prefetch-count': '2' });
        await sendAll(publisher!, queue, ['one', 'two', 'three', 'four']);
        const [first] = await consumer!.messages(2);
        expect(textsOf(await consumer!.rest())).toEqual([]);
        await consumer!.receipted('ACK', consumer!.reference(first!));
        expect(await consumer!.texts(1)).toEqual(['three']);
        expect(textsOf(await consumer!.rest())).toEqual([]);
      });

      it('deliver again what a consumer left unacknowledged, and say so', async () => {
        const broker = await start();
        const [publisher, first] = await joinAll(broker, 2);
        const queue = unique('/queue/a');
        await first!.subscribe(queue, { ack: 'client-individual', 'prefetch-count': '3' });
        await sendAll(publisher!, queue, ['one', 'two', 'three']);
        const [, two] = await first!.messages(3);
        expect(two!.header('redelivered')).toBe('false');
        await first!.receipted('ACK', first!.reference(two!));
        await leave(first!);

        await sendAll(publisher!, queue, ['four']);
        const second = await join(broker);
        await second.subscribe(queue, { ack: 'client' });
        const again = await second.messages(3);
        const seen = again.map((message) => [message.text, message.header('redelivered')]);
        const expected = [
          ['one', 'true'],
          ['three', 'true'],
          ['four', 'false'],
        ];
        expect(factory.reorders === true ? seen.sort() : seen).toEqual(factory.reorders ? expected.sort() : expected);
        expect(again.find(({ text }) => text === 'one')!.header('delivery-count')).toBe('1');
      });

      it('deliver a refused message again, or put it with the dead letters', async () => {
        const [publisher, consumer, undertaker] = await joinAll(await start(), 3);
        const local = unique('a');
        await consumer!.subscribe(`/queue/${local}`, { ack: 'client-individual' });
        await undertaker!.subscribe(`/queue/DLQ.${local}`);
        await sendAll(publisher!, `/queue/${local}`, ['one'], { color: 'red' });
        await consumer!.receipted('NACK', consumer!.reference(await consumer!.message()));
        const again = await consumer!.message();
        expect(again.text).toBe('one');
        expect(again.header('redelivered')).toBe('true');
        await consumer!.receipted('NACK', { ...consumer!.reference(again), requeue: 'false' });
        const dead = await undertaker!.message();
        expect(dead.text).toBe('one');
        expect(dead.header('color')).toBe('red');
        expect(dead.header('destination')).toBe(`/queue/DLQ.${local}`);
        expect(dead.header('dead-letter-reason')).toBe('rejected');
        expect(dead.header('dead-letter-origin')).toBe(`/queue/${local}`);
      });

      it('have forgotten a message whose acknowledgement is receipted', async () => {
        const broker = await start();
        const [publisher, first] = await joinAll(broker, 2);
        const queue = unique('/queue/a');
        await first!.subscribe(queue, { ack: 'client-individual' });
        await sendAll(publisher!, queue, ['one', 'two']);
        await ack(first!);
        await ack(first!);
        await leave(first!);
        const second = await join(broker);
        await second.subscribe(queue);
        expect(textsOf(await second.rest())).toEqual([]);
      });
    });

    describe('topics', () => {
      it('give each message to every subscription, and keep none for later', async () => {
        const [publisher, one, two, late] = await joinAll(await start(), 4);
        const topic = unique('/topic/a');
        await one!.subscribe(topic);
        await two!.subscribe(topic, { id: 'x' });
        await two!.subscribe(topic, { id: 'y' });
        await sendAll(publisher!, topic, ['first', 'second']);
        expect(await one!.texts(2)).toEqual(['first', 'second']);
        const got = await two!.messages(4);
        for (const id of ['x', 'y']) {
          expect(textsOf(got.filter((message) => message.header('subscription') === id))).toEqual(['first', 'second']);
        }
        await late!.subscribe(topic);
        expect(textsOf(await late!.rest())).toEqual([]);
      });

      it('can be subscribed to by wildcards, and are named by what they were sent to', async () => {
        const [publisher, reader] = await joinAll(await start(), 2);
        const root = unique('/topic/root');
        await reader!.subscribe(`${root}.*.c`, { id: 'one level' });
        await reader!.subscribe(`${root}.>`, { id: 'rest' });
        await sendAll(publisher!, `${root}.b.c`, ['both']);
        await sendAll(publisher!, `${root}.b.d`, ['rest']);
        const got = (await reader!.messages(3)).map((message) => [
          message.header('subscription'),
          message.header('destination'),
          message.text,
        ]);
        expect(got.sort()).toEqual([
          ['one level', `${root}.b.c`, 'both'],
          ['rest', `${root}.b.c`, 'both'],
          ['rest', `${root}.b.d`, 'rest'],
        ]);
      });

      it('give nothing to a subscription that has ended', async () => {
        const [publisher, reader] = await joinAll(await start(), 2);
        const topic = unique('/topic/a');
        await reader!.subscribe(topic, { id: 'x' });
        await reader!.receipted('UNSUBSCRIBE', { id: 'x' });
        await sendAll(publisher!, topic, ['one']);
        expect(textsOf(await reader!.rest())).toEqual([]);
      });
    });

    describe('temporary queues', () => {
      it('bring replies to whoever asked, and to nobody else', async () => {
        const [asker, server, other] = await joinAll(await start(), 3);
        const queue = unique('/queue/service');
        await server!.subscribe(queue);
        await asker!.subscribe('/temp-queue/replies');
        await other!.subscribe('/temp-queue/replies');
        await sendAll(asker!, queue, ['question'], { 'reply-to': '/temp-queue/replies' });
        const replyTo = (await server!.message()).header('reply-to')!;
        await sendAll(server!, replyTo, ['answer']);
        expect(await asker!.texts(1)).toEqual(['answer']);
        expect(textsOf(await other!.rest())).toEqual([]);
      });

      it('are gone with their session: what is sent there then is dropped', async () => {
        const [asker, server] = await joinAll(await start(), 2);
        const queue = unique('/queue/service');
        await server!.subscribe(queue);
        await sendAll(asker!, queue, ['question'], { 'reply-to': '/temp-queue/replies' });
        const replyTo = (await server!.message()).header('reply-to')!;
        await leave(asker!);
        await sendAll(server!, replyTo, ['answer']);
      });
    });

    describe('transactions', () => {
      it('send nothing before COMMIT and everything after it', async () => {
        const [publisher, consumer] = await joinAll(await start(), 2);
        const [queue, topic] = [unique('/queue/a'), unique('/topic/a')];
        await consumer!.subscribe(queue);
        await consumer!.subscribe(topic);
        await publisher!.receipted('BEGIN', { transaction: 't' });
        publisher!.send('SEND', { destination: queue, transaction: 't' }, 'one');
        publisher!.send('SEND', { destination: topic, transaction: 't' }, 'two');
        await publisher!.rest();
        expect(textsOf(await consumer!.rest())).toEqual([]);
        await publisher!.receipted('COMMIT', { transaction: 't' });
        expect((await consumer!.texts(2)).sort()).toEqual(['one', 'two']);
      });

      it('come to nothing by ABORT and when the connection ends: acknowledgements too', async () => {
        const broker = await start();
        for (const end of ['ABORT', 'end']) {
          const [publisher, consumer] = await joinAll(broker, 2);
          const [from, to] = [unique('/queue/from'), unique('/queue/to')];
          await sendAll(publisher!, from, ['work']);
          await consumer!.subscribe(from, { ack: 'client-individual' });
          await consumer!.receipted('BEGIN', { transaction: 't' });
          consumer!.send('ACK', { ...consumer!.reference(await consumer!.message()), transaction: 't' });
          consumer!.send('SEND', { destination: to, transaction: 't' }, 'result');
          if (end === 'ABORT') await consumer!.receipted('ABORT', { transaction: 't' });
          await leave(consumer!);
          await publisher!.subscribe(to);
          await publisher!.subscribe(from);
          expect(await publisher!.texts(1)).toEqual(['work']);
          expect(textsOf(await publisher!.rest())).toEqual([]);
        }
      });

      it('acknowledge and send as one', async () => {
        const broker = await start();
        const [publisher, worker] = await joinAll(broker, 2);
        const [from, to] = [unique('/queue/from'), unique('/queue/to')];
        await sendAll(publisher!, from, ['work']);
        await worker!.subscribe(from, { ack: 'client-individual' });
        const work = worker!.reference(await worker!.message());
        await worker!.receipted('BEGIN', { transaction: 't' });
        worker!.send('ACK', { ...work, transaction: 't' });
        worker!.send('SEND', { destination: to, transaction: 't' }, 'result');
        await worker!.receipted('COMMIT', { transaction: 't' });
        await leave(worker!);
        await publisher!.subscribe(to);
        expect(await publisher!.texts(1)).toEqual(['result']);
        await publisher!.subscribe(from);
        expect(textsOf(await publisher!.rest())).toEqual([]);
      });
    });

    it('keeps virtual hosts apart', async () => {
      const broker = await makeBroker({ engine: await factory.make(), vhosts: ['one', 'two'] });
      const one = await join(broker, '1.2', { host: 'one' });
      const two = await join(broker, '1.2', { host: 'two' });
      const [queue, topic] = [unique('/queue/a'), unique('/topic/a')];
      for (const peer of [one, two]) {
        await peer.subscribe(queue);
        await peer.subscribe(topic);
      }
      for (const destination of [queue, topic, queue, topic]) await sendAll(one, destination, ['of one']);
      expect(await one.texts(4)).toEqual(Array(4).fill('of one'));
      expect(textsOf(await two.rest())).toEqual([]);
    });

    if (factory.again !== undefined) {
      it('has after a restart what was receipted and not acknowledged', async () => {
        const engine = await factory.make();
        const before = await makeBroker({ engine });
        const publisher = await join(before);
        const queue = unique('/queue/a');
        await sendAll(publisher, queue, ['done', 'taken', 'waiting'], { persistent: 'true' });
        await publisher.subscribe(queue, { ack: 'client-individual', 'prefetch-count': '2' });
        await ack(publisher);
        await before.close();

        const after = await makeBroker({ engine: await factory.again!(engine) });
        const consumer = await join(after);
        await consumer.subscribe(queue);
        expect(await consumer.texts(2)).toEqual(['taken', 'waiting']);
        expect(textsOf(await consumer.rest())).toEqual([]);
      });
    }
  });
}
