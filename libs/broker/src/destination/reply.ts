export const TEMP_QUEUE = '/temp-queue/';
export const TEMP_TOPIC = '/temp-topic/';
export const REPLY_QUEUE = '/reply-queue/';
export const REPLY_TOPIC = '/reply-topic/';
