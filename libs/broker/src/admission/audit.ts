import { type Session, StompError } from 'nestjs-stomp/server';
import { nameOf } from '../destination/owner.js';

/** What became of somebody's wish to come in, to use a destination, or to stay. It holds no secret. */
export interface AuditEvent {
  readonly event: 'connected' | 'user changed' | 'connection refused' | 'access refused' | 'session ended';
  /** The first part of the session's id; undefined where a connection was refused before it had one. */
  readonly session?: string;
  readonly address: string | undefined;
  readonly vhost?: string;
  /** Who it is; of a connection that was refused: who it claims to be. */
  readonly user?: string | undefined;
  readonly action?: 'send' | 'subscribe';
  readonly destination?: string;
  /** Of a refusal: the same words for all of its kind, nothing in them is the client's; `message` of the ERROR frame. */
  readonly error?: string;
  /** Why; what the client was told, if it was told anything. */
  readonly reason?: string;
}

/** Takes what there is to record. Clients can be refused without end: whatever is written down has to be bounded. */
export type Audit = (event: AuditEvent) => void;

/** What is recorded of a session in any case. */
export const describeSession = (session: Session): Pick<AuditEvent, 'session' | 'address' | 'vhost' | 'user'> => ({
  session: session.id.slice(0, 8),
  address: session.address,
  vhost: session.vhost,
  user: nameOf(session.user),
});

/** What is recorded of a refusal. */
export function describeError(error: unknown): Required<Pick<AuditEvent, 'error' | 'reason'>> {
  if (error instanceof StompError) return { error: error.message, reason: error.detail };
  return { error: 'internal error', reason: 'internal error' };
}
