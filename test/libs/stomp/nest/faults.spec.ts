import { expect, test } from '@jest/globals';
import { MessagePattern, Payload } from '@nestjs/microservices';
import { StompRecordBuilder } from 'nestjs-stomp';
import { gate, within } from '../../../support/client.js';
import { FaultProxy } from '../../../support/faults.js';
import { closeLater, EventPattern, last, named, proxy, rejection, Seen, serve } from '../../../support/nest.js';
import { describeEachPeer } from '../../../support/peers.js';

describeEachPeer('faults', (peer, broker) => {
  /** A way to the broker that can be cut. */
  const cuttable = async (dial = () => broker().dial()) => {
    const faults = closeLater(await FaultProxy.listen(dial));
    const { login, passcode, host } = broker().reach;
    return { faults, reach: { login, passcode, ...(host === undefined ? {} : { host }), url: faults.url } };
  };

  test('a request whose connection is cut before the reply fails at once, and the next one is answered', async () => {
    const queue = named('queue');
    const [started, go] = [gate(), gate()];
    class Handlers {
      @MessagePattern(queue) async handle(@Payload() how: string) {
        if (how === 'wait') {
          started.open();
          await go.promise;
        }
        return how;
      }
    }
    await serve(broker().reach, [Handlers]);
    const { faults, reach } = await cuttable();
    const client = proxy(reach);
    const failed = rejection(client.send(queue, 'wait'));
    await started.promise;
    faults.cut();
    expect(await failed).toMatchObject({ message: expect.stringContaining('connection to the broker was lost') });
    expect(client.pendingRequests).toBe(0);
    go.open();
    expect(await last(client.send(queue, 'again'))).toBe('again');
  });

  test('an emit whose receipt does not come before the cut fails: it is not known to be published', async () => {
    const { faults, reach } = await cuttable();
    const client = proxy(reach);
    await client.connect();
    faults.holdReplies();
    const failed = rejection(client.emit(named('queue'), 1));
    await new Promise(setImmediate);
    faults.cut();
    expect(await failed).toMatchObject({ code: 'connection-lost' });
  });

  test('a service that is cut in the middle of a handler gets the message again, and the requester its answer', async () => {
    const queue = named('queue');
    const [started, go] = [new Seen<string>(), gate()];
    class Handlers {
      @MessagePattern(queue) async handle(@Payload() text: string) {
        started.add(text);
        if (started.items.length === 1) await go.promise;
        return text;
      }
    }
    const { faults, reach } = await cuttable();
    const { strategy } = await serve(reach, [Handlers]);
    const status = new Seen<string>();
    strategy.status.subscribe(status.add);
    const answer = last(proxy(broker().reach).send(queue, 'x'));
    await started.count(1);
    faults.cut();
    await started.count(2);
    expect(await within('the answer', answer)).toBe('x');
    go.open();
    expect(status.items.slice(0, 3)).toEqual(['connected', 'reconnecting', 'connected']);
  });

  test('an event that is cut in the middle of its handler comes again', async () => {
    const queue = named('queue');
    const [seen, go] = [new Seen<string>(), gate()];
    class Handlers {
      @EventPattern(queue) async handle(@Payload() text: string) {
        seen.add(text);
        if (seen.items.length === 1) await go.promise;
      }
    }
    const { faults, reach } = await cuttable();
    await serve(reach, [Handlers]);
    await last(proxy(broker().reach).emit(queue, 'x'));
    await seen.count(1);
    faults.cut();
    expect(await seen.count(2)).toEqual(['x', 'x']);
    go.open();
  });

  test('subscriptions are restored after each loss, and no message is handled twice that was acknowledged', async () => {
    const queue = named('queue');
    const seen = new Seen<number>();
    class Handlers {
      @EventPattern(queue) handle(@Payload() n: number) {
        seen.add(n);
      }
    }
    const { faults, reach } = await cuttable();
    const { strategy } = await serve(reach, [Handlers]);
    const status = new Seen<string>();
    strategy.status.subscribe(status.add);
    const client = proxy(broker().reach);
    for (let round = 0; round < 5; round++) {
      await last(client.emit(queue, round));
      await seen.until(`message ${round}`, (items) => items.includes(round));
      // A message that comes back after this was not acknowledged in time, which a cut may well do to it.
      faults.cut();
      const connections = round + 2;
      await status.until('another connection', (items) => {
        return items.filter((item) => item === 'connected').length >= connections;
      });
    }
    expect(new Set(seen.items)).toEqual(new Set([0, 1, 2, 3, 4]));
  });

  test('a cut during shutdown ends the shutdown, and what was not acknowledged comes again', async () => {
    const queue = named('queue');
    const [seen, go] = [new Seen<string>(), gate()];
    class Handlers {
      @EventPattern(queue) async handle(@Payload() text: string) {
        seen.add(text);
        if (seen.items.length === 1) await go.promise;
      }
    }
    const { faults, reach } = await cuttable();
    const { app } = await serve(reach, [Handlers]);
    await last(proxy(broker().reach).emit(queue, 'x'));
    await seen.count(1);
    const closed = app.close();
    faults.down();
    go.open();
    await within('the end of the shutdown', closed);
    await serve(broker().reach, [Handlers]);
    expect(await seen.count(2)).toEqual(['x', 'x']);
  });

  test('the broker is restarted: services and clients come back by themselves', async () => {
    const own = await peer.startOwn();
    try {
      const queue = named('queue');
      const seen = new Seen<string>();
      class Handlers {
        @MessagePattern(queue) handle(@Payload() text: string) {
          return text;
        }
        @EventPattern(`${queue}-events`) event(@Payload() text: string) {
          seen.add(text);
        }
      }
      const reconnect = { initialDelay: 50, maxDelay: 500 };
      const { app } = await serve(own.reach, [Handlers], { reconnect });
      const client = proxy(own.reach, { reconnect, offline: { maxAge: 120_000 } });
      expect(await last(client.send(queue, 'before'))).toBe('before');
      const lost = new Seen<string>();
      client.status.subscribe(lost.add);
      const restarted = own.restart();
      await lost.until('the loss', (items) => items.includes('reconnecting'));
      const during = last(client.emit(`${queue}-events`, new StompRecordBuilder('during').setPersistent().build()));
      await restarted;
      await during;
      await seen.until('the event', (items) => items.includes('during'), 60_000);
      expect(await last(client.send(queue, 'after'))).toBe('after');
      await client.close();
      await app.close();
    } finally {
      await own.stop();
    }
  }, 240_000);
});
