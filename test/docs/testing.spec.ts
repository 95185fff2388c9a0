import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Test } from '@nestjs/testing';
import { MessagePattern, Payload } from '@nestjs/microservices';
import { StompClientProxy, StompStrategy } from 'nestjs-stomp';
import { StompTestBroker } from 'nestjs-stomp-broker/testing';
import { closeLater, last, Seen } from '../support/nest.js';
import { PROMPT } from '../support/client.js';

class OrdersController {
  @MessagePattern('/queue/orders.find') find(@Payload() id: number) {
    return { id };
  }
}

/** As docs/nest.md shows it. */
describe('the broker for tests', () => {
  let broker: StompTestBroker;
  beforeEach(() => {
    broker = new StompTestBroker();
  });
  afterEach(() => broker.close());

  const serve = async () => {
    const module = await Test.createTestingModule({ controllers: [OrdersController] }).compile();
    const strategy = new StompStrategy({ dial: broker.dial, reconnect: PROMPT, drainSignals: [] });
    await closeLater(module.createNestMicroservice({ strategy, logger: false })).listen();
    return strategy;
  };

  test('serves an application and its client inside the process, without a port', async () => {
    await serve();
    const client = closeLater(new StompClientProxy({ dial: broker.dial }));
    expect(await last(client.send('/queue/orders.find', 1))).toEqual({ id: 1 });
    expect(broker.broker.urls).toEqual([]);
    expect(broker.broker.sessions.size).toBe(2);
  });

  test('breaks all connections as a network would, and takes the clients back', async () => {
    const strategy = await serve();
    const states = new Seen<string>();
    strategy.status.subscribe(states.add);
    const client = closeLater(new StompClientProxy({ dial: broker.dial, reconnect: PROMPT }));
    expect(await last(client.send('/queue/orders.find', 1))).toEqual({ id: 1 });
    broker.disconnectAll();
    await states.until('a new connection', (items) => items.slice(-2).join() === 'reconnecting,connected');
    expect(await last(client.send('/queue/orders.find', 2))).toEqual({ id: 2 });
  });
});
