import { quote } from '../frame/error.js';

/** Where a STOMP server is, and what its URL says besides. */
export interface StompAddress {
  readonly secure: boolean;
  readonly host: string;
  readonly port: number;
  readonly login?: string;
  readonly passcode?: string;
  /** The virtual host: the path of the URL without its first slash; `%2F` is RabbitMQ's default one. */
  readonly vhost?: string;
}

/** The ports registered with, and used by brokers for, STOMP over TCP and over TLS. */
export const STOMP_PORT = 61613;
export const STOMP_TLS_PORT = 61614;

/**
 * Reads `stomp://login:passcode@host:port/vhost`, `stomp+tls://` or `stomp+ssl://`. Login, passcode and vhost are
 * percent-decoded.
 *
 * @throws TypeError that names what is wrong, never the passcode
 */
export function parseStompUrl(url: string): StompAddress {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw new TypeError('the URL cannot be read: it looks like stomp://login:passcode@host:61613/vhost');
  }
  const schemes: Record<string, boolean> = { 'stomp:': false, 'stomp+tls:': true, 'stomp+ssl:': true };
  const secure = schemes[parsed.protocol];
  if (secure === undefined) {
    throw new TypeError(
      `the URL has the scheme ${quote(parsed.protocol)}: it is one of stomp://, stomp+tls:// and stomp+ssl://`,
    );
  }
  if (parsed.hostname === '') throw new TypeError('the URL names no host: it looks like stomp://host:61613');
  if (parsed.search !== '' || parsed.hash !== '') {
    throw new TypeError('the URL has a ? or a # in it: in a login, passcode or vhost write %3F or %23');
  }
  const vhost = decode(parsed.pathname.slice(1));
  return {
    secure,
    host: parsed.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: parsed.port === '' ? (secure ? STOMP_TLS_PORT : STOMP_PORT) : Number(parsed.port),
    ...(parsed.username === '' ? {} : { login: decode(parsed.username) }),
    ...(parsed.password === '' ? {} : { passcode: decode(parsed.password) }),
    ...(vhost === '' ? {} : { vhost }),
  };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new TypeError('the URL has a percent sign that encodes nothing: write it as %25');
  }
}

/** The URL of a listener, without credentials. */
export function formatStompUrl(address: { secure: boolean; host: string; port: number }): string {
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `stomp${address.secure ? '+tls' : ''}://${host}:${address.port}`;
}
