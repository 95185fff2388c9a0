import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { StompError } from './error.js';

/** What node:tls calls the ways in which a certificate may be no good. */
const OBJECTIONS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'has expired',
  CERT_NOT_YET_VALID: 'is not valid yet',
  CERT_REVOKED: 'was revoked',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'is vouched for by no trusted authority',
  SELF_SIGNED_CERT_IN_CHAIN: 'is vouched for by no trusted authority',
  UNABLE_TO_GET_ISSUER_CERT: 'is vouched for by no trusted authority',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'is vouched for by no trusted authority',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'is vouched for by no trusted authority',
  UNABLE_TO_GET_CRL: 'is of an authority without a list of what it has revoked, maybe one that is not trusted',
  CRL_HAS_EXPIRED: 'is of an authority whose list of what it has revoked has expired',
};

/** The client went away, and was not refused. */
const LEFT = ['ECONNRESET', 'EPIPE'];

/** Why a TLS handshake came to nothing; undefined where the client has just gone. */
export function whyNoTls(error: Error & { code?: string; reason?: string }, socket: Socket): StompError | undefined {
  // Its type says that it is an error: it is the code of one.
  const objection = socket instanceof TLSSocket ? (socket.authorizationError as unknown) : undefined;
  if (typeof objection === 'string') {
    return failed(`the client certificate ${OBJECTIONS[objection] ?? `is not accepted: ${objection}`}`);
  }
  if (error.code !== undefined && LEFT.includes(error.code)) return undefined;
  if (error.code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE') {
    return failed('a client certificate is demanded, and none was shown');
  }
  return failed(error.reason ?? error.message);
}

/** The socket that a TLS socket is made of: once closed, the latter does not know any more whose it was. */
export const socketUnder = (socket: Socket & { _parent?: Socket | null }): Socket => socket._parent ?? socket;

const failed = (why: string) => new StompError('TLS handshake failed', why);
