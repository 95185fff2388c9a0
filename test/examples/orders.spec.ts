import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { setTimeout } from 'node:timers/promises';
import { StompClientProxy } from 'nestjs-stomp';
import { lastValueFrom } from 'rxjs';
import { Program } from '../support/program.js';

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

describe('the example of orders and billing', () => {
  let example: Program;
  let gateway: string;

  const call = async (path: string, order?: object): Promise<Answer> => {
    const body = order && {
      method: 'POST',
      body: JSON.stringify(order),
      headers: { 'content-type': 'application/json' },
    };
    const response = await fetch(`${gateway}${path}`, body);
    return { status: response.status, body: (await response.json()) as Answer['body'] };
  };

  /** Asks for the order, as a browser would, until it is billed. */
  const billed = async (id: number): Promise<Answer['body']> => {
    for (const end = Date.now() + 10_000; Date.now() < end; await setTimeout(20)) {
      const { body } = await call(`/orders/${id}`);
      if (body.status === 'billed') return body;
    }
    throw new Error(`order ${id} was not billed\n${example.stdout.join('\n')}\n${example.stderr}`);
  };

  beforeAll(async () => {
    example = Program.script('example', { BROKER_PORT: '0', HTTP_PORT: '0', NO_COLOR: '1' });
    [, gateway = ''] = await example.line(/The gateway listens on (\S+)\./);
  }, 60_000);

  afterAll(async () => {
    await example.stop();
  });

  it('says with which commands to try it', async () => {
    await example.line(new RegExp(`curl ${gateway}/orders -H 'content-type: application/json' -d '\\{.*\\}'`));
    await example.line(new RegExp(`curl ${gateway}/orders/1$`));
  });

  it('places an order over HTTP and bills it, at the second attempt because the first one fails', async () => {
    const placed = await call('/orders', { customer: 'ada', item: 'tea', total: 12.5 });
    expect(placed).toEqual({
      status: 201,
      body: { id: expect.any(Number), customer: 'ada', item: 'tea', total: 12.5, status: 'placed' },
    });
    const id = placed.body.id as number;
    expect(await billed(id)).toMatchObject({ status: 'billed', bill: { order: id, total: 12.5, attempts: 2 } });
    await example.line(new RegExp(`order ${id}: 12.5 billed to ada at attempt 2`));
    expect(example.stderr).toContain(`order ${id}: the bank does not answer`);
  });

  it('bills every one of many orders placed at a time', async () => {
    const orders = await Promise.all(
      Array.from({ length: 50 }, (_, n) => call('/orders', { customer: 'grace', item: 'ink', total: n + 1 })),
    );
    const ids = orders.map(({ body }) => body.id as number);
    expect(new Set(ids).size).toBe(50);
    const bills = await Promise.all(ids.map(billed));
    expect(bills.map(({ bill }) => (bill as { total: number }).total)).toEqual(ids.map((_, n) => n + 1));
  });

  it('tells the caller over HTTP what the orders service refuses', async () => {
    expect(await call('/orders/999')).toMatchObject({ status: 404, body: { message: 'there is no order 999' } });
    expect(await call('/orders', { customer: 'ada', item: 'tea', total: 0 })).toMatchObject({
      status: 400,
      body: { message: 'the total of an order has to be a number above 0' },
    });
  });

  it('lets no service do at the broker what is not its business', async () => {
    const [, url] = await example.line(/The broker listens on (\S+)\./);
    const attempt = async (login: string, passcode: string, destination: string) => {
      const client = new StompClientProxy({
        url,
        login,
        passcode,
        maxConnectionAttempts: 1,
        offline: { maxAge: 5_000 },
      });
      try {
        await lastValueFrom(client.emit(destination, {}));
        return 'done';
      } catch (error) {
        return (error as Error).message;
      } finally {
        await client.close();
      }
    };
    expect(await attempt('billing', 'billing-passcode', '/topic/orders.billed.0')).toBe('done');
    expect(await attempt('gateway', 'gateway-passcode', '/topic/orders.billed.0')).toMatch(/gateway may not SEND/);
    expect(await attempt('gateway', 'guessed', '/queue/orders.place')).toMatch(/the login or the passcode is wrong/);
  });

  it('ends at SIGTERM with the code 0, all services with it', async () => {
    expect(await example.stop()).toEqual({ code: 0, signal: null });
    await expect(fetch(`${gateway}/orders/1`)).rejects.toThrow();
  });
});
