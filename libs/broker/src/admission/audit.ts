import { type Session, StompError } from 'nestjs-stomp/server';
import { nameOf } from '../destination/owner.js';

/** What became of somebody's wish to come in, to use a destination, or to stay. It holds no secret. */
export interface AuditEvent {
  readonly event: 'connected' | 'connection refused' | 'access refused' | 'session ended';
  /** The first part of the session's id. */
  readonly session: string;
  readonly address: string | undefined;
  readonly vhost: string;
  /** Who it is; of a connection that was refused: who it claims to be. */
  readonly user: string | undefined;
  readonly action?: 'send' | 'subscribe';
  readonly destination?: string;
  /** What the client was told. */
  readonly reason?: string;
}

/** Takes what there is to record. */
export type Audit = (event: AuditEvent) => void;

/** What is recorded of a session in any case. */
export const describeSession = (session: Session): Pick<AuditEvent, 'session' | 'address' | 'vhost' | 'user'> => ({
  session: session.id.slice(0, 8),
  address: session.address,
  vhost: session.vhost,
  user: nameOf(session.user),
});

/** What the client is told, in short. */
export const reasonOf = (error: unknown): string => (error instanceof StompError ? error.detail : 'internal error');
