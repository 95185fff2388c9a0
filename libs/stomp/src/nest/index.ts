export { StompClientProxy } from './stomp.client.js';
export { StompConnection, type StompConnectionOptions, type StompEvents } from './stomp.connection.js';
export { type NackOptions, StompContext } from './stomp.context.js';
export { StompModule, type StompModuleAsyncOptions, type StompModuleOptions } from './stomp.module.js';
export type {
  StompClientProxyOptions,
  StompDeserializer,
  StompHandlerExtras,
  StompSerializer,
  StompStrategyOptions,
  StompTransportOptions,
} from './stomp.options.js';
export { StompRecord, StompRecordBuilder, type StompRecordOptions } from './stomp.record.js';
export { StompStatus } from './stomp.status.js';
export { STOMP_TRANSPORT, StompStrategy } from './stomp.strategy.js';
