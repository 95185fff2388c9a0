export type { Broker, Done, Operation, Route } from './broker.js';
export { StompError } from './error.js';
export { Message } from './message.js';
export { PRODUCT, type ServerLog, type SessionOptions } from './options.js';
export { Delivery, type DeliverySource, type Outcome } from './pending.js';
export { type Listener, type ListenOptions, StompServer, type StompServerOptions } from './server.js';
export { Session } from './session.js';
export { type AckMode, DEFAULT_PREFETCH, Subscription } from './subscription.js';
export { Frame, FrameHeaders, type HeadersInit } from '../frame/index.js';
