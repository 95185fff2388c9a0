/*
 * What the services say to each other: where, and with what in the body. Requests and work go to queues, where one
 * instance of a service takes each message; news goes to topics, where everybody who listens gets it.
 */

/** Request: places an order. Reply: the order. */
export const PLACE_ORDER = '/queue/orders.place';
/** Request: the id of an order. Reply: the order. */
export const FIND_ORDER = '/queue/orders.find';
/** Event, on a queue: it waits there for billing, however long billing is away. */
export const ORDER_PLACED = '/queue/orders.placed';
/** Event: a bill, one topic for each order, as in /topic/orders.billed.1. */
export const ORDER_BILLED = '/topic/orders.billed';

export interface NewOrder {
  customer: string;
  item: string;
  total: number;
}

export interface Order extends NewOrder {
  id: number;
  status: 'placed' | 'billed';
  bill?: Bill;
}

export interface Bill {
  order: number;
  total: number;
  /** How often billing had to try. */
  attempts: number;
}

/** What a request fails with. */
export interface Refusal {
  /** The HTTP status that says the same. */
  status: number;
  message: string;
}
