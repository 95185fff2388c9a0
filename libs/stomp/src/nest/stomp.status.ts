/** What `status` tells of a connection. */
export const StompStatus = {
  /** There is a connection, and the server has accepted us. */
  CONNECTED: 'connected',
  /** The connection was lost, and another one is sought. */
  RECONNECTING: 'reconnecting',
  /** There is none, and none is sought. */
  DISCONNECTED: 'disconnected',
} as const;

export type StompStatus = (typeof StompStatus)[keyof typeof StompStatus];
