import { type CanActivate, type ExecutionContext, ForbiddenException, Injectable } from '@nestjs/common';
import type { AdmissionRequest } from 'nestjs-stomp-broker';
import { FIND_ORDER, ORDER_BILLED, ORDER_PLACED, PLACE_ORDER } from '../contract.js';

const REQUESTS = [PLACE_ORDER, FIND_ORDER];
/** Where replies arrive, and what that place is called for those who answer. */
const [REPLIES, ANSWERS] = ['/temp-queue/', '/reply-queue/'];

/** What each user may do: destinations, or what they begin with. */
const RIGHTS: Record<string, Record<'SEND' | 'SUBSCRIBE', readonly string[]>> = {
  gateway: { SEND: REQUESTS, SUBSCRIBE: [REPLIES] },
  orders: { SEND: [ANSWERS, ORDER_PLACED], SUBSCRIBE: [...REQUESTS, `${ORDER_BILLED}.`] },
  billing: { SEND: [`${ORDER_BILLED}.`], SUBSCRIBE: [ORDER_PLACED] },
};

/** An ordinary Nest guard: it is asked once for each connection and destination, not for each message. */
@Injectable()
export class RightsGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const { command, user, destination = '' } = context.switchToRpc().getData<AdmissionRequest>();
    if (command === 'CONNECT') return true;
    if (RIGHTS[String(user)]?.[command].some((allowed) => matches(destination, allowed)) === true) return true;
    throw new ForbiddenException(`${String(user)} may not ${command} ${destination}`);
  }
}

function matches(destination: string, allowed: string): boolean {
  return /[./]$/.test(allowed) ? destination.startsWith(allowed) : destination === allowed;
}
