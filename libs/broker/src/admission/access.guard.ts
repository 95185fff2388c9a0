import { type CanActivate, type ExecutionContext, ForbiddenException, Inject, Injectable } from '@nestjs/common';
import type { Session } from 'nestjs-stomp/server';
import { destinationsOf } from '../destination/spelling.js';
import { makesQueue, readQueueName } from '../destination/dialect.js';
import { readDestination } from '../destination/name.js';
import { nameOf } from '../destination/owner.js';
import { isTemporary } from '../destination/reply.js';
import { type Access, compileRules, type Decide, type Rules } from './rules.js';
import { AdmissionContext, AdmissionRequest } from './request.js';
import type { User } from './users.js';

/** The rules of the moment, and what they say of each session. */
@Injectable()
export class AccessRules {
  private compiled: ((user: User | undefined) => Decide) | undefined;
  private decisions = new WeakMap<Session, { readonly user: unknown; readonly decide: Decide }>();

  constructor(rules?: Rules) {
    this.set(rules);
  }

  /**
   * Puts other rules in place of these; `StompBroker.review` makes live sessions feel it.
   *
   * @param rules undefined for none: everybody may do everything
   * @throws Error that names the rule and what is wrong with it
   */
  set(rules: Rules | undefined): void {
    this.compiled = rules === undefined ? undefined : compileRules(rules);
    this.decisions = new WeakMap();
  }

  /** What a session may do; undefined where there are no rules. */
  of(session: Session): Decide | undefined {
    if (this.compiled === undefined) return undefined;
    const { user } = session;
    let known = this.decisions.get(session);
    if (known === undefined || known.user !== user) {
      this.decisions.set(session, (known = { user, decide: this.compiled(readUser(user)) }));
    }
    return known.decide;
  }
}

/** Lets clients use what the rules of the broker's configuration allow, and everything where there are none. */
@Injectable()
export class AccessGuard implements CanActivate {
  constructor(@Inject(AccessRules) private readonly rules: AccessRules) {}

  canActivate(context: ExecutionContext): boolean {
    const { command, destination } = context.switchToRpc().getData<AdmissionRequest>();
    const ask = context.switchToRpc().getContext<AdmissionContext>();
    const decide = this.rules.of(ask.getSession());
    // A temporary destination belongs to one session, and the name under which others answer cannot be guessed.
    if (decide === undefined || destination === undefined || isTemporary(destination)) return true;
    const access: Access = command === 'SEND' ? 'write' : 'read';
    for (const each of [access, ...(manages(destination, ask) ? ['manage' as const] : [])]) {
      // Whether there is such a destination makes no difference.
      if (!decide(each, destination))
        throw new ForbiddenException(`you may not ${each} ${JSON.stringify(destination)}`);
    }
    return true;
  }
}

/** Whether the frame says how that queue is to be made, or what is to flow into it. */
function manages(destination: string, context: AdmissionContext): boolean {
  if (readDestination(destination).kind !== 'queue') return false;
  const { command, headers } = context.getFrame();
  const action = command === 'SEND' ? 'send' : 'subscribe';
  if (action === 'subscribe' && destination === `/queue/${readQueueName({ headers }) ?? ''}`) return true;
  return makesQueue(headers) && destinationsOf(headers.get('destination') ?? '', action, headers).includes(destination);
}

function readUser(user: unknown): User | undefined {
  const name = nameOf(user);
  if (name === undefined) return undefined;
  const groups: unknown = typeof user === 'object' && user !== null && 'groups' in user ? user.groups : undefined;
  return Array.isArray(groups) ? { name, groups: groups.map(String) } : { name };
}
