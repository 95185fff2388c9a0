import { expect, test } from '@jest/globals';
import { Payload } from '@nestjs/microservices';
import { StompRecordBuilder } from 'nestjs-stomp';
import { EventPattern, last, named, prepare, proxy, Seen, serve } from '../../../support/nest.js';
import { describeEachPeer } from '../../../support/peers.js';

describeEachPeer('extras of handlers', (peer, broker) => {
  test('a selector chooses among the messages; where the broker has none, the start says so', async () => {
    const topic = named('topic');
    const seen = new Seen<string>();
    class Handlers {
      @EventPattern(topic, { selector: "region = 'EU'" }) europe(@Payload() text: string) {
        seen.add(`EU ${text}`);
      }
      @EventPattern(topic, { selector: "region <> 'EU'" }) elsewhere(@Payload() text: string) {
        seen.add(`not EU ${text}`);
      }
    }
    if (!peer.ways.selectors) {
      const { app } = await prepare([Handlers], broker().reach);
      await expect(app.listen()).rejects.toThrow(`"${topic}" has a selector, and rabbitmq knows none`);
      return;
    }
    await serve(broker().reach, [Handlers]);
    const client = proxy(broker().reach);
    for (const region of ['US', 'EU']) {
      await last(client.emit(topic, new StompRecordBuilder(region).setHeaders({ region }).build()));
    }
    expect((await seen.count(2)).sort()).toEqual(['EU EU', 'not EU US']);
  });

  test('a durable subscription keeps what comes while the service is away', async () => {
    const topic = named('topic');
    const seen = new Seen<string>();
    class Handlers {
      @EventPattern(topic, { durable: `${topic.slice(7)}-audit` }) handle(@Payload() text: string) {
        seen.add(text);
      }
    }
    const options = { clientId: topic.slice(7) };
    const { app } = await serve(broker().reach, [Handlers], options);
    const client = proxy(broker().reach);
    const emit = (text: string) => last(client.emit(topic, new StompRecordBuilder(text).setPersistent().build()));
    await emit('present');
    await seen.count(1);
    await app.close();
    await emit('away');
    await serve(broker().reach, [Handlers], options);
    await emit('back');
    expect(await seen.count(3)).toEqual(['present', 'away', 'back']);
  });

  test('a durable subscription acknowledges by outcome, as a queue does', async () => {
    const topic = named('topic');
    const seen = new Seen<string>();
    class Handlers {
      @EventPattern(topic, { durable: `${topic.slice(7)}-audit` }) handle(@Payload() text: string) {
        seen.add(text);
        if (seen.items.length === 1) throw new Error('not this time');
      }
    }
    await serve(broker().reach, [Handlers], { clientId: topic.slice(7) });
    const client = proxy(broker().reach);
    await last(client.emit(topic, 'a'));
    if (peer.ways.nack === 'again') expect(await seen.count(2)).toEqual(['a', 'a']);
    else await last(client.emit(topic, 'b'));
    if (peer.ways.nack !== 'again') expect(await seen.count(2)).toEqual(['a', 'b']);
  });

  test('headers of the extras go out with SUBSCRIBE', async () => {
    const topic = named('topic');
    const seen = new Seen<string>();
    class Handlers {
      @EventPattern(topic, { headers: { selector: "kind = 'a'", 'x-note': 'any' } }) handle(@Payload() text: string) {
        seen.add(text);
      }
    }
    await serve(broker().reach, [Handlers]);
    const client = proxy(broker().reach);
    for (const kind of ['b', 'a']) {
      await last(client.emit(topic, new StompRecordBuilder(kind).setHeaders({ kind }).build()));
    }
    // Where the broker has no selectors, it passes over the header, which is then the user's own affair.
    if (peer.ways.selectors) expect(await seen.count(1)).toEqual(['a']);
    else expect(await seen.count(2)).toEqual(['b', 'a']);
  });
});
