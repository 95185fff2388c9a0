import type { Message, Session } from 'nestjs-stomp/server';
import { nameOf } from './owner.js';

/** Makes a message say who sent it, and when; what its publisher claims of that goes. */
export function stamp(message: Message, { user }: Session): void {
  message.setHeader('timestamp', String(Date.now()));
  message.setHeader('JMSXUserID', nameOf(user));
}
