export const TEMP_QUEUE = '/temp-queue/';
export const TEMP_TOPIC = '/temp-topic/';
export const REPLY_QUEUE = '/reply-queue/';
export const REPLY_TOPIC = '/reply-topic/';

/** Whether a destination is one that belongs to a session, by its owner's name for it or by the others'. */
export const isTemporary = (destination: string): boolean =>
  [TEMP_QUEUE, TEMP_TOPIC, REPLY_QUEUE, REPLY_TOPIC].some((prefix) => destination.startsWith(prefix));
