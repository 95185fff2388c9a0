export { StompClient, type ConnectOptions, type DisconnectOptions } from './client.js';
export {
  ConnectFailedError,
  ConnectionLostError,
  NotConnectedError,
  ProtocolError,
  ReceiptTimeoutError,
  RefusedError,
  ServerError,
  StompClientError,
  type StompClientErrorCode,
  TooManyReceiptsError,
  TransactionEndedError,
} from './errors.js';
export type { ConnectAttempt, ConnectRetry, StompClientEvents, StompState } from './events.js';
export type { MessageHandler } from './handling.js';
export { type AcknowledgeOptions, StompMessage } from './message.js';
export type { Dial, Dialling, ReconnectOptions, StompClientOptions } from './options.js';
export type { Body, SendOptions } from './outgoing.js';
export { type AckMode, type SubscribeOptions, Subscription, type UnsubscribeOptions } from './subscription.js';
export { Transaction, type TransactionOptions } from './transaction.js';
export {
  Frame,
  FrameError,
  type FrameErrorCode,
  FrameHeaders,
  type HeadersInit,
  type Version,
} from '../frame/index.js';
export { formatStompUrl, parseStompUrl, type StompAddress } from '../wire/url.js';
