import { Controller, Logger } from '@nestjs/common';
import { Ctx, EventPattern, Payload, RpcException } from '@nestjs/microservices';
import { StompClientProxy, type StompContext } from 'nestjs-stomp';
import { lastValueFrom } from 'rxjs';
import { type Bill, type Order, ORDER_BILLED, ORDER_PLACED } from '../contract.js';

@Controller()
export class BillingController {
  private readonly logger = new Logger(BillingController.name);

  constructor(private readonly client: StompClientProxy) {}

  /**
   * Acknowledged by outcome: when this completes, the order is gone from the queue; when it throws, or when billing
   * dies meanwhile, the broker delivers it again.
   */
  @EventPattern<string>(ORDER_PLACED, { concurrency: 10 })
  async bill(@Payload() order: Order, @Ctx() context: StompContext): Promise<void> {
    // The broker counts the deliveries before this one.
    const { redelivered, customer, 'delivery-count': earlier = '0' } = context.getHeaders();
    // The bank is down whenever it hears of an order for the first time, so that you can see an order come again.
    if (redelivered !== 'true') throw new RpcException(`order ${order.id}: the bank does not answer`);
    const bill: Bill = { order: order.id, total: order.total, attempts: 1 + Number(earlier) };
    this.logger.log(`order ${order.id}: ${order.total} billed to ${customer} at attempt ${bill.attempts}`);
    await lastValueFrom(this.client.emit(`${ORDER_BILLED}.${order.id}`, bill));
  }
}
