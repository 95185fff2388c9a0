import { expect, test } from '@jest/globals';
import { MessagePattern, Payload } from '@nestjs/microservices';
import { finalize, NEVER } from 'rxjs';
import { gate, within } from '../../../support/client.js';
import { FaultProxy } from '../../../support/faults.js';
import { closeLater, EventPattern, last, named, proxy, Seen, serve } from '../../../support/nest.js';
import { describeEachPeer } from '../../../support/peers.js';
import { Program } from '../../../support/program.js';

describeEachPeer('shutdown', (_peer, broker) => {
  const recorded = async () => {
    const faults = closeLater(await FaultProxy.listen(() => broker().dial()));
    const { login, passcode, host } = broker().reach;
    return { faults, reach: { login, passcode, ...(host === undefined ? {} : { host }), url: faults.url } };
  };

  test('close lets the handlers that run finish: reply and ACK first, then UNSUBSCRIBE, then DISCONNECT', async () => {
    const queue = named('queue');
    const [started, go] = [gate(), gate()];
    class Handlers {
      @MessagePattern(queue) async handle(@Payload() text: string) {
        started.open();
        await go.promise;
        return text;
      }
    }
    const { faults, reach } = await recorded();
    const { app } = await serve(reach, [Handlers]);
    const answer = last(proxy(broker().reach).send(queue, 'x'));
    await started.promise;
    const closed = app.close();
    go.open();
    expect(await within('the answer', answer)).toBe('x');
    await closed;
    expect(faults.commands).toEqual(['CONNECT', 'SUBSCRIBE', 'SEND', 'ACK', 'UNSUBSCRIBE', 'DISCONNECT']);
  });

  test('no handler is started once close was called: what comes then is for others', async () => {
    const queue = named('queue');
    const [seen, go] = [new Seen<string>(), gate()];
    const service = (name: string) => {
      class Handlers {
        @EventPattern(queue, { concurrency: 1, prefetch: 10 }) async handle(@Payload() n: number) {
          seen.add(`${name} ${n}`);
          if (name === 'a') await go.promise;
        }
      }
      return Handlers;
    };
    const { app } = await serve(broker().reach, [service('a')]);
    const client = proxy(broker().reach);
    await client.connect();
    await Promise.all([1, 2, 3].map((n) => last(client.emit(queue, n))));
    await seen.count(1);
    const closed = app.close();
    go.open();
    await closed;
    await serve(broker().reach, [service('b')]);
    expect(await seen.count(3)).toEqual(['a 1', 'b 2', 'b 3']);
  });

  test('a handler that does not finish by drainTimeout is given up: its message comes again', async () => {
    const queue = named('queue');
    const seen = new Seen<string>();
    class Stuck {
      @EventPattern(queue) handle() {
        seen.add('stuck');
        return NEVER.pipe(finalize(() => seen.add('unsubscribed')));
      }
    }
    const { app } = await serve(broker().reach, [Stuck], { drainTimeout: 50 });
    await last(proxy(broker().reach).emit(queue, 1));
    await seen.count(1);
    await within('the end', app.close());
    class Next {
      @EventPattern(queue) handle() {
        seen.add('next');
      }
    }
    await serve(broker().reach, [Next]);
    expect(await seen.count(3)).toEqual(['stuck', 'unsubscribed', 'next']);
  });

  test('what a topic has sent before UNSUBSCRIBE is handled, as it would be lost otherwise', async () => {
    const topic = named('topic');
    const [seen, go] = [new Seen<number>(), gate()];
    class Handlers {
      @EventPattern(topic, { concurrency: 1 }) async handle(@Payload() n: number) {
        seen.add(n);
        if (n === 1) await go.promise;
      }
    }
    const { app, strategy } = await serve(broker().reach, [Handlers]);
    const messages = new Seen<string>();
    strategy.on('frame', (frame) => {
      if (frame.command === 'MESSAGE') messages.add(frame.text);
    });
    const client = proxy(broker().reach);
    for (const n of [1, 2, 3]) await last(client.emit(topic, n));
    await messages.count(3);
    const closed = app.close();
    go.open();
    await closed;
    expect(seen.items).toEqual([1, 2, 3]);
  });

  test('at SIGTERM handlers finish with all that they need before anything is destroyed', async () => {
    const queue = named('queue');
    const { faults, reach } = await recorded();
    const service = Program.start('service', JSON.stringify(reach), queue);
    try {
      await service.line(/^listening$/);
      const answer = last(proxy(broker().reach).send(queue, 'x'));
      await service.line(/^started x$/);
      service.signal('SIGTERM');
      await service.line(/^signalled$/);
      service.stdin.write('go\n');
      expect(await within('the answer', answer)).toBe('x');
      const exit = await service.exited;
      expect(service.stdout).toEqual([
        'listening',
        'started x',
        'signalled',
        'finished x with what it needs',
        'destroyed',
      ]);
      expect(exit).toEqual({ code: null, signal: 'SIGTERM' });
      expect(faults.commands).toEqual(['CONNECT', 'SUBSCRIBE', 'SEND', 'ACK', 'UNSUBSCRIBE', 'DISCONNECT']);
      expect(service.stderr).toBe('');
    } finally {
      service.signal('SIGKILL');
    }
  });

  test('a second SIGTERM does not wait for the handlers', async () => {
    const queue = named('queue');
    const service = Program.start('service', JSON.stringify((await recorded()).reach), queue);
    try {
      await service.line(/^listening$/);
      await last(proxy(broker().reach).emit(queue, 'x'));
      await service.line(/^started x$/);
      service.signal('SIGTERM');
      await service.line(/^signalled$/);
      service.signal('SIGTERM');
      const exit = await within('the end', service.exited);
      expect(exit.signal).toBe('SIGTERM');
      expect(service.stdout).not.toContain('finished x with what it needs');
    } finally {
      service.signal('SIGKILL');
    }
  });
});
