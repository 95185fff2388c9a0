import { Body, Controller, Get, HttpException, Param, ParseIntPipe, Post } from '@nestjs/common';
import { StompClientProxy } from 'nestjs-stomp';
import { catchError, type Observable } from 'rxjs';
import { FIND_ORDER, type NewOrder, type Order, PLACE_ORDER, type Refusal } from '../contract.js';

@Controller('orders')
export class GatewayController {
  constructor(private readonly client: StompClientProxy) {}

  @Post()
  place(@Body() order: NewOrder): Observable<Order> {
    return this.client.send<Order>(PLACE_ORDER, order).pipe(catchError(toHttp));
  }

  @Get(':id')
  find(@Param('id', ParseIntPipe) id: number): Observable<Order> {
    return this.client.send<Order>(FIND_ORDER, id).pipe(catchError(toHttp));
  }
}

/** What orders refuses is the caller's fault; no reply at all is not. */
function toHttp(error: Partial<Refusal>): never {
  throw new HttpException(error.message ?? 'orders failed', typeof error.status === 'number' ? error.status : 503);
}
