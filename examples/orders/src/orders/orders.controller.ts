import { Controller, Logger } from '@nestjs/common';
import { EventPattern, MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { StompClientProxy, StompRecordBuilder } from 'nestjs-stomp';
import { lastValueFrom } from 'rxjs';
import {
  type Bill,
  FIND_ORDER,
  type NewOrder,
  type Order,
  ORDER_BILLED,
  ORDER_PLACED,
  PLACE_ORDER,
  type Refusal,
} from '../contract.js';

@Controller()
export class OrdersController {
  private readonly logger = new Logger(OrdersController.name);
  private readonly orders = new Map<number, Order>();

  constructor(private readonly client: StompClientProxy) {}

  @MessagePattern(PLACE_ORDER)
  async place(@Payload() { customer, item, total }: NewOrder): Promise<Order> {
    if (!(total > 0)) throw refusal(400, 'the total of an order has to be a number above 0');
    const order: Order = { id: this.orders.size + 1, customer, item, total, status: 'placed' };
    this.orders.set(order.id, order);
    const event = new StompRecordBuilder(order).setHeaders({ customer }).setPersistent().build();
    // Done when the broker has receipted it: no customer hears of an order that billing will not hear of.
    await lastValueFrom(this.client.emit(ORDER_PLACED, event));
    return order;
  }

  @MessagePattern(FIND_ORDER)
  find(@Payload() id: number): Order {
    const order = this.orders.get(id);
    if (order === undefined) throw refusal(404, `there is no order ${id}`);
    return order;
  }

  @EventPattern(`${ORDER_BILLED}.*`)
  onBilled(@Payload() bill: Bill): void {
    const order = this.orders.get(bill.order);
    if (order === undefined) return;
    Object.assign(order, { status: 'billed', bill });
    this.logger.log(`order ${order.id} is billed`);
  }
}

function refusal(status: number, message: string): RpcException {
  return new RpcException({ status, message } satisfies Refusal);
}
