import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions as TlsOptions } from 'node:tls';
import type { StompAddress } from './url.js';

export interface DialOptions {
  /** Options of node:tls. The server's certificate and its name are verified unless told otherwise. */
  tls?: TlsOptions;
  /** How long the connection, with its TLS handshake, may take, in ms; 10,000 by default. */
  connectTimeout?: number;
  /** Gives up at once when aborted. */
  signal?: AbortSignal;
}

/**
 * Opens a TCP or TLS connection. The socket comes paused, with half-open connections allowed.
 *
 * @throws Error that names the address and the reason: refused, unknown host, time-out, a certificate that does not
 *   hold
 */
export function dial(
  address: Pick<StompAddress, 'secure' | 'host' | 'port'>,
  options: DialOptions = {},
): Promise<Socket> {
  const { host, port } = address;
  const timeout = options.connectTimeout ?? 10_000;
  const where = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  return new Promise((resolve, reject) => {
    if (options.signal?.aborted) {
      reject(new Error(`the connection to ${where} was given up`));
      return;
    }
    const socket = address.secure
      ? connectTls({
          // Server Name Indication is for names only.
          ...(isIP(host) === 0 ? { servername: host } : {}),
          minVersion: 'TLSv1.2',
          ...options.tls,
          host,
          port,
          allowHalfOpen: true,
        } as TlsOptions)
      : connectTcp({ host, port, allowHalfOpen: true, noDelay: true });
    const fail = (error: Error) => {
      settle();
      socket.on('error', () => undefined); // What a socket that was given up still has to say is of no interest.
      socket.destroy();
      reject(error);
    };
    const onError = (error: NodeJS.ErrnoException) => {
      fail(new Error(`cannot connect to ${where}: ${explain(error)}`, { cause: error }));
    };
    const onClose = () => fail(new Error(`cannot connect to ${where}: the peer closed the connection`));
    const onAbort = () => fail(new Error(`the connection to ${where} was given up`));
    const timer = setTimeout(() => fail(new Error(`cannot connect to ${where}: no answer in ${timeout} ms`)), timeout);
    const ready = address.secure ? 'secureConnect' : 'connect';
    const settle = () => {
      clearTimeout(timer);
      socket.off(ready, onReady).off('error', onError).off('close', onClose);
      options.signal?.removeEventListener('abort', onAbort);
    };
    const onReady = () => {
      settle();
      resolve(socket);
    };
    socket.on(ready, onReady).on('error', onError).on('close', onClose);
    options.signal?.addEventListener('abort', onAbort);
  });
}

/**
 * What went wrong with a connection, in words: those of OpenSSL say little.
 *
 * @internal
 */
export function explain({ code = '', message }: NodeJS.ErrnoException): string {
  // With TLS 1.3 the alert has a code of its own; TLS 1.2 has one for many reasons.
  if (code === 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED') return 'the peer wants a certificate of the client';
  if (/handshake failure/.test(message)) {
    return 'the peer refused the TLS handshake: it may want a certificate of the client, or another version of TLS';
  }
  // A peer without TLS answers a handshake with octets of another protocol, which OpenSSL takes for a strange version.
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || (code === 'EPROTO' && message.includes('wrong version number'))) {
    return 'what answers there does not speak TLS: use its port for TLS, or connect without';
  }
  return message || code || 'unknown error';
}
