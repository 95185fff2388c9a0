import { createServer as createTcpServer, type AddressInfo, type Server as NetServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createServer as createTlsServer, Server as TlsServer, type TlsOptions } from 'node:tls';
import { encodeFrame } from '../frame/encoder.js';
import { Frame } from '../frame/frame.js';
import { formatStompUrl, STOMP_PORT } from '../wire/url.js';
import { plainAddress } from './address.js';
import type { Broker } from './broker.js';
import { StompError } from './error.js';
import { type ResolvedOptions, resolveOptions, type SessionOptions } from './options.js';
import { readProxyHeader } from './proxy.js';
import { Session } from './session.js';

export interface StompServerOptions extends SessionOptions {
  /** What turns SENDs into deliveries. */
  broker: Broker;
  /** Connections at a time; one more gets an ERROR. No limit by default. */
  maxConnections?: number;
  /** Says whether that address may connect at all; by default any may. The refused get no answer. */
  admits?: (address: string) => boolean;
}

export interface ListenOptions {
  /** 61613 by default; 0 takes a free one. */
  port?: number;
  /** An address or name of this machine; loopback by default. */
  host?: string;
  /** Options of node:tls: the listener speaks TLS, 1.2 and up. */
  tls?: TlsOptions;
  /**
   * Which peers are proxies, by their address: they begin each connection with a header of the PROXY protocol (1 or
   * 2) that names the client. A header of anybody else is none. No peer is one by default.
   */
  proxy?: (address: string) => boolean;
}

/** Something that takes connections. */
export interface Listener {
  /** Where it listens, for example `stomp://127.0.0.1:61613`. */
  readonly url: string;
  readonly port: number;
  /**
   * Takes other certificates for the connections to come; those that are open stay as they are.
   *
   * @throws Error when they do not load, or the listener speaks no TLS
   */
  renew(tls: TlsOptions): void;
}

const HANDSHAKE_TIMEOUT = 10_000;
/** How long a refused client may take to read why, in ms. */
const REFUSAL_LINGER = 2_000;

/**
 * Listens, and runs a session for each connection. What the sessions do with messages is up to the broker.
 *
 * ```ts
 * const server = new StompServer({ broker });
 * const { url } = await server.listen({ port: 0 });
 * ```
 */
export class StompServer {
  private readonly live = new Set<Session>();
  private readonly listeners = new Map<Listener, NetServer>();
  // Every connection that was taken, also those that shake hands for TLS or are being refused.
  private readonly sockets = new Set<Socket>();
  private readonly broker: Broker;
  private readonly options: ResolvedOptions;
  private readonly maxConnections: number;
  private readonly admits: ((address: string) => boolean) | undefined;
  private closed: Promise<void> | undefined;
  private idle: (() => void) | undefined;

  constructor(options: StompServerOptions) {
    const { broker, maxConnections, admits, ...rest } = options;
    this.broker = broker;
    this.maxConnections = maxConnections ?? Number.POSITIVE_INFINITY;
    this.admits = admits;
    this.options = resolveOptions(rest);
  }

  /** The sessions of the moment, those that are still opening among them. */
  get sessions(): ReadonlySet<Session> {
    return this.live;
  }

  /** What takes connections at the moment. */
  get listening(): Listener[] {
    return [...this.listeners.keys()];
  }

  /** Where the server listens. */
  get urls(): string[] {
    return [...this.listeners.keys()].map(({ url }) => url);
  }

  /**
   * Opens a listener.
   *
   * @throws Error when the port is in use, the address is none of this machine's, or the certificate does not load
   */
  listen(options: ListenOptions = {}): Promise<Listener> {
    const { port = STOMP_PORT, host = '127.0.0.1', tls, proxy } = options;
    const common = { allowHalfOpen: true, noDelay: true };
    // Whom the proxies speak for, by the proxy's own address and port: a TLS socket hides the one it is made of.
    const clients = new Map<string, string>();
    const take = (socket: Socket) => this.take(socket, clients.get(nameOf(socket)));
    const server: NetServer =
      tls === undefined
        ? createTcpServer(common)
        : createTlsServer({ minVersion: 'TLSv1.2', handshakeTimeout: HANDSHAKE_TIMEOUT, ...tls, ...common }, take);
    // What makes a TLS connection of a TCP connection is a listener, too.
    const open = tls === undefined ? [take] : (server.listeners('connection') as ((socket: Socket) => void)[]);
    server.removeAllListeners('connection');
    const { sockets } = this;
    // One function for all of them, as idle connections are to be small.
    function forget(this: Socket) {
      sockets.delete(this);
    }
    server.on('connection', (socket: Socket) => {
      sockets.add(socket);
      socket.on('close', forget);
      const go = () => {
        for (const each of open) each.call(server, socket);
      };
      if (proxy?.(plainAddress(socket.remoteAddress) ?? '') !== true) go();
      else this.unwrap(socket, clients, go);
    });
    // A handshake that fails is the client's trouble; without this it would be an unhandled error of the server.
    server.on('tlsClientError', (error: Error, socket: Socket) => {
      this.options.log?.log(2, `${socket.remoteAddress ?? 'unknown'} TLS handshake failed: ${error.message}`);
      socket.destroy();
    });
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen({ port, host }, () => {
        server.off('error', reject);
        server.on('error', (error) => this.options.log?.log(0, `listener failed: ${String(error)}`));
        const address = server.address() as AddressInfo;
        const url = formatStompUrl({ secure: tls !== undefined, host: address.address, port: address.port });
        const renew = (renewed: TlsOptions) => {
          if (!(server instanceof TlsServer)) throw new Error(`the listener ${url} speaks no TLS`);
          server.setSecureContext({ minVersion: 'TLSv1.2', ...renewed });
        };
        const listener = { url, port: address.port, renew };
        this.listeners.set(listener, server);
        resolve(listener);
      });
    });
  }

  /**
   * Runs a session over a stream that is open already, for example one end of an in-memory pair.
   *
   * @param address the client's, where it is not the other end of a socket
   */
  accept(stream: Duplex, address?: string): Session {
    const session = new Session(stream, this.broker, this.options, this.ended, address);
    this.live.add(session);
    return session;
  }

  /**
   * Stops listening, tells the sessions with an ERROR that the server shuts down, and waits until they are over.
   *
   * @param deadline how long to wait before the remaining connections are cut, in ms; 5,000 by default
   */
  close(deadline = 5_000): Promise<void> {
    this.closed ??= this.shutDown(deadline);
    return this.closed;
  }

  private readonly ended = (session: Session): void => {
    this.live.delete(session);
    if (this.live.size === 0) this.idle?.();
  };

  private async shutDown(deadline: number): Promise<void> {
    const closed = [...this.listeners.values()].map((server) => new Promise((resolve) => server.close(resolve)));
    this.listeners.clear();
    for (const session of this.live) session.refuse(new StompError('server is shutting down'));
    const timer = setTimeout(() => {
      for (const session of this.live) session.connection.destroy();
      for (const socket of this.sockets) socket.destroy();
    }, deadline);
    if (this.live.size > 0) await new Promise<void>((resolve) => (this.idle = resolve));
    await Promise.all(closed);
    clearTimeout(timer);
  }

  /** Reads what a proxy says of its client, then goes on as if that had come by itself. */
  private unwrap(socket: Socket, clients: Map<string, string>, go: () => void): void {
    const key = nameOf(socket);
    readProxyHeader(socket, HANDSHAKE_TIMEOUT).then(
      (client) => {
        if (socket.destroyed) return;
        if (client !== undefined) {
          clients.set(key, client);
          socket.once('close', () => clients.delete(key));
        }
        go();
      },
      (error: Error) => {
        this.options.log?.log(2, `${socket.remoteAddress ?? 'unknown'} refused: ${error.message}`);
        socket.destroy();
      },
    );
  }

  private take(socket: Socket, client?: string): void {
    const address = client ?? plainAddress(socket.remoteAddress);
    if (address === undefined || this.closed !== undefined) {
      socket.destroy();
      return;
    }
    if (this.admits?.(address) === false) {
      this.options.log?.log(2, `${address} refused: the address is not allowed`);
      socket.destroy();
      return;
    }
    if (this.live.size >= this.maxConnections) {
      this.options.log?.log(2, `${address} refused: ${this.maxConnections} connections are open, the limit`);
      const message = 'too many connections';
      const detail = `the server has ${this.maxConnections} connections, its limit: try again later\n`;
      socket.on('error', () => undefined);
      socket.end(encodeFrame(new Frame('ERROR', { message, 'content-type': 'text/plain' }, detail)));
      socket.resume();
      const linger = setTimeout(() => socket.destroy(), REFUSAL_LINGER);
      socket.once('close', () => clearTimeout(linger));
      return;
    }
    this.accept(socket, address);
  }
}

const nameOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;
